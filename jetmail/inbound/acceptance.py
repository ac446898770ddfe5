"""From a settled judgement to what is stored: pure. Which header fields go on top, which delivery gets which status, and the NewMessage values.

One message is stored once, whatever its number of recipients, unless recipients are to see different header fields (a spam mark for one domain,
none for another): then once for each different header.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jetmail.mail.envelope import Sender
from jetmail.mail.message import Edits, Message
from jetmail.mail.status import Status
from jetmail.mailauth import authres
from jetmail.rules.facts import Client, RecipientFacts
from jetmail.rules.settlement import CLEAN, Settlement
from jetmail.rules.verdict import REASONS, Action, Finding, Opinion, Ruling, Verdict
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

OURS = frozenset({b"x-spam", b"x-spam-score", b"x-spam-symbols"})  # nobody else may say these to the people behind us
CLAIMS = frozenset({b"authentication-results", b"received-spf"})
MAX_SYMBOLS = 40  # in the header field; the store has all
MAX_FINDINGS = 200


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient refused at RCPT: part of the message's record, never of its envelope."""

    address: str
    domain: str
    ruling: Ruling
    opinions: tuple[Opinion, ...]


class Group(NamedTuple):
    """Recipients (by place) who see the same header. `header` goes below our Received."""

    members: tuple[int, ...]
    header: bytes
    score: float


def score_of(opinions: Iterable[Opinion], index: int | None) -> float:
    """The sum of findings about everybody and about the recipient at that place."""
    total = 0.0
    for opinion in opinions:
        if opinion.recipient is None or opinion.recipient == index:
            for finding in opinion.verdict.findings:
                total += finding.score
    return round(total, 3)


def groups(settlement: Settlement, opinions: Sequence[Opinion], is_scored: bool) -> list[Group]:
    """Who gets which header. `is_scored`: X-Spam fields are wanted at all (not on what our own users send)."""
    count = len(settlement.rulings)
    if not opinions:
        return [Group(tuple(range(count)), b"X-Spam-Score: 0.00\r\n" if is_scored else b"", 0.0)]
    found: dict[tuple[bytes, float], list[int]] = {}
    refused: list[int] = []
    for index, ruling in enumerate(settlement.rulings):
        if ruling.action is Action.REJECT and not ruling.keeps:
            refused.append(index)  # gets no copy, so its header parts nobody from anybody
        else:
            score = score_of(opinions, index)
            found.setdefault((_header(opinions, index, ruling, score, is_scored), score), []).append(index)
    made = [Group(tuple(members), header, score) for (header, score), members in found.items()]
    if not made:
        return [Group(tuple(refused), b"", max(score_of(opinions, index) for index in refused))]
    first = made[0]
    made[0] = Group(tuple(sorted([*first.members, *refused])), first.header, first.score)
    return made


def _header(opinions: Iterable[Opinion], index: int, ruling: Ruling, score: float, is_scored: bool) -> bytes:
    symbols: dict[str, None] = {}
    lines: list[str] = []
    for opinion in opinions:
        if opinion.recipient is None or opinion.recipient == index:
            lines += opinion.verdict.headers
            symbols |= dict.fromkeys(finding.symbol for finding in opinion.verdict.findings)
    if is_scored:
        lines.append(f"X-Spam-Score: {score:.2f}")
        if symbols:
            lines.append("X-Spam-Symbols: " + ",\r\n\t".join(list(symbols)[:MAX_SYMBOLS]))
        if ruling.action is Action.MARK:
            lines.append("X-Spam: Yes")
    return "".join(line + "\r\n" for line in lines).encode("ascii", "replace")


def edits(received: bytes, group: Group, hostname: str, removes: frozenset[bytes] = OURS) -> Edits:
    """What is done to the header block for one group. Results of authentication that a stranger wrote in our name go (RFC 8601 5)."""
    return Edits(removes, lambda name, field: name in CLAIMS and authres.is_forged(name, field, hostname), received + group.header)


def deliveries(recipients: Sequence[RecipientFacts], settlement: Settlement, group: Group) -> tuple[NewDelivery, ...]:
    """The deliveries of one group, one for each target of those that go on."""
    made: list[NewDelivery] = []
    for index in group.members:
        recipient, ruling = recipients[index], settlement.rulings[index]
        envelope, address = recipient.recipient, recipient.address
        if ruling.action is Action.REJECT and not ruling.keeps:
            made.append(_final(str(address), address.domain, ruling))
            continue
        status = Status.SPAM if ruling.keeps else Status.QUARANTINED if ruling.action is Action.QUARANTINE else Status.QUEUED
        reason = "" if ruling is CLEAN else ruling.reason
        reply = str(ruling.public_reply) if ruling.keeps else ""
        for target in recipient.targets:
            made.append(
                NewDelivery(
                    str(address), address.domain, str(target), target.domain, status, reason, reply, envelope.notify, envelope.orcpt, ruling.keeps
                )
            )
    return tuple(made)


def refusals(refused: Iterable[Refused]) -> tuple[NewDelivery, ...]:
    """The deliveries of recipients refused at RCPT."""
    return tuple(_final(item.address, item.domain, item.ruling) for item in refused)


def _final(address: str, domain: str, ruling: Ruling) -> NewDelivery:
    status = REASONS[ruling.reason].status or Status.REJECTED
    return NewDelivery(address, domain, address, domain, status, ruling.reason, str(ruling.public_reply))


def findings(opinions: Iterable[Opinion], recipients: Sequence[RecipientFacts] = (), refused: Iterable[Refused] = ()) -> str:
    """Every opinion as JSON, for the question "why": who said what, about whom. What one rule found of each of several recipients alike is said once,
    of all of them. `refused`: recipients that are not among `recipients` any more."""
    items: list[dict[str, object]] = []
    if len(recipients) > 1:
        opinions = _found_of_all(opinions, len(recipients))
    named = [(opinion, _named(opinion, recipients)) for opinion in opinions]
    named += [(opinion, item.address) for item in refused for opinion in item.opinions]
    for opinion, recipient in named:
        about: dict[str, object] = {"rule": opinion.rule, "recipient": recipient} if recipient else {"rule": opinion.rule}
        verdict = opinion.verdict
        items += [{"symbol": finding.symbol, "score": finding.score, "detail": finding.detail, **about} for finding in verdict.findings]
        if verdict.ruling is not None:
            items.append({"symbol": verdict.ruling.action.name, "score": 0.0, "detail": verdict.ruling.reason, **about})
        if verdict.trusts:
            items.append({"symbol": "TRUSTED", "score": 0.0, "detail": "", **about})
    return json.dumps(items[:MAX_FINDINGS], ensure_ascii=False, separators=(",", ":")) if items else "[]"


def _found_of_all(opinions: Iterable[Opinion], count: int) -> list[Opinion]:
    """The opinions, with what each of the `count` recipients has alike said once, at its first place."""
    opinions = list(opinions)
    times = Counter((each.rule, each.verdict.findings) for each in opinions if each.recipient is not None and each.verdict.findings)
    made: list[Opinion] = []
    told: set[tuple[str, tuple[Finding, ...]]] = set()
    for opinion in opinions:
        key = opinion.rule, opinion.verdict.findings
        if opinion.recipient is None or times[key] < count:
            made.append(opinion)
            continue
        if key not in told:
            told.add(key)
            made.append(replace(opinion, recipient=None, verdict=Verdict(opinion.verdict.findings)))
        if opinion.verdict.ruling is not None or opinion.verdict.trusts:
            made.append(replace(opinion, verdict=replace(opinion.verdict, findings=())))
    return made


def _named(opinion: Opinion, recipients: Sequence[RecipientFacts]) -> str:
    index = opinion.recipient
    return str(recipients[index].address) if index is not None and index < len(recipients) else ""


def new_message(
    *,
    uid: str,
    client: Client,
    sender: Sender,
    time: float,
    message: Message | None,
    content: Content | None,
    deliveries: tuple[NewDelivery, ...],
    response: str,
    score: float | None,
    findings: str,
    claimed: bool = False,
    first_retry: float = 0.0,
) -> NewMessage:
    """The row of a message and those of its deliveries."""
    header_from, subject, message_id, size = "", "", "", sender.size or 0
    if message is not None:
        address = message.sender.address
        header_from, subject, message_id = str(address) if address is not None else "", message.subject, message.message_id
        size = content.size if content is not None else message.size
    return NewMessage(
        uid, "outbound" if client.user else "inbound", time, str(sender), size, content, deliveries, header_from, subject, message_id, client.address,
        client.port, client.helo, client.tls, client.user, client.listener, sender.body, sender.smtputf8, sender.ret, sender.envid, sender.requiretls,
        score, findings, response, claimed, first_retry,
    )  # fmt: skip
