"""The one durable step: content, message and deliveries in one transaction, then the queue is told, then 250 (design 4, steps 6 and 7).

Promises
- The reply's Deferred is not the commit's: cancelling it (the client left) does not touch the commit, and what is committed is enqueued.
- Places in the queue's window are reserved before and given back when the commit fails. Exactly one of `enqueued` and `cancel` follows a reservation.
- A commit that fails leaves no spool file, and is answered 451 with the message's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.inbound import acceptance
from jetmail.inbound.acceptance import Group, Refused
from jetmail.inbound.aggregates import ReportReading
from jetmail.inbound.contacts import MAX_PEERS
from jetmail.inbound.intake import Intake
from jetmail.inbound.pending import Also
from jetmail.inbound.quota import Reservation
from jetmail.inbound.returning import Reading
from jetmail.inbound.services import ReceiverServices
from jetmail.mail.address import Address
from jetmail.mail.envelope import Sender
from jetmail.mail.holdrule import Parcel
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.mail.status import Status
from jetmail.mailauth.signing import Signer
from jetmail.rules.facts import Client, RecipientFacts
from jetmail.rules.settlement import Settlement
from jetmail.rules.verdict import Opinion
from jetmail.store.database import Connection
from jetmail.store.traffic import contacts, holds, messages, sending
from jetmail.store.traffic.messages import Accepted, Content, NewDelivery, NewMessage

_log = Logger()

COPY = 1 << 20  # octets copied per turn when one large message has to become two files


class Submitted(NamedTuple):
    """What is different about a message somebody with a login sends. `header`: fields to add below Received; `removes`: lower-case names of fields
    nobody else may write; `message_id`: the one that was added; `reservation`: its place in the quota, counted or given back here; `account_id`:
    whose keys may sign it; `also(conn, uid, reply)`: part of the transaction that accepts it."""

    header: bytes
    removes: frozenset[bytes]
    message_id: str = ""
    reservation: Reservation | None = None
    account_id: int = 0
    also: Also | None = None


class Committing:
    """One accepted message on its way into the store."""

    def __init__(
        self,
        services: ReceiverServices,
        uid: str,
        client: Client,
        sender: Sender,
        time: float,
        message: Message,
        intake: Intake,
        submitted: Submitted | None = None,
        reading: Reading | Deferred[ReportReading] | None = None,
    ) -> None:
        self._services = services
        self._uid = uid
        self._client = client
        self._sender = sender
        self._time = time
        self._message = message
        self._intake = intake
        self._submitted = submitted
        self._reading: Reading | ReportReading | None = None
        self._to_read = reading
        self._copies: list[str] = []  # spool files besides the intake's
        self._claimed = 0
        self._signers: tuple[Signer, ...] = ()
        self._body_hash = b""
        self._answer: Deferred[Reply] = Deferred()
        self._refusal: Reply | None = None

    def start(
        self, trace: bytes, recipients: Sequence[RecipientFacts], settlement: Settlement, said: Sequence[Opinion], refused: Sequence[Refused]
    ) -> Deferred[Reply]:
        """-> the reply, once it is true: a 250, or the refusal of a message of which a copy is kept."""
        self._refusal = None if settlement.accepted else settlement.reply
        if isinstance(self._to_read, Deferred):
            self._to_read.addCallback(self._read, trace, recipients, settlement, said, refused).addErrback(self._failed)
        else:
            self._reading = self._to_read
            self._begin(trace, recipients, settlement, said, refused)
        return self._answer

    def _read(self, reading: ReportReading, *accepted: Any) -> None:
        """What came is understood; the rest is as for any message."""
        self._reading = reading
        self._begin(*accepted)

    def _begin(
        self, trace: bytes, recipients: Sequence[RecipientFacts], settlement: Settlement, said: Sequence[Opinion], refused: Sequence[Refused]
    ) -> None:
        try:
            groups = acceptance.groups(settlement, said, not self._client.user)
            hashing = self._hash()
            if hashing is None and (len(groups) == 1 or not self._intake.spool):
                self._commit(trace, groups, [self._intake.spool] * len(groups), recipients, settlement, said, refused)
            else:
                # A stored content owns its file, so that the last delivery of one cannot take the file from the other.
                copying = Deferred.fromCoroutine(self._copy(len(groups) - 1, hashing))
                copying.addCallback(
                    lambda _: self._commit(trace, groups, [self._intake.spool, *self._copies], recipients, settlement, said, refused)
                ).addErrback(self._failed)
        except Exception:
            self._failed(Failure())

    def _hash(self) -> Deferred[bytes] | None:
        """Who signs, and what of the body; a Deferred when that lies in the spool."""
        signatures, submitted = self._services.signatures, self._submitted
        if signatures is None or submitted is None or not (signers := signatures.of_message(self._message, submitted.account_id)):
            return None
        self._signers = signers
        hashed = signatures.hashed(self._message)
        if isinstance(hashed, Deferred):
            return hashed
        self._body_hash = hashed
        return None

    def _commit(
        self,
        trace: bytes,
        groups: list[Group],
        spools: list[str],
        recipients: Sequence[RecipientFacts],
        settlement: Settlement,
        said: Sequence[Opinion],
        refused: Sequence[Refused],
    ) -> None:
        services = self._services
        rows = [acceptance.deliveries(recipients, settlement, group) for group in groups]
        if self._reading is not None:
            rows = [self._reading.rows(row) for row in rows]
        held: dict[str, str] = {}
        if services.holding is not None and (rules := services.holding.rules(self._time)):
            rows = [services.holding.held(rules, self._parcel(group), row, held) for group, row in zip(groups, rows, strict=True)]
        destinations = [row.destination for deliveries in rows for row in deliveries if row.status is Status.QUEUED and not row.held]
        queued = len(destinations)
        claimed = bool(queued) and services.queue.reserve(queued, destinations)
        self._claimed = queued if claimed else 0
        if queued and not claimed:
            rows = [tuple(self._explained(row) for row in deliveries) for deliveries in rows]
        first_retry = services.first_retry(self._time) if claimed else 0.0
        response = f"250 2.0.0 OK queued as {self._uid}" if self._refusal is None else str(self._refusal)
        why = acceptance.findings(said, recipients, refused) if said or refused else "[]"
        news = [
            acceptance.new_message(
                uid=services.make_uid() if number else self._uid, client=self._client, sender=self._sender, time=self._time, message=self._message,
                content=self._content(trace, group, spool) if self._is_kept(deliveries) else None,
                deliveries=deliveries if number else deliveries + acceptance.refusals(refused), response=response,
                score=group.score, findings=why, claimed=claimed, first_retry=first_retry,
            )
            for number, (group, spool, deliveries) in enumerate(zip(groups, spools, rows, strict=True))
        ]  # fmt: skip
        if self._submitted is not None and self._submitted.message_id:
            news = [new._replace(message_id=self._submitted.message_id) for new in news]
        calls: tuple[Any, ...]
        if self._reading is not None:
            calls = self._reading.write(news[0])
        elif self._client.user:
            peers = [recipient.address for recipient in recipients] if len(recipients) <= MAX_PEERS else []
            reservation = self._submitted.reservation if self._submitted is not None else None
            counted = (reservation.user, reservation.period) if reservation is not None else None
            also = self._submitted.also if self._submitted is not None and self._refusal is None else None
            calls = (_accept_sent, news, self._sender.address, peers, self._time, counted, also)
        else:
            calls = (messages.accept, news[0]) if len(news) == 1 else (messages.accept_all, news)
        run: Deferred[Any] = services.db.run(holds.accept, self._time, held, *calls) if held else services.db.run(*calls)
        if self._client.user:
            run.addCallback(self._sent)
        run.addCallbacks(self._committed, self._failed, callbackArgs=(news,))

    def _is_kept(self, deliveries: tuple[NewDelivery, ...]) -> bool:
        """Whether anybody is to get it: a report that was read and goes to nobody leaves no content."""
        return self._reading is None or any(row.status is not Status.DELIVERED for row in deliveries)

    def _explained(self, row: NewDelivery) -> NewDelivery:
        """A delivery that waits from the start says what for."""
        if row.status is not Status.QUEUED or row.held:
            return row
        reason, reply = self._services.queue.trouble(row.destination)
        return row._replace(reason=reason, reply=reply) if reason else row

    def _parcel(self, group: Group) -> Parcel:
        """The message as hold rules see it."""
        senders = tuple(address.key for address in (self._sender.address, self._message.sender.address) if address is not None)
        user, account_id = self._client.user, self._submitted.account_id if self._submitted is not None else 0
        return Parcel("outbound" if user else "inbound", senders, self._message.size, group.score, user, account_id)

    def _content(self, trace: bytes, group: Group, spool: str) -> Content:
        submitted = self._submitted
        removes = acceptance.OURS if submitted is None else acceptance.OURS | submitted.removes
        added = trace if submitted is None else trace + submitted.header
        header, offset = self._message.edited(acceptance.edits(added, group, self._services.hostname, removes))
        if self._signers and (signatures := self._services.signatures) is not None:
            header = signatures.fields(self._signers, header, self._body_hash) + header
        if spool:
            return Content(len(header) + self._message.size - offset, None, header, spool, offset)
        octets = self._message.octets
        data = header + octets[offset:] if offset else header + octets
        return Content(len(data), data)

    def _sent(self, accepted: list[Accepted]) -> list[Accepted]:
        self._services.contacts.wrote()
        if self._submitted is not None and self._submitted.reservation is not None:
            self._submitted.reservation.committed()
        return accepted

    def _committed(self, accepted: Accepted | list[Accepted], news: list[NewMessage]) -> None:
        services = self._services
        self._claimed = 0
        if news[0].content is not None:
            self._intake.keep()
        else:
            self._intake.drop()
        if self._reading is not None and services.returns is not None:
            services.returns.committed(self._reading)
        stored = accepted if isinstance(accepted, list) else [accepted]
        for item, new in zip(stored, news, strict=True):
            try:
                if item.deliveries:
                    services.queue.enqueued(item, new.content)
            except Exception:  # the message is safe in the store: what breaks in the queue must not turn its 250 into a 451
                _log.failure("message {uid} was stored and not enqueued", uid=item.uid)
        new = news[0]
        if self._refusal is None:
            services.on_accepted(new.size)
        else:
            services.on_refused(new.deliveries[0].reason)
        what = "accepted" if self._refusal is None else "refused, and a copy kept"
        _log.info(
            what, uid=self._uid, client=new.client_address, sender=new.sender, recipient=new.deliveries[0].recipient,
            recipients=len(new.deliveries), status=str(new.deliveries[0].status), size=new.size, score=new.score, message_id=new.message_id,
        )  # fmt: skip
        self._answer.callback(self._refusal or Reply(250, "2.0.0", f"OK queued as {self._uid}"))

    def _failed(self, failure: Failure) -> None:
        services = self._services
        if self._claimed:
            services.queue.cancel(self._claimed)
            self._claimed = 0
        self._intake.drop()
        if self._submitted is not None and self._submitted.reservation is not None:
            self._submitted.reservation.cancel()
        for name in self._copies:
            services.content.delete(name)
        services.on_refused("fault")
        _log.failure("message {uid} could not be stored, answered 451", failure=failure, uid=self._uid, client=self._client.address)
        if not self._answer.called:
            self._answer.callback(Reply(451, "4.3.0", f"Temporary failure here, please try again later (ref {self._uid})"))

    async def _copy(self, count: int, hashing: Deferred[bytes] | None) -> None:
        """The body's hash when it is made; and the body once more for each further header, a piece a turn so that nobody else waits."""
        if hashing is not None:
            self._body_hash = await hashing
        for _ in range(count):
            writer = self._services.content.create()
            try:
                with self._services.content.open(self._intake.spool) as file:
                    while piece := file.read(COPY):
                        writer.write(piece)
                        await deferLater(self._services.clock, 0)
            except BaseException:
                writer.abort()
                raise
            self._copies.append(await writer.finish())


def _accept_sent(
    conn: Connection, news: list[NewMessage], sender: Address | None, peers: list[Address], time: float, counted: tuple[str, str] | None,
    also: Also | None,
) -> list[Accepted]:  # fmt: skip
    """What one of ours sends, and, in the same transaction, to whom: their answers are expected. `counted`: the user and the window of its quota."""
    accepted = messages.accept_all(conn, news)
    if sender is not None:
        contacts.wrote(conn, sender, peers, time)
    if counted is not None:
        sending.count_message(conn, *counted)
    if also is not None:
        also(conn, news[0].uid, news[0].response)
    return accepted
