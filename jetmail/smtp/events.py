"""What an SMTP server session wants from the outside: its questions and notices, as slotted values.

A question (Connected, Helo, Mail, Rcpt, Data, End, Auth) is answered with `Session.reply(Reply)`; a notice (Chunk, Abort, Idle) with
`Session.reply(None)`. Each knows how to put itself to a receiver: `event.ask(receiver)` calls the method of interfaces.IReceiver that goes with it.
STARTTLS and CLOSE are for the shell itself: it changes the transport, then answers STARTTLS with `reply(None)`.
"""

from __future__ import annotations

from typing import Any

from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply


class Event:
    """Anything a session waits for. Equal when of one kind and content, for tests and for comparing two runs."""

    __slots__: tuple[str, ...] = ()

    def ask(self, receiver: Any) -> Any:
        """Put the question to `receiver` (an IReceiver): its answer, a Reply, None or something that becomes one."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__slots__ if name != "password")))

    def __repr__(self) -> str:
        # A password must not reach a log by way of a traceback.
        shown = (f"{name}={getattr(self, name)!r}" if name != "password" else "password=..." for name in self.__slots__)
        return f"{type(self).__name__}({', '.join(shown)})"


class Connected(Event):
    """May this peer speak at all? Asked before the banner."""

    __slots__ = ()

    def ask(self, receiver: Any) -> Any:
        return receiver.connected()


class Helo(Event):
    """HELO, or EHLO when `extended`."""

    __slots__ = ("extended", "name")

    def __init__(self, name: str, extended: bool) -> None:
        self.name = name
        self.extended = extended

    def ask(self, receiver: Any) -> Any:
        return receiver.helo(self.name, self.extended)


class Mail(Event):
    """MAIL FROM, syntax and parameters already checked."""

    __slots__ = ("sender",)

    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    def ask(self, receiver: Any) -> Any:
        return receiver.mail(self.sender)


class Rcpt(Event):
    """RCPT TO, syntax and parameters already checked."""

    __slots__ = ("recipient",)

    def __init__(self, recipient: Recipient) -> None:
        self.recipient = recipient

    def ask(self, receiver: Any) -> Any:
        return receiver.rcpt(self.recipient)


class Data(Event):
    """Content is about to come (DATA, or the first BDAT)."""

    __slots__ = ()

    def ask(self, receiver: Any) -> Any:
        return receiver.data()


class Chunk(Event):
    """Some content: dots removed, CRLF line ends only. May be answered with a negative Reply, said at the end while the rest is thrown away."""

    __slots__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def ask(self, receiver: Any) -> Any:
        return receiver.chunk(self.octets)


class End(Event):
    """The content is complete."""

    __slots__ = ()

    def ask(self, receiver: Any) -> Any:
        return receiver.end()


class Abort(Event):
    """The open transaction is over without content. `refusal`: what was wrong with the content, when that is why: the first fault of several, which
    depends on how the stream was cut, so it is no part of being equal."""

    __slots__ = ("refusal",)

    def __init__(self, refusal: Reply | None = None) -> None:
        self.refusal = refusal

    def __eq__(self, other: object) -> bool:
        return type(other) is Abort

    def __hash__(self) -> int:
        return hash(Abort)

    def ask(self, receiver: Any) -> Any:
        return receiver.abort(self.refusal)


class Auth(Event):
    """AUTH with decoded credentials."""

    __slots__ = ("mechanism", "password", "username")

    def __init__(self, mechanism: str, username: str, password: str) -> None:
        self.mechanism = mechanism
        self.username = username
        self.password = password

    def ask(self, receiver: Any) -> Any:
        return receiver.auth(self.mechanism, self.username, self.password)


class Idle(Event):
    """Who has signed in says something that brings no mail nearer, `line`. Answered with None: go on; with a Reply: that, and the end."""

    __slots__ = ("line",)

    def __init__(self, line: bytes) -> None:
        self.line = line

    def ask(self, receiver: Any) -> Any:
        return receiver.idle()


class StartTls(Event):
    """220 is said: the shell starts TLS on the transport now."""

    __slots__ = ()


class Close(Event):
    """The last reply is said: the shell writes it and ends the connection. Nothing follows."""

    __slots__ = ()


CONNECTED = Connected()
DATA = Data()
END = End()
ABORT = Abort()
STARTTLS = StartTls()
CLOSE = Close()
