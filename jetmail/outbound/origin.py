"""Origin: where a connection leaves from, and as whom it says EHLO. A value; None in its place is the default of [delivery].

It is part of a pooled connection's key, so connections of different origins never serve each other's mail, and one whose settings changed is not used
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from jetmail.mail.reply import Reply

if TYPE_CHECKING:
    from jetmail.outbound.route import Hop


class Origin(NamedTuple):
    """`name` is the source's. `ipv4` and `ipv6` '' where it has none: then hosts of that family are not used. `hostname` '' is this system's own."""

    name: str
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""

    def towards(self, address: str) -> str:
        """What to bind to for a connection to `address`; '' when it cannot leave from here. A socket's path has no family."""
        return "" if address.startswith("/") else self.ipv6 if ":" in address else self.ipv4

    def reachable(self, hops: Iterable[Hop]) -> tuple[Hop, ...]:
        """The hosts that have an address of a family this has one of, with those alone."""
        found = []
        for hop in hops:
            addresses = tuple([address for address in hop.addresses if address.startswith("/") or self.towards(address)])
            if addresses:
                found.append(hop if len(addresses) == len(hop.addresses) else replace(hop, addresses=addresses))
        return tuple(found)

    def unable(self) -> Reply:
        """Why a destination of the other family alone gets nothing."""
        return Reply(451, "4.4.4", f"the source {self.name} has no {'IPv6' if self.ipv4 else 'IPv4'} address, and the destination no other")
