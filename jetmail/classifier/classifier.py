"""The classifier as a rule sees it: a message in, an Assessment out, for everybody or for one person.

`model` is replaced or trained by whoever owns it (jobs.learning in the running process); `overlay_of` says what a person has taught. Costs are
those of classifier.features once for each message and then some 10 microseconds, 60 with an overlay; the first one after a lesson pays for
Model.level as well.
"""

from __future__ import annotations

from collections.abc import Callable

from jetmail.classifier import features
from jetmail.classifier.calibration import Assessment, evidence
from jetmail.classifier.features import Features
from jetmail.classifier.model import Model, load
from jetmail.classifier.overlay import Overlay
from jetmail.classifier.seeding import FILE
from jetmail.mail.message import Message


def seed() -> Model:
    """What ships. Raises OSError or DamagedError when the package is not whole."""
    return load(FILE.read_bytes())


class Classifier:
    """Judges with `model`. `hostname` is ours, `overlay_of(person)` None for a person who taught nothing."""

    def __init__(self, model: Model, hostname: str = "", overlay_of: Callable[[str], Overlay | None] = lambda person: None) -> None:
        self.model = model
        self.hostname = hostname
        self.overlay_of = overlay_of

    def features(self, message: Message) -> Features:
        """What the model knows a message by."""
        return features.extract(message, self.hostname)

    def assess(self, found: Features, overlay: Overlay | None = None) -> Assessment:
        """What is to be thought of a message with these features, with one person's `overlay` or for all."""
        model = self.model
        spam, ham = model.spam, model.ham
        logit = model.score(found) - evidence(spam, ham) * model.level()
        if overlay is not None:
            logit, spam, ham = logit + sum(overlay.logits(found)), spam + overlay.spam, ham + overlay.ham
        return Assessment(logit, evidence(spam, ham))
