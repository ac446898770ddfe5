"""Warm-up: how much may leave from an address nobody knows yet, day by day. Days are UTC days, spelled '2026-11-20'; the day a warm-up starts is
day 1.

A curve is the count of messages for day 1, day 2 and so on; after its last day there is no limit. It has a name (CURVES) or is written out:
'50,100,200'. Raises ValueError, in words for whoever wrote it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

DAY = 86_400
MAX_DAYS = 366
MAX_COUNT = 10**9
CURVES: dict[str, tuple[int, ...]] = {
    "default": (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000, 150_000, 200_000),
    # For senders with few readers at each provider, or an address with a past: twice the days, to the same end.
    "slow": (
        20, 40, 60, 100, 150, 250, 400, 600, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 40_000, 55_000, 70_000, 85_000,
        100_000, 120_000, 140_000, 160_000, 180_000, 200_000,
    ),
}  # fmt: skip


def curve(text: str) -> tuple[int, ...]:
    """'default' or '50,100,200' -> the counts."""
    if text in CURVES:
        return CURVES[text]
    words = [word.strip() for word in text.split(",", MAX_DAYS)]
    if len(words) > MAX_DAYS:
        raise ValueError(f"longer than {MAX_DAYS} days")
    if not all(word.isascii() and word.isdigit() and len(word) < 11 for word in words):
        raise ValueError(f"is neither {' nor '.join(CURVES)} nor a list of daily counts such as 50,100,200")
    counts = tuple(map(int, words))
    if not all(1 <= count <= MAX_COUNT for count in counts):
        raise ValueError(f"a day's count must be 1 to {MAX_COUNT}")
    return counts


def day_of(moment: float) -> str:
    """The day of epoch seconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def next_day(moment: float) -> float:
    """When the day after that of `moment` begins."""
    return (moment // DAY + 1) * DAY


def parse_day(text: str) -> str:
    """A day in its one spelling."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is no day; write 2026-11-20") from None


def number(started: str, day: str) -> int:
    """Which day of the warm-up that is: 1 on the day it starts, 0 or less before."""
    return (date.fromisoformat(day) - date.fromisoformat(started)).days + 1


def limit(counts: tuple[int, ...], day_number: int) -> int | None:
    """How much may leave on that day; None when there is no limit any more. Nothing before day 1."""
    if day_number < 1:
        return 0
    return counts[day_number - 1] if day_number <= len(counts) else None
