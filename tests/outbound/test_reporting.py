"""Daily TLS reports to other domains."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.outbound.reporting import TlsReports
from jetmail.store import migrations
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import transport
from jetmail.store.traffic.transport import ResultRow
from tests.fakes import FakeResolver

TODAY = 1_900_022_400.0  # 2030-03-18 00:00 UTC
RECORD = ("_smtp._tls.a.test", "TXT")


@implementer(IResolver)
class SlowResolver:
    """Has one answer, later."""

    def __init__(self, answer: Deferred[Answer]) -> None:
        self._answer = answer

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        """See IResolver.query."""
        return self._answer


class ReportingTests(SynchronousTestCase):
    """Of one domain, a.test, yesterday."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = str(Path(directory.name, "store.db"))
        migrations.apply(path)
        self.db = InlineDatabase(path)
        self.resolver = FakeResolver()
        self.now = TODAY + 5 * 3_600
        self.posted: list[tuple[str, bytes]] = []
        self.woken = 0
        self.uids = 0
        self.reports = TlsReports(self.db, self.resolver, self._post, "us.test", lambda: self.now, self._uid, self._wake, Logger(), self._sign)
        self.count("2030-03-17")

    def _uid(self) -> str:
        self.uids += 1
        return f"uid{self.uids}"

    def _sign(self, message: bytes) -> bytes:
        return b"DKIM-Signature: ours\r\n" + message

    def _wake(self) -> None:
        self.woken += 1

    def _post(self, url: str, octets: bytes) -> Deferred[str]:
        self.posted.append((url, octets))
        return succeed("its server answered 500")

    def count(self, day: str, sessions: int = 3) -> None:
        """Sessions of a day."""
        self.db.run(transport.save, [], [ResultRow(day, "a.test", "sts", ("mode: enforce",), "mx.test", "certificate-expired", sessions)])

    def queued(self) -> list[tuple[str, str, str]]:
        """(sender, recipient, subject) of what waits in the queue."""
        query = "SELECT sender, recipient, subject FROM deliveries JOIN messages ON messages.id = deliveries.message_id WHERE status = 'queued'"
        return self.db.connection.execute(query).fetchall()

    def send(self) -> int:
        """One run."""
        sent: int = self.successResultOf(self.reports.send())
        return sent

    def test_by_mail(self) -> None:
        """To each address the domain names, once, through the queue, from nobody; the counters are gone with it."""
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:r@a.test,mailto:s@b.test"]
        self.assertEqual((self.send(), self.send(), self.woken), (1, 0, 1))
        subject = "Report Domain: a.test Submitter: us.test"
        self.assertEqual(self.queued(), [("", "r@a.test", subject), ("", "s@b.test", subject)])
        self.assertEqual(transport.unreported(self.db.connection, "9999", 10), [])
        stored = self.db.connection.execute("SELECT data FROM content").fetchall()
        self.assertTrue(all(data.startswith(b"DKIM-Signature: ours\r\nDate: ") for (data,) in stored))

    def test_by_https(self) -> None:
        """The same JSON by POST; a server that does not take it is not asked again."""
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=https://a.test/r"]
        self.assertEqual((self.send(), self.send()), (1, 0))
        ((url, octets),) = self.posted
        self.assertEqual((url, json.loads(octets)["policies"][0]["summary"]["total-failure-session-count"]), ("https://a.test/r", 3))
        self.assertEqual(self.queued(), [])

    def test_nobody_wants_it(self) -> None:
        """Without a record nothing is sent and nothing is kept; an address that is none is nobody."""
        self.assertEqual((self.send(), self.queued()), (0, []))
        self.assertEqual(transport.unreported(self.db.connection, "9999", 10), [])
        self.count("2030-03-17")
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@a.test,mailto:@,mailto:%ff@a.test"]
        self.assertEqual((self.send(), self.queued()), (0, []))

    def test_today(self) -> None:
        """A day is reported when it is over, and not all appliances at midnight."""
        self.count("2030-03-18", 9)
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:r@a.test"]
        self.now = TODAY + 1
        self.assertEqual(self.send(), 0)
        self.now = TODAY + 5 * 3_600
        self.assertEqual(self.send(), 1)
        self.assertEqual(transport.unreported(self.db.connection, "9999", 10), [("2030-03-18", "a.test")])

    def test_now(self) -> None:
        """Somebody who asks for it has it sent at any hour, today's until now as well; what wants HTTPS is left to who can."""
        self.count("2030-03-18", 9)
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:r@a.test"]
        self.now = TODAY + 1
        self.assertEqual(self.successResultOf(self.reports.send_now()), 1)
        self.assertEqual(self.successResultOf(self.reports.send_now(today=True)), 1)
        self.assertEqual((self.successResultOf(self.reports.send_now(today=True)), len(self.queued())), (0, 2))
        self.count("2030-03-17")
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:r@a.test,https://a.test/r"]
        mail_only = TlsReports(self.db, self.resolver, None, "us.test", lambda: self.now, self._uid, self._wake, Logger())
        self.assertEqual(self.successResultOf(mail_only.send_now()), 0)
        self.assertEqual(len(transport.unreported(self.db.connection, "9999", 10)), 1)

    def test_two_at_once(self) -> None:
        """A report that another process has sent meanwhile is not sent again."""
        self.resolver.zone[RECORD] = [b"v=TLSRPTv1; rua=mailto:r@a.test,https://a.test/r"]
        waiting: Deferred[Answer] = Deferred()
        slow = TlsReports(self.db, SlowResolver(waiting), self._post, "us.test", lambda: self.now, self._uid, self._wake, Logger())
        sending = slow.send_now()
        self.assertEqual(self.send(), 1)
        waiting.callback(Answer(AnswerKind.FOUND, (b"v=TLSRPTv1; rua=mailto:r@a.test,https://a.test/r",)))
        self.assertEqual((self.successResultOf(sending), len(self.queued()), len(self.posted)), (0, 1, 1))

    def test_no_answer(self) -> None:
        """While DNS gives no answer the report waits, a few days."""
        self.resolver.zone[RECORD] = AnswerKind.SERVFAIL
        self.assertEqual(self.send(), 0)
        self.assertEqual(len(transport.unreported(self.db.connection, "9999", 10)), 1)
        self.now += 4 * 86_400
        self.assertEqual(self.send(), 0)
        self.assertEqual(transport.unreported(self.db.connection, "9999", 10), [])

    def test_counts_add_up(self) -> None:
        """What is written twice is summed."""
        self.count("2030-03-17", 4)
        (row,) = transport.results(self.db.connection, "2030-03-17", "a.test", 10)
        self.assertEqual(row.sessions, 7)
