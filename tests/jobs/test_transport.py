"""The jobs of TLS towards other domains, as the scheduler runs them."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from jetmail.jobs.scheduler import Scheduler
from jetmail.jobs.transport import TransportJob
from jetmail.store.database import InlineDatabase
from jetmail.store.directory import jobs as records
from jetmail.store.schema import v0001_directory


class TransportJobTests(SynchronousTestCase):
    """Of one job."""

    def test_run(self) -> None:
        """The work is done at its interval; a failure is written down and does not end it."""
        clock = Clock()
        database = InlineDatabase(":memory:")
        database.connection.executescript(v0001_directory.SQL)
        done: list[float] = []

        def work() -> Deferred[None]:
            done.append(clock.seconds())
            return succeed(None) if len(done) > 1 else fail(OSError("no network"))

        scheduler = Scheduler(database, clock, clock.seconds, [TransportJob("tls-reports", 60.0, work)], Logger())
        scheduler.start()
        clock.pump([10] * 7)
        self.assertEqual(done, [30.0])
        self.assertIn("no network", database.read(records.everything)["tls-reports"].last_error)
        clock.pump([10] * 7)
        self.assertEqual(done, [30.0, 90.0])
        self.assertEqual(database.read(records.everything)["tls-reports"].last_error, "")
        self.successResultOf(scheduler.stop())
        self.flushLoggedErrors(OSError)
