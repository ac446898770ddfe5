"""What was refused is part of the log people search: written down without content, within a budget, and never waited for.

A refusal at RCPT of a domain that is not ours, and a deferral, is nobody's log entry: a line of the process's own log. The budget is per connection
and per minute, so that being refused a million times fills no disk; what it keeps back is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.logger import Logger

from jetmail.inbound import acceptance
from jetmail.inbound.acceptance import Refused
from jetmail.inbound.pending import Pending
from jetmail.inbound.services import ReceiverServices
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.rules.facts import Client, Facts, RecipientFacts
from jetmail.rules.policy import DomainState, Policy
from jetmail.rules.settlement import Settlement
from jetmail.rules.verdict import Action, Opinion, Ruling
from jetmail.smtp import answers
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import NewDelivery

_log = Logger()
# What the session itself finds wrong with content, as reasons.
_OF_CONTENT: dict[Reply | None, str] = {
    answers.BARE_CONTENT: "line-ends",
    answers.BARE_CHUNK: "line-ends",
    answers.OUT_OF_STEP: "synchronization",
    answers.TEXT_LINE_TOO_LONG: "line-length",
    answers.TOO_BIG: "size",
}


class Refusals:
    """The refusals of one connection."""

    __slots__ = ("_left", "_services")

    def __init__(self, services: ReceiverServices) -> None:
        self._services = services
        self._left = services.options.refusals_per_connection

    def count(self, ruling: Ruling) -> None:
        """One more decision against somebody."""
        self._services.on_refused(ruling.reason)

    def at_connection(self, client: Client, ruling: Ruling, at: str, sender: str = "") -> None:
        """The connection, or a sender, was turned away: nobody's message yet, so only a line."""
        self.count(ruling)
        _log.info("turned away at {at}: {reason}", at=at, reason=ruling.reason, client=client.address, listener=client.listener, sender=sender)

    def at_recipient(
        self, client: Client, pending: Pending, ruling: Ruling, opinions: Sequence[Opinion], recipient: RecipientFacts, policy: Policy
    ) -> None:
        """One recipient was refused: remembered until the transaction ends, when it goes into the message's own record."""
        self.count(ruling)
        if ruling.action is Action.DEFER or policy.state in (DomainState.UNKNOWN, DomainState.UNVERIFIED) or self._left <= 0:
            _log.info(
                "{what} at recipient: {reason}", what="deferred" if ruling.action is Action.DEFER else "refused", reason=ruling.reason,
                uid=pending.uid, client=client.address, sender=str(pending.sender), recipient=str(recipient.address), reply=str(ruling.public_reply),
            )  # fmt: skip
            return
        self._left -= 1
        pending.refused.append(Refused(str(recipient.address), recipient.address.domain, ruling, tuple(opinions)))

    def of_suppressed(self, pending: Pending, said: Opinion, recipient: RecipientFacts) -> Reply:
        """A recipient a user is not to write to: always part of the record, which the session's own limit of refusals bounds. -> the reply."""
        ruling = said.verdict.ruling
        assert ruling is not None
        self.count(ruling)
        pending.refused.append(Refused(str(recipient.address), recipient.address.domain, ruling, (said,)))
        return ruling.public_reply

    def without_content(self, client: Client, pending: Pending, refusal: Reply | None = None) -> None:
        """The transaction ended before content came, and all that is known of it is whom it did not reach. `refusal`: content came, and was none that
        can be taken, for anybody."""
        if (word := _OF_CONTENT.get(refusal)) is not None:
            ruling = Ruling(Action.REJECT, word, refusal)
            self.count(ruling)
            if self._left > 0:
                self._left -= 1
                pending.refused += [Refused(str(item.address), item.address.domain, ruling, ()) for item in pending.recipients]
        if not pending.refused:
            return
        ruling = pending.refused[-1].ruling
        said = [*pending.at_envelope, *(replace(opinion, recipient=None) for item in pending.refused for opinion in item.opinions)]
        _log.info(
            "refused: {reason}", reason=ruling.reason, uid=pending.uid, client=client.address, sender=str(pending.sender),
            recipient=pending.refused[-1].address, recipients=len(pending.refused),
        )  # fmt: skip
        self._record(client, pending, None, acceptance.refusals(pending.refused), str(ruling.public_reply), None, acceptance.findings(said))

    def of_message(self, client: Client, pending: Pending, settlement: Settlement, said: Sequence[Opinion], facts: Facts, message: Message) -> None:
        """The message as a whole was not taken. A deferred one is only a line: its sender still has it and comes again."""
        ruling = next(each for each in settlement.rulings if each.public_reply == settlement.reply)
        self.count(ruling)
        group = acceptance.groups(settlement, said, is_scored=False)[0]
        _log.info(
            "{what}: {reason}", what="deferred" if settlement.reply.is_transient else "refused", reason=ruling.reason, uid=pending.uid,
            client=client.address, sender=str(pending.sender), recipient=str(facts.recipients[0].address), recipients=len(facts.recipients),
            size=message.size, score=group.score, reply=str(settlement.reply),
        )  # fmt: skip
        if not settlement.reply.is_transient:
            rows = acceptance.deliveries(facts.recipients, settlement, group) + acceptance.refusals(pending.refused)
            self._record(client, pending, message, rows, str(settlement.reply), group.score, acceptance.findings(said, facts.recipients))

    def _record(
        self,
        client: Client,
        pending: Pending,
        message: Message | None,
        rows: tuple[NewDelivery, ...],
        response: str,
        score: float | None,
        findings: str,
    ) -> None:
        services = self._services
        now = services.clock.seconds()
        if not services.refusal_budget.take(now):
            return
        new = acceptance.new_message(
            uid=pending.uid, client=client, sender=pending.sender, time=now, message=message, content=None, deliveries=rows, response=response,
            score=score, findings=findings,
        )  # fmt: skip
        uid = pending.uid
        services.db.run(messages.record_refusal, new).addErrback(
            lambda failure: _log.failure("refusal {uid} could not be written down", failure=failure, uid=uid)
        )
