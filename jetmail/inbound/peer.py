"""Who is at the other end of one connection, and by which of our doors it came in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """`address` and `port` are the client's own (from the PROXY header where one is expected; IPv4-mapped IPv6 is written as IPv4). `listener` is the
    name in etc/, `kind` 'mx', 'submission' or 'submissions'. `proxy` is the address of the proxy that spoke for it, else ''."""

    address: str
    port: int
    listener: str
    kind: str
    local_address: str = ""
    local_port: int = 0
    proxy: str = ""
