"""Whether the client's address has a name that leads back to it (RFC 8601 2.7.3). At most MAX_NAMES names are asked about. Nothing is raised."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum

from jetmail.interfaces import AnswerKind, IResolver

MAX_NAMES = 5

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class IprevResult(Enum):
    """PERMERROR: there is no name at all."""

    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Iprev:
    """`name` that leads back, or the first that does not."""

    result: IprevResult
    name: str = ""


async def check(resolver: IResolver, ip: IPAddress) -> Iprev:
    """Names of the address, then addresses of the names."""
    answer = await resolver.query(ip.reverse_pointer, "PTR")
    if answer.is_temporary:
        return Iprev(IprevResult.TEMPERROR)
    names = answer.records[:MAX_NAMES] if answer.kind is AnswerKind.FOUND else ()
    if not names:
        return Iprev(IprevResult.PERMERROR)
    rdtype = "A" if ip.version == 4 else "AAAA"
    asking = [resolver.query(name, rdtype) for name in names]
    is_temporary = False
    confirmed = ""
    for name, asked in zip(names, asking, strict=True):
        back = await asked
        is_temporary = is_temporary or back.is_temporary
        if not confirmed and back.kind is AnswerKind.FOUND and any(_same(ip, text) for text in back.records):
            confirmed = name
    if confirmed:
        return Iprev(IprevResult.PASS, confirmed)
    return Iprev(IprevResult.TEMPERROR if is_temporary else IprevResult.FAIL, names[0])


def _same(ip: IPAddress, text: str) -> bool:
    try:
        return ipaddress.ip_address(text) == ip
    except ValueError:
        return False
