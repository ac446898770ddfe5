"""Aliases of a domain: set, remove, list, and ask where an address leads.

An alias is 'local@domain' or '@domain' (the catch-all) with one or more targets. Setting one that would lead in a circle, nest too deep or reach
too many is refused when it is set, not found out when mail comes.

Raises UsageError, NotFoundError (no such domain or alias, or not yours), ConflictError (limits).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, domains
from jetmail.actions.access import Actor
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address, AddressError, parse, parse_domain
from jetmail.store.database import Connection
from jetmail.store.directory import aliases
from jetmail.store.directory.aliases import MAX_TARGETS, Expansion, Found

MAX_PER_DOMAIN = 100_000


@dataclass(frozen=True, slots=True)
class Alias:
    """`address` is 'local@domain' or '@domain'."""

    address: str
    targets: tuple[str, ...]


def put(db: IDatabase, actor: Actor, address: str, targets: Iterable[str], *, now: float) -> Deferred[Alias]:
    """Make the address stand for exactly these targets."""

    def do() -> Deferred[Alias]:
        key, domain = _alias_address(address)
        return db.run(_put, actor, now, key, domain, _targets(targets))

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, address: str, *, now: float) -> Deferred[Alias]:
    """Forget the alias. -> what it was."""

    def do() -> Deferred[Alias]:
        key, domain = _alias_address(address)
        return db.run(_remove, actor, now, key, domain)

    return maybeDeferred(do)


def listing(db: IDatabase, actor: Actor, domain: str) -> Deferred[tuple[Alias, ...]]:
    """The domain's aliases in order."""
    return db.search(_listing, actor, domain)


def trace(db: IDatabase, actor: Actor, address: str) -> Deferred[Expansion]:
    """Where mail for an address (of a domain the actor may see) would go."""

    def do() -> Deferred[Expansion]:
        return db.search(_trace, actor, _address("address", address))

    return maybeDeferred(do)


def _put(conn: Connection, actor: Actor, now: float, key: str, name: str, targets: tuple[str, ...]) -> Alias:
    domain = domains.found(conn, actor, access.PEOPLE, name)
    if domain.kind == "alias":
        raise UsageError("address", f"{domain.name} stands for {domain.alias_of}; make the alias there")
    before = aliases.targets(conn, key)
    if not before and len(aliases.listing(conn, domain.name)) >= MAX_PER_DOMAIN:
        raise ConflictError(f"a domain may have {MAX_PER_DOMAIN} aliases")
    aliases.put(conn, key, domain.name, targets)
    # A catch-all is tried with an address nobody has; what it leads to is the same for all of them.
    expansion = aliases.expand(conn, Address("catch-all", domain.name) if key.startswith("@") else parse(key))
    if expansion.found is Found.LOOP:
        raise UsageError("targets", f"{', '.join(targets[:3])} would lead back to {key}")
    if expansion.found is Found.LIMIT:
        raise UsageError("targets", f"would reach more than {MAX_TARGETS} addresses, or through more than {aliases.MAX_DEPTH} aliases")
    access.record(conn, actor, now, "alias.set", f"alias {key}", {"from": before, "to": targets})
    return Alias(key, aliases.targets(conn, key))


def _remove(conn: Connection, actor: Actor, now: float, key: str, name: str) -> Alias:
    domains.found(conn, actor, access.PEOPLE, name)
    before = aliases.targets(conn, key)
    if not before:
        raise NotFoundError(f"no such alias: {key}")
    aliases.put(conn, key, name, ())
    access.record(conn, actor, now, "alias.remove", f"alias {key}", {"from": before})
    return Alias(key, before)


def _listing(conn: Connection, actor: Actor, name: str) -> tuple[Alias, ...]:
    domain = domains.found(conn, actor, access.SEE, name)
    return tuple(Alias(address, targets) for address, targets in aliases.listing(conn, domain.name))


def _trace(conn: Connection, actor: Actor, address: Address) -> Expansion:
    domains.found(conn, actor, access.SEE, address.domain)
    return aliases.expand(conn, address)


def _alias_address(text: str) -> tuple[str, str]:
    """-> (the key it is stored under, its domain)."""
    text = text.strip()
    if text.startswith("@"):
        try:
            domain = parse_domain(text[1:])
        except AddressError as error:
            raise UsageError("address", f"'{text}': {error}") from None
        return "@" + domain, domain
    address = _address("address", text)
    return address.key, address.domain


def _targets(texts: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for text in texts:
        target = _address("targets", text)
        found.setdefault(target.key, str(target))
        if len(found) > MAX_TARGETS:
            raise UsageError("targets", f"more than {MAX_TARGETS}")
    if not found:
        raise UsageError("targets", "none given; remove the alias instead")
    return tuple(found.values())


def _address(field: str, text: str) -> Address:
    try:
        return parse(text.strip())
    except AddressError as error:
        raise UsageError(field, f"'{text}': {error}") from None
