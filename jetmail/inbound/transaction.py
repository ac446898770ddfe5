"""What answers the questions of one SMTP session: stages to the chain, content into memory or the spool, one commit, then 250 (design 4, steps 3-7).

Promises
- 250 to content is said only after the commit that holds content, message and deliveries is on the disk. Every fault of ours before that is
  `451 4.3.0 ... (ref <id>)`, logged once with that id; nothing of the message stays behind, in the store, the spool or the queue's window.
- Once given to the store a commit is followed to its end, whether or not the client is still there: what is committed is enqueued.
- A plain message through rules that answer at once makes no Deferred but the commit's own and the one that carries the answer.
- Content is in memory up to `inline_limit`, beyond it in a spool file; what is kept of a large message in memory is its first part.
- What is refused is written down too (inbound.refusals), and no reply waits for it.
- One log line per decision, with the message's uid. Nothing a stranger hears names a rule or a part of ours.

Nothing raises out of here: answers are Replies or Deferreds of them that fail only by cancellation.
RFC 5321 3.3, 4.2; spec 10.3, 10.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.inbound.committing import Committing, Submitted
from jetmail.inbound.conversation import Conversation, Said, then
from jetmail.inbound.intake import Intake
from jetmail.inbound.peer import HTTP
from jetmail.inbound.pending import Also, Pending
from jetmail.inbound.returning import Entry, Reading
from jetmail.inbound.submission import opinions
from jetmail.interfaces import IReceiver
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.mail.trace import Hop, received
from jetmail.rules.chain import Answer
from jetmail.rules.facts import Facts, RecipientFacts
from jetmail.rules.policy import DomainState, Policy
from jetmail.rules.settlement import Settlement, rule_for, settle
from jetmail.rules.verdict import REASONS, Action, Opinion, Ruling, Stage, Verdict

WELCOME = Reply(220, "", "")
HELLO = Reply(250, "", "")
SENDER_OK = Reply(250, "2.1.0", "OK")
RECIPIENT_OK = Reply(250, "2.1.5", "OK")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
NO_ROOM = Reply(452, "4.3.1", "Insufficient storage, please try again later")
AUTH_FIRST = Reply(530, "5.7.0", "Authentication required")
SEQUENCE = Reply(503, "5.5.1", "Bad sequence of commands")
HIDDEN = frozenset({b"bcc", b"resent-bcc"})  # a program that hands a message in is no mail program that would have taken them out


@implementer(IReceiver)
class Receiver(Conversation):
    """One session's receiving side. `services` are shared by all sessions, `peer` is this one's other end."""

    __slots__ = ()

    # the session's questions

    def connected(self) -> Said:
        """CONNECT. Positive: the session says its banner."""
        said: Said = then(self._answered(self._ask_connect), _as_greeting)
        return said

    def helo(self, name: str, extended: bool) -> Said:
        """Remembers the name; the session words its own answer."""
        self._client = self._client._replace(helo=name)
        self._is_extended = extended
        return self._ended() or HELLO

    def mail(self, sender: Sender) -> Said:
        """SENDER: 250 2.1.0, or a refusal."""
        return self._answered(self._ask_sender, sender)

    def rcpt(self, recipient: Recipient) -> Said:
        """RECIPIENT: 250 2.1.5, or a refusal of this one alone."""
        return self._answered(self._ask_recipient, recipient)

    def data(self) -> Said:
        """Content may come."""
        pending = self._pending
        if pending is None or not pending.recipients:
            return SEQUENCE
        if (ended := self._ended()) is not None:
            return ended
        pending.intake = Intake(self._services.content, self._services.options.inline_limit)
        return GO_AHEAD

    def chunk(self, octets: bytes) -> None:
        """Content into memory or the spool. A fault is remembered and answered at the end."""
        if self._pending is not None and self._pending.intake is not None:
            self._pending.intake.add(octets)

    def end(self) -> Said:
        """CONTENT, JUDGEMENT, commit, reply."""
        return self._answered(self._finish)

    def conclude(self, is_plain: bool, also: Also | None) -> None:
        """Before `end`: the content has turned out to be 7-bit, and something is to be written by the transaction that accepts it."""
        if (pending := self._pending) is not None:
            pending.also = also
            if is_plain:
                pending.sender = pending.sender._replace(body="7BIT")

    def tls_started(self, version: str, cipher: str) -> None:
        """RFC 3207 4.2: what was said before counts for nothing."""
        self.abort()
        self._client = self._client._replace(helo="", tls=version, user="")
        self._principal = None
        self._cipher = cipher

    def lost(self) -> None:
        """The connection is gone."""
        if self._signing_in is not None:
            self._signing_in.cancel()  # its place in the line is somebody else's
        self.abort()

    # CONNECT to RECIPIENT

    def _ask_connect(self) -> Said:
        services = self._services
        facts = Facts(services.clock.seconds(), self._client)
        said: Said = then(services.judge.ask(Stage.CONNECT, facts, (), services.book.appliance()), self._connect_answered)
        return said

    def _connect_answered(self, opinions: Answer) -> Reply:
        self._at_connect = opinions
        ruling = rule_for(opinions, None)
        if _goes_on(ruling):
            return WELCOME
        self._refusals.at_connection(self._client, ruling, "connect")
        return ruling.public_reply

    def _ask_sender(self, sender: Sender) -> Said:
        services = self._services
        self.abort()
        if self._client.kind != "mx" and not self._client.user:
            return AUTH_FIRST
        if self._principal is not None and (refused := self._refused_at_mail(self._principal, sender)) is not None:
            return refused
        if not services.has_room(sender.size or 0):
            return NO_ROOM
        facts = Facts(services.clock.seconds(), self._client, sender, opinions=self._at_connect)
        appliance = services.book.appliance()
        said: Said = then(services.judge.ask(Stage.SENDER, facts, (), appliance), self._sender_answered, sender, appliance)
        return said

    def _sender_answered(self, opinions: Answer, sender: Sender, appliance: Policy) -> Reply:
        at_envelope = self._at_connect + opinions
        if at_envelope and not _goes_on(ruling := rule_for(at_envelope, None)):
            self._refusals.at_connection(self._client, ruling, "mail", str(sender))
            return ruling.public_reply
        self._pending = Pending(self._services.make_uid(), sender, at_envelope, appliance)
        return SENDER_OK

    def _ask_recipient(self, recipient: Recipient) -> Said:
        pending, services = self._pending, self._services
        if pending is None:
            return SEQUENCE
        if (ended := self._ended()) is not None:
            return ended
        address = recipient.address
        if address in pending.addresses:
            return RECIPIENT_OK  # said twice, delivered once
        known = services.book.recipient(address)
        policy, targets = known.policy, known.targets
        if (known.is_return or pending.entry is not None) and services.returns is not None:
            taken = services.returns.admit(
                address, pending.appliance, services.clock.seconds(), known.is_return, not pending.recipients, self._client.address
            )
            if isinstance(taken, Ruling):
                self._refusals.count(taken)
                return taken.public_reply
            pending.entry, policy, targets = taken, taken.policy, taken.targets
        elif self._principal is not None:
            policy = self._submissions.policy(policy)
            if policy.state in (DomainState.UNKNOWN, DomainState.UNVERIFIED):
                targets = (address,)  # who has logged in may write to the world; a claim nobody has proved changes nothing
        now = services.clock.seconds()
        candidate = RecipientFacts(len(pending.recipients), recipient, targets)
        if self._principal is not None and (said := self._submissions.suppressed(self._principal, pending.uid, address, targets, now)) is not None:
            return self._refusals.of_suppressed(pending, said, candidate)
        candidate = services.contacts.at_recipient(candidate, self._client, pending.sender, now)
        facts = Facts(now, self._client, pending.sender, candidate, (candidate,), None, pending.at_envelope)
        answer = services.judge.ask(Stage.RECIPIENT, facts, (policy,), pending.appliance)
        answered: Said = then(answer, self._recipient_answered, pending, candidate, policy)
        return answered

    def _recipient_answered(self, opinions: Answer, pending: Pending, candidate: RecipientFacts, policy: Policy) -> Reply:
        if opinions or pending.at_envelope:
            ruling = rule_for(pending.at_envelope + opinions, candidate.index)
            if not _goes_on(ruling):
                if ruling.reason == "greylist":
                    services = self._services
                    services.contacts.greylist.deferred(self._client.address, str(pending.sender), candidate.address, services.clock.seconds())
                self._refusals.at_recipient(self._client, pending, ruling, opinions, candidate, policy)
                if self._principal is not None:
                    self._submissions.refused_recipient(self._principal, pending.sender, ruling)
                return ruling.public_reply
        if not candidate.targets:
            return REASONS["relay-denied"].reply  # no rule objected, but there is nowhere to send it: a chain without the rules that would know
        pending.recipients.append(candidate)
        pending.policies.append(policy)
        pending.addresses.add(candidate.address)
        pending.at_recipients += opinions
        return RECIPIENT_OK

    # CONTENT to 250

    def _finish(self) -> Said:
        pending = self._pending
        if pending is None or pending.intake is None:
            return SEQUENCE
        asks = self._ask_content if self._principal is None else self._ask_permission
        said: Said = then(pending.intake.finish(), asks, pending)
        return said

    def _ask_permission(self, message: Message, pending: Pending) -> Said:
        """May this user send this at all (inbound.submission)?"""
        principal, submissions, now = self._principal, self._submissions, self._services.clock.seconds()
        assert principal is not None
        if (ended := self._ended()) is not None:
            pending.drop()
            self._pending = None
            return ended
        place = submissions.reserve(principal, now)
        if isinstance(place, Ruling):
            return self._permitted(opinions(Verdict(ruling=place)), message, pending)
        pending.reservation = place
        recipients = tuple(recipient.address for recipient in pending.recipients)
        asked = submissions.judge(now, pending.uid, principal, self._client, pending.sender, recipients, message)
        said: Said = then(asked, self._permitted, message, pending)
        return said

    def _permitted(self, found: Answer, message: Message, pending: Pending) -> Said:
        if pending.is_over:
            return REASONS["fault"].reply
        pending.at_envelope += found
        if not found or _goes_on(ruling := rule_for(found, None)):
            return self._ask_content(message, pending)
        recipients = tuple(pending.recipients)
        facts = Facts(self._services.clock.seconds(), self._client, pending.sender, None, recipients, message, pending.at_envelope)
        return self._refuse(Settlement((ruling,) * len(recipients), ruling.public_reply, False), pending.at_envelope, pending, facts, message)

    def _ask_content(self, message: Message, pending: Pending) -> Said:
        services = self._services
        now = services.clock.seconds()
        recipients = services.contacts.at_content(tuple(pending.recipients), self._client, message)
        only = recipients[0] if len(recipients) == 1 else None
        facts = Facts(now, self._client, pending.sender, only, recipients, message, (*pending.at_envelope, *pending.at_recipients))
        answer = services.judge.ask(Stage.CONTENT, facts, pending.policies, pending.appliance)
        said: Said = then(answer, self._ask_judgement, pending, facts)
        return said

    def _ask_judgement(self, opinions: Answer, pending: Pending, facts: Facts) -> Said:
        if opinions:
            facts = facts._replace(opinions=facts.opinions + opinions)
        answer = self._services.judge.ask(Stage.JUDGEMENT, facts, pending.policies, pending.appliance)
        said: Said = then(answer, self._decide, pending, facts)
        return said

    def _decide(self, opinions: Answer, pending: Pending, facts: Facts) -> Said:
        message = facts.message
        assert message is not None
        if pending.is_over:
            return REASONS["fault"].reply  # the client left while rules were waiting; nobody hears this
        said = facts.opinions + opinions
        settlement = settle(said, len(facts.recipients))
        self._services.contacts.settled(settlement, facts.recipients, self._client, pending.sender, facts.time)
        if settlement.accepted or self._keeps(settlement, facts.time):
            if pending.entry is not None and (refused := self._read(pending.entry, pending, message, facts.time)) is not None:
                return self._refuse(Settlement((refused,), refused.public_reply, False), said, pending, facts, message)
            answer = self._accept(settlement, said, pending, facts, message)
            self._pending = None
            return answer
        return self._refuse(settlement, said, pending, facts, message)

    def _refuse(self, settlement: Settlement, said: Sequence[Opinion], pending: Pending, facts: Facts, message: Message) -> Reply:
        if self._principal is not None:
            settlement = self._submissions.settled(settlement, pending.uid, self._principal, pending.sender)
        self._refusals.of_message(self._client, pending, settlement, said, facts, message)
        pending.drop()
        self._pending = None
        return settlement.reply

    def _read(self, entry: Entry, pending: Pending, message: Message, now: float) -> Ruling | None:
        """What came back, read before anything is stored; a ruling when it is not what its address is for."""
        assert self._services.returns is not None
        reading = self._services.returns.read(entry, message, pending.sender.address is None, now, self._client.address)
        if isinstance(reading, Ruling):
            return reading
        pending.reading = reading
        return None

    def _keeps(self, settlement: Settlement, now: float) -> bool:
        """Refused, and yet stored for the owner of a domain that wants to see what is refused for its score. Within the budget of refusals, so that
        nobody fills the disk by being refused."""
        if not settlement.reply.is_permanent or not any(ruling.keeps for ruling in settlement.rulings):
            return False
        return self._services.has_room(0) and self._services.refusal_budget.take(now)

    def _accept(self, settlement: Settlement, said: Sequence[Opinion], pending: Pending, facts: Facts, message: Message) -> Deferred[Reply]:
        """Hand everything to the commit, and be ready for the next transaction."""
        client, services, sender, intake = self._client, self._services, pending.sender, pending.intake
        assert intake is not None
        only = str(facts.recipient.address) if facts.recipient is not None and not pending.refused else ""
        recipient = only if sender.smtputf8 or only.isascii() else ""
        hop = Hop(
            client.helo, client.address, services.hostname, pending.uid, facts.time, self._is_extended, client.tls, self._cipher,
            bool(client.user), sender.smtputf8, recipient, client.listener.upper() if client.listener == HTTP else "",
        )  # fmt: skip
        submitted = None
        if self._principal is not None:
            added, message_id = self._submissions.header(self._principal, pending.uid, message, facts.time)
            removes = self._submissions.removes | HIDDEN if client.listener == HTTP else self._submissions.removes
            submitted = Submitted(added, removes, message_id, pending.reservation, self._principal.account_id, pending.also)
        if isinstance(pending.reading, Reading):
            sender = Sender(None, sender.size, sender.body, sender.smtputf8)
        committing = Committing(services, pending.uid, client, sender, facts.time, message, intake, submitted, pending.reading)
        return committing.start(received(hop), facts.recipients, settlement, said, tuple(pending.refused))


def _goes_on(ruling: Ruling) -> bool:
    return ruling.action < Action.DEFER


def _as_greeting(reply: Reply) -> Reply:
    """RFC 5321 4.3.2: a greeting is 220, 554 or 421."""
    return reply if reply.is_positive else Reply(421 if reply.is_transient else 554, reply.enhanced, reply.text)
