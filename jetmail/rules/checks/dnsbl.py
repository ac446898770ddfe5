"""DNS lists of addresses: block lists and allow lists, asked about the client of every message that comes from outside (spec 10.3.1)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.dnslists import DnsListOptions, DnsLists
from jetmail.rules.facts import Facts
from jetmail.rules.lists import IPAddress, Networks, parse_range
from jetmail.rules.policy import Policy
from jetmail.rules.verdict import NO_OPINION, Verdict
from jetmail.rules.zones import CodeOptions, ZoneOptions, ask, reverse

ZONES = (
    ZoneOptions(
        "zen.spamhaus.org",
        (
            CodeOptions("127.0.0.2", "DNSBL_SBL", 4.0, "The sending server is known to send spam (Spamhaus SBL)."),
            CodeOptions("127.0.0.3", "DNSBL_CSS", 3.5, "The sending server has lately been seen sending spam (Spamhaus CSS)."),
            CodeOptions("127.0.0.4-7", "DNSBL_XBL", 4.0, "The sending machine is infected or an open proxy (Spamhaus XBL)."),
            CodeOptions("127.0.0.9", "DNSBL_DROP", 7.0, "The sending network belongs to criminals (Spamhaus DROP)."),
            CodeOptions("127.0.0.10-11", "DNSBL_PBL", 2.5, "The sending address is one that should not send mail directly (Spamhaus PBL)."),
        ),
    ),
    ZoneOptions("bl.spamcop.net", (CodeOptions("127.0.0.2", "DNSBL_SPAMCOP", 2.0, "People have reported spam from the sending server (SpamCop)."),)),
    ZoneOptions(
        "list.dnswl.org",
        (
            CodeOptions("127.0.*.1", "DNSWL_LOW", -0.5, "The sending server is known and mostly well behaved (DNSWL)."),
            CodeOptions("127.0.*.2", "DNSWL_MEDIUM", -1.5, "The sending server is known and well behaved (DNSWL)."),
            CodeOptions("127.0.*.3", "DNSWL_HIGH", -3.0, "The sending server is known never to send spam (DNSWL)."),
        ),
        ("127.0.0.255",),
    ),
)


@dataclass(frozen=True, slots=True)
class AddressListOptions(DnsListOptions):
    """`except_for`: networks."""

    zones: tuple[ZoneOptions, ...] = ZONES


@implementer(IRule)
class AddressLists(DnsLists):
    """Adds one finding for each meaning of each answer about the client's address."""

    Options = AddressListOptions
    group = "Lists of senders"

    def __init__(self, name: str, options: AddressListOptions) -> None:
        super().__init__(name, options)
        self._excepted = Networks(parse_range(text) for text in options.except_for)

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class. Who has logged in is not asked about, nor is an address that no list can know."""
        if not self.options.enabled or facts.client.user:
            return NO_OPINION
        address = facts.client.ip
        if address is None or not address.is_global or address in self._excepted:
            return NO_OPINION
        return self._ask(address)

    async def _ask(self, address: IPAddress) -> Verdict:
        services = self._services
        name = reverse(address)
        answers = await ask(services.resolver, [(f"{name}.{zone.name}", zone) for zone in self._zones], self.options.seconds, services.clock)
        now = services.clock.seconds()
        found = [listing for answer, zone in answers for listing in zone.read(answer, str(address), now)]
        return Verdict(tuple(services.scores.finding(listing.symbol, listing.detail) for listing in found)) if found else NO_OPINION
