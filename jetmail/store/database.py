"""The store's door: one writer thread with group commit, one read connection for the reactor, one reader thread for long searches.

Promises
- `run(fn, *args)`: `fn(connection, *args)` runs inside one `BEGIN IMMEDIATE ... COMMIT` together with every other function waiting at that
  moment, each in its own SAVEPOINT (neighbours with a form for many, `together`, in one); one sync to disk pays for all (WAL, synchronous=FULL).
  The Deferred fires on the reactor after the sync. A
  function that raises is rolled back alone and only its Deferred fails; when the commit itself fails (disk full, I/O error) all of them fail
  with StoreError, and nothing of them is in the file.
- `read(fn, *args)`: at once, on the reactor thread, on a connection that cannot write. For indexed point reads only (4 us; a thread hop is 70).
- `search(fn, *args)`: the same on a reader thread, for reads that may take long.
- Functions given here are plain functions and cannot wait, so no transaction is ever held open over a network wait.

Batches are formed on the reactor thread: a function waits at most for the batch in front of it, and the thread is woken once a batch, not
once a function. One batch is handed over at a time, so that all that comes while it is synced is the next one, and what waits is in `pending` where
it can be seen. (With a second one ready behind the first, batches are half as large, and each costs the reactor five turns of waiting for the
interpreter's lock: a seventh of the rate.)

Raises StoreError (through the Deferred) for every fault of SQLite or the disk; what a function raises itself comes out unchanged.
InlineDatabase keeps the same promises without threads: for tests and for the command line, where nobody else waits.

Decision: design 2 and 4; docs/store.md.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.errors import StoreError
from jetmail.interfaces import IDatabase

Connection = sqlite3.Connection
Function = Callable[..., Any]

BUSY_MILLISECONDS = 10_000  # another process (the command line) may hold the write lock for a moment
CHECKPOINT_PAGES = 4_000  # 16 MB of WAL between automatic checkpoints: a checkpoint costs two syncs, so not after every few messages
WAL_KEEP_BYTES = 64 << 20  # the WAL file is cut back to this after a burst
MAX_BATCH = 512  # functions in one commit: bounds latency and what a failed commit takes down


class Hop(Protocol):
    """What is needed of a reactor: a way in from a thread, and a way to the end of this turn."""

    def callFromThread(self, fn: Callable[..., Any], *args: Any) -> None: ...

    def callLater(self, delay: float, fn: Callable[..., Any], *args: Any) -> Any: ...

    def seconds(self) -> float: ...


def connect(path: str, *, writer: bool) -> Connection:
    """A connection with the house's settings. Raises StoreError."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cache_size=-8000")
        if writer:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={WAL_KEEP_BYTES}")
            # Some builds of SQLite write zeros over every page they free: delivered content would go through the log twice.
            connection.execute("PRAGMA secure_delete=FAST")
        else:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"cannot open the store {path}: {error}") from error
    return connection


def together(all_at_once: Callable[[Connection, Sequence[Any]], Sequence[Any]]) -> Callable[[Function], Function]:
    """Says of a function of (connection, argument) that `all_at_once(connection, arguments)` does the same for many, all or none, and returns the
    results in order. A batch then runs what stands side by side in one go, and one by one when that fails, so that each still fails alone."""

    def mark(fn: Function) -> Function:
        fn.all_at_once = all_at_once  # type: ignore[attr-defined]
        return fn

    return mark


def commit_batch(connection: Connection, batch: Iterable[tuple[Function, tuple]]) -> list[Any]:
    """Run the functions in one transaction. -> for each its result or a Failure. Raises StoreError when the transaction as a whole failed."""
    results: list[Any] = []
    groups = [(fn, [args for _, args in group]) for fn, group in groupby(batch, key=_function)]
    try:
        connection.execute("BEGIN IMMEDIATE")
        if len(groups) > 1 or not _wholly(connection, *groups[0], results):
            for fn, calls in groups:
                many = getattr(fn, "all_at_once", None)
                found = _alone(connection, many, ([args[0] for args in calls],)) if many is not None and len(calls) > 1 else None
                if found is None or isinstance(found, Failure):
                    results += [_alone(connection, fn, args) for args in calls]
                else:
                    results += found
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # the next BEGIN reports it
        raise _as_store_error(error) from error
    return results


def _function(call: tuple[Function, tuple]) -> Function:
    return call[0]


def _wholly(connection: Connection, fn: Function, calls: list[tuple], results: list[Any]) -> bool:
    """Calls of one function that are all of a batch need no savepoint: each statement saved is one turn less that the reactor waits for the
    interpreter's lock. -> whether their results were added; if not, nothing is left of them and the transaction is as good as new."""
    many = getattr(fn, "all_at_once", None) if len(calls) > 1 else None
    if many is None and len(calls) > 1:
        return False
    try:
        results += [fn(connection, *calls[0])] if many is None else many(connection, [args[0] for args in calls])
    except BaseException as error:
        if not connection.in_transaction:
            raise StoreError(f"transaction lost: {error}") from error
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        if len(calls) > 1:
            return False
        results.append(Failure(_as_store_error(error)))
    return True


def _alone(connection: Connection, fn: Function, args: tuple) -> Any:
    """-> the result, or a Failure when it raised and nothing of it is left. Raises StoreError when the whole transaction is gone."""
    connection.execute("SAVEPOINT one")
    try:
        result = fn(connection, *args)
    except BaseException as error:
        if not connection.in_transaction:  # SQLite gave up the whole transaction (disk full, I/O error): nobody's work is in it any more
            raise StoreError(f"transaction lost: {error}") from error
        connection.execute("ROLLBACK TO one")
        result = Failure(_as_store_error(error))
    connection.execute("RELEASE one")
    return result


def _as_store_error(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return StoreError(str(error))
    return error


def _read(connection: Connection, fn: Function, args: tuple) -> Any:
    try:
        return fn(connection, *args)
    except sqlite3.Error as error:
        raise _as_store_error(error) from error


@implementer(IDatabase)
class InlineDatabase:
    """The same promises, at once and on the caller's thread. `path` may be ':memory:' (one connection serves all three doors)."""

    def __init__(self, path: str) -> None:
        self.connection = connect(path, writer=True)

    def run(self, fn: Function, *args: Any) -> Deferred:
        """A fired Deferred of `fn(connection, *args)`, committed."""
        try:
            result = commit_batch(self.connection, [(fn, args)])[0]
        except StoreError as error:
            return fail(error)
        return fail(result) if isinstance(result, Failure) else succeed(result)

    def read(self, fn: Function, *args: Any) -> Any:
        """`fn(connection, *args)` now."""
        return _read(self.connection, fn, args)

    def search(self, fn: Function, *args: Any) -> Deferred:
        """A fired Deferred of `fn(connection, *args)`."""
        try:
            return succeed(_read(self.connection, fn, args))
        except Exception:
            return fail()

    def close(self) -> Deferred:
        """Close the file."""
        self.connection.close()
        return succeed(None)


class _Waiting:
    """One function on its way to a commit."""

    __slots__ = ("args", "deferred", "fn")

    def __init__(self, fn: Function, args: tuple) -> None:
        self.fn = fn
        self.args = args
        self.deferred: Deferred = Deferred()


@implementer(IDatabase)
class Database:
    """The store of the running process. `open` before use, `close` at the end (it waits for what was given before).

    `on_commit(transactions, seconds)` is told of each group commit."""

    def __init__(self, path: str, hop: Hop, on_commit: Callable[[int, float], None] = lambda transactions, seconds: None) -> None:
        self.path = path
        self._hop = hop
        self._on_commit = on_commit
        self._pending: list[_Waiting] = []
        self._is_busy = False
        self._flush_called = False
        self._closing: Deferred | None = None
        self._is_open = False
        self._to_writer: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._to_reader: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def pending(self) -> int:
        """Functions that wait for a commit and are not yet handed to the writer thread."""
        return len(self._pending)

    def open(self) -> None:
        """Open the connections and start the two threads. Raises StoreError."""
        writer = connect(self.path, writer=True)
        self._reading = connect(self.path, writer=False)
        searching = connect(self.path, writer=False)
        self._is_open = True
        for name, target, connection in (("store-writer", self._thd_write, writer), ("store-reader", self._thd_search, searching)):
            thread = threading.Thread(target=target, args=(connection,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def run(self, fn: Function, *args: Any) -> Deferred:
        """See the module. Fails with StoreError once closed."""
        if not self._is_open:
            return fail(StoreError("the store is closed"))
        waiting = _Waiting(fn, args)
        self._pending.append(waiting)
        if not self._flush_called and not self._is_busy:
            self._flush_called = True
            self._hop.callLater(0, self._flush)
        return waiting.deferred

    def read(self, fn: Function, *args: Any) -> Any:
        """See the module. Raises StoreError."""
        return _read(self._reading, fn, args)

    def search(self, fn: Function, *args: Any) -> Deferred:
        """See the module."""
        if not self._is_open:
            return fail(StoreError("the store is closed"))
        waiting = _Waiting(fn, args)
        self._to_reader.put(waiting)
        return waiting.deferred

    def close(self) -> Deferred:
        """Commit what waits, stop the threads, close the files. -> Deferred that fires when the last sync is done."""
        if not self._is_open:
            return succeed(None)
        self._is_open = False
        self._closing = Deferred()
        self._flush()
        self._close_when_idle()
        return self._closing

    # on the reactor thread

    def _flush(self) -> None:
        self._flush_called = False
        if self._pending and not self._is_busy:
            batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
            self._is_busy = True
            self._to_writer.put(batch)

    def _committed(self, batch: list[_Waiting], results: list[Any], spent: float) -> None:
        self._is_busy = False
        self._on_commit(len(batch), spent)
        if self._pending:
            self._flush()  # first give the writer its next work, then spend time on answers
        for waiting, result in zip(batch, results, strict=True):
            waiting.deferred.callback(result)  # a Failure as result runs the errbacks
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._closing is not None and not self._is_busy and not self._pending and self._threads:
            self._to_writer.put(None)
            self._to_reader.put(None)
            for thread in self._threads:
                thread.join(BUSY_MILLISECONDS / 1000)
            self._threads.clear()
            self._reading.close()
            self._closing.callback(None)

    # on the threads

    def _thd_write(self, connection: Connection) -> None:
        while (batch := self._to_writer.get()) is not None:
            started = self._hop.seconds()
            try:
                results = commit_batch(connection, [(waiting.fn, waiting.args) for waiting in batch])
            except BaseException as error:
                failure = Failure(error)
                results = [failure] * len(batch)
            self._hop.callFromThread(self._committed, batch, results, self._hop.seconds() - started)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # a reader holds it: the next start checkpoints
        connection.close()

    def _thd_search(self, connection: Connection) -> None:
        while (waiting := self._to_reader.get()) is not None:
            result: Any
            try:
                result = _read(connection, waiting.fn, waiting.args)
            except BaseException:
                result = Failure()
            self._hop.callFromThread(waiting.deferred.callback, result)
        connection.close()
