"""Who sent it, as far as DNS can tell: SPF, the way back from the address, DKIM, ARC and DMARC, asked side by side under one budget of time.

Adds one Authentication-Results and one Received-SPF (fields that claim to be ours were removed on the way in), findings, and the evidence on which
the rules `dmarc` and `arc-seal` act. A resolver that does not answer makes every one of them `temperror`, which weighs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IExecutor, IRule
from jetmail.mail.message import Message
from jetmail.mailauth import arc, authres, dkim, dmarc, iprev, spf
from jetmail.mailauth.arc import Arc, ArcResult
from jetmail.mailauth.canonical import BodyForm, HeaderForms, hash_bodies
from jetmail.mailauth.dkim import Dkim, DkimResult, Limits
from jetmail.mailauth.dmarc import Dmarc, DmarcResult
from jetmail.mailauth.iprev import Iprev, IprevResult
from jetmail.mailauth.spf import Spf
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.rules.authenticated import Authenticated
from jetmail.rules.budget import Budget
from jetmail.rules.facts import Facts
from jetmail.rules.lists import NEAR_NETWORKS, IPAddress, Networks, parse_range
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores, symbols
from jetmail.rules.verdict import NO_OPINION, Finding, Kind, OnError, Scope, Stage, Verdict

LARGE = 256 * 1024  # octets from which on a body is hashed in a thread
_DKIM_WORDS = {DkimResult.FAIL: "DKIM_INVALID", DkimResult.PERMERROR: "DKIM_PERMERROR", DkimResult.TEMPERROR: "DKIM_TEMPERROR"}
_IPREV_WORDS = {IprevResult.FAIL: "IPREV_FAIL", IprevResult.PERMERROR: "IPREV_NONE", IprevResult.TEMPERROR: "IPREV_TEMPERROR"}
_DMARC_WORDS = {
    DmarcResult.PASS: "DMARC_PASS",
    DmarcResult.NONE: "DMARC_NONE",
    DmarcResult.TEMPERROR: "DMARC_TEMPERROR",
    DmarcResult.PERMERROR: "DMARC_PERMERROR",
}


@dataclass(frozen=True, slots=True)
class AuthenticationOptions:
    """`budget` seconds of DNS for one message in all. `max_signatures` of DKIM that are looked at. `trusted_networks`: clients there are our own
    relays: neither SPF nor the way back is asked about them, and DMARC fails nobody whom a signature does not bear out."""

    budget: float = 2.0
    max_signatures: int = 10
    trusted_networks: tuple[str, ...] = NEAR_NETWORKS

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 10:
            raise ValueError("budget: must be over 0 and at most 10 seconds")
        if not 1 <= self.max_signatures <= 50:
            raise ValueError("max_signatures: must be from 1 to 50")


@implementer(IRule)
class Authentication(Rule):
    """See the module. What somebody with a login sends is not judged."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    on_error = OnError.SKIP
    timeout = 15.0  # the budget ends it long before
    Options = AuthenticationOptions

    SYMBOLS = symbols(
        "Authentication",
        ("SPF_PASS", -0.1, "The sending host may send mail for the sender's domain."),
        ("SPF_FAIL", 2.5, "The sender's domain says that this host may not send its mail."),
        ("SPF_SOFTFAIL", 1.0, "The sender's domain says that this host probably may not send its mail."),
        ("SPF_NEUTRAL", 0.3, "The sender's domain does not say whether this host may send its mail."),
        ("SPF_NONE", 0.3, "The sender's domain does not say which hosts may send its mail."),
        ("SPF_TEMPERROR", 0.0, "Whether the sending host may send for the domain could not be found out now."),
        ("SPF_PERMERROR", 0.5, "What the sender's domain says about its hosts cannot be read."),
        ("DKIM_VALID", -0.2, "The message has a valid signature of a domain."),
        ("DKIM_INVALID", 0.5, "The message has a signature that does not match."),
        ("DKIM_WEAK", 0.5, "The message is signed with something too weak to prove anything."),
        ("DKIM_PARTIAL", 1.0, "The signature leaves a part of the message unsigned."),
        ("DKIM_PERMERROR", 0.3, "The message has a signature that cannot be checked."),
        ("DKIM_TEMPERROR", 0.0, "The signature could not be checked now."),
        ("DKIM_NONE", 0.2, "The message is not signed."),
        ("ARC_PASS", 0.0, "Those who passed the message on vouch for it in an unbroken chain."),
        ("ARC_FAIL", 0.3, "The chain of those who passed the message on is broken."),
        ("ARC_TEMPERROR", 0.0, "The chain of those who passed the message on could not be checked now."),
        ("DMARC_PASS", -0.3, "The author's domain is borne out by SPF or a signature."),
        ("DMARC_NONE", 0.0, "The author's domain has no policy against forgery."),
        ("DMARC_TEMPERROR", 0.0, "The author's domain could not be checked now."),
        ("DMARC_PERMERROR", 1.5, "The From field does not name one author, so that nobody can vouch for it."),
        ("IPREV_PASS", 0.0, "The sending host has a name that leads back to it."),
        ("IPREV_FAIL", 0.8, "The sending host's name does not lead back to it."),
        ("IPREV_NONE", 1.2, "The sending host has no name."),
        ("IPREV_TEMPERROR", 0.0, "The sending host's name could not be found out now."),
    )

    def __init__(self, name: str, options: AuthenticationOptions) -> None:
        super().__init__(name, options)
        self._trusted = Networks(parse_range(text) for text in options.trusted_networks)
        self._limits = Limits(options.max_signatures)
        self._suffixes = PublicSuffixes()
        self._services: RuleServices | None = None

    def bind(self, services: RuleServices) -> None:
        """Keep what is needed to ask."""
        self._services = services

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class."""
        if self._services is None or facts.client.user or facts.message is None or facts.sender is None:
            return NO_OPINION
        return self._authenticate(self._services, facts, facts.message)

    async def _authenticate(self, services: RuleServices, facts: Facts, message: Message) -> Verdict:
        ip = facts.client.ip
        budget = Budget(services.resolver, services.clock, self.options.budget)
        sender = str(facts.sender.address) if facts.sender is not None and facts.sender.address is not None else ""
        if ip is not None and ip in self._trusted:
            ip = None
        # All that asks DNS is begun before any of it is waited for.
        spf_asked = iprev_asked = None
        if ip is not None:
            spf_asked = Deferred.fromCoroutine(spf.check(budget, ip, sender, facts.client.helo, receiver=services.hostname, now=facts.time))
            iprev_asked = Deferred.fromCoroutine(iprev.check(budget, ip))
        author = message.sender
        published_asked = Deferred.fromCoroutine(dmarc.fetch(budget, self._suffixes, author))
        signatures = dkim.read(message.fields, self._limits)
        chain = arc.read(message.fields)
        bodies = await _hashed(message, dkim.forms(signatures) | arc.forms(chain), services.executor)
        dkim_asked = arc_asked = None
        if signatures or chain.message is not None or chain.problem:
            header = HeaderForms(message.fields)
            dkim_asked = Deferred.fromCoroutine(dkim.verify(budget, header, signatures, bodies, facts.time, self._limits))
            arc_asked = Deferred.fromCoroutine(arc.verify(budget, header, chain, bodies, self._limits))
        spf_found = await spf_asked if spf_asked is not None else None
        dkim_found = tuple(await dkim_asked) if dkim_asked is not None else ()
        published = await published_asked
        sample = zlib.crc32(message.header) % 100
        dmarc_found = await dmarc.judge(budget, self._suffixes, author, published, spf_found, dkim_found, sample)
        arc_found = await arc_asked if arc_asked is not None else Arc(ArcResult.NONE)
        iprev_found = await iprev_asked if iprev_asked is not None else None
        results = authres.results(services.hostname, spf_found, iprev_found, dkim_found, arc_found, dmarc_found, facts.client.address)
        headers = [f"Authentication-Results: {results}"]
        if spf_found is not None:
            headers.append(authres.received_spf(services.hostname, spf_found, facts.client.address, facts.client.helo, sender))
        found = Authenticated(spf_found, iprev_found, dkim_found, arc_found, dmarc_found, results, self._suffixes, bodies)
        return Verdict(tuple(_findings(services.scores, found, ip)), headers=tuple(headers), evidence=found)


def _findings(scores: Scores, found: Authenticated, ip: IPAddress | None) -> list[Finding]:
    return [
        *_of_client(scores, found.spf, found.iprev, ip),
        *_of_dkim(scores, found.dkim),
        *_of_arc(scores, found.arc),
        *_of_dmarc(scores, found.dmarc),
    ]


def _of_client(scores: Scores, spf_found: Spf | None, iprev_found: Iprev | None, ip: IPAddress | None) -> list[Finding]:
    made = []
    if spf_found is not None:
        told = f"{spf_found.domain} {spf_found.mechanism or spf_found.problem}".strip()
        made.append(scores.finding(f"SPF_{spf_found.result.name}", told))
    if iprev_found is not None:
        made.append(scores.finding(_IPREV_WORDS.get(iprev_found.result, "IPREV_PASS"), iprev_found.name or str(ip)))
    return made


def _of_dkim(scores: Scores, found: tuple[Dkim, ...]) -> list[Finding]:
    """One valid signature is what counts; what is wrong with others is only of interest where there is none (RFC 6376 6.1)."""
    if not found:
        return [scores.finding("DKIM_NONE")]
    valid = [each for each in found if each.result is DkimResult.PASS]
    if not valid:
        worst = found[0]
        return [scores.finding("DKIM_WEAK" if worst.weak else _DKIM_WORDS[worst.result], f"{worst.domain} {worst.reason}".strip())]
    made = [scores.finding("DKIM_VALID", " ".join(dict.fromkeys(each.domain for each in valid)))]
    if not any(each.covers_body for each in valid):
        made.append(scores.finding("DKIM_PARTIAL", valid[0].domain))
    return made


def _of_arc(scores: Scores, found: Arc) -> list[Finding]:
    if found.result is ArcResult.NONE:
        return []
    told = " ".join(link.sealer for link in found.links) if found.links else found.reason
    return [scores.finding(f"ARC_{found.result.name}", told)]


def _of_dmarc(scores: Scores, found: Dmarc) -> list[Finding]:
    """A fail is the rule dmarc's to weigh, for it depends on the recipient's domain."""
    word = _DMARC_WORDS.get(found.result)
    return [scores.finding(word, f"{found.domain} {found.aligned or found.reason}".strip())] if word is not None else []


async def _hashed(message: Message, forms: set[BodyForm], executor: IExecutor) -> dict[BodyForm, tuple[bytes, int]]:
    if message.size < LARGE:
        return hash_bodies(message.body_chunks(), forms) if forms else {}
    forms.add(arc.ALL)  # for a seal, which must not go through it again
    found: dict[BodyForm, tuple[bytes, int]] = await executor.run(hash_bodies, message.body_chunks(), forms)
    return found
