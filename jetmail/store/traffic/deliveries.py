"""Deliveries: the queue's rows, one a recipient, and what became of each attempt.

Promises
- `due` and `claim` see only what is queued and not held; `claim` records an attempt and its next due time before anybody dials, so that a crash
  can neither hammer a peer nor lose a retry.
- `record` is one transaction for many finished attempts: rows, events, and the content nobody needs any more. For one delivered message that is
  four statements. It returns the spool files to delete once the transaction is on the disk.
- A row is never deleted here; it ends as delivered or rejected and stays for the log.

Other modules of the queue's half: lanes (by destination), administration (by people), settlement (record and report in one transaction).
Decision: design 5; docs/queue.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jetmail.mail.status import Status
from jetmail.store.database import Connection
from jetmail.store.traffic import source_days
from jetmail.store.traffic.suppressions import Strike

COOLING = "cooling"  # the reason of one that waits for its site (sites.py)
WARM_UP = "warm-up"  # the reason of one whose source has sent what it may today: it waits for the next day, whatever its destination does
OPERATOR = "operator"  # the reason of a queued delivery that somebody asked to be returned to its sender


class Due(NamedTuple):
    """A queued delivery as the queue's window holds it. `reason` and `reply` are of its last attempt."""

    id: int
    message_id: int
    recipient: str
    target: str
    destination: str
    attempts: int
    queued: float
    next_attempt: float
    notify: str
    orcpt: str
    delay_notified: bool
    reason: str = ""
    reply: str = ""


class MessageFacts(NamedTuple):
    """What delivering a message needs to know of it besides its content."""

    id: int
    uid: str
    sender: str
    size: int
    body: str
    smtputf8: bool
    ret: str
    envid: str
    requiretls: bool
    received: float
    content_id: int | None
    direction: str
    user: str


class Attempted(NamedTuple):
    """What to write for one delivery. `status` DELIVERED or REJECTED ends it; QUEUED keeps it, due at `next_attempt`, or set aside when `held`.
    `events` are (kind, JSON detail) in order. `content_id` and `spool` name the message's content, which goes when this was its last need. `strike`:
    what the end is to count for against the recipient. `counted`: the source and day that the message left from and on."""

    id: int
    message_id: int
    at: float
    status: str
    reason: str
    reply: str
    next_attempt: float = 0.0
    held: bool = False
    delay_notified: bool = False
    events: tuple[tuple[str, str], ...] = ()
    content_id: int | None = None
    spool: str = ""
    strike: Strike | None = None
    counted: tuple[str, str] | None = None


_DUE = """SELECT m.id, m.uid, m.sender, m.size, m.body, m.smtputf8, m.ret, m.envid, m.requiretls, m.received, m.content_id, m.direction, m.user,
    d.id, d.message_id, d.recipient, d.target, d.destination, d.attempts, d.queued, d.next_attempt, d.notify, d.orcpt, d.delay_notified,
    d.reason, d.reply
    FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.status = 'queued' AND d.held = 0 AND d.destination = ?"""


def due(conn: Connection, now: float, destination: str, limit: int) -> list[tuple[MessageFacts, Due]]:
    """The longest due deliveries of one destination, those of one message side by side where they fell due together."""
    return pairs(conn.execute(_DUE + " AND d.next_attempt <= ? ORDER BY d.next_attempt, d.id LIMIT ?", (destination, now, limit)))


def overdue(conn: Connection, destination: str, ended: float, late: float, limit: int) -> list[tuple[MessageFacts, Due]]:
    """The deliveries of one destination queued at or before `ended`, or at or before `late` without a delay notice yet; oldest first.
    Walks all that waits there: give it to `search`, not to `read`."""
    condition = " AND (d.queued <= ? OR (d.queued <= ? AND d.delay_notified = 0)) ORDER BY d.queued LIMIT ?"
    return pairs(conn.execute(_DUE + condition, (destination, ended, late, limit)))


def next_overdue(conn: Connection, destination: str, now: float, lifetime: float, delay_notice: float) -> float:
    """When `overdue` will find more in that destination; what is yet to come counts as queued now."""
    ends, notices = conn.execute(
        """SELECT min(CASE WHEN queued > ? THEN queued END), min(CASE WHEN queued > ? AND delay_notified = 0 THEN queued END)
            FROM deliveries WHERE status = 'queued' AND held = 0 AND destination = ?""",
        (now - lifetime, now - delay_notice, destination),
    ).fetchone()
    soonest: float = (now if ends is None else ends) + lifetime
    return min(soonest, (now if notices is None else notices) + delay_notice) if delay_notice > 0 else soonest


def pairs(rows: Iterable[tuple]) -> list[tuple[MessageFacts, Due]]:
    """Rows of _DUE as values."""
    return [(_facts(*row[:13]), _delivery(*row[13:])) for row in rows]


def _facts(
    message_id: int, uid: str, sender: str, size: int, body: str, smtputf8: int, ret: str, envid: str, requiretls: int, received: float,
    content_id: int | None, direction: str, user: str,
) -> MessageFacts:  # fmt: skip
    return MessageFacts(message_id, uid, sender, size, body, bool(smtputf8), ret, envid, bool(requiretls), received, content_id, direction, user)


def _delivery(*columns: Any) -> Due:
    *first, delay_notified, reason, reply = columns
    return Due(*[*first, bool(delay_notified), reason, reply])


def claim(conn: Connection, wanted: Sequence[tuple[int, float]]) -> set[int]:
    """(id, next due time) -> the ids whose attempt is now recorded: those still queued, not held, and not asked back by an operator meanwhile."""
    return {
        delivery_id
        for delivery_id, next_attempt in wanted
        if conn.execute(
            """UPDATE deliveries SET attempts = attempts + 1, next_attempt = ?
                WHERE id = ? AND status = 'queued' AND held = 0 AND reason <> 'operator'""",
            (next_attempt, delivery_id),
        ).rowcount
    }


def unclaim(conn: Connection, parked: Sequence[tuple[int, float, str, str]]) -> None:
    """(id, due time, reason, reply): the claimed attempt was not made after all. Reason and reply say why, where there is something to say."""
    conn.executemany(
        """UPDATE deliveries SET attempts = max(attempts - 1, 0), next_attempt = ?,
            reason = CASE WHEN ? = '' OR reason = 'operator' THEN reason ELSE ? END,
            reply = CASE WHEN ? = '' THEN reply ELSE ? END WHERE id = ? AND status = 'queued'""",
        [(due, reason, reason, reason, reply, delivery_id) for delivery_id, due, reason, reply in parked],
    )
    told = [(due, json.dumps({"reply": reply}, ensure_ascii=False), delivery_id) for delivery_id, due, reason, reply in parked if reason == COOLING]
    if told:
        conn.executemany(
            "INSERT INTO events (message_id, delivery_id, at, kind, detail) SELECT message_id, id, ?, 'cooled', ? FROM deliveries WHERE id = ?", told
        )


def still_queued(conn: Connection, ids: Sequence[int]) -> set[int]:
    """Those of `ids` (a few hundred at most) that may still be delivered."""
    marks = ",".join("?" * len(ids))
    found = conn.execute(f"SELECT id FROM deliveries WHERE id IN ({marks}) AND status = 'queued' AND held = 0 AND reason <> 'operator'", ids)
    return {row[0] for row in found}


def record(conn: Connection, attempted: Sequence[Attempted]) -> list[str]:
    """Write what became of these deliveries. -> spool files to delete after the commit."""
    finals, laters, events, counted, done = [], [], [], [], {}
    for item in attempted:
        if item.status == Status.QUEUED:
            laters.append((item.reason, item.reply, item.next_attempt, item.held, item.delay_notified, item.id))
        else:
            status = str(item.status)
            finals.append((status, item.reason, item.reply, item.at, item.id, status))
            if item.content_id is not None:
                done[item.message_id] = (item.content_id, item.spool)
        for kind, detail in item.events:
            events.append((item.message_id, item.id, item.at, kind, detail))
        if item.counted is not None:
            counted.append(item.counted)
    if finals:
        # What a peer took is delivered, whatever an operator decided while it was on the wire; nothing else overrules him.
        conn.executemany(
            """UPDATE deliveries SET status = ?, reason = ?, reply = ?, finished = ?
                WHERE id = ? AND (status = 'queued' OR ? = 'delivered')""",
            finals,
        )
    if laters:
        conn.executemany(
            """UPDATE deliveries SET reason = CASE WHEN reason = 'operator' THEN reason ELSE ? END, reply = ?,
                next_attempt = CASE WHEN reason = 'operator' THEN next_attempt ELSE ? END,
                held = max(held, ?), delay_notified = max(delay_notified, ?) WHERE id = ? AND status = 'queued'""",
            laters,
        )
    if events:
        conn.executemany("INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (?, ?, ?, ?, ?)", events)
    if counted:
        source_days.add(conn, counted)
    return free_content(conn, [(message_id, content_id, spool) for message_id, (content_id, spool) in done.items()]) if done else []


def free_content(conn: Connection, wanted: Sequence[tuple[int, int, str]]) -> list[str]:
    """(message id, content id, spool file or ''): drop what no unfinished delivery (queued, quarantined, kept) of its message needs. -> spool files
    to delete."""
    conn.executemany(
        "DELETE FROM content WHERE id = ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = ? AND finished IS NULL)",
        [(content_id, message_id) for message_id, content_id, _ in wanted],
    )
    conn.executemany(
        "UPDATE messages SET content_id = NULL WHERE id = ? AND NOT EXISTS (SELECT 1 FROM content WHERE id = ?)", [item[:2] for item in wanted]
    )
    return [spool for _, content_id, spool in wanted if spool and not conn.execute("SELECT 1 FROM content WHERE id = ?", (content_id,)).fetchone()]
