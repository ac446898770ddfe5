"""Forgets messages, deliveries, events, audit entries and answered keys past their time, in small transactions, so that mail never waits for it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IContentStore, IDatabase, IJob
from jetmail.mail.warmup import day_of
from jetmail.store.traffic import idempotency, retention, source_days
from jetmail.store.traffic.retention import Expired

DAY = 86_400.0
MESSAGES_A_STEP = 200
SOURCE_DAYS = 400  # days the counts of source addresses are kept


@implementer(IJob)
class RetentionJob:
    """`days` a message's rows are kept after it came (one still queued or quarantined stays), `audit_days` an audit entry."""

    name = "retention"

    def __init__(
        self,
        db: IDatabase,
        store: IContentStore,
        wall: Callable[[], float],
        days: float = 90,
        audit_days: float = 730,
        interval: float = 3_600.0,
        max_steps: int = 5_000,
    ) -> None:
        self.interval = interval
        self._db = db
        self._store = store
        self._wall = wall
        self._days = days
        self._audit_days = audit_days
        self._max_steps = max_steps

    def run(self) -> Deferred[int]:
        """-> Deferred of how many messages were forgotten."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> int:
        forgotten, after = 0, 0
        before = self._wall() - self._days * DAY
        for _ in range(self._max_steps):
            step: Expired = await self._db.run(retention.expire, before, after, MESSAGES_A_STEP)
            for name in step.files:  # after the commit: until then the rows may come back
                self._store.delete(name)
            forgotten += step.messages
            after = step.next
            if not after:
                break
        while await self._db.run(retention.expire_audit, self._wall() - self._audit_days * DAY):
            pass
        while await self._db.run(idempotency.forget, self._wall() - DAY):
            pass
        await self._db.run(source_days.expire, day_of(self._wall() - SOURCE_DAYS * DAY))
        return forgotten
