"""Greylisting of every first contact, whatever it brings (RFC 6647): for those who want it. Off until `enabled`.

The other kind, of mail that scores too high to be taken from a stranger, is the thresholds' (`defer`); both share one memory, so that nobody waits
twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.checks.senders import matches
from jetmail.rules.facts import Correspondent, Facts
from jetmail.rules.lists import Networks, parse_range
from jetmail.rules.policy import DomainState, Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Kind, Level, OnError, Ruling, Scope, Stage, Verdict

_DEFERRED = Verdict(ruling=Ruling(Action.DEFER, "greylist"))


@dataclass(frozen=True, slots=True)
class GreylistOptions:
    """`enabled`: for every domain, or only for those in `domains`. `delay`: seconds until a contact that comes again is believed; `window`: until
    when it must have come, else it is a first contact again (at least a day). `passes`: contacts of one network (/24, /64) that came back make all
    of it
    believed (0: never). `except_for`: networks that never wait."""

    enabled: bool = False
    domains: tuple[str, ...] = ()
    delay: float = 290.0
    window: float = 172_800.0
    passes: int = 5
    except_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.delay <= 86_400:
            raise ValueError("delay: must be from 0 to 86400 seconds")
        if not 86_400 <= self.window <= 432_000:
            raise ValueError("window: must be from 86400 to 432000 seconds")
        if not 0 <= self.passes <= 10_000:
            raise ValueError("passes: must be from 0 to 10000")


@implementer(IRule)
class FirstContact(Rule):
    """Defers a recipient at the first contact of this (network, sender, recipient) (reason greylist). Nobody waits who may be on an allow list or
    have an allow rule, whom our people have written to, or who has logged in."""

    stage = Stage.RECIPIENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP
    after = ("recipient",)
    Options = GreylistOptions

    def __init__(self, name: str, options: GreylistOptions) -> None:
        super().__init__(name, options)
        self._excepted = Networks(parse_range(text) for text in options.except_for)
        self._domains = frozenset(domain.strip().lower() for domain in options.domains)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        options, recipient = self.options, facts.recipient
        if not options.enabled or recipient is None or facts.client.user or policy.state is not DomainState.ACTIVE or not recipient.targets:
            return NO_OPINION
        if self._domains and policy.domain not in self._domains:
            return NO_OPINION
        if recipient.has_passed or recipient.correspondent is not Correspondent.NONE or 0 < options.passes <= recipient.network_passes:
            return NO_OPINION
        if recipient.first_seen is not None and options.delay <= facts.time - recipient.first_seen <= options.window:
            return NO_OPINION
        if facts.client.ip in self._excepted or may_be_allowed(facts, policy):
            return NO_OPINION
        return _DEFERRED


def may_be_allowed(facts: Facts, policy: Policy) -> bool:
    """An allow list or rule matches, or may when the content is known."""
    if not policy.has_people_rules:
        return False
    for level in Level:
        lists = policy.lists(level)
        if lists and matches(lists.allow, level, facts, is_allow=True) != "":
            return True
        if any(not rule.blocks and rule.conditions.match(facts, is_allow=True) is not False for rule in policy.rules[level]):
            return True
    return False
