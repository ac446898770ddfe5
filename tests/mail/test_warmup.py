"""Curves of a warm-up: how they are written, which day it is, how much may leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import warmup


def test_a_curve_has_a_name_or_is_written_out() -> None:
    """Names stand for the built-in curves, numbers for themselves."""
    assert warmup.curve("default")[:3] == (50, 100, 200)
    assert warmup.curve("2, 4,8") == (2, 4, 8)


@pytest.mark.parametrize("text", ["", "fast", "0", "5,,6", "-1", "1.5", "٣", "1," * 400 + "1", "99999999999", ",".join(["9999999999"] * 2)])
def test_what_is_no_curve_is_refused(text: str) -> None:
    """Words, zeros, gaps, foreign digits and endless lists are told apart from counts."""
    with pytest.raises(ValueError):
        warmup.curve(text)


def test_the_day_it_starts_is_day_one() -> None:
    """Before it nothing may leave, after the curve's end everything may."""
    assert [warmup.number("2026-11-20", day) for day in ("2026-11-19", "2026-11-20", "2026-12-01")] == [0, 1, 12]
    assert [warmup.limit((5, 9), number) for number in (-3, 0, 1, 2, 3)] == [0, 0, 5, 9, None]


def test_days_are_utc_days() -> None:
    """A day ends at midnight UTC, and the next begins that moment."""
    midnight = 1_795_132_800.0  # 2026-11-20
    assert warmup.day_of(midnight - 0.001) == "2026-11-19"
    assert warmup.day_of(midnight) == "2026-11-20"
    assert warmup.next_day(midnight - 1) == midnight
    assert warmup.next_day(midnight) == midnight + 86_400
    assert warmup.parse_day("2026-11-20") == "2026-11-20"
    with pytest.raises(ValueError):
        warmup.parse_day("20.11.2026")


@given(st.floats(min_value=0, max_value=4e9))
def test_the_next_day_is_ahead_and_another(moment: float) -> None:
    """Whatever the moment, the next day begins after it, within a day, and is called otherwise."""
    later = warmup.next_day(moment)
    assert moment < later <= moment + 86_400
    assert warmup.number(warmup.day_of(moment), warmup.day_of(later)) == 1 + 1
