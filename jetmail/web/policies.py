"""The MTA-STS policies of our own domains over HTTPS (RFC 8461 3.3), and nothing else: no page, no cookie, no redirect.

`GET https://mta-sts.<domain>/.well-known/mta-sts.txt` is 200 and text/plain when the domain is ours and has chosen a policy; everything else is 404.
So this port may face the world while the pages do not. The limits are those of the pages' door (web.door) and narrower; besides, connections of one
address are counted.

`PolicyPort` is what app holds. Raises nothing but CannotListenError from `listen`; a store that cannot be read is 503.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource

from jetmail.errors import StoreError
from jetmail.web.door import METHODS, DoorChannel, DoorRequest, DoorSite, host_name
from jetmail.web.metrics import Metrics

PATH = b"/.well-known/mta-sts.txt"
LABEL = "mta-sts."


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """See web.door; `max_per_address` connections of one IPv4 address or IPv6 /64."""

    body_limit: int = 1_024
    header_limit: int = 8_192
    header_count: int = 50
    idle_timeout: float = 10.0
    request_timeout: float = 10.0
    max_connections: int = 200
    max_per_address: int = 10


class PolicyRequest(DoorRequest):
    """One question."""

    site: PolicySite

    def process(self) -> None:
        """Answer it."""
        self._prepare()
        code, message, body = self._found()
        if code == http.OK:
            self.setHeader(b"Content-Type", b"text/plain")
        elif code == http.SERVICE_UNAVAILABLE:
            self.setHeader(b"Retry-After", b"60")
        self._turn_away(code, message, body)

    def _found(self) -> tuple[int, bytes, bytes]:
        if self.method not in METHODS:
            return http.NOT_ALLOWED, b"Method Not Allowed", b"This can only be read.\n"
        hosts = self.requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) != 1:
            return http.BAD_REQUEST, b"Bad Request", b"A request has exactly one Host.\n"
        name = host_name(hosts[0].decode("latin-1"))
        if self.path == PATH and name.startswith(LABEL):
            try:
                policy = self.site.policy_of(name[len(LABEL) :])
            except StoreError:
                return http.SERVICE_UNAVAILABLE, b"Service Unavailable", b"Not now, try again in a moment.\n"
            if policy:
                return http.OK, b"OK", policy.encode("ascii")
        return http.NOT_FOUND, b"Not Found", b"There is nothing at this address.\n"


class PolicyChannel(DoorChannel):
    """One connection."""

    site: PolicySite
    _home = ""

    def connectionMade(self) -> None:
        """The connection is there."""
        super().connectionMade()
        self._home = self.site.arrived(self, getattr(self.getPeer(), "host", ""))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.site.left(self, self._home)
        super().connectionLost(reason)


class PolicySite(DoorSite):
    """The factory for the port. `policy_of(domain)`: the file, '' when the domain has none or is not ours. `origin`: what an address is counted
    by."""

    request_class = PolicyRequest
    channel_class = PolicyChannel
    options: PolicyOptions

    def __init__(
        self, options: PolicyOptions, metrics: Metrics, clock: IReactorTime, policy_of: Callable[[str], str], origin: Callable[[str], str]
    ) -> None:
        super().__init__(Resource(), options, metrics, clock)
        self.policy_of = policy_of
        self._origin = origin
        self._homes: dict[str, int] = {}
        self._channels: set[PolicyChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection was accepted by the system; None closes it."""
        if self._homes.get(self._origin(getattr(addr, "host", "")), 0) >= self.options.max_per_address:
            return None
        return super().buildProtocol(addr)

    def arrived(self, channel: PolicyChannel, host: str) -> str:
        """-> what the connection is counted by, for `left`."""
        self._channels.add(channel)
        home = self._origin(host)
        self._homes[home] = self._homes.get(home, 0) + 1
        return home

    def left(self, channel: PolicyChannel, home: str) -> None:
        """It is gone."""
        self._channels.discard(channel)
        self._homes[home] = self._homes.get(home, 0) - 1
        if self._homes[home] <= 0:
            del self._homes[home]

    def close(self) -> None:
        """Let go of who is still there: an answer here is written in one go."""
        for channel in tuple(self._channels):
            channel.loseConnection()


class PolicyPort:
    """See the module. `tls`: an IOpenSSLServerConnectionCreator. `open_ports(factory)` listens: the ports it has opened, none when nothing is
    served."""

    def __init__(self, reactor: Any, site: PolicySite, tls: Any, open_ports: Callable[[Any], Sequence[Any]]) -> None:
        self._site = site
        self._factory = TLSMemoryBIOFactory(tls, False, site, reactor)
        self._open_ports = open_ports
        self._open: Sequence[Any] = ()

    def listen(self) -> None:
        """Raises CannotListenError."""
        self._open = self._open_ports(self._factory)

    async def stop(self) -> None:
        """No more of it."""
        for port in self._open:
            await maybeDeferred(port.stopListening)
        self._site.close()
