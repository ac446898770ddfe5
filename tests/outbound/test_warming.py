"""The queue and a source that is being warmed up: what waits, until when, what is written down, and what it costs."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.job import Job
from jetmail.store.traffic import lanes, source_days
from tests.outbound.appliance import DELIVERED, Appliance

DAY = 86_400.0
LATER = Outcome(Result.LATER, "warm-up", Reply(451, "4.3.2", "source one may send 2 today, day 1 of its warm-up"), source="one")


class WarmingTests(SynchronousTestCase):
    """Outcomes as outbound.departures makes them."""

    def setUp(self) -> None:
        """A queue that runs."""
        self.house = Appliance().boot()
        self.start = self.house.clock.seconds()
        self.midnight = (self.start // DAY + 1) * DAY

    def limited(self, job: Job) -> Outcome:
        """One that waits for the next day, until it comes."""
        now = self.house.clock.seconds()
        if now >= self.midnight:
            return DELIVERED._replace(source="one", counted=("one", "2001-01-01"))
        return LATER._replace(not_before=self.midnight)

    def test_tried_again_when_the_day_begins(self) -> None:
        """Not a moment sooner, whatever the schedule says, and the destination is not blamed."""
        self.house.deliverer.answers["demo.test"] = self.limited
        self.house.accept()
        self.house.turn(5)
        self.assertEqual(self.house.rows(), [("queued", "warm-up", 1, self.midnight, 0)])
        self.assertEqual(self.house.queue.figures().down, 0)
        self.house.turn(self.midnight - self.house.clock.seconds() - 60, 60.0)
        self.assertEqual(len(self.house.deliverer.jobs), 1)
        self.house.turn(120)
        self.assertEqual(self.house.rows()[0][:3], ("delivered", "accepted", 2))

    def test_neither_a_restart_nor_an_answer_wakes_it(self) -> None:
        """Mail that waits for the next day is let lie when the queue starts and when its destination answers again after trouble."""
        self.house.deliverer.answers["demo.test"] = self.limited
        self.house.accept()
        self.house.turn(5)
        self.house.crash()
        self.house.queue.startService()
        self.house.turn(5)
        self.assertEqual(self.house.rows()[0][2:4], (1, self.midnight))
        connection = self.house.store.connection
        self.assertEqual(lanes.wake(connection, self.house.clock.seconds(), "demo.test"), 0)
        self.assertEqual(lanes.rebase(connection, self.house.clock.seconds() - 2 * DAY, 20_000.0), 1, "a clock that went back by days")

    def test_counted_with_the_outcome(self) -> None:
        """The source's day has what was taken, in the transaction that records it, and the event names the source."""
        self.midnight = 0.0
        self.house.deliverer.answers["demo.test"] = self.limited
        for number in range(3):
            self.house.accept(f"u{number}@demo.test")
        self.house.turn(5)
        self.assertEqual(source_days.sent(self.house.store.connection, "one", "2001-01-01"), 3)
        self.assertEqual([json.loads(event)["source"] for event in self.house.events("attempt")], ["one"] * 3)

    def test_what_could_not_be_recorded_is_counted_once(self) -> None:
        """When recording works again."""
        self.midnight = 0.0
        self.house.deliverer.answers["demo.test"] = self.limited
        self.house.accept()
        self.house.deliverer.hold = True
        self.house.accept("second@demo.test")
        self.house.db.is_full = True
        self.house.deliverer.release()
        self.house.turn(3)
        self.house.db.is_full = False
        self.house.turn(10)
        self.flushLoggedErrors(StoreError)
        self.assertEqual(source_days.sent(self.house.store.connection, "one", "2001-01-01"), 2)

    def test_waiting_counts_against_its_lifetime(self) -> None:
        """The last attempt is due when the lifetime ends, and is the last."""
        self.house.deliverer.answers["demo.test"] = lambda job: LATER._replace(not_before=self.house.clock.seconds() + 10 * DAY)
        self.house.accept()
        self.house.turn(5)
        due = self.house.rows()[0][3]
        self.assertLessEqual(due, self.start + 5 * DAY + 2)
        self.assertGreater(due, self.start + 5 * DAY - 2)
        self.house.turn(5 * DAY + 600, 300.0)
        self.assertEqual(self.house.rows("domain = 'demo.test'")[0][:2], ("rejected", "expired"))

    def test_mail_from_the_default_writes_no_count(self) -> None:
        """Nobody has a source: nothing is counted."""
        self.house.deliverer.answers["demo.test"] = DELIVERED
        self.house.accept()
        self.house.turn(5)
        self.assertEqual(self.house.store.connection.execute("SELECT count(*) FROM source_days").fetchone(), (0,))
