"""What others refuse for good counts against who sent it: looked up in the events of the last minute, told to inbound.activity by app."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IDatabase, IJob
from jetmail.mail.address import AddressError, parse
from jetmail.store.traffic import sending

AT_ONCE = 5_000  # events looked at in one search


@implementer(IJob)
class ReturnedJob:
    """`tell(user's uuid, Address.key of the envelope sender)` once for each. Begins with what happens after the start: what was missed while nobody
    ran would all come at one moment, and block for the wrong hour."""

    name = "returned"

    def __init__(self, db: IDatabase, tell: Callable[[str, str], None], interval: float = 60.0) -> None:
        self.interval = interval
        self._db = db
        self._tell = tell
        self._last = -1

    def run(self) -> Deferred[None]:
        """Look at what is new."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        newest = await self._db.search(sending.last_event)
        if self._last < 0:
            self._last = newest
            return
        if newest < self._last:
            self._last = 0  # the last event was forgotten, and ids began anew behind it
        while True:
            before = self._last
            self._last, found = await self._db.search(sending.returned, before, AT_ONCE)
            for user, sender in found:
                self._tell(user, _key(sender))
            if self._last == before:
                return


def _key(sender: str) -> str:
    try:
        return parse(sender).key if sender else ""
    except AddressError:
        return ""
