"""Two counters that tell a process its memory is old: of the directory (kept by triggers) and of what people did to the queue."""

from __future__ import annotations

from jetmail.store.database import Connection


def directory_version(conn: Connection) -> int:
    """Grows with every change of what people configure."""
    version: int = conn.execute("SELECT version FROM directory_version").fetchone()[0]
    return version


def queue_version(conn: Connection) -> int:
    """Grows when people change the queue (hold, retry, bounce ...), not when mail moves."""
    version: int = conn.execute("SELECT version FROM queue_version").fetchone()[0]
    return version


def bump_queue(conn: Connection) -> None:
    """Say that the queue was changed by people."""
    conn.execute("UPDATE queue_version SET version = version + 1")
