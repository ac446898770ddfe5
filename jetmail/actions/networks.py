"""Lists of networks as people write them, in one spelling: what a token, or whoever signs in, may come from.

Raises UsageError naming the field.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from jetmail.errors import UsageError

MAX_NETWORKS = 50


def spelled(texts: Iterable[str], field: str = "networks") -> tuple[str, ...]:
    """Addresses and ranges, each once, IPv4 written in IPv6 as IPv4, in order."""
    made: dict[str, None] = {}
    for text in texts:
        made[_one(text.strip(), field)] = None
        if len(made) > MAX_NETWORKS:
            raise UsageError(field, f"more than {MAX_NETWORKS}")
    return tuple(sorted(made))


def _one(text: str, field: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(field, f"'{text}' is no IPv4 or IPv6 address or range (203.0.113.42, 203.0.113.0/24, 2001:db8::/64)") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped) is not None:
        network = ipaddress.ip_network((mapped, network.prefixlen - 96))
    return str(network.network_address) if network.num_addresses == 1 else str(network)
