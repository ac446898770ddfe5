"""From logit to score: how much the classifier's word counts, and how much it may count before it has learnt enough.

A message is worth a fraction from -1 (surely ham) to 1 (surely spam) of a cap. The caps grow with what was learnt here, not with what the seed had
learnt elsewhere:

    learnt of each kind      most for spam      most against it
    0 (the seed alone)       SEED_SPAM  +1.5    SEED_HAM  -1.0
    500 and more             the weight of the symbol: +8 and -4 as shipped

Between them in a straight line by the number of the rarer kind. A sysadmin may raise the weight of CLASSIFIER_SPAM, but until ENOUGH of each kind
is learnt it counts as 8 at most, so no weight makes an untaught classifier refuse mail (15) alone.

The logit is counted from the model's level, by as much of it as was learnt here (classifier.classifier): without that the same score caught from 94
to 99 % of the same kind of spam, as the last lessons had it. The curves start where mail begins to look like something; a seed has to be surer than
a classifier that knows the mail of the place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jetmail.classifier.model import sigmoid

ENOUGH = 500  # of each kind
SEED_SPAM, SEED_HAM = 1.5, -1.0
FULL_SPAM, FULL_HAM = 8.0, -4.0

# Logit at which the score leaves zero, and at which it is the cap: untaught, taught.
_SPAM_FROM, _SPAM_TO = (2.0, 2.0), (4.5, 5.0)
_HAM_FROM, _HAM_TO = (-1.0, -0.5), (-6.0, -4.0)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the classifier says of a message: `logit` and `evidence`, how much of ENOUGH it has learnt (0 to 1)."""

    logit: float
    evidence: float

    @property
    def probability(self) -> float:
        """That it is spam, as the model sees it."""
        return sigmoid(self.logit)

    @property
    def is_spam(self) -> bool:
        """Above zero."""
        return self.logit > 0

    @property
    def fraction(self) -> float:
        """-1 to 1: how much of the cap it is worth."""
        side = (_SPAM_FROM, _SPAM_TO) if self.logit > 0 else (_HAM_FROM, _HAM_TO)
        start, end = (_between(pair, self.evidence) for pair in side)
        part = max(0.0, min(1.0, (self.logit - start) / (end - start)))
        return part if self.logit > 0 else -part

    def score(self, spam_weight: float = FULL_SPAM, ham_weight: float = FULL_HAM) -> float:
        """On the findings' scale, `spam_weight` and `ham_weight` being what a fully taught classifier may give."""
        fraction = self.fraction
        full, seed, limit = (spam_weight, SEED_SPAM, FULL_SPAM) if fraction > 0 else (ham_weight, SEED_HAM, FULL_HAM)
        if self.evidence < 1.0:
            full = math.copysign(min(abs(full), abs(limit)), full)
        first = math.copysign(min(abs(full), abs(seed)), full)
        return round(abs(fraction) * _between((first, full), self.evidence), 3) or 0.0


def evidence(spam: int, ham: int) -> float:
    """How much of ENOUGH was learnt: by the rarer kind."""
    return min(1.0, min(spam, ham) / ENOUGH)


def _between(pair: tuple[float, float], part: float) -> float:
    return pair[0] + (pair[1] - pair[0]) * part
