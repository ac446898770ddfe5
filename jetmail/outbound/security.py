"""What hosts found by MX must show before they are given mail: DANE, else MTA-STS, else whatever they offer (RFC 7672, RFC 8461, RFC 7435).

`Security.demands` decides for each host of a route, in this order:
1. DNSSEC vouches for the MX and address records of the host, and the host has TLSA records: TLS, and one of the usable records must prove the
   certificate. None usable: TLS with any certificate (RFC 7672 2.2). TLSA that cannot be looked up: the host is not used now.
2. The domain's MTA-STS policy is in mode enforce: verified TLS to a host the policy names; any other host is not used. Mode testing: counted for its
   reports, delivered all the same.
3. Nothing: TLS when it is offered, in clear when not, or with whatever certificate.

`Standing` is one attempt's view of it: what a connection must be, what is counted, and the sentences of the attempt's event. Mail that says
'TLS-Required: No' (RFC 8689 5) is not bound by what the destination asks for; TLS reports say so, because they must arrive where TLS is broken
(RFC 8460 section 3). Such sessions are not counted.

A domain that has lately shown verified TLS and now offers none is told of ('downgrade'), and waits when the options say so.

Raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.reply import Reply
from jetmail.mailauth import dane
from jetmail.mailauth.mtasts import Mode
from jetmail.outbound.demand import Demand, Proof
from jetmail.outbound.ledger import Ledger
from jetmail.outbound.origin import Origin
from jetmail.outbound.policies import Policies
from jetmail.outbound.policies import Standing as StsStanding
from jetmail.outbound.pool import Key
from jetmail.outbound.route import Hop, Route
from jetmail.outbound.tls import TlsMode

if TYPE_CHECKING:
    from jetmail.outbound.connection import Connection

_RELAXED = re.compile(rb"(?im)^TLS-Required:[ \t]*No[ \t]*\r?$")


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """`dane`, `mta_sts`: look at all. `defer_downgrade`: a domain that had verified TLS lately gets nothing in clear."""

    dane: bool = True
    mta_sts: bool = True
    defer_downgrade: bool = False


class Security:
    """Given to the Router as its `security`."""

    def __init__(self, resolver: IResolver, policies: Policies, ledger: Ledger, options: SecurityOptions) -> None:
        self._resolver = resolver
        self.policies = policies
        self.ledger = ledger
        self.options = options

    def load(self) -> None:
        """What the store knows, once, before the first message. Raises StoreError."""
        self.policies.load()
        self.ledger.load()

    async def demands(self, destination: str, route: Route, vouched: frozenset[str]) -> Route:
        """The route with every host's demand. `vouched`: hosts whose MX and address records are authentic."""
        asking = self._sts(destination)
        hops = await gatherResults([Deferred.fromCoroutine(self._dane(destination, hop, vouched)) for hop in route.hops], consumeErrors=True)
        standing = await asking
        sts = "no MTA-STS policy" if self.options.mta_sts else "MTA-STS is switched off"
        nothing = {hop.host: f"{sts}, {'no TLSA' if self.options.dane and hop.host in vouched else 'no DNSSEC'}" for hop in hops}
        return Route(tuple(hop if hop.demand is not None else _by_policy(destination, hop, standing, nothing[hop.host]) for hop in hops))

    def _sts(self, destination: str) -> Deferred[StsStanding]:
        async def ask() -> StsStanding:
            return await self.policies.of(destination) if self.options.mta_sts else StsStanding(None)

        return Deferred.fromCoroutine(ask())

    async def _dane(self, destination: str, hop: Hop, vouched: frozenset[str]) -> Hop:
        """With a demand when DANE has something to say about the host."""
        if not self.options.dane or hop.host not in vouched:
            return hop
        answer: Answer = await self._resolver.query(f"_{hop.port}._tcp.{hop.host}", "TLSA")
        required = "DANE: TLS proved by TLSA"
        if answer.is_temporary:
            refusal = f"the TLSA records of {hop.host} cannot be looked up"
            return replace(hop, demand=Demand(destination, "tlsa", (), required, "no answer", None, refusal, "dnssec-invalid"))
        if answer.kind is not AnswerKind.FOUND or not answer.authentic:
            return hop
        records = dane.usable(answer.records)
        if not records:
            demand = Demand(destination, "tlsa", (), "DANE: TLS with any certificate", "no usable TLSA record", None, "", "tlsa-invalid")
            return replace(hop, tls=TlsMode.REQUIRED, demand=demand)
        # The domain's own name counts for usage 2 only; without one, connections are shared between domains.
        names = (hop.host, destination) if any(one.usage == dane.TRUST_ANCHOR for one in records) else (hop.host,)
        texts = tuple(map(str, records))
        demand = Demand(destination, "tlsa", texts, required, f"TLSA {', '.join(texts)}", Proof(records, names))
        return replace(hop, tls=TlsMode.REQUIRED, demand=demand)


def _by_policy(destination: str, hop: Hop, standing: StsStanding, nothing: str) -> Hop:
    policy = standing.policy
    if policy is None:
        if not standing.trouble:
            return replace(hop, demand=Demand(destination, found=nothing))
        return replace(hop, demand=Demand(destination, "sts", (), "nothing", f"no policy: {standing.why}", None, "", standing.trouble))
    lines = policy.lines()
    named = policy.names(hop.host)
    found = f"{hop.host} is {'one' if named else 'none'} of {', '.join(policy.hosts)[:300]}"
    if policy.mode is Mode.TESTING:
        trouble = "" if named else "validation-failure"
        return replace(hop, demand=Demand(destination, "sts", lines, "nothing: MTA-STS testing", found, None, "", trouble))
    required = "MTA-STS enforce: verified TLS to a host of the policy"
    if not named:
        refusal = f"the MTA-STS policy of {destination} does not name {hop.host}"
        return replace(hop, demand=Demand(destination, "sts", lines, required, found, None, refusal, "validation-failure"))
    return replace(hop, tls=TlsMode.VERIFIED, demand=Demand(destination, "sts", lines, required, found))


class Standing:
    """For one attempt: `requires_tls` is the message's REQUIRETLS, `header` gives its header section, `origin` is where it leaves from."""

    __slots__ = ("_header", "_origin", "_requires_tls", "_said", "_security", "downgrade")

    def __init__(self, security: Security | None, requires_tls: bool, header: Callable[[], bytes], origin: Origin | None = None) -> None:
        self._security = security
        self._requires_tls = requires_tls
        self._header = header
        self._origin = origin
        self._said: bool | None = None
        self.downgrade = ""

    @property
    def _is_relaxed(self) -> bool:
        if self._said is None:
            self._said = not self._requires_tls and _RELAXED.search(self._header()) is not None
        return self._said

    def key(self, hop: Hop, address: str) -> Key:
        """What a connection for this message to `hop` must be."""
        tls, proof = hop.tls, hop.demand.proof if hop.demand is not None else None
        if self._requires_tls:
            tls = tls if proof is not None else TlsMode.VERIFIED
        elif hop.demand is not None and self._is_relaxed:
            tls, proof = TlsMode.OPPORTUNISTIC, None
        return Key(hop.host, address, hop.port, tls, hop.credentials.username if hop.credentials else "", proof, self._origin)

    def refusal(self, hop: Hop) -> Reply | None:
        """Why the host may not be used, counted; None when it may."""
        demand = hop.demand
        if self._security is None or demand is None or not demand.refusal or self._is_relaxed:
            return None
        self._security.ledger.count(demand, hop.host, demand.trouble)
        return Reply(451, "4.7.5", f"TLS: {demand.refusal}")

    def session(self, hop: Hop, connection: Connection, failed: bool = False) -> None:
        """A session of this attempt is ready, or has failed in TLS."""
        if self._security is not None and hop.demand is not None and not self._is_relaxed:
            result = connection.tls_result or ("validation-failure" if failed else "")
            self._security.ledger.session(hop.demand, hop.host, connection.tls, result)

    def holds_back(self, hop: Hop, connection: Connection) -> Reply | None:
        """Notes that the domain shows less than it lately did; -> why the mail waits, when it does."""
        self.downgrade = ""
        if self._security is None or hop.demand is None or connection.tls.version or self._is_relaxed:
            return None
        if day := self._security.ledger.remembered(hop.demand.domain):
            self.downgrade = f"{hop.demand.domain} showed verified TLS on {day} and now offers none at {hop.host}"
            if self._security.options.defer_downgrade:
                return Reply(451, "4.7.5", f"TLS: {self.downgrade}")
        return None

    def told(self, hop: Hop | None, connection: Connection | None, reply: Reply) -> tuple[tuple[str, str], ...]:
        """For the attempt's event."""
        if self._security is None or hop is None or (hop.demand is None and not hop.tls.is_mandatory):
            return ()  # nothing was required, and what TLS there was stands in the event anyway
        # Without a demand it is no host found by MX: whoever set the destination says what it must show.
        demand = hop.demand or Demand("", required=f"{'verified TLS' if hop.tls is TlsMode.VERIFIED else 'TLS'}, as its destination is set")
        if connection is None or not connection.is_ready:
            decided = f"not used: {reply.text}"
        elif not connection.tls.version:
            decided = "used in clear"
        elif demand.proof is not None and connection.tls.verified:
            decided = f"used with {connection.tls.version}, proved by TLSA"
        else:
            decided = f"used with {connection.tls.version}, {'verified' if connection.tls.verified else f'not verified: {connection.tls.problem}'}"
        if self._is_relaxed:
            decided += "; the message says TLS-Required: No"
        found = (("found", demand.found),) if demand.found else ()
        downgrade = (("downgrade", self.downgrade),) if self.downgrade else ()
        return ("required", demand.required), *found, ("decided", decided), *downgrade
