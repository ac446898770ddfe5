"""Named jobs: again and again, whatever they do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyClass

from jetmail.errors import StoreError
from jetmail.interfaces import IJob
from jetmail.jobs.checkpoint import CheckpointJob
from jetmail.jobs.retention import RetentionJob
from jetmail.jobs.scheduler import Scheduler
from jetmail.jobs.vacuum import VacuumJob
from jetmail.store.directory import jobs as records
from tests.store.samples import memory_store

WALL = 1_000_000.0


@implementer(IJob)
class SampleJob:
    """Does what the test says: `acts` are called in turn, the last one for ever."""

    def __init__(self, name: str, interval: float, *acts: Any) -> None:
        self.name = name
        self.interval = interval
        self.runs: list[float] = []
        self._acts = list(acts) or [lambda: None]
        self.seconds: Any = None

    def run(self) -> Any:
        """The next act."""
        self.runs.append(self.seconds())
        act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
        return act()


def explode() -> None:
    """Raise."""
    raise RuntimeError("out of luck")


class SchedulerTests(SynchronousTestCase):
    """On a Clock."""

    def setUp(self) -> None:
        """A store and a clock."""
        self.db = memory_store()
        self.clock = Clock()
        self.told: list[dict[str, Any]] = []

    def start(self, *jobs: SampleJob, **other: Any) -> Scheduler:
        """A scheduler with those jobs."""
        for job in jobs:
            job.seconds = self.clock.seconds
        scheduler = Scheduler(
            self.db, self.clock, lambda: WALL + self.clock.seconds(), jobs, Logger(observer=self.told.append), **({"first_delay": 1.0} | other)
        )
        scheduler.start()
        return scheduler

    def stop(self, scheduler: Scheduler) -> None:
        """It must end and leave no timer."""
        self.successResultOf(scheduler.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def recorded(self) -> dict[str, records.JobRun]:
        """What the store knows."""
        return records.everything(self.db.connection)

    def test_again_and_again(self) -> None:
        """Each job runs at its own interval, by one timer, and each run is written down."""
        quick, slow = SampleJob("quick", 10.0), SampleJob("slow", 25.0)
        scheduler = self.start(quick, slow)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1.0] * 45)
        self.assertEqual((quick.runs, slow.runs), ([1.0, 11.0, 21.0, 31.0, 41.0], [1.0, 26.0]))
        self.assertEqual(self.recorded()["quick"], records.JobRun("quick", WALL + 41.0, "", 5))
        self.stop(scheduler)

    def test_failures(self) -> None:
        """A job that raises or fails is logged and written down, runs again, and harms nobody else."""
        bad = SampleJob("bad", 10.0, explode, lambda: fail(ValueError("not today")), lambda: None)
        good = SampleJob("good", 10.0)
        scheduler = self.start(bad, good)
        self.clock.advance(10.0)
        self.assertEqual(self.recorded()["bad"].last_error, "RuntimeError: out of luck")
        self.clock.advance(10.0)
        self.assertEqual(self.recorded()["bad"].last_error, "ValueError: not today")
        self.clock.advance(10.0)
        self.assertEqual(self.recorded()["bad"].last_error, "")
        self.assertEqual((len(bad.runs), len(good.runs)), (3, 3))
        self.assertEqual([event["job"] for event in self.told], ["bad", "bad"])
        self.stop(scheduler)

    def test_store_fails(self) -> None:
        """A run that cannot be written down is still followed by the next."""
        job = SampleJob("job", 10.0)
        scheduler = self.start(job)
        self.patch(self.db, "run", lambda *_: fail(StoreError("disk full")))
        self.clock.pump([10.0] * 3)
        self.assertEqual(len(job.runs), 3)
        self.assertEqual(len(self.told), 3)
        self.stop(scheduler)

    def test_slow(self) -> None:
        """A job never runs twice at a time, and a slow one does not hold up the others."""
        waiting: Deferred[None] = Deferred()
        slow, other = SampleJob("slow", 10.0, lambda: waiting, lambda: None), SampleJob("other", 10.0)
        scheduler = self.start(slow, other)
        self.clock.pump([10.0] * 4)
        self.assertEqual((len(slow.runs), len(other.runs)), (1, 4))
        self.assertEqual(scheduler.running, ("slow",))
        waiting.callback(None)
        self.clock.advance(0.0)
        self.assertEqual(len(slow.runs), 2)
        self.stop(scheduler)

    def test_limit(self) -> None:
        """A job that takes too long is cancelled, which is an error of that run."""
        job = SampleJob("stuck", 10.0, Deferred)
        scheduler = self.start(job, limit=100.0)
        self.clock.advance(10.0)
        self.clock.advance(100.0)
        self.assertIn("TimeoutError", self.recorded()["stuck"].last_error)
        self.assertEqual(len(job.runs), 2)
        self.stop(scheduler)

    def test_stop(self) -> None:
        """Stopping cancels what runs, waits for it to end, and starts nothing more."""
        cancelled: list[Any] = []
        job = SampleJob("job", 10.0, lambda: Deferred(cancelled.append))
        scheduler = self.start(job)
        self.clock.advance(10.0)
        self.stop(scheduler)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(scheduler.running, ())
        self.clock.advance(1000.0)
        self.assertEqual(len(job.runs), 1)
        self.stop(scheduler)

    def test_stop_waits(self) -> None:
        """A job that does not end at once when cancelled is waited for."""
        ending: Deferred[None] = Deferred()

        async def stubborn() -> None:
            try:
                await Deferred()
            finally:
                await ending

        job = SampleJob("job", 10.0, lambda: Deferred.fromCoroutine(stubborn()))
        scheduler = self.start(job)
        self.clock.advance(10.0)
        stopped = scheduler.stop()
        self.assertNoResult(stopped)
        ending.callback(None)
        self.successResultOf(stopped)

    def test_restart(self) -> None:
        """A restart neither skips nor repeats: overdue jobs and those that never ran come soon, others when they would have come."""
        for name, ago in (("overdue", 500.0), ("soon", 70.0), ("future", -9_999.0)):
            records.record(self.db.connection, name, WALL - ago)
        jobs = [SampleJob(name, 100.0) for name in ("overdue", "soon", "future", "new")]
        scheduler = self.start(*jobs)
        self.clock.pump([1.0] * 100)
        self.assertEqual([job.runs[0] for job in jobs], [1.0, 30.0, 100.0, 1.0])
        self.stop(scheduler)

    def test_run_now(self) -> None:
        """A job can be run at once, but not beside itself."""
        job = SampleJob("job", 1000.0, Deferred)
        scheduler = self.start(job)
        scheduler.run_now("job")
        scheduler.run_now("job")
        self.assertEqual(len(job.runs), 1)
        self.assertRaises(KeyError, scheduler.run_now, "nobody")
        self.stop(scheduler)

    def test_interval(self) -> None:
        """A job without an interval would run for ever at once: refused."""
        self.assertRaises(ValueError, self.start, SampleJob("job", 0.0))

    def test_jobs_are_jobs(self) -> None:
        """What ships provides the interface."""
        for job in (RetentionJob, VacuumJob, CheckpointJob):
            self.assertTrue(verifyClass(IJob, job))
