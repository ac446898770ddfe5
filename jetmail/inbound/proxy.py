"""The PROXY protocol header, version 1 (text) and 2 (binary), as octets become the addresses a proxy speaks of. Pure.

`parse(octets)` returns None while the header is incomplete, else (Origin or None, octets used): None stands for UNKNOWN and LOCAL, where the socket's
own addresses hold. At most MAX_HEADER octets are ever asked for.

Raises ProxyError when the octets are no header of these versions; the connection must be dropped, since nobody can tell whose it is.
Obeys https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt sections 2.1 and 2.2.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MAX_V1 = 107
MAX_HEADER = 4_096  # version 2 with its TLVs, which are not read

_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = re.compile(rb"PROXY (TCP[46]) ([0-9a-fA-F.:]{2,39}) ([0-9a-fA-F.:]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})")
_TCP_OVER_IPV4 = 0x11
_TCP_OVER_IPV6 = 0x21


class ProxyError(ValueError):
    """The octets are no PROXY header; `str()` says why, for the log."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The connection as the proxy saw it."""

    address: str
    port: int
    local_address: str
    local_port: int


def parse(octets: bytes) -> tuple[Origin | None, int] | None:
    """See the module."""
    if octets[: len(_V2)] == _V2[: len(octets)]:
        return _version_2(octets) if len(octets) >= 16 else None
    if octets[:6] != b"PROXY "[: len(octets)]:
        raise ProxyError("no PROXY header")
    end = octets.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(octets) >= MAX_V1:
            raise ProxyError("version 1 header is too long")
        return None
    return _version_1(octets[:end]), end + 2


def _version_1(line: bytes) -> Origin | None:
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return None
    found = _V1.fullmatch(line)
    if found is None:
        raise ProxyError("version 1 header is malformed")
    kind, source, target, source_port, target_port = (part.decode("ascii") for part in found.groups())
    family = ipaddress.IPv4Address if kind == "TCP4" else ipaddress.IPv6Address
    try:
        addresses = str(family(source)), str(family(target))
    except ValueError as error:
        raise ProxyError("version 1 header has a bad address") from error
    ports = int(source_port), int(target_port)
    if max(ports) > 65_535:
        raise ProxyError("version 1 header has a bad port")
    return Origin(addresses[0], ports[0], addresses[1], ports[1])


def _version_2(octets: bytes) -> tuple[Origin | None, int] | None:
    version, command = octets[12] >> 4, octets[12] & 15
    if version != 2 or command > 1:
        raise ProxyError("version 2 header has an unknown version or command")
    size = 16 + int.from_bytes(octets[14:16])
    if size > MAX_HEADER:
        raise ProxyError("version 2 header is too long")
    if len(octets) < size:
        return None
    if command == 0:
        return None, size  # LOCAL: the proxy speaks for itself
    width = {_TCP_OVER_IPV4: 4, _TCP_OVER_IPV6: 16}.get(octets[13])
    if width is None:
        return None, size  # section 2.2: other families are skipped and the socket's addresses used
    if size < 16 + 2 * width + 4:
        raise ProxyError("version 2 header is too short for its family")
    source, target = octets[16 : 16 + width], octets[16 + width : 16 + 2 * width]
    ports = octets[16 + 2 * width : 20 + 2 * width]
    return Origin(str(ipaddress.ip_address(source)), int.from_bytes(ports[:2]), str(ipaddress.ip_address(target)), int.from_bytes(ports[2:])), size
