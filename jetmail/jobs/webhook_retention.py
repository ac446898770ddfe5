"""Forgets events that were taken, dead letters past their time, and what was on its way to webhooks that are gone; a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.database import Connection
from jetmail.store.directory import webhooks
from jetmail.store.traffic import webhook_queue

DAY = 86_400.0
DELIVERED_DAYS = 3.0
MAX_STEPS = 1_000


@implementer(IJob)
class WebhookRetentionJob:
    """`days` a dead letter is kept; what was taken is kept for three days, for people who look for it."""

    name = "webhook-retention"

    def __init__(self, db: IDatabase, wall: Callable[[], float], days: float = 30.0, interval: float = 3_600.0) -> None:
        self.interval = interval
        self._db = db
        self._wall = wall
        self._days = days

    def run(self) -> Deferred[int]:
        """-> Deferred of how many rows were forgotten."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> int:
        forgotten = 0
        now = self._wall()
        for webhook in await self._db.search(webhook_queue.known):
            for _ in range(MAX_STEPS):
                step: int = await self._db.run(_forget, webhook, now - self._days * DAY, now - DELIVERED_DAYS * DAY)
                forgotten += step
                if not step:
                    break
        return forgotten


def _forget(conn: Connection, webhook: str, dead_before: float, delivered_before: float) -> int:
    if webhooks.get(conn, webhook) is None:
        return webhook_queue.forget(conn, webhook)
    return webhook_queue.expire(conn, webhook, dead_before, delivered_before)
