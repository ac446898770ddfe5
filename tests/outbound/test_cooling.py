"""Sites that cool down and recover, and what people suspend and resume."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.reply import Reply
from jetmail.outbound.gate import KNOWN_MX, Best
from jetmail.store.traffic import administration, lanes, sites
from jetmail.store.traffic.administration import Selection
from tests.outbound.appliance import DEFERRED, DOWN, Appliance
from tests.outbound.behind import SLOW, TURNED_AWAY, appliance


class CoolDown(SynchronousTestCase):
    def cooled(self, **terms: Any) -> Appliance:
        """A provider that throttles, with mail to ten domains behind it."""
        one = appliance(**terms)
        for number in range(10):
            one.fill(10, f"big{number}.test")
            one.deliverer.answers[f"big{number}.test"] = SLOW
        one.fill(5, "fast.test")
        return one.boot()

    def test_paused(self) -> None:
        """A burst of 421s stops all that leads there: nothing is dialled for a minute, then one attempt; other mail goes on."""
        one = self.cooled(connections=5)
        first = len(one.deliverer.jobs) - 5
        self.assertLessEqual(first, 10)
        self.assertEqual(one.count("status = 'delivered'"), 5)
        one.turn(55)
        self.assertEqual(len(one.deliverer.jobs) - 5, first)
        self.assertEqual(one.queue.figures().cooling, 1)
        self.assertEqual(one.queue.figures().window, 0)
        one.turn(10)
        self.assertEqual(len(one.deliverer.jobs) - 5, first + 1)

    def test_costs_no_attempt(self) -> None:
        """What was not dialled has no attempt counted, and is neither failed nor late."""
        one = self.cooled(connections=5)
        dialled = sum(len(job.deliveries) for job in one.deliverer.jobs)
        one.turn(30)
        self.assertEqual(sum(row[2] for row in one.rows()), dialled)

    def test_people_see_why(self) -> None:
        """The queue says 'cooled down: ...' of what waits, the message's timeline too, and the site is a row."""
        one = self.cooled(connections=5)
        one.turn(2)
        rows = administration.select(one.store.connection, one.clock.seconds(), Selection(destination="big9.test"))
        self.assertEqual({row.lane_reason for row in rows}, {"cooling"})
        self.assertTrue(all(row.lane_reply.startswith("cooled down: 5 of 5 attempts were told to slow down by big, last: 421") for row in rows))
        self.assertTrue(all(row.next_attempt > one.clock.seconds() + 50 for row in rows))
        self.assertTrue(any("cooled down" in json.loads(detail)["reply"] for detail in one.events("cooled")))
        trouble = {(each.kind, each.name): each for each in sites.troubles(one.store.connection, one.clock.seconds())}
        self.assertEqual(trouble["site", "big"].state, "cooling")
        self.assertEqual(trouble["site", "big"].waiting, 100)
        self.assertEqual(trouble["destination", "big3.test"].site, "big")

    def test_fresh_mail_says_why(self) -> None:
        """Fresh mail for a site that cools down is not tried, not claimed, and says what it waits for."""
        one = self.cooled(connections=5)
        before = len(one.deliverer.jobs)
        one.accept("new@big3.test")
        self.assertEqual(len(one.deliverer.jobs), before)
        self.assertEqual(one.rows("recipient = 'new@big3.test'")[0][:3], ("queued", "cooling", 0))

    def test_claimed_mail_is_given_back(self) -> None:
        """Fresh mail that stood in line when the pause began keeps its first attempt, and its timeline says what happened."""
        one = appliance(connections=5).boot()
        one.deliverer.hold = True
        for number in range(20):
            one.deliverer.answers[f"big{number}.test"] = SLOW
            one.accept(f"a@big{number}.test")
        one.deliverer.release(5)
        self.assertEqual(one.count("attempts = 0 AND reason = 'cooling' AND reply LIKE 'cooled down: %'"), 11)  # four went while the first four ended
        self.assertEqual(len(one.events("cooled")), 12)

    def test_recovers(self) -> None:
        """When it takes mail again all of it leaves, step by step, and nobody waits for it any more."""
        one = self.cooled(connections=4)
        one.deliverer.answers.clear()
        one.turn(1200, 1.0)
        self.assertEqual(one.count("status = 'queued'"), 0)
        self.assertEqual(one.queue.figures().cooling, 0)
        self.assertEqual(sites.states(one.store.connection), [])
        self.assertEqual(lanes.states(one.store.connection), [])

    def test_pauses_grow(self) -> None:
        """As long as it throttles it is met once a pause, and pauses grow."""
        one = self.cooled(connections=5)
        times: list[float] = []
        seen = len(one.deliverer.jobs)
        for _ in range(3600):
            one.turn(1)
            if len(one.deliverer.jobs) > seen:
                self.assertEqual(len(one.deliverer.jobs) - seen, 1)
                seen = len(one.deliverer.jobs)
                times.append(one.clock.seconds() - 1_000_000.0)
        self.assertEqual(len(times), 5)
        self.assertTrue(all(later - earlier >= pause for earlier, later, pause in zip(times, times[1:], (120, 300, 900, 1800), strict=False)))

    def test_survives_a_restart(self) -> None:
        """A process that starts during a pause waits for its end, and one attempt decides."""
        one = self.cooled(connections=5)
        seen = len(one.deliverer.jobs)
        one.turn(5)
        one.crash()
        one.boot()
        self.assertEqual(one.queue.figures().cooling, 1)
        one.turn(45)
        self.assertEqual(len(one.deliverer.jobs), seen)
        one.turn(70)
        self.assertEqual(len(one.deliverer.jobs), seen + 1)

    def test_turned_away_at_the_door(self) -> None:
        """A 421 in the greeting is throttling too, and puts no lane down; a host that cannot be reached is another matter."""
        one = appliance(connections=5)
        for number in range(10):
            one.fill(2, f"big{number}.test")
            one.deliverer.answers[f"big{number}.test"] = TURNED_AWAY
        one.deliverer.answers["gone.test"] = DOWN
        one.fill(1, "gone.test")
        one.boot()
        self.assertEqual((one.queue.figures().down, one.queue.figures().cooling), (1, 1))

    def test_other_deferrals(self) -> None:
        """A destination that defers everybody for reasons of its own cools nothing down."""
        one = appliance(connections=5)
        one.deliverer.answers["big1.test"] = DEFERRED._replace(reply=Reply(451, "4.3.0", "not now"))
        one.fill(50, "big1.test")
        one.boot()
        self.assertEqual(one.queue.figures().cooling, 0)

    def test_about_a_recipient(self) -> None:
        """What one recipient's greylisting says cools nothing down; what it says of many does."""
        grey = DEFERRED._replace(reply=Reply(450, "4.7.1", "try again later"))
        for abouts, cooling in ((["a"] * 10, 0), (list("abcdefghij"), 1)):
            one = appliance(connections=5)
            for number, about in enumerate(abouts):
                one.fill(1, f"big{number}.test")
                one.deliverer.answers[f"big{number}.test"] = grey._replace(about=about)
            one.boot()
            self.assertEqual(one.queue.figures().cooling, cooling)

    def test_resumed(self) -> None:
        """People end a pause: it is tried at once."""
        one = self.cooled(connections=5)
        seen = len(one.deliverer.jobs)
        self.assertTrue(sites.resume(one.store.connection, "big"))
        one.deliverer.answers.clear()
        one.queue.wake()
        one.turn(3)
        self.assertGreater(len(one.deliverer.jobs), seen)

    def test_clock_went_back(self) -> None:
        """A clock set back by a day shortens the pause instead of adding a day to it."""
        one = self.cooled(connections=5)
        one.turn(2)
        one.clock.rightNow -= 86400.0
        for call in one.clock.getDelayedCalls():
            call.time -= 86400.0
        one.deliverer.answers.clear()
        one.queue.wake()
        one.turn(4 * 3600, 10)
        self.assertEqual(one.count("status = 'queued'"), 0)


class Suspended(SynchronousTestCase):
    def test_destination(self) -> None:
        """A destination that people suspend gets nothing, at once, and its mail goes when they resume it."""
        one = appliance(connections=5).boot()
        one.accept("a@big1.test")
        lanes.suspend(one.store.connection, "big1.test", one.clock.seconds(), "ann", "moving")
        one.queue.wake()
        one.accept("b@big1.test")
        one.accept("c@big2.test")
        one.turn(100)
        self.assertEqual(len(one.deliverer.jobs), 2)
        self.assertTrue(lanes.resume(one.store.connection, "big1.test"))
        one.queue.wake()
        one.turn(2)
        self.assertEqual(len(one.deliverer.jobs), 3)

    def test_site(self) -> None:
        """A site that people suspend closes all lanes that lead there, also after a restart."""
        one = appliance(connections=5).boot()
        one.fill(3, "big1.test")
        sites.suspend(one.store.connection, "big", one.clock.seconds(), "ann", "their maintenance")
        one.queue.wake()
        one.turn(100)
        one.crash()
        one.boot().turn(100)
        self.assertEqual(len(one.deliverer.jobs), 0)
        waiting = {(each.kind, each.name): each for each in sites.troubles(one.store.connection, one.clock.seconds())}
        self.assertEqual((waiting["site", "big"].state, waiting["site", "big"].note), ("suspended", "their maintenance"))
        sites.resume(one.store.connection, "big")
        one.queue.wake()
        one.turn(3)
        self.assertEqual(len(one.deliverer.jobs), 3)

    def test_moved_from_a_suspended_site(self) -> None:
        """A destination that moves away from a provider that is suspended is delivered where it leads now."""
        where = ["mx.big.test"]
        one = appliance(find=lambda name: Best(where[0], 25, False)).boot()
        sites.suspend(one.store.connection, "big", one.clock.seconds(), "ann", "")
        one.queue.wake()
        one.accept("a@demo.test")
        one.turn(60)
        self.assertEqual(len(one.deliverer.jobs), 0)
        where[0] = "mx.other.test"
        one.turn(KNOWN_MX + 300, 10)
        self.assertEqual(len(one.deliverer.jobs), 1)
