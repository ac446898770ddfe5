"""Accounts: whose domains and users are whose, on which plan, and whom notices go to. An administrator's.

Raises UsageError, NotFoundError (no such account, or not an administrator), ConflictError (the name is taken).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import accounts
from jetmail.store.directory.accounts import Account

PLANS = ("standard", "pro")
FIELDS = ("name", "plan", "contact")
MAX_NAME = 100


def add(db: IDatabase, actor: Actor, name: str, *, now: float, plan: str = "standard", contact: str = "") -> Deferred[Account]:
    """A new account."""
    return db.run(_add, actor, now, name, plan, contact)


def listing(db: IDatabase, actor: Actor) -> Deferred[tuple[Account, ...]]:
    """The accounts the actor may see, by name."""
    return db.search(_listing, actor)


def change(db: IDatabase, actor: Actor, name: str, changes: Mapping[str, str], *, now: float) -> Deferred[Account]:
    """Set the fields named in `changes` (FIELDS). A user left in mode any by a downgrade counts as default from then on."""
    return db.run(_change, actor, now, name, dict(changes))


def found(conn: Connection, actor: Actor, name: str) -> Account:
    """The account of that name, or id, when the actor may send for it. Raises NotFoundError."""
    account = accounts.named(conn, name) or (accounts.get(conn, int(name)) if name.isascii() and name.isdigit() and len(name) < 10 else None)
    if account is None or not access.may(actor, access.SENDING, Object(account_id=account.id)):
        raise NotFoundError(f"no such account: {name}")
    return account


def _add(conn: Connection, actor: Actor, now: float, name: str, plan: str, contact: str) -> Account:
    access.require(actor, access.APPLIANCE, Object(), f"account: {name}")
    account = _checked(conn, Account(0, name.strip(), plan, contact))
    account = replace(account, id=accounts.add(conn, account.name, account.plan, account.contact))
    access.record(conn, actor, now, "account.add", f"account {account.id}", {"name": account.name, "plan": plan, "contact": account.contact})
    return account


def _listing(conn: Connection, actor: Actor) -> tuple[Account, ...]:
    return tuple(account for account in accounts.listing(conn) if access.may(actor, access.SENDING, Object(account_id=account.id)))


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, str]) -> Account:
    before = found(conn, actor, name)
    for field in changes:
        if field not in FIELDS:
            raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
    if not changes:
        raise UsageError("changes", "nothing to set")
    if set(changes) - {"contact"}:  # whom to tell is the account's own affair, plan and name are not
        access.require(actor, access.APPLIANCE, Object(), f"account: {name}")
    after = _checked(conn, Account(**(asdict(before) | changes)))
    accounts.save(conn, after)
    told: dict[str, object] = {field: {"from": getattr(before, field), "to": getattr(after, field)} for field in changes}
    access.record(conn, actor, now, "account.set", f"account {after.id}", told)
    return after


def _checked(conn: Connection, account: Account) -> Account:
    if not account.name or len(account.name) > MAX_NAME or not account.name.isprintable():
        raise UsageError("name", f"must be 1 to {MAX_NAME} printable characters")
    taken = accounts.named(conn, account.name)
    if taken is not None and taken.id != account.id:
        raise ConflictError(f"the account {account.name} is here already")
    if account.plan not in PLANS:
        raise UsageError("plan", f"'{account.plan}' is none of {', '.join(PLANS)}")
    if not account.contact:
        return account
    try:
        return replace(account, contact=str(parse(account.contact)))
    except AddressError as error:
        raise UsageError("contact", f"'{account.contact}': {error}") from None
