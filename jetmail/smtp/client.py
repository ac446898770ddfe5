"""The client side of one SMTP connection, without I/O or clock: octets in, events and octets out (RFC 5321, 2920, 3030, 3207, 4954).

The shell gives what it read to `receive`, writes what `take` returns and acts on the Event. `phase` names what is being waited for, so the shell
knows which time-out runs. Commands are given in phase IDLE only: `starttls`, `auth`, `send`, `quit`; `feed` and `finish` after GO_AHEAD.

Promises
- Total over any octets in any pieces: never an exception, never more memory than one reply (replies.py has the limits); the result is the same
  however the octets were cut, except that replies to a command not yet sent are a fault: a peer that runs ahead, or someone in the middle who does.
- With PIPELINING a transaction is RSET (when one is owed), MAIL, every RCPT and DATA in one piece. When every recipient was refused and the peer says
  354 all the same, a lone dot is sent and its answer ignored (RFC 2920 3.1).
- What the peer said before TLS is forgotten after it; octets that came in clear behind the 220 of STARTTLS end the conversation (CVE-2011-0411).
- `results` has one Reply per recipient, in order: the recipient's own refusal, or the answer to MAIL, DATA or the content.
- `probe` asks about recipients and sends nothing: MAIL and RCPT, then SETTLED; a `results` of None is a recipient the peer would take.
- A 421 ends the conversation wherever it comes (RFC 5321 3.8): as a fault before the content, as the answer during or after it.
- DATA is the rule. BDAT is used when the session was told to and the peer offers CHUNKING: it saves the dots, but is what fewer peers have seen.
  Both send CRLF line ends only (stuffing.py).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence

from jetmail.mail.reply import Reply
from jetmail.smtp.extensions import Extensions, parse
from jetmail.smtp.phases import Event, Fault, FaultKind, Phase
from jetmail.smtp.replies import GarbledReply, ReplyReader
from jetmail.smtp.stuffing import LineEnds, Stuffer

MAX_KEPT_LINES = 8  # of a reply, in outcomes, logs and bounces
MAX_KEPT_LINE = 510


class ClientSession:
    """One connection's conversation. `hostname` is what EHLO says, an ASCII name or literal."""

    __slots__ = (
        "_accepted", "_bdat", "_body", "_chunks", "_hostname", "_is_probe", "_mail", "_mail_refusal", "_out", "_owes_rset", "_rcpts", "_reader",
        "_secret", "_turn", "answers", "extensions", "fault", "is_over", "phase", "results",
        "verdict",
    )  # fmt: skip

    def __init__(self, hostname: str, bdat: bool = False) -> None:
        self.phase = Phase.BANNER
        self.extensions = Extensions()
        self.fault: Fault | None = None
        self.answers = 0  # whole replies so far: what counts as progress
        self.is_over = False  # SETTLED, but this connection is not to be used again
        self.results: list[Reply | None] = []
        self.verdict: Reply | None = None  # the one of `results` that is no recipient's own: what was said to MAIL, DATA or the content
        self._hostname = hostname.encode("ascii")
        self._bdat = bdat
        self._reader = ReplyReader()
        self._out = b""
        self._mail = b""
        self._rcpts: Sequence[bytes] = ()
        self._turn = 0  # the recipient whose answer is next
        self._accepted = 0
        self._mail_refusal: Reply | None = None
        self._owes_rset = False
        self._is_probe = False
        self._body: Stuffer | LineEnds | None = None
        self._chunks = 0  # BDAT commands without an answer
        self._secret: list[bytes] = []  # what AUTH LOGIN still has to say

    # What the shell does.

    def take(self) -> bytes:
        """The octets to write now."""
        out = self._out
        self._out = b""
        return out

    def receive(self, octets: bytes) -> Event | None:
        """What the peer sent. At most one event; None when more has to come."""
        if self.phase is Phase.CLOSED:
            return None
        reader = self._reader
        reader.add(octets)
        try:
            while (found := reader.next()) is not None:
                self.answers += 1
                event = _HANDLERS[self.phase](self, *found)
                if event is None:
                    continue
                if not reader.is_empty and event not in (Event.FAILED, Event.CLOSED):
                    # A peer may announce its leaving behind the last answer; anything else ahead of time is out of step.
                    if event is not Event.SETTLED:
                        return self._out_of_step()
                    self.is_over = True
                return event
        except GarbledReply as error:
            return self._broken(str(error))
        return None

    def starttls(self) -> None:
        self.phase = Phase.STARTTLS
        self._out += b"STARTTLS\r\n"

    def tls_started(self) -> None:
        """The handshake is done. RFC 3207 4.2: what was learned before it is forgotten."""
        self.extensions = Extensions()
        self._say_ehlo()

    def auth(self, username: str, password: str) -> Event | None:
        """PLAIN where offered (RFC 4616), else LOGIN. FAILED at once when the peer offers neither."""
        name, secret = username.encode(), password.encode()
        self.phase = Phase.AUTH
        if "PLAIN" in self.extensions.auth:
            self._secret = []
            self._out += b"AUTH PLAIN " + b64encode(b"\0" + name + b"\0" + secret) + b"\r\n"
        elif "LOGIN" in self.extensions.auth:
            self._secret = [b64encode(name) + b"\r\n", b64encode(secret) + b"\r\n"]
            self._out += b"AUTH LOGIN\r\n"
        else:
            return self._fail(FaultKind.AUTH, Reply(454, "4.7.0", "the peer offers neither AUTH PLAIN nor AUTH LOGIN"))
        return None

    def probe(self, mail: bytes, rcpts: Sequence[bytes]) -> None:
        """`send` that ends before DATA."""
        self.send(mail, rcpts, is_probe=True)

    def send(self, mail: bytes, rcpts: Sequence[bytes], *, is_probe: bool = False) -> None:
        """Start a transaction: whole command lines (commands.py), at least one recipient."""
        self._is_probe = is_probe
        self._mail = mail
        self._rcpts = rcpts
        self.results = [None] * len(rcpts)
        self._turn = self._accepted = 0
        self._mail_refusal = None
        self._body = None
        self.phase = Phase.RSET if self._owes_rset else Phase.MAIL
        if self.extensions.pipelining:
            data = b"" if self._uses_bdat or is_probe else b"DATA\r\n"
            self._out += (b"RSET\r\n" if self._owes_rset else b"") + mail + b"".join(rcpts) + data
        else:
            self._out += b"RSET\r\n" if self._owes_rset else mail

    def feed(self, octets: bytes) -> None:
        """Some of the content."""
        body = self._content()
        octets = body.feed(octets)
        if octets and isinstance(body, LineEnds):
            self._chunks += 1
            self._out += b"BDAT %d\r\n" % len(octets)
        self._out += octets

    def finish(self, octets: bytes = b"") -> None:
        """That was all of the content, after these `octets`."""
        body = self._content()
        rest = body.feed(octets) + body.finish()
        if isinstance(body, LineEnds):
            self._chunks += 1
            self._out += b"BDAT %d LAST\r\n" % len(rest)
        self._out += rest
        self._body = None
        self.phase = Phase.FINAL

    def quit(self) -> None:
        self.phase = Phase.QUIT
        self._out += b"QUIT\r\n"

    @property
    def refused_sender(self) -> bool:
        """The last transaction ended at MAIL: its results are not about its recipients."""
        return self._mail_refusal is not None

    # What the peer answered, by phase.

    def _on_banner(self, code: int, lines: list[str]) -> Event | None:
        if code == 220:
            return self._next(self._say_ehlo)
        return self._refused_greeting(code, lines)

    def _on_ehlo(self, code: int, lines: list[str]) -> Event | None:
        if code == 250:
            self.extensions = parse(lines)
            self.phase = Phase.IDLE
            return Event.GREETED
        if code >= 500 and code != 521:  # RFC 5321 3.2: a peer that knows no EHLO
            return self._next(self._say_helo)
        return self._refused_greeting(code, lines)

    def _on_helo(self, code: int, lines: list[str]) -> Event | None:
        if code == 250:
            self.extensions = Extensions()
            self.phase = Phase.IDLE
            return Event.GREETED
        return self._refused_greeting(code, lines)

    def _on_starttls(self, code: int, lines: list[str]) -> Event | None:
        if code == 421:
            return self._closing(code, lines)
        if code != 220:
            self.phase = Phase.IDLE
            return Event.TLS_REFUSED
        if not self._reader.is_empty:
            return self._fail(FaultKind.PROTOCOL, Reply(451, "4.7.0", "the peer, or someone before it, sent octets in clear behind STARTTLS"))
        self.phase = Phase.TLS
        return Event.TLS_READY

    def _on_auth(self, code: int, lines: list[str]) -> Event | None:
        if code == 235:
            self._secret = []
            self.phase = Phase.IDLE
            return Event.AUTHENTICATED
        if code == 334 and self._secret:
            return self._next(lambda: self._say(self._secret.pop(0), Phase.AUTH))
        return self._fail(FaultKind.CLOSING if code == 421 else FaultKind.AUTH, _reply(code, lines))

    def _on_rset(self, code: int, lines: list[str]) -> Event | None:
        if code == 421:
            return self._closing(code, lines)
        if code >= 300:
            return self._broken("RSET was refused")
        self._owes_rset = False
        if self.extensions.pipelining:
            self.phase = Phase.MAIL
            return None
        return self._next(lambda: self._say(self._mail, Phase.MAIL))

    def _on_mail(self, code: int, lines: list[str]) -> Event | None:
        if code < 300:
            self._owes_rset = True  # until the transaction ends well
        elif code == 421:
            return self._closing(code, lines)
        elif code < 400:
            return self._broken("a 3xx answer to MAIL")
        else:
            self._mail_refusal = _reply(code, lines)
            if not self.extensions.pipelining:
                return self._settle(self._mail_refusal)
        if self.extensions.pipelining:
            self.phase = Phase.RCPT
            return None
        return self._next(lambda: self._say(self._rcpts[0], Phase.RCPT))

    def _on_rcpt(self, code: int, lines: list[str]) -> Event | None:
        if code < 300:
            self._accepted += 1
        elif code == 421:
            return self._closing(code, lines)
        elif code < 400:
            return self._broken("a 3xx answer to RCPT")
        else:
            self.results[self._turn] = _reply(code, lines)
        self._turn += 1
        pipelining = self.extensions.pipelining
        if self._turn < len(self._rcpts):
            return None if pipelining else self._next(lambda: self._say(self._rcpts[self._turn], Phase.RCPT))
        if self._is_probe:
            return self._settle(self._mail_refusal)
        if self._uses_bdat:
            return self._go_ahead() if self._accepted and self._mail_refusal is None else self._settle(self._mail_refusal)
        if pipelining:
            self.phase = Phase.DATA
            return None
        return self._next(lambda: self._say(b"DATA\r\n", Phase.DATA)) if self._accepted else self._settle(None)

    def _on_data(self, code: int, lines: list[str]) -> Event | None:
        if code == 354:
            if self._accepted and self._mail_refusal is None:
                return self._go_ahead()
            return self._next(lambda: self._say(b".\r\n", Phase.EMPTY))
        if code == 421:
            return self._closing(code, lines)
        if code < 400:
            return self._broken("neither 354 nor a refusal in answer to DATA")
        return self._settle(self._mail_refusal or _reply(code, lines))

    def _on_content(self, code: int, lines: list[str]) -> Event | None:
        if self._chunks and code < 300:
            self._chunks -= 1
            return None
        if code < 400:
            return self._broken("an answer before the content was sent")
        self.is_over = True  # the peer waits for the rest of the content, or is gone
        return self._settle(_reply(code, lines))

    def _on_final(self, code: int, lines: list[str]) -> Event | None:
        if self._chunks > 1:
            if code < 300:
                self._chunks -= 1
                return None
            self.is_over = True  # the answers to the chunks behind this one are still to come
        if 300 <= code < 400:
            return self._broken("a 3xx answer to the content")
        if code == 421:
            self.is_over = True
        elif code < 300:
            self._owes_rset = False
        return self._settle(_reply(code, lines))

    def _on_empty(self, code: int, lines: list[str]) -> Event | None:
        self.is_over = code == 421
        return self._settle(self._mail_refusal)

    def _on_idle(self, code: int, lines: list[str]) -> Event | None:
        return self._closing(code, lines) if code == 421 else self._out_of_step()

    def _on_quit(self, code: int, lines: list[str]) -> Event | None:
        self.phase = Phase.CLOSED
        return Event.CLOSED

    def _on_tls(self, code: int, lines: list[str]) -> Event | None:
        return self._out_of_step()

    # Steps.

    @property
    def _uses_bdat(self) -> bool:
        return self._bdat and self.extensions.chunking

    def _content(self) -> Stuffer | LineEnds:
        if self._body is None:
            self._body = LineEnds() if self._uses_bdat else Stuffer()
        return self._body

    def _go_ahead(self) -> Event:
        self.phase = Phase.CONTENT
        self._chunks = 0
        return Event.GO_AHEAD

    def _say(self, line: bytes, phase: Phase) -> None:
        self._out += line
        self.phase = phase

    def _say_ehlo(self) -> None:
        self._say(b"EHLO " + self._hostname + b"\r\n", Phase.EHLO)

    def _say_helo(self) -> None:
        self._say(b"HELO " + self._hostname + b"\r\n", Phase.HELO)

    def _next(self, say: Callable[[], None]) -> Event | None:
        """Say the next command, unless the peer has answered it already."""
        if not self._reader.is_empty:
            return self._out_of_step()
        say()
        return None

    def _settle(self, reply: Reply | None) -> Event:
        """Everyone without an answer of their own gets `reply`; a refused MAIL is everyone's answer."""
        self.verdict = reply
        if reply is not None:
            refusal = self._mail_refusal
            self.results = [refusal or result or reply for result in self.results]
        self.phase = Phase.IDLE
        return Event.SETTLED

    def _refused_greeting(self, code: int, lines: list[str]) -> Event:
        if code < 400:
            return self._broken("an unexpected answer in greeting")
        return self._fail(FaultKind.GREETING, _reply(code, lines))

    def _closing(self, code: int, lines: list[str]) -> Event:
        return self._fail(FaultKind.CLOSING, _reply(code, lines))

    def _out_of_step(self) -> Event:
        return self._broken("it answered a command before it was sent")

    def _broken(self, what: str) -> Event:
        return self._fail(FaultKind.PROTOCOL, Reply(451, "4.5.0", f"the peer broke the protocol: {what}"))

    def _fail(self, kind: FaultKind, reply: Reply) -> Event:
        self.fault = Fault(kind, reply, self.phase)
        self.phase = Phase.CLOSED
        self._out = b""
        return Event.FAILED


def _reply(code: int, lines: list[str]) -> Reply:
    """A peer's reply as it is kept: its first lines say it all."""
    return Reply.parse(code, [line[:MAX_KEPT_LINE] for line in lines[:MAX_KEPT_LINES]])


_HANDLERS = {
    Phase.BANNER: ClientSession._on_banner,
    Phase.EHLO: ClientSession._on_ehlo,
    Phase.HELO: ClientSession._on_helo,
    Phase.STARTTLS: ClientSession._on_starttls,
    Phase.TLS: ClientSession._on_tls,
    Phase.AUTH: ClientSession._on_auth,
    Phase.IDLE: ClientSession._on_idle,
    Phase.RSET: ClientSession._on_rset,
    Phase.MAIL: ClientSession._on_mail,
    Phase.RCPT: ClientSession._on_rcpt,
    Phase.DATA: ClientSession._on_data,
    Phase.CONTENT: ClientSession._on_content,
    Phase.FINAL: ClientSession._on_final,
    Phase.EMPTY: ClientSession._on_empty,
    Phase.QUIT: ClientSession._on_quit,
}
