"""Whether a sender's domain has published SPF, and whether that includes ours (spec 7.1): asked for users who may send from any domain.

By default its absence is only noted (finding SENDER_WITHOUT_SPF). The strict option refuses: `550 [SPF_INVALID]` for a domain without SPF,
or, where a name to include is set, for one whose record does not lead to that name. Includes and redirects are followed, 10 look-ups in all (RFC 7208
4.6.4), because whitelabelled names lead to ours. What DNS cannot tell now never blocks.
"""

from __future__ import annotations

from jetmail.interfaces import IResolver
from jetmail.mailauth import spf_includes
from jetmail.mailauth.spf import MAX_LOOKUPS
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Ruling, Verdict

INVALID = Ruling(Action.REJECT, "spf-invalid")


async def judge(resolver: IResolver, domains: tuple[str, ...], *, wanted: str, is_strict: bool) -> Verdict:
    """What the domains (in the order they are to be named) have published. `wanted`: the name their records are to include, '' for any record."""
    for domain in domains:
        problem = await _problem(resolver, domain, wanted if is_strict else "")
        if problem:
            finding = Finding("SENDER_WITHOUT_SPF", 0.0, f"{domain}: {problem}")
            return Verdict((finding,), INVALID if is_strict else None)
    return NO_OPINION


async def _problem(resolver: IResolver, domain: str, wanted: str) -> str:
    """'' when it is well, or nobody can tell."""
    found = await spf_includes.walk(resolver, domain, until=wanted, most=MAX_LOOKUPS if wanted else 1)
    if found.unknown:
        return ""
    if not found.record:
        return "no SPF record"
    if not wanted or found.leads_to(wanted):
        return ""
    return f"more than {MAX_LOOKUPS} look-ups, and no include of {wanted}" if found.is_cut else f"its SPF record does not include {wanted}"
