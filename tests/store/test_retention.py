"""Forgetting what is past its time, giving space back, keeping the log short; and what a full disk looks like."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.store.database import connect
from jetmail.store.traffic import messages, retention, stats
from jetmail.store.traffic.messages import Content, accept
from tests.store.samples import delivery, disk_store, memory_store, message


class ExpireTests(SynchronousTestCase):
    """Old rows go."""

    def setUp(self) -> None:
        """A store."""
        self.conn = memory_store().connection

    def test_expire(self) -> None:
        """Finished old messages go with all that hangs on them; queued, quarantined and young ones stay whatever stands around them."""
        for number, status in enumerate(("delivered", "queued", "quarantined", "rejected", "delivered", "delivered"), 1):
            content = Content(9, None, header=b"h", spool=f"spoolfile{number}") if status != "rejected" else None
            accepted = accept(self.conn, message(number, delivery(status=status), content=content))
            messages.add_event(self.conn, accepted.id, None, float(number), "odd", {})
        expired = retention.expire(self.conn, before=6.0)
        self.assertEqual((expired.messages, expired.next), (3, 0))
        self.assertEqual(sorted(expired.files), ["spoolfile1", "spoolfile5"])
        for table, column in (("messages", "id"), ("deliveries", "message_id"), ("events", "message_id")):
            self.assertEqual([row[0] for row in self.conn.execute(f"SELECT {column} FROM {table} ORDER BY 1")], [2, 3, 6], table)
        self.assertEqual(self.conn.execute("SELECT count(*) FROM content").fetchone(), (3,))

    def test_in_steps(self) -> None:
        """A long history goes step by step, over those that stay, until a step finds something young."""
        for number in range(1, 11):
            accept(self.conn, message(number, delivery(status="queued" if number < 4 else "delivered"), content=None))
        after, steps = 0, 0
        while True:
            expired = retention.expire(self.conn, 9.0, after, 2)
            steps += 1
            after = expired.next
            if not after:
                break
        self.assertEqual([row[0] for row in self.conn.execute("SELECT id FROM messages ORDER BY id")], [1, 2, 3, 9, 10])
        self.assertEqual(steps, 5)

    def test_audit(self) -> None:
        """Old audit entries go in portions."""
        self.conn.executemany("INSERT INTO audit (at, actor, via, action, object) VALUES (?, '', '', '', '')", [(float(at),) for at in range(5)])
        self.assertEqual([retention.expire_audit(self.conn, 3.0, 2) for _ in range(3)], [2, 1, 0])


class SpaceTests(SynchronousTestCase):
    """Real files."""

    def setUp(self) -> None:
        """A store on the disk."""
        self.db, self.path = disk_store(self)

    def fill(self, count: int) -> None:
        """Messages of 100 KB."""
        for number in range(count):
            self.successResultOf(self.db.run(accept, message(number, size=100_000, content=Content(100_000, b"x" * 100_000))))

    def test_vacuum(self) -> None:
        """Freed pages are given back a bounded number at a time, inside an ordinary transaction, and the file shrinks."""
        self.fill(20)
        retention.thd_checkpoint(self.path, 0)
        before = os.path.getsize(self.path)
        self.successResultOf(self.db.run(lambda conn: conn.execute("DELETE FROM content")))
        free = self.successResultOf(self.db.search(retention.free_pages))
        self.assertGreater(free, 400)
        self.assertEqual(self.successResultOf(self.db.run(retention.vacuum, 100)), 100)
        self.assertEqual(self.successResultOf(self.db.run(retention.vacuum, 100_000)), free - 100)
        retention.thd_checkpoint(self.path, 0)
        self.assertLess(os.path.getsize(self.path), before // 4)
        self.assertEqual(self.db.connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_checkpoint(self) -> None:
        """The log is moved and cut when it is long, left when it is short, and never forced while a reader needs it."""
        self.fill(5)
        self.assertGreater(retention.log_bytes(self.path), 400_000)
        done = retention.thd_checkpoint(self.path, 1 << 30)
        self.assertTrue(done.is_complete)
        self.assertGreater(done.log_bytes, 400_000)
        reader = connect(self.path, writer=False)
        self.addCleanup(reader.close)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchall()
        self.successResultOf(self.db.run(accept, message(99)))
        held = retention.thd_checkpoint(self.path, 0)
        self.assertGreater(held.log_bytes, 0)
        reader.execute("COMMIT")
        self.assertEqual(retention.thd_checkpoint(self.path, 0).log_bytes, 0)

    def test_full(self) -> None:
        """A store that cannot grow says so as StoreError, keeps what was accepted and takes mail again once there is room."""
        self.fill(2)
        pages = self.db.connection.execute("PRAGMA page_count").fetchone()[0]
        self.db.connection.execute(f"PRAGMA max_page_count={pages + 10}")
        large = message(50, size=100_000, content=Content(100_000, b"x" * 100_000))
        error = self.failureResultOf(self.db.run(accept, large), StoreError)
        self.assertIn("full", error.getErrorMessage())
        self.assertEqual(self.db.connection.execute("SELECT count(*) FROM messages").fetchone(), (2,))
        self.db.connection.execute("PRAGMA max_page_count=1000000")
        self.successResultOf(self.db.run(accept, large))

    def test_read_only(self) -> None:
        """A store that may not be written says so as StoreError, and can still be read."""
        self.fill(1)
        self.db.connection.execute("PRAGMA query_only=ON")
        self.failureResultOf(self.db.run(accept, message(9)), StoreError)
        self.assertIsNotNone(self.db.read(messages.by_uid, f"{0:020x}"))

    def test_checkpoint_of_nothing(self) -> None:
        """A store that is no store fails as StoreError on the thread too."""
        with open(self.path + ".other", "wb") as file:
            file.write(b"nonsense" * 1000)
        self.assertRaises(StoreError, retention.thd_checkpoint, self.path + ".other", 0)


class StatsTests(SynchronousTestCase):
    """Figures."""

    def test_figures(self) -> None:
        """The queue, its lanes, recent statuses and sizes are counted right."""
        conn = memory_store().connection
        self.assertEqual(stats.depth(conn), stats.Depth(0, 0, None, None))
        accept(conn, message(1, delivery("a@demo.test"), delivery("b@demo.test", held=True), delivery("c@other.test")))
        accept(conn, message(5, delivery("a@demo.test", "delivered"), delivery("b@demo.test", "blocked")))
        conn.execute("INSERT INTO destinations (name, down_since, reason) VALUES ('demo.test', 2.0, 'connect')")
        self.assertEqual(stats.depth(conn), stats.Depth(2, 1, 1.0, 61.0))
        demo, other = stats.lanes(conn)
        self.assertEqual((demo.destination, demo.queued, demo.held, demo.reason, demo.down_since), ("demo.test", 1, 1, "connect", 2.0))
        self.assertEqual((other.destination, other.queued, other.held, other.reason), ("other.test", 1, 0, ""))
        self.assertEqual(stats.by_status(conn, 0.0), {"queued": 3, "delivered": 1, "blocked": 1})
        self.assertEqual(stats.by_status(conn, 4.0, ("demo.test",)), {"delivered": 1, "blocked": 1})
        self.assertEqual(stats.by_status(conn, 0.0, ()), {})
        self.assertEqual(stats.sizes(conn).content, 8)
