"""Connection policy: addresses that may not speak to us at all, by the sysadmin's word in etc/. How many may, and how fast, is the listener's
business."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.lists import Networks, parse_range
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """`refuse`: addresses, networks (`192.0.2.0/24`) and ranges (`192.0.2.1-192.0.2.9`) that are turned away; `except_for`: parts of them that are
    not."""

    refuse: tuple[str, ...] = ()
    except_for: tuple[str, ...] = ()


@implementer(IRule)
class RefusedClients(Rule):
    """Refuses the connection of a listed address (reason client). Not overruled by any allow rule."""

    stage = Stage.CONNECT
    kind = Kind.POLICY
    scope = Scope.MESSAGE
    on_error = OnError.DEFER
    Options = ClientOptions

    def __init__(self, name: str, options: ClientOptions) -> None:
        super().__init__(name, options)
        self._refused = Networks(parse_range(text) for text in options.refuse)
        self._refuses = bool(self._refused)
        self._excepted = Networks(parse_range(text) for text in options.except_for)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if not self._refuses:
            return NO_OPINION
        address = facts.client.ip
        if address in self._refused and address not in self._excepted:
            return Verdict((Finding("CLIENT_REFUSED", 0.0, facts.client.address),), Ruling(Action.REJECT, "client"))
        return NO_OPINION
