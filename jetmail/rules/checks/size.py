"""Size of what came: the message as a whole, and its header block. The listener stops a stream over its own limit before this is asked."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import MAX_FIELDS
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict


@dataclass(frozen=True, slots=True)
class SizeOptions:
    """`max_size`: octets of a message, header included; the default never says no before [smtp] max_message_size does."""

    max_size: int = 1 << 40

    def __post_init__(self) -> None:
        if self.max_size < 1024:
            raise ValueError("max_size: must be at least 1024 octets")


@implementer(IRule)
class MessageSize(Rule):
    """Refuses a message over `max_size` (reason size), and one whose header block passes the limits of mail.message (reason header)."""

    stage = Stage.CONTENT
    kind = Kind.POLICY
    scope = Scope.MESSAGE
    on_error = OnError.DEFER
    Options = SizeOptions

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        message = facts.message
        if message is None:
            return NO_OPINION
        if message.size > self.options.max_size:
            return Verdict(ruling=Ruling(Action.REJECT, "size"))
        if message.too_large or len(message.fields) >= MAX_FIELDS:
            return Verdict(ruling=Ruling(Action.REJECT, "header"))
        return NO_OPINION
