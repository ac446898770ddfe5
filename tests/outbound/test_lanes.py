"""Destinations: down, probed, back, crowded, many; and clocks that jump."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.outcome import Outcome
from jetmail.mail.reply import Reply
from jetmail.outbound.job import Job
from jetmail.outbound.lane import Change, Lane, Pulse, QueueOptions, reply_of
from jetmail.store.traffic import administration, lanes
from jetmail.store.traffic.administration import Selection
from jetmail.store.traffic.lanes import LaneState
from tests.outbound.appliance import DEFERRED, DELIVERED, DOWN, REFUSED, Appliance

DAY = 86400.0
HOUR = 3600.0


def fresh_lane(**state: object) -> Lane:
    return Lane(LaneState("demo.test", **state), False, QueueOptions())  # type: ignore[arg-type]


class LaneRules(SynchronousTestCase):
    def test_grows_with_success(self) -> None:
        """Concurrency starts at five and grows to twenty, no further."""
        lane = fresh_lane()
        self.assertEqual(int(lane.limit), 5)
        for _ in range(1000):
            lane.ended(lane.began(), Pulse.SUCCESS, 0.0, 1.0, DELIVERED)
        self.assertEqual(int(lane.limit), 20)

    def test_shrinks_with_deferral(self) -> None:
        """Deferrals shrink it to one, and do not put the lane down."""
        lane = fresh_lane()
        for _ in range(20):
            lane.ended(lane.began(), Pulse.ANSWERED, 0.0, 1.0, DEFERRED)
        self.assertEqual((lane.limit, lane.is_down), (1.0, False))

    def test_fault_beside_success_is_not_believed(self) -> None:
        """A host fault while others get through halves the concurrency and no more."""
        lane = fresh_lane()
        epoch = lane.began()
        lane.ended(lane.began(), Pulse.SUCCESS, 0.0, 1.0, DELIVERED)
        self.assertIs(lane.ended(epoch, Pulse.FAULT, 0.0, 1.0, DOWN), Change.NONE)
        self.assertFalse(lane.is_down)
        self.assertLess(lane.limit, 5)

    def test_faults_of_one_outage_count_once(self) -> None:
        """Attempts that were under way when the lane went down do not lengthen the pause."""
        lane = fresh_lane()
        epochs = [lane.began() for _ in range(5)]
        changes = [lane.ended(epoch, Pulse.FAULT, 100.0, 1.0, DOWN) for epoch in epochs]
        self.assertEqual(changes, [Change.DOWN] + [Change.NONE] * 4)
        self.assertEqual((lane.failures, lane.not_before), (1, 160.0))

    def test_pauses_grow(self) -> None:
        """Probes that fail come ever more rarely, at most every half hour."""
        lane = fresh_lane()
        pauses = []
        for _ in range(8):
            lane.ended(lane.began(), Pulse.FAULT, 0.0, 1.0, DOWN)
            pauses.append(lane.not_before)
        self.assertEqual(pauses, [60, 120, 300, 600, 900, 1800, 1800, 1800])

    def test_ramp(self) -> None:
        """After an outage: one, two, four."""
        lane = fresh_lane(down_since=0.0, not_before=10.0, failures=3)
        self.assertFalse(lane.has_room(9.9))
        self.assertEqual(int(lane.limit), 1)
        sizes = []
        for _ in range(3):
            epochs = [lane.began() for _ in range(int(lane.limit))]
            sizes.append(len(epochs))
            for epoch in epochs:
                lane.ended(epoch, Pulse.SUCCESS, 20.0, 1.0, DELIVERED)
        self.assertEqual(sizes, [1, 2, 4])

    def test_reply_of(self) -> None:
        """A reply read back from the store says the same."""
        for reply in (Reply(451, "4.4.1", "no route"), Reply(421, "", "bye"), Reply(550)):
            self.assertEqual(str(reply_of(str(reply))), str(reply))
        self.assertIsNone(reply_of("nonsense"))


class Down(SynchronousTestCase):
    def test_dialled_once_a_pause(self) -> None:
        """Ten thousand waiting messages of a dead destination cost one dial a pause, not ten thousand."""
        one = Appliance()
        one.fill(10_000, "dead.test")
        one.deliverer.answers["dead.test"] = DOWN
        one.boot()
        first = len(one.deliverer.jobs)
        self.assertLessEqual(first, 5)  # what was under way together before the first answer
        one.turn(1800 + 1860 + 60, 5)  # pauses 60, 120, 300, 600, 900, 1800
        self.assertLessEqual(len(one.deliverer.jobs) - first, 6)
        self.assertGreaterEqual(len(one.deliverer.jobs) - first, 5)
        self.assertLess(one.queue.figures().window, 20)

    def test_fresh_mail_waits_too(self) -> None:
        """Fresh mail for a destination that is down is not dialled and not claimed, and says why it waits."""
        one = Appliance().boot()
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@dead.test")
        dialled = len(one.deliverer.jobs)
        for number in range(100):
            one.accept(f"u{number}@dead.test")
        self.assertEqual(len(one.deliverer.jobs), dialled)
        self.assertEqual(one.rows("recipient = 'u7@dead.test'")[0][:3], ("queued", "connect", 0))
        seen = administration.select(one.store.connection, one.clock.seconds(), Selection(recipient="u7@dead.test"))[0]
        self.assertEqual((seen.next_attempt, seen.reason, seen.lane_reason), (one.clock.seconds() + 60 - 1.1 + 1.1, "connect", "connect"))

    def test_wakes_with_a_ramp(self) -> None:
        """When the destination answers again everything waiting goes, one, two, four at a time and never more than the limit."""
        one = Appliance()
        one.deliverer.answers["dead.test"] = DOWN
        one.fill(500, "dead.test")
        one.boot()
        one.turn(4000, 10)
        one.deliverer.answers["dead.test"] = DELIVERED
        one.deliverer.hold = True
        one.deliverer.jobs.clear()
        for _ in range(1900):
            one.turn(1)
            if one.deliverer.waiting:
                break
        sizes = []
        while one.deliverer.waiting:
            sizes.append(len(one.deliverer.waiting))
            one.deliverer.release()
            one.turn(2)
        self.assertEqual(sizes[:3], [1, 2, 4])
        self.assertLessEqual(max(sizes), 20)
        self.assertEqual(one.count("status = 'delivered'"), 500)

    def test_success_wakes_what_is_not_due(self) -> None:
        """A success after a long time without makes mail due that its own schedule would keep for hours."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.accept("a@demo.test")
        one.accept("b@demo.test")
        one.turn(3 * HOUR, 60)
        one.deliverer.answers["demo.test"] = DELIVERED
        one.accept("c@demo.test")
        one.turn(5)
        self.assertEqual(one.count("status = 'delivered'"), 3)

    def test_greylisting_is_not_hammered(self) -> None:
        """On a busy destination one deferred message keeps its own schedule however many others succeed."""
        one = Appliance().boot()
        tried: list[float] = []

        def answer(job: Job) -> Outcome:
            if job.deliveries[0].recipient == "full@demo.test":
                tried.append(one.clock.seconds())
                return DEFERRED
            return DELIVERED

        one.deliverer.answers["demo.test"] = answer
        one.accept("full@demo.test")
        for _ in range(120):
            one.accept("fine@demo.test")
            one.turn(60, 30)
        self.assertLessEqual(len(tried), 8)

    def test_survives_a_restart(self) -> None:
        """A destination known to be down is not met anew after a restart."""
        one = Appliance()
        one.fill(50, "dead.test")
        one.deliverer.answers["dead.test"] = DOWN
        one.boot()
        one.turn(400, 5)
        before = lanes.states(one.store.connection)[0]
        one.crash()
        one.deliverer.jobs.clear()
        one.boot()
        self.assertEqual(one.deliverer.jobs, [])
        self.assertEqual(lanes.states(one.store.connection)[0], before)

    def test_comes_back_clean(self) -> None:
        """A destination that answers leaves no row behind."""
        one = Appliance().boot()
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@dead.test")
        self.assertEqual(len(lanes.states(one.store.connection)), 1)
        one.deliverer.answers["dead.test"] = DELIVERED
        one.turn(120)
        self.assertEqual(lanes.states(one.store.connection), [])
        self.assertEqual(one.rows()[0][0], "delivered")

    def test_expires_while_down(self) -> None:
        """Mail that waits behind a dead destination is returned after five days, without a dial apiece."""
        one = Appliance()
        one.deliverer.answers["dead.test"] = DOWN
        one.fill(300, "dead.test")
        start = one.clock.seconds()
        one.boot()
        one.turn(5 * DAY - 2000, 600)
        self.assertEqual(one.count("status = 'queued' AND destination = 'dead.test'"), 300)
        self.assertEqual(len(one.reports()), 300)  # each sender was told once that it is late
        dials = len(one.deliverer.to("dead.test"))
        one.turn(2000 + 120, 10)
        self.assertEqual(one.count("reason = 'expired'"), 300)
        self.assertEqual(len([subject for _, subject in one.reports() if subject.startswith("Undelivered")]), 300)
        self.assertLess(len(one.deliverer.to("dead.test")) - dials, 10)
        finished = one.store.connection.execute("SELECT max(finished) - ? FROM deliveries WHERE reason = 'expired'", (start,)).fetchone()[0]
        self.assertLess(finished - 5 * DAY, 90)

    def test_retry_by_hand(self) -> None:
        """What people want tried now probes a destination that is down at once."""
        one = Appliance().boot()
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@dead.test")
        one.turn(1000, 5)
        one.deliverer.answers["dead.test"] = DELIVERED
        administration.retry(one.store.connection, one.clock.seconds(), Selection(destination="dead.test"), "test")
        one.queue.wake()
        one.settle()
        self.assertEqual(one.rows()[0][0], "delivered")

    def test_suspended(self) -> None:
        """A suspended destination is not dialled and its mail does not expire; resumed, it flows."""
        one = Appliance().boot()
        lanes.suspend(one.store.connection, "demo.test")
        one.queue.wake()
        one.accept("a@demo.test")
        one.turn(6 * DAY, 3600)
        self.assertEqual((one.deliverer.jobs, one.rows()[0][0]), ([], "queued"))
        lanes.resume(one.store.connection, "demo.test")
        one.queue.wake()
        one.settle()
        self.assertEqual(one.rows()[0][0], "delivered")


class Fairness(SynchronousTestCase):
    def test_small_lanes_beside_a_big_one(self) -> None:
        """Fifty destinations with little mail are served while one with much is under way."""
        one = Appliance(QueueOptions(window=500, concurrency=40))
        one.fill(3000, "big.test")
        for number in range(50):
            one.fill(2, f"small{number:02}.test")
        one.deliverer.hold = True
        one.boot()
        for _ in range(12):
            one.deliverer.release()
            one.turn(1.1)
        self.assertEqual(one.count("status = 'delivered' AND destination <> 'big.test'"), 100)
        self.assertGreater(one.count("status = 'queued'"), 2500)
        self.assertLessEqual(one.deliverer.most["big.test"], 20)

    def test_slow_destination_does_not_fill_the_window(self) -> None:
        """Fresh mail for a destination that never ends its attempts leaves room for the others."""
        one = Appliance(QueueOptions(window=100)).boot()
        one.deliverer.hold = True
        for number in range(200):
            one.accept(f"u{number}@slow.test")
        one.accept("a@slow.test", "b@one.test")
        held = len(one.deliverer.to("slow.test"))
        one.deliverer.hold = False
        one.turn(3)
        for number in range(50):
            one.accept(f"u{number}@fast{number}.test")
        one.turn(3)
        self.assertEqual(one.count("destination LIKE 'fast%' AND status = 'delivered'"), 50)
        self.assertEqual(len(one.deliverer.to("slow.test")), held)

    def test_total_is_bounded(self) -> None:
        """Never more attempts at once than `concurrency`."""
        one = Appliance(QueueOptions(concurrency=7))
        for number in range(30):
            one.fill(3, f"d{number}.test")
        one.deliverer.hold = True
        one.boot()
        self.assertEqual(len(one.deliverer.waiting), 7)
        self.assertEqual(one.queue.figures().attempts, 7)

    def test_thousands_of_destinations(self) -> None:
        """Every destination gets its turn through a window much smaller than their number."""
        one = Appliance(QueueOptions(window=100))
        for number in range(1500):
            one.fill(1, f"d{number:05}.test")
        one.boot()
        one.turn(30)
        self.assertEqual(one.count("status = 'delivered'"), 1500)


class Clocks(SynchronousTestCase):
    def test_forward(self) -> None:
        """A jump of ten days forward returns nothing untried and floods nobody."""
        one = Appliance(QueueOptions(lane_start=2, lane_limit=4)).boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        for number in range(40):
            one.accept(f"u{number}@demo.test")
        one.turn(400)
        one.deliverer.answers["demo.test"] = DELIVERED
        one.deliverer.hold = True
        one.deliverer.most.clear()
        one.clock.rightNow += 10 * DAY
        for _ in range(60):
            one.turn(1)
            one.deliverer.release()
        self.assertEqual(one.count("status = 'delivered'"), 40)
        self.assertLessEqual(one.deliverer.most["demo.test"], 4)
        self.assertEqual(one.reports(), [])

    def test_forward_while_down(self) -> None:
        """After the jump a destination that is down is probed before its old mail is given up."""
        one = Appliance().boot()
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@dead.test")
        one.accept("b@dead.test")
        one.turn(100)
        one.deliverer.answers["dead.test"] = DELIVERED
        one.clock.rightNow += 10 * DAY
        one.turn(5)
        self.assertEqual(one.count("status = 'delivered'"), 2)

    def test_backward(self) -> None:
        """A jump of ten days back keeps nothing waiting for ten days, from the next thing that happens on."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@demo.test")
        one.accept("b@dead.test")
        one.turn(120)
        one.clock.rightNow -= 10 * DAY
        one.deliverer.answers.clear()
        one.accept("c@other.test")
        one.turn(2000, 10)
        self.assertEqual(one.count("status = 'delivered'"), 3)

    def test_backward_while_stopped(self) -> None:
        """The same when the clock was put back between two runs."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED
        one.accept("a@demo.test")
        one.crash()
        one.clock.rightNow -= 10 * DAY
        one.deliverer.answers["demo.test"] = DELIVERED
        one.boot()
        one.settle()
        self.assertEqual(one.rows()[0][0], "delivered")

    def test_refusal_counts_as_an_answer(self) -> None:
        """A destination that refuses is there: the lane comes up."""
        one = Appliance().boot()
        one.deliverer.answers["dead.test"] = DOWN
        one.accept("a@dead.test", sender="")
        one.deliverer.answers["dead.test"] = REFUSED
        one.turn(70)
        self.assertEqual(lanes.states(one.store.connection), [])

    def test_look_survives_a_fault(self) -> None:
        """A look that breaks is logged, and the queue looks again."""
        one = Appliance()
        one.fill(3, "demo.test")
        read, broken = one.db.read, [RuntimeError("a fault of ours")]

        def failing(fn: Any, *args: Any) -> Any:
            if fn is lanes.following and broken:
                raise broken.pop()
            return read(fn, *args)

        one.db.read = failing  # type: ignore[method-assign]
        one.boot()
        self.assertEqual(one.deliverer.jobs, [])
        one.turn(10)
        self.assertEqual(one.count("status = 'delivered'"), 3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
