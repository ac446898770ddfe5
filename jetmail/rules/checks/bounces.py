"""Mail from the null sender is a report to one person (RFC 5321 3.6.3, 4.5.5): never to a crowd."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict


@dataclass(frozen=True, slots=True)
class BounceOptions:
    """`max_recipients` of one message from the null sender."""

    max_recipients: int = 1

    def __post_init__(self) -> None:
        if self.max_recipients < 1:
            raise ValueError("max_recipients: must be at least 1")


@implementer(IRule)
class BounceRecipients(Rule):
    """Defers every further recipient of a message from `<>` (reason bounce-recipients): an honest sender brings it again by itself."""

    stage = Stage.RECIPIENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = BounceOptions

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        is_null = facts.sender is not None and facts.sender.address is None
        if is_null and facts.recipient is not None and facts.recipient.index >= self.options.max_recipients:
            return Verdict(ruling=Ruling(Action.DEFER, "bounce-recipients"))
        return NO_OPINION
