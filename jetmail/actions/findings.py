"""Why a message was judged so, in sentences people read: the opinions stored with it, each with the public explanation of its symbol.

What a finding says of one recipient is shown to who may see that recipient. Detail is private to the people who may see the message. A symbol nobody
explains (a third party's, one of an older version) is shown by its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import REASONS, Action

TRUSTED = "TRUSTED"
_RULINGS = {
    Action.PASS.name: "let through",
    Action.MARK.name: "delivered with a spam mark",
    Action.QUARANTINE.name: "held back",
    Action.DEFER.name: "asked to come again later",
    Action.REJECT.name: "refused",
}

# What is no opinion and so has no weight in etc/scores.toml.
_DECIDED = {
    "ALLOW_RULE": "A rule of the recipient's people lets it through.",
    "BLOCK_RULE": "A rule of the recipient's people refuses it.",
    "ALLOW_LIST": "The sender or the sending host is on an allow list.",
    "BLOCK_LIST": "The sender or the sending host is on a block list.",
    "CLIENT_REFUSED": "The sending host may not connect here.",
    "LOCKDOWN": "The owner of the sender's domain lets other users send, or this one from other networks (Domain Lockdown).",
    "LOCKDOWN_UNKNOWN": "DNS could not tell whom the owner of the sender's domain lets send.",
    "LOOP": "The message has been here before, or goes in circles.",
    "ALIAS_LOOP": "The recipient's aliases lead to one another in a circle.",
    "DOMAIN_UNVERIFIED": "Nobody has shown yet that the recipient's domain is theirs.",
    "ATTACHMENT_POLICY": "The recipient's domain does not take attached files of this kind.",
    "RECIPIENT_SUPPRESSED": "Mail to the recipient came back, or was complained of, before.",
    "SENDER_BLOCKED": "The sending user is over a limit.",
    "SENDER_NOT_OWNED": "The person who signed in may not use this address.",
    "SENDER_NOT_ALLOWED": "The sending user may not send from this address.",
    "SENDER_WITHOUT_SPF": "The sender's domain has not published that we may send for it.",
    "GTUBE": "The message has the text every filter takes for spam, which is there to try it.",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """`text` is the public sentence, '' where nobody has one; `recipient` '' when it is about everybody. `is_ruling`: not a fact but what a rule
    wanted done."""

    symbol: str
    score: float
    text: str
    detail: str
    rule: str
    recipient: str
    is_ruling: bool = False


def explain(stored: Iterable[Any], scores: Scores, recipients: Sequence[str] | None = None) -> tuple[Explained, ...]:
    """The opinions of a message, heaviest first, then in the order of the chain, rulings last. `recipients`:
    whose rows the reader sees, None: all."""
    found = []
    for item in stored:
        if not isinstance(item, Mapping) or not isinstance(item.get("symbol"), str):
            found.append(Explained("?", 0.0, "This finding is damaged.", str(item)[:500], "", ""))
            continue
        recipient = str(item.get("recipient") or "")
        if recipient and recipients is not None and recipient not in recipients:
            continue
        found.append(_explained(item, recipient, scores))
    return tuple(sorted(found, key=lambda each: (each.is_ruling, -abs(each.score))))


def unexplained(stored: Iterable[Any], recipients: Sequence[str] | None = None) -> tuple[Explained, ...]:
    """The same where no symbols are known."""
    return explain(stored, Scores(()), recipients)


def _explained(item: Mapping[str, Any], recipient: str, scores: Scores) -> Explained:
    symbol, detail, rule = str(item["symbol"]), str(item.get("detail") or ""), str(item.get("rule") or "")
    score = item.get("score", 0)
    score = float(score) if isinstance(score, int | float) else 0.0
    if symbol == TRUSTED:
        return Explained(symbol, score, "A person's own rule or list lets it through: scores do not count.", detail, rule, recipient, True)
    if symbol in _RULINGS:
        reason = REASONS.get(detail)
        why = f"{reason.meaning} ({reason.word})" if reason else detail
        return Explained(symbol, score, f"To be {_RULINGS[symbol]}: {why}.", "", rule, recipient, True)
    return Explained(symbol, score, scores.explain(symbol) or _DECIDED.get(symbol, ""), detail, rule, recipient)
