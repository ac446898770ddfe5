"""What left from each source in each UTC day: counted with the outcomes of deliveries, in their transaction."""

from __future__ import annotations

from collections.abc import Iterable

from jetmail.store.database import Connection


def add(conn: Connection, counted: Iterable[tuple[str, str]]) -> None:
    """(source, day), once for each recipient a destination took the message for."""
    counts: dict[tuple[str, str], int] = {}
    for item in counted:
        counts[item] = counts.get(item, 0) + 1
    conn.executemany(
        "INSERT INTO source_days (source, day, sent) VALUES (?, ?, ?) ON CONFLICT (source, day) DO UPDATE SET sent = sent + excluded.sent",
        [(source, day, sent) for (source, day), sent in counts.items()],
    )


def sent(conn: Connection, source: str, day: str) -> int:
    """How much left from it on that day."""
    row = conn.execute("SELECT sent FROM source_days WHERE source = ? AND day = ?", (source, day)).fetchone()
    return int(row[0]) if row else 0


def days(conn: Connection, source: str, limit: int = 400) -> list[tuple[str, int]]:
    """(day, how much) of the days on which something left, newest first."""
    return conn.execute("SELECT day, sent FROM source_days WHERE source = ? ORDER BY day DESC LIMIT ?", (source, limit)).fetchall()


def expire(conn: Connection, before: str) -> None:
    """Forget the days before that one."""
    conn.execute("DELETE FROM source_days WHERE day < ?", (before,))
