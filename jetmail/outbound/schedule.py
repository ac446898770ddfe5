"""When to try again, and when to give up: a pure function of a delivery's age and attempts (design 6, docs/queue.md).

Promises
- Dense at first, then rare: by default 1, 5, 10, 15, 30 minutes, 1 hour, 2 hours after the attempt before, then every 4 hours.
- Each wait is stretched or shortened by up to `jitter`, with a number given by the caller, so that mail that failed together does not come back
  together.
- The lifetime counts from `queued`, the moment the message was taken in, never from the first failure. The last attempt is due exactly when it ends,
  and GIVE_UP is the answer only to an attempt that failed then or later: neither a machine that slept for a week nor a clock that jumped forward
  can return mail that was not tried once more.

Times are epoch seconds of the wall clock. Nothing is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0


class GiveUp(Enum):
    """The one answer that is no time."""

    GIVE_UP = "give up"


GIVE_UP: Final = GiveUp.GIVE_UP


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """`retries`: seconds from one attempt to the next, the last one repeats; at least one, each above 0. `jitter`: 0 to 0.5, the share by which a
    wait may differ. `lifetime`: seconds from `queued` until the message is returned. `delay_notice`: age in seconds at which the sender is told
    once that the message is late; 0 is never."""

    retries: tuple[float, ...] = (1 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR)
    jitter: float = 0.1
    lifetime: float = 5 * DAY
    delay_notice: float = 4 * HOUR


def wait(options: ScheduleOptions, attempts: int, uniform: float) -> float:
    """Seconds from attempt number `attempts` (1 is the first) to the next. `uniform` is a number in [0, 1)."""
    interval = options.retries[min(max(attempts, 1), len(options.retries)) - 1]
    return interval * (1.0 + options.jitter * (2.0 * uniform - 1.0))


def claim(options: ScheduleOptions, now: float, attempts: int, uniform: float) -> float:
    """The due time recorded before attempt number `attempts` is dialled: what counts if the process dies during it. A time even past the end."""
    return now + wait(options, attempts, uniform)


def next_attempt(options: ScheduleOptions, queued: float, now: float, attempts: int, uniform: float) -> float | GiveUp:
    """After attempt number `attempts` failed for now: the next due time, or GIVE_UP when the lifetime was over."""
    end = queued + options.lifetime
    if now >= end:
        return GIVE_UP
    return min(now + wait(options, attempts, uniform), end)


def is_late(options: ScheduleOptions, queued: float, now: float) -> bool:
    """Old enough for the delay notice."""
    return 0 < options.delay_notice <= now - queued


def longest_wait(options: ScheduleOptions) -> float:
    """No due time that was computed by this clock lies further ahead than this."""
    return max(options.retries) * (1.0 + options.jitter)
