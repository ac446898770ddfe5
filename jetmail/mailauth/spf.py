"""SPF (RFC 7208): may this host send mail for this domain. `check` is check_host() of section 4.

Promises
- One of seven results, always; DNS trouble is `temperror` and never `fail`, a broken record `permerror`.
- The limits of 4.6.4 across the whole evaluation, includes and redirects together: 10 terms that ask DNS, 2 look-ups that find nothing,
  10 names of an MX or PTR. So one message costs at most about 110 queries, whatever a stranger publishes.
- Answers come through IResolver only; nothing is remembered between messages but the grammar of records.

Raises nothing. The explanation (exp=) is a stranger's text: fetched only on demand, and for logs only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth import spf_record
from jetmail.mailauth.spf_record import Mechanism, Record, Spec, SpfSyntaxError

MAX_LOOKUPS = 10
MAX_VOID = 2
MAX_NAMES = 10
MAX_EXPLANATION = 500

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class SpfResult(Enum):
    """Section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS = {"+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFTFAIL, "?": SpfResult.NEUTRAL}


@dataclass(frozen=True, slots=True)
class Spf:
    """`domain` whose policy was asked for, `identity` 'mailfrom' or 'helo'. `mechanism` that matched, '' when none did. `problem` in words when
    something was wrong. `explanation` the domain's own text for a fail, when it was wanted. `lookups` counted terms."""

    result: SpfResult
    domain: str = ""
    identity: str = "mailfrom"
    mechanism: str = ""
    problem: str = ""
    explanation: str = ""
    lookups: int = 0


class _Stop(Exception):
    """The evaluation ends here."""

    def __init__(self, result: SpfResult, problem: str) -> None:
        super().__init__(problem)
        self.result = result
        self.problem = problem


async def check(
    resolver: IResolver, ip: IPAddress, sender: str, helo: str, *, receiver: str = "unknown", now: float = 0.0, explain: bool = False
) -> Spf:
    """MAIL FROM `sender` (without angle brackets; '' is the null sender, then HELO is judged, 2.4) from `ip`."""
    identity = "mailfrom" if sender else "helo"
    local, at, domain = (sender or f"postmaster@{helo}").rpartition("@")
    if not at or not local:
        local = "postmaster"
    domain = domain.lower().removesuffix(".")
    if not spf_record.is_name(domain) or "." not in domain or domain.startswith("["):
        return Spf(SpfResult.NONE, domain[:255], identity, problem="not a domain name")
    mapped = getattr(ip, "ipv4_mapped", None)
    checking = _Check(resolver, mapped or ip, local, domain, helo, receiver, now)
    try:
        result, mechanism, record = await checking.host(domain)
    except _Stop as stop:
        return Spf(stop.result, domain, identity, problem=stop.problem, lookups=checking.lookups)
    explanation = await checking.explain(record, checking.decided) if explain and result is SpfResult.FAIL and record is not None else ""
    return Spf(result, domain, identity, mechanism, "", explanation, checking.lookups)


class _Check:
    """One evaluation, with its counts. `decided` is the domain whose record gave the result."""

    def __init__(self, resolver: IResolver, ip: IPAddress, local: str, domain: str, helo: str, receiver: str, now: float) -> None:
        self._resolver = resolver
        self._ip = ip
        self._names: list[str] | None = None
        self._values = {
            "s": f"{local}@{domain}",
            "l": local,
            "o": domain,
            "i": str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "").upper()),
            "v": "in-addr" if ip.version == 4 else "ip6",
            "h": helo or "unknown",
            "c": str(ip),
            "r": receiver,
            "t": str(int(now)),
        }
        self.lookups = 0
        self.voids = 0
        self.decided = domain

    async def host(self, domain: str, is_nested: bool = False) -> tuple[SpfResult, str, Record | None]:
        """check_host(): the result, the mechanism that gave it, and the record it stood in."""
        record = await self._record(domain)
        if record is None:
            return SpfResult.NONE, "", None
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain):
                self.decided = domain if not is_nested else self.decided
                return _QUALIFIERS[mechanism.qualifier], mechanism.text, record
        if record.redirect is None:
            return SpfResult.NEUTRAL, "", record
        self._count()
        target = await self._target(record.redirect, domain)
        result, text, found = await self.host(target, is_nested) if spf_record.is_name(target) else (SpfResult.NONE, "", None)
        if result is SpfResult.NONE:
            raise _Stop(SpfResult.PERMERROR, f"redirect to {target[:100]}, which has no SPF record")
        return result, text, found

    async def _record(self, domain: str) -> Record | None:
        answer = await self._ask(domain, "TXT")
        found = [txt for txt in answer.records if spf_record.is_spf(txt)] if answer.kind is AnswerKind.FOUND else []
        if len(found) > 1:
            raise _Stop(SpfResult.PERMERROR, f"{domain} has several SPF records")
        if not found:
            return None
        try:
            return spf_record.parse(found[0])
        except SpfSyntaxError as error:
            raise _Stop(SpfResult.PERMERROR, f"{domain}: {error}") from error

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        match mechanism.name:
            case "all":
                return True
            case "ip4" | "ip6":
                network = mechanism.network
                return network is not None and network.version == self._ip.version and self._ip in network
        self._count()
        target = await self._target(mechanism.spec, domain)
        if not spf_record.is_name(target):
            return False
        match mechanism.name:
            case "include":
                result, _, _ = await self.host(target, True)
                if result is SpfResult.NONE:
                    raise _Stop(SpfResult.PERMERROR, f"include of {target}, which has no SPF record")
                return result is SpfResult.PASS
            case "a":
                return await self._has_address(target, mechanism)
            case "mx":
                return await self._has_exchange(target, mechanism)
            case "exists":
                return (await self._ask(target, "A", counts=True)).kind is AnswerKind.FOUND
        target = target.lower()
        return any(name == target or name.endswith("." + target) for name in await self._validated(counts=True))

    async def _has_address(self, name: str, mechanism: Mechanism, counts: bool = True) -> bool:
        answer = await self._ask(name, self._rdtype, counts)
        shift = 32 - mechanism.prefix4 if self._ip.version == 4 else 128 - mechanism.prefix6
        wanted = int(self._ip) >> shift
        return any(number >> shift == wanted for number in self._numbers(answer))

    async def _has_exchange(self, name: str, mechanism: Mechanism) -> bool:
        answer = await self._ask(name, "MX", counts=True)
        if len(answer.records) > MAX_NAMES:
            raise _Stop(SpfResult.PERMERROR, f"{name} has more than {MAX_NAMES} MX")
        for _, exchange in sorted(answer.records) if answer.kind is AnswerKind.FOUND else ():
            if exchange and await self._has_address(exchange, mechanism):
                return True
        return False

    async def _validated(self, counts: bool = False) -> list[str]:
        """Names of the client that lead back to it (5.5): DNS trouble means none, not an error."""
        if self._names is None:
            answer = await _of(self._resolver.query(self._ip.reverse_pointer, "PTR"))
            if counts and answer.kind in (AnswerKind.NXDOMAIN, AnswerKind.NODATA):
                self._count_void()
            names = []
            for name in answer.records[:MAX_NAMES] if answer.kind is AnswerKind.FOUND else ():
                back = await _of(self._resolver.query(name, self._rdtype))
                if int(self._ip) in self._numbers(back):
                    names.append(name.lower().removesuffix("."))
            self._names = names
        return self._names

    async def _target(self, spec: Spec | None, domain: str) -> str:
        if spec is None:
            return domain
        return spf_record.fit(spf_record.expand(spec, await self._known(spec, domain)))

    async def _known(self, spec: Spec, domain: str) -> dict[str, str]:
        values = self._values | {"d": domain}
        if spf_record.needs(spec, "p"):
            names = await self._validated()
            below = "." + domain
            values["p"] = next((name for name in names if name == domain), None) or next(
                (name for name in names if name.endswith(below)), names[0] if names else "unknown"
            )
        return values

    async def explain(self, record: Record, domain: str) -> str:
        """What the domain says about its fail; '' when anything about it is wrong (6.2)."""
        if record.explanation is None:
            return ""
        target = await self._target(record.explanation, domain)
        answer = await _of(self._resolver.query(target, "TXT")) if spf_record.is_name(target) else Answer(AnswerKind.NXDOMAIN)
        if answer.kind is not AnswerKind.FOUND or len(answer.records) != 1 or len(answer.records[0]) > spf_record.MAX_SPEC:
            return ""
        try:
            spec = spf_record.macros(answer.records[0].decode("ascii"), is_explanation=True)
        except (UnicodeDecodeError, SpfSyntaxError):
            return ""
        return spf_record.expand(spec, await self._known(spec, domain))[:MAX_EXPLANATION]

    # DNS

    @property
    def _rdtype(self) -> str:
        return "A" if self._ip.version == 4 else "AAAA"

    def _numbers(self, answer: Answer) -> list[int]:
        numbers = []
        for text in answer.records if answer.kind is AnswerKind.FOUND else ():
            try:
                numbers.append(int(ipaddress.ip_address(text)))
            except ValueError:
                continue
        return numbers

    async def _ask(self, name: str, rdtype: str, counts: bool = False) -> Answer:
        answer = await _of(self._resolver.query(name, rdtype))
        if answer.is_temporary:
            raise _Stop(SpfResult.TEMPERROR, f"DNS gave no answer for {name} {rdtype}")
        if counts and answer.kind is not AnswerKind.FOUND:
            self._count_void()
        return answer

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _Stop(SpfResult.PERMERROR, f"more than {MAX_LOOKUPS} terms that ask DNS")

    def _count_void(self) -> None:
        self.voids += 1
        if self.voids > MAX_VOID:
            raise _Stop(SpfResult.PERMERROR, f"more than {MAX_VOID} look-ups that found nothing")


async def _of(asking: Awaitable[Any]) -> Answer:
    answer: Answer = await asking
    return answer
