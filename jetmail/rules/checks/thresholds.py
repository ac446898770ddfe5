"""From score to action: the thresholds of the recipient's domain over those given here (spec 6.7, 10.3). An ordinary rule.

At or over `reject` the message is refused, at or over `spam` it is held or marked as the domain chose, at or over `defer` it is greylisted: deferred
at first contact of this (network, sender, recipient) and taken once `delay` has passed; whom our people have written to need not wait, when the rule
`correspondents` believes that it is them. 999 switches a threshold off.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.checks.correspondents import EXPECTED
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DISABLED_SCORE, Policy, SpamAction
from jetmail.rules.policy import Thresholds as Scores
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict

_REFUSED = Verdict(ruling=Ruling(Action.REJECT, "spam"))
_REFUSED_AND_KEPT = Verdict(ruling=Ruling(Action.REJECT, "spam", keeps=True))
_HELD = Verdict(ruling=Ruling(Action.QUARANTINE, "suspect"))
_MARKED = Verdict(ruling=Ruling(Action.MARK, "suspect"))
_DEFERRED = Verdict(ruling=Ruling(Action.DEFER, "greylist"))


@dataclass(frozen=True, slots=True)
class ThresholdOptions:
    """The appliance's scores, where neither its settings nor the domain's say otherwise; `delay` seconds until a greylisted sender is believed."""

    reject: float = 15.0
    spam: float = 6.0
    defer: float = 4.0
    delay: float = 290.0

    def __post_init__(self) -> None:
        for name in ("reject", "spam", "defer"):
            if not 0 <= getattr(self, name) <= DISABLED_SCORE:
                raise ValueError(f"{name}: must be a score from 0 to 999")
        if not 0 <= self.delay <= 86_400:
            raise ValueError("delay: must be from 0 to 86400 seconds")


@implementer(IRule)
class Thresholds(Rule):
    """Refuses (reason spam), holds or marks (suspect), or defers (greylist) by the sum of all findings' scores."""

    stage = Stage.JUDGEMENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = ThresholdOptions

    def __init__(self, name: str, options: ThresholdOptions) -> None:
        super().__init__(name, options)
        self._defaults = Scores(options.reject, options.spam, options.defer)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        score = facts.score()
        scores = policy.thresholds.over(self._defaults)
        if _reaches(score, scores.reject):
            return _REFUSED_AND_KEPT if policy.keep_spam else _REFUSED
        if _reaches(score, scores.spam):
            return _HELD if policy.spam_action is SpamAction.QUARANTINE else _MARKED
        if _reaches(score, scores.defer) and not _has_waited(facts, self.options.delay) and not _is_suspect(facts):
            return _DEFERRED
        return NO_OPINION


def _is_suspect(facts: Facts) -> bool:
    """Another filter holds or marks it for this recipient already (a DMARC policy): what is spam is not asked to come again first."""
    index = facts.recipient.index if facts.recipient is not None else None
    return any(
        opinion.kind is Kind.FILTER and opinion.recipient in (None, index) and (ruling := opinion.verdict.ruling) and ruling.reason == "suspect"
        for opinion in facts.opinions
    )


def _has_waited(facts: Facts, delay: float) -> bool:
    """It came back after its time, or is from somebody our people write to, who need not."""
    recipient = facts.recipient
    if recipient is None:
        return False
    if recipient.has_passed or _is_expected(facts, recipient.index):
        return True
    return recipient.first_seen is not None and facts.time - recipient.first_seen >= delay


def _is_expected(facts: Facts, index: int) -> bool:
    """Found to be from a correspondent: who only bears the name of one, and fails SPF or DMARC, is not."""
    return any(finding.symbol in EXPECTED for opinion in facts.opinions if opinion.recipient in (None, index) for finding in opinion.verdict.findings)


def _reaches(score: float, threshold: float | None) -> bool:
    return threshold is not None and threshold < DISABLED_SCORE and score >= threshold
