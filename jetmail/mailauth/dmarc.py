"""DMARC (RFC 7489, with RFC 9091's np= and t= of its successor): whether the header From is borne out, and what its owner wants done when not.

Promises
- A pass needs an aligned SPF or DKIM pass; a fail is said only when DNS has answered everything that could have led to a pass. Otherwise `temperror`.
- Every author domain is judged, of a malformed From every one somebody might read in it, and the strictest answer stands. A From that is missing,
  malformed or there twice never passes.
- The policy is that of the domain that publishes it: the author domain, else its organisational domain (sp= for a subdomain, np= for one that
  does not exist). A record that says nothing valid in p= is read as p=none when it asks for reports, and as no record otherwise (6.6.3).

Public suffixes, not the tree walk, find the organisational domain. Nothing is raised. At most MAX_DOMAINS author domains are asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import lru_cache

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.message import From, FromFlaw
from jetmail.mailauth.canonical import tags
from jetmail.mailauth.dkim import Dkim, DkimResult
from jetmail.mailauth.spf import Spf, SpfResult
from jetmail.mailauth.suffixes import PublicSuffixes

MAX_DOMAINS = 4
MAX_RECORD = 4_096


class DmarcPolicy(IntEnum):
    """p=, from mild to harsh."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2


class DmarcResult(Enum):
    """RFC 7489 11.2."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A record as read. `subdomain` sp=, `missing` np=; None where it does not say. `percent` pct=, `testing` t=y."""

    policy: DmarcPolicy
    subdomain: DmarcPolicy | None = None
    missing: DmarcPolicy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    percent: int = 100
    testing: bool = False


@dataclass(frozen=True, slots=True)
class Dmarc:
    """`domain` of the author that was judged, `policy_domain` whose record counts. `policy` as published for that domain, `disposition` what is
    asked for this message (milder under pct= and t=). `aligned` in words: which identifier bore it out."""

    result: DmarcResult
    domain: str = ""
    policy_domain: str = ""
    policy: DmarcPolicy = DmarcPolicy.NONE
    disposition: DmarcPolicy = DmarcPolicy.NONE
    aligned: str = ""
    reason: str = ""


_POLICIES = {b"none": DmarcPolicy.NONE, b"quarantine": DmarcPolicy.QUARANTINE, b"reject": DmarcPolicy.REJECT}
_SEVERITY = {DmarcResult.PASS: 0, DmarcResult.NONE: 1, DmarcResult.PERMERROR: 2, DmarcResult.TEMPERROR: 3, DmarcResult.FAIL: 4}


@lru_cache(maxsize=1024)
def parse(txt: bytes) -> DmarcRecord | None:
    """A TXT record under `_dmarc.`; None when it is none of DMARC's or asks for nothing."""
    version, _, rest = txt.partition(b";")
    name, _, value = version.partition(b"=")
    if name.strip() != b"v" or value.strip() != b"DMARC1" or len(txt) > MAX_RECORD:
        return None
    found: dict[str, bytes] = {}
    for part in rest.split(b";"):  # unknown and broken tags are discarded, not the record (6.3)
        for tag, content in (tags(part) or {}).items():
            found.setdefault(tag.lower(), content.lower())
    policy = _POLICIES.get(found.get("p", b""))
    subdomain, missing = _POLICIES.get(found.get("sp", b"")), _POLICIES.get(found.get("np", b""))
    if policy is None or ("sp" in found and subdomain is None):
        if b"mailto:" not in found.get("rua", b""):
            return None
        policy, subdomain, missing = DmarcPolicy.NONE, None, None
    percent = found.get("pct", b"100")
    share = min(100, int(percent)) if percent.isdigit() and len(percent) <= 3 else 100
    return DmarcRecord(policy, subdomain, missing, found.get("adkim") == b"s", found.get("aspf") == b"s", share, found.get("t") == b"y")


async def check(resolver: IResolver, suffixes: PublicSuffixes, author: From, spf: Spf | None, dkim: Sequence[Dkim], sample: int = 0) -> Dmarc:
    """Judge the header From against what SPF and DKIM found. `spf` None: it was not asked, because the client is a relay of ours; then nobody can say
    that nothing bears the author out. `sample` 0 to 99 says where this message falls under pct=."""
    found = await fetch(resolver, suffixes, author)
    return await judge(resolver, suffixes, author, found, spf, dkim, sample)


Published = dict[str, tuple[str, DmarcRecord | None, Answer]]


async def fetch(resolver: IResolver, suffixes: PublicSuffixes, author: From) -> Published:
    """The records of the author domains: {domain: (policy domain, record, answer)}. Needs neither SPF nor DKIM, so it may run beside them."""
    domains = author_domains(author)
    if len(domains) > MAX_DOMAINS:  # the first and the last are those that people are shown
        domains = [*domains[: MAX_DOMAINS - 1], domains[-1]]
    names = {name: None for domain in domains for name in (domain, suffixes.organisational(domain))}
    asking = {name: resolver.query(f"_dmarc.{name}", "TXT") for name in names}
    answers: dict[str, Answer] = {}
    for name, asked in asking.items():
        answers[name] = await asked
    published: Published = {}
    for domain in domains:
        answer, record = answers[domain], _record(answers[domain])
        owner = domain
        if record is None and not answer.is_temporary and (above := suffixes.organisational(domain)) != domain:
            owner, answer, record = above, answers[above], _record(answers[above])
        published[domain] = (owner, record, answer)
    return published


async def judge(
    resolver: IResolver, suffixes: PublicSuffixes, author: From, published: Published, spf: Spf | None, dkim: Sequence[Dkim], sample: int = 0
) -> Dmarc:
    """The strictest of what every author domain comes to."""
    results = [await _judge_one(resolver, suffixes, domain, *said, spf, dkim, sample) for domain, said in published.items()]
    domains = author_domains(author)
    flaw = author.flaw.value + " in From" if author.flaw in (FromFlaw.SEVERAL_FIELDS, FromFlaw.MALFORMED) else ""
    if author.flaw is FromFlaw.MISSING:
        flaw = "no From"
    elif not flaw and len(domains) > MAX_DOMAINS:
        flaw = "too many authors"
    elif not flaw and not domains:
        flaw = "no domain in From"
    if not results:
        return Dmarc(DmarcResult.PERMERROR, reason=flaw)
    worst = max(results, key=lambda each: (_SEVERITY[each.result], each.disposition))
    if flaw and worst.result in (DmarcResult.PASS, DmarcResult.NONE):
        return replace(worst, result=DmarcResult.PERMERROR, aligned="", reason=flaw)
    return worst


async def _judge_one(
    resolver: IResolver,
    suffixes: PublicSuffixes,
    domain: str,
    owner: str,
    record: DmarcRecord | None,
    answer: Answer,
    spf: Spf | None,
    dkim: Sequence[Dkim],
    sample: int,
) -> Dmarc:
    if answer.is_temporary:
        return Dmarc(DmarcResult.TEMPERROR, domain, owner, reason="DNS gave no answer for the policy")
    if record is None:
        return Dmarc(DmarcResult.NONE, domain, owner)
    if aligned := _aligned(suffixes, domain, record, spf, dkim):
        return Dmarc(DmarcResult.PASS, domain, owner, record.policy, DmarcPolicy.NONE, aligned)
    if _undecided(suffixes, domain, record, spf, dkim):
        return Dmarc(DmarcResult.TEMPERROR, domain, owner, record.policy, reason="an aligned identifier could not be checked")
    if spf is None:
        return Dmarc(DmarcResult.NONE, domain, owner, record.policy, reason="SPF was not asked about a relay of ours")
    policy = record.policy
    if owner != domain:
        policy = record.subdomain if record.subdomain is not None else record.policy
        if record.missing is not None and (await resolver.query(domain, "A")).kind is AnswerKind.NXDOMAIN:
            policy = record.missing
    milder = DmarcPolicy(max(0, policy - 1))
    return Dmarc(DmarcResult.FAIL, domain, owner, policy, milder if record.testing or sample >= record.percent else policy)


def author_domains(author: From) -> list[str]:
    """Each domain named in From, once; address literals have none."""
    return list(dict.fromkeys(address.domain for address in author.addresses if not address.is_literal and "." in address.domain))


def is_aligned(suffixes: PublicSuffixes, author: str, domain: str, strict: bool) -> bool:
    """3.1: the same domain, or under relaxed alignment the same organisation."""
    if domain == author:
        return True
    return not strict and bool(domain) and suffixes.organisational(domain) == suffixes.organisational(author)


def _record(answer: Answer) -> DmarcRecord | None:
    if answer.kind is not AnswerKind.FOUND:
        return None
    records = [txt for txt in answer.records if txt[:20].replace(b" ", b"").startswith(b"v=DMARC1")]
    return parse(records[0]) if len(records) == 1 else None  # 6.6.3: several are none


def _aligned(suffixes: PublicSuffixes, domain: str, record: DmarcRecord, spf: Spf | None, dkim: Iterable[Dkim]) -> str:
    for signature in dkim:
        if signature.result is DkimResult.PASS and is_aligned(suffixes, domain, signature.domain, record.strict_dkim):
            return f"dkim {signature.domain}"
    if spf is not None and spf.result is SpfResult.PASS and is_aligned(suffixes, domain, spf.domain, record.strict_spf):
        return f"spf {spf.domain}"
    return ""


def _undecided(suffixes: PublicSuffixes, domain: str, record: DmarcRecord, spf: Spf | None, dkim: Iterable[Dkim]) -> bool:
    return (spf is not None and spf.result is SpfResult.TEMPERROR and is_aligned(suffixes, domain, spf.domain, record.strict_spf)) or any(
        signature.result is DkimResult.TEMPERROR and is_aligned(suffixes, domain, signature.domain, record.strict_dkim) for signature in dkim
    )
