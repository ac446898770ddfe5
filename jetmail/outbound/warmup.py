"""How much has left from each source today, counted where it is decided: in memory, before anything is dialled.

Promises
- Reservations of parallel deliveries never add up to more than the limit they were given: what is reserved counts until it is given back.
- The count of a day begins with what the store has of it, so a restart goes on where the process before it stopped. Outcomes are counted in the store
  in the transaction that records them. What was on the wire when a process died is not, like everything of the duplicate window (docs/queue.md).

Bounded: days but the last two of a source are forgotten. Raises StoreError when a day's count cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable

from jetmail.interfaces import IDatabase
from jetmail.mail import warmup
from jetmail.store.traffic import source_days


class Counts:
    """`wall` gives epoch seconds. On the reactor thread only."""

    def __init__(self, db: IDatabase, wall: Callable[[], float]) -> None:
        self._db = db
        self._wall = wall
        self._taken: dict[str, dict[str, int]] = {}  # source -> day -> left, or about to

    def today(self) -> str:
        """The day that counts now."""
        return warmup.day_of(self._wall())

    def reserve(self, source: str, day: str, limit: int | None, wanted: int) -> int:
        """-> how many of `wanted` may leave from the source on that day. `limit` None: all of them, counted all the same."""
        days = self._taken.setdefault(source, {})
        taken = days.get(day)
        if taken is None:
            taken = self._db.read(source_days.sent, source, day)
            for old in sorted(days)[:-1]:
                del days[old]
        granted = wanted if limit is None else max(0, min(wanted, limit - taken))
        days[day] = taken + granted
        return granted

    def give_back(self, source: str, day: str, unused: int) -> None:
        """So many that were reserved did not leave."""
        days = self._taken.get(source)
        if days is not None and day in days:
            days[day] -= unused
