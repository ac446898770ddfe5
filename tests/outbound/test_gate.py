"""Lanes that lead to one site: turns, limits, cool-downs; and the lanes beside them, which notice nothing."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.interfaces import AnswerKind
from jetmail.outbound.gate import FINDING, KNOWN_MX, UNFOUND, WAITING, Best
from jetmail.outbound.providers import Providers, Terms
from jetmail.outbound.route import RouteOptions, Router
from jetmail.store.traffic import lanes
from tests.fakes import FakeEntropy, FakeResolver
from tests.outbound.appliance import DELIVERED, Appliance
from tests.outbound.behind import SLOW, appliance, find


def wire(one: Appliance, prefix: str = "big") -> list[str]:
    """Destinations of what is on the wire to the provider."""
    return [job.destination for job, _ in one.deliverer.waiting if job.destination.startswith(prefix)]


class Turns(SynchronousTestCase):
    def test_places_bind_all_lanes(self) -> None:
        """Fifty domains behind one provider have its four places together, and each domain its turn."""
        one = appliance(connections=4)
        one.deliverer.hold = True
        for number in range(50):
            one.fill(20, f"big{number}.test")
        one.boot()
        most, order = 0, []
        for _ in range(1000):
            on_wire = wire(one)
            most = max(most, len(on_wire))
            order += on_wire
            one.deliverer.release()
            one.turn(0.1, 0.1)
        self.assertEqual(most, 4)
        self.assertEqual(one.count("status = 'delivered'"), 1000)
        self.assertLessEqual(max(Counter(order[:200]).values()), 6)  # fifty lanes, four turns each: nobody is far ahead
        self.assertGreaterEqual(len(set(order[:200])), 48)

    def test_rate_binds_all_lanes(self) -> None:
        """A thousand messages behind fifty domains leave evenly, sixty a minute, and the rest of the queue is as fast as ever."""
        one = appliance(per_minute=60)
        for number in range(50):
            one.fill(20, f"big{number}.test")
        one.boot()
        one.fill(300, "fast.test")
        one.queue.wake()
        one.turn(3)
        self.assertEqual(one.count("status = 'delivered' AND destination = 'fast.test'"), 300)
        one.turn(120, 0.5)
        self.assertLessEqual(abs(one.count("status = 'delivered' AND destination LIKE 'big%'") - 124), 4)
        self.assertEqual(one.count("attempts > 0 AND status = 'queued'"), 0)  # what waits was not tried
        self.assertLessEqual(one.queue.figures().window, 60)
        one.turn(900, 1.0)
        self.assertEqual(one.count("status = 'delivered'"), 1300)
        self.assertLessEqual(max(Counter(job.destination for job in one.deliverer.jobs[:] if job.destination.startswith("big")).values()), 20)

    def test_fresh_mail_waits_in_the_store(self) -> None:
        """Fresh mail for a site that has had its share is not claimed, does not fill the window and leaves in its turn."""
        one = appliance(per_minute=60).boot()
        for number in range(500):
            one.accept(f"u{number}@big{number % 5}.test")
        self.assertLess(one.queue.figures().window, 20)
        one.accept("ann@fast.test")
        self.assertEqual(len(one.deliverer.to("fast.test")), 1)
        one.turn(60)
        self.assertLessEqual(abs(len(one.deliverer.jobs) - 63), 4)
        one.turn(600)
        self.assertEqual(one.count("status = 'queued'"), 0)

    def test_one_slow_lane_does_not_keep_the_others(self) -> None:
        """A lane whose attempts hang keeps its places and no more: the others go round."""
        one = appliance(connections=3)
        one.deliverer.hold = True
        one.fill(1, "bighang.test")
        one.boot()
        for number in range(10):
            one.fill(3, f"big{number}.test")
        one.queue.wake()
        for _ in range(60):
            one.turn(1)
            for job, done in [each for each in one.deliverer.waiting if each[0].destination != "bighang.test"]:
                one.deliverer.waiting.remove((job, done))
                done.callback({due.id: DELIVERED for due in job.deliveries})
        self.assertEqual(one.count("status = 'delivered'"), 30)
        self.assertEqual(wire(one), ["bighang.test"])

    def test_more_lanes_than_fit_in_line(self) -> None:
        """With more domains than may stand in line, memory holds some of them and every one has its turn."""
        one = appliance(per_minute=600)
        for number in range(3 * WAITING):
            one.fill(2, f"big{number:04}.test")
        one.boot()
        one.turn(40, 0.5)
        big = next(site for site in one.sites if site.name == "big")
        self.assertLessEqual(len(big.waiting), WAITING)
        one.turn(30, 0.5)
        served = Counter(job.destination for job in one.deliverer.jobs)
        self.assertEqual(len(served), 3 * WAITING)
        one.turn(70, 0.5)
        self.assertEqual(one.count("status = 'delivered'"), 6 * WAITING)

    def test_nothing_lingers(self) -> None:
        """When all is delivered no timer runs but the queue's own, nobody stands in line, no place is taken."""
        one = appliance(connections=2, per_minute=600)
        for number in range(20):
            one.fill(3, f"big{number}.test")
        one.boot().turn(60)
        big = next(site for site in one.sites if site.name == "big")
        self.assertEqual((big.in_flight, big.called, len(big.waiting), big.count), (0, 0, 0, 0))
        self.assertLessEqual(len(one.clock.getDelayedCalls()), 1)

    def test_stopped(self) -> None:
        """A stop leaves nobody in line and no timer, also when the last attempts end after it."""
        one = appliance(connections=2, per_minute=60)
        one.deliverer.hold = True
        for number in range(20):
            one.fill(3, f"big{number}.test")
        one.boot()
        stopped = one.queue.stopService()
        one.deliverer.release()
        self.successResultOf(stopped)
        one.turn(5)
        self.assertEqual(one.clock.getDelayedCalls(), [])
        self.assertLessEqual(len(one.deliverer.jobs), 2)

    def test_cannot_claim(self) -> None:
        """A store that cannot be written gives the places back."""
        one = appliance(connections=2)
        one.fill(5, "big1.test")
        one.db.is_full = True
        one.boot()
        self.assertEqual([site.in_flight for site in one.sites], [0])
        one.db.is_full = False
        one.turn(60)
        self.assertEqual(one.count("status = 'delivered'"), 5)
        self.flushLoggedErrors(StoreError)


class Finding(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[tuple[str, Deferred[Best | None]]] = []

    def find(self, name: str) -> Deferred[Best | None]:
        self.asked.append((name, Deferred()))
        return self.asked[-1][1]

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for name, waiting in asked:
            waiting.callback(find(name))

    def test_found_before_dialling(self) -> None:
        """Nothing is dialled before it is known where it leads; then at once."""
        one = appliance(find=self.find).boot()
        one.accept("a@big1.test")
        self.assertEqual(len(one.deliverer.jobs), 0)
        self.answer()
        self.assertEqual(len(one.deliverer.jobs), 1)

    def test_asked_again_later(self) -> None:
        """What was found is believed for minutes, then asked again."""
        one = appliance(find=self.find).boot()
        one.accept("a@big1.test")
        self.answer()
        one.accept("b@big1.test")
        self.assertEqual((len(self.asked), len(one.deliverer.jobs)), (0, 2))
        one.turn(KNOWN_MX, 60)
        one.accept("c@big1.test")
        self.assertEqual((len(self.asked), len(one.deliverer.jobs)), (1, 2))
        self.answer()
        self.assertEqual(len(one.deliverer.jobs), 3)

    def test_cannot_be_told(self) -> None:
        """Where nobody can tell, the attempt is made and finds out."""
        one = appliance(find=lambda name: None).boot()
        one.accept("a@big1.test")
        self.assertEqual(len(one.deliverer.jobs), 1)

    def test_fault_of_ours(self) -> None:
        """A look-up that breaks is no reason to stand still."""

        def broken(name: str) -> Best:
            raise ValueError("broken")

        one = appliance(find=broken).boot()
        one.accept("a@big1.test")
        self.assertEqual(len(one.deliverer.jobs), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_bounded(self) -> None:
        """Two thousand new destinations are asked about some at a time, and not all taken into memory."""
        one = appliance(find=self.find)
        for number in range(2000):
            one.fill(1, f"d{number}.test")
        one.boot()
        self.assertEqual(len(self.asked), FINDING)
        self.assertLessEqual(len(one.queue._window.lanes), UNFOUND + FINDING + 250)
        for _ in range(200):
            self.answer()
            one.turn(1)
        self.assertEqual(one.count("status = 'delivered'"), 2000)

    def test_moved(self) -> None:
        """A destination that moves to another provider is counted there."""
        where = ["mx.big.test"]
        one = appliance(find=lambda name: Best(where[0], 25, False), connections=2).boot()
        one.deliverer.hold = True
        one.accept("a@demo.test")
        where[0] = "mx.other.test"
        one.turn(KNOWN_MX, 60)
        one.accept("b@demo.test")
        self.assertEqual({site.name: site.in_flight for site in one.sites}, {"big": 1, "other.test": 1})
        one.deliverer.release()
        one.turn(2)
        self.assertEqual({site.name: (site.in_flight, site.count) for site in one.sites if site.lanes}, {"other.test": (0, 0)})


class ByMx(SynchronousTestCase):
    def test_by_mx(self) -> None:
        """Domains whose MX records lead to one provider are one site, whatever each is called; one whose DNS fails is tried and finds that out."""
        zone = {(f"d{number}.test", "MX"): [(10, f"mx{number}.big.test"), (5, "mx.big.test")] for number in range(3)}
        router = Router(FakeResolver(zone | {("gone.test", "MX"): AnswerKind.SERVFAIL}), lambda domain: (), FakeEntropy(), RouteOptions())
        one = appliance(find=router.best, connections=2).boot()
        one.deliverer.hold = True
        for number in range(3):
            one.accept(f"a@d{number}.test", f"b@d{number}.test")
        one.accept("a@gone.test")
        self.assertEqual(sorted(job.destination for job in one.deliverer.jobs), ["d0.test", "d1.test", "gone.test"])
        self.assertEqual([(site.name, site.in_flight) for site in one.sites], [("big", 2)])


class Crowd(SynchronousTestCase):
    def test_tens_of_thousands_of_domains(self) -> None:
        """Looks pass domains by whose provider has enough in hand: no look-up, no lane, no row for each of them again and again."""
        asked: Counter[str] = Counter()

        def find(name: str) -> Best:
            asked[name] += 1
            return Best("mx.big.test", 25, False)

        one = appliance(find=find, per_minute=600)
        for number in range(7_000):
            one.fill(1, f"big{number:05}.test")
        one.boot().turn(60, 1.0)
        self.assertLessEqual(max(asked.values()), 2)
        self.assertLessEqual(len(one.queue._window.lanes), 5200)
        self.assertLessEqual(one.queue.figures().window, 30)
        self.assertLessEqual(abs(one.count("status = 'delivered'") - 620), 25)
        for number in range(7_000):
            one.deliverer.answers[f"big{number:05}.test"] = SLOW
        one.turn(30, 1.0)
        self.assertEqual(one.queue.figures().cooling, 1)
        self.assertLessEqual(one.store.connection.execute("SELECT count(*) FROM destinations").fetchone()[0], 2000)
        one.deliverer.answers.clear()
        one.turn(240, 2.0)
        self.assertEqual(one.queue.figures().cooling, 0)
        self.assertEqual(lanes.states(one.store.connection), [])
        self.assertLessEqual(max(asked.values()), 12)


class Plain(SynchronousTestCase):
    def test_default_terms(self) -> None:
        """Without presets a destination of its own is as fast as ever: all its mail at once within the lane's limit."""
        one = Appliance(providers=Providers(Terms()), find=find).boot()
        one.fill(500, "demo.test")
        one.queue.wake()
        one.turn(2)
        self.assertEqual(one.count("status = 'delivered'"), 500)
