"""DNS: dnspython's queries over the reactor's own sockets, with a cache, one query for all who ask the same, and a breaker.

Promises
- Four ways to end, never one for another: found, NXDOMAIN, no data, SERVFAIL, timeout (interfaces.AnswerKind). `query` never fails.
- A query takes at most `timeout` seconds in all, over every server and try. When no server answers anything for two seconds, not even a question
  that every resolver knows by itself, the breaker opens (jetmail.breaker): all who wait are told TIMEOUT, further queries answer that at once,
  and a probe a `breaker_seconds` that nobody waits for finds out whether a server is back. A dead resolver therefore holds up those who ask within
  two seconds for what is left of these, once.
- Answers are cached for their TTL within bounds, NXDOMAIN and no data for the SOA minimum (RFC 2308), faults for a few seconds.
- `authentic` is True only when the configuration says that the servers validate and the answer carried AD (RFC 6840 5.8).

No threads, no asyncio: jetmail.dnssockets gives dnspython sockets made of Deferreds. Each UDP query has a socket and so a port of its own; dnspython
checks the answer's address, id and question. Truncated answers are asked again over TCP (RFC 7766).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import dns.asyncquery
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError, succeed
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.breaker import Breaker
from jetmail.dnssockets import Backend
from jetmail.interfaces import Answer, AnswerKind, IEntropy, IResolver

MAX_TTL = 86_400
MAX_NEGATIVE_TTL = 900
FAULT_TTL = 5  # a SERVFAIL or time-out is not asked again for this long
MAX_RECORDS = 64  # of one answer; a longer RRset is cut: nothing sane has more
MAX_IN_FLIGHT = 2_000  # different questions asked at once; more answer TIMEOUT
EDNS_PAYLOAD = 1232  # the DNS flag day's value: no fragmentation
KNOWN_TO_ALL = "1.0.0.127.in-addr.arpa"  # its PTR; resolvers answer this without asking anybody (RFC 6303)


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """`servers`: 'ADDRESS' or 'ADDRESS:PORT' or '[IPV6]:PORT'; empty means /etc/resolv.conf. `validating`: trust their AD bit (only over loopback
    or a private line). `timeout` seconds for a query in all, `try_timeout` for one server. `cache_entries` answers kept. `breaker_seconds` between
    probes of servers that do not answer.
    `short`: first labels whose answers are kept no longer than so many seconds, whatever their TTL."""

    servers: tuple[str, ...] = ()
    validating: bool = False
    timeout: float = 5.0
    try_timeout: float = 1.5
    cache_entries: int = 20_000
    breaker_seconds: float = 5.0
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


@dataclass(slots=True)
class _Question:
    """One query on the wire and all who wait for it."""

    asked: float
    waiting: list[Deferred]
    running: Deferred | None = None


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
        self._backend = Backend(reactor)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()
        self._in_flight: dict[tuple[str, str], _Question] = {}
        self._breaker = Breaker(reactor, options.breaker_seconds, self._oldest, self._probe, self._give_up)
        self.queries = 0
        self.timeouts = 0

    @property
    def is_broken(self) -> bool:
        """The breaker is open: nobody has answered for a while."""
        return self._breaker.is_open

    def query(self, name: str, rdtype: str) -> Deferred:
        """See IResolver.query."""
        key = (name.lower().rstrip("."), rdtype)
        now = self._reactor.seconds()
        if (kept := self._cache.get(key)) is not None:
            if kept[0] > now:
                self._cache.move_to_end(key)
                return succeed(kept[1])
            del self._cache[key]
        question = self._in_flight.get(key)
        if question is not None:
            return self._waiter(question.waiting)
        if len(self._in_flight) >= MAX_IN_FLIGHT or self._breaker.is_open:
            return succeed(Answer(AnswerKind.TIMEOUT))
        question = self._in_flight[key] = _Question(now, [])
        waiting = self._waiter(question.waiting)
        self.queries += 1
        self._breaker.asking()
        asked = question.running = Deferred.fromCoroutine(self._ask(*key))
        asked.addTimeout(self._options.timeout, self._reactor)
        asked.addErrback(self._fault, key)
        asked.addCallback(self._answered, key)
        return waiting

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
        if answer.kind is AnswerKind.TIMEOUT:
            self.timeouts += 1
        ttl = FAULT_TTL if answer.is_temporary else min(answer.ttl, MAX_TTL if answer.kind is AnswerKind.FOUND else MAX_NEGATIVE_TTL)
        ttl = min(ttl, int(self._short.get(key[0].partition(".")[0], ttl)))
        if ttl > 0 and not self._breaker.is_open:  # what nobody answered is asked again as soon as somebody does
            self._cache[key] = (self._reactor.seconds() + ttl, answer)
            while len(self._cache) > self._options.cache_entries:
                self._cache.popitem(last=False)
        waiting = self._in_flight.pop(key).waiting
        if not self._in_flight:
            self._breaker.settled()
        for each in waiting:
            each.callback(answer)

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
                response = await self._heard(question, server)
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

    async def _heard(self, question: dns.message.Message, server: tuple[str, int]) -> dns.message.Message:
        """An exchange that tells the breaker of whatever comes back, a refusal too."""
        try:
            response = await self._exchange(question, server)
        except (CancelledError, dns.exception.Timeout):
            raise
        except Exception:
            self._breaker.heard()
            raise
        self._breaker.heard()
        return response

    def _oldest(self) -> float | None:
        return next((question.asked for question in self._in_flight.values()), None)

    def _probe(self) -> Deferred[None]:
        """Every server at once."""
        question = dns.message.make_query(KNOWN_TO_ALL, "PTR", use_edns=0, payload=EDNS_PAYLOAD)
        asked: Deferred[Any] = DeferredList(
            [Deferred.fromCoroutine(self._heard(question, server)) for server in self._servers], fireOnOneCallback=True, consumeErrors=True
        )
        return asked.addCallback(_heard_any)

    def _give_up(self) -> None:
        for question in list(self._in_flight.values()):
            if question.running is not None:
                question.running.cancel()

    async def _ask_server(self, question: dns.message.Message, server: tuple[str, int]) -> dns.message.Message:
        address, port = server
        response, _ = await dns.asyncquery.udp_with_fallback(
            question, address, timeout=self._options.try_timeout, port=port, backend=self._backend, ignore_unexpected=True, ignore_errors=True
        )
        return response


def _heard_any(result: Any) -> None:
    if isinstance(result, list) and not any(ended for ended, _ in result):  # every server has failed
        raise dns.exception.Timeout


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
