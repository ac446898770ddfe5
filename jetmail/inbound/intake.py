"""One message's content as it arrives: in memory up to a limit, beyond it in a spool file with its first part kept at hand for the rules.

Promises: memory is bounded by the limit and one chunk. A disk that refuses is remembered and raised by `finish`; nothing is left behind after
`drop`, which may be called at any time and any number of times. Raises StoreError from `finish` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from jetmail.errors import StoreError
from jetmail.interfaces import IContentStore
from jetmail.mail.message import Message

PIECE = 256 * 1024


class Intake:
    """`add` chunks, `finish` once, then either `keep` (the store refers to it now) or `drop`. `spool` is the file's name once it is whole, '' while
    or where there is none."""

    __slots__ = ("_chunks", "_failure", "_is_dropped", "_limit", "_store", "_writer", "size", "spool")

    def __init__(self, store: IContentStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._chunks: list[bytes] = []
        self._writer: Any = None
        self._failure: Failure | None = None
        self._is_dropped = False
        self.size = 0
        self.spool = ""

    def add(self, octets: bytes) -> None:
        """The next chunk."""
        self.size += len(octets)
        if self._failure is not None or self._is_dropped:
            return
        if self._writer is None and self.size <= self._limit:
            self._chunks.append(octets)
            return
        try:
            if self._writer is None:
                self._writer = self._store.create()
                self._chunks.append(octets)
                head = b"".join(self._chunks)
                self._chunks = [head[: self._limit]]
                self._writer.write(head)
            else:
                self._writer.write(octets)
        except Exception:  # raised again by finish, where there is somebody to answer
            self._failure = Failure()
            self._abort()

    def finish(self) -> Message | Deferred[Message]:
        """The message; a Deferred when a file has to be made durable first. Raises what went wrong while it came."""
        if self._failure is not None:
            self._failure.raiseException()
        head = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        if self._writer is None:
            return Message(head)
        finishing: Deferred[str] = self._writer.finish()
        return finishing.addCallbacks(self._named, self._unnamed, callbackArgs=(head,))

    def keep(self) -> None:
        """A committed row refers to the file now: `drop` does nothing from here on."""
        self._is_dropped = True

    def drop(self) -> None:
        """Forget everything that is not kept."""
        if self._is_dropped:
            return
        self._is_dropped = True
        self._chunks = []
        self._abort()
        if self.spool:
            self._store.delete(self.spool)

    def read(self) -> bytes:
        """All octets of a spooled message. Raises StoreError, ContentMissingError."""
        with self._store.open(self.spool) as file:
            octets: bytes = file.read()
        return octets

    def pieces(self, offset: int) -> Iterator[bytes]:
        """The octets of a spooled message from `offset` on, piece by piece. Raises StoreError, ContentMissingError."""
        with self._store.open(self.spool) as file:
            file.seek(offset)
            while piece := file.read(PIECE):
                yield piece

    def _named(self, name: str, head: bytes) -> Message:
        self.spool = name
        if self._is_dropped:  # the client left while the file was being synced
            self._store.delete(name)
            raise StoreError("the transaction ended while its content was being written")
        return Message(head, self.size, self.read, self.pieces)

    def _unnamed(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return failure
        self._failure = failure
        return failure

    def _abort(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()
