"""DNS: dnspython's queries over the reactor's own sockets, with a cache, one query for all who ask the same, and a breaker.

Promises
- Four ways to end, never one for another: found, NXDOMAIN, no data, SERVFAIL, timeout (interfaces.AnswerKind). `query` never fails.
- A query takes at most `timeout` seconds in all, over every server and try. When `breaker_failures` queries in a row got no answer at all, the
  breaker opens: further queries answer TIMEOUT at once, and one probe a `breaker_seconds` finds out whether the resolver is back. A dead resolver
  therefore holds up a handful of messages, once.
- Answers are cached for their TTL within bounds, NXDOMAIN and no data for the SOA minimum (RFC 2308), faults for a few seconds.
- `authentic` is True only when the configuration says that the servers validate and the answer carried AD (RFC 6840 5.8).

No threads, no asyncio: `_Backend` gives dnspython sockets made of Deferreds. Each UDP query has a socket and so a port of its own; dnspython
checks the answer's address, id and question. Truncated answers are asked again over TCP (RFC 7766).
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import dns._asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IEntropy, IResolver

MAX_TTL = 86_400
MAX_NEGATIVE_TTL = 900
FAULT_TTL = 5  # a SERVFAIL or time-out is not asked again for this long
MAX_RECORDS = 64  # of one answer; a longer RRset is cut: nothing sane has more
MAX_IN_FLIGHT = 2_000  # different questions asked at once; more answer TIMEOUT
EDNS_PAYLOAD = 1232  # the DNS flag day's value: no fragmentation


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """`servers`: 'ADDRESS' or 'ADDRESS:PORT' or '[IPV6]:PORT'; empty means /etc/resolv.conf. `validating`: trust their AD bit (only over loopback
    or a private line). `timeout` seconds for a query in all, `try_timeout` for one server. `cache_entries` answers kept. Breaker: see the module.
    `short`: first labels whose answers are kept no longer than so many seconds, whatever their TTL."""

    servers: tuple[str, ...] = ()
    validating: bool = False
    timeout: float = 5.0
    try_timeout: float = 1.5
    cache_entries: int = 20_000
    breaker_failures: int = 3
    breaker_seconds: float = 15.0
    short: tuple[tuple[str, float], ...] = (("_jm", 300.0), ("_mailportal-verify", 30.0))


def server_addresses(options: DnsOptions, resolv_conf: str = "/etc/resolv.conf") -> tuple[tuple[str, int], ...]:
    """(address, port) of each server. Reads resolv.conf when none is configured; ValueError names a malformed entry."""
    if not options.servers:
        reader = dns.resolver.Resolver(configure=False)
        try:
            reader.read_resolv_conf(resolv_conf)
        except (OSError, dns.exception.DNSException):
            return (("127.0.0.1", 53),)
        return tuple((str(server), 53) for server in reader.nameservers) or (("127.0.0.1", 53),)
    result = []
    for server in options.servers:
        host, port = server, "53"
        if server.startswith("["):
            host, _, rest = server[1:].partition("]")
            port = rest.removeprefix(":") or "53"
        elif server.count(":") == 1:
            host, port = server.split(":")
        if not dns.inet.is_address(host) or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{server!r} is not an IP address with an optional port")
        result.append((host, int(port)))
    return tuple(result)


@implementer(IResolver)
class Resolver:
    """A stub resolver. `reactor` needs listenUDP, connectTCP, callLater and seconds. `queries`, `timeouts`: counters for metrics."""

    log = Logger()

    def __init__(
        self, reactor: Any, options: DnsOptions, entropy: IEntropy, exchange: Callable[..., Awaitable[dns.message.Message]] | None = None
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._servers = server_addresses(options)
        self._entropy = entropy
        self._short = dict(options.short)
        self._exchange = exchange or self._ask_server
        self._backend = _Backend(reactor)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()
        self._in_flight: dict[tuple[str, str], list[Deferred]] = {}
        self._unanswered = 0
        self._open_until = 0.0
        self.queries = 0
        self.timeouts = 0

    @property
    def is_broken(self) -> bool:
        """The breaker is open: nobody has answered for a while."""
        return self._unanswered >= self._options.breaker_failures

    def query(self, name: str, rdtype: str) -> Deferred:
        """See IResolver.query."""
        key = (name.lower().rstrip("."), rdtype)
        now = self._reactor.seconds()
        if (kept := self._cache.get(key)) is not None:
            if kept[0] > now:
                self._cache.move_to_end(key)
                return succeed(kept[1])
            del self._cache[key]
        asking = self._in_flight.get(key)
        if asking is None:
            if len(self._in_flight) >= MAX_IN_FLIGHT or (self.is_broken and now < self._open_until):
                return succeed(Answer(AnswerKind.TIMEOUT))
            if self.is_broken:
                self._open_until = now + self._options.breaker_seconds  # this one is the probe
            asking = self._in_flight[key] = []
            waiting = self._waiter(asking)
            self.queries += 1
            asked = Deferred.fromCoroutine(self._ask(*key))
            asked.addTimeout(self._options.timeout, self._reactor)
            asked.addErrback(self._fault, key)
            asked.addCallback(self._answered, key)
            return waiting
        return self._waiter(asking)

    @staticmethod
    def _waiter(asking: list[Deferred]) -> Deferred:
        waiting: Deferred = Deferred(lambda gone: asking.remove(gone) if gone in asking else None)
        asking.append(waiting)
        return waiting

    def _fault(self, failure: Any, key: tuple[str, str]) -> Answer:
        if failure.check(TimeoutError, CancelledError, dns.exception.Timeout):
            return Answer(AnswerKind.TIMEOUT)
        if not failure.check(dns.exception.DNSException, OSError, EOFError, ValueError):
            self.log.failure("DNS query {name} {rdtype} failed", failure, name=key[0], rdtype=key[1])
        return Answer(AnswerKind.SERVFAIL)

    def _answered(self, answer: Answer, key: tuple[str, str]) -> None:
        now = self._reactor.seconds()
        if answer.kind is AnswerKind.TIMEOUT:
            self.timeouts += 1
            self._unanswered += 1
            if self._unanswered == self._options.breaker_failures:
                self._open_until = now + self._options.breaker_seconds
                self.log.warn("DNS: no server answers, the breaker is open; one probe every {seconds} s", seconds=self._options.breaker_seconds)
        elif self._unanswered:
            if self.is_broken:
                self.log.info("DNS: servers answer again")
            self._unanswered = 0
        ttl = FAULT_TTL if answer.is_temporary else min(answer.ttl, MAX_TTL if answer.kind is AnswerKind.FOUND else MAX_NEGATIVE_TTL)
        ttl = min(ttl, int(self._short.get(key[0].partition(".")[0], ttl)))
        if ttl > 0:
            self._cache[key] = (now + ttl, answer)
            while len(self._cache) > self._options.cache_entries:
                self._cache.popitem(last=False)
        for waiting in self._in_flight.pop(key):
            waiting.callback(answer)

    async def _ask(self, name: str, rdtype: str) -> Answer:
        try:
            qname = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008) if name else dns.name.root
        except (dns.exception.DNSException, UnicodeError):
            return Answer(AnswerKind.NXDOMAIN, ttl=MAX_NEGATIVE_TTL)  # no such name can exist
        question = dns.message.make_query(qname, rdtype, use_edns=0, payload=EDNS_PAYLOAD, want_dnssec=self._options.validating)
        if self._options.validating:
            question.flags |= dns.flags.AD
        first = int(self._entropy.uniform() * len(self._servers))
        last: Answer | None = None
        for turn in range(2 * len(self._servers)):  # every server twice: a lost datagram is not a dead server
            server = self._servers[(first + turn) % len(self._servers)]
            try:
                response = await self._exchange(question, server)
            except CancelledError:
                raise
            except dns.exception.Timeout:
                continue
            except (dns.exception.DNSException, OSError, EOFError):
                last = Answer(AnswerKind.SERVFAIL)
                continue
            answer = read_answer(response, rdtype, self._options.validating)
            if answer.kind is not AnswerKind.SERVFAIL:
                return answer
            last = answer
        return last or Answer(AnswerKind.TIMEOUT)

    async def _ask_server(self, question: dns.message.Message, server: tuple[str, int]) -> dns.message.Message:
        address, port = server
        response, _ = await dns.asyncquery.udp_with_fallback(
            question, address, timeout=self._options.try_timeout, port=port, backend=self._backend, ignore_unexpected=True, ignore_errors=True
        )
        return response


def read_answer(response: dns.message.Message, rdtype: str, validating: bool) -> Answer:
    """What a server said. Raises DNSException for a chain of CNAMEs that goes round."""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not isinstance(response, dns.message.QueryMessage):
        return Answer(AnswerKind.SERVFAIL)
    chain = response.resolve_chaining()
    ttl = int(chain.minimum_ttl)
    authentic = validating and bool(response.flags & dns.flags.AD)
    if code == dns.rcode.NXDOMAIN:
        return Answer(AnswerKind.NXDOMAIN, ttl=ttl, authentic=authentic)
    if chain.answer is None:
        return Answer(AnswerKind.NODATA, ttl=ttl, authentic=authentic)
    records = tuple(_plain(rdata, rdtype) for rdata in list(chain.answer)[:MAX_RECORDS])
    return Answer(AnswerKind.FOUND, records, ttl, authentic)


def _plain(rdata: Any, rdtype: str) -> Any:
    match rdtype:
        case "TXT":
            return b"".join(rdata.strings)
        case "MX":
            return rdata.preference, _name(rdata.exchange)
        case "A" | "AAAA":
            return rdata.address
        case "TLSA":
            return rdata.usage, rdata.selector, rdata.mtype, rdata.cert
        case "CNAME" | "NS" | "PTR":
            return _name(rdata.target)
    return rdata.to_text()


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


# dnspython's socket interface over the reactor


class _Inbox:
    """What arrived and nobody has read yet; one reader at a time. Bounded: a flood of datagrams is dropped."""

    limit = 32

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._items: list[Any] = []
        self._reader: Deferred | None = None

    def put(self, item: Any) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.callback(item)
        elif len(self._items) < self.limit:
            self._items.append(item)

    async def get(self, timeout: float | None) -> Any:
        if not self._items:
            self._reader = Deferred()
            self._reader.addTimeout(timeout if timeout is not None else 30.0, self._reactor)
            try:
                item = await self._reader
            except TimeoutError as error:
                self._reader = None
                raise dns.exception.Timeout(timeout=timeout) from error
        else:
            item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


class _Datagrams(DatagramProtocol, dns._asyncbackend.DatagramSocket):
    transport: Any

    def __init__(self, reactor: Any, family: int, destination: tuple[str, int]) -> None:
        dns._asyncbackend.DatagramSocket.__init__(self, family, socket.SOCK_DGRAM)
        self._inbox = _Inbox(reactor)
        self._destination = destination

    def startProtocol(self) -> None:
        self.transport.connect(*self._destination)  # only this peer is heard, and a closed port is known at once

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._inbox.put((datagram, addr))

    def connectionRefused(self) -> None:
        self._inbox.put(ConnectionRefusedError("DNS server refused"))

    def stopProtocol(self) -> None:
        self.connectionRefused()  # with epoll a refusal arrives as the end of the socket

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        self.transport.write(what)
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> Any:
        datagram, addr = await self._inbox.get(timeout)
        return datagram, self._destination if addr is None else tuple(addr[:2])

    async def close(self) -> None:
        if self.transport is not None:  # the reactor may have closed the socket first
            self.transport.stopListening()

    async def getpeername(self) -> Any:
        return self._destination


class _Stream(Protocol, dns._asyncbackend.StreamSocket):
    transport: Any
    limit = 131_072  # octets waiting to be read: two answers of the largest size

    def __init__(self, reactor: Any, family: int, destination: tuple[str, int]) -> None:
        dns._asyncbackend.StreamSocket.__init__(self, family, socket.SOCK_STREAM)
        self._inbox = _Inbox(reactor)
        self._inbox.limit = 1 << 30  # bounded in octets below
        self._rest = b""
        self._waiting = 0
        self._destination = destination
        self.connected_to: Deferred = Deferred()

    def connectionMade(self) -> None:
        self.connected_to.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self._waiting += len(data)
        if self._waiting > self.limit:
            self.transport.abortConnection()
        else:
            self._inbox.put(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._inbox.put(EOFError("DNS server closed the connection"))

    async def sendall(self, what: bytes, timeout: float | None) -> None:
        self.transport.write(what)

    async def recv(self, size: int, timeout: float | None) -> bytes:
        if not self._rest:
            self._rest = await self._inbox.get(timeout)
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._waiting -= len(piece)
        return piece

    async def close(self) -> None:
        self.transport.abortConnection()

    async def getpeername(self) -> Any:
        return self._destination


class _StreamFactory(ClientFactory):
    noisy = False

    def __init__(self, protocol: _Stream) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> _Stream:
        return self._protocol

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._protocol.connected_to.errback(reason)


class _Backend(dns._asyncbackend.Backend):
    """dns.asyncbackend.Backend of this reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def name(self) -> str:
        return "twisted"

    def datagram_connection_required(self) -> bool:
        return True

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: Any = None,
        destination: Any = None,
        timeout: float | None = None,
        ssl_context: Any = None,
        server_hostname: Any = None,
    ) -> Any:
        target = (destination[0], destination[1])
        if socktype == socket.SOCK_DGRAM:
            datagrams = _Datagrams(self._reactor, af, target)
            self._reactor.listenUDP(0, datagrams, interface="::" if af == socket.AF_INET6 else "", maxPacketSize=65_535)
            return datagrams
        stream = _Stream(self._reactor, af, target)
        self._reactor.connectTCP(*target, _StreamFactory(stream), timeout=timeout or 5)
        try:
            return await stream.connected_to
        except CancelledError:
            raise
        except Exception as error:
            raise OSError("no TCP connection to the DNS server") from error

    async def sleep(self, interval: float) -> None:
        done: Deferred = Deferred()
        self._reactor.callLater(interval, done.callback, None)
        await done
