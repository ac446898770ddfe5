"""What sessions towards other domains have shown: counted for their TLS reports (RFC 8460), and remembered so that a downgrade is noticed.

Written from memory to the store in one transaction now and then (`flush`, by a job and at the end); the last minute may be lost with a crash.
Bounded: counters beyond MAX_COUNTERS between two flushes are dropped, of domains remembered those longest unseen go first.

Raises StoreError from `load`; `flush` fails its Deferred when the store does, and keeps what it had.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import IDatabase
from jetmail.outbound.demand import Demand
from jetmail.outbound.tls import TlsFacts
from jetmail.store.traffic import transport
from jetmail.store.traffic.transport import ResultRow

MAX_COUNTERS = 20_000
MAX_DOMAINS = 50_000
DAY = 86_400.0
_Counter = tuple[str, str, str, tuple[str, ...], str, str]


def day_of(moment: float) -> str:
    """The UTC day of epoch seconds: '2026-11-20'."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


class Ledger:
    """`wall` gives epoch seconds. `lately`: seconds a verified session is remembered."""

    _log = Logger("jetmail.outbound.ledger")

    def __init__(self, db: IDatabase, wall: Callable[[], float], lately: float = 30 * DAY) -> None:
        self._db = db
        self._wall = wall
        self._lately = lately
        self._counts: dict[_Counter, int] = {}
        self._verified: OrderedDict[str, float] = OrderedDict()
        self._unsaved: dict[str, float] = {}

    def load(self) -> None:
        """Once, before the first session."""
        for domain, moment in self._db.read(transport.memory, self._wall() - self._lately, MAX_DOMAINS):
            self._verified[domain] = moment

    def remembered(self, domain: str) -> str:
        """The day `domain` last showed verified TLS, '' when it has not lately."""
        moment = self._verified.get(domain, 0.0)
        return day_of(moment) if moment > self._wall() - self._lately else ""

    def session(self, demand: Demand, host: str, tls: TlsFacts, result: str) -> None:
        """One session is ready or has failed. `result`: its own result type, '' when nothing was wrong with it."""
        if tls.verified:
            self._remember(demand.domain)
        if demand.trouble:
            result = demand.trouble
        elif demand.policy == "no-policy-found" and tls.version:
            result = ""  # nothing was promised, so nothing was broken
        self.count(demand, host, result)

    def count(self, demand: Demand, host: str, result: str) -> None:
        """One more of these."""
        key = day_of(self._wall()), demand.domain, demand.policy, demand.quoted, host, result
        if key in self._counts or len(self._counts) < MAX_COUNTERS:
            self._counts[key] = self._counts.get(key, 0) + 1

    def flush(self) -> Deferred[None]:
        """Write what is new."""
        if not self._counts and not self._unsaved:
            return succeed(None)
        counts, self._counts = self._counts, {}
        unsaved, self._unsaved = self._unsaved, {}
        rows = [ResultRow(*key, sessions) for key, sessions in counts.items()]
        writing: Deferred[None] = self._db.run(transport.save, list(unsaved.items()), rows)
        return writing.addErrback(self._keep, counts, unsaved)

    def stop(self) -> Deferred[None]:
        """`flush` for the last time: what cannot be written is given up."""
        return self.flush().addErrback(lambda failure: self._log.failure("sessions counted for TLS reports are lost", failure))

    def _keep(self, failure: Failure, counts: dict[_Counter, int], unsaved: dict[str, float]) -> Failure:
        for key, sessions in counts.items():
            self._counts[key] = self._counts.get(key, 0) + sessions
        self._unsaved = {**unsaved, **self._unsaved}
        return failure

    def _remember(self, domain: str) -> None:
        now = self._wall()
        if now - self._verified.get(domain, 0.0) > DAY / 24:  # an hour more or less is no matter, a row for each session is
            self._unsaved[domain] = now
            self._verified[domain] = now
            self._verified.move_to_end(domain)
            if len(self._verified) > MAX_DOMAINS:
                self._verified.popitem(last=False)
