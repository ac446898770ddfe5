"""What one person's own trainings add to the model of all: sparse, and bounded whatever they click.

An Overlay is a value: `trained` gives another. It learns what the model of all and the overlay together got wrong, so a person's word counts on
top of everybody's and two people may disagree for ever. With each lesson two of the other kind are repeated from the memory of the model of all: a
person reports what they mind and nothing else, and without these, one report of a mailing list held one in twenty of all other ham. Some MAX_ENTRIES
weights are kept, the heaviest, and header and text are each moved by MAX_SHIFT at most. To score a message with it costs some 60 microseconds.
`load` refuses damaged octets (DamagedError).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from jetmail.classifier import features
from jetmail.classifier.errors import DamagedError
from jetmail.classifier.features import HALF, SIZE, Features
from jetmail.classifier.model import Model, Weights, adjust, caution, counted, halves, logit_of

MAX_ENTRIES = 30_000  # weights, 12 octets each
_SLACK = 5_000  # over it before the lightest go, so that not every lesson has to look for them
MAX_SHIFT = 12.0  # logit
REPEATED = 2  # messages of the other kind, of what everybody taught, with each lesson
MAGIC = b"overlay\n"
_HEAD = struct.Struct("<8sIIIII")  # magic, version, spam, ham, weights, crc of all the rest


def _no_indexes() -> Features:
    return np.zeros(0, np.uint32)


def _no_weights() -> Weights:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """`indexes` sorted, each once, with their `weights` and `pace` (classifier.model); `spam` and `ham` count what the person has taught."""

    indexes: Features = field(default_factory=_no_indexes)
    weights: Weights = field(default_factory=_no_weights)
    pace: Weights = field(default_factory=_no_weights)
    spam: int = 0
    ham: int = 0

    def logits(self, found: Features) -> tuple[float, float]:
        """What it adds to header and text."""
        if not len(self.indexes) or not len(found):
            return 0.0, 0.0
        places = np.minimum(np.searchsorted(self.indexes, found), len(self.indexes) - 1)
        values = np.where(self.indexes[places] == found, self.weights[places], np.float32(0))
        middle = int(np.searchsorted(found, HALF))
        return _bounded(logit_of(values[:middle])), _bounded(logit_of(values[middle:]))

    def trained(self, found: Features, is_spam: bool, model: Model, *, undoes: bool = False) -> Overlay:
        """This, and one more message learnt. `undoes`: it was learnt as the opposite before."""
        spam, ham = counted(self.spam, self.ham, is_spam, undoes)
        first = caution(model.spam + self.spam, model.ham + self.ham)
        others = [each for each in model.memory.opposites(is_spam, self.spam + self.ham, REPEATED) if not np.array_equal(each, found)]
        indexes = self.indexes
        for each in (found, *others):
            indexes = _joined(indexes, each)
        weights = np.zeros(len(indexes), np.float32)
        pace = np.zeros(len(indexes), np.float32)
        known = np.searchsorted(indexes, self.indexes)
        weights[known], pace[known] = self.weights, self.pace
        for each, kind in ((found, is_spam), *((other, not is_spam) for other in others)):
            for part, general in zip(halves(each), model.logits(each), strict=True):
                places = np.searchsorted(indexes, part)
                own, own_pace = weights[places], pace[places]
                adjust(own, own_pace, kind, first, general)
                weights[places], pace[places] = own, own_pace
        if len(indexes) > MAX_ENTRIES + _SLACK:
            heaviest = np.sort(np.argpartition(np.abs(weights), -MAX_ENTRIES)[-MAX_ENTRIES:])
            indexes, weights, pace = indexes[heaviest], weights[heaviest], pace[heaviest]
        return Overlay(indexes, weights, pace, spam, ham)

    def dump(self) -> bytes:
        """Octets to keep."""
        body = self.indexes.astype("<u4").tobytes() + self.weights.astype("<f4").tobytes() + self.pace.astype("<f4").tobytes()
        head = _HEAD.pack(MAGIC, features.VERSION, self.spam, self.ham, len(self.indexes), 0)[:-4]
        return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


EMPTY = Overlay()


def load(octets: bytes) -> Overlay:
    """What `dump` gave. Raises DamagedError."""
    if len(octets) < _HEAD.size:
        raise DamagedError("an overlay is cut short")
    magic, version, spam, ham, count, crc = _HEAD.unpack_from(octets)
    body = octets[_HEAD.size :]
    if magic != MAGIC or version != features.VERSION:
        raise DamagedError("this is no overlay of this version")
    if len(body) != 12 * count or zlib.crc32(body, zlib.crc32(octets[: _HEAD.size - 4])) != crc:
        raise DamagedError("an overlay is cut short or altered")
    indexes = np.frombuffer(body, "<u4", count).astype(np.uint32)
    weights = np.frombuffer(body, "<f4", count, 4 * count).astype(np.float32)
    pace = np.frombuffer(body, "<f4", count, 8 * count).astype(np.float32)
    if count and (indexes[-1] >= SIZE or np.any(indexes[1:] <= indexes[:-1])):
        raise DamagedError("an overlay is out of order")
    if not np.isfinite(weights).all() or not (np.isfinite(pace) & (pace >= 0)).all():
        raise DamagedError("an overlay has weights that are no numbers")
    return Overlay(indexes, weights, pace, spam, ham)


def _joined(one: Features, other: Features) -> Features:
    """Both, sorted, each once. Two sorted runs are merged, not sorted."""
    both = np.concatenate((one, other))
    both.sort(kind="stable")
    keep = np.ones(len(both), np.bool_)
    np.not_equal(both[1:], both[:-1], out=keep[1:])
    return both[keep]


def _bounded(logit: float) -> float:
    return max(-MAX_SHIFT, min(MAX_SHIFT, logit))
