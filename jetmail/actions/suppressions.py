"""The suppression list: addresses that users of an account do not write to; add, list, show, change, remove (spec 5.7).

An account has its own list, and the appliance one that binds everybody (account 0), which is the sysadmin's. What mail and complaints put on a list
and what a person did are the same kind of row: a person sees why, shortens, prolongs or lifts it, and lifting forgets what counted towards it. What
has expired is as if it had never been.

A change and its audit entry are one transaction. Who may: `access.SENDING` on the account; a list out of scope answers as if it did not exist.
Raises UsageError (naming the field), NotFoundError, ConflictError (it is suppressed already).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import accounts
from jetmail.store.traffic import suppressions
from jetmail.store.traffic.suppressions import APPLIANCE, MANUAL, MAX_DETAIL, REASONS, Suppression

FIELDS = ("reason", "detail", "expires")
MAX_LIMIT = 1_000  # rows of one page
LONGEST = 100 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A suppression as people see it. `account` '' is the appliance's list. `expires` None: never. `source`: the uid of the message that showed it,
    or who wrote it down."""

    id: int
    account: str
    account_id: int
    address: str
    reason: str
    detail: str
    created: float
    expires: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Page:
    """`total` in all; `next`: what to give as `after` for the following page, 0 on the last."""

    rows: tuple[Shown, ...]
    total: int
    next: int


def add(
    db: IDatabase,
    actor: Actor,
    address: str,
    *,
    now: float,
    account_id: int = accounts.DEFAULT,
    reason: str = MANUAL,
    detail: str = "",
    expires: float | None = None,
) -> Deferred[Shown]:
    """Suppress an address."""
    return db.run(_add, actor, now, account_id, address, {"reason": reason, "detail": detail, "expires": expires})


def listing(
    db: IDatabase, actor: Actor, *, now: float, account_id: int | None = None, search: str = "", reason: str = "", after: int = 0, limit: int = 100
) -> Deferred[Page]:
    """What is suppressed now, newest first: of one list, or of all the actor sees. `search` is a part of the address."""
    return db.search(_listing, actor, now, account_id, search, reason, after, limit)


def show(db: IDatabase, actor: Actor, address: str, *, now: float, account_id: int = accounts.DEFAULT) -> Deferred[Shown]:
    """One of them."""

    def find(conn: Connection) -> Shown:
        return shown(conn, _found(conn, actor, now, account_id, address))

    return db.search(find)


def change(
    db: IDatabase, actor: Actor, address: str, changes: Mapping[str, Any], *, now: float, account_id: int = accounts.DEFAULT
) -> Deferred[Shown]:
    """Set the fields named in `changes` (FIELDS)."""
    return db.run(_change, actor, now, account_id, address, dict(changes))


def remove(db: IDatabase, actor: Actor, address: str, *, now: float, account_id: int = accounts.DEFAULT) -> Deferred[Shown]:
    """Lift it. -> what it was."""
    return db.run(_remove, actor, now, account_id, address)


# for its neighbour, suppression_files


def require(actor: Actor, account_id: int) -> None:
    """Raise NotFoundError unless the list is the actor's."""
    access.require(actor, access.SENDING, Object(account_id=account_id), f"account: {account_id}")


def key_of(address: str, field: str = "address") -> str:
    """The Address.key. Raises UsageError."""
    try:
        return parse(address.strip()).key
    except AddressError as error:
        raise UsageError(field, f"'{address[:320]}': {error}") from None


def checked(values: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Fields as they are stored. Raises UsageError."""
    for field in values:
        if field not in FIELDS:
            raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
    if (reason := values.get("reason", MANUAL)) not in REASONS:
        raise UsageError("reason", f"'{reason}' is none of {', '.join(REASONS)}")
    detail = values.get("detail", "")
    if not isinstance(detail, str) or len(detail) > MAX_DETAIL or not detail.isprintable():
        raise UsageError("detail", f"must be one line of at most {MAX_DETAIL} characters")
    expires = values.get("expires")
    if expires is not None and not (isinstance(expires, int | float) and math.isfinite(expires) and now < expires < now + LONGEST):
        raise UsageError("expires", "must be in the future, and within a hundred years")
    return dict(values)


def listed_accounts(conn: Connection, actor: Actor, account_id: int | None) -> list[int] | None:
    """Which lists the actor asks about: one, those it sees, or (None) all. Raises NotFoundError."""
    if account_id is not None:
        require(actor, account_id)
        return [account_id]
    return None if actor.is_admin else [int(grant.scope) for grant in actor.grants if grant.role == "account"]


def shown(conn: Connection, row: Suppression, names: dict[int, str] | None = None) -> Shown:
    """A row with its account's name; `names` remembers those looked up."""
    names = {} if names is None else names
    if row.account_id not in names:
        account = accounts.get(conn, row.account_id) if row.account_id != APPLIANCE else None
        names[row.account_id] = account.name if account is not None else "" if row.account_id == APPLIANCE else str(row.account_id)
    return Shown(
        row.id, names[row.account_id], row.account_id, row.address, row.reason, row.detail, row.created, row.expires, row.source
    )  # fmt: skip


def _add(conn: Connection, actor: Actor, now: float, account_id: int, address: str, values: dict[str, Any]) -> Shown:
    require(actor, account_id)
    if account_id != APPLIANCE and accounts.get(conn, account_id) is None:
        raise NotFoundError(f"no such account: {account_id}")
    key, given = key_of(address), checked(values, now)
    old = suppressions.get(conn, account_id, key)
    if old is not None and old.is_active(now):
        raise ConflictError(f"{key} is suppressed already ({old.reason})")
    suppressions.add(conn, account_id, key, given["reason"], given["detail"], now, given["expires"], actor.name)
    access.record(conn, actor, now, "suppression.add", _name(account_id, key), given)
    return shown(conn, _found(conn, actor, now, account_id, key))


def _listing(conn: Connection, actor: Actor, now: float, account_id: int | None, search: str, reason: str, after: int, limit: int) -> Page:
    if reason and reason not in REASONS:
        raise UsageError("reason", f"'{reason}' is none of {', '.join(REASONS)}")
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError("limit", f"must be 1 to {MAX_LIMIT}")
    wanted = listed_accounts(conn, actor, account_id)
    found = suppressions.listing(conn, wanted, now, search=search.strip(), reason=reason, after=after, limit=limit + 1)
    names: dict[int, str] = {}
    rows = tuple(shown(conn, row, names) for row in found.rows[:limit])
    return Page(rows, found.total, rows[-1].id if len(found.rows) > limit else 0)


def _change(conn: Connection, actor: Actor, now: float, account_id: int, address: str, changes: dict[str, Any]) -> Shown:
    before = _found(conn, actor, now, account_id, address)
    if not changes:
        raise UsageError("changes", f"nothing to set; give {', '.join(FIELDS)}")
    given = checked(changes, now)
    after = replace(before, **given)
    suppressions.save(conn, after)
    told: dict[str, object] = {field: {"from": getattr(before, field), "to": getattr(after, field)} for field in given}
    access.record(conn, actor, now, "suppression.set", _name(account_id, before.address), told)
    return shown(conn, after)


def _remove(conn: Connection, actor: Actor, now: float, account_id: int, address: str) -> Shown:
    before = _found(conn, actor, now, account_id, address)
    suppressions.remove(conn, account_id, before.address)
    access.record(conn, actor, now, "suppression.remove", _name(account_id, before.address), {"reason": before.reason, "detail": before.detail})
    return shown(conn, before)


def _found(conn: Connection, actor: Actor, now: float, account_id: int, address: str) -> Suppression:
    key = key_of(address)
    row = suppressions.get(conn, account_id, key) if access.may(actor, access.SENDING, Object(account_id=account_id)) else None
    if row is None or not row.is_active(now):
        raise NotFoundError(f"no such suppression: {key}")
    return row


def _name(account_id: int, address: str) -> str:
    return f"suppression {address} ({f'account {account_id}' if account_id != APPLIANCE else 'appliance'})"
