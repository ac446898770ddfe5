"""The scale: what the classifier's word may count, before and after it has learnt enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.classifier.calibration import ENOUGH, FULL_HAM, FULL_SPAM, SEED_HAM, SEED_SPAM, Assessment, evidence

logits = st.floats(-100, 100)
parts = st.floats(0, 1)


def test_caps() -> None:
    """+1.5 and -1 from the seed alone, +8 and -4 when taught."""
    assert Assessment(50, 0).score() == SEED_SPAM == 1.5
    assert Assessment(-50, 0).score() == SEED_HAM == -1.0
    assert Assessment(50, 1).score() == FULL_SPAM == 8.0
    assert Assessment(-50, 1).score() == FULL_HAM == -4.0
    assert Assessment(0, 1).score() == Assessment(1, 1).score() == Assessment(2, 0).score() == 0.0


@given(logits, logits, parts)
def test_more_is_more(one: float, other: float, part: float) -> None:
    """Of two messages the one that looks more like spam never scores less."""
    low, high = sorted((one, other))
    assert Assessment(low, part).score() <= Assessment(high, part).score()


@given(logits, parts, st.floats(-100, 100), st.floats(-100, 100))
def test_never_refuses_untaught(logit: float, part: float, spam: float, ham: float) -> None:
    """Until it has learnt enough it stays below 15, whatever weights a sysadmin gives."""
    if part < 1:
        assert abs(Assessment(logit, part).score(spam, ham)) <= FULL_SPAM < 15


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_evidence_is_of_both_kinds(spam: int, ham: int) -> None:
    """The rarer kind decides how much was learnt."""
    assert evidence(spam, ham) == min(1.0, min(spam, ham) / ENOUGH)


def test_weights() -> None:
    """A sysadmin's weight counts when taught; a smaller one than the seed's cap counts at once; zero switches it off."""
    assert Assessment(50, 1).score(spam_weight=20) == 20
    assert Assessment(50, 0).score(spam_weight=1) == 1
    assert Assessment(50, 0).score(spam_weight=0) == 0
    assert Assessment(2, 1).probability == pytest.approx(0.8808, abs=1e-4)
