"""The search of the log (spec 1.3): a tested WHERE builder, read in short slices, paged by key.

One row a delivery, and one for a message without any. Newest first means highest message id first. Text is matched as a case-insensitive
substring, uid, status, domain and the like exactly; fields are joined by AND. `search_slice` looks at SLICE messages at most and is one
statement, so no read transaction is ever long: the WAL can be checkpointed between two slices, and other searches get their turn.

The same criteria written in Python are tests/store/test_search.py's brute force, which every combination is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jetmail.mail.status import Status
from jetmail.store.database import Connection
from jetmail.store.traffic.deliveries import OPERATOR

SLICE = 2_000  # messages (or deliveries of one domain) looked at in one statement: some 10 ms

# A recipient `d.recipient` without its tag: whose mailbox it is (mail.address.Address.untagged).
UNTAGGED = (
    "CASE WHEN instr(d.recipient, '+') > 1 AND d.recipient NOT LIKE '\"%'"
    " THEN substr(d.recipient, 1, instr(d.recipient, '+') - 1) || substr(d.recipient, instr(d.recipient, '@')) ELSE d.recipient END"
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to look for; an empty field does not matter. `sender` matches the envelope's and the header's, `response` what we told the client,
    `reply` what a destination told us, `host` a name and `address` an IP address of either side. Times are epoch seconds, `date_from` inclusive,
    `date_to` exclusive."""

    subject: str = ""
    sender: str = ""
    recipient: str = ""
    uid: str = ""
    domain: str = ""
    status: tuple[str, ...] = ()
    response: str = ""
    reply: str = ""
    date_from: float | None = None
    date_to: float | None = None
    score_min: float | None = None
    score_max: float | None = None
    direction: str = ""
    user: str = ""
    host: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Within:
    """Whose rows may be seen: None of both is everybody's, otherwise those to one of the domains or one of the addresses (case folded), and what
    one of
    the SMTP users (uuids) has sent."""

    domains: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on: below this place. The zero value is before the newest."""

    message_id: int = 0
    delivery_id: int = 0

    def __str__(self) -> str:
        return f"{self.message_id}.{self.delivery_id}" if self.message_id else ""

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor `str` made. Raises ValueError."""
        if not text:
            return cls()
        message_id, _, delivery_id = text.partition(".")
        if not (message_id.isascii() and message_id.isdigit() and delivery_id.isascii() and delivery_id.isdigit() and len(text) < 40):
            raise ValueError("not a cursor")
        return cls(int(message_id), int(delivery_id))


@dataclass(frozen=True, slots=True)
class LogRow:
    """One line of the log. `delivery_id` 0 and the delivery's fields empty: a message that never had a recipient."""

    message_id: int
    delivery_id: int
    uid: str
    direction: str
    received: float
    sender: str
    header_from: str
    subject: str
    size: int
    score: float | None
    client_address: str
    user: str
    response: str
    recipient: str
    domain: str
    target: str
    destination: str
    status: str
    reason: str
    reply: str
    held: bool
    attempts: int
    next_attempt: float
    finished: float | None

    @property
    def last_word(self) -> str:
        """What is to be said of it now: a destination's reply, that somebody ended it, else what we told the client."""
        if self.finished is not None and not self.reply:
            if self.status == Status.REJECTED and self.reason == OPERATOR:
                return "deleted by an administrator"
            if self.status == Status.QUARANTINED:
                return "deleted by an administrator, or kept long enough"
        return self.reply or self.response


@dataclass(frozen=True, slots=True)
class Slice:
    """What one look found. `next` None: there is nothing below."""

    rows: tuple[LogRow, ...]
    next: Cursor | None


_STATUS = "coalesce(d.status, CASE WHEN m.response LIKE '5%' THEN 'rejected' ELSE 'received' END)"
_COLUMNS = f"""m.id, coalesce(d.id, 0), m.uid, m.direction, m.received, m.sender, m.header_from, m.subject, m.size, m.score, m.client_address, m.user,
    m.response, coalesce(d.recipient, ''), coalesce(d.domain, ''), coalesce(d.target, ''), coalesce(d.destination, ''), {_STATUS},
    coalesce(d.reason, ''), coalesce(d.reply, ''), coalesce(d.held, 0), coalesce(d.attempts, 0), coalesce(d.next_attempt, 0), d.finished"""
_EVENT = """EXISTS (SELECT 1 FROM events e WHERE e.message_id = m.id AND (e.delivery_id IS NULL OR e.delivery_id = d.id)
    AND json_valid(e.detail) AND {})"""


def search_slice(conn: Connection, criteria: Criteria, within: Within = Within(), cursor: Cursor = Cursor(), limit: int = 100) -> Slice:
    """Up to `limit` rows below `cursor`, having looked at SLICE messages at most; go on at the `next` of the answer."""
    bounds = _bounds(conn, criteria, cursor)
    if bounds is None:
        return Slice((), None)
    low, high = bounds
    names = _only_domains(criteria, within)
    if names == ():
        return Slice((), None)
    if names is not None and len(names) == 1:
        floor = _domain_floor(conn, names[0], low, high)
        source = "deliveries d CROSS JOIN messages m ON m.id = d.message_id"  # CROSS: in this order, by the index on (domain, message_id)
        where, values = ["d.domain = ? AND d.message_id BETWEEN ? AND ?"], [names[0], floor, high]
        order = "d.message_id DESC, d.id DESC"
    else:
        floor = max(low, high - SLICE + 1)
        source = "messages m LEFT JOIN deliveries d ON d.message_id = m.id"
        where, values = ["m.id BETWEEN ? AND ?"], [floor, high]
        order = "m.id DESC, d.id DESC"
    if cursor.message_id:
        where.append("(m.id < ? OR coalesce(d.id, 0) < ?)")
        values += [cursor.message_id, cursor.delivery_id]
    more, more_values = conditions(conn, criteria, within)
    where += more
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?", [*values, *more_values, limit]
    ).fetchall()
    found = tuple(_row(row) for row in rows)
    if len(found) == limit:
        return Slice(found, Cursor(found[-1].message_id, found[-1].delivery_id))
    return Slice(found, Cursor(floor, 0) if floor > low else None)


def conditions(conn: Connection, criteria: Criteria, within: Within) -> tuple[list[str], list[Any]]:
    """The WHERE clauses over `messages m` and `deliveries d`, to be joined by AND, and their values."""
    where: list[str] = []
    values: list[Any] = []

    def add(clause: str, *given: Any) -> None:
        where.append(clause)
        values.extend(given)

    for text, columns in (
        (criteria.subject, ("m.subject",)),
        (criteria.sender, ("m.sender", "m.header_from")),
        (criteria.recipient, ("d.recipient", "d.target")),
        (criteria.response, ("m.response",)),
        (criteria.reply, ("d.reply",)),
        (criteria.user, ("m.user",)),
    ):
        if text:
            clauses, needle = zip(*(_contains(conn, column, text) for column in columns), strict=True)
            add(f"({' OR '.join(clauses)})", *needle)
    for wanted, condition in (
        (criteria.uid, "m.uid = ?"),
        (criteria.domain, "d.domain = ?"),
        (criteria.direction, "m.direction = ?"),
    ):
        if wanted:
            add(condition, wanted)
    for bound, condition in (
        (criteria.date_from, "m.received >= ?"),
        (criteria.date_to, "m.received < ?"),
        (criteria.score_min, "m.score >= ?"),
        (criteria.score_max, "m.score <= ?"),
    ):
        if bound is not None:
            add(condition, bound)
    if criteria.status:
        add(f"{_STATUS} IN ({_marks(criteria.status)})", *criteria.status)
    if criteria.host:
        helo, name = _contains(conn, "m.helo", criteria.host)
        host, _ = _contains(conn, "json_extract(e.detail, '$.host')", criteria.host)
        add(f"({helo} OR {_EVENT.format(host)})", name, name)
    if criteria.address:
        given = _EVENT.format("json_extract(e.detail, '$.address') = ?")
        add(f"(m.client_address = ? OR {given})", criteria.address, criteria.address)
    if within.domains is not None or within.addresses is not None:
        allowed, people = within.domains or (), within.addresses or ()
        either = [f"d.domain IN ({_marks(allowed)})"]
        values.extend(allowed)
        for person in people:
            clause, folded = _folded(conn, UNTAGGED, person)
            either.append(clause)
            values.append(folded)
        if within.users:
            either.append(f"m.user IN ({_marks(within.users)})")
            values.extend(within.users)
        where.append(f"({' OR '.join(either)})")
    return where, values


def _bounds(conn: Connection, criteria: Criteria, cursor: Cursor) -> tuple[int, int] | None:
    """The lowest and highest message id worth looking at, None when there is none: index look-ups; with dates, a walk of one small index."""
    if criteria.uid:
        row = conn.execute("SELECT id, id FROM messages WHERE uid = ?", (criteria.uid,)).fetchone()
    elif criteria.date_from is not None or criteria.date_to is not None:
        # Not the first and last by time: a clock may have been set back, and ids are the order of the log.
        row = conn.execute(
            "SELECT min(id), max(id) FROM messages WHERE received >= ? AND received < ?",
            (float("-inf") if criteria.date_from is None else criteria.date_from, float("inf") if criteria.date_to is None else criteria.date_to),
        ).fetchone()
    else:
        row = conn.execute("SELECT (SELECT min(id) FROM messages), (SELECT max(id) FROM messages)").fetchone()
    if row is None or row[0] is None:
        return None
    low, high = row
    if cursor.message_id:
        high = min(high, cursor.message_id if cursor.delivery_id else cursor.message_id - 1)
    return (low, high) if low <= high else None


def _domain_floor(conn: Connection, domain: str, low: int, high: int) -> int:
    """The message id SLICE deliveries of the domain further down, so that one slice looks at that many of them whatever lies between."""
    row = conn.execute(
        "SELECT message_id FROM deliveries WHERE domain = ? AND message_id BETWEEN ? AND ? ORDER BY message_id DESC LIMIT 1 OFFSET ?",
        (domain, low, high, SLICE),
    ).fetchone()
    return low if row is None else int(row[0])


def _only_domains(criteria: Criteria, within: Within) -> tuple[str, ...] | None:
    """The domains every row must be of, None when they may be of any."""
    if criteria.domain:
        return (criteria.domain,)
    if (within.domains is None and within.addresses is None) or within.users:
        return None
    names = set(within.domains or ())
    names.update(person.rpartition("@")[2] for person in within.addresses or ())
    return tuple(names)


def _contains(conn: Connection, expression: str, text: str) -> tuple[str, str]:
    if text.isascii():
        return f"{expression} LIKE ? ESCAPE '\\'", "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    conn.create_function("fold_contains", 2, fold_contains, deterministic=True)
    return f"fold_contains({expression}, ?)", text.casefold()


def _folded(conn: Connection, expression: str, text: str) -> tuple[str, str]:
    if text.isascii():
        return f"{expression} = ? COLLATE NOCASE", text
    conn.create_function("fold", 1, _fold, deterministic=True)
    return f"fold({expression}) = ?", text.casefold()


def fold_contains(text: str | None, folded: str) -> bool:
    """SQLite's LIKE folds ASCII alone; this folds everything, and is only used when the needle needs it."""
    return text is not None and folded in text.casefold()


def _fold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _row(row: tuple) -> LogRow:
    values = list(row)
    values[20] = bool(values[20])
    return LogRow(*values)
