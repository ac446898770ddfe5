"""Whether the recipient exists, so that mail for nobody is refused at RCPT and never becomes a bounce to a stranger.

By the appliance's own tables at once; where the domain wants it, by asking its destination (callout) or a directory (LDAP): see inbound.verification.
"""

from __future__ import annotations

from collections.abc import Awaitable

from zope.interface import implementer

from jetmail.interfaces import Existence, IRule
from jetmail.mail.address import Address
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DomainState, Policy, RecipientState
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict

_UNKNOWN = Verdict(ruling=Ruling(Action.REJECT, "unknown-recipient"))
_LOOP = Verdict((Finding("ALIAS_LOOP"),), Ruling(Action.REJECT, "loop"))
_LATER = Verdict(ruling=Ruling(Action.DEFER, "unverified-recipient"))
_FAULT = Verdict(ruling=Ruling(Action.DEFER, "fault"))
_SAID = {Existence.YES: NO_OPINION, Existence.NO: _UNKNOWN, Existence.UNKNOWN: _LATER, Existence.FAULT: _FAULT}


@implementer(IRule)
class KnownRecipient(Rule):
    """Refuses an address nobody has (reason unknown-recipient), where the domain lists its recipients or has them asked about, and an alias that only
    leads to itself (loop). What cannot be told now is deferred: unverified-recipient when the destination does not say, fault when we cannot ask."""

    stage = Stage.RECIPIENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    after = ("domain",)
    needs = ("domain",)
    timeout = 70.0  # beyond what asking may take, which decides
    _services: RuleServices | None = None

    def bind(self, services: RuleServices) -> None:
        """May have to ask."""
        self._services = services

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class."""
        if policy.state is not DomainState.ACTIVE or policy.recipient is RecipientState.KNOWN:
            return NO_OPINION
        if policy.recipient is RecipientState.UNVERIFIED:
            targets = facts.recipient.targets if facts.recipient is not None else ()
            return self._verify(policy.verify, targets[0]) if targets else _FAULT
        return _LOOP if policy.recipient is RecipientState.LOOP else _UNKNOWN

    def _verify(self, mode: str, address: Address) -> Verdict | Awaitable[Verdict]:
        verify = self._services.verify if self._services is not None else None
        if verify is None:
            return NO_OPINION  # a dry run: nobody is asked
        answer = verify(mode, address)
        return _SAID[answer] if isinstance(answer, Existence) else answer.addCallback(_SAID.__getitem__)
