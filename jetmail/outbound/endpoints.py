"""Where a web request goes: a host by name, dialled at one of its addresses, with TLS in its name for https.

The name is looked up by our own resolver, so no thread waits for it, and the address that was looked at is the one that is dialled: a name that is
answered otherwise a moment later (DNS rebinding) leads nowhere else. Where the URL is a stranger's word, `public` keeps it out of our own networks: a
host that has an address which is not public is refused whole.

`connect` fails its Deferred with NoAddressError, PrivateAddressError, ConnectError, or whatever TLS finds wrong later on.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from jetmail.interfaces import IDialer, IResolver

CONNECT_SECONDS = 10.0
MAX_ADDRESSES = 4
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")


class NoAddressError(Exception):
    """The host has none."""


class PrivateAddressError(Exception):
    """The host has one that is not public."""


def is_public(address: str) -> bool:
    """Whether the address is one of the internet's: none of private networks, loopback, link-local, multicast or of this host, in any of the ways to
    write an IPv4 address as an IPv6 one."""
    found: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or (IPv4Address(int(found) & 0xFFFF_FFFF) if found in _NAT64 else found.sixtofour)
        if inner is None:
            return found in _GLOBAL_UNICAST and found not in _SIX_TO_FOUR and found.is_global
        found = inner
    return found.is_global and not found.is_multicast and not found.is_reserved


@implementer(IAgentEndpointFactory)
class Endpoints:
    """`public`: to public addresses only. `limit`: octets one connection may bring before it is cut off; 0: any number. `plain`: http as well."""

    def __init__(self, reactor: Any, resolver: IResolver, dialer: IDialer, trusted: Any, public: bool, limit: int = 0, plain: bool = False) -> None:
        self.public = public
        self.reactor = reactor
        self.resolver = resolver
        self.dialer = dialer
        self.trusted = trusted
        self.limit = limit
        self.plain = plain

    def endpointForURI(self, uri: Any) -> Endpoint:
        """For twisted.web.client.Agent."""
        if uri.scheme != b"https" and not self.plain:
            raise ValueError("only https is spoken here")
        return Endpoint(self, uri.host.decode("ascii"), uri.port, uri.scheme == b"https")


@implementer(IStreamClientEndpoint)
class Endpoint:
    """One host, at the first of its addresses that answers."""

    def __init__(self, around: Endpoints, host: str, port: int, is_tls: bool = True) -> None:
        self._around = around
        self._host = host
        self._port = port
        self._is_tls = is_tls

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        around = self._around
        addresses = await self._addresses()
        for number, address in enumerate(addresses, 1):
            wrapped: Any = _CappedFactory(factory, around.limit) if around.limit else factory
            if self._is_tls:
                options = optionsForClientTLS(self._host, trustRoot=around.trusted)
                wrapped = TLSMemoryBIOFactory(options, True, wrapped, clock=around.reactor)
            try:
                connected = await around.dialer.connect(address, self._port, wrapped, CONNECT_SECONDS)
            except ConnectError:
                if number == len(addresses):
                    raise
            else:
                for _ in range(self._is_tls + bool(around.limit)):
                    connected = connected.wrappedProtocol
                return connected
        raise AssertionError("the loop above returns or raises")

    async def _addresses(self) -> list[str]:
        around, addresses = self._around, [self._host]
        try:
            ip_address(self._host)
        except ValueError:
            answers = await gatherResults([around.resolver.query(self._host, rdtype) for rdtype in ("AAAA", "A")])
            if around.public:
                _refuse_private([address for answer in answers for address in answer.records], self._host)
            addresses = [address for answer in answers for address in answer.records[: MAX_ADDRESSES // 2]]
        else:
            if around.public:
                _refuse_private(addresses, self._host)
        if not addresses:
            raise NoAddressError(f"{self._host} has no address")
        return addresses


def _refuse_private(addresses: list[str], host: str) -> None:
    for address in addresses:
        if not is_public(address):
            raise PrivateAddressError(f"{host} has the address {address}, which is not public")


class _Capped(ProtocolWrapper):
    """Brings so many octets and no more."""

    brought = 0

    def dataReceived(self, data: bytes) -> None:
        """Octets on their way up."""
        factory: Any = self.factory
        self.brought += len(data)
        if self.brought > factory.limit:
            self.transport.abortConnection()  # type: ignore[union-attr]
        else:
            super().dataReceived(data)


class _CappedFactory(WrappingFactory):
    protocol = _Capped
    noisy = False

    def __init__(self, wrapped: Factory, limit: int) -> None:
        super().__init__(wrapped)
        self.limit = limit
