"""Size as declared at MAIL (RFC 1870): refused before a single octet of it is sent."""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.checks.size import SizeOptions
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict


@implementer(IRule)
class DeclaredSize(Rule):
    """Refuses a sender who announces more than `max_size` octets (reason size)."""

    stage = Stage.SENDER
    kind = Kind.POLICY
    scope = Scope.MESSAGE
    on_error = OnError.DEFER
    Options = SizeOptions

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if facts.sender is not None and facts.sender.size is not None and facts.sender.size > self.options.max_size:
            return Verdict(ruling=Ruling(Action.REJECT, "size"))
        return NO_OPINION
