"""Messages and their content: accepted in as few statements as can be, and read back one at a time.

Promises
- `accept` writes content, message and deliveries, everything a restart needs, and nothing else; for one recipient that is three INSERTs and no
  SELECT, for the neighbours of a batch as many in all. It is called inside a group commit, so that "accepted" is durable when its Deferred fires.
- What was refused is a message too (`content` None, its deliveries say blocked, spam or rejected): every message that came can be searched.
- "received" is implied by the messages row; `timeline` puts it in front of the stored events.

Raises sqlite3.IntegrityError when a uid is given twice; ContentMissingError from `content`.
Decision: design 2, 3, 5; docs/store.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from jetmail.errors import ContentMissingError
from jetmail.mail.status import Status
from jetmail.store.database import Connection, together
from jetmail.store.traffic.deliveries import Due, MessageFacts

_FINAL = frozenset({Status.DELIVERED, Status.REJECTED, Status.BLOCKED, Status.SPAM})


class Content(NamedTuple):
    """The octets of a message, CRLF line ends, no dot-stuffing. Inline: `data` is all of it. Spooled: `header` (edited, with the empty line)
    and then the file `spool` from `spool_offset` on. `size` counts what a peer will get. `id` 0: not stored yet."""

    size: int
    data: bytes | None
    header: bytes = b""
    spool: str = ""
    spool_offset: int = 0
    id: int = 0


class NewDelivery(NamedTuple):
    """One recipient of a NewMessage. `recipient` as at RCPT, `domain` its domain, `target` where it really goes, `destination` that one's.
    `held`: queued, it is not tried until let go; refused as spam, a copy is kept for its domain's owner."""

    recipient: str
    domain: str
    target: str
    destination: str
    status: str
    reason: str = ""
    reply: str = ""
    notify: str = ""
    orcpt: str = ""
    held: bool = False


class NewMessage(NamedTuple):
    """A message about to be stored. `received` and `first_retry` are epoch seconds, `sender` '' the null sender, `findings` JSON, `response` what the
    client was told. `claimed`: the queue has room, so the first attempt is recorded now (attempts 1, the next due at `first_retry`)."""

    uid: str
    direction: str
    received: float
    sender: str
    size: int
    content: Content | None
    deliveries: tuple[NewDelivery, ...]
    header_from: str = ""
    subject: str = ""
    message_id: str = ""
    client_address: str = ""
    client_port: int = 0
    helo: str = ""
    tls: str = ""
    user: str = ""
    listener: str = ""
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False
    score: float | None = None
    findings: str = "[]"
    response: str = ""
    claimed: bool = True
    first_retry: float = 0.0


class Accepted(NamedTuple):
    """What `accept` stored: `deliveries` are those in the queue (not held), ready for the window, and `facts` what delivering them needs."""

    id: int
    uid: str
    deliveries: tuple[Due, ...]
    facts: MessageFacts


@dataclass(frozen=True, slots=True)
class Message:
    """A messages row as people look at it. Fields are the columns."""

    id: int
    uid: str
    direction: str
    received: float
    content_id: int | None
    size: int
    sender: str
    header_from: str
    subject: str
    message_id: str
    client_address: str
    client_port: int
    helo: str
    tls: str
    user: str
    listener: str
    body: str
    smtputf8: bool
    ret: str
    envid: str
    requiretls: bool
    score: float | None
    findings: tuple[dict[str, Any], ...]
    response: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A deliveries row as people look at it. Fields are the columns."""

    id: int
    message_id: int
    recipient: str
    domain: str
    target: str
    destination: str
    status: str
    reason: str
    reply: str
    held: bool
    queued: float
    attempts: int
    next_attempt: float
    finished: float | None
    notify: str
    orcpt: str
    delay_notified: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a message's timeline. `delivery_id` None: it concerns the whole message. `detail` holds what the kind has to say."""

    at: float
    kind: str
    delivery_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


_CONTENT = "content (size, spool, spool_offset, header, data)"
_MESSAGE = """messages (uid, direction, received, content_id, size, sender, header_from, subject, message_id, client_address,
    client_port, helo, tls, user, listener, body, smtputf8, ret, envid, requiretls, score, findings, response)"""
_DELIVERY = """deliveries (message_id, recipient, domain, target, destination, status, reason, reply, held, queued, attempts,
    next_attempt, finished, notify, orcpt)"""
_ROWS_AT_ONCE = 32
_ANY_COUNT = 8  # up to here each count has a statement of its own


def accept_all(conn: Connection, news: Sequence[NewMessage]) -> list[Accepted]:
    """Store messages with their content and deliveries, all or none: three statements for as many as a batch brings, because every statement hands
    the
    interpreter's lock to the reactor and back. The hot path of the whole appliance: think before adding one."""
    contents = [_content_row(new.content) for new in news if new.content is not None]
    content_id = _insert(conn, _CONTENT, contents)
    content_ids: list[int | None] = []
    for new in news:
        content_ids.append(None if new.content is None else content_id)
        content_id += new.content is not None
    first_message = _insert(conn, _MESSAGE, [_message_row(new, each) for new, each in zip(news, content_ids, strict=True)])
    rows = [_delivery_row(message_id, new, item) for message_id, new in enumerate(news, first_message) for item in new.deliveries]
    delivery_id = _insert(conn, _DELIVERY, rows)
    accepted = []
    for message_id, (new, content_id_or_none) in enumerate(zip(news, content_ids, strict=True), first_message):
        attempts, next_attempt = (1, new.first_retry) if new.claimed else (0, new.received)
        due = []
        for item in new.deliveries:
            if item.status == Status.QUEUED and not item.held:
                due.append(Due(
                    delivery_id, message_id, item.recipient, item.target, item.destination, attempts, new.received, next_attempt, item.notify,
                    item.orcpt, False,
                ))  # fmt: skip
            delivery_id += 1
        facts = MessageFacts(
            message_id, new.uid, new.sender, new.size, new.body, new.smtputf8, new.ret, new.envid, new.requiretls, new.received, content_id_or_none,
            new.direction, new.user,
        )  # fmt: skip
        accepted.append(Accepted(message_id, new.uid, tuple(due), facts))
    return accepted


@together(accept_all)
def accept(conn: Connection, new: NewMessage) -> Accepted:
    """Store a message with its content and deliveries."""
    return accept_all(conn, (new,))[0]


def _content_row(content: Content) -> tuple:
    if content.data is None:
        return content.size, content.spool, content.spool_offset, content.header, None
    return content.size, None, content.spool_offset, None, content.data


def _message_row(new: NewMessage, content_id: int | None) -> tuple:
    return (
        new.uid, new.direction, new.received, content_id, new.size, new.sender, new.header_from, new.subject, new.message_id, new.client_address,
        new.client_port, new.helo, new.tls, new.user, new.listener, new.body, new.smtputf8, new.ret, new.envid, new.requiretls, new.score,
        new.findings, new.response,
    )  # fmt: skip


def _delivery_row(message_id: int, new: NewMessage, item: NewDelivery) -> tuple:
    received = new.received
    is_due = item.status == Status.QUEUED and not item.held
    return (
        message_id, item.recipient, item.domain, item.target, item.destination, str(item.status), item.reason, item.reply, item.held, received,
        int(is_due and new.claimed), new.first_retry if is_due and new.claimed else received,
        received if item.status in _FINAL and not item.held else None, item.notify, item.orcpt,
    )  # fmt: skip


def _insert(conn: Connection, table: str, rows: Sequence[tuple]) -> int:
    """-> the id of the first row; those of one transaction follow one another, because nobody else writes. 0 without rows."""
    last: Any = 0
    start = 0
    while start < len(rows):
        size = len(rows) - start
        if size > _ANY_COUNT:
            size = min(_ROWS_AT_ONCE, 1 << size.bit_length() - 1)  # powers of two, so that few statements are to be kept prepared
        values = rows[start] if size == 1 else [value for row in rows[start : start + size] for value in row]
        last = conn.execute(_insert_of(table, size), values).lastrowid
        start += size
    return last - len(rows) + 1 if rows else 0


@lru_cache(maxsize=64)
def _insert_of(table: str, rows: int) -> str:
    marks = "(" + ", ".join("?" * (table.count(",") + 1)) + ")"
    return f"INSERT INTO {table} VALUES {', '.join([marks] * rows)}"


def record_refusal(conn: Connection, new: NewMessage) -> Accepted:
    """Store a message that was refused: `accept` without content. None of its deliveries may be queued."""
    return accept(conn, new)


def content(conn: Connection, content_id: int) -> Content:
    """The content of that id. Raises ContentMissingError."""
    row = conn.execute("SELECT size, data, header, spool, spool_offset FROM content WHERE id = ?", (content_id,)).fetchone()
    if row is None:
        raise ContentMissingError(f"content {content_id} is not in the store")
    size, data, header, spool, offset = row
    return Content(size, data, header or b"", spool or "", offset, content_id)


_MESSAGE_COLUMNS = """id, uid, direction, received, content_id, size, sender, header_from, subject, message_id, client_address, client_port, helo,
    tls, user, listener, body, smtputf8, ret, envid, requiretls, score, findings, response"""
_DELIVERY_COLUMNS = """id, message_id, recipient, domain, target, destination, status, reason, reply, held, queued, attempts, next_attempt, finished,
    notify, orcpt, delay_notified"""


def by_uid(conn: Connection, uid: str) -> Message | None:
    """The message of that uid, or None."""
    row = conn.execute(f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE uid = ?", (uid,)).fetchone()
    return _message(row) if row else None


def by_id(conn: Connection, message_id: int) -> Message | None:
    """The message of that id, or None."""
    row = conn.execute(f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE id = ?", (message_id,)).fetchone()
    return _message(row) if row else None


def deliveries_of(conn: Connection, message_id: int) -> tuple[DeliveryRow, ...]:
    """The message's deliveries in the order of its recipients."""
    rows = conn.execute(f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE message_id = ? ORDER BY id", (message_id,)).fetchall()
    return tuple(_delivery(row) for row in rows)


def delivery(conn: Connection, delivery_id: int) -> DeliveryRow | None:
    """The delivery of that id, or None."""
    row = conn.execute(f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return _delivery(row) if row else None


def timeline(conn: Connection, message: Message) -> tuple[Event, ...]:
    """Everything that happened to the message, oldest first: 'received', made from the row itself, and the stored events."""
    first = Event(
        message.received,
        "received",
        None,
        {"client": message.client_address, "helo": message.helo, "tls": message.tls, "listener": message.listener, "response": message.response},
    )
    rows = conn.execute("SELECT at, kind, delivery_id, detail FROM events WHERE message_id = ? ORDER BY id", (message.id,)).fetchall()
    return (first, *(Event(at, kind, delivery_id, _object(detail)) for at, kind, delivery_id, detail in rows))


def add_event(conn: Connection, message_id: int, delivery_id: int | None, at: float, kind: str, detail: dict[str, Any]) -> None:
    """Append one step to a message's timeline."""
    conn.execute(
        "INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (?, ?, ?, ?, ?)",
        (message_id, delivery_id, at, kind, json.dumps(detail, ensure_ascii=False, separators=(",", ":"))),
    )


def _message(row: tuple) -> Message:
    values = list(row)
    values[17], values[20], values[22] = bool(row[17]), bool(row[20]), _objects(row[22])
    return Message(*values)


def _delivery(row: tuple) -> DeliveryRow:
    values = list(row)
    values[9], values[16] = bool(row[9]), bool(row[16])
    return DeliveryRow(*values)


def _objects(text: str) -> tuple[dict[str, Any], ...]:
    """A damaged column must not take the page down that would show it."""
    try:
        found = json.loads(text)
    except ValueError:
        return ({"damaged": text},)
    return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"damaged": text}
    return found if isinstance(found, dict) else {"value": found}
