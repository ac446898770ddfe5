"""Aliases: one address that stands for others, and the expansion of an address to where its mail really goes.

An alias' address is an `Address.key` or '@domain', the catch-all; its targets are full addresses as people wrote them. An alias may name itself
among its targets: that one keeps a copy where the address lives.

`expand` follows, for an address of ours, the first that answers of
1. the alias of the whole address, 2. the address on the list of known recipients, 3. the alias of its base ('x' of 'x+tag'),
4. the base on the list of known recipients, 5. the domain's catch-all, 6. the domain does not list its recipients.
Alias domains are mapped first, at every step. Targets elsewhere are final. Circles end where they close: an address already on the way is
not followed again, and one whose every way is a circle has no target, which is said as LOOP, never as silence. A target of ours that nobody
has is unknown when it is the only one; beside others it stays a target, so that its delivery fails where it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from jetmail.mail.address import Address, AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import recipients

MAX_DEPTH = 10  # aliases of aliases
MAX_TARGETS = 200  # final addresses behind one recipient


class Found(Enum):
    """How an expansion ended."""

    TARGETS = "targets"
    UNKNOWN_DOMAIN = "unknown domain"  # not ours
    UNKNOWN_RECIPIENT = "unknown recipient"  # ours, and nobody has that address
    LOOP = "loop"  # aliases that only lead to one another
    LIMIT = "limit"  # nested too deep, or too many targets


@dataclass(frozen=True, slots=True)
class Expansion:
    """`targets` are unique; empty unless `found` is TARGETS. `via_alias` is true when an alias took part. `assumed`: nothing here says that the
    address
    exists, its domain only does not list its recipients."""

    found: Found
    targets: tuple[Address, ...] = ()
    via_alias: bool = False
    assumed: bool = False


class Lookup(Protocol):
    """The three questions an expansion asks."""

    def domain(self, name: str) -> tuple[str, bool] | None:
        """(the name mail is really for, whether recipients need not be listed), None when not ours."""

    def aliases(self, key: str) -> tuple[str, ...]:
        """The targets of that alias, () when there is none."""

    def is_known(self, key: str) -> bool:
        """Whether it is on the list of known recipients."""


class StoredLookup:
    """Lookup in the store."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def domain(self, name: str) -> tuple[str, bool] | None:
        """See Lookup. An alias domain of an alias domain is not followed (actions.domains refuses to make one)."""
        row = self._conn.execute("SELECT kind, alias_of, recipients, name FROM domains WHERE name = ?", (name,)).fetchone()
        if row is not None and row[0] == "alias":
            row = self._conn.execute("SELECT kind, alias_of, recipients, name FROM domains WHERE name = ?", (row[1],)).fetchone()
            if row is not None and row[0] == "alias":
                return None
        return None if row is None else (row[3], row[2] != "listed")

    def aliases(self, key: str) -> tuple[str, ...]:
        """See Lookup."""
        return targets(self._conn, key)

    def is_known(self, key: str) -> bool:
        """See Lookup."""
        return recipients.is_known(self._conn, key)


def expand(conn: Connection, address: Address) -> Expansion:
    """Where mail for the address really goes."""
    return expand_with(StoredLookup(conn), address)


def expand_with(lookup: Lookup, address: Address) -> Expansion:
    """`expand` over any Lookup."""
    ours = lookup.domain(address.domain)
    if ours is None:
        return Expansion(Found.UNKNOWN_DOMAIN)
    start = _mapped(address, ours[0])
    reached: dict[str, Address] = {}
    seen = {start.key}
    dead: dict[str, Address] = {}
    way, via_alias, circles, assumed = [start], False, False, False
    for depth in range(MAX_DEPTH + 1):
        onward: list[Address] = []
        for place in way:
            ours = lookup.domain(place.domain)
            if ours is None:
                reached.setdefault(place.key, place)
                continue
            place = _mapped(place, ours[0])
            names = _alias_targets(lookup, place)
            if names is None:
                if _is_listed(lookup, place):
                    reached.setdefault(place.key, place)
                elif ours[1]:
                    reached.setdefault(place.key, place)
                    assumed = True
                else:
                    dead.setdefault(place.key, place)
                continue
            via_alias = True
            for name in names:
                target = _parsed(name)
                if target is None:
                    continue
                mapped = lookup.domain(target.domain)
                target = target if mapped is None else _mapped(target, mapped[0])
                if target.key == place.key:
                    reached.setdefault(target.key, target)  # it names itself: keep a copy
                elif target.key in seen:
                    circles = True
                else:
                    seen.add(target.key)
                    onward.append(target)
            if len(reached) + len(dead) + len(onward) > MAX_TARGETS:
                return Expansion(Found.LIMIT, (), True)
        if not onward:
            break
        if depth == MAX_DEPTH:
            return Expansion(Found.LIMIT, (), True)
        way = onward
    if reached:
        return Expansion(Found.TARGETS, tuple((reached | dead).values()), via_alias, assumed and not via_alias)
    return Expansion(Found.LOOP if circles and not dead else Found.UNKNOWN_RECIPIENT, (), via_alias)


def targets(conn: Connection, key: str) -> tuple[str, ...]:
    """The targets of the alias `key`, () when there is none."""
    return tuple(row[0] for row in conn.execute("SELECT recipient FROM aliases WHERE address = ? ORDER BY recipient", (key,)).fetchall())


def put(conn: Connection, key: str, domain: str, names: tuple[str, ...]) -> None:
    """Make `key` stand for exactly these targets; none forgets it."""
    conn.execute("DELETE FROM aliases WHERE address = ?", (key,))
    conn.executemany("INSERT OR IGNORE INTO aliases (address, recipient, domain) VALUES (?, ?, ?)", [(key, name, domain) for name in names])


def listing(conn: Connection, domain: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The domain's aliases in order, each with its targets."""
    found: dict[str, list[str]] = {}
    rows = conn.execute("SELECT address, recipient FROM aliases WHERE domain = ? ORDER BY address, recipient", (domain,)).fetchall()
    for address, recipient in rows:
        found.setdefault(address, []).append(recipient)
    return tuple((address, tuple(names)) for address, names in found.items())


def _alias_targets(lookup: Lookup, place: Address) -> tuple[str, ...] | None:
    """The targets of the alias that catches the address, None where none does (known recipients stand before broader aliases)."""
    if names := lookup.aliases(place.key):
        return names
    if lookup.is_known(place.key):
        return None
    base = _base(place)
    if base is not None:
        if names := lookup.aliases(base.key):
            return names
        if lookup.is_known(base.key):
            return None
    return lookup.aliases("@" + place.domain) or None


def _is_listed(lookup: Lookup, place: Address) -> bool:
    base = _base(place)
    return lookup.is_known(place.key) or (base is not None and lookup.is_known(base.key))


def _base(address: Address) -> Address | None:
    """'x@d' of 'x+tag@d', None without a tag."""
    return None if address.untagged is address else address.untagged


def _mapped(address: Address, domain: str) -> Address:
    return address if address.domain == domain else Address(address.local, domain)


def _parsed(name: str) -> Address | None:
    try:
        return parse(name)
    except AddressError:
        return None  # a row edited past the door; the alias's other targets still count
