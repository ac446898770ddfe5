"""The client's conversation, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.reply import Reply
from jetmail.smtp.client import ClientSession
from jetmail.smtp.commands import mail, rcpt
from jetmail.smtp.phases import Event, FaultKind, Phase

EHLO_ALL = (
    b"250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-STARTTLS\r\n"
    b"250-CHUNKING\r\n250-AUTH PLAIN LOGIN\r\n250 DSN\r\n"
)
EHLO_BARE = b"250 mx.example\r\n"


def greeted(ehlo: bytes = EHLO_ALL, bdat: bool = False) -> ClientSession:
    """A session that knows the peer's extensions."""
    session = ClientSession("us.example", bdat)
    assert session.receive(b"220 mx.example\r\n") is None
    assert session.take() == b"EHLO us.example\r\n"
    assert session.receive(ehlo) is Event.GREETED
    return session


def started(recipients: int = 2, ehlo: bytes = EHLO_ALL, bdat: bool = False) -> ClientSession:
    """A session with a transaction on its way."""
    session = greeted(ehlo, bdat)
    session.send(b"MAIL FROM:<>\r\n", [b"RCPT TO:<r%d@x>\r\n" % number for number in range(recipients)])
    return session


def codes(session: ClientSession) -> list[int]:
    """The codes of the results."""
    return [result.code if result else 0 for result in session.results]


def lockstep(session: ClientSession, answers: Sequence[bytes]) -> tuple[list[bytes], Event | None]:
    """Answer one command at a time -> (what was said, the last event)."""
    said, event = [], None
    for answer in answers:
        said.append(session.take())
        event = session.receive(answer)
    return said, event


def test_pipelined_transaction() -> None:
    """With PIPELINING the envelope is one write and the content another."""
    session = started()
    assert session.take() == b"MAIL FROM:<>\r\nRCPT TO:<r0@x>\r\nRCPT TO:<r1@x>\r\nDATA\r\n"
    assert session.receive(b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n") is Event.GO_AHEAD
    session.finish(b".hi\r\n")
    assert session.take() == b"..hi\r\n.\r\n"
    assert session.receive(b"250 2.0.0 taken\r\n") is Event.SETTLED
    assert session.results == [Reply(250, "2.0.0", "taken"), Reply(550, "5.1.1", "no")]
    assert not session.is_over


def test_reuse() -> None:
    """After a good transaction the next starts at once; after a broken one RSET comes first."""
    session = started(1)
    session.take()
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.finish(b"x")
    session.receive(b"250 ok\r\n")
    session.take()
    session.send(b"M\r\n", [b"R\r\n"])
    assert session.take() == b"M\r\nR\r\nDATA\r\n"
    assert session.receive(b"250 ok\r\n550 no\r\n554 no recipients\r\n") is Event.SETTLED
    session.send(b"M\r\n", [b"R\r\n"])
    assert session.take() == b"RSET\r\nM\r\nR\r\nDATA\r\n"
    assert session.receive(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n") is Event.GO_AHEAD


def test_lockstep_transaction() -> None:
    """Without PIPELINING each command waits for its answer, and DATA is not asked for nobody."""
    said, event = lockstep(started(2, EHLO_BARE), [b"250 ok\r\n", b"250 ok\r\n", b"450 later\r\n", b"354 go\r\n"])
    assert (said, event) == ([b"MAIL FROM:<>\r\n", b"RCPT TO:<r0@x>\r\n", b"RCPT TO:<r1@x>\r\n", b"DATA\r\n"], Event.GO_AHEAD)
    session = started(1, EHLO_BARE)
    said, event = lockstep(session, [b"250 ok\r\n", b"550 no\r\n"])
    assert (event, codes(session), session.take()) == (Event.SETTLED, [550], b"")


def test_refused_mail() -> None:
    """A refused MAIL is the answer for everyone, pipelined or not."""
    session = started(2)
    assert session.receive(b"552 5.3.4 too big\r\n503 no\r\n503 no\r\n503 no\r\n") is Event.SETTLED
    assert codes(session) == [552, 552]
    session = started(2, EHLO_BARE)
    assert session.receive(b"451 later\r\n") is Event.SETTLED
    assert codes(session) == [451, 451]


def test_go_ahead_for_nobody() -> None:
    """354 when every recipient was refused gets a lone dot, whose answer changes nothing (RFC 2920 3.1)."""
    session = started(2)
    session.take()
    assert session.receive(b"250 ok\r\n550 no\r\n450 no\r\n354 go\r\n") is None
    assert session.take() == b".\r\n"
    assert session.receive(b"250 taken\r\n") is Event.SETTLED
    assert codes(session) == [550, 450]


def test_refused_data() -> None:
    """A refused DATA is the answer for those who were accepted."""
    session = started(2)
    assert session.receive(b"250 ok\r\n250 ok\r\n550 no\r\n451 no space\r\n") is Event.SETTLED
    assert codes(session) == [451, 550]


def test_bdat() -> None:
    """BDAT, when asked for and offered, carries the content undotted in counted pieces."""
    session = started(1, bdat=True)
    assert session.take() == b"MAIL FROM:<>\r\nRCPT TO:<r0@x>\r\n"
    assert session.receive(b"250 ok\r\n250 ok\r\n") is Event.GO_AHEAD
    session.feed(b".one\r\n")
    session.finish(b"two")
    assert session.take() == b"BDAT 6\r\n.one\r\nBDAT 5 LAST\r\ntwo\r\n"
    assert session.receive(b"250 6 octets\r\n250 taken\r\n") is Event.SETTLED
    assert codes(session) == [250]


def test_bdat_refused_midway() -> None:
    """A refused piece settles the transaction and the connection is not used again."""
    session = started(1, bdat=True)
    session.receive(b"250 ok\r\n250 ok\r\n")
    session.feed(b"one\r\n")
    assert session.receive(b"552 too much\r\n") is Event.SETTLED
    assert codes(session) == [552] and session.is_over


def test_bdat_all_refused() -> None:
    """With nobody accepted no content is sent."""
    session = started(1, bdat=True)
    assert session.receive(b"250 ok\r\n550 no\r\n") is Event.SETTLED
    assert codes(session) == [550]


def test_helo() -> None:
    """A peer that refuses EHLO gets HELO and no extensions."""
    session = ClientSession("us.example")
    session.receive(b"220 hi\r\n")
    session.take()
    assert session.receive(b"502 what\r\n") is None
    assert session.take() == b"HELO us.example\r\n"
    assert session.receive(b"250 hello\r\n") is Event.GREETED
    assert not session.extensions.extended


def test_refused_greeting() -> None:
    """A refusal in the banner, to EHLO (4xx) or to HELO ends the conversation with the peer's words."""
    for octets in ([b"554 5.7.1 go away\r\n"], [b"220 hi\r\n", b"450 busy\r\n"], [b"220 hi\r\n", b"500 what\r\n", b"550 no\r\n"]):
        session = ClientSession("us.example")
        events = [session.receive(piece) for piece in octets]
        assert events[-1] is Event.FAILED and session.fault
        assert session.fault.kind is FaultKind.GREETING


def test_starttls() -> None:
    """After TLS EHLO is said again and what was offered before is forgotten."""
    session = greeted()
    session.starttls()
    assert session.take() == b"STARTTLS\r\n"
    assert session.receive(b"220 go\r\n") is Event.TLS_READY
    session.tls_started()
    assert not session.extensions.pipelining
    assert session.take() == b"EHLO us.example\r\n"
    assert session.receive(EHLO_BARE) is Event.GREETED


def test_starttls_refused() -> None:
    """A refused STARTTLS leaves the conversation in clear to go on."""
    session = greeted()
    session.starttls()
    assert session.receive(b"454 not now\r\n") is Event.TLS_REFUSED
    assert session.extensions.pipelining


def test_starttls_injection() -> None:
    """Octets in clear behind the 220 of STARTTLS, even part of a line, end the conversation."""
    for behind in (b"250-evil\r\n250 AUTH PLAIN\r\n", b"2"):
        session = greeted()
        session.starttls()
        assert session.receive(b"220 go\r\n" + behind) is Event.FAILED
        assert session.fault and session.fault.kind is FaultKind.PROTOCOL


def test_ahead_of_time() -> None:
    """An answer to a command that was not sent yet ends the conversation."""
    session = ClientSession("us.example")
    assert session.receive(b"220 hi\r\n250 hello\r\n") is Event.FAILED
    session = started(1, EHLO_BARE)
    assert session.receive(b"250 ok\r\n250 ok\r\n") is Event.FAILED
    session = started(1)
    assert session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n") is Event.FAILED


def test_closing_behind_the_answer() -> None:
    """421 right behind the final answer leaves the answer standing and ends the connection."""
    session = started(1)
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.finish(b"x")
    assert session.receive(b"250 taken\r\n421 enough\r\n") is Event.SETTLED
    assert codes(session) == [250] and session.is_over


def test_closing() -> None:
    """421 while idle or in the envelope is a fault; in answer to the content it is the answer."""
    session = greeted()
    assert session.receive(b"421 bye\r\n") is Event.FAILED and session.fault and session.fault.kind is FaultKind.CLOSING
    session = started(2)
    assert session.receive(b"250 ok\r\n421 bye\r\n") is Event.FAILED and session.fault and session.fault.phase is Phase.RCPT
    session = started(1)
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.finish(b"x")
    assert session.receive(b"421 bye\r\n") is Event.SETTLED
    assert codes(session) == [421] and session.is_over


def test_refused_while_sending() -> None:
    """A refusal before the content is all sent is the answer, and the connection ends."""
    session = started(1)
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.feed(b"x" * 100)
    assert session.receive(b"552 5.3.4 too big\r\n") is Event.SETTLED
    assert codes(session) == [552] and session.is_over


def test_auth_plain_and_login() -> None:
    """PLAIN says it all at once, LOGIN in two answers."""
    session = greeted()
    session.auth("user", "secret")
    assert session.take() == b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"
    assert session.receive(b"235 welcome\r\n") is Event.AUTHENTICATED
    session = greeted(b"250-x\r\n250 AUTH LOGIN\r\n")
    session.auth("user", "secret")
    said, event = lockstep(session, [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 ok\r\n"])
    assert (said, event) == ([b"AUTH LOGIN\r\n", b"dXNlcg==\r\n", b"c2VjcmV0\r\n"], Event.AUTHENTICATED)


def test_auth_refused() -> None:
    """A refused login, one question too many, or no mechanism in common is a fault."""
    session = greeted()
    session.auth("user", "secret")
    assert session.receive(b"535 no\r\n") is Event.FAILED
    session = greeted()
    session.auth("user", "secret")
    assert session.receive(b"334 more\r\n") is Event.FAILED
    assert greeted(EHLO_BARE).auth("user", "secret") is Event.FAILED


def test_kept() -> None:
    """Of an endless reply the first lines are kept."""
    session = started(1)
    session.receive(b"550-" + b"x" * 2000 + b"\r\n" + b"550-y\r\n" * 100 + b"550 z\r\n" + b"503 no\r\n503 no\r\n")
    assert len(str(session.results[0])) < 1000


def test_quit() -> None:
    """QUIT is answered, and nothing after it is read."""
    session = greeted()
    session.quit()
    assert session.take() == b"QUIT\r\n"
    assert session.receive(b"221 bye\r\n") is Event.CLOSED
    assert session.receive(b"garbage") is None


def test_parameters() -> None:
    """Only what the peer offers is said."""
    full = greeted().extensions
    line = mail("a@x", full, size=5, eightbit=True, smtputf8=True, ret="HDRS", envid="q", requiretls=True)
    assert line == b"MAIL FROM:<a@x> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=q\r\n"
    assert rcpt("b@x", full, notify="NEVER", orcpt="rfc822;b@x") == b"RCPT TO:<b@x> NOTIFY=NEVER ORCPT=rfc822;b@x\r\n"
    bare = greeted(EHLO_BARE).extensions
    assert mail("", bare, size=5, eightbit=True, ret="HDRS") == b"MAIL FROM:<>\r\n"
    assert rcpt("b@x", bare, notify="NEVER", orcpt="rfc822;b@x") == b"RCPT TO:<b@x>\r\n"


WIRE = b"220 hi\r\n" + EHLO_ALL + b"250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n221 bye\r\n"


CUT_SHORT = [WIRE[:cut] + junk for cut in range(0, len(WIRE), 7) for junk in (b"\xff\r\n", b"354 x\r\n", b"421 x\r\n")]


@given(st.binary(max_size=60) | st.sampled_from(CUT_SHORT), st.lists(st.integers(min_value=0, max_value=300), max_size=10))
def test_total(octets: bytes, cuts: list[int]) -> None:
    """Whatever a peer says, in whatever pieces, there is an event or a wait, and never an exception."""
    session = ClientSession("us.example")
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    for start, end in pairwise(edges):
        event = session.receive(octets[start:end])
        if event is Event.GREETED:
            session.send(b"M\r\n", [b"R\r\n"])
        elif event is Event.GO_AHEAD:
            session.finish(b"x")
        elif event is Event.SETTLED:
            assert all(session.results)
            session.quit()
        assert (event is Event.FAILED) == (session.fault is not None) or session.phase is Phase.CLOSED
        session.take()
