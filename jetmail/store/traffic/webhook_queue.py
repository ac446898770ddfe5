"""Events on their way to webhooks: one row an event and webhook, until it was taken or kept as a dead letter.

Promises
- `add` writes what is to be told and how far the happenings were read in one transaction: a crash repeats neither and loses none. The same event is
  never queued twice for the same webhook.
- It is bounded for each webhook: beyond `waiting` rows the oldest become dead letters that say why; of dead letters and of what was taken a number
  is kept, the newest.
- `claim` records an attempt and when the next would be before anybody dials, so that a crash can neither hammer a receiver nor forget.
- A dead letter can be sent again: it is then as if it were new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jetmail.store.database import Connection
from jetmail.store.traffic.happenings import Position

WAITING, DELIVERED, DEAD = STATES = ("waiting", "delivered", "dead")
BACKLOG = "more events waited than webhooks.backlog allows"
MAX_ERROR = 300


class NewEvent(NamedTuple):
    """One to be told."""

    webhook: str
    event: str
    type: str
    body: bytes


class Bounds(NamedTuple):
    """How many rows of each state one webhook may have."""

    waiting: int = 10_000
    dead: int = 10_000
    delivered: int = 1_000


class DueEvent(NamedTuple):
    """One that waits. `attempts` made so far."""

    id: int
    webhook: str
    event: str
    body: bytes
    attempts: int


class Told(NamedTuple):
    """What became of an attempt. `state` waiting: again at `next_attempt`."""

    id: int
    state: str
    status: int
    error: str
    at: float
    next_attempt: float = 0.0


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """A row as people see it. `status` of the last answer, 0 without one."""

    id: int
    webhook: str
    event: str
    type: str
    state: str
    attempts: int
    next_attempt: float
    status: int
    error: str
    created: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How many rows of each state a webhook has, and since when the oldest waits."""

    waiting: int = 0
    delivered: int = 0
    dead: int = 0
    oldest: float | None = None


_ROW = "id, webhook, event, type, state, attempts, next_attempt, last_status, last_error, created, finished"


def position(conn: Connection) -> Position | None:
    """How far the happenings were read; None before there was a webhook."""
    row = conn.execute("SELECT delivery, event FROM webhook_position").fetchone()
    return Position(*row) if row else None


def add(conn: Connection, news: Sequence[NewEvent], reached: Position, now: float, bounds: Bounds) -> dict[str, int]:
    """Queue these, due at once, and note how far was read. -> for each webhook how many became dead letters because too many waited."""
    conn.execute("INSERT OR REPLACE INTO webhook_position (only_row, delivery, event) VALUES (1, ?, ?)", reached)
    conn.executemany(
        "INSERT OR IGNORE INTO webhook_queue (webhook, event, type, body, next_attempt, created) VALUES (?, ?, ?, ?, ?, ?)",
        [(*new, now, now) for new in news],
    )
    return {webhook: died for webhook in dict.fromkeys(new.webhook for new in news) if (died := _bound(conn, webhook, now, bounds))}


def put(conn: Connection, new: NewEvent, now: float) -> None:
    """Queue one that did not come of mail."""
    conn.execute("INSERT INTO webhook_queue (webhook, event, type, body, next_attempt, created) VALUES (?, ?, ?, ?, ?, ?)", (*new, now, now))


def _bound(conn: Connection, webhook: str, now: float, bounds: Bounds) -> int:
    beyond = "(SELECT id FROM webhook_queue WHERE webhook = ? AND state = ? ORDER BY id DESC LIMIT -1 OFFSET ?)"
    died = conn.execute(
        f"UPDATE webhook_queue SET state = 'dead', finished = ?, last_error = ? WHERE id IN {beyond}",
        (now, BACKLOG, webhook, WAITING, bounds.waiting),
    ).rowcount
    for state, limit in ((DEAD, bounds.dead), (DELIVERED, bounds.delivered)):
        conn.execute(f"DELETE FROM webhook_queue WHERE id IN {beyond}", (webhook, state, limit))
    return died


def due(conn: Connection, webhook: str, now: float, limit: int) -> list[DueEvent]:
    """The longest due of one webhook."""
    rows = conn.execute(
        """SELECT id, webhook, event, body, attempts FROM webhook_queue WHERE webhook = ? AND state = 'waiting' AND next_attempt <= ?
            ORDER BY next_attempt, id LIMIT ?""",
        (webhook, now, limit),
    ).fetchall()
    return [DueEvent(*row) for row in rows]


def claim(conn: Connection, wanted: Iterable[tuple[int, float]]) -> set[int]:
    """(id, when it would be due again) -> those whose attempt is now recorded: still waiting."""
    return {
        row_id
        for row_id, again in wanted
        if conn.execute(
            "UPDATE webhook_queue SET attempts = attempts + 1, next_attempt = ? WHERE id = ? AND state = 'waiting'", (again, row_id)
        ).rowcount
    }


def record(conn: Connection, told: Told) -> None:
    """What became of an attempt. What was taken is delivered, whatever else was decided meanwhile; nothing else overrules that."""
    if told.state == WAITING:
        conn.execute(
            "UPDATE webhook_queue SET last_status = ?, last_error = ?, next_attempt = ? WHERE id = ? AND state = 'waiting'",
            (told.status, told.error[:MAX_ERROR], told.next_attempt, told.id),
        )
    else:
        conn.execute(
            """UPDATE webhook_queue SET state = ?, last_status = ?, last_error = ?, finished = ?
                WHERE id = ? AND (state = 'waiting' OR ? = 'delivered')""",
            (told.state, told.status, told.error[:MAX_ERROR], told.at, told.id, told.state),
        )


def unclaim(conn: Connection, row_id: int, now: float) -> None:
    """The claimed attempt was not finished because the process stops: due at once."""
    conn.execute("UPDATE webhook_queue SET attempts = max(attempts - 1, 0), next_attempt = ? WHERE id = ? AND state = 'waiting'", (now, row_id))


def again(conn: Connection, webhook: str, now: float, ids: Sequence[int] | None = None, limit: int = 1_000) -> list[QueuedEvent]:
    """Make dead letters of one webhook (all, or those of `ids`) due as if they were new, oldest first. -> what they were."""
    dead = f"SELECT {_ROW} FROM webhook_queue WHERE webhook = ? AND state = 'dead'"
    if ids is None:
        rows = conn.execute(f"{dead} ORDER BY id LIMIT ?", (webhook, limit)).fetchall()
    else:
        rows = [row for row_id in ids[:limit] if (row := conn.execute(f"{dead} AND id = ?", (webhook, row_id)).fetchone())]
    conn.executemany(
        "UPDATE webhook_queue SET state = 'waiting', attempts = 0, next_attempt = ?, finished = NULL WHERE id = ?", [(now, row[0]) for row in rows]
    )
    return [QueuedEvent(*row) for row in rows]


def get(conn: Connection, webhook: str, event: str) -> QueuedEvent | None:
    """One event of one webhook, by the event's id."""
    row = conn.execute(f"SELECT {_ROW} FROM webhook_queue WHERE webhook = ? AND event = ?", (webhook, event)).fetchone()
    return QueuedEvent(*row) if row else None


def body_of(conn: Connection, row_id: int) -> bytes:
    """What is sent; b'' when it is gone."""
    row = conn.execute("SELECT body FROM webhook_queue WHERE id = ?", (row_id,)).fetchone()
    return bytes(row[0]) if row else b""


def listing(conn: Connection, webhook: str, states: Iterable[str] = STATES, limit: int = 100) -> list[QueuedEvent]:
    """Of one webhook, newest first."""
    found: list[QueuedEvent] = []
    for state in states:
        rows = conn.execute(
            f"SELECT {_ROW} FROM webhook_queue WHERE webhook = ? AND state = ? ORDER BY id DESC LIMIT ?", (webhook, state, limit)
        ).fetchall()
        found += [QueuedEvent(*row) for row in rows]
    return sorted(found, key=lambda row: row.id, reverse=True)[:limit]


def figures(conn: Connection, webhook: str) -> Figures:
    """How it stands."""
    counted = dict(conn.execute("SELECT state, count(*) FROM webhook_queue WHERE webhook = ? GROUP BY state", (webhook,)).fetchall())
    oldest = conn.execute("SELECT created FROM webhook_queue WHERE webhook = ? AND state = 'waiting' ORDER BY id LIMIT 1", (webhook,)).fetchone()
    return Figures(counted.get(WAITING, 0), counted.get(DELIVERED, 0), counted.get(DEAD, 0), oldest[0] if oldest else None)


def forget(conn: Connection, webhook: str, limit: int = 1_000) -> int:
    """Forget up to `limit` rows of a webhook that is gone. -> how many."""
    return conn.execute("DELETE FROM webhook_queue WHERE id IN (SELECT id FROM webhook_queue WHERE webhook = ? LIMIT ?)", (webhook, limit)).rowcount


def waiting(conn: Connection) -> tuple[str, ...]:
    """The webhooks for which something waits, due or not."""
    return _each(conn, "SELECT min(webhook) FROM webhook_queue INDEXED BY webhook_queue_due WHERE state = 'waiting' AND webhook > ?")


def known(conn: Connection) -> tuple[str, ...]:
    """The webhooks that have rows."""
    return _each(conn, "SELECT min(webhook) FROM webhook_queue WHERE webhook > ?")


def _each(conn: Connection, following: str) -> tuple[str, ...]:
    """From one to the next by the index: there are few, and many rows of each."""
    found: list[str] = []
    while (row := conn.execute(following, (found[-1] if found else "",)).fetchone())[0] is not None:
        found.append(row[0])
    return tuple(found)


def expire(conn: Connection, webhook: str, dead_before: float, delivered_before: float, limit: int = 1_000) -> int:
    """Forget up to `limit` rows of one webhook that ended before those times. -> how many."""
    return conn.execute(
        """DELETE FROM webhook_queue WHERE id IN (SELECT id FROM webhook_queue
            WHERE webhook = ? AND ((state = 'dead' AND finished < ?) OR (state = 'delivered' AND finished < ?)) LIMIT ?)""",
        (webhook, dead_before, delivered_before, limit),
    ).rowcount
