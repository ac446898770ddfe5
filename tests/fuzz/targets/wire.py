"""What comes over a connection: SMTP in both directions, the PROXY header, the scanner's answer."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from jetmail.inbound.proxy import MAX_HEADER, ProxyError
from jetmail.inbound.proxy import parse as parse_proxy
from jetmail.smtp.answers import OUT_OF_STEP
from jetmail.smtp.client import ClientSession
from jetmail.smtp.phases import Event, Phase
from jetmail.smtp.stuffing import Stuffer
from tests.fuzz.target import target
from tests.inbound.test_proxy import V1, V2, V2_LOCAL
from tests.smtp.test_client import EHLO_ALL, EHLO_BARE, WIRE
from tests.smtp.test_server import OPTIONS, Run, turns

KINDS = sorted(OPTIONS)


def cut(octets: bytes, random: Random) -> list[bytes]:
    """Pieces of any sizes."""
    places = sorted({0, len(octets), *(random.randint(0, len(octets)) for _ in range(random.choice((1, 3, 12))))})
    return [octets[start:end] for start, end in pairwise(places)]


def _sessions() -> list[bytes]:
    mail = b"EHLO c.test\r\nMAIL FROM:<a@b.test> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<c@d.test> NOTIFY=FAILURE ORCPT=rfc822;c@d.test\r\n"
    return [kind + each for kind in (b"\0", b"\1", b"\2") for each in (
        mail + b"DATA\r\nSubject: x\r\n\r\n..hello\r\n.\r\nQUIT\r\n",
        mail + b"BDAT 5\r\na\r\nb\rBDAT 3 LAST\r\n\nxyMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\nRSET\r\n",
        b"EHLO [192.0.2.1]\r\nAUTH PLAIN AGEAYg==\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nAUTH LOGIN YQ==\r\n*\r\n",
        b"HELO c\r\nVRFY a\r\nEXPN b\r\nNOOP x\r\nHELP\r\nRSET\r\nSTARTTLS\r\nXCLIENT\r\n",
        b"EHLO c\r\nMAIL FROM:<\"a b\"@xn--mnchen-3ya.de> SMTPUTF8 RET=HDRS ENVID=x+2B REQUIRETLS\r\n"
        b"RCPT TO:<@r.test:c@d.test>\r\nDATA\r\na\n.\r\n.\r\n",
    )]  # fmt: skip


@target(
    "smtp-server", _sessions, b"EHLO c\r\n", b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"RCPT TO:<no@d.test>\r\n", b"DATA\r\n",
    b"BDAT 5\r\n", b"BDAT 0 LAST\r\n",
    b"BDAT ", b" LAST", b"RSET\r\n", b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"*\r\n", b"STARTTLS\r\n", b"QUIT\r\n", b" SMTPUTF8", b" BODY=8BITMIME",
    b" SIZE=", b"\r\n.\r\n",
    b" RET=FULL", b" ENVID=", b" NOTIFY=NEVER", b" ORCPT=rfc822;", b"\r\n..", b"x" * 2040,
)  # fmt: skip
def smtp_server(octets: bytes) -> None:
    """Any octets in any pieces: no exception, bounded memory, the same events and replies as in one piece a turn; out of turn, at most those."""
    options, stream = OPTIONS[KINDS[octets[0] % 3] if octets else "mx"], octets[1:]
    random = Random(len(octets) * 31 + sum(octets[:64]))
    whole, split = Run(options, turns(stream)), Run(options, [piece for turn in turns(stream) for piece in cut(turn, random)])
    rash = Run(options, cut(stream, random))
    runs = [whole, split]
    if len(stream) < 400:
        runs.append(Run(options, [stream[place : place + 1] for place in range(len(stream))]))
    for run in (*runs, rash):
        assert len(run.session._buffer) - run.session._at <= 12_288 or run.is_tls, "memory of a session"
    if b"STARTTLS" in stream.upper() or (whole.seen and isinstance(whole.seen[-1], bytes)):
        return  # depends on the pieces by intent; ended within content
    for run in runs[1:]:
        assert run.kept == whole.kept, "events differ by the cuts"
        assert run.said == whole.said, "replies differ by the cuts"
    assert rash.said == whole.said or (rash.is_closed and rash.said.endswith(OUT_OF_STEP.wire)), "heard what came too early"


def _talk(octets: bytes, pieces: list[bytes], recipients: int, bdat: bool) -> tuple[list[str], bytes]:
    session = ClientSession("us.example", bdat)
    seen, said = [], b""
    for piece in pieces:
        event = session.receive(piece)
        if event is not None:
            seen.append(f"{event} {session.results if event is Event.SETTLED else ''}")
        if event is Event.GREETED:
            session.send(b"MAIL FROM:<>\r\n", [b"RCPT TO:<r%d@x>\r\n" % number for number in range(recipients)])
        elif event is Event.GO_AHEAD:
            session.feed(b"a\r\n.")
            session.finish(b"b\r\n")
        elif event is Event.SETTLED:
            assert all(session.results) and len(session.results) == recipients
            assert all(200 <= result.code <= 599 and len(str(result)) < 5_000 for result in session.results if result)
            if not session.is_over:
                session.quit()
        assert (event is Event.FAILED) == (session.fault is not None) or session.phase is Phase.CLOSED
        said += session.take()
    assert b"\n" not in said.replace(b"\r\n", b"")
    return seen, said


def _answers() -> list[bytes]:
    login = b"220 hi\r\n250-x\r\n250 AUTH LOGIN PLAIN\r\n235 ok\r\n"
    return [WIRE, b"220 x\r\n" + EHLO_BARE + b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n221 e\r\n", login, b"220-a\n220 b\n502 no\n250 helo\n250 ok\n",
    b"421 4.3.2 bye\r\n",
            b"220 x\r\n" + EHLO_ALL + b"250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 really\r\n"
            b"250 2.1.5 ok\r\n354 go\r\n452 4.3.1 later\r\n"]  # fmt: skip


@target(
    "smtp-client",
    _answers,
    b"220 ",
    b"250-",
    b"250 ",
    b"354 go\r\n",
    b"421 ",
    b"550 5.1.1 ",
    b"5.1.1",
    b"250-SIZE 1\r\n",
    b"250-CHUNKING\r\n",
    b"250-AUTH LOGIN\r\n",
)
def smtp_client(octets: bytes) -> None:
    """Any replies in any pieces: an event or a wait, results for everybody once it is settled, and nothing of the peer's on the wire."""
    random = Random(len(octets))
    for bdat in (False, True):
        _talk(octets, cut(octets, random), 1 + len(octets) % 3, bdat)
        if len(octets) < 2_000:
            _talk(octets, [octets[place : place + 1] for place in range(len(octets))], 2, bdat)


@target("stuffing", lambda: [b"a\r\n.b\r\n..\r\n", b".\r\n", b"a\n.\r", b"\r\n.\r\n"], b".", b"\r\n.", b"\r", b"\n")
def stuffing(octets: bytes) -> None:
    """Content in any pieces goes out with CRLF line ends, dots doubled, ended once, and the same as in one piece."""
    outcomes = set()
    for pieces in (
        [octets],
        cut(octets, Random(len(octets))),
        [octets[place : place + 1] for place in range(min(len(octets), 2_000))] + [octets[2_000:]],
    ):
        stuffer = Stuffer()
        outcomes.add(b"".join([*map(stuffer.feed, pieces), stuffer.finish()]))
    (sent,) = outcomes
    assert sent.endswith(b".\r\n") and (b"\r\n" + sent).find(b"\r\n.\r\n") == len(sent) - 3
    assert b"\r" not in sent.replace(b"\r\n", b"") and b"\n" not in sent.replace(b"\r\n", b"")


@target(
    "proxy-header",
    lambda: [V1, V2, V2_LOCAL, V2[:13] + b"\x21\x00\x24" + bytes(36), b"PROXY UNKNOWN\r\n"],
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"::1 ",
    V2[:12],
    b"\x21\x11",
)
def proxy_header(octets: bytes) -> None:
    """A header, a wait or a ProxyError; a wait never past MAX_HEADER octets, and what follows a header changes nothing."""
    try:
        found = parse_proxy(octets)
    except ProxyError:
        return
    if found is None:
        assert len(octets) < MAX_HEADER
        return
    origin, used = found
    assert 0 < used <= len(octets) and parse_proxy(octets[:used]) == found and parse_proxy(octets[:used] + b"EHLO x\r\n") == found
    assert origin is None or 0 <= origin.port <= 65_535
