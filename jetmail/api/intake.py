"""What becomes of a request's body as it arrives: JSON is held, within a limit and within what all may hold together; a message as it is goes on at
once, into the Receiver's own intake, and is never held.

A body is `write`n piece by piece; `close` gives back what it holds and ends what it began, at any time and any number of times. Raises Problem from
`write` when it is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from twisted.internet.defer import Deferred

from jetmail.api.limits import Budget
from jetmail.api.problem import Problem, later
from jetmail.interfaces import Handed
from jetmail.mail.envelope import Recipient, Sender


class HandLike(Protocol):
    """interfaces.IHand, for types."""

    def begin(self, sender: Sender, recipients: Sequence[Recipient]) -> Deferred[Handed]: ...
    def write(self, octets: bytes) -> None: ...
    def end(self, also: object = None) -> Deferred[Handed]: ...
    def abort(self) -> None: ...


class Body(Protocol):
    """What a request keeps of its body."""

    def write(self, octets: bytes) -> None: ...
    def close(self) -> None: ...


def too_large(limit: int) -> Problem:
    """More than is taken."""
    return Problem("too_large", f"more than {limit} octets")


class Nothing:
    """No body is wanted: what comes all the same is passed over."""

    def __init__(self, limit: int) -> None:
        self._left = self._limit = limit

    def write(self, octets: bytes) -> None:
        """The next octets."""
        self._left -= len(octets)
        if self._left < 0:
            raise too_large(self._limit)

    def close(self) -> None:
        """Nothing is held."""


class Gathered:
    """Held in memory until it is read."""

    def __init__(self, limit: int, budget: Budget) -> None:
        self._limit = limit
        self._budget = budget
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_closed = False

    def write(self, octets: bytes) -> None:
        """The next octets."""
        if self._is_closed:
            return
        if self._size + len(octets) > self._limit:
            raise too_large(self._limit)
        if not self._budget.take(len(octets)):
            raise later("unavailable", "too much is being sent at the moment", 5.0)
        self._size += len(octets)
        self._pieces.append(octets)

    def take(self) -> bytes:
        """All of it; it stays counted until `close`."""
        octets = b"".join(self._pieces)
        self._pieces = []
        return octets

    def close(self) -> None:
        """Give back what is held."""
        if not self._is_closed:
            self._is_closed = True
            self._pieces = []
            self._budget.give(self._size)


class Streamed:
    """A message as it is. `hand` None: it is not to be sent, only to be compared with what was sent before. `pause` and `resume` the connection while
    the envelope is being judged; `refused` is called as soon as that has gone against it."""

    def __init__(
        self, hand: HandLike | None, limit: int, name: bytes, pause: Callable[[], None], resume: Callable[[], None], refused: Callable[[Handed], None]
    ) -> None:
        self.hand = hand
        self.begun: Handed | None = None
        self.ready: Deferred[None] = Deferred()
        self._limit = limit
        self._size = 0
        self._digest = sha256(name)
        self._early: list[bytes] = []
        self._pause = pause
        self._resume = resume
        self._refused = refused
        self._is_closed = False

    @property
    def request(self) -> bytes:
        """SHA-256 of what is asked."""
        return self._digest.digest()

    def begin(self, sender: Sender, recipients: Sequence[Recipient]) -> None:
        """Ask about the envelope."""
        if self.hand is None:
            self.ready.callback(None)
        else:
            self.hand.begin(sender, recipients).addCallback(self._answered)

    def write(self, octets: bytes) -> None:
        """The next octets."""
        if self._is_closed:
            return
        self._size += len(octets)
        if self._size > self._limit:
            raise too_large(self._limit)
        self._digest.update(octets)
        if self.hand is None:
            return
        if self.begun is None:
            self._early.append(octets)  # what was read before the pause took hold: one read of the transport at most
            self._pause()
        elif self.begun.reply.is_positive:
            self.hand.write(octets)

    def close(self) -> None:
        """A message that was not ended is forgotten."""
        if not self._is_closed:
            self._is_closed = True
            self._early = []
            if self.hand is not None:
                self.hand.abort()

    def _answered(self, begun: Handed) -> None:
        self.begun = begun
        early, self._early = self._early, []
        if not self._is_closed and self.hand is not None:
            if begun.reply.is_positive:
                for octets in early:
                    self.hand.write(octets)
            else:
                self._refused(begun)
            self._resume()
        self.ready.callback(None)
