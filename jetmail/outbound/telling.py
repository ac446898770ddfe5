"""Lines in the process's own log: what became of each recipient of a message, and the reports about it.

One line a recipient and attempt, at level info: `delivered`, `deferred`, `held` or `rejected`, with the message's uid, who gave the last word and
how it was reached. Mail that ends without an attempt (expired behind a destination that is down, sent back) is `rejected` too; a report is a line of
its own that names both messages. Raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import Logger

from jetmail.mail.outcome import Outcome
from jetmail.mail.status import Status
from jetmail.outbound.ending import FAULT, Ended
from jetmail.outbound.lane import Item

_log = Logger()


def ended(item: Item, outcomes: Mapping[int, Outcome], end: Ended) -> None:
    """An attempt is over: a line for each of its recipients, and one for each report."""
    uid = item.facts.uid
    for due, wrote in zip(item.deliveries, end.attempted, strict=True):
        if wrote.status is Status.DELIVERED:
            what, next_attempt = "delivered", None
        elif wrote.status is Status.QUEUED:
            what, next_attempt = ("held" if wrote.held else "deferred"), round(wrote.next_attempt)
        else:
            what, next_attempt = "rejected", None
        outcome = outcomes.get(due.id, FAULT)
        fields: dict[str, object] = {"uid": uid, "recipient": due.recipient, "reason": wrote.reason, "reply": wrote.reply}
        if due.target != due.recipient:
            fields["target"] = due.target
        if outcome.address:
            fields |= {"address": outcome.address, "port": outcome.port}
            if outcome.host != outcome.address:
                fields["host"] = outcome.host
        if outcome.tls:
            fields |= {"tls": outcome.tls, "verified": outcome.verified}
        fields |= {"duration": round(outcome.duration, 3), "attempt": due.attempts}
        if next_attempt is not None:
            fields["next"] = next_attempt
        _log.info(what, **fields)
    reported(item, end)


def returned(item: Item, end: Ended) -> None:
    """It ended, or its sender was told that it is late, without an attempt."""
    for due, wrote in zip(item.deliveries, end.attempted, strict=True):
        if wrote.status is Status.REJECTED:
            _log.info("rejected", uid=item.facts.uid, recipient=due.recipient, reason=wrote.reason, reply=wrote.reply, attempt=due.attempts)
    reported(item, end)


def reported(item: Item, end: Ended) -> None:
    """What its sender is told."""
    for report in end.reports:
        _log.info("report", uid=item.facts.uid, report=report.uid, recipient=item.facts.sender, subject=report.subject)
