"""What the model says, and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from jetmail.classifier.classifier import Classifier, seed
from jetmail.classifier.model import Model
from jetmail.classifier.overlay import EMPTY
from tests.classifier.samples import found
from tests.classifier.test_model import taught

LEARNT = 500


@pytest.fixture(scope="module")
def model() -> Model:
    """One that has learnt enough of both."""
    return taught(LEARNT)


def drifted(model: Model, far: float) -> Model:
    """The same, all of whose weights went one way."""
    other = model.copy()
    other.weights += np.float32(far)
    return other


@pytest.mark.parametrize("far", [-0.2, 0.2])
def test_drift_is_taken_out(model: Model, far: float) -> None:
    """Where ham and spam have moved together, no message is worth more or less than before."""
    there = drifted(model, far)
    for is_spam in (False, True):
        mail = found(LEARNT + 100, is_spam)
        assert abs(there.score(mail) - model.score(mail)) > 3
        assert Classifier(there).assess(mail).logit == pytest.approx(Classifier(model).assess(mail).logit, abs=0.5)


def test_counts_by_what_was_learnt_here() -> None:
    """The seed is judged as it is; with half of enough half of the drift is taken out. A person's lessons lie on top."""
    mail = found(900, True)
    assert Classifier(seed()).assess(mail).logit == seed().score(mail)
    half = drifted(taught(LEARNT // 2), 0.1)
    assert Classifier(half).assess(mail).logit == pytest.approx(half.score(mail) - half.level() / 2)
    own = EMPTY.trained(found(901, True), False, half)
    assert Classifier(half).assess(mail, own).logit == pytest.approx(half.score(mail) - half.level() / 2 + sum(own.logits(mail)))
