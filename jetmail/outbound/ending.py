"""How an attempt ends: from outcomes to what is written and who is told. Pure but for the reports' ids; the clock is an argument.

Promises
- Delivered and refused end a delivery; anything else keeps it, due again by the schedule, until an attempt fails at or after the end of its lifetime.
- A message whose content is gone or damaged is set aside (held, reason 'content'): not looped, not returned, not deleted; people decide.
- A refusal of mail of our own users goes along with what it counts for against the recipient (`strike`), into the same transaction.
- Every attempt is an event with result, reason, reply, host, address, port, tls, verified and duration, and what the hosts before that one said;
  reports are events too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jetmail.interfaces import IEntropy
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.mail.status import Status
from jetmail.outbound import bounce, schedule
from jetmail.outbound.bounce import EXPIRED, Reporter
from jetmail.outbound.lane import Item
from jetmail.outbound.schedule import GiveUp, ScheduleOptions
from jetmail.store.traffic.deliveries import Attempted, Due, MessageFacts
from jetmail.store.traffic.messages import Content, NewMessage
from jetmail.store.traffic.suppressions import Strike

CONTENT = "content"
_as_json = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each call that wants one of its own
# A fault of ours that says nothing about the destination: 'deferred' is no host fault, so one bad message cannot put a lane down.
FAULT = Outcome(Result.LATER, "deferred", Reply(451, "4.3.0", "Internal error, see the log of this system"))
MISSING = Outcome(Result.LATER, CONTENT, Reply(451, "4.3.0", "The message's content is missing or damaged"))


class Ended(NamedTuple):
    """`attempted` and `reports` to be written together; `due` the next time one of them is to be tried, None when none is."""

    attempted: tuple[Attempted, ...]
    reports: tuple[NewMessage, ...] = ()
    due: float | None = None


# (now, user, address, the refusal, uid) -> what it is to count for.
Strikes = Callable[[float, str, str, Reply, str], Strike | None]
REFUSALS = frozenset({"refused", "null-mx"})  # said by the other side; anything else that ends a delivery is ours


class Endings:
    """See the module. Without `strikes` refusals count for nothing."""

    def __init__(self, options: ScheduleOptions, reporter: Reporter, entropy: IEntropy, strikes: Strikes | None = None) -> None:
        self._options = options
        self._reporter = reporter
        self._entropy = entropy
        self._strikes = strikes

    def attempt(self, now: float, item: Item, content: Content | None, outcomes: Mapping[int, Outcome]) -> Ended:
        """An attempt was made."""
        content_id = item.facts.content_id
        spool = content.spool if content is not None else ""
        if len(item.deliveries) == 1:  # the fast path: one recipient, delivered, nobody to tell
            due = item.deliveries[0]
            outcome = outcomes.get(due.id, FAULT)
            if outcome.result is Result.DELIVERED and not (outcome.relayed_without_dsn and due.notify):
                return Ended((_final(now, due, Status.DELIVERED, outcome, ("attempt", _detail(outcome)), content_id, spool),))
        written: list[tuple[Due, Outcome, float | None, bool]] = []
        failed: list[tuple[Due, Outcome]] = []
        late: list[tuple[Due, Outcome]] = []
        relayed: list[tuple[Due, Outcome]] = []
        until = 0.0
        for due in item.deliveries:
            outcome = outcomes.get(due.id, FAULT)
            next_attempt: float | None = None
            notified = False
            if outcome.result is Result.DELIVERED:
                relayed.append((due, outcome))
            elif outcome.result is Result.NEVER:
                failed.append((due, outcome))
            elif outcome.reason == CONTENT:
                next_attempt = now
            else:
                answer = schedule.next_attempt(self._options, due.queued, now, due.attempts, self._entropy.uniform())
                if isinstance(answer, GiveUp):
                    failed.append((due, bounce.expired(outcome)))
                else:
                    next_attempt = answer if not outcome.not_before else min(max(answer, outcome.not_before), due.queued + self._options.lifetime)
                    if schedule.is_late(self._options, due.queued, now) and bounce.wants_delay(item.facts, due):
                        late.append((due, outcome))
                        notified = True
                        until = due.queued + self._options.lifetime
            written.append((due, outcome, next_attempt, notified))
        reports, told = self._reports(now, item, content, failed, late, relayed, until)
        attempted = []
        for due, outcome, next_attempt, notified in written:
            attempt = ("attempt", _detail(outcome))
            if outcome.result is Result.DELIVERED:
                attempted.append(_final(now, due, Status.DELIVERED, outcome, attempt, content_id, spool))
            elif next_attempt is None:
                ended = EXPIRED if outcome.result is Result.LATER else outcome.reason
                final = _final(now, due, Status.REJECTED, outcome, attempt, content_id, spool, ended)
                attempted.append(final if ended not in REFUSALS else self._struck(final, item.facts, due, outcome))
            else:
                held = outcome.reason == CONTENT
                events = (attempt, ("hold", '{"by":"queue","reason":"content"}')) if held else (attempt, *_downgrade(outcome))
                attempted.append(
                    Attempted(
                        due.id,
                        due.message_id,
                        now,
                        Status.QUEUED,
                        outcome.reason,
                        str(outcome.reply),
                        next_attempt,
                        held,
                        notified,
                        events,
                        counted=outcome.counted,
                    )  # fmt: skip
                )
        waits = [next_attempt for _, outcome, next_attempt, _ in written if next_attempt is not None and outcome.reason != CONTENT]
        return Ended(_with_events(attempted, told), reports, min(waits) if waits else None)

    def returned(self, now: float, item: Item, content: Content | None, outcome: Outcome) -> Ended:
        """Ended without an attempt: expired while its destination was down, or sent back by an operator."""
        spool = content.spool if content is not None else ""
        reports, told = self._reports(now, item, content, [(due, outcome) for due in item.deliveries], [], [], 0.0)
        kind = EXPIRED if outcome.reason == EXPIRED else "returned"
        detail = _detail(outcome)
        attempted = [_final(now, due, Status.REJECTED, outcome, (kind, detail), item.facts.content_id, spool) for due in item.deliveries]
        return Ended(_with_events(attempted, told), reports)

    def late(self, now: float, item: Item, content: Content | None, outcome: Outcome) -> Ended:
        """The notice about mail that waits for a destination that is down. The delivery itself stays as it is."""
        until = min(due.queued for due in item.deliveries) + self._options.lifetime
        reports, told = self._reports(now, item, content, [], [(due, outcome) for due in item.deliveries], [], until)
        attempted = [
            Attempted(
                due.id,
                due.message_id,
                now,
                Status.QUEUED,
                due.reason or outcome.reason,
                due.reply or str(outcome.reply),
                due.next_attempt,
                delay_notified=True,
            )
            for due in item.deliveries
        ]
        return Ended(_with_events(attempted, told), reports)

    def _struck(self, final: Attempted, facts: MessageFacts, due: Due, outcome: Outcome) -> Attempted:
        if self._strikes is None or not facts.user or facts.direction != "outbound":
            return final
        return final._replace(strike=self._strikes(final.at, facts.user, due.target, outcome.reply, facts.uid))

    def _reports(
        self, now: float, item: Item, content: Content | None, failed: list[tuple[Due, Outcome]], late: list[tuple[Due, Outcome]],
        relayed: list[tuple[Due, Outcome]], until: float,
    ) -> tuple[tuple[NewMessage, ...], list[_Told]]:  # fmt: skip
        facts, reporter = item.facts, self._reporter
        made = (
            (
                "failed",
                reporter.failure(now, facts, content, failed) if failed else None,
                (due for due, _ in failed if bounce.wants_failure(facts, due)),
            ),
            (
                "delayed",
                reporter.delay(now, facts, content, late, until) if late else None,
                (due for due, _ in late if bounce.wants_delay(facts, due)),
            ),
            (
                "relayed",
                reporter.success(now, facts, content, relayed) if relayed else None,
                (due for due, outcome in relayed if bounce.wants_success(facts, due, outcome)),
            ),
        )
        reports = [(action, report, next(about).id) for action, report, about in made if report is not None]
        told = [_Told(first, ("report", _as_json({"action": action, "uid": report.uid, "to": facts.sender}))) for action, report, first in reports]
        return tuple(report for _, report, _ in reports), told


def _final(
    now: float, due: Due, status: Status, outcome: Outcome, event: tuple[str, str], content_id: int | None, spool: str, reason: str = ""
) -> Attempted:
    events = (event, (EXPIRED, "{}")) if reason == EXPIRED else (event, *_downgrade(outcome)) if outcome.security else (event,)
    return Attempted(
        due.id, due.message_id, now, status, reason or outcome.reason, str(outcome.reply), 0.0, False, False, events, content_id, spool,
        counted=outcome.counted,
    )  # fmt: skip


class _Told(NamedTuple):
    """A report's event, and the first delivery that the report is about."""

    delivery_id: int
    event: tuple[str, str]


def _with_events(attempted: list[Attempted], told: list[_Told]) -> tuple[Attempted, ...]:
    """Reports stand in the timeline of the message once, with the first recipient they are about."""
    if not told:
        return tuple(attempted)
    return tuple(one._replace(events=(*one.events, *(each.event for each in told if each.delivery_id == one.id))) for one in attempted)


def with_event(ended: Ended, kind: str, detail: Mapping[str, str]) -> Ended:
    """The same with one more event, in the timeline of its first recipient."""
    first, *rest = ended.attempted
    told = first._replace(events=(*first.events, (kind, _as_json(detail))))
    return ended._replace(attempted=(told, *rest))


def _detail(outcome: Outcome) -> str:
    detail: dict[str, object] = {
        "result": outcome.result.value,
        "reason": outcome.reason,
        "reply": str(outcome.reply),
        "host": outcome.host,
        "address": outcome.address,
        "port": outcome.port,
        "tls": outcome.tls,
        "verified": outcome.verified,
        "duration": round(outcome.duration, 3),
    }
    if outcome.earlier:
        detail["earlier"] = "; ".join(f"{host}: {reply}" for host, reply in outcome.earlier)
    if outcome.source:
        detail["source"] = outcome.source
    if outcome.security:
        detail["security"] = dict(outcome.security)
    return _as_json(detail)


def _downgrade(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """The event of a domain that has shown verified TLS and now shows none."""
    for word, sentence in outcome.security:
        if word == "downgrade":
            return (("tls-downgrade", _as_json({"host": outcome.host, "address": outcome.address, "text": sentence})),)
    return ()
