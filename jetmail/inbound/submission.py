"""Submission: what is asked of mail that somebody with a login sends, before the chain of rules sees it (spec 4, 5, 7.1-7.12).

The order, and what each refusal says (the first one stands):
1. is the login still good (deleted, suspended, another password, another network): 421, at the session's next command;
2. the quota: `421 4.7.1 Rate limit exceeded. Try again later.`, at MAIL when it is used up, for certain at the end of the content, where each
   message takes its place before it is committed;
3. a blocked sender: `550 5.7.1 [ABUSE] ...`;
4. as whom may they send: `550 [ACL] Blocked`, or for a person `553 5.7.1` (inbound.permission);
5. lockdown, a check given by app (`lockdown`): `550 5.7.1 [LOCKDOWN] ...`, or 451 when DNS cannot tell;
6. SPF of the sender's domain, where that is wanted (inbound.published): `550 [SPF_INVALID]`;
7. content: the chain, with thresholds of its own; nothing is held or deferred for its score, as there is nobody to release it.
Besides, at each RCPT: an address that is suppressed, `550 5.7.1 [SUPPRESSED] ...` (inbound.suppressed).
Refusals 3 to 7 come after the content, are written down, and name where they are explained: `See https://<host>/?id=<uid>&auth=<uuid>`.

What is accepted says whom it is from: `X-JetEmail-User: <uuid>`, never the name, in place of whatever the client wrote there; Date and Message-ID are
added where they are missing (RFC 6409 8.1, 8.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jetmail.inbound import permission, published, suppressed
from jetmail.inbound.activity import Activity
from jetmail.inbound.login import is_allowed_from
from jetmail.inbound.principal import Principal, PrincipalKind
from jetmail.inbound.quota import Meter, Reservation
from jetmail.interfaces import IResolver
from jetmail.mail.address import Address
from jetmail.mail.envelope import Sender
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.mail.trace import rfc5322_date
from jetmail.rules.budget import Budget
from jetmail.rules.facts import Client
from jetmail.rules.policy import DISABLED_SCORE, Policy, SpamAction, Thresholds
from jetmail.rules.settlement import Settlement
from jetmail.rules.verdict import NO_OPINION, REASONS, Action, Finding, Kind, Level, Opinion, Ruling, Verdict
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.suppressing import Suppressing

ENDED = Reply(421, "4.7.0", "Your login is not valid any more, please sign in again")
USUAL_HEADER = b"x-jetemail-user"  # what others may trust, whatever ours is called
DNS_SECONDS = 2.0  # for the SPF of one message
QUOTA = Ruling(Action.DEFER, "quota")
ABUSE = Ruling(Action.REJECT, "abuse")
# Refusals that name where they are explained, and how they begin towards somebody with a login (spec 5.6).
REFERENCED = {
    "acl": REASONS["acl"].reply,
    "abuse": REASONS["abuse"].reply,
    "spf-invalid": REASONS["spf-invalid"].reply,
    "spam": Reply(550, "", "[SPAM] Blocked"),
    "virus": Reply(550, "", "[VIRUS] Blocked"),
    "lockdown": None,  # in the words of the check, which names the domain
    "suppressed": None,
}


@dataclass(frozen=True, slots=True)
class SubmissionOptions:
    """`hostname` is ours, `report_host` the one that explains refusals ('': ours). `user_header`: the field that carries the uuid. `reject_score`:
    mail of users is refused from this score on. `spf`: 'off', 'flag' or 'strict'; `spf_include`: the name a record is to include."""

    hostname: str
    report_host: str = ""
    user_header: str = "X-JetEmail-User"
    reject_score: float = 15.0
    spf: str = "flag"
    spf_include: str = ""

    def url(self, uid: str, person: str) -> str:
        """Where a refusal is explained."""
        return f"https://{self.report_host or self.hostname}/?id={uid}&auth={person}"


class Question(NamedTuple):
    """One complete message somebody wants to send. `user` is the row of an SMTP user, None for a person. `domains`: those of the envelope's sender
    and of From, each once, A-labels."""

    time: float
    uid: str
    principal: Principal
    user: SmtpUser | None
    client: Client
    sender: Sender
    message: Message
    domains: tuple[str, ...]


# A check of step 5: NO_OPINION to go on, or findings with a ruling. A ruling of reason 'lockdown' gets its reference added.
Check = Callable[[Question], Verdict | Deferred[Verdict]]


class Submissions:
    """See the module. One per process. `lockdown` may be set later than the rest; None: nobody has locked anything down."""

    def __init__(
        self,
        options: SubmissionOptions,
        directory: Directory,
        meter: Meter,
        activity: Activity,
        resolver: IResolver,
        clock: IReactorTime,
        *,
        lockdown: Check | None = None,
        suppressing: Suppressing | None = None,
    ) -> None:
        self.options = options
        self.directory = directory
        self.meter = meter
        self.activity = activity
        self.lockdown = lockdown
        self.suppressing = suppressing
        self._resolver = resolver
        self._clock = clock
        self._thresholds = Thresholds(options.reject_score, DISABLED_SCORE, DISABLED_SCORE)
        self._header = options.user_header.lower().encode("ascii")

    # the session

    def ended(self, principal: Principal, address: str) -> Reply | None:
        """421 when the login counts no more."""
        if principal.kind is PrincipalKind.MAILBOX:
            person = self.directory.person(principal.id)
            is_good = person is not None and not person.is_suspended and person.password == principal.stamp and person.address == principal.name
            return None if is_good else ENDED
        user = self.directory.smtp_user(principal.id)
        if user is None or user.is_suspended or user.password != principal.stamp or not is_allowed_from(user.networks, address):
            return ENDED
        return None

    def at_mail(self, principal: Principal, sender: Sender, now: float) -> Ruling | None:
        """What can be said before the content: the quota is used up, or a person is not the sender. None: go on."""
        user = self._user(principal)
        if user is not None:
            return QUOTA if self.meter.is_locked(user, now) else None
        if sender.address is not None and permission.of_address(self.directory, principal, None, sender.address, "envelope sender"):
            return permission.NOT_OWNED
        return None

    def policy(self, policy: Policy) -> Policy:
        """A recipient's policy as it counts for what users send: their own thresholds."""
        if policy.thresholds is self._thresholds:
            return policy
        return replace(policy, thresholds=self._thresholds, spam_action=SpamAction.TAG, keep_spam=False)

    # the message

    def reserve(self, principal: Principal, now: float) -> Reservation | Ruling | None:
        """A place in the quota, or the ruling when there is none; None for who has no quota."""
        user = self._user(principal)
        return None if user is None else self.meter.reserve(user, now) or QUOTA

    def judge(
        self, time: float, uid: str, principal: Principal, client: Client, sender: Sender, recipients: tuple[Address, ...], message: Message
    ) -> tuple[Opinion, ...] | Deferred[tuple[Opinion, ...]]:
        """Steps 3 to 6. Opinions; one with a ruling ends the matter."""
        key = str(sender.address.key) if sender.address is not None else ""
        blocked = self._blocked(principal.id, key)
        self.activity.seen(principal.id)
        self.activity.count(principal.id, key, messages=1, newcomers=self._newcomers(principal, recipients))
        blocked = blocked or self._blocked(principal.id, key)  # this message may be the one too many
        if blocked is not None:
            return opinions(blocked)
        user = self._user(principal)
        author = message.sender
        address = sender.address
        verdict = permission.judge(self.directory, principal, user, address, author)
        if verdict is not NO_OPINION:
            return opinions(verdict)
        domains = tuple(dict.fromkeys(each.domain for each in ((address,) if address is not None else ()) + author.addresses))
        is_any = user is not None and permission.mode_of(self.directory, user) == "any"
        asks_spf = self.options.spf == "strict" or (self.options.spf == "flag" and is_any)
        if self.lockdown is None and not asks_spf:
            return ()
        question = Question(time, uid, principal, user, client, sender, message, domains)
        return Deferred.fromCoroutine(self._ask(question, asks_spf))

    async def _ask(self, question: Question, asks_spf: bool) -> tuple[Opinion, ...]:
        found: tuple[Opinion, ...] = ()
        if self.lockdown is not None:
            answer = self.lockdown(question)
            found += opinions(await answer if isinstance(answer, Deferred) else answer, "lockdown")
        if asks_spf and not any(each.verdict.ruling is not None for each in found):
            options, budget = self.options, Budget(self._resolver, self._clock, DNS_SECONDS)
            verdict = await published.judge(budget, question.domains, wanted=options.spf_include, is_strict=options.spf == "strict")
            found += opinions(verdict, "published-spf")
        return found

    def settled(self, settlement: Settlement, uid: str, principal: Principal, sender: Sender) -> Settlement:
        """A refusal of the whole message, in the words for somebody with a login; counted."""
        key = sender.address.key if sender.address is not None else ""
        reasons = {ruling.reason for ruling in settlement.rulings}
        if "spam" in reasons or "virus" in reasons:
            self.activity.count(principal.id, key, spam=int("spam" in reasons), virus=int("virus" in reasons))
        elif "lockdown" in reasons:
            self.activity.count(principal.id, key, rejections=1)
        rulings = tuple(self._phrased(ruling, uid, principal) for ruling in settlement.rulings)
        reply = next(new.public_reply for old, new in zip(settlement.rulings, rulings, strict=True) if old.public_reply == settlement.reply)
        return settlement._replace(rulings=rulings, reply=reply)

    def suppressed(self, principal: Principal, uid: str, recipient: Address, targets: Sequence[Address], now: float) -> Opinion | None:
        """The refusal of a recipient who is suppressed."""
        verdict = suppressed.judge(self.suppressing, principal, recipient, targets, now) if self.suppressing is not None else None
        if verdict is None or verdict.ruling is None:
            return None
        return opinions(replace(verdict, ruling=self._phrased(verdict.ruling, uid, principal)), "suppressed")[0]

    def refused_recipient(self, principal: Principal, sender: Sender, ruling: Ruling) -> None:
        """One recipient was refused for good."""
        if ruling.action is Action.REJECT:
            self.activity.count(principal.id, sender.address.key if sender.address is not None else "", rejections=1)

    def header(self, principal: Principal, uid: str, message: Message, now: float) -> tuple[bytes, str]:
        """-> (fields to add below our Received, the Message-ID that was added or '')."""
        made = f"{self.options.user_header}: {principal.id}\r\n"
        message_id = ""
        if not message.count(b"date"):
            made += f"Date: {rfc5322_date(now)}\r\n"
        if not message.count(b"message-id"):
            message_id = f"<{uid}@{self.options.hostname}>"
            made += f"Message-ID: {message_id}\r\n"
        return made.encode("ascii", "replace"), message_id

    @property
    def removes(self) -> frozenset[bytes]:
        """Fields nobody else may write."""
        return frozenset((self._header, USUAL_HEADER))

    def _user(self, principal: Principal) -> SmtpUser | None:
        return self.directory.smtp_user(principal.id) if principal.kind is PrincipalKind.SMTP_USER else None

    def _blocked(self, user: str, sender: str) -> Verdict | None:
        blocked = self.directory.blocked(user)
        for key in ("", sender):
            if (row := blocked.get(key)) is not None:
                told = ", ".join(f"{name} {value}" for name, value in row.evidence.items())
                return Verdict((Finding("SENDER_BLOCKED", 0.0, f"{key or 'the whole user'}: too many {row.reason} ({told})"),), ABUSE)
            if self.activity.is_over(user, key):
                return Verdict((Finding("SENDER_BLOCKED", 0.0, f"{key or 'the whole user'}: over a limit a moment ago"),), ABUSE)
            if not sender:
                break
        return None

    def _newcomers(self, principal: Principal, recipients: tuple[Address, ...]) -> int:
        return self.activity.newcomers(principal.id, recipients) if self.activity.wants_newcomers() else 0

    def _phrased(self, ruling: Ruling, uid: str, principal: Principal) -> Ruling:
        if ruling.reason not in REFERENCED or ruling.action is not Action.REJECT:
            return ruling
        base = REFERENCED[ruling.reason] or ruling.public_reply
        see = "See:" if ruling.reason == "abuse" else "See"
        text = f"{base.text.rstrip('.')}. {see} {self.options.url(uid, principal.id)}"
        return replace(ruling, reply=Reply(base.code, base.enhanced, text), keeps=False)


def opinions(verdict: Verdict, rule: str = "submission") -> tuple[Opinion, ...]:
    """What was found before the chain began, as its very first opinion."""
    return () if verdict is NO_OPINION else (Opinion(rule, -1, Kind.POLICY, Level.APPLIANCE, None, verdict),)
