"""What rules over content have in common: asked once for the message at CONTENT, an opinion that may be left out, notes that become findings."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.mail.message import Message
from jetmail.rules.analysis import maps
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores, Symbol
from jetmail.rules.verdict import NO_OPINION, Finding, Kind, OnError, Scope, Stage, Verdict

MAX_NOTES = 60


class Notes:
    """What one rule found in one message, a symbol at most once."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._found: dict[str, Finding] = {}
        self.dilution = 1.0  # what every factor is multiplied with

    def add(self, word: str, detail: str = "", factor: float = 1.0) -> None:
        """Note a symbol; `detail` for the log, `factor` for how sure it is. A second note of the same symbol changes nothing."""
        if word not in self._found and len(self._found) < MAX_NOTES:
            self._found[word] = self._scores.finding(word, detail, factor * self.dilution)

    def verdict(self, most: float) -> Verdict:
        """The findings as a rule's answer. Where they come to more than `most`, each counts for less: many signs of one kind are still one kind. A
        weight that somebody has set higher than that stands: it was meant."""
        if not self._found:
            return NO_OPINION
        most = max(most, *(finding.score for finding in self._found.values()))
        total = sum(finding.score for finding in self._found.values())
        if total <= most:
            return Verdict(tuple(self._found.values()))
        return Verdict(tuple(Finding(each.symbol, round(each.score * most / total, 2), each.detail) for each in self._found.values()))


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """`most`: what the findings of the rule may come to in all."""

    most: float = 4.5

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 100:
            raise ValueError("most: must be a number from 0 to 100")


class ContentRule(Rule):
    """A rule that reads the message and only ever adds findings. A subclass states SYMBOLS and says what it notes."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    on_error = OnError.SKIP
    Options = ContentOptions
    SYMBOLS: tuple[Symbol, ...] = ()

    def bind(self, services: RuleServices) -> None:
        """Take the weights in force and the maps."""
        self.scores = services.scores
        self.hostname = services.hostname
        self.maps = maps.load(services.etc)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        if facts.message is None:
            return NO_OPINION
        notes = Notes(self.scores)
        self.note(notes, facts, policy, facts.message)
        return notes.verdict(self.options.most)

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """What the rule finds."""
        raise NotImplementedError
