"""From opinions to decisions: `settle` gives one Ruling per recipient and the one Reply SMTP allows (spec 10.3.5 and 10.4). Pure.

For one recipient, highest first
1. POLICY rulings. Nothing silences them.
2. LIST opinions by level: the first level with one decides; allow beats block within it. Trust silences FILTER rulings and lists below.
3. FILTER rulings.
Of what is left the harsher action stands; between equals the higher of the three, then the level, then the order of the chain. So the result
does not depend on the order in which opinions arrived.

For the message: all refused is a 5xx, all deferred a 4xx, anything mixed a 250 where each recipient has its own ruling; a deferral for a score that
cannot be said to all recipients becomes a mark. A deferral for any other reason is a fault of ours or a promise to a bounce: then the whole
message is deferred, because the sender still has it and nobody loses anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jetmail.mail.reply import Reply
from jetmail.rules.verdict import REASONS, Action, Kind, Level, Opinion, Ruling

CLEAN = Ruling(Action.PASS, "clean")
FAULT = Ruling(Action.DEFER, "fault")
SUSPECT_MARK = Ruling(Action.MARK, "suspect")

_RANK = {Kind.POLICY: 0, Kind.LIST: 1, Kind.FILTER: 2}


class Settlement(NamedTuple):
    """`rulings` has one entry per recipient, in the order of the envelope. `accepted`: the message is taken for at least one of them, and `reply`
    is a 250."""

    rulings: tuple[Ruling, ...]
    reply: Reply
    accepted: bool


def rule_for(opinions: Iterable[Opinion], index: int | None) -> Ruling:
    """The ruling for the recipient at that place (None: for what concerns everybody)."""
    candidates: list[Opinion] = []
    by_level: dict[Level, tuple[bool, list[Opinion]]] = {}
    filters: list[Opinion] = []
    for opinion in opinions:
        if opinion.recipient is not None and opinion.recipient != index:
            continue
        verdict = opinion.verdict
        if opinion.kind is Kind.LIST:
            if verdict.trusts or verdict.ruling is not None:
                trusts, said = by_level.get(opinion.level, (False, []))
                by_level[opinion.level] = (trusts or verdict.trusts, [*said, opinion] if verdict.ruling is not None else said)
        elif verdict.ruling is not None:
            (candidates if opinion.kind is Kind.POLICY else filters).append(opinion)
    trusted = False
    if by_level:
        trusted, said = by_level[min(by_level)]
        if not trusted:
            candidates += said
    if not trusted:
        candidates += filters
    if not candidates:
        return CLEAN
    best = min(candidates, key=_precedence)
    assert best.verdict.ruling is not None
    return best.verdict.ruling


def settle(opinions: Iterable[Opinion], count: int) -> Settlement:
    """Opinions about a message with `count` recipients (at least one) -> Settlement."""
    said = [opinion for opinion in opinions if opinion.verdict.ruling is not None or opinion.verdict.trusts]
    if not said:
        return Settlement((CLEAN,) * count, REASONS["clean"].reply, True)
    rulings = [rule_for(said, index) for index in range(count)]
    if all(ruling.action is Action.REJECT for ruling in rulings):
        return Settlement(tuple(rulings), rulings[0].public_reply, False)
    for ruling in rulings:
        if ruling.action is Action.DEFER and ruling.reason != "greylist":
            return Settlement(tuple(rulings), ruling.public_reply, False)
    if all(ruling.action is Action.DEFER for ruling in rulings):
        return Settlement(tuple(rulings), rulings[0].public_reply, False)
    settled = tuple(SUSPECT_MARK if ruling.action is Action.DEFER else ruling for ruling in rulings)
    return Settlement(settled, REASONS["clean"].reply, True)


def _precedence(opinion: Opinion) -> tuple[int, int, int, int, str]:
    ruling = opinion.verdict.ruling
    assert ruling is not None
    return -ruling.action, _RANK[opinion.kind], opinion.level, opinion.order, ruling.reason
