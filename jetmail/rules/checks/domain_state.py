"""Whether the recipient's domain is one we take mail for: ours, verified, switched on. Who has logged in may write to any domain."""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DomainState, Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict

_DENIED = Verdict(ruling=Ruling(Action.REJECT, "relay-denied"))
_UNVERIFIED = Verdict((Finding("DOMAIN_UNVERIFIED"),), Ruling(Action.REJECT, "relay-denied"))
_DISABLED = Verdict(ruling=Ruling(Action.DEFER, "domain-disabled"))


@implementer(IRule)
class KnownDomain(Rule):
    """Refuses mail for domains that are not ours or not verified (reason relay-denied), defers mail for one that is switched off
    (domain-disabled)."""

    stage = Stage.RECIPIENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if policy.state is DomainState.ACTIVE:
            return NO_OPINION
        if policy.state is DomainState.DISABLED:
            return _DISABLED
        if facts.client.user:
            return NO_OPINION
        return _UNVERIFIED if policy.state is DomainState.UNVERIFIED else _DENIED
