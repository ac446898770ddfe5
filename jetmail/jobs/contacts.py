"""Forgets first contacts that never came back or have not come for long, and correspondents nobody has written to for long."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.traffic import contacts

DAY = 86_400.0


@implementer(IJob)
class ContactsJob:
    """`forget(now)` does the same to what is in memory. Days: until a contact must have come back, after its last mail, after the last mail to
    a correspondent."""

    name = "contacts"

    def __init__(
        self,
        db: IDatabase,
        wall: Callable[[], float],
        forget: Callable[[float], object],
        waiting_days: float = 5,
        passed_days: float = 36,
        correspondent_days: float = 400,
        interval: float = 3_600.0,
    ) -> None:
        self.interval = interval
        self._db = db
        self._wall = wall
        self._forget = forget
        self._waiting = waiting_days * DAY
        self._passed = passed_days * DAY
        self._correspondent = correspondent_days * DAY

    def run(self) -> Deferred[None]:
        """Small transactions, so that mail never waits for it."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        now = self._wall()
        self._forget(now)
        while await self._db.run(contacts.expire_greylist, now - self._waiting, now - self._passed):
            pass
        while await self._db.run(contacts.expire_correspondents, now - self._correspondent):
            pass
