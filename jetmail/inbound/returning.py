"""Mail to addresses we made ourselves: return paths (`b+<token>@bounces.<domain>`) and rewritten senders (SRS), at RCPT and at the end of content.

Promises
- Such an address is taken when its signature is right and it has not expired, from whoever comes with it; else it is 550 5.7.1 at RCPT.
- What comes to a return path is read, joined to the message it speaks of and stored with all that follows from it in the accepting transaction
  (store.traffic.returns.take): 250 means that it counts. It goes on to the original sender, from the null sender, where he wants it: failures and
  delays as NOTIFY of the message says (RFC 3461), successes when asked for, replies of people and of machines always, complaints never.
- It is not filtered for its score; size, malware and what people block for everybody stay. An hour brings so many for one address, then 451.
- What comes to a rewritten sender goes to the sender it was made from, and is refused for its score like any mail: we must not pass on
  what it quotes of spam.
- Complaints that providers send to one fixed address, `fbl@` our own name, are joined by the return path they quote; what quotes none is refused.
- What comes to the address for reports about our domains comes by this door too, and is inbound.aggregates' business.
- One such address is alone in its transaction.

Plain mail costs a look at the first letters of a local part, once for each address the policy book does not remember.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from jetmail.inbound.aggregates import ReportIntake, ReportReading
from jetmail.interfaces import IDatabase
from jetmail.mail import returned, returnpath, srs
from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.mail.returned import Returned
from jetmail.mail.returnpath import Ring, Wrong
from jetmail.mail.status import Status
from jetmail.rules.policy import DISABLED_SCORE, DmarcMode, DomainState, Policy, RecipientState, Thresholds
from jetmail.rules.verdict import Action, Ruling
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic import messages, returns
from jetmail.store.traffic.messages import DeliveryRow, NewDelivery, NewMessage
from jetmail.store.traffic.returns import Joined, Taken
from jetmail.store.traffic.suppressions import Strike

HOUR = 3_600.0
FEEDBACK = "fbl"  # at our own names for return paths: what providers are told to send complaints to
MAX_COUNTED = 50_000
FORGED = Ruling(Action.REJECT, "return-path")
EXPIRED = Ruling(Action.REJECT, "return-path-expired")
TOO_MANY = Ruling(Action.DEFER, "return-path-rate")
ALONE = Ruling(Action.DEFER, "bounce-recipients")
TOO_MANY_REPORTS = Ruling(Action.DEFER, "report-rate")

OfBounce = Callable[[float, str, str, Reply, str], Strike | None]
OfComplaint = Callable[[float, str, str, str, str], Strike | None]


@dataclass(frozen=True, slots=True)
class ReturnOptions:
    """`label` below a domain, `own` names of ours for return paths, `forward` the domain of rewritten senders. `days` (1 or more) an address counts.
    `per_hour` (1 or more) what may come to one return path of one recipient; ten times that to one of several."""

    label: str = "bounces"
    own: frozenset[str] = frozenset()
    forward: str = "localhost"
    days: float = 14.0
    per_hour: int = 20


class Entry(NamedTuple):
    """An address of ours that was taken at RCPT. `targets` where its mail goes; `about`, `deliveries`, `delivery_id`, `is_one`: what a return path
    speaks of; None for a rewritten sender. `is_feedback`: the address for complaints, of which the content says what they speak of.
    `is_report`: the address for reports about our domains."""

    policy: Policy
    targets: tuple[Address, ...]
    about: messages.Message | None = None
    deliveries: tuple[DeliveryRow, ...] = ()
    delivery_id: int = 0
    is_one: bool = True
    is_feedback: bool = False
    is_report: bool = False


class Reading(NamedTuple):
    """What came, read. `passed_on`: its original sender gets it."""

    entry: Entry
    found: Returned
    joined: tuple[Joined, ...]
    passed_on: bool
    strikes: tuple[Strike, ...]

    def rows(self, deliveries: Sequence[NewDelivery]) -> tuple[NewDelivery, ...]:
        """The deliveries of what came: as they are, or ended at once when nobody gets it."""
        if self.passed_on:
            return tuple(row._replace(notify="NEVER", orcpt="") for row in deliveries)
        return tuple(row._replace(status=Status.DELIVERED, reason=returns.REASON) if row.status is Status.QUEUED else row for row in deliveries)

    def write(self, new: NewMessage) -> tuple[Callable[..., Any], Taken]:
        """For the store."""
        assert self.entry.about is not None
        return returns.take, Taken(new, self.entry.about, self.found, self.joined, self.passed_on, self.strikes)


class Returns:
    """One per process; on the reactor thread only. `resolve` gives the addresses behind one of ours. `of_bounce`, `of_complaint`: what they count for
    (suppressing); `on_returned(kind, word)` is told of each, for metrics. `reports` takes in what others report about our domains."""

    def __init__(
        self,
        db: IDatabase,
        directory: Directory,
        ring: Callable[[], Ring],
        options: ReturnOptions,
        resolve: Callable[[Address], Sequence[Address]],
        of_bounce: OfBounce = lambda now, user, address, reply, uid: None,
        of_complaint: OfComplaint = lambda now, user, address, detail, uid: None,
        on_returned: Callable[[str, str], None] = lambda kind, word: None,
        reports: ReportIntake | None = None,
    ) -> None:
        self._db = db
        self._directory = directory
        self._ring = ring
        self._options = options
        self._resolve = resolve
        self._of_bounce = of_bounce
        self._of_complaint = of_complaint
        self._on_returned = on_returned
        self._reports = reports
        self._hour = -1
        self._counts: dict[tuple[str, int], int] = {}

    def is_ours(self, address: Address) -> bool:
        """Whether an address is shaped like those we make, at a domain where we make them."""
        local, domain = address.local, address.domain
        if domain in self._options.own and local.casefold() == FEEDBACK:
            return True
        if self._reports is not None and self._reports.is_ours(address):
            return True
        if srs.is_shaped(local):
            return domain == self._options.forward
        if not returnpath.is_shaped(local):
            return False
        if domain in self._options.own or domain == self._options.forward:
            return True
        label, _, parent = domain.partition(".")
        if label != self._options.label or not parent:
            return False
        policy = self._directory.policy_for(parent)
        return policy is not None and policy.is_verified

    def admit(self, address: Address, appliance: Policy, now: float, is_ours: bool, is_first: bool, client: str = "") -> Entry | Ruling:
        """RCPT to such an address, or to any after one."""
        if not is_ours or not is_first:
            return ALONE
        if self._reports is not None and self._reports.is_ours(address):
            has_room = self._reports.has_room(client, now)
            return Entry(self._reports.policy(appliance, address), (address,), is_report=True) if has_room else TOO_MANY_REPORTS
        if srs.is_shaped(address.local):
            back = srs.reversed_(self._ring(), now, address.local, self._options.days)
            if isinstance(back, Wrong):
                return FORGED if back is Wrong.FORGED else EXPIRED
            # Refused for its score it may be, held or put off not: there is nobody to release it, and a host that bounces may not come again.
            only_refused = Thresholds(appliance.thresholds.reject, DISABLED_SCORE, DISABLED_SCORE)
            known = replace(appliance, domain=address.domain, state=DomainState.ACTIVE, recipient=RecipientState.KNOWN, thresholds=only_refused)
            return Entry(known, tuple(self._resolve(back)))
        policy = replace(
            appliance, domain=address.domain, state=DomainState.ACTIVE, recipient=RecipientState.KNOWN, dmarc=DmarcMode.IGNORE,
            thresholds=Thresholds(DISABLED_SCORE, DISABLED_SCORE, DISABLED_SCORE),
        )  # fmt: skip
        if address.local.casefold() == FEEDBACK:
            return Entry(policy, (address,), is_feedback=True)
        return self._known(address, policy, now)

    def _known(self, address: Address, policy: Policy, now: float) -> Entry | Ruling:
        """What a return path speaks of."""
        token = returnpath.read(self._ring(), now, address.local, address.domain, self._options.days)
        if isinstance(token, Wrong):
            return FORGED if token is Wrong.FORGED else EXPIRED
        found = self._db.read(returns.about, token.uid)
        if found is None or not found[0].sender:
            return EXPIRED
        if not self._has_room(token.uid, token.delivery if token.is_one else 0, now):
            return TOO_MANY
        message, deliveries = found
        try:
            targets = tuple(self._resolve(parse(message.sender)))
        except AddressError:
            return EXPIRED
        return Entry(policy, targets, message, deliveries, token.delivery, token.is_one)

    def read(self, entry: Entry, message: Message, is_null: bool, now: float, client: str = "") -> Reading | Deferred[ReportReading] | Ruling | None:
        """The content is there: what does it say, and who is to have it? None for a rewritten sender, of which nobody asks. A ruling for what comes
        to the address for complaints and is none about mail of ours. A report is read while the client waits."""
        if entry.is_report:
            assert self._reports is not None
            return self._reports.read(message, client, now)
        if entry.about is None and not entry.is_feedback:
            return None
        found = returned.read(message, is_null)
        if entry.is_feedback:
            known = self._complained(found, entry.policy, now)
            if isinstance(known, Ruling):
                return known
            entry = known
        about = entry.about
        assert about is not None
        joined = returns.join(found, entry.deliveries, entry.delivery_id, entry.is_one)
        return Reading(entry, found, joined, _is_wanted(found, joined), tuple(self._strikes(now, found, joined, about)))

    def _complained(self, found: Returned, policy: Policy, now: float) -> Entry | Ruling:
        """Of which message, by the return path that a complaint quotes: it is signed, whoever brings it."""
        try:
            address = parse(found.return_path)
        except AddressError:
            return FORGED
        if found.kind != "feedback" or not returnpath.is_shaped(address.local) or not self.is_ours(address):
            return FORGED
        return self._known(address, policy, now)

    def committed(self, reading: Reading | ReportReading) -> None:
        """It is in the store."""
        if isinstance(reading, ReportReading):
            self._on_returned("report", reading.kind)
            return
        words = {joined.said.word for joined in reading.joined} - {""}
        self._on_returned(reading.found.kind, reading.found.feedback_type or (sorted(words)[0] if words else ""))

    def _strikes(self, now: float, found: Returned, joined: Sequence[Joined], about: messages.Message) -> list[Strike]:
        struck: list[Strike | None] = []
        for item in joined:
            said, delivery = item
            if delivery is None or not about.user:
                continue
            if found.kind == "feedback":
                detail = f"{found.feedback_type or 'complaint'}: {found.reporter}".strip(": ")
                struck.append(self._of_complaint(now, about.user, delivery.target, detail, about.uid))
            elif found.kind == "bounce" and said.action == "failed" and (len(found.recipients) == 1 or returns.is_about(item)):
                struck.append(self._of_bounce(now, about.user, delivery.target, _as_reply(said), about.uid))
        return [each for each in struck if each is not None]

    def _has_room(self, uid: str, delivery: int, now: float) -> bool:
        hour = int(now // HOUR)
        if hour != self._hour or len(self._counts) >= MAX_COUNTED:
            self._hour = hour
            self._counts.clear()
        key = (uid, delivery)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count <= self._options.per_hour * (1 if delivery else 10)


def _as_reply(said: returned.Recipient) -> Reply:
    """What a report quotes, as the reply it was."""
    if returned.is_hard(said):
        return Reply(550, said.status if said.status.startswith("5.1.") else "5.1.1", _line(said))
    return Reply(450 if said.status.startswith("4") else 550, said.status, _line(said))


def _line(said: returned.Recipient) -> str:
    return " ".join(said.diagnostic.split())[:400] or said.word


def _is_wanted(found: Returned, joined: Sequence[Joined]) -> bool:
    notify = [item.delivery.notify for item in joined if item.delivery is not None] or [""]
    if found.kind == "bounce":
        return any(not each or "FAILURE" in each for each in notify)
    if found.kind == "delay":
        return any(not each or "DELAY" in each for each in notify)
    if found.kind == "success":
        return any("SUCCESS" in each for each in notify)
    return found.kind in ("auto-reply", "other")
