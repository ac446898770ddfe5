"""The door of the web site: what is checked before any page is asked, and what every answer carries.

twisted.web has no limit on a request's body, lets a header trickle in for ever and names its version; this is where that ends.
- Body: over `body_limit` the answer is 413 and the connection closes; nothing past the limit is kept.
- Header: `header_limit` octets and `header_count` fields, then 400. A request must be complete `request_timeout` after its first octet.
- Connections: past `max_connections` a new one is closed at once.
- Host: only loopback names and addresses and the configured names. A page of somebody else's cannot reach us through a name of its own that it
  points at 127.0.0.1 (DNS rebinding): 421 (RFC 9110 15.5.20).
- Peer: loopback only, as long as there is no sign-in; a proxy that says it asks for somebody else is that somebody else (403).
- Method: GET and HEAD (405).
- Every answer: a Content-Security-Policy that allows our own files and nothing inline, no framing, no sniffing, no referrer, not stored.

Raises nothing; it answers. HTTP/1.1 only: nothing here needs more, and a second protocol would be a second set of limits.
The API's door (api/door.py) is this one with other questions: who may, and what becomes of a body, are methods of the request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from jetmail.web.metrics import Metrics

SECURITY_HEADERS = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=()"),
    (b"Cache-Control", b"no-store"),
)
METHODS = (b"GET", b"HEAD")
MISDIRECTED_REQUEST = 421

log = Logger()


def framing(sources: str) -> tuple[str, str]:
    """The header field of every answer, for a page that has frames of these sources."""
    policy = dict(SECURITY_HEADERS)[b"Content-Security-Policy"].decode()
    return "Content-Security-Policy", f"{policy}; frame-src {sources}"


def host_name(header: str) -> str:
    """The Host header's name in lower case without its port and final dot; '' when it is no host (RFC 9110 7.2)."""
    if header.startswith("["):
        name, closed, port = header[1:].partition("]")
        port = port.removeprefix(":") if closed else "?"
    else:
        name, _, port = header.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    return name.lower().removesuffix(".")


def is_loopback(name: str) -> bool:
    """True for 127.0.0.0/8, ::1 (and its IPv4-mapped kin) and localhost."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


class Limits(Protocol):
    """Times in seconds, sizes in octets: those of the module, and what to do with a connection on which nothing is asked."""

    @property
    def body_limit(self) -> int: ...
    @property
    def header_limit(self) -> int: ...
    @property
    def header_count(self) -> int: ...
    @property
    def idle_timeout(self) -> float: ...
    @property
    def request_timeout(self) -> float: ...
    @property
    def max_connections(self) -> int: ...


class DoorRequest(Request):
    """One request: the checks of this module before any page, its headers on every answer."""

    site: DoorSite
    channel: DoorChannel
    began = 0.0
    defaultContentType = b"text/plain; charset=utf-8"
    _received = 0
    _too_large = False

    def gotLength(self, length: int | None) -> None:
        """The header is complete."""
        super().gotLength(length)
        if length is not None and length > self.channel.site.options.body_limit:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body; a chunked one has no length to judge beforehand."""
        self._received += len(data)
        if not self._too_large and self._received > self.channel.site.options.body_limit:
            self._refuse_body()
        if not self._too_large:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete."""
        if not self._too_large:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Answer it."""
        self._prepare()
        problem = self._problem()
        if problem is None:
            super().process()
        else:
            self._turn_away(*problem)

    def write(self, data: bytes) -> None:
        """Twisted's name and version are nobody's business."""
        if not self.startedWriting:
            self.responseHeaders.removeHeader(b"Server")
        super().write(data)

    def _prepare(self) -> None:
        """What every answer carries."""
        self.site = self.channel.site
        self.began = self.site.reactor.seconds()
        for name, value in SECURITY_HEADERS:
            self.responseHeaders.setRawHeaders(name, [value])

    def _problem(self) -> tuple[int, bytes, bytes] | None:
        if self.method not in METHODS:
            return http.NOT_ALLOWED, b"Method Not Allowed", b"This site can only be read.\n"
        hosts = self.requestHeaders.getRawHeaders(b"Host", [])
        # A browser always sends Host (RFC 9112 3.2), so without it there is no rebinding: an HTTP/1.0 health check may pass.
        if len(hosts) > 1 or (not hosts and self.clientproto != b"HTTP/1.0"):
            return http.BAD_REQUEST, b"Bad Request", b"A request has exactly one Host.\n"
        name = host_name(hosts[0].decode("latin-1")) if hosts else "localhost"
        if not is_loopback(name) and name not in self.site.hosts:
            return MISDIRECTED_REQUEST, b"Misdirected Request", b"This site does not go by that name; its names are set with 'hosts' in [web].\n"
        if not all(is_loopback(client) for client in self._clients()):
            return http.FORBIDDEN, b"Forbidden", b"This site has no sign-in yet, so it answers only its own machine.\n"
        return None

    def _clients(self) -> list[str]:
        """Who asks: the peer, and whoever a proxy on this machine says it asks for."""
        clients = [getattr(self.getClientAddress(), "host", "")]
        for header in self.requestHeaders.getRawHeaders(b"X-Forwarded-For", []):
            clients += [part.strip() for part in header.decode("latin-1").split(",")]
        return clients

    def _turn_away(self, code: int, message: bytes, body: bytes) -> None:
        self.setResponseCode(code, message)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        if code == http.NOT_ALLOWED:
            self.setHeader(b"Allow", b", ".join(METHODS))
        self.write(body)
        self.finish()

    def _refuse_body(self) -> None:
        self._too_large = True
        self.channel.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.channel.loseConnection()


class DoorChannel(http.HTTPChannel):
    """One connection: counted, its header limited, each request complete in time."""

    site: DoorSite
    _late: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """The connection is there."""
        self.maxHeaders = self.site.options.header_count
        self.totalHeadersSize = self.site.options.header_limit
        self.site.connections += 1
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Octets came. Twisted's own time-out begins anew with each of them, ours with the first of a request."""
        if self._late is None and not self._handlingRequest:
            self._late = self.site.reactor.callLater(self.site.options.request_timeout, self._too_late)
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """A request is complete."""
        self._in_time()
        super().allContentReceived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._in_time()
        self.site.connections -= 1
        super().connectionLost(reason)

    def _in_time(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            late.cancel()

    def _too_late(self) -> None:
        self._late = None
        self.timeoutConnection()


class DoorSite(Site):
    """The factory for a listening port."""

    reactor: IReactorTime
    request_class: type[DoorRequest] = DoorRequest
    channel_class: type[DoorChannel] = DoorChannel

    def __init__(self, resource: IResource, options: Limits, metrics: Metrics, clock: IReactorTime, hosts: Collection[str] = ()) -> None:
        super().__init__(resource, self.request_class, parsePOSTFormSubmission=False, timeout=options.idle_timeout, reactor=clock)
        self.options = options
        self.hosts = hosts
        self.metrics = metrics
        self.connections = 0

    def protocol(self) -> DoorChannel:  # type: ignore[override]
        """A channel for a new connection."""
        return self.channel_class()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection was accepted by the system; None closes it."""
        return super().buildProtocol(addr) if self.connections < self.options.max_connections else None

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN)."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Listening begins. Twisted would open an access log and set a timer for its time stamps; `log` needs neither."""

    def stopFactory(self) -> None:
        """Listening ends."""

    def log(self, request: DoorRequest) -> None:  # type: ignore[override]
        """A request was answered. Its query is left out: what people search for is theirs."""
        seconds = self.reactor.seconds() - request.began
        self.metrics.answered(request.code, seconds)
        log.debug(
            "{method} {path} {code} {octets} octets in {seconds:.3f} s",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            code=request.code,
            octets=request.sentLength,
            seconds=seconds,
        )
