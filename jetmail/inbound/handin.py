"""The other door: a message that did not come by SMTP goes through the very Receiver that SMTP's go through.

So permissions, quota, lockdown, blocks, suppression, rules, signatures, the log and the one durable commit are those of SMTP, and every answer is the
reply SMTP would have heard. What SMTP's grammar checks is checked here: size, length of lines; line ends of any kind become CRLF, as there is no
end of data to be smuggled past. Who sends was proved by whoever calls; the user's row is read here once more, and by the Receiver at each question.

Memory: the Receiver's own bound (inbound.intake) and one chunk. Nothing raises; a Deferred never fails but by cancellation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jetmail.inbound.conversation import Said
from jetmail.inbound.peer import HTTP, Peer
from jetmail.inbound.pending import Also
from jetmail.inbound.principal import Principal, PrincipalKind
from jetmail.inbound.submission import ENDED
from jetmail.inbound.transaction import Receiver
from jetmail.interfaces import Handed, IHand, IHandIn
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply
from jetmail.rules.verdict import REASONS
from jetmail.smtp import answers
from jetmail.smtp.lines import LineLength
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic import sending

QUOTA = REASONS["quota"].reply
OVER = Reply(503, "5.5.1", "Bad sequence of commands")


class LineEnder:
    """CR, LF and CRLF -> CRLF, over any split; `finish` ends the last line."""

    __slots__ = ("_after_cr", "_is_open")

    def __init__(self) -> None:
        self._after_cr = False
        self._is_open = False

    def feed(self, octets: bytes) -> bytes:
        """The next octets."""
        if not octets:
            return b""
        if self._after_cr and octets.startswith(b"\n"):
            octets = octets[1:]
        if octets:
            self._after_cr = octets.endswith(b"\r")
            self._is_open = not octets.endswith((b"\r", b"\n"))
        else:
            self._after_cr = False
        if octets.count(b"\r\n") == octets.count(b"\r") == octets.count(b"\n"):
            return octets
        return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """What is missing."""
        return b"\r\n" if self._is_open else b""


@implementer(IHandIn)
class HandIn:
    """See the module. `max_size` and `max_line` in octets."""

    def __init__(
        self, make_receiver: Callable[[Peer], Receiver], directory: Directory, clock: IReactorTime, max_size: int, max_line: int = 65_536
    ) -> None:
        self._make_receiver = make_receiver
        self._directory = directory
        self._clock = clock
        self._max_size = max_size
        self._max_line = max_line

    def open(self, user: str, address: str, port: int, tls: str = "") -> Hand:
        """See IHandIn."""
        return Hand(
            self._make_receiver(Peer(address, port, HTTP, "submission")),
            user,
            address,
            tls,
            self._directory,
            self._clock,
            self._max_size,
            self._max_line,
        )


@implementer(IHand)
class Hand:
    """One message."""

    def __init__(
        self, receiver: Receiver, user: str, address: str, tls: str, directory: Directory, clock: IReactorTime, max_size: int, max_line: int
    ) -> None:
        self._receiver = receiver
        self._user = user
        self._literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"  # nobody says EHLO here (RFC 5321 4.1.3)
        self._tls = tls
        self._directory = directory
        self._clock = clock
        self._max_size = max_size
        self._length = LineLength(max_line)
        self._ends = LineEnder()
        self._size = 0
        self._is_ascii = True
        self._is_over = False
        self._fault: Reply | None = None

    def begin(self, sender: Sender, recipients: Sequence[Recipient]) -> Deferred[Handed]:
        """See IHand."""
        return Deferred.fromCoroutine(self._begin(sender, recipients))

    def write(self, octets: bytes) -> None:
        """See IHand."""
        if not self._is_over:
            self._take(self._ends.feed(octets))

    def end(self, also: Also | None = None) -> Deferred[Handed]:
        """See IHand."""
        if not self._is_over:
            self._take(self._ends.finish())
        return Deferred.fromCoroutine(self._end(also))

    def abort(self) -> None:
        """See IHand."""
        if not self._is_over:
            self._is_over = True
            self._receiver.lost()

    async def _begin(self, sender: Sender, recipients: Sequence[Recipient]) -> Handed:
        receiver = self._receiver
        user = self._directory.smtp_user(self._user)
        if user is None:
            return self._told(ENDED)
        if sender.size is not None and sender.size > self._max_size:
            return self._told(answers.TOO_BIG)
        if self._tls:
            receiver.tls_started(self._tls, "")
        reply = await _settled(receiver.connected())
        if not reply.is_positive:
            return self._told(reply)
        receiver.helo(self._literal, True)
        receiver.admit(Principal(user.uuid, user.username, user.account_id, PrincipalKind.SMTP_USER, user.password))
        reply = await _settled(receiver.mail(sender))
        if not reply.is_positive:
            return self._told(reply)
        refused: list[tuple[str, Reply]] = []
        for recipient in recipients:
            reply = await _settled(receiver.rcpt(recipient))
            if not reply.is_positive:
                refused.append((str(recipient.address), reply))
        if len(refused) == len(recipients):
            # A refusal that may pass is the better news: the client is to come again.
            return self._told(next((reply for _, reply in refused if reply.is_transient), refused[0][1] if refused else OVER), tuple(refused))
        reply = await _settled(receiver.data())
        return Handed(reply, tuple(refused)) if reply.is_positive else self._told(reply)

    def _take(self, octets: bytes) -> None:
        self._size += len(octets)
        if self._fault is None:
            if self._size > self._max_size:
                self._fault = answers.TOO_BIG
            elif not self._length.feed(octets):
                self._fault = answers.TEXT_LINE_TOO_LONG
        if self._fault is None:
            self._is_ascii = self._is_ascii and octets.isascii()
            self._receiver.chunk(octets)
        else:
            self._receiver.abort(self._fault)  # what came so far goes at once

    async def _end(self, also: Also | None) -> Handed:
        if self._is_over:
            return Handed(OVER)
        self._is_over = True
        if self._fault is not None:
            return self._told(self._fault)
        self._receiver.conclude(self._is_ascii, also)
        return self._told(await _settled(self._receiver.end()))

    def _told(self, reply: Reply, refused: tuple[tuple[str, Reply], ...] = ()) -> Handed:
        """It is over, one way or the other."""
        self._is_over = True
        self._receiver.lost()
        retry_after = 0.0
        if reply == QUOTA and (user := self._directory.smtp_user(self._user)) is not None:
            now = self._clock.seconds()
            retry_after = sending.period_end(user.quota_window, now) - now
        return Handed(reply, refused, retry_after)


async def _settled(said: Said) -> Reply:
    return await said if isinstance(said, Deferred) else said
