"""The schema's steps: numbered, each applied together with its record in one transaction, with a verified backup first.

Promises
- A store that does not exist is created whole or not at all: it is built under another name beside its place and renamed.
- Before a store is changed, a copy of it stands beside it as `<path>.backup-<version>`, made with SQLite's own backup and checked.
- A step that fails leaves the file as the step before left it, and the error says where the backup is.
- A store made by a newer program is refused and not touched. Two processes that arrive together take turns.
- `PRAGMA user_version` counts the steps applied, so that a store that is up to date costs one look and no import of sqlite-utils.

Raises SchemaError (newer store, failed step, a file that is no store of ours) and StoreError (cannot be opened, read or written).
Decision: design 11; docs/store.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from jetmail.errors import SchemaError, StoreError
from jetmail.store.schema import (
    v0001_directory,
    v0002_traffic,
    v0003_learning,
    v0004_contacts,
    v0005_quarantine,
    v0006_dmarc,
    v0007_smtp_users,
    v0008_transport,
    v0009_outbound_domains,
    v0010_sites,
    v0011_sources,
    v0012_suppressions,
    v0013_returns,
    v0014_api_tokens,
    v0015_webhooks,
    v0016_people,
    v0017_reports,
    v0018_former_senders,
)

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

Step = tuple[str, Callable[[sqlite3.Connection], None]]


def _sql(*texts: str) -> Callable[[sqlite3.Connection], None]:
    def run(connection: sqlite3.Connection) -> None:
        for text in texts:
            for statement in statements(text):
                connection.execute(statement)

    return run


STEPS: tuple[Step, ...] = (
    ("0001_directory", _sql(v0001_directory.SQL, v0001_directory.TRIGGERS)),
    ("0002_traffic", _sql(v0002_traffic.SQL)),
    ("0003_learning", _sql(v0003_learning.SQL)),
    ("0004_contacts", _sql(v0004_contacts.SQL, v0004_contacts.TRIGGERS)),
    ("0005_quarantine", _sql(v0005_quarantine.SQL)),
    ("0006_dmarc", _sql(v0006_dmarc.SQL)),
    ("0007_smtp_users", _sql(v0007_smtp_users.SQL, v0007_smtp_users.TRIGGERS)),
    ("0008_transport", _sql(v0008_transport.SQL)),
    ("0009_outbound_domains", _sql(v0009_outbound_domains.SQL, v0009_outbound_domains.TRIGGERS)),
    ("0010_sites", _sql(v0010_sites.SQL)),
    ("0011_sources", _sql(v0011_sources.SQL, v0011_sources.TRIGGERS)),
    ("0012_suppressions", _sql(v0012_suppressions.SQL)),
    ("0013_returns", _sql(v0013_returns.SQL, v0013_returns.TRIGGERS)),
    ("0014_api_tokens", _sql(v0014_api_tokens.SQL, v0014_api_tokens.TRIGGERS)),
    ("0015_webhooks", _sql(v0015_webhooks.SQL, v0015_webhooks.TRIGGERS)),
    ("0016_people", _sql(v0016_people.SQL, v0016_people.TRIGGERS)),
    ("0017_reports", _sql(v0017_reports.SQL, v0017_reports.TRIGGERS)),
    ("0018_former_senders", _sql(v0018_former_senders.SQL, v0018_former_senders.TRIGGERS)),
)
SCHEMA_VERSION = len(STEPS)
SET_NAME = "jetmail"
LOCK_SUFFIX = ".migrating"


def apply(path: str, steps: tuple[Step, ...] = STEPS) -> int:
    """Bring the store at `path` to the version of this program, creating it where there is none. -> the number of steps applied now."""
    if os.path.exists(path) and (version := schema_version(path)) >= len(steps):
        if version > len(steps):
            raise SchemaError(_newer(path, version, len(steps)))
        return 0
    with _lock(path):
        if not os.path.exists(path):
            if os.path.exists(path + "-wal"):
                raise SchemaError(f"{path} is gone but its write-ahead log {path}-wal is there: put the store back, or remove the log to begin anew")
            return _create(path, steps)
        version = schema_version(path)  # again: somebody else may have done it while we waited
        if version > len(steps):
            raise SchemaError(_newer(path, version, len(steps)))
        if version == len(steps):
            return 0
        if version == 0 and not _is_blank(path):
            raise SchemaError(f"{path} is a database, but not a store of this program; nothing was changed")
        kept = backup(path, version)
        return _run_steps(path, steps, f"; the store is as it was, a copy is {kept}")


def schema_version(path: str) -> int:
    """How many steps the store at `path` has seen; 0 for an empty database. Raises StoreError when the file cannot be read as one."""
    with _opened(path, mode="ro") as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # user_version alone does not notice a damaged schema
        return version


def backup(path: str, version: int) -> str:
    """A checked copy of the store at `<path>.backup-<version>`. -> its path. Raises StoreError when it cannot be made or does not check."""
    kept = f"{path}.backup-{version}"
    making = kept + ".new"
    _forget(making)
    try:
        with _opened(path, mode="ro") as source, contextlib.closing(sqlite3.connect(making, isolation_level=None)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            verdict = target.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        _forget(making)
        raise StoreError(f"cannot back up {path} to {kept}: {error}") from error
    if verdict != "ok":
        _forget(making)
        raise StoreError(f"the store {path} is damaged ({verdict}); its schema is not touched, restore a backup")
    _sync(making)
    os.replace(making, kept)
    _sync(os.path.dirname(kept) or ".")
    return kept


def statements(text: str) -> Iterator[str]:
    """The single statements of a piece of SQL, triggers whole. (sqlite3's own executescript would commit the transaction it is called in.)"""
    gathered = ""
    for line in text.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            yield gathered.strip()
            gathered = ""
    if gathered.strip():
        raise ValueError(f"unfinished SQL: {gathered.strip()[:60]}")


def _create(path: str, steps: tuple[Step, ...]) -> int:
    making = path + ".new"
    for leftover in (making, making + "-wal", making + "-shm", making + "-journal"):
        _forget(leftover)
    try:
        applied = _run_steps(making, steps, "; no store was made")
        _sync(making)
        os.replace(making, path)
        _sync(os.path.dirname(path) or ".")
    except OSError as error:
        raise StoreError(f"cannot create the store {path}: {error.strerror}") from error
    finally:
        _forget(making)
    return applied


def _run_steps(path: str, steps: tuple[Step, ...], comfort: str) -> int:
    from sqlite_utils import Database  # here, not above: it is needed when the schema changes, and costs 10 MB and 0.2 s

    with _opened(path, mode="rwc") as connection:
        if schema_of(connection) == 0:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only takes effect before the first table
        database = Database(connection, execute_plugins=False)
        try:
            migrations = _migrations(steps)
            unknown = {done.name for done in migrations.applied(database)} - {name for name, _ in steps}
            if unknown:
                raise SchemaError(f"{path} knows steps this program does not ({', '.join(sorted(unknown))}); nothing was changed")
            before = schema_of(connection)
            migrations.apply(database)
            return schema_of(connection) - before
        except SchemaError:
            raise
        except Exception as error:
            raise SchemaError(f"cannot bring {path} to version {len(steps)}: {error}{comfort}") from error


def _migrations(steps: tuple[Step, ...]) -> Migrations:
    from sqlite_utils import Migrations

    migrations = Migrations(SET_NAME)
    for number, (name, change) in enumerate(steps, 1):

        def step(database: Database, number: int = number, change: Callable[[sqlite3.Connection], None] = change) -> None:
            change(database.conn)
            database.conn.execute(f"PRAGMA user_version={number}")  # part of the transaction, like any page

        migrations(name=name)(step)
    return migrations


def schema_of(connection: sqlite3.Connection) -> int:
    """`schema_version` of an open connection."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextlib.contextmanager
def _opened(path: str, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(f"file:{_escaped(path)}?mode={mode}", uri=True, isolation_level=None, timeout=30)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    with contextlib.closing(connection):
        try:
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        except sqlite3.DatabaseError as error:
            raise StoreError(f"cannot read the store {path}: {error}") from error


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
    """One process at a time makes or changes the store. The lock dies with its holder, the empty file stays."""
    try:
        descriptor = os.open(path + LOCK_SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot write beside the store {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_blank(path: str) -> bool:
    with _opened(path, mode="ro") as connection:
        count: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return count == 0


def _newer(path: str, version: int, known: int) -> str:
    return f"{path} has schema version {version}, this program knows {known}: it was written by a newer jetmail. Nothing was changed"


def _escaped(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _forget(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
