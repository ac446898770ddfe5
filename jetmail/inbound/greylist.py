"""First contacts: when a (network, sender, recipient) was first told to come back later. In memory, bounded, forgotten with the process.

A restart costs a greylisted sender one more wait and nothing else. What was heard longest ago is forgotten first.
"""

from __future__ import annotations

import ipaddress

from jetmail.mail.address import Address
from jetmail.rules.facts import parse_ip

MAX_CONTACTS = 100_000
LIFETIME = 5 * 86_400.0  # seconds: as long as a sender is expected to go on trying


def network_of(address: str) -> str:
    """Large senders try again from a neighbour: /24 of IPv4, /64 of IPv6."""
    ip = parse_ip(address)
    if ip is None:
        return address
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))


class Greylist:
    """Times are epoch seconds, given by the caller."""

    def __init__(self, limit: int = MAX_CONTACTS) -> None:
        self._limit = limit
        self._first: dict[tuple[str, str, str], float] = {}

    def __len__(self) -> int:
        return len(self._first)

    def first_seen(self, client: str, sender: str, recipient: Address, now: float) -> float | None:
        """When this contact was first greylisted; None when it never was, or too long ago."""
        if not self._first:
            return None
        first = self._first.get((network_of(client), sender, recipient.key))
        return first if first is not None and now - first < LIFETIME else None

    def remember(self, client: str, sender: str, recipient: Address, now: float) -> None:
        """It has just been told to come back. The first time counts, until it is too old."""
        key = (network_of(client), sender, recipient.key)
        first = self._first.get(key)
        if first is not None and now - first < LIFETIME:
            return
        self._first.pop(key, None)
        if len(self._first) >= self._limit:
            del self._first[next(iter(self._first))]
        self._first[key] = now
