"""Forgetting: log rows past their time, space given back to the disk, the write-ahead log kept short.

Promises
- `expire` deletes messages received before a time, oldest first, a bounded number at a time, with everything that hangs on them. A message with a
  delivery that is not finished (queued, quarantined, kept) stays whatever its age.
- `vacuum` gives a bounded number of free pages back; it never rewrites the file.
- `thd_checkpoint` runs on a thread with a connection of its own, because a checkpoint cannot run inside a transaction and must not make the
  writer's queue wait for its syncs. It never waits for readers or the writer: what it cannot move now it moves next time.

Decision: docs/store.md.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from jetmail.errors import StoreError
from jetmail.store.database import Connection, connect


@dataclass(frozen=True, slots=True)
class Expired:
    """`messages` deleted now, `files` are spool files to delete once that is committed, `next` is the id to go on from (0: at the end)."""

    messages: int
    files: tuple[str, ...]
    next: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`is_complete`: everything in the log had been moved to the file. `log_bytes` is the log's size on the disk afterwards."""

    is_complete: bool
    log_bytes: int


def expire(conn: Connection, before: float, after_id: int = 0, limit: int = 200) -> Expired:
    """Delete up to `limit` finished messages received before `before`, looking at ids above `after_id` in order.

    Ids follow arrival, so the first message that is young enough ends the walk; a clock set back makes some rows stay a little longer."""
    rows = conn.execute("SELECT id, received, content_id FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)).fetchall()
    old = [row for row in rows if row[1] < before]
    done = 0
    files: list[str] = []
    for message_id, _, content_id in old:
        needed = "SELECT 1 FROM deliveries WHERE message_id = ? AND finished IS NULL LIMIT 1"
        if conn.execute(needed, (message_id,)).fetchone():
            continue
        if content_id is not None:
            row = conn.execute("SELECT spool FROM content WHERE id = ?", (content_id,)).fetchone()
            files += [row[0]] if row and row[0] else []
            conn.execute("DELETE FROM content WHERE id = ?", (content_id,))
        conn.execute("DELETE FROM events WHERE message_id = ?", (message_id,))
        conn.execute("DELETE FROM deliveries WHERE message_id = ?", (message_id,))
        conn.execute("DELETE FROM messages WHERE id = ?", (message_id,))
        done += 1
    following = rows[-1][0] if len(rows) == limit and len(old) == len(rows) else 0
    return Expired(done, tuple(files), following)


def expire_audit(conn: Connection, before: float, limit: int = 1_000) -> int:
    """Delete up to `limit` audit entries written before `before`. -> how many."""
    return conn.execute("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY id LIMIT ?)", (before, limit)).rowcount


def free_pages(conn: Connection) -> int:
    """Pages of the file that hold nothing."""
    found: int = conn.execute("PRAGMA freelist_count").fetchone()[0]
    return found


def vacuum(conn: Connection, pages: int) -> int:
    """Give up to `pages` free pages back to the disk (the file shrinks at the next checkpoint). -> how many were given back."""
    before = free_pages(conn)
    for _ in range(min(pages, before)):
        # One page a call: the pragma works while it is stepped, has no columns, and Python's sqlite3 steps what has no columns once.
        conn.execute("PRAGMA incremental_vacuum(1)")
    return before - free_pages(conn)


def thd_checkpoint(path: str, truncate_above: int) -> Checkpoint:
    """Move the log into the file; when all was moved and it is longer than `truncate_above` octets, cut it to nothing. Raises StoreError."""
    connection = connect(path, writer=True)
    try:
        busy, in_log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        is_complete = not busy and in_log == moved
        if is_complete and log_bytes(path) > truncate_above:
            connection.execute("PRAGMA busy_timeout=50")  # a moment of the writer's time, never more
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return Checkpoint(is_complete, log_bytes(path))
    except sqlite3.Error as error:
        raise StoreError(f"cannot checkpoint {path}: {error}") from error
    finally:
        connection.close()


def log_bytes(path: str) -> int:
    """The size of the write-ahead log on the disk."""
    try:
        return os.stat(path + "-wal").st_size
    except OSError:
        return 0
