"""The retry schedule is a pure function."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetmail.outbound import schedule
from jetmail.outbound.schedule import GIVE_UP, ScheduleOptions

OPTIONS = ScheduleOptions()
MIDDLE = 0.5  # the number that leaves a wait as it is


def test_waits() -> None:
    """1, 5, 10, 15, 30 minutes, 1 hour, 2 hours, then every 4 hours."""
    waits = [schedule.wait(OPTIONS, attempts, MIDDLE) / 60 for attempts in range(1, 12)]
    assert waits == [1, 5, 10, 15, 30, 60, 120, 240, 240, 240, 240]


def test_end() -> None:
    """No wait goes past the end; an attempt at the end or later that fails is the last."""
    end = 100.0 + OPTIONS.lifetime
    assert schedule.next_attempt(OPTIONS, 100.0, end - 10, 40, MIDDLE) == end
    assert schedule.next_attempt(OPTIONS, 100.0, end - 0.001, 40, MIDDLE) == end
    assert schedule.next_attempt(OPTIONS, 100.0, end, 40, MIDDLE) is GIVE_UP
    assert schedule.next_attempt(OPTIONS, 100.0, end + 1e6, 1, MIDDLE) is GIVE_UP


def test_queued_in_the_future() -> None:
    """A clock that went back makes a delivery young, not lost."""
    assert schedule.next_attempt(OPTIONS, 1e6, 0.0, 3, MIDDLE) == 600.0


def test_delay_notice() -> None:
    """Late means four hours old; 0 is never."""
    assert not schedule.is_late(OPTIONS, 0.0, 14399.0)
    assert schedule.is_late(OPTIONS, 0.0, 14400.0)
    assert not schedule.is_late(ScheduleOptions(delay_notice=0.0), 0.0, 1e9)


@given(st.floats(0, 1e9), st.floats(0, 1e6), st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_always_ahead_and_in_bounds(queued: float, age: float, attempts: int, uniform: float) -> None:
    """The next time is after now, within a tenth of the listed wait, and never past the end."""
    now = queued + age
    answer = schedule.next_attempt(OPTIONS, queued, now, attempts, uniform)
    if isinstance(answer, schedule.GiveUp):
        assert now >= queued + OPTIONS.lifetime
    else:
        assert now < answer <= min(queued + OPTIONS.lifetime, now + schedule.longest_wait(OPTIONS))
        listed = OPTIONS.retries[min(max(attempts, 1), 8) - 1]
        assert answer == queued + OPTIONS.lifetime or abs(answer - now - listed) <= listed * OPTIONS.jitter + 1e-5


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_claims_are_ahead(attempts: int, uniform: float) -> None:
    """A claim is always a time ahead, even for a last attempt."""
    assert schedule.claim(OPTIONS, 5.0, attempts, uniform) > 5.0
