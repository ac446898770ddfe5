"""Counting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetmail.api.limits import MAX_KEYS, Budget, Known, Rate


def test_rate() -> None:
    """So many in one go, then as many a second as are paid for, each key for itself."""
    rate = Rate(2.0, 3.0)
    assert [rate.take("a", 100.0) for _ in range(6)] == [0.0] * 6
    assert abs(rate.take("a", 100.0) - 0.5) < 1e-6
    assert abs(rate.is_over("a", 100.0) - 0.5) < 1e-6
    assert rate.take("b", 100.0) == rate.is_over("b", 100.0) == 0.0
    assert rate.take("a", 100.5) == 0.0
    assert rate.take("a", 100.5) > 0.0
    assert [rate.take("a", 200.0) for _ in range(7)][-2:] != [0.0, 0.0]


@given(st.floats(0.05, 1_000), st.floats(0.0, 10.0), st.lists(st.floats(0, 5), max_size=60))
def test_rate_holds(per_second: float, burst: float, pauses: list[float]) -> None:
    """Over any span no more is taken than the burst and what the span pays for; one is always taken from rest."""
    rate, now, taken = Rate(per_second, burst), 0.0, 0
    assert rate.take("other", 0.0) == 0.0
    for pause in pauses:
        now += pause
        taken += rate.take("a", now) == 0.0
    assert taken <= per_second * (now + max(burst, 1 / per_second)) + 1.001


def test_bounded() -> None:
    """What is remembered is bounded, the oldest goes first."""
    rate, known = Rate(1.0, 1.0), Known(3)
    for number in range(MAX_KEYS + 10):
        rate.take(str(number), 0.0)
    assert len(rate._paid) == MAX_KEYS
    for number in range(5):
        known.add(number, "home")
    assert [(number, "home") in known for number in range(5)] == [False, False, True, True, True]


def test_budget() -> None:
    """What is held together stays within the budget, and what is given back may be taken again."""
    budget = Budget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give(6)
    assert budget.take(6)
    assert budget.held == 10
