"""The people's allow and block rules of one level (spec 1.5, 10.4). Configured once for each level, so that the order can be seen and changed.

Within a level allow beats block; which level speaks first is for rules.settlement. An allow rule silences what filters and lists below say; a block
rule refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.policy import PersonalRule, Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, Level, OnError, Ruling, Scope, Stage, Verdict

BLOCKED = Ruling(Action.REJECT, "blocked")


@dataclass(frozen=True, slots=True)
class PeopleOptions:
    """`level`: whose rules these are."""

    level: Literal["appliance", "account", "address", "domain"]


@implementer(IRule)
class PeopleRules(Rule):
    """Trusts the message for a recipient when an allow rule of the level matches, else refuses it when a block rule does (reason blocked)."""

    stage = Stage.CONTENT
    kind = Kind.LIST
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = PeopleOptions

    def __init__(self, name: str, options: PeopleOptions) -> None:
        super().__init__(name, options)
        self.level = Level[options.level.upper()]

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        rules = policy.rules[self.level]
        if not rules:
            return NO_OPINION
        for blocks in (False, True):
            for rule in rules:
                if rule.blocks is blocks and rule.conditions.match(facts, is_allow=not blocks):
                    return blocked_by(rule) if blocks else Verdict((_finding("ALLOW_RULE", rule),), trusts=True)
        return NO_OPINION


def blocked_by(rule: PersonalRule) -> Verdict:
    """The verdict of a block rule that matched."""
    return Verdict((_finding("BLOCK_RULE", rule),), BLOCKED)


def _finding(symbol: str, rule: PersonalRule) -> Finding:
    return Finding(symbol, 0.0, f"{rule.level.name.lower()} rule {rule.name} ({rule.uuid})")
