"""Administration: what people see of the queue and do to it, by selection.

Promises
- Every change is an event of its message that names who did it, and bumps `queue_version`, so that the running queue looks again.
- A change touches at most `limit` deliveries and returns how many it did; what it did it will not find again, so a caller repeats until fewer than
  `limit` come back and never holds the writer for long.
- `bounce` only asks: the queue makes the report and ends the delivery in one transaction, at once when it runs, at its start when it does not.

Raises UsageError for a change with an empty selection (say `everything` to mean it).
Decision: design 10, 14; docs/queue.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jetmail.errors import UsageError
from jetmail.store.database import Connection
from jetmail.store.traffic.deliveries import OPERATOR, free_content

LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """Queued deliveries that meet every criterion given. `ids` of deliveries, `uids` of messages, `recipient` and `sender` whole without regard to
    case, `destination` and `domain` exact, `domains` any of them (a caller's scope), `text` a part of recipient, sender or subject, `older_than`
    seconds since it was queued, `held` None for both, `reason` the word of the last failure."""

    ids: tuple[int, ...] = ()
    uids: tuple[str, ...] = ()
    recipient: str = ""
    sender: str = ""
    destination: str = ""
    domain: str = ""
    domains: tuple[str, ...] | None = None
    text: str = ""
    older_than: float = 0.0
    held: bool | None = None
    reason: str = ""
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """No criterion that narrows it (a scope alone does not)."""
        wanted = (self.ids, self.uids, self.recipient, self.sender, self.destination, self.domain, self.text, self.older_than, self.reason)
        return not any(wanted) and self.held is None


@dataclass(frozen=True, slots=True)
class Queued:
    """A row of the queue as people see it. `next_attempt` is the later of its own and its destination's; `lane_reason` is '' unless that is down."""

    id: int
    uid: str
    sender: str
    recipient: str
    target: str
    destination: str
    subject: str
    size: int
    received: float
    queued: float
    attempts: int
    next_attempt: float
    held: bool
    reason: str
    reply: str
    lane_reason: str
    lane_reply: str
    suspended: bool


_LIST = """SELECT d.id, m.uid, m.sender, d.recipient, d.target, d.destination, m.subject, m.size, m.received, d.queued, d.attempts,
    max(d.next_attempt, coalesce(l.not_before, 0)), d.held, d.reason, d.reply, coalesce(l.reason, ''), coalesce(l.reply, ''), coalesce(l.suspended, 0)
    FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id LEFT JOIN destinations AS l ON l.name = d.destination"""


def select(conn: Connection, now: float, selection: Selection, limit: int = 100, before: int = 0) -> list[Queued]:
    """Newest first. `before`: the id of the last row of the page before. Walks the queue: give it to `search`."""
    where, values = _where(now, selection)
    if before:
        where, values = where + " AND d.id < ?", [*values, before]
    rows = conn.execute(f"{_LIST} WHERE {where} ORDER BY d.id DESC LIMIT ?", (*values, limit))
    return [_queued(*row) for row in rows]


def _queued(*columns: Any) -> Queued:
    *first, held, reason, reply, lane_reason, lane_reply, suspended = columns
    return Queued(*[*first, bool(held), reason, reply, lane_reason, lane_reply, bool(suspended)])


def count(conn: Connection, now: float, selection: Selection) -> int:
    """How many `select` would find without a limit."""
    where, values = _where(now, selection)
    found: int = conn.execute(f"SELECT count(*) FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE {where}", values).fetchone()[0]
    return found


def reasons(conn: Connection, now: float, selection: Selection) -> list[tuple[str, str, int]]:
    """(destination, reason, how many) of what is selected, most first: why the queue is as long as it is."""
    where, values = _where(now, selection)
    return conn.execute(
        f"""SELECT d.destination, d.reason, count(*) AS found FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE {where}
            GROUP BY d.destination, d.reason ORDER BY found DESC, d.destination, d.reason LIMIT 1000""",
        values,
    ).fetchall()


def retry(conn: Connection, now: float, selection: Selection, by: str, limit: int = LIMIT) -> int:
    """Due at once, even where the destination is down (one probe goes at once, the rest follows its success). What waits for a site that is cooling
    goes on waiting: `sites.resume` is for that."""
    waits = "d.held = 0 AND (d.next_attempt > ? OR d.destination IN (SELECT name FROM destinations WHERE not_before > ? AND site = ''))"
    found = _find(conn, now, selection, waits, (now, now), limit)
    conn.executemany("UPDATE deliveries SET next_attempt = ? WHERE id = ?", [(now, item) for item, _ in found])
    conn.executemany(
        "UPDATE destinations SET not_before = 0 WHERE site = '' AND name = (SELECT destination FROM deliveries WHERE id = ?)",
        [(item,) for item, _ in found],
    )
    return _told(conn, now, found, "retry", by)


def hold(conn: Connection, now: float, selection: Selection, by: str, limit: int = LIMIT) -> int:
    """Not tried again until `unhold`, and not returned either."""
    found = _find(conn, now, selection, "d.held = 0", (), limit)
    conn.executemany("UPDATE deliveries SET held = 1 WHERE id = ?", [(item,) for item, _ in found])
    return _told(conn, now, found, "hold", by)


def unhold(conn: Connection, now: float, selection: Selection, by: str, limit: int = LIMIT) -> int:
    """Due at once, with a lifetime that starts anew: what people held must not be returned for the time they held it."""
    found = _find(conn, now, selection, "d.held = 1", (), limit)
    conn.executemany("UPDATE deliveries SET held = 0, queued = ?, next_attempt = ? WHERE id = ?", [(now, now, item) for item, _ in found])
    return _told(conn, now, found, "unhold", by)


def bounce(conn: Connection, now: float, selection: Selection, by: str, limit: int = LIMIT) -> int:
    """Ask the queue to return it to its sender."""
    found = _find(conn, now, selection, "d.reason <> ?", (OPERATOR,), limit)
    conn.executemany("UPDATE deliveries SET held = 0, reason = ?, next_attempt = ? WHERE id = ?", [(OPERATOR, now, item) for item, _ in found])
    return _told(conn, now, found, "bounce", by)


def delete(conn: Connection, now: float, selection: Selection, by: str, limit: int = LIMIT) -> tuple[int, list[str]]:
    """End it without telling the sender. -> how many, and spool files to delete after the commit."""
    found = _find(conn, now, selection, "1", (), limit)
    conn.executemany(
        "UPDATE deliveries SET status = 'rejected', reason = ?, reply = '', finished = ?, held = 0 WHERE id = ?",
        [(OPERATOR, now, item) for item, _ in found],
    )
    _told(conn, now, found, "delete", by)
    content = []
    for message_id in {message_id for _, message_id in found}:
        row = conn.execute(
            "SELECT c.id, coalesce(c.spool, '') FROM messages AS m JOIN content AS c ON c.id = m.content_id WHERE m.id = ?", (message_id,)
        ).fetchone()
        if row:
            content.append((message_id, *row))
    return len(found), free_content(conn, content)


def _find(conn: Connection, now: float, selection: Selection, also: str, values: Sequence[Any], limit: int) -> list[tuple[int, int]]:
    if selection.is_empty and not selection.everything:
        raise UsageError("selection", "says nothing; name ids, a recipient, a destination or an age, or say everything")
    where, given = _where(now, selection)
    return conn.execute(
        f"SELECT d.id, d.message_id FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE {where} AND {also} ORDER BY d.id LIMIT ?",
        (*given, *values, limit),
    ).fetchall()


def _told(conn: Connection, now: float, found: Sequence[tuple[int, int]], kind: str, by: str) -> int:
    detail = json.dumps({"by": by}, ensure_ascii=False)
    conn.executemany(
        "INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (?, ?, ?, ?, ?)",
        [(message_id, delivery_id, now, kind, detail) for delivery_id, message_id in found],
    )
    conn.execute("UPDATE queue_version SET version = version + 1")
    return len(found)


def _where(now: float, selection: Selection) -> tuple[str, list[Any]]:
    parts: list[str] = ["d.status = 'queued'"]
    values: list[Any] = []

    def add(part: str, *given: Any) -> None:
        parts.append(part)
        values.extend(given)

    if selection.ids:
        add(f"d.id IN ({','.join('?' * len(selection.ids))})", *selection.ids)
    if selection.uids:
        add(f"m.uid IN ({','.join('?' * len(selection.uids))})", *selection.uids)
    if not selection.ids and not selection.uids:
        # Each half has a partial index of its own; together they are the queue, without a walk over years of log.
        halves = {
            False: "SELECT id FROM deliveries WHERE status = 'queued' AND held = 0",
            True: "SELECT id FROM deliveries WHERE status = 'queued' AND held = 1",
        }
        both = [text for held, text in halves.items() if selection.held in (None, held)]
        if selection.destination:
            both = [text + " AND destination = ?" for text in both]
        add(f"d.id IN ({' UNION ALL '.join(both)})", *([selection.destination] * len(both) if selection.destination else []))
    if selection.held is not None:
        add("d.held = ?", selection.held)
    if selection.destination:
        add("d.destination = ?", selection.destination)
    if selection.domain:
        add("d.domain = ?", selection.domain)
    if selection.domains is not None:
        add(f"d.domain IN ({','.join('?' * len(selection.domains))})", *selection.domains)
    if selection.recipient:
        add("(lower(d.recipient) = lower(?) OR lower(d.target) = lower(?))", selection.recipient, selection.recipient)
    if selection.sender:
        add("lower(m.sender) = lower(?)", selection.sender)
    if selection.reason:
        add("d.reason = ?", selection.reason)
    if selection.older_than:
        add("d.queued <= ?", now - selection.older_than)
    if selection.text:
        pattern = "%" + selection.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        add("(d.recipient LIKE ? ESCAPE '\\' OR m.sender LIKE ? ESCAPE '\\' OR m.subject LIKE ? ESCAPE '\\')", pattern, pattern, pattern)
    return " AND ".join(parts), values
