"""The server side of one SMTP connection without I/O: octets in, events and octets out (RFC 5321 and the extensions EHLO names).

    session = Session(options)
    event = session.start()                  # Connected: may the peer speak?
    event = session.receive(octets)          # None, or the next Event
    event = session.reply(answer)            # the answer to the event before; the next event, or None: wait for octets
    octets = session.take()                  # what is to be written by now

Promises. One event is outstanding at a time: what arrives meanwhile waits, so answers never overtake one another and pipelining is safe (RFC 2920);
`wants_more` says when the transport should rest. What a peer brings about that waits where it must does not depend on how its octets were cut; octets
that are there behind DATA before 354 is said, or behind EHLO and HELO (RFC 2920 3.1), end the connection with 554. No input raises; memory is bounded
by one command line, the segment at hand and 1 MiB of unread input. Content is handed on as it comes, dots removed, with CRLF line ends only: a bare
CR or LF in a command or in DATA ends the connection, in BDAT the transaction (RFC 5321 2.3.8). Octets that follow STARTTLS in clear end the
connection without a word, and nothing said before TLS is remembered after it (RFC 3207 4.2). A password is never taken in clear (RFC 4954 4).

Positive answers to MAIL, RCPT, AUTH and End are said as they are given. To Connected, Helo and Data they only mean "go on": banner, EHLO lines and
354 are made here. Any answer 421 is the last reply. Negative answers are said as they are, always.

Raises RuntimeError when `reply` is called with no event outstanding, which is the caller's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jetmail.mail.reply import Reply
from jetmail.smtp import answers
from jetmail.smtp.content import BdatContent
from jetmail.smtp.conversation import Phase
from jetmail.smtp.events import CLOSE, CONNECTED, END, STARTTLS, Abort, Auth, Chunk, Connected, Data, End, Event, Helo, Idle, Mail, Rcpt, StartTls
from jetmail.smtp.verbs import Verbs

REST_AT = 65_536  # unread octets while an answer is awaited: ask the transport to rest
MAX_UNREAD = 1_048_576  # a shell that does not heed wants_more, or a peer that floods: the connection ends
MAX_SKIPPED = 1_048_576  # octets of one command line that is too long anyway


class Session(Verbs):
    """One connection's conversation. See the module."""

    __slots__ = ()

    def start(self) -> Event:
        """The connection is there."""
        self._pending = CONNECTED
        return CONNECTED

    def receive(self, octets: bytes) -> Event | None:
        """Octets have come in: the next event, or None while one is outstanding or none is complete."""
        if self.phase is Phase.CLOSED:
            return None
        left = len(self._buffer) - self._at
        if self._pending is not None and left + len(octets) > MAX_UNREAD:
            self._flooded = True
            return None
        self._buffer = self._buffer[self._at :] + octets if left else octets
        self._at = 0
        return self._advance() if self._pending is None else None

    def reply(self, answer: Reply | None) -> Event | None:
        """Answer the outstanding event. The next event, or None: more octets are needed."""
        event, self._pending = self._pending, None
        if event is None:
            raise RuntimeError("no event is outstanding")
        following = _SETTLE[type(event)](self, event, answer)
        return self._emit(following) if following is not None else self._advance()

    def take(self) -> bytes:
        """The octets to write, once."""
        octets, self._out = self._out, b""
        return octets

    def drain(self) -> Event | None:
        """The service is stopping: a running transaction may end, then 421 is said."""
        self._draining = True
        return self._advance() if self._pending is None else None

    def hang_up(self, reply: Reply) -> Event | None:
        """Say `reply` now and end. Only while no event is outstanding: a reply out of turn would be taken for the answer."""
        if self._pending is not None or self.phase is Phase.CLOSED:
            return None
        return self._emit(self._close(reply))

    @property
    def wants_more(self) -> bool:
        """False: enough input waits unread."""
        return self._pending is None or len(self._buffer) - self._at < REST_AT

    @property
    def is_waiting(self) -> bool:
        """An event is outstanding."""
        return self._pending is not None

    @property
    def in_transaction(self) -> bool:
        """MAIL was accepted, and the receiver is still owed `end` or `abort`."""
        return self._sender is not None and self._pending is not END

    @property
    def messages(self) -> int:
        """How many contents were decided on, for better or worse."""
        return self._messages

    @property
    def in_content(self) -> bool:
        """The next octets are content."""
        return Phase.DATA <= self.phase <= Phase.SKIP

    @property
    def is_tls(self) -> bool:
        """Spoken under TLS."""
        return self._tls

    def _emit(self, event: Event) -> Event:
        if event is STARTTLS:
            if self._at < len(self._buffer) or self._flooded:
                # RFC 3207 6 and CVE-2011-0411: what was injected in clear must not run under TLS.
                return self._close(None)
            self._out += answers.READY_FOR_TLS.wire
        if event is not CLOSE:
            self._pending = event
        return event

    def _advance(self) -> Event | None:
        if self._next is not None:
            event, self._next = self._next, None
            return self._emit(event)
        if self._flooded and self.phase is not Phase.CLOSED:
            return self._emit(self._close(answers.TOO_MUCH_INPUT))
        while True:
            phase = self.phase
            if phase <= Phase.AUTH:
                if self._draining and self._sender is None:
                    return self._emit(self._close(answers.SHUTTING_DOWN))
                buffer, at = self._buffer, self._at
                end = buffer.find(b"\n", at) + 1
                if end:
                    self._at = end
                    following = self._line(buffer[at:end])
                elif len(buffer) - at > self._options.max_command_line or self._skipped:
                    following = self._skip_line()
                    if following is None:
                        return None
                else:
                    return None
            elif phase is Phase.CLOSED:
                return None
            elif phase is Phase.BDAT and not self._content.left:  # type: ignore[union-attr]
                following = self._chunk_complete()
            elif phase is Phase.SKIP and not self._skip:
                self.phase = Phase.COMMAND
                following = self._error(self._skip_reply or answers.MAIL_FIRST)
            elif self._at >= len(self._buffer):
                return None
            elif phase is Phase.DATA:
                following = self._read_data()
            elif phase is Phase.BDAT:
                following = self._read_chunk()
            else:
                taken = min(self._skip, len(self._buffer) - self._at)
                self._skip -= taken
                self._at += taken
                continue
            if following is not None:
                return self._emit(following)

    # Command lines.

    def _line(self, line: bytes) -> Event | None:
        size = len(line)
        if self._skipped or (size > self._options.max_command_line and not (size <= self._options.max_auth_line and self._is_auth(line[:5]))):
            return self._overlong(size)
        if line.find(b"\r") != size - 2 or size < 2:
            return self._close(answers.BARE_COMMAND)
        if self.phase is Phase.AUTH:
            return self._respond(line[:-2])
        if b"\0" in line:
            return self._error(answers.NUL)
        return self._command(line[:-2])

    def _is_auth(self, start: bytes) -> bool:
        return self.phase is Phase.AUTH or start.upper() == b"AUTH "

    def _overlong(self, size: int) -> Event | None:
        size += self._skipped
        self._skipped = 0
        if size > MAX_SKIPPED:
            return self._close(answers.LINE_TOO_LONG)
        if self.phase is Phase.AUTH:
            self._end_exchange()
            return self._error(answers.AUTH_TOO_LONG)
        return self._error(answers.LINE_TOO_LONG)

    def _skip_line(self) -> Event | None:
        """More octets than a command may have, and no end of line: forget them, unless they may become a long line of AUTH."""
        size = len(self._buffer) - self._at
        if not self._skipped and size <= self._options.max_auth_line and self._is_auth(self._buffer[self._at : self._at + 5]):
            return None
        self._skipped += size
        self._buffer = b""
        self._at = 0
        return self._close(answers.LINE_TOO_LONG) if self._skipped > MAX_SKIPPED else None

    # Content.

    def _read_data(self) -> Event | None:
        content: Any = self._content
        buffer, at = self._buffer, self._at
        piece, end = content.read(buffer[at:] if at else buffer)
        if content.is_fatal:
            return self._close(content.refusal, content.refusal)
        if end < 0:
            self._buffer = b""
            self._at = 0
            return Chunk(piece) if piece else self._forsake(content.refusal)
        self._at = at + end
        self.phase = Phase.COMMAND
        if content.refusal is not None:
            return self._refuse_content(content.refusal)
        if not piece:
            return END
        self._next = END
        return Chunk(piece)

    def _read_chunk(self) -> Event | None:
        content: Any = self._content
        at = self._at
        self._at = end = min(at + content.left, len(self._buffer))
        piece = content.read(self._buffer[at:end])
        return Chunk(piece) if piece else self._forsake(content.refusal)

    def _chunk_complete(self) -> Event | None:
        content: Any = self._content
        self.phase = Phase.COMMAND
        final = content.finish() if content.last else b""
        if content.refusal is not None:
            self._chunk_refusal = None if content.last else content.refusal
            return self._refuse_content(content.refusal)
        if not content.last:
            self._out += b"250 2.0.0 %d octets received\r\n" % content.size
            return None
        if not final:
            return END
        self._next = END
        return Chunk(final)

    # What an answer changes.

    def _connected(self, event: Event, answer: Any) -> Event | None:
        if not answer.is_positive:
            return self._close(answer)
        self._out += self._options.greeting
        return None

    def _greeted(self, event: Any, answer: Any) -> Event | None:
        if not answer.is_positive:
            return self._answer(answer)
        self._has_helo = True
        options = self._options
        if event.extended:
            self._out += options.ehlo_in_tls if self._tls else options.ehlo_in_clear
        else:
            self._out += options.helo
        return None

    def _sender_judged(self, event: Any, answer: Any) -> Event | None:
        if not answer.is_positive:
            return self._refusal(answer)
        self._sender = event.sender
        self._out += answer.wire
        return None

    def _recipient_judged(self, event: Event, answer: Any) -> Event | None:
        if not answer.is_positive:
            return self._refusal(answer)
        self._recipients += 1
        self._out += answer.wire
        return None

    def _data_judged(self, event: Event, answer: Any) -> Event | None:
        content = self._content
        if self._at < len(self._buffer) and not isinstance(content, BdatContent):  # came while we thought about it
            return self._close(answers.OUT_OF_STEP, answers.OUT_OF_STEP) if answer.is_positive else self._close(answer)
        if answer.is_positive:
            if not isinstance(content, BdatContent):
                self._out += answers.GO_AHEAD.wire
                self.phase = Phase.DATA
            return None
        if answer.code != 421 and isinstance(content, BdatContent):
            self._skip_chunk(content.left, content.last, answer)
            return self._give_up()
        return self._answer(answer) or self._give_up()

    def _chunk_taken(self, event: Event, answer: Reply | None) -> Event | None:
        if answer is None or answer.is_positive:
            return None
        if self._next is END:
            self._next = None
            return self._refuse_content(answer)
        if self._content is not None:
            self._content.refuse(answer)
        return self._forsake(answer)

    def _ended(self, event: Event, answer: Any) -> Event | None:
        self._sender = None
        self._content = None
        self._recipients = 0
        self._messages += 1
        if answer.is_positive:
            self._junk = 0
        return self._answer(answer)

    def _aborted(self, event: Event, answer: Reply | None) -> Event | None:
        return None

    def _authenticated(self, event: Any, answer: Any) -> Event | None:
        if answer.is_positive:
            self.username = event.username
            self._out += answer.wire
            return None
        return self._auth_failed(answer) if answer.is_permanent else self._answer(answer)

    def _tls_started(self, event: Event, answer: Reply | None) -> Event | None:
        # RFC 3207 4.2: forget everything, the EHLO too.
        self._tls = True
        self._has_helo = False
        self.username = None
        self._chunk_refusal = None
        return None


_SETTLE: dict[type[Event], Callable[[Session, Any, Any], Event | None]] = {
    Connected: Session._connected,
    Helo: Session._greeted,
    Mail: Session._sender_judged,
    Rcpt: Session._recipient_judged,
    Data: Session._data_judged,
    Chunk: Session._chunk_taken,
    End: Session._ended,
    Abort: Session._aborted,
    Auth: Session._authenticated,
    Idle: Session._go_on,
    StartTls: Session._tls_started,
}
