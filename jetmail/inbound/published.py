"""Whether a sender's domain has published SPF, and whether that includes ours (spec 7.1): asked for users who may send from any domain.

By default its absence is only noted (finding SENDER_WITHOUT_SPF). The strict option refuses: `550 [SPF_INVALID]` for a domain without SPF,
or, where a name to include is set, for one whose record does not lead to that name. Includes and redirects are followed, 10 look-ups in all (RFC 7208
4.6.4), because whitelabelled names lead to ours. What DNS cannot tell now never blocks.
"""

from __future__ import annotations

from collections import deque

from jetmail.interfaces import AnswerKind, IResolver
from jetmail.mailauth import spf_record
from jetmail.mailauth.spf_record import Record, Spec, SpfSyntaxError
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Ruling, Verdict

MAX_LOOKUPS = 10
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
    left = MAX_LOOKUPS
    asked = {domain}
    names = deque([domain])
    is_first = True
    while names:
        if not left:
            return f"more than {MAX_LOOKUPS} look-ups, and no include of {wanted}"
        left -= 1
        answer = await resolver.query(names.popleft(), "TXT")
        if answer.is_temporary:
            return ""
        records = [each for each in answer.records if spf_record.is_spf(each)] if answer.kind is AnswerKind.FOUND else []
        if is_first and not records:
            return "no SPF record"
        if is_first and not wanted:
            return ""
        is_first = False
        for name in _leads_to(records[0]) if records else ():
            if name == wanted:
                return ""
            if name not in asked:
                asked.add(name)
                names.append(name)
    return f"its SPF record does not include {wanted}"


def _leads_to(txt: bytes) -> tuple[str, ...]:
    try:
        record: Record = spf_record.parse(txt)
    except SpfSyntaxError:
        return ()
    specs = [item.spec for item in record.mechanisms if item.name == "include"] + [record.redirect]
    return tuple(name for spec in specs if spec is not None and (name := _plain(spec)))


def _plain(spec: Spec) -> str:
    """A name without macros, in lower case and without its final dot; '' for one that depends on the message."""
    return "".join(piece for piece in spec if isinstance(piece, str)).lower().removesuffix(".") if all(isinstance(p, str) for p in spec) else ""
