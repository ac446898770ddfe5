"""Who is at the other end of one connection, by which of our doors it came in, and how addresses are told apart when they are counted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HTTP = "http"  # the listener's name for what comes by the API


class Peer(NamedTuple):
    """`address` and `port` are the client's own (from the PROXY header where one is expected; IPv4-mapped IPv6 is written as IPv4). `listener` is the
    name in etc/, `kind` 'mx', 'submission' or 'submissions'. `proxy` is the address of the proxy that spoke for it, else ''."""

    address: str
    port: int
    listener: str
    kind: str
    proxy: str = ""


@lru_cache(maxsize=4096)
def plain(address: str) -> str:
    """One spelling for one host: IPv4 that came over an IPv6 socket as IPv4, no zone. Text that is no address is returned as it is."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or parsed)


@lru_cache(maxsize=4096)
def origin(address: str) -> str:
    """What connections are counted by: the IPv4 address, or the IPv6 /64, which is what one customer gets. `address` is plain."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((int(ipaddress.IPv6Address(address)) >> 64 << 64, 64)))
    except ValueError:
        return address


class Networks:
    """A few networks, asked often."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for text that is no network or address."""
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
