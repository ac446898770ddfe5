"""Mail from people our own people have written to: expected, so it weighs less. Their address is easily forged, so not when something says it is."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Correspondent, Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import symbols
from jetmail.rules.verdict import NO_OPINION, Kind, OnError, Scope, Stage, Verdict

_WORDS = {Correspondent.OF_RECIPIENT: "KNOWN_CORRESPONDENT", Correspondent.OF_DOMAIN: "KNOWN_TO_DOMAIN"}
EXPECTED = frozenset(_WORDS.values())  # what says that mail is from somebody our people have written to


@dataclass(frozen=True, slots=True)
class CorrespondentOptions:
    """`unless`: symbols that say that the sender is not who the message says; with one of them nothing is found."""

    unless: tuple[str, ...] = ("SPF_FAIL", "DMARC_FAIL", "DMARC_QUARANTINE", "DMARC_REJECT", "DMARC_PERMERROR")


@implementer(IRule)
class Correspondents(Rule):
    """Takes something from the score when the recipient, or somebody of the recipient's domain, has written to whom this is from."""

    stage = Stage.JUDGEMENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP
    Options = CorrespondentOptions
    SYMBOLS = symbols(
        "Sender",
        ("KNOWN_CORRESPONDENT", -2.0, "You have written to this sender before."),
        ("KNOWN_TO_DOMAIN", -0.5, "Somebody of your domain has written to this sender before."),
    )

    def __init__(self, name: str, options: CorrespondentOptions) -> None:
        super().__init__(name, options)
        self._unless = frozenset(options.unless)

    def bind(self, services: RuleServices) -> None:
        """Needs the weights."""
        self._scores = services.scores

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        known = facts.recipient.correspondent if facts.recipient is not None else Correspondent.NONE
        if known is Correspondent.NONE:
            return NO_OPINION
        for opinion in facts.opinions:
            if any(finding.symbol in self._unless for finding in opinion.verdict.findings):
                return NO_OPINION
        return Verdict((self._scores.finding(_WORDS[known]),))
