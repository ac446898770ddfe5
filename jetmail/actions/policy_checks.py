"""What DNS shows of a domain's MTA-STS policy and of its wish for TLS reports, compared with what is wanted (actions.publishing).

A policy that does not name a host the domain's MX leads to stops its mail in mode enforce, so that is `wrong` whatever the records say.
Raises nothing; statuses are those of actions.domain_checks.
"""

from __future__ import annotations

from jetmail.actions.publishing import Wanted
from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth import mtasts, tlsrpt
from jetmail.mailauth.mtasts import Mode, Policy
from jetmail.store.directory.served_policies import ServedPolicy

Found = tuple[str, str]  # status and what was found
UNKNOWN = ("unknown", "DNS gave no answer")


async def find(resolver: IResolver, wanted: Wanted, policy: ServedPolicy | None, hostname: str) -> Found:
    """What is there of one of these records."""
    if wanted.subject == "mta-sts-host":
        return await _host(resolver, wanted)
    answer: Answer = await resolver.query(wanted.name, "TXT")
    if answer.is_temporary:
        return UNKNOWN
    records = answer.records if answer.kind is AnswerKind.FOUND else ()
    shown = ", ".join(record.decode("utf-8", "replace") for record in records[:5])
    if wanted.subject == "tls-rpt":
        return _reports(wanted, records, shown)
    identity = mtasts.record_id(records)
    if not identity:
        return ("wrong", shown) if shown else ("missing", "")
    if identity != mtasts.record_id([wanted.value.encode()]):
        return "wrong", f"{shown}: the id is another policy's"
    if policy is not None and (unnamed := await _unnamed(resolver, policy, hostname)):
        return "wrong", f"{shown}: the policy does not name {unnamed}, where MX leads"
    return "ok", shown


def _reports(wanted: Wanted, records: tuple[bytes, ...], shown: str) -> Found:
    found = tlsrpt.destinations(records)
    if not found:
        return ("wrong", shown) if shown else ("missing", "")
    ours = tlsrpt.destinations([wanted.value.encode()])
    return ("ok", shown) if {uri.lower() for uri in ours} <= {uri.lower() for uri in found} else ("wrong", f"{shown}: reports go elsewhere")


async def _unnamed(resolver: IResolver, policy: ServedPolicy, hostname: str) -> str:
    """A host of the domain's MX that the policy does not name, '' when there is none, or nothing can be said."""
    answer: Answer = await resolver.query(policy.domain, "MX")
    if answer.kind is not AnswerKind.FOUND or policy.mode == Mode.NONE:
        return ""
    patterns = Policy(Mode(policy.mode), policy.hosts or (hostname,), policy.max_age)
    return next((host for _, host in answer.records if host and not patterns.names(host)), "")


async def _host(resolver: IResolver, wanted: Wanted) -> Found:
    """The name the policy is asked of: a CNAME of ours, or the same addresses."""
    answer: Answer = await resolver.query(wanted.name, "CNAME")
    if answer.is_temporary:
        return UNKNOWN
    if answer.kind is AnswerKind.FOUND and answer.records:
        names = ", ".join(str(record) for record in answer.records)
        return ("ok" if answer.records == (wanted.value,) else "wrong"), f"CNAME {names}"
    theirs, ours = await _addresses(resolver, wanted.name), await _addresses(resolver, wanted.value)
    if theirs is None or ours is None:
        return UNKNOWN
    if not theirs:
        return "missing", ""
    shown = ", ".join(sorted(theirs)[:5])
    return ("ok", shown) if theirs & ours else ("wrong", f"{shown}: not the addresses of {wanted.value}")


async def _addresses(resolver: IResolver, name: str) -> frozenset[str] | None:
    found: set[str] = set()
    for kind in ("A", "AAAA"):
        answer: Answer = await resolver.query(name, kind)
        if answer.is_temporary:
            return None
        found.update(answer.records if answer.kind is AnswerKind.FOUND else ())
    return frozenset(found)
