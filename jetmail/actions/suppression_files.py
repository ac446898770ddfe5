"""The suppression list as a CSV file: taken in, and given out (spec 5.7).

Taken in is a header with the column `target_value`, and where they are there `reason`, `expires` and `detail`; any other column is passed over. What
is suppressed already is skipped, and a row that makes no sense is told with its number and why, while the others count. Row 1 is the header.

What is given out can be taken in again. A cell that a spreadsheet would take for a formula gets a leading apostrophe, which is taken off again here.

Limits: MAX_OCTETS, MAX_ROWS; MAX_FAILED faults are told, the others counted. Rows are written AT_ONCE a transaction, each with its audit entry.
Raises UsageError (no such column, too large, no UTF-8), NotFoundError.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor
from jetmail.actions.suppressions import MAX_LIMIT, Shown, checked, key_of, listing, require
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.directory import accounts
from jetmail.store.traffic import suppressions
from jetmail.store.traffic.suppressions import APPLIANCE, MANUAL

COLUMN = "target_value"
COLUMNS = (COLUMN, "reason", "expires", "detail", "created", "source", "account")
MAX_OCTETS = 8 << 20
MAX_ROWS = 100_000
MAX_FAILED = 1_000
MAX_CELL = 4_096
AT_ONCE = 500
_FORMULA = tuple("=+-@\t\r")


class Failed(NamedTuple):
    """A row that was not taken in."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """How many were put on the list, how many were on it already, and what was wrong with the others; `faults` counts those, `failed` tells some."""

    inserted: int
    skipped: int
    faults: int
    failed: tuple[Failed, ...]
    dry_run: bool = False


class _Row(NamedTuple):
    address: str
    values: dict[str, Any]


def take_in(
    db: IDatabase, actor: Actor, octets: bytes, *, now: float, account_id: int = accounts.DEFAULT, dry_run: bool = False
) -> Deferred[Imported]:
    """Put what the file names on the list. With `dry_run` it is only said what would be done."""

    async def do() -> Imported:
        require(actor, account_id)
        if account_id != APPLIANCE and db.read(accounts.get, account_id) is None:
            raise NotFoundError(f"no such account: {account_id}")
        reader = _reader(octets)
        failed: list[Failed] = []
        faults = inserted = skipped = 0
        seen: set[str] = set()
        while pieces := list(islice(reader, AT_ONCE)):  # piece by piece, so that whoever else works in this process is not kept waiting
            batch: dict[str, _Row] = {}
            for number, row in pieces:
                try:
                    made = _row(row, now)
                except UsageError as error:
                    faults += 1
                    failed += [Failed(number, str(error))] if faults <= MAX_FAILED else []
                    continue
                if made.address in seen:
                    skipped += 1
                else:
                    seen.add(made.address)
                    batch[made.address] = made
            done = await db.run(_take, actor, now, account_id, list(batch.values()), dry_run)
            inserted += done
            skipped += len(batch) - done
        return Imported(inserted, skipped, faults, tuple(failed), dry_run)

    return Deferred.fromCoroutine(do())


def give_out(db: IDatabase, actor: Actor, *, now: float, account_id: int | None = None) -> Deferred[str]:
    """The list as a file, newest first."""

    async def do() -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        after = 0
        while True:
            page = await listing(db, actor, now=now, account_id=account_id, after=after, limit=MAX_LIMIT)
            writer.writerows([guarded(cell) for cell in _cells(row)] for row in page.rows)
            after = page.next
            if not after:
                return out.getvalue()

    return Deferred.fromCoroutine(do())


def guarded(cell: str) -> str:
    """A cell no spreadsheet computes."""
    return "'" + cell if cell.lstrip("'").startswith(_FORMULA) else cell


def unguarded(cell: str) -> str:
    """The cell as it was before."""
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'").startswith(_FORMULA) else cell


def _reader(octets: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their numbers. Raises UsageError at once for a file that cannot be one of these."""
    if len(octets) > MAX_OCTETS:
        raise UsageError("file", f"is larger than {MAX_OCTETS >> 20} MiB")
    if max(octets.count(b"\n"), octets.count(b"\r")) > MAX_ROWS:
        raise UsageError("file", f"has more than {MAX_ROWS} rows")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("file", f"is no UTF-8 text (octet {error.start})") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    names = [name.strip().lower() for name in _next(reader) or []]
    if COLUMN not in names:
        raise UsageError("file", f"has no column {COLUMN} in its first row")
    return _rows(reader, names)


def _rows(reader: Iterator[list[str]], names: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number in count(2):
        if (cells := _next(reader)) is None:
            return
        if any(cell.strip() for cell in cells):
            yield number, dict(zip(names, (unguarded(cell.strip()) for cell in cells), strict=False))


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row; one that is no CSV, which takes a field of more than 128 KiB, is a row of nothing right."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return [f"no CSV: {error}"]


def _row(row: dict[str, str], now: float) -> _Row:
    for name, cell in row.items():
        if len(cell) > MAX_CELL:
            raise UsageError(name[:40], f"is longer than {MAX_CELL} characters")
    address = row.get(COLUMN, "")
    if not address:
        raise UsageError(COLUMN, "is empty")
    values = {"reason": row.get("reason", "").lower() or MANUAL, "detail": row.get("detail", ""), "expires": moment(row.get("expires", ""))}
    return _Row(key_of(address, COLUMN), checked(values, now))


def moment(text: str) -> float | None:
    """'2026-12-31' or '2026-12-31 18:00' (UTC unless it says another zone) -> epoch seconds; '' and 'never' -> None. Raises UsageError."""
    if text.lower() in ("", "never"):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("expires", f"'{text[:40]}' is no date; write 2026-12-31, or never") from None


def _take(conn: Connection, actor: Actor, now: float, account_id: int, rows: Sequence[_Row], dry_run: bool) -> int:
    inserted = 0
    for row in rows:
        old = suppressions.get(conn, account_id, row.address)
        if old is not None and old.is_active(now):
            continue
        inserted += 1
        if not dry_run:
            values = row.values
            suppressions.add(conn, account_id, row.address, values["reason"], values["detail"], now, values["expires"], actor.name)
    if inserted and not dry_run:
        whose = f"account {account_id}" if account_id != APPLIANCE else "appliance"
        access.record(conn, actor, now, "suppression.import", f"suppressions ({whose})", {"inserted": inserted})
    return inserted


def _cells(row: Shown) -> tuple[str, ...]:
    return (row.address, row.reason, _iso(row.expires), row.detail, _iso(row.created), row.source, row.account)


def _iso(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else ""
