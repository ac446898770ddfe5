"""Lanes: the queue seen by destination, and what is remembered of destinations that are down or suspended.

Promises
- `following` walks the destinations that have mail waiting one index seek each (a loose scan of the partial index (destination, next_attempt)), so
  100,000 waiting rows of one destination cost as much as one.
- A lane without a row in `destinations` is well. The row survives a restart, so that a dead destination is not met anew by every boot.
- Whether people suspended a lane is theirs: what the queue writes leaves it alone.

Decision: design 5; docs/queue.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection
from jetmail.store.traffic.deliveries import WARM_UP

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class LaneState:
    """A row of `destinations`. Down: `down_since` is set, nobody dials before `not_before`, `reason` and `reply` are of the last probe."""

    name: str
    failures: int = 0
    down_since: float | None = None
    not_before: float = 0.0
    reason: str = ""
    reply: str = ""
    suspended: bool = False


_COLUMNS = "name, failures, down_since, not_before, reason, reply, suspended"


def following(conn: Connection, after: str, limit: int) -> list[tuple[str, float]]:
    """The next `limit` destinations in order of name with mail waiting, and when their first is due."""
    found: list[tuple[str, float]] = []
    while len(found) < limit:
        row = conn.execute(
            """SELECT destination, next_attempt FROM deliveries WHERE status = 'queued' AND held = 0 AND destination > ?
                ORDER BY destination, next_attempt LIMIT 1""",
            (after,),
        ).fetchone()
        if row is None:
            break
        found.append(row)
        after = row[0]
    return found


def first_due(conn: Connection, name: str) -> float | None:
    """When the lane's first waiting delivery is due."""
    row = conn.execute(
        "SELECT next_attempt FROM deliveries WHERE status = 'queued' AND held = 0 AND destination = ? ORDER BY next_attempt LIMIT 1", (name,)
    ).fetchone()
    return row[0] if row else None


def state(conn: Connection, name: str) -> tuple[LaneState, bool]:
    """What is known of a lane, and whether mail that failed more than once waits in it."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM destinations WHERE name = ?", (name,)).fetchone()
    last = conn.execute(
        "SELECT attempts FROM deliveries WHERE status = 'queued' AND held = 0 AND destination = ? ORDER BY next_attempt DESC LIMIT 1", (name,)
    ).fetchone()
    return (_state(row) if row else LaneState(name)), bool(last and last[0] > 1)


def states(conn: Connection, limit: int = 10_000) -> list[LaneState]:
    """Lanes that are down or suspended, for people and for the running queue."""
    return [_state(row) for row in conn.execute(f"SELECT {_COLUMNS} FROM destinations ORDER BY name LIMIT ?", (limit,))]


def save(conn: Connection, lane: LaneState) -> None:
    """Remember that a lane is down."""
    conn.execute(
        """INSERT INTO destinations (name, failures, down_since, not_before, reason, reply) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            failures = excluded.failures, down_since = excluded.down_since, not_before = excluded.not_before, reason = excluded.reason,
            reply = excluded.reply, site = ''""",
        (lane.name, lane.failures, lane.down_since, lane.not_before, lane.reason, lane.reply),
    )


def clear(conn: Connection, name: str) -> None:
    """Remember that a lane is well."""
    conn.execute("DELETE FROM destinations WHERE name = ? AND suspended = 0", (name,))
    conn.execute(
        "UPDATE destinations SET failures = 0, down_since = NULL, not_before = 0, reason = '', reply = '', site = '' WHERE name = ?", (name,)
    )


def wake(conn: Connection, now: float, name: str) -> int:
    """The destination answers again: what failed before and waits for a later time is due now. -> how many."""
    return conn.execute(
        """UPDATE deliveries SET next_attempt = ? WHERE status = 'queued' AND held = 0 AND destination = ? AND next_attempt > ?
            AND reason NOT IN ('', ?)""",
        (now, name, now, WARM_UP),
    ).rowcount


def rebase(conn: Connection, now: float, horizon: float) -> int:
    """The clock went back: nothing may wait longer than any schedule would have it. -> how many deliveries were due too far ahead."""
    conn.execute("UPDATE destinations SET not_before = ? WHERE not_before > ?", (now, now + horizon))
    return conn.execute(
        "UPDATE deliveries SET next_attempt = ? WHERE status = 'queued' AND held = 0 AND next_attempt > ? AND (reason <> ? OR next_attempt > ?)",
        (now, now + horizon, WARM_UP, now + horizon + DAY),
    ).rowcount


def prune(conn: Connection, before: float) -> int:
    """Forget lanes that were last tried before that time and have no mail waiting. -> how many."""
    return conn.execute(
        """DELETE FROM destinations WHERE suspended = 0 AND not_before < ? AND NOT EXISTS
            (SELECT 1 FROM deliveries WHERE status = 'queued' AND held = 0 AND destination = destinations.name)""",
        (before,),
    ).rowcount


def suspend(conn: Connection, name: str, now: float | None = None, by: str = "", note: str = "") -> None:
    """People's wish: dial nothing there until `resume`. Its mail waits and does not expire."""
    conn.execute(
        """INSERT INTO destinations (name, suspended, suspended_since, suspended_by, suspended_reason) VALUES (?, 1, ?, ?, ?) ON CONFLICT (name)
            DO UPDATE SET suspended = 1, suspended_since = coalesce(suspended_since, excluded.suspended_since), suspended_by = excluded.suspended_by,
            suspended_reason = excluded.suspended_reason""",
        (name, now, by, note),
    )
    conn.execute("UPDATE queue_version SET version = version + 1")


def resume(conn: Connection, name: str) -> bool:
    """The end of `suspend`, and of the pause of one that is down: it is probed now. -> whether there was anything to end."""
    found = conn.execute("SELECT 1 FROM destinations WHERE name = ? AND (suspended = 1 OR down_since IS NOT NULL)", (name,)).fetchone() is not None
    conn.execute(
        """UPDATE destinations SET suspended = 0, suspended_since = NULL, suspended_by = '', suspended_reason = '',
            not_before = CASE WHEN site = '' THEN 0 ELSE not_before END WHERE name = ?""",
        (name,),
    )
    conn.execute("DELETE FROM destinations WHERE name = ? AND down_since IS NULL AND site = ''", (name,))
    conn.execute("UPDATE queue_version SET version = version + 1")
    return found


def site_of(conn: Connection, name: str) -> str:
    """The site that destination waits for, '' when it waits for none."""
    row = conn.execute("SELECT site FROM destinations WHERE name = ?", (name,)).fetchone()
    return row[0] if row else ""


def version(conn: Connection) -> int:
    """Changes whenever people changed the queue behind its back."""
    found: int = conn.execute("SELECT version FROM queue_version").fetchone()[0]
    return found


def _state(row: tuple) -> LaneState:
    name, failures, down_since, not_before, reason, reply, suspended = row
    return LaneState(name, failures, down_since, not_before, reason, reply, bool(suspended))
