"""The jobs that ship do what they say, in small steps."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.defer import succeed
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from jetmail.jobs.checkpoint import CheckpointJob
from jetmail.jobs.retention import DAY, RetentionJob
from jetmail.jobs.vacuum import VacuumJob
from jetmail.offload import InlineExecutor
from jetmail.spool.files import MemoryStore
from jetmail.store.traffic.messages import Content, accept
from jetmail.store.traffic.retention import Checkpoint
from tests.store.samples import delivery, disk_store, memory_store, message


class RetentionJobTests(SynchronousTestCase):
    """What is past its time goes."""

    def test_run(self) -> None:
        """Old messages, their files and old audit entries go in as many steps as it takes; what is young or queued stays."""
        db = memory_store()
        store = MemoryStore(lambda: "x")
        store.files.update({"oldoldold1": b"", "newnewnew1": b""})
        accept(db.connection, message(1, delivery(status="delivered"), content=Content(1, None, spool="oldoldold1")))
        for number in range(2, 500):
            accept(db.connection, message(number, delivery(status="queued" if number == 300 else "delivered"), content=None))
        accept(db.connection, message(600, delivery(status="delivered"), content=Content(1, None, spool="newnewnew1"), received=9 * DAY))
        db.connection.execute("INSERT INTO audit (at, actor, via, action, object) VALUES (1, '', '', '', ''), (?, '', '', '', '')", (9 * DAY,))
        job = RetentionJob(db, store, lambda: 10 * DAY, days=5, audit_days=5)
        self.assertEqual(self.successResultOf(job.run()), 498)
        self.assertEqual([row[0] for row in db.connection.execute("SELECT received FROM messages ORDER BY id")], [300.0, 9 * DAY])
        self.assertEqual(list(store.files), ["newnewnew1"])
        self.assertEqual(db.connection.execute("SELECT count(*) FROM audit").fetchone(), (1,))


class SpaceJobTests(SynchronousTestCase):
    """Vacuum and checkpoint on a real file."""

    def setUp(self) -> None:
        """A store with 2 MB of free pages and a log."""
        self.db, self.path = disk_store(self)
        content = Content(200_000, b"x" * 200_000)
        for number in range(10):
            self.successResultOf(self.db.run(accept, message(number, content=content)))
        self.successResultOf(self.db.run(lambda conn: conn.execute("DELETE FROM content")))

    def free(self) -> int:
        """Free pages now."""
        found: int = self.db.connection.execute("PRAGMA freelist_count").fetchone()[0]
        return found

    def test_vacuum(self) -> None:
        """Free pages are given back down to the reserve, at most so many steps a run, and nothing is done when there is nothing to do."""
        before = self.free()
        self.assertEqual(self.successResultOf(VacuumJob(self.db, keep=before).run()), 0)
        self.assertEqual(self.successResultOf(VacuumJob(self.db, keep=20, max_steps=1).run()), 256)
        self.assertEqual(self.successResultOf(VacuumJob(self.db, keep=20).run()), before - 256 - 20)
        self.assertEqual(self.free(), 20)

    def test_checkpoint(self) -> None:
        """The log is moved and cut."""
        job = CheckpointJob(self.path, InlineExecutor(), Logger(), truncate_above=0)
        self.assertEqual(self.successResultOf(job.run()), Checkpoint(True, 0))

    def test_worry(self) -> None:
        """A log that stays long is said once, and again only after it was short."""
        lengths = [600, 600, 10, 600]
        steps = count()

        class Executor:
            """Answers with the lengths."""

            def run(self, *_: Any) -> Any:
                """The next."""
                return succeed(Checkpoint(False, lengths[next(steps)]))

        told: list[dict[str, Any]] = []
        job = CheckpointJob(self.path, Executor(), Logger(observer=told.append), worry_above=500)
        for _ in lengths:
            self.successResultOf(job.run())
        self.assertEqual(len(told), 2)
