"""What the queue learnt and has not yet written: collected, written in one transaction at a time, kept until it is on the disk.

Promises
- Everything learnt while a transaction is under way goes into the next one, so a busy queue writes few and large ones.
- When writing fails (disk full, store read-only) nothing is lost or sent twice: what was learnt stays here, in memory, and is tried again with
  growing pauses, while the queue starts nothing new (`is_failing`). It is bounded because what is not recorded keeps its places in the window.
- One result that can never be written (a broken row) does not hold up the others: after a failure that is not the store's they are written one
  by one.

Raises nothing. A process that dies now repeats the attempts it could not record: that is the duplicate window of docs/queue.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.errors import StoreError
from jetmail.interfaces import IDatabase
from jetmail.outbound.lane import Lane, QueueOptions
from jetmail.store.traffic.deliveries import Attempted
from jetmail.store.traffic.lanes import LaneState
from jetmail.store.traffic.messages import NewMessage
from jetmail.store.traffic.settlement import Settled, Settlement, settle
from jetmail.store.traffic.sites import SiteState

MAX_BATCH = 500


class Finished:
    """The end of one attempt: what to write, and the places in the window it gives back then."""

    __slots__ = ("attempted", "lane", "reports")

    def __init__(self, lane: Lane, attempted: tuple[Attempted, ...], reports: tuple[NewMessage, ...] = ()) -> None:
        self.lane = lane
        self.attempted = attempted
        self.reports = reports


class Recorder:
    """See the module. `settled(finished, settlement, result)` is called after each commit."""

    def __init__(
        self,
        db: IDatabase,
        clock: Any,
        now: Callable[[], float],
        options: QueueOptions,
        settled: Callable[[list[Finished], Settlement, Settled], None],
        log: Logger,
    ) -> None:
        self._db = db
        self._clock = clock
        self._now = now
        self._pauses = options.record_pauses
        self._settled = settled
        self._log = log
        self._finished: list[Finished] = []
        self._parked: list[tuple[int, float, str, str]] = []
        self._lanes: dict[str, LaneState | None] = {}
        self._wake: dict[str, None] = {}
        self._sites: dict[str, SiteState] = {}
        self._behind: dict[str, tuple[str, str, float, str]] = {}
        self._is_running = False
        self._is_stopped = False
        self._timer: Any = None
        self._failures = 0
        self._batch = MAX_BATCH
        self._empty: list[Deferred] = []
        self.is_failing = False

    @property
    def pending(self) -> int:
        """Attempts that ended and are not yet handed to the store."""
        return len(self._finished)

    def finished(self, item: Finished) -> None:
        """An attempt ended."""
        self._finished.append(item)
        self._flush()

    def park(self, rows: list[tuple[int, float, str, str]]) -> None:
        """Claimed attempts that will not be made now: (id, due time, reason, reply)."""
        self._parked.extend(rows)
        self._flush()

    def lane(self, name: str, state: LaneState | None, wake: bool = False) -> None:
        """A lane went down (its state), or came up (None). Written with the attempt that showed it, so called before `finished`."""
        self._lanes[name] = state
        if wake:
            self._wake[name] = None

    def site(self, state: SiteState) -> None:
        """A site cooled down, or recovered. Called before `finished`, as `lane` is."""
        self._sites[state.name] = state

    def behind(self, destination: str, site: SiteState) -> None:
        """A destination with mail waits for that site. Goes with what is written next, `flush` if nothing is."""
        self._behind[destination] = destination, site.name, site.not_before, site.reply

    def flush(self) -> None:
        """Write what is not yet."""
        self._flush()

    def drained(self) -> Deferred:
        """Fires when all is written."""
        if self._is_idle():
            return succeed(None)
        waiting: Deferred = Deferred()
        self._empty.append(waiting)
        return waiting

    def stop(self) -> None:
        """Give up what is not written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_stopped = True

    def _is_idle(self) -> bool:
        return not (self._is_running or self._finished or self._parked or self._lanes or self._wake or self._sites or self._behind)

    def _flush(self) -> None:
        if self._is_running or self._is_stopped or self._timer is not None:
            return
        if self._is_idle():
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)
            return
        self._is_running = True
        batch, self._finished = self._finished[: self._batch], self._finished[self._batch :]
        parked, self._parked = self._parked, []
        states, self._lanes = self._lanes, {}
        wake, self._wake = self._wake, {}
        sites, self._sites = self._sites, {}
        names = list(self._behind)[:MAX_BATCH]
        behind = {name: self._behind.pop(name) for name in names}
        settlement = Settlement(
            batch[0].attempted if len(batch) == 1 else tuple([one for item in batch for one in item.attempted]),
            tuple([report for item in batch for report in item.reports]),
            tuple(parked),
            tuple([state for state in states.values() if state is not None]),
            tuple([name for name, state in states.items() if state is None]),
            tuple(wake),
            tuple(sites.values()),
            tuple(behind.values()),
        )
        self._db.run(settle, self._now(), settlement).addCallbacks(
            self._written, self._refused, callbackArgs=(batch, settlement), errbackArgs=(batch, settlement)
        )

    def _written(self, result: Settled, batch: list[Finished], settlement: Settlement) -> None:
        self._is_running = False
        if self._failures:
            self._log.info("recording works again; {pending} attempts wait for it", pending=len(self._finished))
            self._failures = 0
            self.is_failing = False
        self._batch = min(self._batch * 2, MAX_BATCH)
        self._settled(batch, settlement, result)
        self._flush()

    def _refused(self, failure: Failure, batch: list[Finished], settlement: Settlement) -> None:
        self._is_running = False
        is_store = failure.check(StoreError) is not None
        self.is_failing = is_store
        if not self._failures or not is_store:
            self._log.failure("cannot record {count} attempts; they are kept and not repeated", failure, count=len(batch))
        # One by one from now on; and the one that failed alone goes behind the others.
        alone = len(batch) == 1 and not is_store
        self._finished = [*self._finished, *batch] if alone else [*batch, *self._finished]
        if not is_store:
            self._batch = 1
        self._parked = [*settlement.parked, *self._parked]
        earlier: dict[str, LaneState | None] = {state.name: state for state in settlement.down}
        self._lanes = {**earlier, **dict.fromkeys(settlement.up), **self._lanes}
        self._wake = {**dict.fromkeys(settlement.wake), **self._wake}
        self._sites = {**{state.name: state for state in settlement.sites}, **self._sites}
        self._behind = {**{waiting[0]: waiting for waiting in settlement.behind}, **self._behind}
        pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1
        if not self._is_stopped:
            self._timer = self._clock.callLater(pause, self._again)

    def _again(self) -> None:
        self._timer = None
        self._flush()
