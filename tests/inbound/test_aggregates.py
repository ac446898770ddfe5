"""Reports about our domains on the road: taken in once, understood or said why not, and never a bounce."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from base64 import b64encode
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.errors import StoreError
from jetmail.inbound.aggregates import MAX_ROWS, ReportIntake, ReportOptions, read
from jetmail.inbound.policies import PolicyBook
from jetmail.inbound.returning import ReturnOptions, Returns
from jetmail.interfaces import IExecutor
from jetmail.mail.address import parse
from jetmail.mail.returnpath import Key, Ring
from jetmail.mailauth import tlsrpt
from jetmail.offload import InlineExecutor
from jetmail.store.traffic import aggregates
from tests.inbound.receiving import DELIVERIES, NOW, House
from tests.inbound.test_authenticated import RULES
from tests.mailauth.test_reports import BOMB, RECORD, XML
from tests.mailauth.test_tlsrpt import REPORT

TO = "reports@us.test"
DMARC = XML.replace(b"<domain>A.test", b"<domain>demo.test")
TLS = REPORT._replace(domain="demo.test", start=NOW - 86_400.0, end=NOW)


def mail(octets: bytes, name: str = "far.test!demo.test!1!2.xml", sender: str = "dmarc@far.test") -> bytes:
    """With one attachment."""
    return (
        f"From: {sender}\r\nSubject: Report domain: demo.test\r\nMessage-ID: <1@far.test>\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + b64encode(octets) + b"\r\n"  # fmt: skip


def zipped(octets: bytes) -> bytes:
    """As a zip file of one."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("report.xml", octets)
    return made.getvalue()


@implementer(IExecutor)
class SlowExecutor:
    """Does nothing until told."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []

    def run(self, fn: Any, *args: Any) -> Deferred[Any]:
        """Later."""
        waiting: Deferred[Any] = Deferred()
        waiting.addCallback(lambda _: fn(*args))
        self.waiting.append(waiting)
        return waiting


class Case(SynchronousTestCase):
    """demo.test is ours; reports come to reports@us.test."""

    executor: Any = InlineExecutor()
    rules = ""

    def setUp(self) -> None:
        self.house = house = House(self.rules)
        self.told: list[tuple[str, str]] = []
        intake = ReportIntake(house.directory, self.executor, ReportOptions(parse(TO), 50), lambda address: address)
        door = Returns(
            house.db, house.directory, lambda: Ring((Key(0, NOW, b"k" * 32),)), ReturnOptions(), lambda address: (address,),
            on_returned=lambda kind, word: self.told.append((kind, word)), reports=intake,
        )  # fmt: skip
        house.services = replace(house.services, returns=door, book=PolicyBook(house.directory, door.is_ours))

    def send(self, octets: bytes, to: str = TO, client: str = "192.0.2.7") -> Any:
        """Somebody brings a mail."""
        return self.house.session(client).send(octets, "bounce@far.test", (to,))

    def bring(self, octets: bytes, client: str = "192.0.2.7") -> Any:
        """The same, and its answer is waited for."""
        visit = self.house.session(client)
        visit.mail("bounce@far.test")
        visit.rcpt(TO)
        return visit.content(octets)

    def reports(self) -> tuple[aggregates.Report, ...]:
        """What is in the store, newest first."""
        return self.house.db.read(aggregates.listing, None)

    def faults(self) -> list[str]:
        """The reasons."""
        return [report.reason for report in self.reports()]


class TakenTests(Case):
    """What is understood."""

    def test_dmarc(self) -> None:
        """As XML, zipped or gzipped: rows by source, once however often it comes; nobody gets the mail."""
        octets = DMARC % (RECORD % 7 + RECORD.replace(b">pass<", b">fail<").replace(b"192.0.2.1", b"192.0.2.9") % 2)
        for packed in (octets, zipped(octets), gzip.compress(octets)):
            self.assertEqual(self.send(mail(packed, "r!x.zip")).code, 250)
        (report,) = self.reports()
        self.assertEqual((report.kind, report.ours, report.domain, report.author), ("dmarc", "demo.test", "demo.test", "far.test"))
        self.assertEqual((report.organization, report.report_id, report.passed, report.failed, report.client), ("o", "1", 7, 2, "192.0.2.7"))
        good, bad = self.house.db.read(aggregates.rows, report.id)
        self.assertEqual(good, ("192.0.2.1", "a.test", "none", "dkim=pass spf=fail", True, 7))
        self.assertEqual((bad.source, bad.passed, bad.amount), ("192.0.2.9", False, 2))
        self.assertEqual({row[3:5] for row in self.house.rows(DELIVERIES)}, {("delivered", "report")})
        self.assertEqual(self.house.rows("SELECT count(*) FROM content"), [(0,)])
        self.assertEqual((self.house.queue.messages, self.told), ([], [("report", "dmarc")] * 3))

    def test_tls(self) -> None:
        """The mail another jetmail sends is read: sessions that worked, and those that did not with host and reason."""
        self.assertEqual(self.send(tlsrpt.mail(TLS, tlsrpt.build(TLS), TO, NOW, "1@us.test")).code, 250)
        (report,) = self.reports()
        self.assertEqual((report.kind, report.policy, report.passed, report.failed), ("tls", "sts, no-policy-found", 8, 3))
        rows = {(row.policy, row.host, row.result, row.amount) for row in self.house.db.read(aggregates.rows, report.id)}
        self.assertIn(("sts", "mx.test", "certificate-expired", 2), rows)
        self.assertIn(("no-policy-found", "", "", 3), rows)

    def test_tls_of_several(self) -> None:
        """A report about several domains counts for each of ours; failures it does not explain are there all the same."""
        told = json.loads(tlsrpt.build(TLS))
        policies = []
        for domain in ("demo.test", "mail.demo.test", "elsewhere.test"):
            summary = {"total-successful-session-count": 1, "total-failure-session-count": 4}
            policies.append({"policy": {"policy-type": "sts", "policy-domain": domain}, "summary": summary})
        self.send(mail(json.dumps({**told, "policies": policies}).encode(), "r.json"))
        self.assertEqual([(report.domain, report.ours, report.failed) for report in self.reports()], [
            ("mail.demo.test", "demo.test", 4), ("demo.test", "demo.test", 4),
        ])  # fmt: skip
        self.assertEqual(self.house.db.read(aggregates.rows, 1)[0].result, "not explained")

    def test_address(self) -> None:
        """Anything behind a plus, in any case; what only begins alike is not ours."""
        for to in ("Reports+demo.test@US.test", "REPORTS@us.test"):
            self.assertEqual(self.send(mail(DMARC % b""), to).code, 250)
        for to in ("reportsx@us.test", "other@us.test", "reports@other.test"):
            visit = self.house.session()
            visit.mail("x@far.test")
            self.assertIn("Relaying denied", str(visit.rcpt(to)))

    def test_timeline(self) -> None:
        """The log shows what was made of the mail."""
        self.send(mail(DMARC % (RECORD % 7)))
        ((kind, detail),) = self.house.rows("SELECT kind, detail FROM events")
        self.assertEqual((kind, json.loads(detail)["domains"], json.loads(detail)["id"]), ("taken-in", "demo.test", "1"))

    def test_many_rows(self) -> None:
        """Of a report with more sources than are kept, the rest is one row, and the sums are right."""
        records = b"".join((RECORD % 2).replace(b"192.0.2.1", b"2001:db8::%x" % number) for number in range(MAX_ROWS + 200))
        self.send(mail(DMARC % records))
        (report,) = self.reports()
        rows = self.house.db.read(aggregates.rows, report.id)
        self.assertEqual((len(rows), rows[-2].result, report.passed), (MAX_ROWS, "all others", 2 * (MAX_ROWS + 200)))

    def test_spooled(self) -> None:
        """A large mail is read from the spool, which is empty afterwards."""
        self.house.services = replace(self.house.services, options=replace(self.house.services.options, inline_limit=4_096))
        noise = b"<!--" + b"x y " * 3_000 + b"-->"
        self.assertEqual(self.send(mail(DMARC % (RECORD % 3 + noise))).code, 250)
        self.assertEqual(([report.passed for report in self.reports()], self.house.spool.files), ([3], {}))


class FaultTests(Case):
    """What is not."""

    def test_no_report(self) -> None:
        """Broken, packed without end, about others or about days to come: 250, a reason in the store, and nothing to anybody."""
        octets = DMARC % b""
        cases = {
            b"From: a@far.test\r\nSubject: hello\r\n\r\nhello\r\n": "no part of the message is a report",
            mail(gzip.compress(octets)[:-9]): "the gzip file is cut off",
            mail(gzip.compress(b"<" + b" " * (20 << 20)), "r.gz"): "the report unpacks to more than a report may be",
            mail(BOMB): "the XML declares a document type or an entity",
            mail(zipped(octets)[:-30]): "the zip file is broken: BadZipFile",
            mail(b'{"policies": 1}', "r.json"): "the JSON is no TLS report",
            mail(XML % b""): "it is about no domain of ours: a.test",
            mail(octets.replace(b"<end>2", b"<end>%d" % (NOW + 999_999))): "the report is about a time that is not over, or was never",
            mail(octets.replace(b"<begin>1", b"<begin>3")): "the report is about a time that is not over, or was never",
            mail(octets.replace(b"<report_id>1", b"<report_id> ")): "the report has no id",
        }
        for number, (content, reason) in enumerate(cases.items()):
            self.assertEqual(self.send(content, client=f"192.0.2.{number}").code, 250, reason)
            self.assertEqual(self.faults()[0], reason)
        self.assertEqual({report.kind for report in self.reports()}, {"fault"})
        self.assertEqual((self.house.queue.messages, self.told[-1]), ([], ("report", "fault")))

    def test_not_verified(self) -> None:
        """A domain somebody has only claimed has no reports."""
        self.house.add_domain("claimed.test", verified_at=None)
        self.send(mail(XML.replace(b"A.test", b"claimed.test") % b""))
        self.assertEqual(self.faults(), ["it is about no domain of ours: claimed.test"])

    def test_enough(self) -> None:
        """A day takes so many, a tenth of them from one address; the next day begins anew."""
        for _ in range(5):
            self.assertEqual(self.send(mail(DMARC % b"")).code, 250)
        visit = self.house.session()
        visit.mail("x@far.test")
        self.assertEqual(str(visit.rcpt(TO)), "451 4.7.1 Too many reports have come today, please try again later")
        for client in range(9):
            for _ in range(5):
                self.assertEqual(self.send(mail(DMARC % b""), client=f"198.51.100.{client}").code, 250)
        visit = self.house.session("203.0.113.1")
        visit.mail("x@far.test")
        self.assertEqual(visit.rcpt(TO).code, 451)
        self.house.clock.advance(86_400)
        self.assertEqual(self.send(mail(DMARC % b"")).code, 250)

    def test_alone(self) -> None:
        """No other recipient with it."""
        visit = self.house.session()
        visit.mail("x@far.test")
        visit.rcpt(TO)
        self.assertEqual(visit.rcpt("bob@demo.test").code, 452)

    def test_unexpected(self) -> None:
        """Whatever reading trips over is the report's fault; a spool that cannot be read is ours."""

        def broken(error: Exception) -> Any:
            def whole() -> bytes:
                raise error

            return whole

        self.assertEqual(read(broken(RecursionError())), "it cannot be read: RecursionError")
        self.assertRaises(StoreError, read, broken(StoreError("gone")))


class ForgedTests(Case):
    """With the rules of authentication alone."""

    rules = RULES

    def test_forged(self) -> None:
        """Whose author's domain wants forgeries refused is refused; whose wants them held back is not believed."""
        self.house.resolver.zone["_dmarc.far.test", "TXT"] = [b"v=DMARC1; p=reject"]
        self.assertEqual(self.send(mail(DMARC % b"")).code, 550)
        self.house.resolver.zone["_dmarc.far.test", "TXT"] = [b"v=DMARC1; p=quarantine"]
        self.assertEqual(self.send(mail(DMARC % b"")).code, 250)
        self.assertEqual(self.faults(), ["not believed: suspect"])
        self.assertEqual(self.house.rows(DELIVERIES)[-1][3], "delivered")


class SlowTests(Case):
    """Reading takes its time."""

    def setUp(self) -> None:
        self.executor = SlowExecutor()
        super().setUp()

    def test_one_at_a_time(self) -> None:
        """250 comes when the report is read and stored; meanwhile others wait, and past some RCPT says to come later."""
        answers = [self.bring(mail(DMARC % b""), f"192.0.2.{number}") for number in range(20)]
        self.assertEqual(len(self.executor.waiting), 1)
        self.assertNoResult(answers[0])
        visit = self.house.session()
        visit.mail("x@far.test")
        self.assertEqual(visit.rcpt(TO).code, 451)
        self.executor.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(answers[0]).code, 250)
        self.assertEqual(visit.rcpt(TO).code, 250)

    def test_client_leaves(self) -> None:
        """A client that does not wait for its 250 has brought its report all the same."""
        answer = self.bring(mail(DMARC % (RECORD % 1)))
        answer.addErrback(lambda failure: None).cancel()
        self.executor.waiting[0].callback(None)
        self.assertEqual(len(self.reports()), 1)

    def test_store_fails(self) -> None:
        """What cannot be stored is 451, and comes again."""
        answer = self.bring(mail(DMARC % (RECORD % 1)))
        self.house.db.holds = True
        self.executor.waiting[0].callback(None)
        self.house.db.fail()
        self.assertEqual(self.successResultOf(answer).code, 451)
        self.assertEqual((self.reports(), len(self.flushLoggedErrors(StoreError))), ((), 1))
