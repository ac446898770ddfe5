"""GTUBE, the test string every filter knows (spamassassin.apache.org/gtube), and its milder variants as rspamd has them: thresholds seen working.

Only ever adds to the score. The variants are off unless asked for, because they are of use in a test and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Finding, Kind, OnError, Scope, Stage, Verdict

_COMMON = b"JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
_VARIANTS = {b"Y": "spam_score", b"Z": "defer_score", b"A": "no_score"}


@dataclass(frozen=True, slots=True)
class GtubeOptions:
    """Scores of the standard string (XJS...), and with `variants` of YJS... (spam), ZJS... (defer) and AJS... (a finding only)."""

    reject_score: float = 100.0
    variants: bool = False
    spam_score: float = 8.0
    defer_score: float = 5.0
    no_score: float = 0.0


@implementer(IRule)
class Gtube(Rule):
    """Adds the finding GTUBE when the string stands in the message as sent."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    on_error = OnError.SKIP
    Options = GtubeOptions

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class. Only the first part of a large message is looked at."""
        if facts.message is None or (place := facts.message.octets.find(_COMMON)) < 1:
            return NO_OPINION
        letter = facts.message.octets[place - 1 : place]
        if letter == b"X":
            return Verdict((Finding("GTUBE", self.options.reject_score),))
        if self.options.variants and letter in _VARIANTS:
            return Verdict((Finding("GTUBE", getattr(self.options, _VARIANTS[letter]), f"variant {letter.decode()}"),))
        return NO_OPINION
