"""Forgets what others reported about our domains past its time, a few reports at a time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.traffic import aggregates

DAY = 86_400.0
AT_ONCE = 100  # of up to a thousand rows each
MAX_STEPS = 1_000


@implementer(IJob)
class AggregatesJob:
    """`days` a report is kept."""

    name = "reports"

    def __init__(self, db: IDatabase, wall: Callable[[], float], days: float = 400.0, interval: float = 3_600.0) -> None:
        self.interval = interval
        self._db = db
        self._wall = wall
        self._days = days

    def run(self) -> Deferred[int]:
        """-> Deferred of how many reports were forgotten."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> int:
        forgotten = 0
        for _ in range(MAX_STEPS):
            step: int = await self._db.run(aggregates.forget, self._wall() - self._days * DAY, AT_ONCE)
            forgotten += step
            if step < AT_ONCE:
                break
        return forgotten
