"""Mail that goes round in circles: by its Received fields (RFC 5321 6.3), and by how often it says it has reached this very recipient."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.trace import MAX_RECEIVED, count_delivered_to, count_received
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """`max_received`: Received fields a message may carry. `max_delivered_to`: Delivered-To fields that may name the recipient already; one is what a
    message resent by its reader has."""

    max_received: int = MAX_RECEIVED
    max_delivered_to: int = 1

    def __post_init__(self) -> None:
        if self.max_received < 5 or self.max_delivered_to < 1:
            raise ValueError("max_received must be at least 5, max_delivered_to at least 1")


@implementer(IRule)
class Loop(Rule):
    """Refuses a message that has passed too many hosts, or this recipient too often (reason loop)."""

    stage = Stage.CONTENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = LoopOptions

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        message, recipient = facts.message, facts.recipient
        if message is None or recipient is None:
            return NO_OPINION
        hops = count_received(message)
        if hops > self.options.max_received:
            return Verdict((Finding("LOOP", 0.0, f"{hops} Received fields"),), Ruling(Action.REJECT, "loop"))
        if (passes := count_delivered_to(message, recipient.address.key)) > self.options.max_delivered_to:
            return Verdict((Finding("LOOP", 0.0, f"delivered here {passes} times before"),), Ruling(Action.REJECT, "loop"))
        return NO_OPINION
