"""The quarantine: deliveries kept for people to decide about, found, let go, deleted and expired.

What is kept is a delivery that is not finished and whose status is 'quarantined', or 'spam' where a domain keeps a copy of what it refused.

Promises
- `release` makes it an ordinary queued delivery, due at once, with a lifetime that starts now; nobody judges it again, because nothing between the
  queue and the destination judges. What is released is not kept any more, so nobody can release it twice.
- `delete` and `expire` finish a delivery; its status stays, because it tells what became of the message. Content goes with the last unfinished
  delivery of its message, and the spool files to delete after the commit are returned.
- Each change is an event of its delivery and names who did it. Others of the same message are not touched.

Looked for through the partial index `deliveries_kept`: what the quarantine costs depends on what is in it, not on the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jetmail.store.database import Connection
from jetmail.store.traffic.deliveries import free_content
from jetmail.store.traffic.search import UNTAGGED

_KEPT = "d.finished IS NULL AND d.status IN ('quarantined', 'spam')"  # word for word the condition of the index


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is kept and meets every criterion given. `ids` of deliveries, `uids` of messages, `recipient` whole in any case: as it was said,
    with its tag off, or where it leads to. `sender` and `text` (sender, recipient or subject) parts, `domain` exact, `older_than` seconds since it
    came, `score_min` and `score_max` of its message. `domains` and `addresses` (case folded) are a caller's scope: mail to any of either; neither:
    everybody's. `refused_for`: the domains whose refused spam the caller may see, None: all."""

    ids: tuple[int, ...] = ()
    uids: tuple[str, ...] = ()
    recipient: str = ""
    sender: str = ""
    domain: str = ""
    text: str = ""
    older_than: float = 0.0
    score_min: float | None = None
    score_max: float | None = None
    domains: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    refused_for: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """No criterion that narrows it (a scope alone does not)."""
        given = (self.ids, self.uids, self.recipient, self.sender, self.domain, self.text, self.older_than)
        return not any(given) and self.score_min is None and self.score_max is None


@dataclass(frozen=True, slots=True)
class Kept:
    """One of them, as people see it. `id` is the delivery's, `kept_since` when it came, `status` quarantined or spam."""

    id: int
    uid: str
    message_id: int
    received: float
    kept_since: float
    sender: str
    header_from: str
    subject: str
    recipient: str
    domain: str
    target: str
    destination: str
    status: str
    reason: str
    score: float | None
    size: int


_COLUMNS = """d.id, m.uid, d.message_id, m.received, d.queued, m.sender, m.header_from, m.subject, d.recipient, d.domain, d.target, d.destination,
    d.status, d.reason, m.score, m.size"""
_FROM = "FROM deliveries AS d INDEXED BY deliveries_kept CROSS JOIN messages AS m ON m.id = d.message_id"
_NAMED = "FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id"  # by id and uid there are better indexes


def select(conn: Connection, now: float, wanted: Wanted, limit: int = 100, before: int = 0) -> list[Kept]:
    """Newest first. `before`: the id of the last row of the page before. Give it to `search`."""
    where, values = _where(now, wanted)
    if before:
        where, values = where + " AND d.id < ?", [*values, before]
    rows = conn.execute(f"SELECT {_COLUMNS} {_source(wanted)} WHERE {where} ORDER BY d.id DESC LIMIT ?", (*values, limit)).fetchall()
    return [Kept(*row) for row in rows]


def count(conn: Connection, now: float, wanted: Wanted) -> int:
    """How many that is."""
    where, values = _where(now, wanted)
    found: int = conn.execute(f"SELECT count(*) {_source(wanted)} WHERE {where}", values).fetchone()[0]
    return found


def release(conn: Connection, now: float, ids: Sequence[int], by: str) -> list[Kept]:
    """Put these into the queue, due at once. -> what they were; those that are not kept (any more) are not among them."""
    found = _by_id(conn, ids)
    conn.executemany(
        """UPDATE deliveries SET status = 'queued', reason = '', reply = '', held = 0, queued = ?, attempts = 0, next_attempt = ?, finished = NULL,
            delay_notified = 0 WHERE id = ?""",
        [(now, now, item.id) for item in found],
    )
    _tell(conn, now, found, "released", by)
    if found:
        conn.execute("UPDATE queue_version SET version = version + 1")
    return found


def delete(conn: Connection, now: float, ids: Sequence[int], by: str) -> tuple[list[Kept], list[str]]:
    """Finish these without delivering them. -> what they were, and spool files to delete after the commit."""
    found = _by_id(conn, ids)
    return found, _finish(conn, now, found, "deleted", by)


def expire(conn: Connection, now: float, before: float, limit: int = 200) -> tuple[int, list[str]]:
    """Finish up to `limit` that came before `before`. -> how many, and spool files to delete after the commit."""
    # By age and not by id: what a clock set back made of the order must not keep mail for ever.
    rows = conn.execute(f"SELECT {_COLUMNS} {_FROM} WHERE {_KEPT} AND d.queued < ? ORDER BY d.id LIMIT ?", (before, limit)).fetchall()
    found = [Kept(*row) for row in rows]
    return len(found), _finish(conn, now, found, "dropped", "")


def _by_id(conn: Connection, ids: Sequence[int]) -> list[Kept]:
    found = []
    for delivery_id in ids:
        row = conn.execute(f"SELECT {_COLUMNS} {_NAMED} WHERE d.id = ? AND {_KEPT}", (delivery_id,)).fetchone()
        if row:
            found.append(Kept(*row))
    return found


def _finish(conn: Connection, now: float, found: Sequence[Kept], kind: str, by: str) -> list[str]:
    conn.executemany("UPDATE deliveries SET finished = ?, held = 0 WHERE id = ?", [(now, item.id) for item in found])
    _tell(conn, now, found, kind, by)
    content = []
    for message_id in {item.message_id for item in found}:
        row = conn.execute(
            "SELECT c.id, coalesce(c.spool, '') FROM messages AS m JOIN content AS c ON c.id = m.content_id WHERE m.id = ?", (message_id,)
        ).fetchone()
        if row:
            content.append((message_id, *row))
    return free_content(conn, content)


def _tell(conn: Connection, now: float, found: Iterable[Kept], kind: str, by: str) -> None:
    conn.executemany(
        "INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (?, ?, ?, ?, ?)",
        [
            (item.message_id, item.id, now, kind, json.dumps({"by": by, "was": item.status} if by else {"was": item.status}, ensure_ascii=False))
            for item in found
        ],
    )


def _source(wanted: Wanted) -> str:
    return _NAMED if wanted.ids or wanted.uids else _FROM


def _where(now: float, wanted: Wanted) -> tuple[str, list[Any]]:
    parts: list[str] = [_KEPT]
    values: list[Any] = []

    def add(part: str, *given: Any) -> None:
        parts.append(part)
        values.extend(given)

    for given, column in ((wanted.ids, "d.id"), (wanted.uids, "m.uid")):
        if given:
            add(f"{column} IN ({_marks(given)})", *given)
    if wanted.recipient:
        add(_any_is("d.recipient", UNTAGGED, "d.target", UNTAGGED.replace("d.recipient", "d.target")), *[wanted.recipient] * 4)
    if wanted.domain:
        add("d.domain = ?", wanted.domain)
    if wanted.older_than:
        add("d.queued <= ?", now - wanted.older_than)
    if wanted.score_min is not None:
        add("m.score >= ?", wanted.score_min)
    if wanted.score_max is not None:
        add("m.score <= ?", wanted.score_max)
    if wanted.sender:
        add(_any_has("m.sender", "m.header_from"), *[_part(wanted.sender)] * 2)
    if wanted.text:
        add(_any_has("m.sender", "m.header_from", "d.recipient", "m.subject"), *[_part(wanted.text)] * 4)
    if wanted.domains is not None or wanted.addresses is not None:
        domains, addresses = wanted.domains or (), wanted.addresses or ()
        add(f"(d.domain IN ({_marks(domains)}) OR lower({UNTAGGED}) IN ({_marks(addresses)}))", *domains, *addresses)
    if wanted.refused_for is not None:
        add(f"(d.status = 'quarantined' OR d.domain IN ({_marks(wanted.refused_for)}))", *wanted.refused_for)
    return " AND ".join(parts), values


def _any_is(*expressions: str) -> str:
    return "(" + " OR ".join(f"{expression} = ? COLLATE NOCASE" for expression in expressions) + ")"


def _any_has(*columns: str) -> str:
    return "(" + " OR ".join(column + " LIKE ? ESCAPE '\\'" for column in columns) + ")"


def _part(text: str) -> str:
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
