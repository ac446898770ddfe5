"""Lists of senders and networks, and sets of addresses, made ready for one look-up in a few microseconds however long they are.

An entry is an address (`a@example.com`), a domain (`example.com`, which covers its subdomains; a leading `*.` or `.` changes nothing), an IP
address, a network (`192.0.2.0/24`) or a range (`192.0.2.1-192.0.2.9`). Everything else is refused with UsageError naming the entry.

Sources: spec 6.8 (allow has precedence over block, so that `allow = [...]` with `block = ["0.0.0.0/0", "::/0"]` admits only who is listed).
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.errors import UsageError
from jetmail.mail.address import AddressError, parse, parse_domain

MAX_ENTRIES = 100_000

# Loopback and private networks: our own machines, as a rule.
NEAR_NETWORKS = ("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_range(text: str) -> tuple[int, int, int]:
    """An address, a network or a range -> (version, first, last). Raises ValueError with a reason."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        if low.version != high.version or int(low) > int(high):
            raise ValueError("a range goes from a lower to a higher address of one family")
        return low.version, int(low), int(high)
    network = ipaddress.ip_network(text.strip(), strict=False)
    return network.version, int(network.network_address), int(network.broadcast_address)


class Networks:
    """A set of addresses: sorted, merged ranges per family, looked up by bisection."""

    __slots__ = ("_first", "_last")

    def __init__(self, ranges: Iterable[tuple[int, int, int]] = ()) -> None:
        self._first: dict[int, list[int]] = {4: [], 6: []}
        self._last: dict[int, list[int]] = {4: [], 6: []}
        for version, low, high in sorted(ranges):
            first, last = self._first[version], self._last[version]
            if last and low <= last[-1] + 1:
                last[-1] = max(last[-1], high)
            else:
                first.append(low)
                last.append(high)

    def union(self, *others: Networks) -> Networks:
        """One set of all of them."""
        return Networks(each for networks in (self, *others) for each in networks.ranges())

    def ranges(self) -> list[tuple[int, int, int]]:
        """(version, first, last), sorted, none touching the next."""
        return [(version, *pair) for version in (4, 6) for pair in zip(self._first[version], self._last[version], strict=True)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self.ranges() == other.ranges()

    def __hash__(self) -> int:
        return hash(tuple(self.ranges()))

    def __contains__(self, address: IPAddress | None) -> bool:
        if address is None:
            return False
        number = int(address)
        place = bisect_right(self._first[address.version], number) - 1
        return place >= 0 and number <= self._last[address.version][place]

    def __bool__(self) -> bool:
        return bool(self._first[4] or self._first[6])


NO_NETWORKS = Networks()


@dataclass(frozen=True, slots=True)
class Entries:
    """One side of a list, ready for look-ups. Made by `parse_entries`."""

    addresses: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    networks: Networks = NO_NETWORKS

    def __bool__(self) -> bool:
        return bool(self.addresses or self.domains or self.networks)

    def has_sender(self, key: str, domain: str) -> bool:
        """`key` as Address.key; a listed domain covers its subdomains."""
        return key in self.addresses or (bool(self.domains) and covers(self.domains, domain))

    def has_network(self, address: IPAddress | None) -> bool:
        """The connecting address is in a listed network."""
        return address in self.networks


NO_ENTRIES = Entries()


@dataclass(frozen=True, slots=True)
class Lists:
    """An allow list and a block list of one level."""

    allow: Entries = NO_ENTRIES
    block: Entries = NO_ENTRIES

    def __bool__(self) -> bool:
        return bool(self.allow or self.block)


NO_LISTS = Lists()


def covers(domains: frozenset[str], domain: str) -> bool:
    """`domain` or a domain above it is in the set."""
    while domain:
        if domain in domains:
            return True
        _, _, domain = domain.partition(".")
    return False


def parse_entries(entries: Iterable[str], field: str = "entries") -> Entries:
    """Texts -> Entries. Raises UsageError naming the field with its place and the reason."""
    addresses, domains, ranges = set(), set(), []
    for index, text in enumerate(entries):
        if index >= MAX_ENTRIES:
            raise UsageError(field, f"more than {MAX_ENTRIES} entries")
        value = text.strip()
        try:
            if "@" in value:
                addresses.add(parse(value).key)
                continue
            try:
                ranges.append(parse_range(value))
                continue
            except ValueError as error:
                if "/" in value or ":" in value or value.replace(".", "").replace("-", "").isdigit():
                    raise UsageError(f"{field}[{index}]", f"{text!r}: {error}") from error
            domains.add(parse_domain(value.removeprefix("*").removeprefix(".")))
        except AddressError as error:
            raise UsageError(f"{field}[{index}]", f"{text!r}: {error}") from error
    return Entries(frozenset(addresses), frozenset(domains), Networks(ranges))
