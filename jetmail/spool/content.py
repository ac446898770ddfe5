"""A stored message's octets, wherever they are: one way to read them, in pieces.

Raises ContentMissingError when the file is gone, shorter or longer than it was: such a message must be set aside where people see it, never
sent in part. A file's size is compared before the first piece is given out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from jetmail.errors import ContentMissingError, StoreError
from jetmail.interfaces import IContentStore

PIECE = 65_536


class Stored(Protocol):
    """What is needed of a content (store.traffic.messages.Content is one)."""

    @property
    def id(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def header(self) -> bytes: ...
    @property
    def spool(self) -> str: ...
    @property
    def spool_offset(self) -> int: ...


def chunks(content: Stored, store: IContentStore, size: int = PIECE) -> Iterator[bytes]:
    """The message in pieces of at most `size` octets (an inline message too). The file is closed at the end, or when the iterator is."""
    if content.data is not None:
        if len(content.data) != content.size:
            raise ContentMissingError(f"content {content.id} has {len(content.data)} octets instead of {content.size}")
        yield from _pieces(content.data, size)
        return
    with store.open(content.spool) as file:
        found = file.seek(0, os.SEEK_END) - content.spool_offset + len(content.header)
        if found != content.size:
            raise ContentMissingError(f"spool file {content.spool} gives {found} octets instead of {content.size}")
        yield from _pieces(content.header, size)
        file.seek(content.spool_offset)
        left = content.size - len(content.header)
        while left:
            try:
                piece = file.read(min(size, left))
            except OSError as error:
                raise StoreError(f"cannot read spool file {content.spool}: {error}") from error
            if not piece:
                raise ContentMissingError(f"spool file {content.spool} became shorter while it was read")
            left -= len(piece)
            yield piece


def head(content: Stored, store: IContentStore, size: int) -> bytes:
    """The first octets of the message, at most `size`: the header for a report or a page, without reading the rest."""
    gathered = b""
    pieces = chunks(content, store, min(size, PIECE))
    for piece in pieces:
        gathered += piece
        if len(gathered) >= size:
            break
    pieces.close()  # type: ignore[attr-defined]
    return gathered[:size]


def _pieces(octets: bytes, size: int) -> Iterator[bytes]:
    if len(octets) <= size:
        if octets:
            yield octets
        return
    for start in range(0, len(octets), size):
        yield octets[start : start + size]
