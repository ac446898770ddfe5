"""Gives space freed by delivered and forgotten mail back to the disk, a few pages at a time between other commits.

Some free pages are kept on purpose: mail comes in waves, and a page that is reused costs nothing.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.traffic import retention

PAGES_A_STEP = 256  # 1 MiB: about 2 ms of the writer
KEPT_PAGES = 4_096  # 16 MiB


@implementer(IJob)
class VacuumJob:
    """`keep` free pages stay. A run gives back at most `max_steps` times PAGES_A_STEP pages."""

    name = "vacuum"

    def __init__(self, db: IDatabase, interval: float = 300.0, keep: int = KEPT_PAGES, max_steps: int = 256) -> None:
        self.interval = interval
        self._db = db
        self._keep = keep
        self._max_steps = max_steps

    def run(self) -> Deferred[int]:
        """-> Deferred of how many pages were given back."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> int:
        given = 0
        spare: int = await self._db.search(retention.free_pages) - self._keep
        for _ in range(self._max_steps):
            if spare - given <= 0:
                break
            step: int = await self._db.run(retention.vacuum, min(PAGES_A_STEP, spare - given))
            if step <= 0:
                break  # somebody else has used them meanwhile
            given += step
        return given
