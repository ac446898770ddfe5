"""The daily TLS reports to the domains we sent mail to (RFC 8460): one per domain and day, to whom its `_smtp._tls` record names.

Promises
- The message is stored and the day's counters are forgotten in one transaction: a report is sent once, or the next run sends it.
- Reports leave some time after midnight UTC, each appliance at its own, so that nobody gets all of them at once.
- A domain that wants none costs one look-up a day. When DNS gives no answer the report waits, GIVE_UP days at most.
- Reports go to strangers' addresses: no sender, so that nothing comes back, and at most MAX_AT_ONCE per run.

`send` fails its Deferred with StoreError when the store does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.interfaces import Answer, AnswerKind, IDatabase, IResolver
from jetmail.mail.address import AddressError, parse
from jetmail.mail.status import Status
from jetmail.mailauth import tlsrpt
from jetmail.mailauth.tlsrpt import Counted, Report
from jetmail.outbound.ledger import DAY, day_of
from jetmail.store.database import Connection
from jetmail.store.traffic import messages, transport
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

GIVE_UP = 3  # days
MAX_AT_ONCE = 1_000
MAX_ROWS = 2_000  # of one report
SPREAD = 4 * 3_600.0
LAST_COUNTS = 600.0  # after midnight until yesterday's last sessions are in the store for certain


class TlsReports:
    """`post(url, octets)` sends a report over HTTPS: -> Deferred of why it failed, '' when it did not; without it such reports wait. `wake`: the
    queue has something to do.
    `signed`: the message with our own DKIM signatures."""

    def __init__(
        self,
        db: IDatabase,
        resolver: IResolver,
        post: Callable[[str, bytes], Deferred[str]] | None,
        hostname: str,
        wall: Callable[[], float],
        make_uid: Callable[[], str],
        wake: Callable[[], None],
        log: Logger,
        signed: Callable[[bytes], bytes] = lambda message: message,
    ) -> None:
        self._db = db
        self._resolver = resolver
        self._post = post
        self._hostname = hostname
        self._wall = wall
        self._make_uid = make_uid
        self._wake = wake
        self._log = log
        self._signed = signed
        self._delay = int.from_bytes(hashlib.sha256(hostname.encode()).digest()[:2]) / 65_536 * SPREAD + LAST_COUNTS

    def send(self) -> Deferred[int]:
        """What is due. -> how many reports were sent."""
        return Deferred.fromCoroutine(self._send())

    def send_now(self, today: bool = False) -> Deferred[int]:
        """The same at any hour. `today`: also what this day has brought until now; the rest of it is another report."""
        return Deferred.fromCoroutine(self._send_before(day_of(self._wall() + (DAY if today else 0.0))))

    async def _send(self) -> int:
        now = self._wall()
        return 0 if now % DAY < self._delay else await self._send_before(day_of(now))

    async def _send_before(self, end: str) -> int:
        sent = 0
        for day, domain in await self._db.search(transport.unreported, end, MAX_AT_ONCE):
            sent += await self._about(day, domain)
        return sent

    async def _about(self, day: str, domain: str) -> bool:
        answer: Answer = await self._resolver.query(f"_smtp._tls.{domain}", "TXT")
        if answer.is_temporary and day > day_of(self._wall() - GIVE_UP * DAY):
            return False
        wanted = tlsrpt.destinations(answer.records) if answer.kind is AnswerKind.FOUND else ()
        if self._post is None and any(not tlsrpt.address(uri) for uri in wanted):
            return False
        news: list[NewMessage] = []
        posts: list[str] = []
        octets = b""
        if wanted:
            rows = await self._db.search(transport.results, day, domain, MAX_ROWS)
            counted = [Counted(row.policy, row.quoted, row.host, row.result, row.sessions) for row in rows]
            start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
            identity = self._make_uid()
            report = Report(self._hostname, f"postmaster@{self._hostname}", identity, domain, start, start + DAY, counted)
            octets = tlsrpt.build(report)
            for uri in wanted:
                to = tlsrpt.address(uri)
                if to:
                    news += self._message(report, octets, to)
                else:
                    posts.append(uri)
        if not await self._db.run(_sent, day, domain, news):
            return False
        if news:
            self._wake()
        for uri in posts:
            assert self._post is not None
            failed = await self._post(uri, octets)
            if failed:
                self._log.info("the TLS report about {domain} was not taken by {uri}: {reason}", domain=domain, uri=uri, reason=failed)
        return bool(news or posts)

    def _message(self, report: Report, octets: bytes, to: str) -> list[NewMessage]:
        try:
            parsed = parse(to)
        except AddressError:
            return []
        recipient = str(parsed)
        if not recipient.isascii() or not to.isprintable():
            return []
        uid = self._make_uid()
        now = self._wall()
        message_id = f"{uid}@{self._hostname}"
        data = self._signed(tlsrpt.mail(report, octets, recipient, now, message_id))
        delivery = NewDelivery(recipient, parsed.domain, recipient, parsed.domain, Status.QUEUED, notify="NEVER")
        return [
            NewMessage(
                uid, "outbound", now, "", len(data), Content(len(data), data), (delivery,), header_from=report.contact,
                subject=f"Report Domain: {report.domain} Submitter: {report.organization}", message_id=message_id, claimed=False,
            )
        ]  # fmt: skip


def _sent(conn: Connection, day: str, domain: str, news: list[NewMessage]) -> bool:
    """One transaction: the messages are there, the counters are not. False: somebody else has sent it meanwhile."""
    if not transport.reported(conn, day, domain):
        return False
    if news:
        messages.accept_all(conn, news)
    return True
