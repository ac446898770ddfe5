"""Group commit, savepoints and failure: the store's door keeps its promises, threaded and inline alike."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.store.database import Connection, Database, InlineDatabase, commit_batch, connect, together


class Hop(Clock):
    """A Clock whose thread hops are collected and run by `settle`."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)
        self.hops: list[tuple] = []

    def callFromThread(self, fn: Any, *args: Any) -> None:
        """Remember the call; the test's thread makes it."""
        self.hops.append((fn, args))
        self.arrived.release()

    def settle(self, hops: int = 1) -> None:
        """Run what is due now, then wait for that many calls from threads and make them."""
        self.advance(0)
        for _ in range(hops):
            assert self.arrived.acquire(timeout=10)
            fn, args = self.hops.pop(0)
            fn(*args)
            self.advance(0)


def create(conn: Connection) -> None:
    conn.execute("CREATE TABLE t (n INTEGER UNIQUE)")


def put(conn: Connection, number: int) -> int:
    conn.execute("INSERT INTO t VALUES (?)", (number,))
    return number


def put_many(conn: Connection, numbers: Sequence[int]) -> list[str]:
    return [f"many {put(conn, number)}" for number in numbers]


@together(put_many)
def put_one(conn: Connection, number: int) -> str:
    return f"one {put(conn, number)}"


def count(conn: Connection) -> int:
    return conn.execute("SELECT count(*) FROM t").fetchone()[0]


class InlineDatabaseTests(SynchronousTestCase):
    """The door without threads."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.db = InlineDatabase(self.path)
        self.successResultOf(self.db.run(create))

    def test_run_commits(self) -> None:
        """What run answers is in the file for any other connection."""
        self.assertEqual(self.successResultOf(self.db.run(put, 7)), 7)
        self.assertEqual(count(connect(self.path, writer=False)), 1)

    def test_failure_rolls_back_alone(self) -> None:
        """A function that raises leaves nothing behind."""

        def half(conn: Connection) -> None:
            put(conn, 1)
            raise ValueError("no")

        self.failureResultOf(self.db.run(half), ValueError)
        self.assertEqual(self.db.read(count), 0)

    def test_sqlite_fault_is_store_error(self) -> None:
        """SQL against a missing table is an OperationalError of SQLite and a StoreError of ours."""
        self.failureResultOf(self.db.search(lambda conn: conn.execute("SELECT * FROM missing")), StoreError)

    def test_reader_cannot_write(self) -> None:
        """A read connection refuses to write, whatever function it is given."""
        reader = connect(self.path, writer=False)
        self.assertRaises(sqlite3.OperationalError, put, reader, 1)


class CommitBatchTests(SynchronousTestCase):
    """One transaction for many."""

    def test_one_bad_function_fails_alone(self) -> None:
        """Its neighbours in the batch are committed."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)
        results = commit_batch(conn, [(put, (1,)), (put, (1,)), (put, (2,))])
        self.assertEqual([results[0], results[2]], [1, 2])
        results[1].trap(sqlite3.IntegrityError)
        self.assertEqual(count(conn), 2)

    def test_together(self) -> None:
        """Functions that have a form for many are run in one go where they stand side by side, each with its own result."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)
        results = commit_batch(conn, [(put_one, (1,)), (put_one, (2,)), (put, (3,)), (put_one, (4,))])
        self.assertEqual(results, ["many 1", "many 2", 3, "one 4"])
        self.assertEqual(count(conn), 4)

    def test_together_fails_alone(self) -> None:
        """When many in one go do not go, the one to blame fails alone and nothing of the failed try is left."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)
        results = commit_batch(conn, [(put_one, (1,)), (put_one, (1,)), (put_one, (2,))])
        self.assertEqual([results[0], results[2]], ["one 1", "one 2"])
        results[1].trap(sqlite3.IntegrityError)
        self.assertEqual(count(conn), 2)

    def test_one_alone_fails_once(self) -> None:
        """A function that is all of a batch and raises is not called again, leaves nothing, and the connection goes on."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)
        calls: list[int] = []

        def half(inner: Connection) -> None:
            calls.append(put(inner, 1))
            raise ValueError("no")

        (result,) = commit_batch(conn, [(half, ())])
        result.trap(ValueError)
        self.assertEqual((calls, count(conn)), ([1], 0))
        self.assertEqual(commit_batch(conn, [(put, (1,))]), [1])

    def test_alone_without_savepoint(self) -> None:
        """Calls of one function that are all of a batch are a transaction of no more statements than their own."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)
        said: list[str] = []
        conn.set_trace_callback(said.append)
        commit_batch(conn, [(put_one, (1,)), (put_one, (2,))])
        self.assertEqual([statement.split()[0] for statement in said], ["BEGIN", "INSERT", "INSERT", "COMMIT"])

    def test_one_alone_loses_all(self) -> None:
        """When SQLite gives up the transaction of a function that is all of it, that is a fault of the store."""
        conn = connect(self.mktemp(), writer=True)

        def lose(inner: Connection) -> None:
            inner.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

        self.assertRaises(StoreError, commit_batch, conn, [(lose, ())])
        self.assertFalse(conn.in_transaction)

    def test_lost_transaction_fails_all(self) -> None:
        """When SQLite gives up the whole transaction, nobody is told that it worked."""
        conn = connect(self.mktemp(), writer=True)
        create(conn)

        def lose(inner: Connection) -> None:
            inner.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

        self.assertRaises(StoreError, commit_batch, conn, [(put, (1,)), (lose, ()), (put, (2,))])
        self.assertEqual(count(conn), 0)
        self.assertFalse(conn.in_transaction)


class DatabaseTests(SynchronousTestCase):
    """The door with its threads."""

    def setUp(self) -> None:
        self.hop = Hop()
        self.path = self.mktemp()
        self.batches: list[int] = []
        self.db = Database(self.path, self.hop, lambda transactions, seconds: self.batches.append(transactions))
        self.db.open()
        made = self.db.run(create)
        self.hop.settle()
        self.successResultOf(made)

    def tearDown(self) -> None:
        closed = self.db.close()
        while self.db._is_busy:
            self.hop.settle()
        self.successResultOf(closed)

    def test_waiting_functions_share_one_commit(self) -> None:
        """All functions given in one turn are one batch."""
        waiting = [self.db.run(put, number) for number in range(100)]
        self.hop.settle()
        self.assertEqual([self.successResultOf(each) for each in waiting], list(range(100)))
        self.assertEqual(self.batches, [1, 100])

    def test_one_batch_at_a_time(self) -> None:
        """What comes while a batch is synced waits where it is seen, and is the next batch as a whole."""
        first = self.db.run(put, 0)
        self.hop.advance(0)
        later = []
        for number in (1, 2, 3):
            later.append(self.db.run(put, number))
            self.hop.advance(0)
        self.assertEqual(self.db.pending, 3)
        self.hop.settle(2)
        self.assertEqual([self.successResultOf(each) for each in (first, *later)], [0, 1, 2, 3])
        self.assertEqual((self.batches, self.db.pending), ([1, 1, 3], 0))

    def test_nothing_fires_before_the_commit(self) -> None:
        """The Deferred stays unfired until the writer thread has synced."""
        waiting = self.db.run(put, 1)
        self.hop.advance(0)
        self.assertNoResult(waiting)
        self.hop.settle()
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_read_sees_what_was_committed(self) -> None:
        """A read in the callback of a run finds the row."""
        seen: list[int] = []
        self.db.run(put, 1).addCallback(lambda _: seen.append(self.db.read(count)))
        self.hop.settle()
        self.assertEqual(seen, [1])

    def test_search_answers_from_its_thread(self) -> None:
        """search gives the result, and a fault as StoreError."""
        good = self.db.search(count)
        bad = self.db.search(lambda conn: conn.execute("SELECT * FROM missing"))
        self.hop.settle(2)
        self.assertEqual(self.successResultOf(good), 0)
        self.failureResultOf(bad, StoreError)

    def test_close_commits_what_waits(self) -> None:
        """Closing loses nothing and refuses what comes after."""
        waiting = self.db.run(put, 5)
        closed = self.db.close()
        self.hop.settle()
        self.successResultOf(waiting)
        self.successResultOf(closed)
        self.failureResultOf(self.db.run(put, 6), StoreError)
        self.assertEqual(count(connect(self.path, writer=False)), 1)

    def test_missing_directory_is_a_store_error(self) -> None:
        """A path that cannot be opened says so at once."""
        self.assertRaises(StoreError, Database(os.path.join(self.mktemp(), "no", "store"), self.hop).open)
