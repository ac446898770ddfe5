"""The queue: fresh mail, mail that waits, what is written, and what happens when something cannot be."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jetmail.errors import ContentMissingError
from jetmail.interfaces import IQueueDoor
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.lane import QueueOptions
from jetmail.store.traffic import administration, messages
from jetmail.store.traffic.administration import Selection
from jetmail.store.traffic.messages import Content
from tests.outbound.appliance import DEFERRED, DELIVERED, REFUSED, Appliance

DAY = 86400.0


class FreshMail(SynchronousTestCase):
    def test_door(self) -> None:
        """The queue is what the receiving side was promised."""
        self.assertTrue(verifyObject(IQueueDoor, Appliance().queue))

    def test_straight_through(self) -> None:
        """Fresh mail is on the wire when `enqueued` returns, is delivered, and its content is gone with one write."""
        one = Appliance().boot()
        before = one.db.writes
        one.accept()
        self.assertEqual(one.rows()[0][:3], ("delivered", "accepted", 1))
        self.assertEqual(one.db.writes - before, 1)
        connection = one.store.connection
        self.assertEqual(connection.execute("SELECT count(*) FROM content").fetchone(), (0,))
        self.assertEqual(connection.execute("SELECT content_id FROM messages").fetchone(), (None,))
        self.assertEqual(one.queue.figures().window, 0)
        self.assertEqual(one.queue.figures().reserved, 0)

    def test_attempt_is_an_event(self) -> None:
        """An attempt is told with result, reason, reply, host, address, port, TLS, verified and duration."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = Outcome(
            Result.DELIVERED, "accepted", Reply(250, "2.0.0", "ok"), "mx.demo.test", "192.0.2.1", 25, "TLSv1.3", True, 1.25
        )
        one.accept()
        self.assertEqual(
            json.loads(one.events("attempt")[0]),
            {"result": "delivered", "reason": "accepted", "reply": "250 2.0.0 ok", "host": "mx.demo.test", "address": "192.0.2.1", "port": 25,
             "tls": "TLSv1.3", "verified": True, "duration": 1.25},
        )  # fmt: skip

    def test_one_job_a_destination(self) -> None:
        """Recipients of one destination travel together, others apart."""
        one = Appliance().boot()
        one.accept("a@one.test", "b@two.test", "c@one.test")
        self.assertEqual([[due.recipient for due in job.deliveries] for job in one.deliverer.jobs], [["a@one.test", "c@one.test"], ["b@two.test"]])
        self.assertEqual({row[0] for row in one.rows()}, {"delivered"})

    def test_content_stays_for_the_others(self) -> None:
        """Content goes with the last delivery that needs it, not before."""
        one = Appliance().boot()
        one.deliverer.answers["two.test"] = DEFERRED
        one.accept("a@one.test", "b@two.test")
        self.assertEqual(one.store.connection.execute("SELECT count(*) FROM content").fetchone(), (1,))
        one.deliverer.answers["two.test"] = DELIVERED
        one.turn(61)
        self.assertEqual(one.store.connection.execute("SELECT count(*) FROM content").fetchone(), (0,))

    def test_spool_file_is_deleted(self) -> None:
        """Large content's file goes after the commit that ended its last delivery."""
        one = Appliance().boot()
        one.accept(content=Content(300_000, None, b"Subject: big\r\n\r\n", "abc", 0))
        self.assertEqual(one.files.deleted, ["abc"])

    def test_cancel(self) -> None:
        """A commit that failed gives its places back."""
        one = Appliance(QueueOptions(window=10)).boot()
        self.assertTrue(one.queue.reserve(8))
        self.assertFalse(one.queue.reserve(1))
        one.queue.cancel(8)
        self.assertTrue(one.queue.reserve(8))

    def test_no_room(self) -> None:
        """Mail accepted while the window is full waits in the store unclaimed and is delivered when there is room."""
        one = Appliance(QueueOptions(window=10, lane_start=2, lane_limit=2)).boot()
        one.deliverer.hold = True
        for number in range(20):
            one.accept(f"u{number}@demo.test")
        self.assertLessEqual(one.queue.figures().window, 8)
        self.assertGreaterEqual(one.count("attempts = 0"), 12)
        one.deliverer.hold = False
        one.deliverer.release()
        one.turn(5)
        self.assertEqual(one.count("status = 'delivered'"), 20)

    def test_memory_for_content_is_bounded(self) -> None:
        """Content beyond the memory set aside is dropped and read back when its turn comes."""
        one = Appliance(QueueOptions(content_octets=1, lane_start=1, lane_limit=1)).boot()
        one.deliverer.hold = True
        one.accept()
        one.accept()
        one.deliverer.hold = False
        one.deliverer.release()
        self.assertEqual(one.count("status = 'delivered'"), 2)
        self.assertTrue(all(job.content.data for job in one.deliverer.jobs))


class Waiting(SynchronousTestCase):
    def test_schedule(self) -> None:
        """Deferred mail is tried after 1, 5, 10, 15 and 30 minutes, 1 and 2 hours, then every 4 hours."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        start = one.clock.seconds()
        tried: list[float] = []
        one.deliverer.answers["demo.test"] = lambda job: (tried.append(one.clock.seconds() - start), DEFERRED)[1]
        one.accept(sender="")
        one.turn(13 * 3600, 30)
        minutes = [round(at / 60) for at in tried]
        self.assertEqual(minutes[:6], [0, 1, 6, 16, 31, 61])
        self.assertEqual([round((b - a) / 3600) for a, b in zip(tried[5:], tried[6:], strict=False)], [1, 2, 4, 4])
        self.assertEqual(one.rows()[0][2], len(tried))

    def test_expiry(self) -> None:
        """At five days from `queued`, to the second, a last attempt is made, and when that fails the sender is told and the delivery ends."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        start = one.clock.seconds()
        one.accept()
        one.turn(5 * DAY - 120, 60)
        self.assertEqual(one.rows("destination = 'demo.test'")[0][0], "queued")
        self.assertEqual(one.rows("destination = 'demo.test'")[0][3], start + 5 * DAY)
        one.turn(122)
        self.assertEqual(one.rows("destination = 'demo.test'")[0][:2], ("rejected", "expired"))
        finished = one.store.connection.execute("SELECT finished FROM deliveries WHERE destination = 'demo.test'").fetchone()[0]
        self.assertLess(finished - start - 5 * DAY, 2)
        self.assertIn(("bob@example.org", "Undelivered mail returned to sender"), one.reports())

    def test_delay_notice(self) -> None:
        """After four hours the sender is told once that the mail is late."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.accept()
        one.turn(3.9 * 3600, 30)
        self.assertEqual(one.reports(), [])
        one.turn(10 * 3600, 30)
        self.assertEqual(one.reports(), [("bob@example.org", "Delayed mail (still being retried)")])

    def test_refused(self) -> None:
        """A permanent refusal ends the delivery at once, with a report in the same transaction that is delivered like any mail."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = REFUSED
        before = one.db.writes
        one.accept()
        self.assertEqual(one.rows("destination = 'demo.test'")[0][:2], ("rejected", "refused"))
        self.assertEqual(one.rows("destination = 'example.org'")[0][0], "delivered")
        self.assertEqual(one.db.writes - before, 3)  # outcome with report, claim of the report, its outcome
        self.assertIn(b"nobody here", one.deliverer.jobs[-1].content.data or b"")

    def test_report_is_never_reported(self) -> None:
        """A report that cannot be delivered ends in silence."""
        one = Appliance().boot()
        one.deliverer.answers.update({"demo.test": REFUSED, "example.org": REFUSED})
        one.accept()
        self.assertEqual(one.count("1"), 2)
        self.assertEqual(one.count("status = 'rejected'"), 2)

    def test_restart(self) -> None:
        """A restart takes up what waits; what a crash interrupted is tried again at its recorded time and not before."""
        one = Appliance().boot()
        one.deliverer.hold = True
        one.accept()
        one.fill(30, "other.test")
        one.crash()
        one.deliverer.hold = False
        one.deliverer.jobs.clear()
        one.boot()
        self.assertEqual(one.count("status = 'delivered'"), 30)
        self.assertEqual(one.deliverer.to("demo.test"), [])
        one.turn(60)
        self.assertEqual(len(one.deliverer.to("demo.test")), 1)

    def test_claimed_before_dialling(self) -> None:
        """When a waiting delivery is dialled its attempt and next due time are already in the store."""
        one = Appliance()
        one.fill(1, "demo.test")
        seen: list[tuple] = []
        one.deliverer.answers["demo.test"] = lambda job: (seen.extend(one.rows()), DELIVERED)[1]
        one.boot()
        self.assertEqual(seen[0][0], "queued")
        self.assertEqual(seen[0][2], 1)
        self.assertGreater(seen[0][3], one.clock.seconds())

    def test_big_queue_small_window(self) -> None:
        """A boot over a long queue holds no more than the window."""
        one = Appliance(QueueOptions(window=50, concurrency=20))
        for number in range(40):
            one.fill(25, f"d{number}.test")
        one.deliverer.hold = True
        one.boot()
        self.assertLessEqual(one.queue.figures().window, 50)
        one.deliverer.hold = False
        one.deliverer.release()
        one.turn(60)
        self.assertEqual(one.count("status = 'delivered'"), 1000)


class Faults(SynchronousTestCase):
    def test_recording_fails_and_recovers(self) -> None:
        """Outcomes that cannot be written are kept, nothing is sent twice, nothing new starts; then all is written."""
        one = Appliance(QueueOptions(lane_start=2, lane_limit=2)).boot()
        one.deliverer.hold = True
        for number in range(4):
            one.accept(f"u{number}@demo.test")
        one.db.is_full = True
        one.deliverer.hold = False
        one.deliverer.release()
        self.assertEqual(len(one.deliverer.jobs), 2)
        one.turn(600, 10)
        self.assertEqual(len(one.deliverer.jobs), 2)
        self.assertFalse(one.queue.figures().is_recording)
        self.assertEqual(one.count("status = 'queued'"), 4)
        one.db.is_full = False
        one.turn(60)
        self.assertEqual(one.count("status = 'delivered'"), 4)
        sent = sorted(due.recipient for job in one.deliverer.jobs for due in job.deliveries)
        self.assertEqual(sent, [f"u{number}@demo.test" for number in range(4)])
        self.assertTrue(self.flushLoggedErrors())

    def test_claim_fails(self) -> None:
        """Mail that cannot be claimed is not dialled, and is when the store is well again."""
        one = Appliance()
        one.fill(300, "demo.test")
        one.db.is_full = True
        one.boot()
        one.turn(60)
        self.assertEqual(one.deliverer.jobs, [])
        self.assertLess(one.db.writes, 100)
        one.db.is_full = False
        one.turn(60)
        self.assertEqual(one.count("status = 'delivered'"), 300)
        self.assertTrue(self.flushLoggedErrors())

    def test_content_lost(self) -> None:
        """A message whose content is gone is set aside: held with reason 'content', not tried again, not returned, not deleted."""
        one = Appliance()
        one.fill(1, "demo.test")
        one.store.connection.execute("DELETE FROM content")
        one.boot()
        one.turn(6 * DAY, 3600)
        self.assertEqual(one.rows()[0][:2], ("queued", "content"))
        self.assertEqual(one.rows()[0][4], 1)
        self.assertEqual((one.deliverer.jobs, one.reports()), ([], []))
        self.assertEqual(len(one.events("hold")), 1)

    def test_damaged_file(self) -> None:
        """The deliverer's word that content is damaged sets the message aside too."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = Outcome(Result.LATER, "content", Reply(451, "4.3.0", "spool file is short"))
        one.accept()
        self.assertEqual((one.rows()[0][1], one.rows()[0][4]), ("content", 1))
        self.assertFalse(one.queue.figures().down)

    def test_attempt_breaks(self) -> None:
        """An attempt that breaks in our hands is 'later' and an event, for this message alone."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = RuntimeError("a fault of ours")
        one.accept()
        self.assertEqual(one.rows()[0][:2], ("queued", "deferred"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        one.deliverer.answers["demo.test"] = DELIVERED
        one.turn(61)
        self.assertEqual(one.rows()[0][0], "delivered")

    def test_deliverer_raises(self) -> None:
        """The same when the deliverer raises at once, or says nothing about a recipient."""
        one = Appliance().boot()

        def broken(job: object) -> None:
            raise ContentMissingError("gone")

        one.deliverer.deliver = broken  # type: ignore[method-assign,assignment]
        one.accept()
        self.assertEqual(one.rows()[0][1], "content")
        self.assertEqual(one.queue.figures().attempts, 0)


class People(SynchronousTestCase):
    def test_hold(self) -> None:
        """What people hold while it waits in the window is not sent; unheld, it is, with a new lifetime."""
        one = Appliance(QueueOptions(lane_start=1, lane_limit=1)).boot()
        one.deliverer.hold = True
        one.accept("a@demo.test")
        one.accept("b@demo.test")
        administration.hold(one.store.connection, one.clock.seconds(), Selection(recipient="b@demo.test"), "test")
        one.queue.wake()
        one.deliverer.hold = False
        one.deliverer.release()
        one.turn(3600, 30)
        self.assertEqual([row[0] for row in one.rows()], ["delivered", "queued"])
        administration.unhold(one.store.connection, one.clock.seconds(), Selection(recipient="b@demo.test"), "test")
        one.queue.wake()
        one.settle()
        self.assertEqual([row[0] for row in one.rows()], ["delivered", "delivered"])

    def test_delete(self) -> None:
        """What people delete while it waits in the window is not sent, and nobody is told."""
        one = Appliance(QueueOptions(lane_start=1, lane_limit=1)).boot()
        one.deliverer.hold = True
        one.accept("a@demo.test")
        one.accept("b@demo.test")
        administration.delete(one.store.connection, one.clock.seconds(), Selection(recipient="b@demo.test"), "test")
        one.queue.wake()
        one.deliverer.hold = False
        one.deliverer.release()
        one.settle()
        self.assertEqual([row[:2] for row in one.rows()], [("delivered", "accepted"), ("rejected", "operator")])
        self.assertEqual(one.reports(), [])

    def test_bounce(self) -> None:
        """What people send back is reported to its sender without being dialled."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.accept()
        administration.bounce(one.store.connection, one.clock.seconds(), Selection(recipient="ann@demo.test"), "test")
        one.queue.wake()
        one.settle()
        self.assertEqual(one.rows("destination = 'demo.test'")[0][:2], ("rejected", "operator"))
        self.assertEqual(one.reports(), [("bob@example.org", "Undelivered mail returned to sender")])
        self.assertEqual(len(one.deliverer.to("demo.test")), 1)

    def test_retry(self) -> None:
        """What people want tried now is."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.accept()
        one.turn(70)
        administration.retry(one.store.connection, one.clock.seconds(), Selection(everything=True), "test")
        one.queue.wake()
        one.settle()
        self.assertEqual(len(one.deliverer.jobs), 3)


class Stopping(SynchronousTestCase):
    def test_finishes_what_runs(self) -> None:
        """A stop waits for attempts on the wire, gives the rest back unclaimed and leaves no timer."""
        one = Appliance(QueueOptions(lane_start=1, lane_limit=1)).boot()
        one.deliverer.hold = True
        one.accept("a@demo.test")
        one.accept("b@demo.test")
        stopped = one.queue.stopService()
        self.assertNoResult(stopped)
        one.deliverer.release()
        self.successResultOf(stopped)
        self.assertEqual([row[0] for row in one.rows()], ["delivered", "queued"])
        self.assertEqual(one.rows()[1][2], 0)
        self.assertLessEqual(one.rows()[1][3], one.clock.seconds())
        self.assertEqual(one.clock.getDelayedCalls(), [])

    def test_grace_ends(self) -> None:
        """An attempt that does not end is left; it will be repeated at its recorded time."""
        one = Appliance().boot()
        one.deliverer.hold = True
        one.accept()
        stopped = one.queue.stopService()
        one.clock.advance(30)
        self.successResultOf(stopped)
        self.assertEqual(one.rows()[0][0], "queued")
        self.assertEqual(one.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """An idle queue stops at once; what comes afterwards stays in the store."""
        one = Appliance().boot()
        self.successResultOf(one.queue.stopService())
        accepted = messages.accept(one.store.connection, one.message())
        one.queue.enqueued(accepted, Content(1, b"x"))
        self.assertEqual((one.deliverer.jobs, one.clock.getDelayedCalls()), ([], []))
