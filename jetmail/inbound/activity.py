"""What users and their senders do, counted by the hour, and who does too much of it (spec 7.32).

Promises
- A count is in memory at once, so fifty sessions at the same moment count as fifty, and reaches the store in batches every few seconds; a crash may
  lose the last batch. A user first seen after a restart begins with what the store has of this hour and the one before.
- The rate is that of the last sixty minutes: this hour, and of the one before the part that is not yet sixty minutes ago.
- Passing a limit names it once, with the figures as evidence; stopping the sender is the listener's part (`on_over`).
- Memory is bounded: who was seen longest ago is forgotten first, after its counts are on their way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address
from jetmail.store.database import Connection
from jetmail.store.directory import blocked_senders
from jetmail.store.traffic import contacts, sending
from jetmail.store.traffic.sending import FIGURES, HOUR, Hour

FLUSH_SECONDS = 5.0
MAX_TALLIES = 20_000
SHOWN_WITHIN = 2.0  # seconds after its commit a block is in the directory as sessions see it, by a wide margin
KEEP_HOURS = 90 * 24

_log = Logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What may happen in sixty minutes; 0: as much as it likes. `rejections` counts only when it is also more than
    `rejection_share` of the messages."""

    messages: int = 0
    newcomers: int = 0
    rejections: int = 0
    spam: int = 0
    rejection_share: float = 0.1


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that was passed. `sender` '': by everything the user sends together."""

    user: str
    sender: str
    reason: str
    evidence: dict[str, Any]


class _Tally:
    __slots__ = ("before", "hour", "is_over", "now", "since")

    def __init__(self, hour: int) -> None:
        self.hour = hour
        self.now = dict.fromkeys(FIGURES, 0)
        self.before = dict.fromkeys(FIGURES, 0)
        self.is_over = False
        self.since = 0.0

    def roll(self, hour: int) -> None:
        if hour != self.hour:
            self.before = self.now if hour == self.hour + 1 else dict.fromkeys(FIGURES, 0)
            self.now = dict.fromkeys(FIGURES, 0)
            self.hour = hour


class Activity:
    """See the module. On the reactor thread only. `on_over` is told once for each passing of a limit, and answers with a Deferred that fires when the
    sender is stopped in the directory."""

    def __init__(
        self, db: IDatabase, clock: IReactorTime, of_user: Limits, of_sender: Limits, on_over: Callable[[Over], Deferred[Any]] | None = None
    ) -> None:
        self._db = db
        self._clock = clock
        self._limits = (of_user, of_sender)
        self.on_over = on_over
        self._tallies: OrderedDict[tuple[str, str], _Tally] = OrderedDict()
        self._dirty: dict[tuple[int, str, str], dict[str, int]] = {}
        self._seen: dict[str, float] = {}
        self._contacts: dict[tuple[str, str], float] = {}
        self._stopping: set[tuple[str, str]] = set()
        self._timer: IDelayedCall | None = None
        self._swept = 0

    def seen(self, user: str) -> None:
        """The user has signed in or sent."""
        self._seen[user] = self._clock.seconds()
        self._soon()

    def count(self, user: str, sender: str, **figures: int) -> None:
        """Something happened to mail of the user and of that sender ('' where it has none): names of FIGURES, and how often."""
        hour = int(self._clock.seconds() // HOUR)
        for index, key in enumerate([(user, ""), (user, sender)] if sender else [(user, "")]):
            tally = self._tally(key, hour)
            dirty = self._dirty.setdefault((hour, *key), dict.fromkeys(FIGURES, 0))
            for name, number in figures.items():
                tally.now[name] += number
                dirty[name] += number
            if not tally.is_over and (over := self._over(key, tally, self._limits[index])) is not None:
                self._stop(key, tally, over)
        self._soon()

    def returned(self, user: str, sender: str) -> None:
        """Others refused for good what the user sent."""
        self.count(user, sender, rejections=1)

    def wants_newcomers(self) -> bool:
        """Whether anybody needs to know who was never written to before."""
        return any(limits.newcomers for limits in self._limits)

    def newcomers(self, user: str, recipients: Iterable[Address]) -> int:
        """How many of them the user has never written to, as far as is remembered. They are known from now on."""
        now, found = self._clock.seconds(), 0
        for address in recipients:
            key = (user, address.key)
            if key not in self._contacts and not self._db.read(contacts.has_written, *key):
                found += 1
            self._contacts[key] = now
        self._soon()
        return found

    def is_over(self, user: str, sender: str) -> bool:
        """A limit was passed and the directory does not show it yet. When it should and does not, the sender was let go, and begins anew."""
        tally = self._tallies.get((user, sender))
        if tally is None or not tally.is_over:
            return False
        if (user, sender) in self._stopping or self._clock.seconds() - tally.since < SHOWN_WITHIN:
            return True
        self._tallies[user, sender] = _Tally(tally.hour)
        return False

    def flush(self) -> Deferred[None]:
        """Write what is not written. -> Deferred that fires when it is; never fails."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if not self._dirty and not self._seen and not self._contacts:
            return succeed(None)
        dirty, self._dirty = self._dirty, {}
        seen, self._seen = self._seen, {}
        met, self._contacts = self._contacts, {}
        newest = max((hour for hour, _, _ in dirty), default=0)
        old = newest - KEEP_HOURS if newest > self._swept else 0  # once an hour is often enough
        self._swept = max(self._swept, newest)
        writing: Deferred[None] = self._db.run(_write, [Hour(*key, *figures.values()) for key, figures in dirty.items()], seen, met, old)
        return writing.addErrback(lambda failure: _log.failure("what users sent could not be counted", failure=failure))

    def _stop(self, key: tuple[str, str], tally: _Tally, over: Over) -> None:
        tally.is_over = True
        tally.since = self._clock.seconds()
        if self.on_over is not None:
            self._stopping.add(key)
            self.on_over(over).addBoth(self._stopped, key, tally)

    def _stopped(self, result: Any, key: tuple[str, str], tally: _Tally) -> None:
        self._stopping.discard(key)
        tally.since = self._clock.seconds()
        if isinstance(result, Failure):
            _log.failure("sender {sender} of user {user} could not be blocked", failure=result, user=key[0], sender=key[1] or "(all)")

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(FLUSH_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def _tally(self, key: tuple[str, str], hour: int) -> _Tally:
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = self._loaded(key, hour)
            if len(self._tallies) > MAX_TALLIES:
                self._tallies.popitem(last=False)
        self._tallies.move_to_end(key)
        tally.roll(hour)
        return tally

    def _loaded(self, key: tuple[str, str], hour: int) -> _Tally:
        tally = _Tally(hour)
        if self._db.read(blocked_senders.last_release, *key) >= (hour - 1) * HOUR:
            return tally  # let go within these hours: what was counted then has been forgiven
        for row in self._db.read(sending.hours, *key, hour - 1):
            figures = tally.now if row.hour == hour else tally.before
            for name in FIGURES:
                figures[name] += getattr(row, name)
        for (at, user, sender), dirty in self._dirty.items():  # forgotten a moment ago, and not yet written
            if (user, sender) == key and at >= hour - 1:
                figures = tally.now if at == hour else tally.before
                for name in FIGURES:
                    figures[name] += dirty[name]
        return tally

    def _over(self, key: tuple[str, str], tally: _Tally, limits: Limits) -> Over | None:
        share = 1.0 - (self._clock.seconds() / HOUR - tally.hour)
        rate = {name: int(tally.now[name] + tally.before[name] * share) for name in FIGURES}
        for field in fields(limits):
            name, limit = field.name, getattr(limits, field.name)
            if name == "rejection_share" or not limit or rate[name] <= limit:
                continue
            if name == "rejections" and rate[name] <= limits.rejection_share * rate["messages"]:
                continue
            return Over(*key, name, {"limit": limit, "minutes": 60, **rate})
        return None


def _write(conn: Connection, hours: list[Hour], seen: dict[str, float], met: dict[tuple[str, str], float], old: int) -> None:
    sending.add(conn, hours, seen)
    contacts.met(conn, [(*key, at) for key, at in met.items()])
    if old:
        sending.forget(conn, old)
