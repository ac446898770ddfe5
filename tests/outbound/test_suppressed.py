"""The queue and suppressed recipients: what is not sent to them, and how a refusal makes one."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.bounce import Reporter, ReportOptions
from jetmail.outbound.queue import Queue
from jetmail.outbound.suppressed import Sifter
from jetmail.store.traffic import messages, sending, suppressions
from jetmail.suppressing import DAY, Suppressing, SuppressingOptions
from tests.fakes import FakeEntropy
from tests.outbound.appliance import Appliance

USER = "7e6c9a52-0000-4000-8000-000000000001"
ACCOUNT = 4
GONE = Outcome(Result.NEVER, "refused", Reply(550, "5.1.1", "User unknown"), "mx.far.test", "192.0.2.1", 25)
POLICY = Outcome(Result.NEVER, "refused", Reply(550, "5.7.1", "Blocked"), "mx.far.test", "192.0.2.1", 25)
UNCLEAR = Outcome(Result.NEVER, "refused", Reply(550, "", "mailbox unavailable"), "mx.far.test", "192.0.2.1", 25)


class Office(Appliance):
    """An appliance whose users belong to an account."""

    options_of_suppression = SuppressingOptions()

    def build(self) -> Queue:
        """A queue that looks at the list and writes it."""
        uids = (f"{number:020x}" for number in range(1 << 60, 1 << 61))
        reporter = Reporter(ReportOptions("mail.test"), lambda: next(uids), FakeEntropy(0.5))
        self.suppressing = Suppressing(self.store, lambda user: ACCOUNT if user == USER else 0, self.options_of_suppression)
        sifter = Sifter(self.deliverer, self.suppressing.find_for, self.clock.seconds, Logger("test"))
        return Queue(
            self.db, sifter, self.files, self.schedule, self.clock, FakeEntropy(0.5), self.options, reporter, Logger("test"),  # type: ignore[arg-type]
            strikes=self.suppressing.of_bounce,
        )  # fmt: skip

    def message(self, *recipients: str, claimed: bool = True, **other: Any) -> Any:
        """What a user sends, unless told otherwise."""
        new = super().message(*recipients, claimed=claimed, **{"user": USER} | other)
        return new._replace(direction="outbound" if new.user else "inbound")

    def found(self, address: str = "ann@far.test", account: int = ACCOUNT) -> suppressions.Suppression | None:
        """What counts now for the address."""
        return suppressions.find(self.store.connection, account, [address], self.clock.seconds()).get(address)

    def suppress(self, address: str = "ann@far.test", account: int = ACCOUNT) -> None:
        """By hand."""
        suppressions.add(self.store.connection, account, address, "manual", "", self.clock.seconds(), None, "test")


class BounceTests(SynchronousTestCase):
    """From refusals to suppressions."""

    def setUp(self) -> None:
        """An office."""
        self.office = Office().boot()
        self.answers = self.office.deliverer.answers

    def test_no_such_user(self) -> None:
        """One refusal because there is no such address suppresses it in the sender's account for 30 days, and the timeline says so."""
        self.answers["far.test"] = GONE
        accepted = self.office.accept("Ann@far.test")
        found = self.office.found()
        assert found is not None
        self.assertEqual((found.reason, found.detail, found.source), ("bounce", "550 5.1.1 User unknown", accepted.uid))
        self.assertEqual(found.expires, self.office.clock.seconds() + 30 * DAY)
        self.assertIsNone(self.office.found(account=ACCOUNT + 1))
        event = json.loads(self.office.events("suppressed")[0])
        self.assertEqual((event["address"], event["for"]), ("ann@far.test", "bounce"))

    def test_null_mx(self) -> None:
        """A domain that takes no mail at all has no such address either; what a stranger wrote is one printable line."""
        self.answers["far.test"] = Outcome(Result.NEVER, "null-mx", Reply(556, "5.1.10", "far.test does not\x1b accept\nmail"))
        self.office.accept("ann@far.test")
        found = self.office.found()
        assert found is not None
        self.assertEqual(found.detail, "556 5.1.10 far.test does not  accept mail")

    def test_unclear_refusals(self) -> None:
        """A refusal that does not say why suppresses with the third message in seven days."""
        self.answers["far.test"] = UNCLEAR
        for days in (0, 8, 1):
            self.office.turn(days * DAY, DAY)
            self.office.accept("ann@far.test")
            self.assertIsNone(self.office.found())
        self.office.accept("ann@far.test")
        self.assertIsNotNone(self.office.found())

    def test_not_its_fault(self) -> None:
        """Refusals by policy and time that runs out never suppress, however often."""
        self.answers["far.test"] = POLICY
        self.answers["late.test"] = Outcome(Result.LATER, "deferred", Reply(451, "4.1.1", "user unknown"), "mx", "192.0.2.1", 25)
        for _ in range(5):
            self.office.accept("ann@far.test", "ann@late.test")
        self.office.turn(6 * DAY, 3_600.0)
        self.assertEqual(suppressions.listing(self.office.store.connection, None, 0.0).total, 0)

    def test_only_users(self) -> None:
        """Mail relayed inward, and mail of a user who never was anybody's, suppress nobody."""
        self.answers["far.test"] = GONE
        self.office.accept("ann@far.test", user="")
        self.office.accept("ann@far.test", user="nobody")
        self.assertEqual(suppressions.listing(self.office.store.connection, None, 0.0).total, 0)

    def test_with_the_outcome(self) -> None:
        """Outcome and suppression are one commit: while nothing can be written there is neither, later there are both."""
        self.answers["far.test"] = GONE
        self.office.deliverer.hold = True
        self.office.accept("ann@far.test")
        self.office.db.is_full = True
        self.office.deliverer.release()
        self.assertIsNone(self.office.found())
        self.office.db.is_full = False
        self.office.turn(120)
        self.assertIsNotNone(self.office.found())
        self.assertEqual(self.office.count("status = 'rejected'"), 1)
        self.flushLoggedErrors(StoreError)

    def test_switched_off(self) -> None:
        """With the switch off nobody is suppressed and nobody is kept from mail."""
        office = Office()
        office.options_of_suppression = SuppressingOptions(enabled=False)
        office.queue = office.build()
        office.boot()
        office.deliverer.answers["far.test"] = GONE
        office.suppress("bob@near.test")
        office.accept("ann@far.test", "bob@near.test")
        self.assertIsNone(office.found())
        self.assertEqual(office.count("status = 'delivered' AND recipient = 'bob@near.test'"), 1)


class SifterTests(SynchronousTestCase):
    """Mail that is due to a suppressed address."""

    def setUp(self) -> None:
        """An office."""
        self.office = Office().boot()

    def test_not_sent(self) -> None:
        """It ends as rejected with the reason, an event and a report to the sender; the others of the message are delivered."""
        self.office.suppress()
        self.office.accept("ann@far.test", "bob@far.test")
        rows = dict(self.office.store.connection.execute("SELECT recipient, status || ' ' || reason FROM deliveries").fetchall())
        self.assertEqual((rows["ann@far.test"], rows["bob@far.test"]), ("rejected suppressed", "delivered accepted"))
        self.assertEqual([[due.recipient for due in job.deliveries] for job in self.office.deliverer.to("far.test")], [["bob@far.test"]])
        self.assertEqual(json.loads(self.office.events("attempt")[0])["reason"], "suppressed")
        (report,) = self.office.deliverer.to("example.org")
        assert report.content.data is not None
        self.assertIn(b"[SUPPRESSED] ann@far.test is on your suppression list (manual)", b" ".join(report.content.data.split()))

    def test_counts_for_nothing(self) -> None:
        """What is not sent says nothing of the address, its host or who sent it: no strike, no sign of life, no mail that came back."""
        self.office.suppress()
        for _ in range(3):
            self.office.accept("ann@far.test")
        found = self.office.found()
        assert found is not None
        self.assertEqual(found.reason, "manual")
        self.assertEqual(self.office.deliverer.to("far.test"), [])
        self.assertEqual(sending.returned(self.office.store.connection, 0, 1_000)[1], ())

    def test_behind_an_alias(self) -> None:
        """Looked at is where mail really goes; the sender is told of the address it wrote to."""
        self.office.suppress()
        new = self.office.message("team@ours.test", claimed=False)
        (delivery,) = new.deliveries
        new = new._replace(deliveries=(delivery._replace(target="ann@far.test", destination="far.test"),))
        self.office.db.run(messages.accept, new)
        self.office.queue.wake()
        self.office.settle()
        reply = self.office.store.connection.execute("SELECT reply FROM deliveries WHERE recipient = 'team@ours.test'").fetchone()[0]
        self.assertIn("team@ours.test leads to an address on your suppression list", reply)
        self.assertNotIn("ann@far.test", reply)

    def test_other_mail(self) -> None:
        """Mail without a user is sent, and mail of another account; what the appliance suppresses binds all users."""
        self.office.suppress()
        self.office.accept("ann@far.test", user="")
        self.office.accept("ann@far.test", user="of another account")
        self.assertEqual(self.office.count("status = 'delivered'"), 2)
        self.office.suppress("bob@far.test", account=0)
        self.office.accept("bob@far.test", user="of another account")
        self.assertEqual(self.office.count("reason = 'suppressed'"), 1)

    def test_list_cannot_be_read(self) -> None:
        """When the list cannot be read the message waits."""

        class Locked(Office):
            def build(self) -> Queue:
                queue = super().build()
                self.store.read = self.locked  # type: ignore[method-assign]
                return queue

            def locked(self, fn: Any, *args: Any) -> Any:
                if fn is suppressions.find:
                    raise StoreError("locked")
                return fn(self.store.connection, *args)

        office = Locked().boot()
        office.accept("ann@far.test")
        self.assertEqual(office.rows()[0][:2], ("queued", "deferred"))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
