"""A message on its way to a scanner: piece by piece, as fast as the scanner takes it, so that no copy of a large one is made.

A message that is not in memory is read from the spool a piece at a time. What goes wrong while reading is raised to whoever asked for the pieces;
both producers below stop then, and their `failed` is called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPullProducer
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from jetmail.mail.message import Message

PIECE = 64 * 1024


def pieces(message: Message) -> Iterator[bytes]:
    """All octets of the message. Raises StoreError, ContentMissingError while they are read."""
    if message.is_whole:
        octets = message.octets
        for start in range(0, len(octets), PIECE):
            yield octets[start : start + PIECE]
        return
    yield message.octets[: message.head_size]
    for chunk in message.body_chunks():
        for start in range(0, len(chunk), PIECE):
            yield chunk[start : start + PIECE]


@implementer(IPullProducer)
class Feed:
    """Writes `frame(piece)` whenever the transport has room, then calls `done`."""

    def __init__(
        self, source: Iterator[bytes], write: Callable[[bytes], Any], frame: Callable[[bytes], bytes], done: Callable[[], None],
        failed: Callable[[Failure], None],
    ) -> None:  # fmt: skip
        self._source: Iterator[bytes] | None = source
        self._write = write
        self._frame = frame
        self._done = done
        self._failed = failed

    def resumeProducing(self) -> None:
        """There is room for one piece more."""
        if self._source is None:
            return
        try:
            piece = next(self._source, b"")
        except Exception:
            self.stopProducing()
            self._failed(Failure())
            return
        if piece:
            self._write(self._frame(piece))
        else:
            self.stopProducing()
            self._done()

    def stopProducing(self) -> None:
        """Nobody wants more."""
        source, self._source = self._source, None
        close = getattr(source, "close", None)
        if close is not None:
            close()  # a generator holds the file open


@implementer(IBodyProducer)
class Body:
    """The body of an HTTP request. Writes until it is told to pause, which the transport does as soon as it has enough."""

    def __init__(self, message: Message) -> None:
        self.length = message.size
        self._source: Iterator[bytes] | None = pieces(message)
        self._consumer: Any = None
        self._is_paused = False
        self._finished: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """-> fires when everything is written."""
        self._consumer = consumer
        self._go_on()
        return self._finished

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """The transport has room."""
        self._is_paused = False
        self._go_on()

    def stopProducing(self) -> None:
        """Nobody wants more; by the interface's word nothing is fired."""
        source, self._source = self._source, None
        close = getattr(source, "close", None)
        if close is not None:
            close()

    def _go_on(self) -> None:
        while self._source is not None and not self._is_paused:
            try:
                piece = next(self._source, b"")
            except Exception:
                self.stopProducing()
                self._finished.errback(Failure())
                return
            if piece:
                self._consumer.write(piece)
            else:
                self.stopProducing()
                self._finished.callback(None)
