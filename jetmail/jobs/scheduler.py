"""Named jobs, run again and again, whatever they do.

Promises
- One timer, set for the job that is due first. A job never runs twice at a time, and a slow one does not hold up the others.
- When a job last ran is in the store, so a restart neither skips nor repeats a daily one. A clock set back cannot put a job off by more than its
  interval.
- A job that raises, or whose Deferred fails or is cancelled, is logged, written down and run again at its next time; so is one whose record cannot
  be written. Nothing a job does ends the scheduler.
- A job that takes longer than `limit` seconds is cancelled.
- `stop` cancels what runs and waits for it to end.

Jobs provide interfaces.IJob. Raises ValueError for two jobs of one name or an interval that is not above zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import IDatabase, IJob
from jetmail.store.directory import jobs as records
from jetmail.store.directory.jobs import JobRun

LIMIT = 3_600.0
FIRST_DELAY = 30.0  # after the start, so that jobs do not compete with a restart's own work
MAX_ERROR = 500


class Scheduler:
    """Runs `jobs` on `clock`. `wall` gives epoch seconds: what is persisted must outlive the clock's zero. `limit`: seconds one run may take."""

    def __init__(
        self,
        db: IDatabase,
        clock: IReactorTime,
        wall: Callable[[], float],
        jobs: Iterable[Any],
        log: Logger,
        limit: float = LIMIT,
        first_delay: float = FIRST_DELAY,
    ) -> None:
        self._db = db
        self._clock = clock
        self._wall = wall
        self._jobs = {job.name: job for job in map(IJob, jobs)}
        self._log = log
        self._limit = limit
        self._first_delay = first_delay
        self._due: dict[str, float] = {}
        self._running: dict[str, Deferred[Any]] = {}
        self._timer: IDelayedCall | None = None
        self._is_started = False
        for name, job in self._jobs.items():
            if not job.interval > 0:
                raise ValueError(f"job {name}: the interval must be above zero")

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the jobs that run now."""
        return tuple(self._running)

    def start(self) -> None:
        """Begin: jobs overdue from before the restart, or never run, come after `first_delay`. Raises StoreError when the store cannot be read."""
        last: dict[str, JobRun] = self._db.read(records.everything)
        wall, now = self._wall(), self._clock.seconds()
        for name, job in self._jobs.items():
            waited = max(0.0, wall - last[name].last_run) if name in last else job.interval
            self._due[name] = now + max(self._first_delay, min(job.interval - waited, job.interval))
        self._is_started = True
        self._set_timer()

    def stop(self) -> Deferred[None]:
        """Start nothing more and cancel what runs. -> Deferred that fires when all has ended."""
        self._is_started = False
        self._set_timer()
        if not self._running:
            return succeed(None)
        ended: list[Deferred[None]] = [Deferred() for _ in self._running]
        for waiting, running in zip(ended, list(self._running.values()), strict=True):
            running.addBoth(_pass_on, waiting)
        done: Deferred[Any] = DeferredList(ended)
        for running in list(self._running.values()):
            running.cancel()
        return done.addCallback(lambda _: None)

    def run_now(self, name: str) -> None:
        """Run that job at once, unless it is running. Raises KeyError for a name nobody has."""
        job = self._jobs[name]
        if name not in self._running:
            self._start_job(name, job)
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        waiting = [due for name, due in self._due.items() if name not in self._running]
        if self._is_started and waiting:
            self._timer = self._clock.callLater(max(0.0, min(waiting) - self._clock.seconds()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for name, due in list(self._due.items()):
            if due <= now and name not in self._running:
                self._start_job(name, self._jobs[name])
        self._set_timer()

    def _start_job(self, name: str, job: Any) -> None:
        running: Deferred[Any] = maybeDeferred(job.run)
        self._due[name] = self._clock.seconds() + job.interval
        if not running.called:
            running.addTimeout(self._limit, self._clock)
        self._running[name] = running
        running.addBoth(self._ended, name)

    def _ended(self, result: Any, name: str) -> Any:
        """The job is over, well or not: write it down and give back the turn. Returns a Deferred only while the record is on its way."""
        error = ""
        if isinstance(result, Failure):
            error = f"{type(result.value).__name__}: {result.getErrorMessage()}"[:MAX_ERROR]
            if result.check(CancelledError) and not self._is_started:
                self._log.info("job {job} was stopped", job=name)
            else:
                self._log.failure("job {job} failed", result, job=name)
        recorded = maybeDeferred(self._db.run, records.record, name, self._wall(), error)
        recorded.addErrback(self._record_failed, name)
        self._running.pop(name, None)
        self._set_timer()
        return recorded.addCallback(lambda _: None)

    def _record_failed(self, failure: Failure, name: str) -> None:
        self._log.warn("the run of job {job} could not be written down: {reason}", job=name, reason=failure.getErrorMessage())


def _pass_on(result: Any, waiting: Deferred[Any]) -> Any:
    waiting.callback(None)
    return result
