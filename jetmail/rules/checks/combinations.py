"""Findings that mean little alone and much together. Reads what the other rules over content found; one symbol for each kind of deceit."""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

_WORN_NAME = frozenset(
    """
    FROM_BRAND FROM_BRAND_IMITATED FROM_BRAND_HOST FROM_NAME_ADDRESS FROM_NAME_OWN FROM_ROLE_FREE_MAIL SUBJECT_BRAND SUBJECT_BRAND_IMITATED
    TEXT_BRAND_IMITATED FROM_BRAND_MENTION
    """.split()
)
_DEMAND = frozenset(
    """
    WORDING_ACCOUNT WORDING_WALLET WORDING_PARCEL WORDING_COURT WORDING_FILE WORDING_PRIZE
    """.split()
)
_BAD_ROAD = frozenset(
    """
    URL_ADDRESS URL_SHORTENER URL_HOSTING URL_REDIRECTOR URL_RISKY_SUFFIX URL_RANDOM_HOST URL_HIDDEN_FOLDER URL_BRAND_HOST URL_HOMOGRAPH
    LINK_TEXT_BRAND LINKS_NOT_THE_BRAND URL_CREDENTIALS URL_RECIPIENT_FRAGMENT URL_ENCODED HTML_FORM_PASSWORD
    """.split()
)
_FAR_ANSWER = frozenset(
    """
    REPLY_TO_FREE_MAIL REPLY_TO_OTHER_FREE_MAIL LINKS_ANSWER_FREE_MAIL
    """.split()
)
_UNASKED = frozenset(
    """
    TO_HIDDEN TO_MISSING TO_SENDER TO_INVALID TO_OTHERS
    """.split()
)
_LURE = frozenset(
    """
    WORDING_ADULT WORDING_PRIZE WORDING_HEALTH WORDING_OFFER WORDING_WALLET
    """.split()
)
# Below this a theme is mentioned, not pursued.
_STRONG = {"WORDING_FUND": 1.2, "WORDING_ADULT": 1.2, "WORDING_HEALTH": 1.0, "WORDING_PRIZE": 0.7, "WORDING_OFFER": 0.8, "WORDING_FILE": 0.7}
_DISGUISE = frozenset(
    """
    FROM_NAME_MIXED FROM_NAME_STYLED FROM_NAME_INVISIBLE FROM_NAME_NOISE FROM_NAME_PICTURES SUBJECT_MIXED SUBJECT_STYLED SUBJECT_INVISIBLE
    SUBJECT_GAPPED TEXT_MIXED TEXT_STYLED TEXT_INVISIBLE HTML_LETTER_NUMBERS HTML_HIDDEN_TEXT SUBJECT_REPLY_FAKED FROM_RANDOM_DOMAIN
    FROM_RANDOM_LOCAL SUBJECT_ADDRESS
    """.split()
)


@implementer(IRule)
class Combinations(ContentRule):
    """Findings about findings."""

    SYMBOLS = symbols(
        "Deceit",
        ("DECEIT_BRAND", 2.0, "Somebody wears a company's name and wants something done about an account."),
        ("DECEIT_ROAD", 1.5, "A demand comes with a link of the kind that hides where it leads."),
        ("DECEIT_FUND", 2.0, "A fortune is offered, and the answer is to go to another address or came to many."),
        ("DECEIT_ANSWER", 1.5, "Answers go to a free mail account, and the message went to many or wants something."),
        ("DECEIT_LURE", 1.5, "A lure comes in disguise."),
        ("DECEIT_LURE_ROAD", 1.2, "A lure comes with a link of the kind that hides where it leads."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        found = {finding.symbol: finding.score for opinion in facts.opinions if opinion.recipient is None for finding in opinion.verdict.findings}
        found = {word: score for word, score in found.items() if not word.startswith("WORDING_") or score >= _STRONG.get(word, 0.0)}
        worn, demand = found.keys() & _WORN_NAME, found.keys() & _DEMAND
        # One odd link among many (the rule has made little of it) is no road.
        road = {word for word in found.keys() & _BAD_ROAD if found[word] >= 0.55 * self.scores.weight(word)}
        if worn and demand:
            notes.add("DECEIT_BRAND", f"{min(worn)}, {min(demand)}")
        if road and demand - {"WORDING_FILE"} and (worn or "WORDING_PRESS" in found or "WORDING_GREETING" in found):
            notes.add("DECEIT_ROAD", f"{min(road)}, {min(demand)}")
        if "WORDING_FUND" in found and found.keys() & (_FAR_ANSWER | _UNASKED | {"FROM_NAME_TITLE"}):
            notes.add("DECEIT_FUND")
        if found.keys() & _FAR_ANSWER and (found.keys() & (_UNASKED - {"TO_OTHERS"}) or demand):
            notes.add("DECEIT_ANSWER")
        lure = found.keys() & _LURE
        if lure - {"WORDING_OFFER"} and found.keys() & _DISGUISE:
            notes.add("DECEIT_LURE", f"{min(lure)}, {min(found.keys() & _DISGUISE)}")
        if lure and road:
            notes.add("DECEIT_LURE_ROAD", f"{min(lure)}, {min(road)}")
