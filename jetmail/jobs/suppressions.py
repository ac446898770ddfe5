"""Suppressions that have expired, and refusals too old to count towards one, are forgotten: some a transaction, so that mail goes on between."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.traffic import suppressions

AT_ONCE = 1_000


@implementer(IJob)
class SuppressionsJob:
    """`window`: seconds for which a refusal counts. What has expired counts no more anyway: this is for the space."""

    name = "suppressions"

    def __init__(self, db: IDatabase, now: Callable[[], float], window: float, interval: float = 3_600.0) -> None:
        self.interval = interval
        self._db = db
        self._now = now
        self._window = window

    def run(self) -> Deferred[None]:
        """All of them."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        while await self._db.run(suppressions.expire, self._now(), self._now() - self._window, AT_ONCE) >= AT_ONCE:
            pass
