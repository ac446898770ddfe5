"""Known recipients of a domain: add, remove, list. A domain that lists them refuses everybody else at RCPT.

Raises UsageError (naming the address), NotFoundError (no such domain, or not yours).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, domains
from jetmail.actions.access import Actor
from jetmail.errors import ConflictError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address, AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import recipients

MAX_AT_ONCE = 10_000
MAX_PER_DOMAIN = 1_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """A page of a domain's recipients in order. `takes_any`: the domain accepts others too. `next` goes on behind this page, '' at the end."""

    domain: str
    takes_any: bool
    addresses: tuple[str, ...]
    total: int
    next: str


def add(db: IDatabase, actor: Actor, domain: str, addresses: Iterable[str], *, now: float) -> Deferred[int]:
    """Put addresses (all of the domain) on its list. -> how many were new."""
    return maybeDeferred(lambda: db.run(_change, actor, now, domain, _parsed(addresses), True))


def remove(db: IDatabase, actor: Actor, domain: str, addresses: Iterable[str], *, now: float) -> Deferred[int]:
    """Take addresses off. -> how many were there."""
    return maybeDeferred(lambda: db.run(_change, actor, now, domain, _parsed(addresses), False))


def listing(db: IDatabase, actor: Actor, domain: str, *, limit: int = 1000, after: str = "") -> Deferred[Known]:
    """One page of the domain's recipients."""
    return db.search(_listing, actor, domain, max(1, min(limit, MAX_AT_ONCE)), after)


def _parsed(addresses: Iterable[str]) -> tuple[Address, ...]:
    found = []
    for text in addresses:
        try:
            found.append(parse(text.strip()))
        except AddressError as error:
            raise UsageError("address", f"'{text}': {error}") from None
        if len(found) > MAX_AT_ONCE:
            raise UsageError("address", f"more than {MAX_AT_ONCE} at once")
    if not found:
        raise UsageError("address", "none given")
    return tuple(found)


def _change(conn: Connection, actor: Actor, now: float, name: str, addresses: tuple[Address, ...], is_adding: bool) -> int:
    domain = domains.found(conn, actor, access.PEOPLE, name)
    if domain.kind == "alias":
        raise UsageError("domain", f"{domain.name} stands for {domain.alias_of}; its recipients are that one's")
    for address in addresses:
        if address.domain != domain.name:
            raise UsageError("address", f"'{address}' is not of {domain.name}")
    if is_adding:
        if recipients.count(conn, domain.name) + len(addresses) > MAX_PER_DOMAIN:
            raise ConflictError(f"a domain may have {MAX_PER_DOMAIN} recipients")
        done = recipients.add(conn, addresses)
    else:
        done = recipients.remove(conn, addresses)
    if done:
        access.record(
            conn, actor, now, "recipient.add" if is_adding else "recipient.remove", f"domain {domain.name}",
            {"count": done, "addresses": [str(address) for address in addresses[:20]]},
        )  # fmt: skip
    return done


def _listing(conn: Connection, actor: Actor, name: str, limit: int, after: str) -> Known:
    domain = domains.found(conn, actor, access.SEE, name)
    found = recipients.listing(conn, domain.name, after=after, limit=limit)
    following = found[-1] if len(found) == limit else ""
    return Known(domain.name, domain.recipients == "any", found, recipients.count(conn, domain.name), following)
