"""Online logistic regression over hashed features: the model of all mail (design 6).

Two opinions, of the header and of the text, each learnt for itself: its features' weights summed, over the square root of their number, and the
logistic function of that. A message weighs the sum of both. Learnt apart they erred a third less, on the same stream, than one model of all
features: neither can lean on the other, so an unknown sender of known text (or the reverse) is still known.

Learning moves the weights by the error of the probability, so what is known already hardly moves them, and a message learnt as the opposite undoes
itself. Each weight has its own pace (AdaGrad: what has moved much moves little), and with each lesson one of the other kind is repeated
(classifier.memory): both keep what all mail has in common from drifting with whatever is reported most. How far a feature goes that was never seen
before depends on how much of both kinds is known (`caution`): while one kind is missing nobody can tell what is of a kind and what is of all mail,
later what is new in a message is what it is known by.

What is of all mail has no weight of its own to carry it (an intercept), so it still drifts with the last lessons, by a logit or two, and ham and spam
alike with it. `level` says how far: the logit halfway between what the model says of the ham and of the spam it remembers.

Promises
- `score` costs some 10 microseconds, `train` 120, `level` 2 milliseconds once after a lesson. A Model is 8 MiB, and at most 16 with its memory. The
  same lessons give the same model.
- `dump` and `load` are exact inverses; `load` refuses what was cut short, altered, or made for other features (DamagedError).
- `spam` and `ham` count what was learnt here, not what a seed had learnt before: they say how far to trust it (classifier.calibration).
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jetmail.classifier import features
from jetmail.classifier.errors import DamagedError
from jetmail.classifier.features import HALF, SIZE, Features
from jetmail.classifier.memory import Memory

RATE = 1.0  # best of 0.2 to 2 on a public stream
BOLDEST = 1e-6  # pace of a weight that never moved, at the least; reached at some 30 lessons of each kind
STEPS = 2  # of one lesson at most
ENOUGH = 0.1  # error below which there is no second step
MEASURED = 100  # remembered messages of each kind that the level is taken from
MAX_LOGIT = 40.0
MAGIC = b"jetmail model\n"
_HEAD = struct.Struct("<14sHHQ16sQQII")  # magic, version, encoding, seq, journal, spam, ham, octets, crc of all the rest
_EXACT, _SEED = 0, 1
_SEED_STEP = 1 / 32  # a seed's weights in steps of this

Weights = NDArray[np.float32]


def sigmoid(logit: float) -> float:
    """Logit -> probability."""
    return 1.0 / (1.0 + math.exp(-max(-MAX_LOGIT, min(MAX_LOGIT, logit))))


def halves(found: Features) -> tuple[Features, Features]:
    """Features of the header, features of the text."""
    middle = int(np.searchsorted(found, HALF))
    return found[:middle], found[middle:]


def logit_of(weights: Weights) -> float:
    """What the weights of one half of a message say; 0.0 where there are none."""
    return float(weights.sum()) / math.sqrt(len(weights)) if len(weights) else 0.0


def caution(spam: int, ham: int) -> float:
    """What a weight's pace begins with, when so many were learnt of each kind: 1 holds back what is new, BOLDEST hardly at all."""
    return max(BOLDEST, (1.0 + min(spam, ham)) ** -4)


def adjust(weights: Weights, pace: Weights, is_spam: bool, first: float, base: float = 0.0) -> None:
    """Learn one half of a message in place: its weights and their pace. `first`: caution. `base`: what somebody else says of it already."""
    if not len(weights):
        return
    root = math.sqrt(len(weights))
    for _ in range(STEPS):
        error = float(is_spam) - sigmoid(base + float(weights.sum()) / root)
        gradient = error / root
        pace += np.float32(gradient * gradient)
        weights += np.float32(RATE * gradient) / np.sqrt(pace + np.float32(first))
        if abs(error) < ENOUGH:
            break


def counted(spam: int, ham: int, is_spam: bool, undoes: bool) -> tuple[int, int]:
    """(spam, ham) after one more lesson."""
    spam, ham = spam + is_spam, ham + (not is_spam)
    if undoes:
        spam, ham = spam - (not is_spam), ham - is_spam
    return max(0, spam), max(0, ham)


def _zeros() -> Weights:
    """All zero, which takes memory only where somebody writes another number."""
    return np.zeros(SIZE, np.float32)


@dataclass(slots=True, eq=False)
class Model:
    """Weights, their pace (how much each has moved, squared), what is repeated, and what is known of them. `seq`: the last step of `journal` (its
    identity) that is in the weights."""

    weights: Weights
    spam: int = 0
    ham: int = 0
    seq: int = 0
    journal: str = ""
    pace: Weights = field(default_factory=_zeros)
    memory: Memory = field(default_factory=Memory)
    _level: float | None = field(default=None, init=False, repr=False)

    @classmethod
    def empty(cls) -> Model:
        """One that knows nothing."""
        return cls(_zeros())

    def logits(self, found: Features) -> tuple[float, float]:
        """What header and text say: above zero is spam, 0.0 where there are no features."""
        middle = int(found.searchsorted(HALF))
        weights = self.weights.take(found)
        return logit_of(weights[:middle]), logit_of(weights[middle:])

    def score(self, found: Features) -> float:
        """Their sum, the logit of the message."""
        header, text = self.logits(found)
        return header + text

    def level(self) -> float:
        """Where the middle between ham and spam lies by now, as a logit; 0.0 while one of them was never learnt."""
        if self._level is None:
            sides = [[self.score(each) for each in self.memory.sample(is_spam, MEASURED)] for is_spam in (False, True)]
            self._level = sum(sum(side) / len(side) for side in sides) / 2 if all(sides) else 0.0
        return self._level

    def train(self, found: Features, is_spam: bool, *, undoes: bool = False) -> None:
        """Learn one message. `undoes`: it was learnt as the opposite before."""
        first = caution(self.spam, self.ham)
        self._learn(found, is_spam, first)
        for other in self.memory.opposites(is_spam):
            if not (undoes and np.array_equal(other, found)):
                self._learn(other, not is_spam, first)
        self.memory.keep(found, is_spam, undoes=undoes)
        self._level = None
        self.spam, self.ham = counted(self.spam, self.ham, is_spam, undoes)

    def _learn(self, found: Features, is_spam: bool, first: float) -> None:
        for part in halves(found):
            weights, pace = self.weights[part], self.pace[part]
            adjust(weights, pace, is_spam, first)
            self.weights[part], self.pace[part] = weights, pace

    def copy(self) -> Model:
        """Another one, equal to this: to be written down on a thread while this one goes on learning."""
        return Model(self.weights.copy(), self.spam, self.ham, self.seq, self.journal, self.pace.copy(), self.memory.copy())

    def dump(self) -> bytes:
        """Octets to keep; takes up to 100 ms."""
        return _packed(self, _EXACT, self.weights.astype("<f4").tobytes() + self.pace.astype("<f4").tobytes() + self.memory.dump())

    def dump_seed(self) -> bytes:
        """Octets to ship: weights in 255 steps, compressed. What it loads as counts as nothing learnt, of no journal."""
        steps = np.clip(np.rint(self.weights / np.float32(_SEED_STEP)), -127, 127).astype(np.int8)
        return _packed(Model.empty(), _SEED, zlib.compress(steps.tobytes(), 9))


def load(octets: bytes) -> Model:
    """What `dump` or `dump_seed` gave. Raises DamagedError."""
    if len(octets) < _HEAD.size:
        raise DamagedError("a model is cut short")
    magic, version, encoding, seq, journal, spam, ham, length, crc = _HEAD.unpack_from(octets)
    if magic != MAGIC:
        raise DamagedError("this is no model")
    if version != features.VERSION:
        raise DamagedError(f"a model of version {version}, this program's is {features.VERSION}")
    body = memoryview(octets)[_HEAD.size :]
    if len(body) != length or zlib.crc32(body, zlib.crc32(octets[: _HEAD.size - 4])) != crc:
        raise DamagedError("a model is cut short or altered")
    if encoding == _SEED:
        return Model(_seeded(body))
    if encoding != _EXACT or len(body) < 8 * SIZE:
        raise DamagedError("a model of another size or kind")
    weights = np.frombuffer(body, "<f4", SIZE).astype(np.float32)
    pace = np.frombuffer(body, "<f4", SIZE, 4 * SIZE).astype(np.float32)
    if not np.isfinite(weights).all() or not np.isfinite(pace).all() or not (pace >= 0).all():
        raise DamagedError("a model has weights that are no numbers")
    memory = Memory.load(bytes(body[8 * SIZE :]))
    return Model(_sparse(weights), spam, ham, seq, journal.rstrip(b"\0").decode("ascii", "replace"), _sparse(pace), memory)


def _seeded(body: memoryview) -> Weights:
    inflater = zlib.decompressobj()
    try:
        steps = inflater.decompress(body, SIZE + 1)
    except zlib.error as error:
        raise DamagedError(f"a seed does not unpack: {error}") from None
    if len(steps) != SIZE:
        raise DamagedError("a seed of another size")
    return _sparse(np.frombuffer(steps, np.int8) * np.float32(_SEED_STEP))


def _sparse(values: Weights) -> Weights:
    """The values, in memory only where they are not zero."""
    made = _zeros()
    others = np.flatnonzero(values)
    made[others] = values[others]
    return made


def _packed(model: Model, encoding: int, body: bytes) -> bytes:
    journal = model.journal.encode("ascii", "replace")[:16]
    head = _HEAD.pack(MAGIC, features.VERSION, encoding, model.seq, journal, model.spam, model.ham, len(body), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body
