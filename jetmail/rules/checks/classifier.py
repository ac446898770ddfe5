"""What the statistical filter makes of the message, for everybody or as the recipient has taught it (design 6, docs/classifier.md).

The features of a message are taken once, whatever the number of its recipients; recipients who taught nothing share one assessment. Of several
recipients at most MAX_OVERLAYS are judged by what they taught themselves, so that a long list costs no more than a few messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.facts import Facts, RecipientFacts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import symbols
from jetmail.rules.verdict import NO_OPINION, Finding, Kind, OnError, Scope, Stage, Verdict

if TYPE_CHECKING:
    from jetmail.classifier.calibration import Assessment
    from jetmail.classifier.classifier import Classifier
    from jetmail.rules.symbols import Scores

MAX_OVERLAYS = 20


class _Judged:
    """The message judged last: rules are asked recipient by recipient."""

    __slots__ = ("features", "general", "message", "overlays")

    def __init__(self, message: Message, features: Any) -> None:
        self.message = message
        self.features = features
        self.general: Verdict | None = None
        self.overlays = 0


@implementer(IRule)
class StatisticalFilter(Rule):
    """Adds CLASSIFIER_SPAM or CLASSIFIER_HAM with a calibrated score; neither where it is not sure of anything."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP
    SYMBOLS = symbols(
        "Statistics",
        ("CLASSIFIER_SPAM", 8.0, "Looks like mail that was reported as spam."),
        ("CLASSIFIER_HAM", -4.0, "Looks like mail that is wanted here."),
    )

    _classifier: Classifier | None = None
    _scores: Scores
    _last: _Judged | None = None

    def bind(self, services: RuleServices) -> None:
        """Keep the classifier and the weights."""
        self._classifier = services.classifier
        self._scores = services.scores

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        classifier, message = self._classifier, facts.message
        if classifier is None or message is None or facts.client.user:
            return NO_OPINION  # our own people's mail is no sample of what strangers send
        last = self._last
        if last is None or last.message is not message:
            last = self._last = _Judged(message, classifier.features(message))
        if facts.recipient is not None and last.overlays < MAX_OVERLAYS:
            overlay = classifier.overlay_of(person_of(facts.recipient))
            if overlay is not None:
                last.overlays += 1
                return self._verdict(classifier.assess(last.features, overlay), ", as the recipient taught it")
        if last.general is None:
            last.general = self._verdict(classifier.assess(last.features), "")
        return last.general

    def _verdict(self, assessed: Assessment, told: str) -> Verdict:
        score = assessed.score(self._scores.weight("CLASSIFIER_SPAM"), self._scores.weight("CLASSIFIER_HAM"))
        if not score:
            return NO_OPINION
        word = "CLASSIFIER_SPAM" if assessed.is_spam else "CLASSIFIER_HAM"
        return Verdict((Finding(word, score, f"probability {assessed.probability:.4f}{told}"),))


def person_of(recipient: RecipientFacts) -> str:
    """Whose trainings count for a recipient: the one mailbox behind the address, else the address itself, without a +tag."""
    address = recipient.targets[0] if len(recipient.targets) == 1 else recipient.address
    return address.untagged.key
