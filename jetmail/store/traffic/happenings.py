"""What happened to mail, read on from where one has read: for webhooks, which are told behind the mail and never on its way.

Two streams, each in the order of its ids. `deliveries` rows say what was decided when a message came (queued, or refused, or kept), one a recipient;
`events` rows say what happened afterwards. Ids are given in the order of commits, because one writes at a time, so nothing appears behind a position
once it was read. A table that was emptied begins again at 1: a position beyond the newest row counts as 0.

The status a delivery had at first is not kept once it changes; `deliveries_after` finds it from what is.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from jetmail.store.database import Connection


class Position(NamedTuple):
    """The last delivery and the last event that were read."""

    delivery: int = 0
    event: int = 0


class Happening(NamedTuple):
    """One of them. `kind` '' what was decided when it came (`status` is that decision), else the event's. `recipient` '' where it concerns the
    whole message. `row` is the id in its stream, `detail` the event's own."""

    row: int
    at: float
    kind: str
    detail: dict[str, Any]
    uid: str
    direction: str
    received: float
    sender: str
    header_from: str
    subject: str
    message_id: str
    user: str
    recipient: str
    domain: str
    status: str
    reason: str
    reply: str


_MESSAGE = "m.uid, m.direction, m.received, m.sender, m.header_from, m.subject, m.message_id, m.user"
# What was decided when it came: what an event says it was before people or time ended it; a refusal at the door ends as it comes, untried; what is
# kept shows it; everything else was queued.
_FIRST = """coalesce(
        (SELECT json_extract(e.detail, '$.was') FROM events AS e WHERE e.message_id = d.message_id AND e.delivery_id = d.id
            AND e.kind IN ('released', 'deleted', 'dropped') AND json_valid(e.detail) ORDER BY e.id LIMIT 1),
        CASE WHEN d.finished = m.received AND d.attempts = 0 THEN d.status
            WHEN d.status IN ('quarantined', 'spam') THEN d.status ELSE 'queued' END)"""


def newest(conn: Connection) -> Position:
    """Where a reader who wants nothing of the past begins."""
    return Position(*conn.execute("SELECT (SELECT coalesce(max(id), 0) FROM deliveries), (SELECT coalesce(max(id), 0) FROM events)").fetchone())


def position_at(conn: Connection, at: float) -> Position:
    """A position behind which everything lies that happened at `at` or later, times being in order as ids are."""
    last = newest(conn)
    deliveries = "SELECT d.id, m.received FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id >= ? ORDER BY d.id LIMIT 1"
    events = "SELECT id, at FROM events WHERE id >= ? ORDER BY id LIMIT 1"
    return Position(_before(conn, deliveries, last.delivery, at), _before(conn, events, last.event, at))


def _before(conn: Connection, first_from: str, last: int, at: float) -> int:
    """The greatest id before which every row is older than `at`: a search by halves over ids."""
    low, high = 0, last + 1
    while low + 1 < high:
        middle = (low + high) // 2
        row = conn.execute(first_from, (middle,)).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0]
    return low


def deliveries_after(conn: Connection, after: int, limit: int) -> tuple[int, tuple[Happening, ...]]:
    """What was decided about up to `limit` deliveries behind the id `after`. -> (the last one looked at, they). Give it to `search`."""
    last = _last(conn, "deliveries", after, limit)
    rows = conn.execute(
        f"""SELECT d.id, {_MESSAGE}, d.recipient, d.domain, {_FIRST}, d.status, d.reason, d.reply
            FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id > ? AND d.id <= ? ORDER BY d.id""",
        (after, last),
    ).fetchall()
    # Reason and reply are those of its last attempt: of a delivery that has moved on since they say nothing about how it came.
    moved = [row[11] == "queued" or row[11] != row[12] for row in rows]
    return last, tuple(
        Happening._make([row[0], row[3], "", {}, *row[1:12], *(("", "") if has_moved else row[13:])])
        for row, has_moved in zip(rows, moved, strict=True)
    )


def events_after(conn: Connection, after: int, limit: int) -> tuple[int, tuple[Happening, ...]]:
    """The same of the events. Status, reason and reply are the delivery's as they are now. Give it to `search`."""
    last = _last(conn, "events", after, limit)
    rows = conn.execute(
        f"""SELECT e.id, e.at, e.kind, e.detail, {_MESSAGE}, coalesce(d.recipient, ''), coalesce(d.domain, ''), coalesce(d.status, ''),
            coalesce(d.reason, ''), coalesce(d.reply, '')
            FROM events AS e JOIN messages AS m ON m.id = e.message_id LEFT JOIN deliveries AS d ON d.id = e.delivery_id
            WHERE e.id > ? AND e.id <= ? ORDER BY e.id""",
        (after, last),
    ).fetchall()
    return last, tuple(Happening._make([*row[:3], _object(row[3]), *row[4:]]) for row in rows)


def _last(conn: Connection, table: str, after: int, limit: int) -> int:
    found = conn.execute(f"SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)", (after, limit)).fetchone()[0]
    return after if found is None else int(found)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
