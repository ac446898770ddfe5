"""Scanners in memory: what is said to them, and what their answers, their silence and their absence come to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from jetmail.mail.message import Message
from jetmail.rules.checks.clamav import Clamav, ClamavOptions
from jetmail.rules.checks.rspamd import Rspamd, RspamdOptions
from jetmail.rules.clamd import ScanError
from jetmail.rules.facts import Client
from jetmail.rules.verdict import NO_OPINION, Action
from tests.fakes import FakeDialer
from tests.rules.bound import begin, bound, found, verdict
from tests.rules.samples import NOW, facts, message, policy

SOCKET = ("/run/clamav/clamd.ctl", 0)


class FakeClamd(Protocol):
    """Reads one INSTREAM and says `answer`; None: nothing, ever. Closes at once when the answer is b''."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.buffer = b""
        self.chunks: list[bytes] = []
        self.is_done = False

    def connectionMade(self) -> None:
        if self.answer == b"":
            self.transport.loseConnection()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.startswith(b"zINSTREAM\0"):
            self.buffer = self.buffer[10:]
        while len(self.buffer) >= 4 and not self.is_done:
            size = int.from_bytes(self.buffer[:4], "big")
            if len(self.buffer) < 4 + size:
                return
            self.chunks.append(self.buffer[4 : 4 + size])
            self.buffer = self.buffer[4 + size :]
            if not size:
                self.is_done = True
                if self.answer:
                    self.transport.write(self.answer)  # type: ignore[union-attr]


class Clam:
    """The rule with a clamd that answers so; `peer` replaces it for the dialer."""

    def __init__(self, answer: bytes | None = b"stream: OK\0", peer: Any = "answers", **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.dialer = FakeDialer(self.clock, {SOCKET: (lambda: FakeClamd(answer)) if peer == "answers" else peer})
        self.rule = bound(Clamav("clamav", ClamavOptions(**{"enabled": True} | options)), clock=self.clock, dialer=self.dialer)

    def ask(self, content: Message) -> list[Any]:
        """Ask, and let everything flow."""
        got = begin(self.rule, facts(content), policy())
        self.dialer.pump()
        return got


def large(size: int, fails: bool = False) -> Message:
    """A message of which only the first part is in memory."""
    octets = b"Subject: x\r\n\r\n" + b"y" * (size - 14)

    def pieces(offset: int) -> Any:
        for start in range(offset, size, 50_000):
            yield octets[start : start + 50_000]
            if fails:
                raise OSError("the disk is gone")

    return Message(octets[:1000], size, lambda: octets, pieces)


def test_clean() -> None:
    """What clamd finds nothing in goes on without a word, and clamd has seen every octet of it once."""
    clam = Clam()
    assert clam.ask(message("hello", Subject="x")) == [NO_OPINION]
    assert b"".join(clam.dialer.made[0].chunks) == message("hello", Subject="x").octets
    assert clam.dialer.dialled == [SOCKET] and clam.clock.getDelayedCalls() == []


def test_virus() -> None:
    """What clamd names is refused as a virus, with the name as private detail."""
    (answer,) = Clam(b"stream: Win.Test.EICAR_HDB-1 FOUND\0").ask(message("x"))
    assert (answer.ruling.action, answer.ruling.reason) == (Action.REJECT, "virus")
    assert answer.findings[0].detail == "Win.Test.EICAR_HDB-1"


def test_large_message_is_streamed() -> None:
    """A message on the disk goes there piece by piece, the next when the last has left, and arrives whole."""
    clam = Clam()
    assert clam.ask(large(1_000_000)) == [NO_OPINION]
    assert sum(map(len, clam.dialer.made[0].chunks)) == 1_000_000
    assert clam.dialer.transports[0].largest_queue < 100_000


def test_back_pressure() -> None:
    """A clamd that does not read is not written to."""
    clam = Clam()
    got = begin(clam.rule, facts(large(1_000_000)), policy())
    clam.dialer.transports[0].window = 120_000
    clam.dialer.pump()
    assert not got and sum(map(len, clam.dialer.made[0].chunks)) < 300_000
    clam.dialer.transports[0].window = None
    clam.dialer.pump()
    assert got == [NO_OPINION]


@pytest.mark.parametrize("answer", [b"INSTREAM size limit exceeded. ERROR\0", b"", b"x" * 5000, b"nonsense\0"])
@pytest.mark.parametrize("if_down", ["defer", "skip"])
def test_no_use(answer: bytes, if_down: str) -> None:
    """Any other answer, or none: deferred as a fault of ours, or passed on with a finding, as configured."""
    (got,) = Clam(answer, if_down=if_down).ask(message("x"))
    if if_down == "defer":
        assert (got.ruling.action, got.ruling.reason) == (Action.DEFER, "fault")
    else:
        assert got.ruling is None and found(got) == {"VIRUS_NOT_SCANNED": 0.0}


@pytest.mark.parametrize("peer", [ConnectionRefusedError(), None, "silent"])
def test_nobody_there(peer: Any) -> None:
    """Refused, never connected, or connected and silent: the time is bounded and nothing stays behind."""
    clam = Clam(None, peer="answers" if peer == "silent" else peer, seconds=20.0)
    got = clam.ask(message("x"))
    clam.clock.advance(20.1)
    clam.dialer.pump()
    assert got[0].ruling.reason == "fault" and clam.clock.getDelayedCalls() == []
    assert all(transport.is_lost for transport in clam.dialer.transports)


def test_content_that_cannot_be_read() -> None:
    """A disk that fails while the message is read ends the scan at once, and clamd never sees an end of it."""
    clam = Clam()
    (got,) = clam.ask(large(200_000, fails=True))
    assert got.ruling.reason == "fault" and not clam.dialer.made[0].is_done


def test_too_large() -> None:
    """What is larger than the limit goes on unscanned, with a finding that says so."""
    clam = Clam(max_size=2000)
    (got,) = clam.ask(message("x" * 3000))
    assert found(got) == {"VIRUS_NOT_SCANNED": 0.0} and clam.dialer.dialled == []


def test_scans_take_turns() -> None:
    """No more scans at a time than configured; the next begins when one has ended."""
    clam = Clam(scans=1)
    first = begin(clam.rule, facts(message("1")), policy())
    second = begin(clam.rule, facts(message("2")), policy())
    assert len(clam.dialer.dialled) == 1
    clam.dialer.pump()
    assert first == second == [NO_OPINION] and len(clam.dialer.dialled) == 2


@pytest.mark.parametrize("socket", ["clamd:3310", "192.0.2.1", "192.0.2.1:0", ""])
def test_socket_option(socket: str) -> None:
    """A socket is a path or an address with a port."""
    with pytest.raises(ValueError, match="socket"):
        ClamavOptions(socket=socket)


class CheckV2(Resource):
    """rspamd's page: answers `answer` with `code`, keeps what it was told."""

    isLeaf = True

    def __init__(self, answer: Any, code: int = 200) -> None:
        super().__init__()
        self.answer = answer if isinstance(answer, bytes) or answer is None else json.dumps(answer).encode()
        self.code = code
        self.headers: dict[str, list[str]] = {}
        self.body = b""

    def render_POST(self, request: Any) -> Any:
        self.headers = {name.decode(): [value.decode() for value in values] for name, values in request.requestHeaders.getAllRawHeaders()}
        self.body = request.content.read()
        request.setResponseCode(self.code)
        return NOT_DONE_YET if self.answer is None else self.answer


def rspamd(page: CheckV2, clock: Clock | None = None, **options: Any) -> Any:
    """The rule over that page."""
    http = HTTPClient(agent=RequestTraversalAgent(page))
    return bound(Rspamd("rspamd", RspamdOptions(**{"enabled": True} | options)), http=http, clock=clock)


ANSWER = {"score": 9.0, "action": "add header", "symbols": {"BAYES_SPAM": {"score": 5.1}, "MIME_GOOD": {"score": -0.1}, "R_SPF_FAIL": {"score": 4.0}}}


def test_rspamd_score() -> None:
    """rspamd's score times the factor is ours, its weightiest symbols are the detail; it was told the envelope and every octet."""
    page = CheckV2(ANSWER)
    client = Client("192.0.2.7", helo="mail\r\nX: 1.example", tls="TLSv1.3", user="ann")
    content = large(300_000)
    answer = verdict(rspamd(page), facts(content)._replace(client=client), policy())
    assert found(answer) == {"RSPAMD": 4.5}
    assert answer.findings[0].detail == "9.00: BAYES_SPAM(5.1), R_SPF_FAIL(4), MIME_GOOD(-0.1)"
    assert len(page.body) == 300_000
    told = {name.lower(): value for name, value in page.headers.items()}
    assert (told["from"], told["rcpt"], told["ip"], told["helo"], told["user"]) == (
        ["alice@example.org"], ["bob@demo.test"], ["192.0.2.7"], ["mailX: 1.example"], ["ann"],
    )  # fmt: skip


@pytest.mark.parametrize(("score", "taken"), [(100.0, 10.0), (-50.0, -3.0), (2, 1.0), (1e999, 10.0)])
def test_rspamd_bounds(score: float, taken: float) -> None:
    """What is taken over stays within bounds."""
    assert found(verdict(rspamd(CheckV2({"score": score})), facts(message("x")), policy())) == {"RSPAMD": taken}


def test_rspamd_refusals() -> None:
    """What rspamd would reject counts all that may be taken over, whatever its score; what it skipped counts nothing."""
    refused = {"score": 0.0, "action": "reject", "is_skipped": True, "symbols": {"GTUBE": {"score": 0.0}}}
    assert found(verdict(rspamd(CheckV2(refused)), facts(message("x")), policy())) == {"RSPAMD": 10.0}
    assert verdict(rspamd(CheckV2({"score": 0.0, "is_skipped": True})), facts(message("x")), policy()) is NO_OPINION


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"not json", 200),
        ([], 200),
        ({"symbols": {}}, 200),
        ({"score": 1, "symbols": {"A": 1}}, 200),
        (ANSWER, 500),
        (b"[" * 100_000, 200),
        (b"x" * 2_000_000, 200),
    ],
)
def test_rspamd_nonsense(answer: Any, code: int) -> None:
    """An answer that is none, an error, or one too long is a failure of the rule, for its on_error to settle."""
    (got,) = begin(rspamd(CheckV2(answer, code)), facts(message("x")), policy())
    assert got.check(ScanError)


def test_rspamd_that_never_answers() -> None:
    """Cancelling the rule, which its time-out does, ends the asking."""
    rule = rspamd(CheckV2(None))
    asking: Deferred[Any] = Deferred.fromCoroutine(rule.judge(facts(message("x")), policy()))
    got: list[Any] = []
    asking.addBoth(got.append)
    assert not got
    asking.cancel()
    assert got


def test_scanners_are_off() -> None:
    """As shipped nobody is asked."""
    for rule in (Clamav("clamav", ClamavOptions()), Rspamd("rspamd", RspamdOptions())):
        assert rule.judge(facts(message("x")), policy()) is NO_OPINION
