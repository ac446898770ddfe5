"""Empties the quarantine of what nobody asked for in time, in small transactions; the log keeps the row and says so (spec, decision 17)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IContentStore, IDatabase, IJob
from jetmail.store.traffic import quarantine

DAY = 86_400.0
A_STEP = 200


@implementer(IJob)
class QuarantineJob:
    """`days` a delivery stays after it came. Its content goes with the last unfinished delivery of its message."""

    name = "quarantine"

    def __init__(
        self,
        db: IDatabase,
        store: IContentStore,
        wall: Callable[[], float],
        days: float = 30,
        interval: float = 3_600.0,
        max_steps: int = 5_000,
    ) -> None:
        self.interval = interval
        self._db = db
        self._store = store
        self._wall = wall
        self._days = days
        self._max_steps = max_steps

    def run(self) -> Deferred[int]:
        """-> Deferred of how many deliveries were given up."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> int:
        given_up = 0
        for _ in range(self._max_steps):
            now = self._wall()
            done, files = await self._db.run(quarantine.expire, now, now - self._days * DAY, A_STEP)
            for name in files:  # after the commit: until then the rows may come back
                self._store.delete(name)
            given_up += done
            if done < A_STEP:
                break
        return given_up
