"""The rule of the statistical filter: what it finds, for whom, and at what cost."""

from __future__ import annotations

from typing import Any

from jetmail.classifier.calibration import SEED_SPAM
from jetmail.classifier.classifier import Classifier
from jetmail.classifier.model import Model
from jetmail.classifier.overlay import EMPTY, Overlay
from jetmail.mail.message import Message
from jetmail.rules.checks.classifier import MAX_OVERLAYS, StatisticalFilter, person_of
from jetmail.rules.facts import Client, Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import NoOptions
from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import NO_OPINION, Verdict
from tests.classifier.samples import found, mail
from tests.rules.bound import bound
from tests.rules.samples import facts, recipient


class Counting(Classifier):
    """Counts how often a message is taken apart."""

    taken = 0

    def features(self, message: Message) -> Any:
        """One more."""
        self.taken += 1
        return super().features(message)


def model(count: int = 20, evidence: int = 500) -> Model:
    """One that knows the samples, as if it had learnt `evidence` of each kind."""
    model = Model.empty()
    for number in range(count):
        model.train(found(number, True), True)
        model.train(found(number, False), False)
    model.spam = model.ham = evidence
    return model


def rule(classifier: Classifier | None, **parts: Any) -> StatisticalFilter:
    """The rule, bound to it."""
    return bound(StatisticalFilter("classifier", NoOptions()), classifier=classifier, **parts)


def ask(asked: StatisticalFilter, octets: bytes, **more: Any) -> Verdict:
    """Its verdict of a message to bob."""
    return asked.judge(facts(Message(octets), **more), Policy())


def test_finds_spam_and_ham() -> None:
    """Either is one finding with its score and, for the log, its probability; a message it cannot tell is none."""
    asked = rule(Classifier(model()))
    spam, ham = ask(asked, mail(200, True)), ask(asked, mail(200, False))
    assert [(each.symbol, each.score) for each in spam.findings] == [("CLASSIFIER_SPAM", 8.0)]
    assert spam.findings[0].detail.startswith("probability 0.99") or spam.findings[0].detail.startswith("probability 1.0")
    assert [(each.symbol, each.score) for each in ham.findings] == [("CLASSIFIER_HAM", -4.0)]
    assert spam.ruling is None
    assert not spam.trusts
    assert ask(asked, b"\r\n") is NO_OPINION


def test_weights_are_those_in_force() -> None:
    """etc/scores.toml changes what it gives."""
    asked = rule(Classifier(model()), scores=Scores(StatisticalFilter.SYMBOLS, {"CLASSIFIER_SPAM": 5.0, "CLASSIFIER_HAM": 0.0}))
    assert ask(asked, mail(200, True)).findings[0].score == 5.0
    assert ask(asked, mail(200, False)) is NO_OPINION


def test_untaught_is_capped() -> None:
    """With nothing learnt here the score is the seed's at most."""
    assert ask(rule(Classifier(model(evidence=0))), mail(200, True)).findings[0].score == SEED_SPAM


def test_no_classifier() -> None:
    """Without one (a dry run) there is no opinion, and none about what our own users send."""
    assert ask(rule(None), mail(1, True)) is NO_OPINION
    asked = rule(Classifier(model()))
    assert asked.judge(Facts(0.0, Client("192.0.2.1", user="ann"), message=Message(mail(200, True))), Policy()) is NO_OPINION
    assert asked.judge(Facts(0.0, Client("192.0.2.1")), Policy()) is NO_OPINION


def test_each_person_their_own() -> None:
    """Of two recipients the one who taught the opposite is told the opposite, and the message is taken apart once."""
    general = model()
    thing = mail(200, True)
    own: Overlay = EMPTY
    for number in range(190, 230):
        own = own.trained(found(number, True), False, general)
    classifier = Counting(general, "", {"ann@demo.test": own}.get)
    asked = rule(classifier)
    message = Message(thing)
    ann, bob = recipient("Ann+shop@demo.test"), recipient("bob@demo.test", index=1)
    verdicts = [asked.judge(facts(message, to=(ann, bob), recipient=each), Policy()) for each in (ann, bob)]
    assert [verdict.findings[0].symbol for verdict in verdicts if verdict.findings][-1] == "CLASSIFIER_SPAM"
    assert verdicts[0] != verdicts[1]
    assert sum(finding.score for finding in verdicts[0].findings) < 3.0
    assert classifier.taken == 1


def test_cost_of_a_long_list() -> None:
    """Of a hundred recipients who all taught something, MAX_OVERLAYS are judged by it."""
    asked_for: list[str] = []
    own = EMPTY.trained(found(1, True), True, Model.empty())

    def overlay_of(person: str) -> Overlay:
        asked_for.append(person)
        return own

    asked = rule(Classifier(model(), "", overlay_of))
    message = Message(mail(200, True))
    everybody = tuple(recipient(f"p{number}@demo.test", index=number) for number in range(100))
    for each in everybody:
        asked.judge(facts(message, to=everybody, recipient=each), Policy())
    assert len(asked_for) == MAX_OVERLAYS


def test_person() -> None:
    """The person is the one mailbox behind the address, its tag gone and its case folded."""
    assert person_of(recipient("Ann+tag@demo.test")) == "ann@demo.test"
    assert person_of(recipient('"+odd"@demo.test')) == "+odd@demo.test"
