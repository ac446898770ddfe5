"""Whether the recipient exists, so that mail for nobody is refused at RCPT and never becomes a bounce to a stranger."""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DomainState, Policy, RecipientState
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import (
    NO_OPINION,
    Action,
    Finding,
    Kind,
    OnError,
    Ruling,
    Scope,
    Stage,
    Verdict,
)

_UNKNOWN = Verdict(ruling=Ruling(Action.REJECT, "unknown-recipient"))
_LOOP = Verdict((Finding("ALIAS_LOOP"),), Ruling(Action.REJECT, "loop"))


@implementer(IRule)
class KnownRecipient(Rule):
    """Refuses an address nobody has at a domain that lists its recipients (reason unknown-recipient), and an alias that only leads to itself
    (loop)."""

    stage = Stage.RECIPIENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    after = ("domain",)
    needs = ("domain",)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if policy.state is not DomainState.ACTIVE or policy.recipient is RecipientState.KNOWN:
            return NO_OPINION
        return _LOOP if policy.recipient is RecipientState.LOOP else _UNKNOWN
