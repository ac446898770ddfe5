"""DNS lists of domains: asked about the domains a message speaks for (From, envelope sender, HELO) and those its links lead to.

Names are asked about by their registered domain, each once, those the message speaks for first; of a message with many links only so many are asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Literal

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.address import AddressError, parse_domain
from jetmail.mail.message import Message
from jetmail.rules.analysis.hosts import covers, parse_url, registrable, urls_in
from jetmail.rules.dnslists import DnsListOptions, DnsLists
from jetmail.rules.facts import Facts, parse_ip
from jetmail.rules.policy import Policy
from jetmail.rules.verdict import NO_OPINION, Verdict
from jetmail.rules.zones import CodeOptions, ZoneOptions, ask, reverse

MAX_URLS = 200  # looked at in one message
MAX_DETAIL_NAMES = 5
Origin = Literal["from", "sender", "helo", "link"]

ZONES = (
    ZoneOptions(
        "dbl.spamhaus.org",
        (
            CodeOptions("127.0.1.2", "URIBL_DBL_SPAM", 5.0, "It speaks for or links to a domain known from spam (Spamhaus DBL)."),
            CodeOptions("127.0.1.4", "URIBL_DBL_PHISH", 6.5, "It speaks for or links to a domain known from phishing (Spamhaus DBL)."),
            CodeOptions("127.0.1.5-6", "URIBL_DBL_MALWARE", 6.5, "It speaks for or links to a domain that spreads malware (Spamhaus DBL)."),
            CodeOptions("127.0.1.102-106", "URIBL_DBL_ABUSED", 2.5, "It links to an honest site that has been broken into (Spamhaus DBL)."),
        ),
        ("127.0.1.255",),
    ),
    ZoneOptions(
        "multi.surbl.org",
        (
            CodeOptions("127.0.0.&8", "URIBL_SURBL_PHISH", 5.0, "It links to a domain known from phishing (SURBL)."),
            CodeOptions("127.0.0.&16", "URIBL_SURBL_MALWARE", 5.0, "It links to a domain that spreads malware (SURBL)."),
            CodeOptions("127.0.0.&64", "URIBL_SURBL_ABUSE", 4.0, "It links to a domain known from spam (SURBL)."),
            CodeOptions("127.0.0.&128", "URIBL_SURBL_CRACKED", 2.5, "It links to an honest site that has been broken into (SURBL)."),
        ),
        ("127.0.0.1",),
    ),
    ZoneOptions(
        "multi.uribl.com",
        (
            CodeOptions("127.0.0.&2", "URIBL_BLACK", 5.0, "It links to a domain known from spam (URIBL black)."),
            CodeOptions("127.0.0.&4", "URIBL_GREY", 1.0, "It links to a domain of bulk mail (URIBL grey)."),
            CodeOptions("127.0.0.&8", "URIBL_RED", 2.0, "It links to a domain that was registered lately or is watched (URIBL red)."),
        ),
        ("127.0.0.1",),
    ),
)


@dataclass(frozen=True, slots=True)
class DomainListOptions(DnsListOptions):
    """`ask_about`: where names are taken from. `except_for`: domains, with all below them. `addresses`: ask about links to bare IP addresses too.
    `max_lookups` of one message, over all zones."""

    zones: tuple[ZoneOptions, ...] = ZONES
    ask_about: tuple[Origin, ...] = ("from", "sender", "helo", "link")
    addresses: bool = False
    max_lookups: int = 30

    def __post_init__(self) -> None:
        DnsListOptions.__post_init__(self)
        if not 1 <= self.max_lookups <= 200:
            raise ValueError("max_lookups: must be from 1 to 200")


@implementer(IRule)
class DomainLists(DnsLists):
    """Adds one finding for each symbol of each zone, whatever the number of names listed, with the first of them."""

    Options = DomainListOptions
    group = "Lists of domains"

    def __init__(self, name: str, options: DomainListOptions) -> None:
        super().__init__(name, options)
        self._excepted = frozenset(_domain(text) for text in options.except_for)

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class."""
        if not self.options.enabled or facts.client.user or facts.message is None:
            return NO_OPINION
        names = self._names(facts, facts.message, self.options.max_lookups // max(1, len(self._zones)))
        return self._ask(names) if names else NO_OPINION

    def _names(self, facts: Facts, message: Message, limit: int) -> dict[str, str]:
        """What to ask about, as it stands before the zone and as people know it."""
        found: dict[str, str] = {}
        for name in self._origins(facts, message):
            if len(found) >= max(1, limit):
                break
            if (address := parse_ip(name)) is not None:
                if self.options.addresses and address.is_global:
                    found.setdefault(reverse(address), name)
            elif "." in name and not name.startswith("[") and not covers(self._excepted, name):
                domain = registrable(name)
                found.setdefault(domain, domain)
        return found

    def _origins(self, facts: Facts, message: Message) -> Iterator[str]:
        about = self.options.ask_about
        if "from" in about:
            yield from (address.domain for address in message.sender.addresses[:5])
        if "sender" in about and facts.sender is not None and facts.sender.address is not None:
            yield facts.sender.address.domain
        if "helo" in about:
            yield _domain(facts.client.helo)
        if "link" in about:
            yield from link_hosts(message)

    async def _ask(self, names: dict[str, str]) -> Verdict:
        services = self._services
        questions = [(f"{name}.{zone.name}", (zone, shown)) for name, shown in names.items() for zone in self._zones]
        answers = await ask(services.resolver, questions, self.options.seconds, services.clock)
        now = services.clock.seconds()
        found: dict[str, list[str]] = {}
        for answer, (zone, shown) in answers:
            for listing in zone.read(answer, shown, now):
                found.setdefault(listing.symbol, []).append(listing.detail)
        if not found:
            return NO_OPINION
        return Verdict(tuple(services.scores.finding(symbol, ", ".join(details[:MAX_DETAIL_NAMES])) for symbol, details in found.items()))


def link_hosts(message: Message) -> Iterator[str]:
    """The hosts a message's links lead to, in their order, repeated ones too; addresses as text."""
    left = MAX_URLS
    structure = message.structure
    for _, page in structure.pages:
        for target in (*(link.target for link in page.links[:left]), *page.forms[:20], page.refresh):
            if (url := parse_url(target)) is not None:
                left -= 1
                yield url.host
    if left > 0:
        for url in urls_in(structure.text, left):
            yield url.host


def _domain(text: str) -> str:
    try:
        return parse_domain(text.strip().strip("."))
    except AddressError:
        return ""
