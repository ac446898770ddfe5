"""Blocks that are certain at RCPT are said at RCPT: for that recipient alone, and before the content is sent (spec 1.5).

Goes through the levels as rules.settlement will, with what is known now. A block counts early only when no allow at its level or above it could
still match once the content is there; otherwise nothing is said, and the rules of CONTENT decide.
"""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.checks import people, senders
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Kind, Level, OnError, Scope, Stage, Verdict


@implementer(IRule)
class EarlyBlock(Rule):
    """Refuses a recipient whose people have blocked this sender or client beyond doubt (reasons blocked, blocklist)."""

    stage = Stage.RECIPIENT
    kind = Kind.LIST
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP  # the same rules are asked again at CONTENT, where an error defers
    after = ("recipient",)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if not policy.has_people_rules:
            return NO_OPINION
        for level in Level:
            lists = policy.lists(level)
            rules = policy.rules[level]
            if lists and senders.matches(lists.allow, level, facts, is_allow=True) != "":
                return NO_OPINION
            if any(rule.conditions.match(facts, is_allow=True) is not False for rule in rules if not rule.blocks):
                return NO_OPINION
            for rule in rules:
                if rule.blocks and rule.conditions.match(facts):
                    return people.blocked_by(rule)
            if lists and (found := senders.matches(lists.block, level, facts, is_allow=False)):
                return senders.blocked_by(level, found)
        return NO_OPINION
