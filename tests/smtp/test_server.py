"""The session under any octets, any split, and a receiver that is slow or says no."""

from __future__ import annotations

import re
import sys
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.mail.reply import Reply
from jetmail.smtp import answers, events
from jetmail.smtp.events import CLOSE, STARTTLS, Chunk, Event
from jetmail.smtp.options import SessionOptions
from jetmail.smtp.server import MAX_SKIPPED, MAX_UNREAD, REST_AT, Session
from tests.fakes import RecordingReceiver

OK = Reply(250, "2.0.0", "OK")
LINES = st.sampled_from(
    [
        b"EHLO client.test\r\n",
        b"HELO client.test\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"MAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\n",
        b"RCPT TO:<c@d.test>\r\n",
        b"RCPT TO:<no@d.test>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\na\r\nb\r",
        b"BDAT 3\r\n\nxy",
        b"BDAT 4 LAST\r\nab\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 70000\r\n",
        b"x: y\r\n",
        b"..\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"a\n",
        b"a\r",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"AUTH LOGIN\r\n",
        b"YQ==\r\n",
        b"*\r\n",
        b"QUIT\r\n",
        b"\0\xff\r\n",
        b"y" * 2100 + b"\r\n",
        b"AUTH PLAIN " + b"A" * 3000 + b"\r\n",
        b"A" * 13000 + b"\r\n",
    ]
)
MAIL = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
SCENES = st.sampled_from(
    [
        MAIL,
        MAIL + b"DATA\r\n",
        MAIL + b"DATA\r\nx: y\r\n\r\n..z\r\n.\r\n",
        MAIL + b"BDAT 5\r\na\r\nb\r",
        MAIL + b"BDAT 5\r\na\r\nb\rBDAT 3 LAST\r\n\nxy",
        MAIL + b"BDAT 4\r\na\nb\nBDAT 2 LAST\r\n\r\n",
        MAIL + b"BDAT 2900\r\n" + b"l" * 2900,
        MAIL + b"DATA\r\n" + b"long\r\n" * 600,
        b"BDAT 200 LAST\r\n" + b"k" * 200,
        b".\r\n",
        b"\r\n.\r\n",
        b"RSET\r\n",
    ]
)
STREAMS = st.lists(SCENES | SCENES | SCENES | LINES | st.binary(max_size=6), max_size=14).map(b"".join)
GREETED = st.sampled_from([b"", b"EHLO c\r\n", b"EHLO c\r\n", b"EHLO c\r\n" + MAIL + b"DATA\r\n", b"EHLO c\r\n" + MAIL])
OPTIONS = {
    kind: SessionOptions("mx.test", kind, max_size=3000, max_overrun=100_000, max_errors=8, max_junk=8)
    for kind in ("mx", "submission", "submissions")
}


_ENDS_A_TURN = re.compile(rb"DATA|EHLO|HELO", re.IGNORECASE)


def turns(stream: bytes) -> list[bytes]:
    """The stream in pieces, each up to where a client must wait for an answer before it goes on (RFC 2920 3.1)."""
    lines = stream.split(b"\n")
    ends = list(accumulate(len(line) + 1 for line in lines[:-1]))
    places = [0, *(end for line, end in zip(lines[:-1], ends, strict=True) if _ENDS_A_TURN.search(line)), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(places) if begin < end]


class Run:
    """Plays octets in pieces and keeps what came of it: events (content joined), replies."""

    def __init__(self, options: SessionOptions, pieces: list[bytes], answers_: dict[str, Any] | None = None) -> None:
        self.session = Session(options)
        self.receiver = RecordingReceiver(
            {
                "rcpt": lambda recipient: Reply(550, "5.1.1", "no") if recipient.address.local == "no" else OK,
                "auth": lambda *_: Reply(535, "5.7.8", "Authentication failed"),
                **(answers_ or {}),
            }
        )
        self.seen: list[Any] = []
        self.said = b""
        self.is_closed = False
        self.is_tls = False
        self.drive(self.session.start())
        for piece in pieces:
            if self.is_tls:
                break
            self.drive(self.session.receive(piece))

    def drive(self, event: Event | None) -> None:
        while event is not None:
            if isinstance(event, Chunk) and self.seen and isinstance(self.seen[-1], bytes):
                self.seen[-1] += event.octets
            else:
                self.seen.append(event.octets if isinstance(event, Chunk) else event)
            if event is CLOSE:
                self.is_closed = True
                break
            if event is STARTTLS:
                self.is_tls = True  # what follows is not ours to read
                break
            event = self.session.reply(event.ask(self.receiver))
        self.said += self.session.take()

    @property
    def kept(self) -> list[Any]:
        """`seen` without content that was given up afterwards: how much of it was handed on before is a matter of timing."""
        kept: list[Any] = []
        for index, each in enumerate(self.seen):
            if isinstance(each, bytes) and index + 1 < len(self.seen) and isinstance(self.seen[index + 1], events.Abort):
                continue
            kept.append(each)
        return kept


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(OPTIONS)), GREETED, STREAMS, st.lists(st.integers(0, 4000), max_size=10))
def test_any_octets_any_split(kind: str, start: bytes, stream: bytes, cuts: list[int]) -> None:
    """Never an exception, bounded memory, and the same events and replies as unsplit."""
    stream = start + stream
    options = OPTIONS[kind]
    places = {min(cut, len(stream)) for cut in cuts} | {0, len(stream)} | set(accumulate(map(len, turns(stream))))
    pieces = [stream[begin:end] for begin, end in pairwise(sorted(places))]
    whole, split = Run(options, turns(stream)), Run(options, pieces)
    octets = [bytes((octet,)) for octet in stream[:3000]]
    assert len(Run(options, octets).session._buffer) <= 12_288
    for run in (whole, split):
        assert len(run.session._buffer) - run.session._at <= 12_288 or run.is_tls
    if b"STARTTLS" in stream:
        return  # whether octets behind it came in the same segment is the very thing it depends on
    if whole.seen and isinstance(whole.seen[-1], bytes):
        return  # ended within content: what is held back differs
    assert split.kept == whole.kept
    assert split.said == whole.said
    rash = Run(options, [stream])
    assert rash.said == whole.said or (rash.is_closed and rash.said.endswith(answers.OUT_OF_STEP.wire))


@settings(max_examples=60, deadline=None)
@given(st.lists(SCENES | LINES, max_size=12).map(lambda parts: b"EHLO c\r\n" + b"".join(parts)), st.integers(1, 700))
def test_one_question_at_a_time(stream: bytes, size: int) -> None:
    """Octets that come while a question is open change nothing of the order: as if each answer had been given at once."""
    options = OPTIONS["mx"]
    if b"STARTTLS" in stream:
        return
    expected = Run(options, turns(stream))
    slow = Run(options, [])
    for turn in turns(stream):
        waiting: Event | None = None
        for piece in (turn[start : start + size] for start in range(0, len(turn), size)):
            event = slow.session.receive(piece)
            if waiting is not None:
                assert event is None
            else:
                waiting = event
        slow.drive(waiting)
    if not (expected.seen and isinstance(expected.seen[-1], bytes)):
        assert slow.said == expected.said
        assert slow.kept == expected.kept


def session(*lines: bytes, kind: str = "mx", **answers_: Any) -> Run:
    """A run of these lines, each ended by CRLF."""
    return Run(SessionOptions("mx.test", kind), [line + b"\r\n" for line in lines], answers_)


def codes(run: Run) -> list[int]:
    """The code of each reply line."""
    return [int(line[:3]) for line in run.said.split(b"\r\n") if line]


READY = (b"EHLO c", b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>")


def test_refused_at_the_door() -> None:
    """A negative answer to the first question is all the peer hears."""
    run = session(b"EHLO c", connected=Reply(554, "5.7.1", "Go away"))
    assert run.said == b"554 5.7.1 Go away\r\n"
    assert run.is_closed


def test_refusals_of_the_receiver_are_said_as_they_are() -> None:
    """HELO, MAIL, RCPT and DATA each pass on the receiver's words and let the client go on."""
    run = session(
        *READY,
        b"DATA",
        b"QUIT",
        helo=[Reply(450, "4.7.1", "not yet"), OK],
    )
    assert b"450 4.7.1 not yet" in run.said
    assert b"503 5.5.1 EHLO first" in run.said
    run = session(*READY, b"DATA", b"NOOP", data=Reply(451, "4.3.1", "disk full"))
    assert run.said.endswith(b"451 4.3.1 disk full\r\n250 2.0.0 OK\r\n")
    assert run.receiver.methods[-1] == "abort"


def test_bdat_refused_before_it_starts_is_skipped() -> None:
    """The octets of a refused BDAT are not commands, and later chunks hear the same until LAST."""
    run = session(*READY, b"BDAT 6\r\nQUIT", b"BDAT 6 LAST\r\nQUIT", b"NOOP", data=Reply(451, "4.3.1", "disk full"))
    assert run.said.endswith(b"451 4.3.1 disk full\r\n451 4.3.1 disk full\r\n250 2.0.0 OK\r\n")
    assert run.receiver.methods.count("abort") == 1 and not run.is_closed


def test_input_behind_data_and_greeting_is_not_heard() -> None:
    """RFC 2920 3.1: DATA, EHLO and HELO end what a client may send at once. What is behind them, content or command, ends the connection."""
    refused = b"554 5.5.0 Protocol synchronization"
    envelope = [b"EHLO c\r\n", b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"]
    for rash in (b"DATA\r\nx\r\n.\r\n", b"data\r\n.", b"EHLO d\r\nNOOP\r\n", b"HELO d\r\nN", b"DATA x\r\nMAIL FROM:<>\r\n"):
        run = Run(SessionOptions("mx.test"), [*envelope, rash, b"NOOP\r\n"])
        assert run.said.splitlines()[-1].startswith(refused) and run.is_closed and run.session.is_abrupt, rash
        assert run.receiver.methods[-1] == "abort" and "data" not in run.receiver.methods, rash
    run = Run(SessionOptions("mx.test"), [b"EHLO c\r\nMAIL FROM:<a@b.test>\r\n"])
    assert run.is_closed and "helo" not in run.receiver.methods
    again = envelope[1] + b"DATA\r\n"
    last = Run(SessionOptions("mx.test"), [envelope[0], envelope[1] + b"RSET\r\n" + again, b"x\r\n.\r\n" + again])
    assert codes(last)[-8:] == [250, 250, 250, 354, 250, 250, 250, 354] and not last.is_closed


def test_input_behind_data_while_it_is_asked_about() -> None:
    """The same of what comes before the answer is there; a negative answer is said as it is, and what came is no command then either."""
    for answer, said in ((OK, b"554 5.5.0 "), (Reply(451, "4.3.1", "disk full"), b"451 4.3.1 ")):
        run = session(*READY)
        event = run.session.receive(b"DATA\r\n")
        assert event is not None and run.session.receive(b"MAIL FROM:<e@b.test>\r\n") is None
        run.drive(run.session.reply(answer))
        assert run.said.splitlines()[-1].startswith(said) and run.is_closed and run.receiver.methods[-1] == "abort"


def test_help_names_what_is_offered() -> None:
    """HELP lists the commands of this listener as it is now: STARTTLS before TLS where there is any, AUTH where users sign in and only under TLS."""

    def helped(options: SessionOptions) -> set[str]:
        run = Run(options, [b"HELP\r\n"])
        said = run.said.decode().splitlines()[-2:]
        assert [line[:4] for line in said] == ["214-", "214 "]
        return set(said[0].split()[1:])

    common = set("HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT".split())
    assert helped(SessionOptions("mx.test")) == common | {"STARTTLS"}
    assert helped(SessionOptions("mx.test", tls_available=False)) == common
    assert helped(SessionOptions("mx.test", "submission")) == common | {"STARTTLS"}
    assert helped(SessionOptions("mx.test", "submissions")) == common | {"AUTH"}


def test_421_of_the_receiver_closes() -> None:
    """RFC 5321 3.8: 421 to any command is the last reply."""
    for method in ("helo", "mail", "rcpt", "data", "end"):
        run = session(*READY, b"DATA", b".", **{method: Reply(421, "4.7.0", "slow down")})
        assert run.said.endswith(b"421 4.7.0 slow down\r\n"), method
        assert run.is_closed


def test_content_refused_while_it_comes() -> None:
    """A receiver that cannot keep a chunk is let go at once, the rest is thrown away, and its words are said at the end."""
    refusal = Reply(452, "4.3.1", "no space")
    run = session(*READY, b"DATA", b"one", b"two", b".", b"NOOP", chunk=lambda octets: refusal if octets == b"one" else None)
    assert run.said.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n452 4.3.1 no space\r\n250 2.0.0 OK\r\n")
    assert run.receiver.methods[-2:] == ["chunk", "abort"]
    run = Run(SessionOptions("mx.test"), turns(b"\r\n".join(READY) + b"\r\nDATA\r\nx\r\n.\r\nNOOP\r\n"), {"chunk": refusal})
    assert run.said.endswith(b"452 4.3.1 no space\r\n250 2.0.0 OK\r\n")
    assert "end" not in run.receiver.methods and run.receiver.methods[-1] == "abort"


def test_abort_is_said_exactly_when_a_transaction_was_open() -> None:
    """RSET, EHLO, QUIT and STARTTLS end an open transaction with abort, and say nothing of one that is not."""
    for line in (b"RSET", b"EHLO d", b"QUIT", b"STARTTLS"):
        assert session(*READY, line).receiver.methods.count("abort") == 1
        assert session(b"EHLO c", line).receiver.methods.count("abort") == 0
    assert "abort" not in session(*READY, b"DATA", b"x", b".", b"RSET", b"QUIT").receiver.methods


def test_line_of_auth_may_be_long() -> None:
    """RFC 4954 4: an AUTH line of 12,288 octets is read, a longer one refused without being kept."""
    ready = (b"EHLO c",)
    assert codes(session(*ready, b"AUTH PLAIN " + b"A" * 12_275, kind="submissions"))[-1] == 501
    assert b"500 5.5.2 Line too long" in session(*ready, b"AUTH PLAIN " + b"A" * 12_276, kind="submissions").said
    run = session(*ready, b"AUTH PLAIN", b"A" * 13_000, b"NOOP", kind="submissions")
    assert run.said.endswith(b"500 5.5.6 Authentication exchange line is too long\r\n250 2.0.0 OK\r\n")


def test_endless_line() -> None:
    """A command line without end is forgotten as it comes, and ends the connection after a while."""
    run = Run(SessionOptions("mx.test"), [])
    for _ in range(MAX_SKIPPED // 4096 + 1):
        run.drive(run.session.receive(b"x" * 4096))
        assert len(run.session._buffer) <= 4096
    assert run.is_closed and run.said.endswith(b"500 5.5.2 Line too long\r\n")


def test_flood_while_a_question_is_open() -> None:
    """The transport is asked to rest; a peer whose octets come anyway is cut off after the answer, with bounded memory."""
    run = Run(SessionOptions("mx.test"), [])
    event = run.session.receive(b"EHLO c\r\n")
    assert run.session.is_waiting and run.session.wants_more
    assert run.session.receive(b"x" * REST_AT) is None
    assert not run.session.wants_more
    for _ in range(40):
        run.session.receive(b"x" * 65_536)
    assert len(run.session._buffer) <= MAX_UNREAD
    run.drive(event)
    assert run.is_closed and run.said.endswith(b"421 4.7.0 Too much input without waiting for replies\r\n")


def test_reply_out_of_turn_is_the_shells_fault() -> None:
    """An answer without a question is a broken promise."""
    run = session(b"EHLO c")
    with pytest.raises(RuntimeError):
        run.session.reply(OK)


def test_drain() -> None:
    """A running transaction may end; then, or at once when there is none, 421 is said."""
    run = session(b"EHLO c")
    run.drive(run.session.drain())
    assert run.said.endswith(b"421 4.3.2 Service shutting down, try again later\r\n") and run.is_closed
    run = session(*READY)
    run.drive(run.session.drain())
    assert not run.is_closed
    run.drive(run.session.receive(b"DATA\r\n"))
    run.drive(run.session.receive(b"x\r\n.\r\nNOOP\r\n"))
    assert run.said.endswith(b"250 2.0.0 OK\r\n421 4.3.2 Service shutting down, try again later\r\n") and run.is_closed
    assert run.receiver.messages == [b"x\r\n"]


def test_hang_up() -> None:
    """A time-out says its reply, tells the receiver, and never speaks out of turn."""
    run = session(*READY)
    run.drive(run.session.hang_up(answers.TIMEOUT))
    assert run.said.endswith(b"421 4.4.2 Timeout, closing connection\r\n")
    assert run.receiver.methods[-1] == "abort"
    assert run.session.hang_up(answers.TIMEOUT) is None
    waiting = Run(SessionOptions("mx.test"), [])
    waiting.session.receive(b"EHLO c\r\n")
    assert waiting.session.hang_up(answers.TIMEOUT) is None


def test_too_many_refused_recipients() -> None:
    """Who tries names is cut off."""
    options = SessionOptions("mx.test", max_refused=2)
    run = Run(options, turns(b"EHLO c\r\nMAIL FROM:<a@b.test>\r\n" + b"RCPT TO:<no@d.test>\r\n" * 4))
    assert codes(run)[-3:] == [550, 550, 421] and run.is_closed


def test_messages_and_state_of_a_connection() -> None:
    """Several messages go over one connection; what was decided on is counted, an open one is known."""
    run = session(*READY)
    assert run.session.in_transaction and not run.session.in_content and not run.session.is_tls
    run.drive(run.session.receive(b"DATA\r\n"))
    assert run.session.in_content
    run.drive(run.session.receive(b"a\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nBDAT 3 LAST\r\nb\r\nQUIT\r\n"))
    assert run.session.messages == 2 and not run.session.in_transaction
    assert run.receiver.messages == [b"a\r\n", b"b\r\n"]


def test_session_owes_nothing_once_the_end_is_asked() -> None:
    """While the receiver decides on complete content, a lost connection must not abort it."""
    run = session(*READY, b"DATA")
    event = run.session.receive(b".\r\n")
    assert event is events.END and not run.session.in_transaction


def test_options_refuse_what_no_server_may() -> None:
    """Limits below the RFC's minima, and unknown kinds, are refused."""
    for wrong in ({"kind": "imap"}, {"max_recipients": 99}, {"max_text_line": 999}, {"max_command_line": 511}):
        with pytest.raises(ValueError):
            SessionOptions("mx.test", **wrong)  # type: ignore[arg-type]


def test_password_is_not_shown() -> None:
    """Neither events nor credentials print it."""
    assert "secret" not in repr(events.Auth("PLAIN", "user", "secret"))


def test_idle_session_is_small() -> None:
    """An idle session is one object without a dictionary."""
    run = session(b"EHLO c")
    assert not hasattr(run.session, "__dict__")
    assert sys.getsizeof(run.session) < 400


def test_why_content_was_refused_is_told() -> None:
    """The receiver learns with the end of the transaction what was wrong with the content, and of a transaction that merely ended nothing."""
    for content, refusal in ((b"a\nb\r\n.\r\n", answers.BARE_CONTENT), (b"x\r\n" * 2_000 + b".\r\n", answers.TOO_BIG), (b"a", None)):
        run = Run(OPTIONS["mx"], turns(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n" + content))
        if refusal is None:
            assert run.session.in_transaction and not any(isinstance(each, events.Abort) for each in run.seen)
        else:
            assert [each.refusal for each in run.seen if isinstance(each, events.Abort)] == [refusal]
