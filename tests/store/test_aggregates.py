"""Reports about our domains in the store, and the policies our domains publish."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.store.directory import domains, served_policies
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.served_policies import ServedPolicy
from jetmail.store.traffic import aggregates, messages
from jetmail.store.traffic.aggregates import NewReport, Row, Taken
from tests.store.samples import delivery, memory_store, message

GOOD = Row("192.0.2.1", "a.test", "none", "dkim=pass spf=pass", True, 90)
BAD = Row("192.0.2.9", "a.test", "reject", "dkim=fail spf=fail", False, 10)


def report(number: int = 1, **other: Any) -> NewReport:
    """About a.test, by far.test."""
    values: dict[str, Any] = {
        "kind": "dmarc", "ours": "a.test", "domain": "a.test", "author": "far.test", "organization": "Far", "contact": "dmarc@far.test",
        "report_id": f"r{number}", "begins": 1.0, "ends": 2.0, "policy": "reject", "passed": 90, "failed": 10, "rows": (GOOD, BAD),
    }  # fmt: skip
    return NewReport(**{**values, **other})


class AggregateTests(SynchronousTestCase):
    """A store in memory."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.mails = 0

    def take(self, *reports: NewReport, fault: str = "") -> int:
        """A mail with these. -> its id"""
        self.mails += 1
        new = message(self.mails, delivery("reports@us.test", "delivered", reason=aggregates.REASON), content=None, client_address="198.51.100.1")
        return int(self.successResultOf(self.db.run(aggregates.take, Taken(new, "far.test", reports, fault))).id)

    def listed(self, ours: Any = None, **more: Any) -> list[tuple[str, str, int, int]]:
        """Kind, domain, passed, failed."""
        return [(row.kind, row.domain, row.passed, row.failed) for row in self.db.read(lambda conn: aggregates.listing(conn, ours, **more))]

    def events(self, message_id: int) -> list[dict[str, Any]]:
        """What the timeline says."""
        found = self.db.read(messages.by_id, message_id)
        assert found is not None
        return [event.detail for event in self.db.read(messages.timeline, found) if event.kind == aggregates.EVENT]

    def test_taken_once(self) -> None:
        """A report that comes twice is there once, and the timeline says which of the two it was."""
        first, again = self.take(report()), self.take(report())
        self.assertEqual(self.listed(), [("dmarc", "a.test", 90, 10)])
        self.assertEqual(self.db.read(aggregates.rows, 1), (GOOD, BAD))
        self.assertEqual([event["known"] for event in self.events(first) + self.events(again)], [0, 1])
        self.take(report(author="evil.test"))
        self.assertEqual(len(self.listed()), 2)

    def test_fault(self) -> None:
        """What cannot be read leaves its reason, as often as it comes, and only those who see everything see it."""
        for _ in range(2):
            number = self.take(fault="the gzip file is broken")
        self.assertEqual(self.listed(), [("fault", "", 0, 0)] * 2)
        self.assertEqual(self.events(number), [{"fault": "the gzip file is broken"}])
        self.assertEqual(self.listed(["a.test"]), [])
        shown = self.db.read(aggregates.get, 1)
        assert shown is not None
        self.assertEqual((shown.reason, shown.client, shown.message), ("the gzip file is broken", "198.51.100.1", f"{1:020x}"))
        self.assertIsNone(self.db.read(aggregates.get, 7))

    def test_list(self) -> None:
        """By domain (a name below it as well), kind, time and page."""
        self.take(report(), report(domain="x.a.test"))
        self.take(report(2, kind="tls", ours="b.test", domain="b.test"))
        self.assertEqual([row[1] for row in self.listed(["a.test"])], ["x.a.test", "a.test"])
        self.assertEqual([row[1] for row in self.listed(domain="A.test")], ["x.a.test", "a.test"])
        self.assertEqual([row[1] for row in self.listed(domain="x.a.test")], ["x.a.test"])
        self.assertEqual([row[1] for row in self.listed(kind="tls")], ["b.test"])
        self.assertEqual([row[1] for row in self.listed(since=2.0)], ["b.test"])
        self.assertEqual([row[1] for row in self.listed(after=2, limit=5)], ["a.test"])

    def test_sources(self) -> None:
        """What reports say is summed by source, the worst first."""
        self.take(report())
        self.take(report(2))
        worst, best = self.db.read(lambda conn: aggregates.sources(conn, None))
        self.assertEqual((worst.source, worst.passed, worst.failed, worst.reports), ("192.0.2.9", 0, 20, 2))
        self.assertEqual((worst.results, best.results, best.passed), (("dkim=fail spf=fail",), (), 180))
        self.assertEqual(self.db.read(lambda conn: aggregates.sources(conn, ["b.test"])), ())

    def test_forgotten(self) -> None:
        """Reports go with their rows, a bounded number at once."""
        for number in range(3):
            self.take(report(number))
        self.assertEqual([self.successResultOf(self.db.run(aggregates.forget, 3.0, 1)) for _ in range(3)], [1, 1, 0])
        self.assertEqual(self.db.connection.execute("SELECT DISTINCT report FROM aggregate_rows").fetchall(), [(3,)])


class ServedPolicyTests(SynchronousTestCase):
    """Of a.test."""

    def test_kept(self) -> None:
        """A policy is known as soon as it is saved, changed or removed, and goes with its domain."""
        db = memory_store()
        directory = Directory(db)
        policy = ServedPolicy("a.test", "testing", ("mx.a.test",), 86_400, 1.0)
        self.assertIsNone(directory.served_policy("a.test"))
        self.successResultOf(db.run(served_policies.save, policy))
        self.assertEqual(directory.served_policy("a.test"), policy)
        self.assertEqual(db.read(served_policies.listing), (policy,))
        self.assertTrue(self.successResultOf(db.run(served_policies.remove, "a.test")))
        self.assertIsNone(directory.served_policy("a.test"))
        self.successResultOf(db.run(domains.add, Domain(name="a.test")))
        self.successResultOf(db.run(served_policies.save, policy))
        self.successResultOf(db.run(domains.remove, "a.test"))
        self.assertIsNone(directory.served_policy("a.test"))
