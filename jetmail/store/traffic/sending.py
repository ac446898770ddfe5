"""What SMTP users send, counted: the quota's windows, in the transaction that accepts a message, and hours of activity, written behind the mail.

`count_message` is one statement on the accepting transaction of a user who has a quota, and none for others. Everything else here comes in batches
and may lose its last seconds with a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from jetmail.store.database import Connection

HOUR = 3600.0
_FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
FIGURES = ("messages", "newcomers", "rejections", "spam", "virus")


class Hour(NamedTuple):
    """A row of `sending`, or what is to be added to one. `hour` epoch seconds / 3600; `sender` '': all of the user."""

    hour: int
    user: str
    sender: str = ""
    messages: int = 0
    newcomers: int = 0
    rejections: int = 0
    spam: int = 0
    virus: int = 0


def period(window: str, now: float) -> str:
    """The name of the window `now` is in: '2026-11', '2026-11-20' or '2026-11-20T07' (UTC)."""
    return datetime.fromtimestamp(now, UTC).strftime(_FORMATS[window])


def period_end(window: str, now: float) -> float:
    """When that window is over."""
    at = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    if window == "hour":
        return (at + timedelta(hours=1)).timestamp()
    at = at.replace(hour=0)
    if window == "day":
        return (at + timedelta(days=1)).timestamp()
    return (at.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()


def count_message(conn: Connection, user: str, name: str) -> None:
    """One more message of the user in the window of that name."""
    conn.execute(
        "INSERT INTO quota_usage (user, period, messages) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET messages = messages + 1", (user, name)
    )


def used(conn: Connection, user: str, name: str) -> int:
    """How many messages of the user the window of that name has seen."""
    row = conn.execute("SELECT messages FROM quota_usage WHERE user = ? AND period = ?", (user, name)).fetchone()
    return int(row[0]) if row else 0


def add(conn: Connection, hours: Iterable[Hour], seen: Mapping[str, float]) -> None:
    """Add what happened to its hours, and note when users were last seen."""
    conn.executemany(
        """INSERT INTO sending (hour, user, sender, messages, newcomers, rejections, spam, virus) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, newcomers = newcomers + excluded.newcomers,
            rejections = rejections + excluded.rejections, spam = spam + excluded.spam, virus = virus + excluded.virus""",
        list(hours),
    )
    conn.executemany(
        "INSERT INTO smtp_user_activity (user, last_used) VALUES (?, ?) ON CONFLICT DO UPDATE SET last_used = max(last_used, excluded.last_used)",
        list(seen.items()),
    )


def hours(conn: Connection, user: str, sender: str, since: int) -> tuple[Hour, ...]:
    """The hours of one sender from `since` on."""
    rows = conn.execute(
        f"SELECT hour, user, sender, {', '.join(FIGURES)} FROM sending WHERE user = ? AND sender = ? AND hour >= ? ORDER BY hour",
        (user, sender, since),
    ).fetchall()
    return tuple(Hour(*row) for row in rows)


def totals(conn: Connection, user: str, since: int) -> dict[str, int]:
    """The user's figures from the hour `since` on, added up."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in FIGURES)
    row = conn.execute(f"SELECT {sums} FROM sending WHERE user = ? AND sender = '' AND hour >= ?", (user, since)).fetchone()
    return dict(zip(FIGURES, row, strict=True))


def returned(conn: Connection, after: int, limit: int) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Deliveries of users' mail that ended without being taken, or came back after all, and complaints, among the `limit` events behind the id
    `after`.
    -> (the last event looked at, (user, envelope sender) of each)."""
    last = conn.execute("SELECT max(id) FROM (SELECT id FROM events WHERE id > ? ORDER BY id LIMIT ?)", (after, limit)).fetchone()[0]
    if last is None:
        return after, ()
    rows = conn.execute(
        """SELECT m.user, m.sender FROM events AS e JOIN messages AS m ON m.id = e.message_id LEFT JOIN deliveries AS d ON d.id = e.delivery_id
            WHERE e.id > ? AND e.id <= ? AND m.user <> '' AND (e.kind = 'complaint' OR
            (e.kind IN ('attempt', 'expired', 'bounced-later') AND d.status = 'rejected'
            AND d.reason <> 'suppressed' AND d.finished = e.at))""",
        (after, last),
    ).fetchall()
    return int(last), tuple((user, sender) for user, sender in rows)


def last_event(conn: Connection) -> int:
    """The newest event there is."""
    return int(conn.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])


def forget(conn: Connection, before: int, limit: int = 1_000) -> int:
    """Forget up to `limit` rows of hours before that one, and the quota's windows that began in them. -> how many."""
    oldest = datetime.fromtimestamp(before * HOUR, UTC).strftime(_FORMATS["month"])
    gone = conn.execute(
        "DELETE FROM sending WHERE (hour, user, sender) IN (SELECT hour, user, sender FROM sending WHERE hour < ? LIMIT ?)", (before, limit)
    ).rowcount
    gone += conn.execute(
        "DELETE FROM quota_usage WHERE (user, period) IN (SELECT user, period FROM quota_usage WHERE period < ? LIMIT ?)", (oldest, limit)
    ).rowcount
    return gone
