"""Mail to the address reports about our domains are wanted at: DMARC aggregate reports (RFC 9990) and TLS reports (RFC 8460), taken in on the road.

Promises
- What is 250 is in the store: the reports in it, or why there are none. Nobody gets the mail itself, and nothing is ever sent back.
- Refused are only malware, what the author's domain wants refused by DMARC (a forged report is worth nothing), and what people block for everybody.
  Score and attachment rules do not count: these mails are attachments and little else.
- Octets of strangers: unpacking and reading are bounded (mailauth.reports), done in a thread, one report at a time; a day takes so many, from one
  address a tenth of it. More, or more waiting, is 451 at RCPT, and an honest reporter comes again.
- A report counts for a domain of ours that is verified, or for a name below one. About others, and about days to come, it is a fault.

Raises nothing; a Deferred from `read` fails with StoreError when the spool does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredSemaphore

from jetmail.errors import StoreError
from jetmail.interfaces import IExecutor
from jetmail.mail.address import Address
from jetmail.mail.message import Message
from jetmail.mail.status import Status
from jetmail.mailauth import reports
from jetmail.mailauth.aggregate import DmarcReport, ReportError
from jetmail.mailauth.reports import MAX_PACKED, PolicyResult, TlsReport
from jetmail.rules.attachments import NO_ATTACHMENT_POLICY
from jetmail.rules.policy import DISABLED_SCORE, DmarcMode, DomainState, Policy, RecipientState, SpamAction, Thresholds
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic import aggregates
from jetmail.store.traffic.aggregates import NewReport, Row, Taken
from jetmail.store.traffic.messages import NewDelivery, NewMessage

DAY = 86_400.0
AHEAD = 2 * DAY  # how far another's clock may be ahead of ours
MAX_WAITING = 20
MAX_MESSAGE = 2 * MAX_PACKED
MAX_ROWS = 1_000  # kept of one report; the rest is one row
MAX_AMOUNT = 10**12  # so that sums of many reports are numbers still
MAX_DOMAINS = 50  # of one report; it is one, nearly always
MAX_LABELS = 10  # looked at of a name below a domain of ours
MAX_TEXT = 300
MAX_ORIGINS = 20_000


class About(NamedTuple):
    """What a report says about one domain."""

    domain: str
    policy: str
    rows: tuple[Row, ...]


class Gathered(NamedTuple):
    """A report, DMARC's or TLS's: summed up, bounded, and not yet compared with anything of ours."""

    kind: str
    organization: str
    contact: str
    report_id: str
    begins: float
    ends: float
    abouts: tuple[About, ...]


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`address` that takes reports, with anything behind a plus too; None: there is none. `per_day` (10 or more) mails that are read."""

    address: Address | None = None
    per_day: int = 5_000


class ReportReading(NamedTuple):
    """What a mail to that address holds. In the place of a returning.Reading."""

    author: str
    reports: tuple[NewReport, ...]
    fault: str = ""

    @property
    def kind(self) -> str:
        """tls, dmarc or fault."""
        return self.reports[0].kind if self.reports else "fault"

    def rows(self, deliveries: Sequence[NewDelivery]) -> tuple[NewDelivery, ...]:
        """It has arrived where it was to go. What a rule wanted held back keeps the reason, and is not believed."""
        return tuple(
            row._replace(status=Status.DELIVERED, reason=aggregates.REASON if row.status is Status.QUEUED else row.reason)
            if row.status in (Status.QUEUED, Status.QUARANTINED)
            else row
            for row in deliveries
        )

    def write(self, new: NewMessage) -> tuple[Callable[..., Any], Taken]:
        """For the store."""
        held = next((row.reason for row in new.deliveries if row.reason != aggregates.REASON), "")
        if held:
            return aggregates.take, Taken(new, self.author, (), f"not believed: {held}")
        return aggregates.take, Taken(new, self.author, self.reports, self.fault)


class ReportIntake:
    """One per process; on the reactor thread only. `origin` gives what a client's address is counted by."""

    def __init__(self, directory: Directory, executor: IExecutor, options: ReportOptions, origin: Callable[[str], str]) -> None:
        self._directory = directory
        self._executor = executor
        self._options = options
        self._origin = origin
        self._turn = DeferredSemaphore(1)
        self._waiting = 0
        self._day = -1
        self._taken = 0
        self._by_origin: dict[str, int] = {}

    def is_ours(self, address: Address) -> bool:
        """Whether mail to the address is a report, or should be."""
        own = self._options.address
        if own is None or address.domain != own.domain:
            return False
        local, wanted = address.local.lower(), own.local.lower()
        return local == wanted or local.startswith(wanted + "+")

    def has_room(self, client: str, now: float) -> bool:
        """Whether one more may come from there."""
        self._begin(now)
        per_day = self._options.per_day
        return self._waiting < MAX_WAITING and self._taken < per_day and self._by_origin.get(self._origin(client), 0) < max(1, per_day // 10)

    def policy(self, appliance: Policy, address: Address) -> Policy:
        """How such mail is judged."""
        # Spam is not quite switched off, or what its author's domain wants held back would be believed (rules.checks.dmarc).
        thresholds = Thresholds(DISABLED_SCORE, DISABLED_SCORE - 1, DISABLED_SCORE)
        return replace(
            appliance, domain=address.domain, state=DomainState.ACTIVE, recipient=RecipientState.KNOWN, dmarc=DmarcMode.ENFORCE,
            thresholds=thresholds, spam_action=SpamAction.QUARANTINE, attachments=NO_ATTACHMENT_POLICY,
        )  # fmt: skip

    def read(self, message: Message, client: str, now: float) -> Deferred[ReportReading]:
        """The content is there: which reports does it hold?"""
        self._begin(now)
        self._taken += 1
        home = self._origin(client)
        if home in self._by_origin or len(self._by_origin) < MAX_ORIGINS:
            self._by_origin[home] = self._by_origin.get(home, 0) + 1
        self._waiting += 1
        return Deferred.fromCoroutine(self._read(message, now))

    def _begin(self, now: float) -> None:
        day = int(now // DAY)
        if day != self._day:
            self._day, self._taken = day, 0
            self._by_origin.clear()

    async def _read(self, message: Message, now: float) -> ReportReading:
        sender = message.sender.address
        author = sender.domain if sender is not None else ""
        try:
            found: Gathered | str = "it is larger than a report is"
            if message.size <= MAX_MESSAGE:
                found = await self._turn.run(self._executor.run, read, message.whole)
        finally:
            self._waiting -= 1
        if isinstance(found, str):
            return ReportReading(author, (), found)
        if not found.report_id.strip():
            return ReportReading(author, (), "the report has no id")
        if not 0 <= found.begins <= found.ends <= now + AHEAD:
            return ReportReading(author, (), "the report is about a time that is not over, or was never")
        made = tuple(
            NewReport(
                found.kind, ours, about.domain, author, found.organization, found.contact, found.report_id, found.begins, found.ends, about.policy,
                _sum(about.rows, True), _sum(about.rows, False), about.rows,
            )
            for about in found.abouts
            if (ours := self._ours(about.domain))
        )  # fmt: skip
        names = ", ".join(about.domain for about in found.abouts[:5]) or "none"
        return ReportReading(author, made, "" if made else f"it is about no domain of ours: {names}"[:MAX_TEXT])

    def _ours(self, domain: str) -> str:
        """The verified domain of ours that a name is, or is below; '' for none."""
        for _ in range(MAX_LABELS):
            policy = self._directory.policy_for(domain) if domain else None
            if policy is not None:
                return domain if policy.is_verified else ""
            domain = domain.partition(".")[2]
        return ""


def read(whole: Callable[[], bytes]) -> Gathered | str:
    """In a thread: what a message reports, or why it reports nothing. Raises StoreError from `whole`."""
    try:
        found = reports.read(whole())
        return _dmarc(found) if isinstance(found, DmarcReport) else _tls(found)
    except ReportError as error:
        return str(error)[:MAX_TEXT]
    except StoreError:
        raise
    except Exception as error:  # strangers' octets must not be 451 for ever: whatever reading trips over is the report's fault, and told
        return f"it cannot be read: {type(error).__name__}"


def _dmarc(found: DmarcReport) -> Gathered:
    counted: Counter[Row] = Counter()
    for record in found.records:
        passed = "pass" in (record.dkim, record.spf)
        result = f"dkim={record.dkim[:30] or 'none'} spf={record.spf[:30] or 'none'}"
        counted[Row(record.source, record.header_from[:255], record.disposition[:40], result, passed, 0)] += record.count
    return _gathered("dmarc", found, found.email, (About(found.domain[:255], found.policy[:40], _rows(counted)),))


def _tls(found: TlsReport) -> Gathered:
    by_domain: dict[str, list[PolicyResult]] = {}
    for policy in found.policies:
        by_domain.setdefault(policy.domain[:255], []).append(policy)
    abouts = []
    for domain, policies in list(by_domain.items())[:MAX_DOMAINS]:
        counted: Counter[Row] = Counter()
        for policy in policies:
            kind = policy.kind[:40]
            if policy.succeeded:
                counted[Row("", "", kind, "", True, 0)] += policy.succeeded
            explained = 0
            for failure in policy.failures:
                result = f"{failure.result or 'unknown'} {failure.reason}".strip()[:MAX_TEXT]
                counted[Row(failure.sender[:60], failure.host[:255], kind, result, False, 0)] += failure.sessions
                explained += failure.sessions
            if policy.failed > explained:
                counted[Row("", "", kind, "not explained", False, 0)] += policy.failed - explained
        abouts.append(About(domain, ", ".join(dict.fromkeys(policy.kind[:40] for policy in policies[:5])), _rows(counted)))
    return _gathered("tls", found, found.contact, tuple(abouts))


def _gathered(kind: str, found: TlsReport | DmarcReport, contact: str, abouts: tuple[About, ...]) -> Gathered:
    return Gathered(
        kind, found.organization[:MAX_TEXT], contact[:MAX_TEXT], found.report_id, float(found.begin), float(found.end), abouts
    )  # fmt: skip


def _rows(counted: Counter[Row]) -> tuple[Row, ...]:
    rows = [row._replace(amount=min(number, MAX_AMOUNT)) for row, number in counted.most_common() if number]
    if len(rows) > MAX_ROWS:
        rest = rows[MAX_ROWS - 2 :]
        rows[MAX_ROWS - 2 :] = [Row("", "", "", "all others", passed, _sum(rest, passed)) for passed in (True, False)]
    return tuple(rows)


def _sum(rows: Iterable[Row], passed: bool) -> int:
    return min(sum(row.amount for row in rows if row.passed is passed), MAX_AMOUNT)
