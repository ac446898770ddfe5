"""Some messages of each kind, kept to be learnt again: with each lesson one of the other kind is repeated.

People report spam by the hundred and ham hardly ever, and feed a filter first all of one kind and then all of the other. Without this the words,
names and hosts all mail has in common would drift to the side that is taught: 250 lessons of spam alone made a well taught model hold a tenth of the
ham of a public collection; with it, less than one in fifty.

Which place a message takes and which is repeated follows from how many were learnt, so that the same lessons give the same model.
"""

from __future__ import annotations

import struct

import numpy as np

from jetmail.classifier.errors import DamagedError
from jetmail.classifier.features import Features, pack, unpack

MAX_KEPT = 500  # of each kind, some 8 KiB each
REPEATED = 1  # with each lesson of the model of all: so that both kinds weigh the same, in whatever order they are taught
_STRIDE = 7919  # a prime over MAX_KEPT: every place has its turn before one has two
_COUNT = struct.Struct("<I")


class Memory:
    """Features of messages learnt here, by kind."""

    __slots__ = ("_kept", "_turn")

    def __init__(self) -> None:
        self._kept: tuple[list[Features], list[Features]] = ([], [])
        self._turn = 0

    def opposites(self, is_spam: bool, turn: int | None = None, count: int = REPEATED) -> list[Features]:
        """`count` messages of the other kind; none while there is none. `turn`: of somebody who counts lessons of their own."""
        kept, first = self._kept[not is_spam], (self._turn if turn is None else turn) * count
        return [kept[(first + each) * _STRIDE % len(kept)] for each in range(count)] if kept else []

    def sample(self, is_spam: bool, count: int) -> list[Features]:
        """`count` messages of a kind, or all there are: of every age."""
        kept = self._kept[is_spam]
        return [kept[place * len(kept) // count] for place in range(count)] if len(kept) > count else list(kept)

    def keep(self, found: Features, is_spam: bool, *, undoes: bool = False) -> None:
        """A message was learnt. `undoes`: it may be here as the opposite, and must not be repeated so."""
        self._turn += 1
        if undoes:
            other = self._kept[not is_spam]
            other[:] = [each for each in other if not np.array_equal(each, found)]
        kept = self._kept[is_spam]
        if len(kept) < MAX_KEPT:
            kept.append(found)
        else:
            kept[_scattered(self._turn + 1) % MAX_KEPT] = found

    def copy(self) -> Memory:
        """Another one, equal to this."""
        other = Memory()
        other._kept = (list(self._kept[0]), list(self._kept[1]))
        other._turn = self._turn
        return other

    def dump(self) -> bytes:
        """Octets to keep."""
        pieces = [_COUNT.pack(self._turn & 0xFFFFFFFF)]
        for kept in self._kept:
            pieces.append(_COUNT.pack(len(kept)))
            for found in kept:
                packed = pack(found)
                pieces += [_COUNT.pack(len(packed)), packed]
        return b"".join(pieces)

    @classmethod
    def load(cls, octets: bytes) -> Memory:
        """What `dump` gave. Raises DamagedError."""
        memory = cls()
        try:
            (memory._turn,) = _COUNT.unpack_from(octets, 0)
            place = _COUNT.size
            for kept in memory._kept:
                (count,) = _COUNT.unpack_from(octets, place)
                place += _COUNT.size
                for _ in range(min(count, MAX_KEPT)):
                    (size,) = _COUNT.unpack_from(octets, place)
                    place += _COUNT.size
                    kept.append(unpack(octets[place : place + size]))
                    place += size
        except struct.error:
            raise DamagedError("the messages kept to be repeated are cut short") from None
        return memory


def _scattered(number: int) -> int:
    """A number that looks like any, from one that counts (Knuth's multiplicative hash, upper bits)."""
    return (number * 2654435761 & 0xFFFFFFFF) >> 8
