"""Reports about our domains, as people see them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import aggregates
from jetmail.actions.access import Actor, Grant
from jetmail.errors import NotFoundError, UsageError
from jetmail.jobs.aggregates import AggregatesJob
from jetmail.store.directory import accounts, domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import aggregates as stored
from jetmail.store.traffic.aggregates import NewReport, Taken
from tests.store.samples import delivery, memory_store, message
from tests.store.test_aggregates import report

ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna@one.example", (Grant("account", "1"),))
BERT = Actor("portal", "bert@two.example", (Grant("account", "2"),))


class AggregatesTests(SynchronousTestCase):
    """a.test is account 1's, b.test account 2's; each has a report, and something could not be read."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.run_now(accounts.add, "two")
        for number, name in ((1, "a.test"), (2, "b.test")):
            self.run_now(domains.add, Domain(name=name, account_id=number, verified_at=1.0))
        self.take(1, report(1, domain="x.a.test"))
        self.take(2, report(2, kind="tls", ours="b.test", domain="b.test"))
        self.take(3, fault="broken")

    def run_now(self, fn: Any, *args: Any) -> Any:
        """Write."""
        return self.successResultOf(self.db.run(fn, *args))

    def take(self, number: int, *reports: NewReport, fault: str = "") -> None:
        """A mail of that second."""
        new = message(number, delivery("reports@us.test", "delivered", reason=stored.REASON), content=None)
        self.run_now(stored.take, Taken(new, "far.test", reports, fault))

    def listed(self, actor: Actor = ROOT, **more: Any) -> list[str]:
        """Domains, or '' for what could not be read."""
        return [row.domain for row in self.successResultOf(aggregates.listing(self.db, actor, **more))]

    def test_list(self) -> None:
        """Everything for an administrator, newest first and filtered; their own for an account, and no faults."""
        self.assertEqual(self.listed(), ["", "b.test", "x.a.test"])
        self.assertEqual((self.listed(kind="fault"), self.listed(domain="a.test"), self.listed(since=2.5)), ([""], ["x.a.test"], [""]))
        self.assertEqual((self.listed(limit=1), self.listed(after=2)), ([""], ["x.a.test"]))
        self.assertEqual((self.listed(ANNA), self.listed(BERT), self.listed(ANNA, domain="b.test")), (["x.a.test"], ["b.test"], []))
        self.assertRaises(UsageError, aggregates.listing, self.db, ROOT, kind="spf")

    def test_show(self) -> None:
        """One with its rows; that of somebody else does not exist."""
        opened = self.successResultOf(aggregates.show(self.db, ANNA, 1))
        self.assertEqual((opened.report.report_id, len(opened.rows)), ("r1", 2))
        for actor, number in ((BERT, 1), (ANNA, 3), (ROOT, 9)):
            self.failureResultOf(aggregates.show(self.db, actor, number), NotFoundError)

    def test_sources(self) -> None:
        """By source, the worst first, of whoever asks."""
        found = self.successResultOf(aggregates.sources(self.db, ANNA))
        self.assertEqual([(each.source, each.failed) for each in found], [("192.0.2.9", 10), ("192.0.2.1", 0)])
        self.assertEqual(len(self.successResultOf(aggregates.sources(self.db, ROOT))), 4)
        self.assertEqual([aggregates.rate(9, 1), aggregates.rate(0, 0)], [90.0, None])

    def test_forgotten(self) -> None:
        """The job forgets what is older than it is told."""
        job = AggregatesJob(self.db, lambda: 2 * 86_400.0 + 2.0, days=2.0)
        self.assertEqual((self.successResultOf(job.run()), self.listed()), (1, ["", "b.test"]))
