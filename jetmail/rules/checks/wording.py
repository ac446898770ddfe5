"""What the text wants: accounts to confirm, wallets to connect, prizes to fetch, fortunes to share. Themes and expressions are in
etc/maps/wording.toml."""

from __future__ import annotations

import re

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.analysis import letters
from jetmail.rules.analysis.content import read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

_BITCOIN = re.compile(
    r"(?<![A-Za-z0-9])(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{25,60}|0x[0-9a-fA-F]{40}|T[1-9A-HJ-NP-Za-km-z]{33})(?![A-Za-z0-9])"
)

# What 1, 2, 3 ... expressions of a theme found are worth, as parts of its weight. One alone is a matter of chance for themes that borrow words of
# all days.
_WORTH = {
    "account": (0.7, 1.0, 1.3, 1.5),
    "wallet": (0.6, 1.0, 1.3, 1.5),
    "prize": (0.5, 1.0, 1.3, 1.5),
    "fund": (0.0, 0.2, 0.6, 1.0, 1.3, 1.5),
    "adult": (0.2, 1.0, 1.3),
    "extortion": (0.0, 0.5, 1.0, 1.4),
    "health": (0.35, 1.0, 1.3),
    "offer": (0.4, 0.8, 1.2, 1.5),
    "file": (0.4, 1.0),
    "court": (0.5, 1.0, 1.3),
    "parcel": (0.7, 1.0, 1.3),
}
_ANY = (1.0,)
LONG = 6_000  # characters; past that a text has room for every theme


@implementer(IRule)
class Wording(ContentRule):
    """Findings about themes of the text and the subject."""

    SYMBOLS = symbols(
        "Wording",
        ("WORDING_ACCOUNT", 1.5, "The message threatens an account, or wants one confirmed."),
        ("WORDING_WALLET", 2.0, "The message is after a wallet of digital money."),
        ("WORDING_PRIZE", 1.5, "The message promises a prize."),
        ("WORDING_FUND", 2.0, "The message speaks of a fortune to be shared."),
        ("WORDING_ADULT", 2.0, "The message advertises sex or acquaintances."),
        ("WORDING_EXTORTION", 2.0, "The message threatens to publish something."),
        ("WORDING_EXTORTION_COIN", 3.0, "The message threatens and names a wallet to pay to."),
        ("WORDING_HEALTH", 1.5, "The message advertises cures."),
        ("WORDING_PARCEL", 1.5, "The message wants something for a parcel nobody awaits."),
        ("WORDING_OFFER", 1.0, "The message is advertising of the pushing kind."),
        ("WORDING_COURT", 1.5, "The message frightens with courts or taxes."),
        ("WORDING_FILE", 0.7, "The message wants a document to be opened."),
        ("WORDING_GREETING", 0.6, "The message addresses nobody by name."),
        ("WORDING_PRESS", 0.6, "The message presses for a click, soon."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        head = " ".join(f"{letters.folded(content.name)}: {content.folded_subject} .".split())
        themes = self.maps.wording.themes(f"{head} {content.text}")
        dilution = 0.6 if len(content.structure.text) > LONG else 1.0
        for theme, count in themes.items():
            word = f"WORDING_{theme.upper()}"
            worth = _WORTH.get(theme, _ANY)
            if factor := worth[min(count, len(worth)) - 1]:
                notes.add(word, f"{count} signs", factor * dilution)
        if themes.get("extortion", 0) >= 2 and _BITCOIN.search(content.structure.text[:50_000]):
            notes.add("WORDING_EXTORTION_COIN")
