"""Where the mail of a destination goes: which hosts, in which order, at which addresses (RFC 5321 section 5, RFC 7505, RFC 3974).

A destination is the domain of a recipient after aliases. One of these answers for it, the first that has something to say:
- the directory: a relay domain's own destinations, lower priority number first, equal ones shuffled, each with its port and TLS mode;
- the smarthost, when one is configured;
- an address literal: that address;
- MX: lower preference first, equal ones shuffled. No MX record but a name that exists: the name itself is the host (5.1). A null MX (RFC 7505)
  means no mail, ever: NEVER 'null-mx' 556 5.1.10. A name that does not exist, SERVFAIL and timeout all mean later ('dns'): a destination whose
  DNS fails counts as offline, and five days give its owner time to mend it.

A host's IPv6 and IPv4 addresses alternate, IPv6 first. When we are among the MX hosts, by name or by an address and port we listen on, we and every
host that is no better are left out (5.1); when nobody is left, the mail loops: NEVER 'loop' 554 5.4.6. The same holds for configured destinations,
except that only the hosts that are us are left out, because their order is the administrator's.
Hosts and addresses are limited by the options; what comes after the limit is not tried.

Raises nothing: every fault is an Outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from twisted.internet.defer import Deferred, gatherResults, succeed

from jetmail.interfaces import Answer, AnswerKind, IEntropy, IResolver
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.demand import Demand
from jetmail.outbound.gate import Best
from jetmail.outbound.tls import TlsMode

MAX_MADE = 5_000


@dataclass(frozen=True, slots=True)
class Destination:
    """One row of a relay domain's destinations. `host` is a name or an IP address."""

    host: str
    port: int = 25
    priority: int = 1
    tls: TlsMode = TlsMode.OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we say to a smarthost's AUTH. Never logged: repr shows the name only."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Where everything goes that no relay domain claims. `host` is a name (its A/AAAA, not its MX) or an IP address."""

    host: str
    port: int = 587
    tls: TlsMode = TlsMode.VERIFIED
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One host to try: all its addresses, in order. `demand`: what it must show, when it was found by MX."""

    host: str
    addresses: tuple[str, ...]
    port: int
    tls: TlsMode
    credentials: Credentials | None = None
    demand: Demand | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Never empty: the hosts in the order to try them."""

    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """`own_names`: lower-case names MX records may call us by. `own_endpoints`: (address, port) pairs we listen on; a wildcard listener is to be
    spelled out by the addresses behind it. `max_hosts` 1-50, `max_addresses` 1-100 over all hosts. `mx_tls`: mode for hosts found by MX."""

    own_names: frozenset[str] = frozenset()
    own_endpoints: Container[tuple[str, int]] = frozenset()
    smarthost: Smarthost | None = None
    mx_tls: TlsMode = TlsMode.OPPORTUNISTIC
    mx_port: int = 25
    ipv6: bool = True
    max_hosts: int = 10
    max_addresses: int = 20


# (destination, what MX gave for it, hosts whose records DNSSEC vouches for) -> the same hosts, each with its demand and TLS mode.
Security = Callable[[str, Route, frozenset[str]], Awaitable[Route]]
DirectoryLookup = Callable[[str], Sequence[Destination]]  # the relay domain's destinations, empty when the domain is none of ours


@dataclass(frozen=True, slots=True)
class _Host:
    """A host before its addresses are known. `rank` is preference or priority."""

    name: str
    port: int
    rank: int
    tls: TlsMode
    credentials: Credentials | None = None


class Router:
    """`route` answers for one destination. Caching is the resolver's, configuration the directory's; what is kept here is the Route made of one
    configured address, for as long as the directory answers with the same value."""

    def __init__(
        self, resolver: IResolver, lookup: DirectoryLookup, entropy: IEntropy, options: RouteOptions, security: Security | None = None
    ) -> None:
        self._security = security
        self._resolver = IResolver(resolver)
        self._lookup = lookup
        self._entropy = entropy
        self._options = options
        self._made: dict[str, tuple[Sequence[Destination], Route]] = {}

    def route(self, destination: str) -> Deferred[Route | Outcome]:
        """The hosts for `destination` in order, or the Outcome for all its recipients. Never fails."""
        known = self.known(destination)
        return succeed(known) if known is not None else Deferred.fromCoroutine(self._route(destination))

    def best(self, destination: str) -> Best | None | Deferred[Best | None]:
        """The host that mail for `destination` goes to first, without its addresses; at once where the configuration names it, else from its MX.
        None when nobody can tell now. Never fails."""
        if destination.startswith("["):
            return Best(_literal(destination), self._options.mx_port, True)
        rows = self._lookup(destination)
        if rows:
            row = min(rows, key=lambda row: row.priority)
            return Best(row.host, row.port, True)
        smarthost = self._options.smarthost
        if smarthost is not None:
            return Best(smarthost.host, smarthost.port, True)
        return Deferred.fromCoroutine(self._best(destination))

    async def _best(self, destination: str) -> Best | None:
        answer: Answer = await self._resolver.query(destination, "MX")
        if answer.kind is AnswerKind.NODATA:
            return Best(destination, self._options.mx_port, False)
        hosts = sorted((preference, host) for preference, host in answer.records if host) if answer.kind is AnswerKind.FOUND else []
        return Best(hosts[0][1], self._options.mx_port, False) if hosts else None

    def known(self, destination: str) -> Route | Outcome | None:
        """The same answer at once where no DNS is needed (addresses in the directory, literals), else None."""
        rows: Sequence[Destination] = ()
        if destination.startswith("["):
            hosts = [_Host(_literal(destination), self._options.mx_port, 0, self._options.mx_tls)]
        else:
            rows = self._lookup(destination)
            made = self._made.get(destination)
            if made is not None and made[0] is rows and (made[1].hops[0].addresses[0], made[1].hops[0].port) not in self._options.own_endpoints:
                return made[1]
            hosts = self._hosts(rows)
        if not hosts or not all(_is_address(host.name) for host in hosts):
            return None
        found = self._settle(destination, [(host, (host.name,)) for host in hosts], temporary=False, is_ours=False, by_rank=False)
        if len(rows) == 1 and isinstance(found, Route):
            if len(self._made) >= MAX_MADE:
                self._made.clear()
            self._made[destination] = rows, found
        return found

    async def _route(self, destination: str) -> Route | Outcome:
        hosts = self._hosts(self._lookup(destination))
        by_rank = not hosts
        signed = False
        if by_rank:
            answer: Answer = await self._resolver.query(destination, "MX")
            found = self._mail_exchangers(destination, answer)
            if isinstance(found, Outcome):
                return found
            hosts = found
            signed = answer.authentic
        named = min((host.rank for host in hosts if by_rank and host.name in self._options.own_names), default=None)
        if named is not None:  # RFC 5321 5.1: the host that is us and those that are no better are not tried
            hosts = [host for host in hosts if host.rank < named]
        results: list[tuple[tuple[str, ...], bool, bool]] = await gatherResults(
            [Deferred.fromCoroutine(self._addresses(host.name)) for host in hosts], consumeErrors=True
        )
        placed = [(host, addresses) for host, (addresses, _, _) in zip(hosts, results, strict=True)]
        temporary = any(flag for _, flag, _ in results)
        settled = self._settle(destination, placed, temporary, is_ours=named is not None, by_rank=by_rank)
        if self._security is None or not by_rank or isinstance(settled, Outcome):
            return settled
        vouched = frozenset(host.name for host, (_, _, authentic) in zip(hosts, results, strict=True) if signed and authentic)
        return await self._security(destination, settled, vouched)

    def _hosts(self, rows: Sequence[Destination]) -> list[_Host]:
        """What is configured: the directory's rows, or the smarthost."""
        if rows:
            hosts = [_Host(row.host, row.port, row.priority, TlsMode(row.tls)) for row in rows]
            return self._in_order(hosts) if len(hosts) > 1 else hosts
        smarthost = self._options.smarthost
        return [_Host(smarthost.host, smarthost.port, 0, smarthost.tls, smarthost.credentials)] if smarthost else []

    def _mail_exchangers(self, destination: str, answer: Answer) -> list[_Host] | Outcome:
        options = self._options
        if answer.kind is AnswerKind.NODATA:  # 5.1: the implicit MX, only when the look-up succeeded and held none
            return [_Host(destination, options.mx_port, 0, options.mx_tls)]
        if answer.kind is not AnswerKind.FOUND:
            return _dns_outcome(destination, answer.kind)
        if all(not host for _, host in answer.records):
            return Outcome(Result.NEVER, "null-mx", Reply(556, "5.1.10", f"{destination} does not accept mail (null MX)"))
        return self._in_order([_Host(host, options.mx_port, preference, options.mx_tls) for preference, host in answer.records if host])

    def _in_order(self, hosts: Iterable[_Host]) -> list[_Host]:
        keyed = [(host.rank, self._entropy.uniform(), host) for host in hosts]
        keyed.sort(key=lambda item: item[:2])
        return [host for _, _, host in keyed[: self._options.max_hosts]]

    async def _addresses(self, name: str) -> tuple[tuple[str, ...], bool, bool]:
        """(addresses in the order to try, True when a look-up ended without an answer, True when DNSSEC vouches for all of them)."""
        if _is_address(name):
            return (name,), False, False
        types = ("AAAA", "A") if self._options.ipv6 else ("A",)
        answers: list[Answer] = await gatherResults([self._resolver.query(name, rdtype) for rdtype in types], consumeErrors=True)
        families = [answer.records for answer in answers]
        longest = max(map(len, families))
        mixed = [family[turn] for turn in range(longest) for family in families if turn < len(family)]
        authentic = all(answer.authentic for answer in answers if answer.records)
        return tuple(mixed), any(answer.is_temporary for answer in answers), authentic

    def _settle(
        self, destination: str, placed: Sequence[tuple[_Host, tuple[str, ...]]], temporary: bool, is_ours: bool, by_rank: bool
    ) -> Route | Outcome:
        own = self._options.own_endpoints
        ours = [host.rank for host, addresses in placed if any((address, host.port) in own for address in addresses)] if own else []
        if ours:
            is_ours = True
            if by_rank:
                placed = [(host, addresses) for host, addresses in placed if host.rank < min(ours)]
            else:
                placed = [(host, addresses) for host, addresses in placed if not any((address, host.port) in own for address in addresses)]
        room = self._options.max_addresses
        hops: list[Hop] = []
        for host, addresses in placed:
            kept = addresses[:room]
            room -= len(kept)
            if kept:
                hops.append(Hop(host.name, kept, host.port, host.tls, host.credentials))
        if hops:
            return Route(tuple(hops))
        if is_ours and not placed:
            return Outcome(Result.NEVER, "loop", Reply(554, "5.4.6", f"mail for {destination} loops back to this host"))
        return _dns_outcome(destination, AnswerKind.TIMEOUT if temporary else AnswerKind.NODATA)


def _dns_outcome(destination: str, kind: AnswerKind) -> Outcome:
    return Outcome(Result.LATER, "dns", Reply(451, "4.1.2" if kind is AnswerKind.NXDOMAIN else "4.4.3", _DNS_TEXT[kind].format(destination)))


_DNS_TEXT = {
    AnswerKind.NXDOMAIN: "the domain {} does not exist",
    AnswerKind.NODATA: "no mail host of {} has an address",
    AnswerKind.SERVFAIL: "the name servers of {} failed to answer",
    AnswerKind.TIMEOUT: "the name servers for {} gave no answer in time",
}


def _literal(destination: str) -> str:
    inner = destination[1:-1]
    return inner[5:] if inner[:5].lower() == "ipv6:" else inner


def _is_address(text: str) -> bool:
    # The cheap look first: a host name never starts with a digit and ends in one, or has a colon.
    if ":" not in text and not (text[-1:].isdigit() and text[:1].isdigit()):
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
