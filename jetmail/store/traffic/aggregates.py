"""What others report about our domains, DMARC and TLS alike: taken in with the mail that brought it, listed, summed by source, forgotten.

Promises
- `take` stores the mail (its row and its delivery; nobody needs its content), the reports in it or the reason why there are none, and an event in its
  timeline, all or none.
- A report is there once, however often it comes: the organization's id for it, whoever says so in From, and the domain it is about make it one. From
  is part of it so that nobody takes the place of a report that is still to come.
- Sums fit into an integer: what one row counts is bounded by whoever makes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from jetmail.store.database import Connection
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Accepted, NewMessage

REASON = "report"
EVENT = "taken-in"


class Row(NamedTuple):
    """`amount` messages or sessions alike; fields are the columns of aggregate_rows."""

    source: str
    host: str
    policy: str
    result: str
    passed: bool
    amount: int


class NewReport(NamedTuple):
    """About one domain. `rows` with the most frequent first."""

    kind: str
    ours: str
    domain: str
    author: str
    organization: str
    contact: str
    report_id: str
    begins: float
    ends: float
    policy: str
    passed: int
    failed: int
    rows: tuple[Row, ...]


class Taken(NamedTuple):
    """What `take` is to write. `new`: the mail that came, its delivery final; `fault`: why there is no report in it."""

    new: NewMessage
    author: str
    reports: tuple[NewReport, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A row of aggregate_reports. Fields are the columns."""

    id: int
    at: float
    kind: str
    ours: str
    domain: str
    author: str
    organization: str
    contact: str
    report_id: str
    begins: float
    ends: float
    policy: str
    passed: int
    failed: int
    reason: str
    message: str
    client: str


@dataclass(frozen=True, slots=True)
class Source:
    """What was counted of one source about one domain. `results`: what failed, the first few words of it."""

    kind: str
    domain: str
    source: str
    passed: int
    failed: int
    reports: int
    results: tuple[str, ...]


_COLUMNS = "id, at, kind, ours, domain, author, organization, contact, report_id, begins, ends, policy, passed, failed, reason, message, client"
MAX_RESULTS = 5


def take(conn: Connection, taken: Taken) -> Accepted:
    """See the module."""
    accepted = messages.accept(conn, taken.new)
    fresh = sum(_store(conn, taken.new, report) for report in taken.reports)
    detail: dict[str, object] = {"reports": len(taken.reports), "known": len(taken.reports) - fresh}
    if taken.fault:
        _insert(conn, taken.new, ("fault", "", "", taken.author, "", "", "", 0.0, 0.0, "", 0, 0), taken.fault)
        detail = {"fault": taken.fault}
    elif taken.reports:
        first = taken.reports[0]
        detail |= {"kind": first.kind, "organization": first.organization, "id": first.report_id}
        detail["domains"] = ", ".join(report.domain for report in taken.reports[:10])
    messages.add_event(conn, accepted.id, None, taken.new.received, EVENT, detail)
    return accepted


def _store(conn: Connection, new: NewMessage, report: NewReport) -> bool:
    """-> whether it is news."""
    if not _insert(conn, new, report[:12], ""):
        return False
    number = conn.execute("SELECT last_insert_rowid()").fetchone()[0]
    conn.executemany(
        "INSERT INTO aggregate_rows (report, place, source, host, policy, result, passed, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(number, place, *row) for place, row in enumerate(report.rows)],
    )
    return True


def _insert(conn: Connection, new: NewMessage, values: tuple[object, ...], reason: str) -> bool:
    query = f"INSERT OR IGNORE INTO aggregate_reports ({_COLUMNS.partition(', ')[2]}) VALUES ({', '.join('?' * 16)})"
    return conn.execute(query, (new.received, *values, reason, new.uid, new.client_address)).rowcount > 0


def listing(
    conn: Connection, ours: Collection[str] | None, *, kind: str = "", domain: str = "", since: float = 0.0, after: int = 0, limit: int = 100
) -> tuple[Report, ...]:
    """The newest, `after` (an id) where the last page ended: about these domains of ours, or (None) everything, faults too."""
    where, arguments = _where(ours, kind, domain, since)
    if after:
        where.append("id < ?")
        arguments.append(after)
    query = f"SELECT {_COLUMNS} FROM aggregate_reports WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    return tuple(Report(*row) for row in conn.execute(query, (*arguments, limit)).fetchall())


def get(conn: Connection, number: int) -> Report | None:
    """The report of that id."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM aggregate_reports WHERE id = ?", (number,)).fetchone()
    return Report(*row) if row else None


def rows(conn: Connection, number: int) -> tuple[Row, ...]:
    """What it counts."""
    query = "SELECT source, host, policy, result, passed, amount FROM aggregate_rows WHERE report = ? ORDER BY place"
    return tuple(Row(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in conn.execute(query, (number,)).fetchall())


def sources(
    conn: Connection, ours: Collection[str] | None, *, kind: str = "", domain: str = "", since: float = 0.0, limit: int = 100
) -> tuple[Source, ...]:
    """All rows of these reports by source, those with the most failures first."""
    where, arguments = _where(ours, kind, domain, since)
    query = f"""
        SELECT kind, domain, source, sum(iif(r.passed, amount, 0)), sum(iif(r.passed, 0, amount)), count(DISTINCT r.report),
            json_group_array(DISTINCT iif(r.passed, NULL, result))
        FROM aggregate_reports a JOIN aggregate_rows r ON r.report = a.id WHERE kind != 'fault' AND {" AND ".join(where)}
        GROUP BY kind, domain, source ORDER BY 5 DESC, 4 DESC LIMIT ?"""
    found = conn.execute(query, (*arguments, limit)).fetchall()
    return tuple(_source(row) for row in found)


def forget(conn: Connection, before: float, limit: int = 200) -> int:
    """Forget up to `limit` reports that came before then. -> how many."""
    old = [row[0] for row in conn.execute("SELECT id FROM aggregate_reports WHERE at < ? LIMIT ?", (before, limit)).fetchall()]
    for number in old:
        conn.execute("DELETE FROM aggregate_rows WHERE report = ?", (number,))
        conn.execute("DELETE FROM aggregate_reports WHERE id = ?", (number,))
    return len(old)


def _where(ours: Collection[str] | None, kind: str, domain: str, since: float) -> tuple[list[str], list[object]]:
    where, arguments = ["at >= ?"], list[object]([since])
    if ours is not None:
        where.append("ours IN (SELECT value FROM json_each(?))")
        arguments.append(json.dumps(sorted(ours)))
    if kind:
        where.append("kind = ?")
        arguments.append(kind)
    if domain:
        where.append("? IN (ours, domain)")
        arguments.append(domain.lower())
    return where, arguments


def _source(row: tuple) -> Source:
    return Source(row[0], row[1], row[2], row[3], row[4], row[5], tuple(each for each in json.loads(row[6]) if each)[:MAX_RESULTS])
