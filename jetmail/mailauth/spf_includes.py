"""Does a domain's SPF record lead to a certain name, and does it keep to the limits: for who has to publish it, not for judging mail (that is spf).

Includes and redirects are followed, however deep, because a whitelabelled name leads to ours by a second one. Every term that asks DNS counts, as it
would for a receiver that has to read the whole record (RFC 7208 4.6.4: 10 of them); what stands behind `all` is not read. Pure over IResolver; at
most MAX_RECORDS records are fetched. Nothing is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth import spf_record
from jetmail.mailauth.spf import MAX_LOOKUPS
from jetmail.mailauth.spf_record import Record, Spec, SpfSyntaxError

MAX_RECORDS = 30


@dataclass(slots=True)
class Walk:
    """What was found. `record` the domain's own, '' when it has none. `includes` every name followed, `lookups` terms that ask DNS. `problems` make
    the record worthless to receivers; `unknown` is a name nobody could tell about now; `is_cut`: there was more than was read."""

    record: str = ""
    includes: list[str] = field(default_factory=list)
    lookups: int = 0
    problems: list[str] = field(default_factory=list)
    unknown: str = ""
    is_cut: bool = False

    def leads_to(self, name: str) -> bool:
        """Whether the name is among what is included."""
        return name in self.includes

    @property
    def is_over(self) -> bool:
        """Receivers stop reading before the end."""
        return self.lookups > MAX_LOOKUPS


async def walk(resolver: IResolver, domain: str, *, until: str = "", most: int = MAX_RECORDS) -> Walk:
    """Read a domain's record and all it leads to; no further than to the name `until`, nor more than `most` records."""
    found = Walk()
    waiting: list[tuple[str, str]] = [(domain, "")]
    fetched = 0
    while waiting and fetched < most and not (until and found.leads_to(until)):
        name, by = waiting.pop(0)
        fetched += 1
        answer: Answer = await resolver.query(name, "TXT")
        if answer.is_temporary:
            found.unknown = name
            break
        records = [txt for txt in answer.records if spf_record.is_spf(txt)] if answer.kind is AnswerKind.FOUND else []
        if by and not records:
            found.problems.append(f"{by} leads to {name}, which has no SPF record")
        if not records:
            continue
        if not by:
            found.record = records[0].decode("ascii", "replace")
        if len(records) > 1:
            found.problems.append(f"{name} has several SPF records")
        try:
            record = spf_record.parse(records[0])
        except SpfSyntaxError as error:
            found.problems.append(f"{name}: {error}")
            continue
        for target in _terms(found, record, name):
            if target in found.includes:
                continue  # twice is twice counted, and read once
            found.includes.append(target)
            waiting.append((target, name))
    found.is_cut = bool(waiting)
    if found.is_over:
        found.problems.append(f"{found.lookups} terms that ask DNS, receivers take {MAX_LOOKUPS}")
    return found


def _terms(found: Walk, record: Record, name: str) -> list[str]:
    """Count what a record asks of DNS. -> the names it leads to."""
    targets: list[str] = []
    redirect: Spec | None = record.redirect
    for mechanism in record.mechanisms:
        if mechanism.name == "all":
            redirect = None
            if mechanism.qualifier == "+":
                found.problems.append(f"{name}: {mechanism.text} lets everybody send")
            break
        if mechanism.name in ("ip4", "ip6"):
            continue
        found.lookups += 1
        if mechanism.name == "include" and mechanism.spec is not None and mechanism.qualifier == "+":
            targets += _plain(mechanism.spec)
    if redirect is not None:
        found.lookups += 1
        targets += _plain(redirect)
    return targets


def _plain(spec: Spec) -> list[str]:
    """The name, unless it depends on the message."""
    pieces = [piece for piece in spec if isinstance(piece, str)]
    return ["".join(pieces).lower().removesuffix(".")] if len(pieces) == len(spec) else []
