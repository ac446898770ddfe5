"""Allow and block lists of senders and networks (spec 6.8). The appliance's match the envelope sender, all others the header From; all of
them the client's address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.lists import NO_LISTS, Entries
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, Level, OnError, Ruling, Scope, Stage, Verdict

LISTED = Ruling(Action.REJECT, "blocklist")


@dataclass(frozen=True, slots=True)
class SenderListOptions:
    """`level`: whose lists these are."""

    level: Literal["appliance", "account", "address", "domain"]


@implementer(IRule)
class SenderLists(Rule):
    """Trusts a sender or client on the allow list of the level, else refuses one on its block list (reason blocklist). A domain covers its
    subdomains."""

    stage = Stage.CONTENT
    kind = Kind.LIST
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = SenderListOptions

    def __init__(self, name: str, options: SenderListOptions) -> None:
        super().__init__(name, options)
        self.level = Level[options.level.upper()]

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        lists = policy.lists(self.level)
        if lists is NO_LISTS:
            return NO_OPINION
        if found := matches(lists.allow, self.level, facts, is_allow=True):
            return Verdict((Finding("ALLOW_LIST", 0.0, f"{self.level.name.lower()} list: {found}"),), trusts=True)
        if found := matches(lists.block, self.level, facts, is_allow=False):
            return blocked_by(self.level, found)
        return NO_OPINION


def blocked_by(level: Level, found: str) -> Verdict:
    """The verdict of a block list with what matched."""
    return Verdict((Finding("BLOCK_LIST", 0.0, f"{level.name.lower()} list: {found}"),), LISTED)


def matches(entries: Entries, level: Level, facts: Facts, *, is_allow: bool) -> str | None:
    """What of the message is listed; '' when nothing is; None when the header From, which is not there yet, would decide.
    To allow, a header From must be well formed and all its addresses listed; to block, one is enough (spec 6.8 warns of spoofed senders)."""
    if not entries:
        return ""
    if entries.has_network(facts.client.ip):
        return facts.client.address
    if not entries.addresses and not entries.domains:
        return ""
    if level is Level.APPLIANCE:
        sender = facts.sender.address if facts.sender is not None else None
        return str(sender) if sender is not None and entries.has_sender(sender.key, sender.domain) else ""
    if facts.message is None:
        return None
    sender_from = facts.message.sender
    listed = [entries.has_sender(address.key, address.domain) for address in sender_from.addresses]
    is_listed = sender_from.is_sound and bool(listed) and all(listed) if is_allow else any(listed)
    return str(sender_from.address) if is_listed else ""
