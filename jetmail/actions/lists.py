"""Allow lists and block lists of senders and networks (spec 6.8, 10.4), of the appliance, an account, a domain or an address.

An entry is an address, a domain (which covers its subdomains), an IP address, a network or a range; it is kept in one spelling, so that the same
entry is there once. What the lists of a level match, and which level prevails, is docs/rules.md's. An empty list is no list.

Each change and its audit entry are one transaction. What is allowed and dangerous comes back as warnings beside the result. Who may: as for rules
(actions.rules): an owner has no say over the lists of the account or the appliance.

Raises UsageError (an entry that can be none), NotFoundError (no such scope, or not yours; no such entry), ConflictError (listed already, full).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, rules
from jetmail.actions.access import Actor
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import parse, parse_domain
from jetmail.rules.lists import parse_entries
from jetmail.store.database import Connection
from jetmail.store.directory import domains, settings

SIDES = ("allow", "block")
MAX_ENTRIES = 10_000  # of one side: an owner's list is written by hand; more belongs into a map in etc/
CAUTION = "whoever claims to be {entry} is let through, forged mail too; allow the sender's IP addresses or networks where you can"
OPEN = "every sender is let through unjudged (viruses and size limits apart)"
CLOSED = "everybody who is not on an allow list is refused"


@dataclass(frozen=True, slots=True)
class Shown:
    """The lists of one scope as they are now, in the order in which they were written, and what is odd about the change."""

    scope: str
    scope_key: str
    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def show(db: IDatabase, actor: Actor, scope: str, scope_key: str = "") -> Deferred[Shown]:
    """The lists of that scope."""

    def do() -> Deferred[Shown]:
        return db.search(_show, actor, *rules.scope_of(scope, scope_key))

    return maybeDeferred(do)


def add(db: IDatabase, actor: Actor, scope: str, scope_key: str, side: str, entry: str, *, now: float) -> Deferred[Shown]:
    """Put `entry` on the allow or the block list (`side`). Where it stands on the other list too, that is a warning: allow prevails."""

    def do() -> Deferred[Shown]:
        return db.run(_add, actor, now, *rules.scope_of(scope, scope_key), _side(side), spelled(entry))

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, scope: str, scope_key: str, side: str, entry: str, *, now: float) -> Deferred[Shown]:
    """Take `entry` off."""

    def do() -> Deferred[Shown]:
        return db.run(_remove, actor, now, *rules.scope_of(scope, scope_key), _side(side), spelled(entry))

    return maybeDeferred(do)


def spelled(entry: str) -> str:
    """An entry in stored spelling. Raises UsageError('entry', ...)."""
    text = entry.strip()
    if not text or len(text) > 320:
        raise UsageError("entry", "is an address, a domain, an IP address, a network or a range")
    try:
        parse_entries([text], "entry")
    except UsageError as error:
        raise UsageError("entry", error.reason) from None
    if "@" in text:
        return parse(text).key
    first, dash, last = text.partition("-")
    try:
        if dash:
            return f"{ipaddress.ip_address(first.strip()).compressed}-{ipaddress.ip_address(last.strip()).compressed}"
        network = ipaddress.ip_network(text, strict=False)
        return network.network_address.compressed if network.prefixlen == network.max_prefixlen else network.compressed
    except ValueError:
        return parse_domain(text.removeprefix("*").removeprefix("."))


def is_network(entry: str) -> bool:
    """A stored entry is about the client and not about the sender."""
    try:
        ipaddress.ip_network(entry.partition("-")[0])
    except ValueError:
        return False
    return True


def _show(conn: Connection, actor: Actor, scope: str, scope_key: str) -> Shown:
    rules.require_scope(conn, actor, scope, scope_key)
    _refuse_alias(conn, scope, scope_key)
    return _read(conn, scope, scope_key)


def _add(conn: Connection, actor: Actor, now: float, scope: str, scope_key: str, side: str, entry: str) -> Shown:
    before = _show(conn, actor, scope, scope_key)
    entries = getattr(before, side)
    if entry in entries:
        raise ConflictError(f"{entry} is on the {side} list already")
    if len(entries) >= MAX_ENTRIES:
        raise ConflictError(f"the {side} list has {MAX_ENTRIES} entries, which is all it can have")
    after = _write(conn, actor, now, before, side, (*entries, entry), "list.add", entry)
    return Shown(scope, scope_key, after.allow, after.block, _warnings(after, side, entry))


def _remove(conn: Connection, actor: Actor, now: float, scope: str, scope_key: str, side: str, entry: str) -> Shown:
    before = _show(conn, actor, scope, scope_key)
    entries = getattr(before, side)
    if entry not in entries:
        raise NotFoundError(f"{entry} is not on the {side} list")
    return _write(conn, actor, now, before, side, tuple(each for each in entries if each != entry), "list.remove", entry)


def _read(conn: Connection, scope: str, scope_key: str) -> Shown:
    stored = settings.get(conn, _key(scope, scope_key))
    sides = [stored.get(side, []) if isinstance(stored, Mapping) else [] for side in SIDES]
    allow, block = (tuple(str(each) for each in side) if isinstance(side, list) else () for side in sides)
    return Shown(scope, scope_key, allow, block)


def _write(conn: Connection, actor: Actor, now: float, before: Shown, side: str, entries: tuple[str, ...], action: str, entry: str) -> Shown:
    lists = {"allow": before.allow, "block": before.block} | {side: entries}
    settings.put(conn, _key(before.scope, before.scope_key), {name: list(each) for name, each in lists.items() if each} or None)
    access.record(conn, actor, now, action, f"lists {before.scope} {before.scope_key}".rstrip(), {"side": side, "entry": entry})
    return Shown(before.scope, before.scope_key, tuple(lists["allow"]), tuple(lists["block"]))


def _warnings(after: Shown, side: str, entry: str) -> tuple[str, ...]:
    told = []
    if side == "allow" and entry in ("0.0.0.0/0", "::/0"):
        told.append(OPEN)
    elif side == "allow" and not is_network(entry):
        told.append(CAUTION.format(entry=entry))
    if side == "block" and {"0.0.0.0/0", "::/0"} <= set(after.block):
        told.append(CLOSED)
    elif side == "block" and entry in ("0.0.0.0/0", "::/0"):
        other = "::/0" if entry == "0.0.0.0/0" else "0.0.0.0/0"
        told.append(f"who comes over the other family of addresses is not refused; block {other} too")
    if entry in after.allow and entry in after.block:
        told.append(f"{entry} is on both lists; allow prevails")
    return tuple(told)


def _key(scope: str, scope_key: str) -> str:
    """The setting that holds the lists, as inbound.policies reads it."""
    if scope == "appliance":
        return "lists"
    return f"lists:{scope_key}" if scope == "domain" else f"lists:{scope}:{scope_key}"


def _side(side: str) -> str:
    if side not in SIDES:
        raise UsageError("side", f"'{side}' is neither allow nor block")
    return side


def _refuse_alias(conn: Connection, scope: str, scope_key: str) -> None:
    domain = domains.get(conn, scope_key) if scope == "domain" else None
    if domain is not None and domain.kind == "alias":
        raise UsageError("scope_key", f"{scope_key} stands for {domain.alias_of}, whose lists count")

