"""Sites: which host belongs to which, how much they are given, and how they cool down and recover."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.reply import Reply
from jetmail.outbound.providers import Preset, Provider, Providers, Terms
from jetmail.outbound.sites import FORGET, MAX_SITES, Site, Sites, Turn
from jetmail.store.traffic.sites import SiteState

GMAIL = Provider(name="gmail", mx=("google.com",), connections=10, per_connection=50)
SLOW = Reply(421, "4.7.28", "unusual rate of mail")
LATER = Reply(451, "4.3.0", "not now")


def registered(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def site(most: int = 8, **terms: object) -> Site:
    return Site("demo", Preset(Terms(**terms)), most)  # type: ignore[arg-type]


def throttle(one: Site, times: int, now: float = 0.0) -> list[Turn]:
    return [one.answered(one.began(now), now, SLOW) for _ in range(times)]


class Names(SynchronousTestCase):
    def setUp(self) -> None:
        self.sites = Sites(Providers(providers=(GMAIL,)), 20, registered)

    def test_names(self) -> None:
        """A provider's host is the provider, a configured host is HOST:PORT, any other is its registered domain."""
        names = [
            self.sites.of_host(*each).name
            for each in (
                ("aspmx.l.google.com", 25, False),
                ("google.com", 25, True),
                ("notgoogle.com", 25, False),
                ("mx1.mail.demo.test", 25, False),
                ("mx1.mail.demo.test", 2525, True),
                ("2001:db8::1", 25, True),
            )
        ]
        self.assertEqual(names, ["gmail", "gmail", "notgoogle.com", "demo.test", "mx1.mail.demo.test:2525", "[2001:db8::1]:25"])

    def test_shared(self) -> None:
        """Two hosts of one site share one object."""
        self.assertIs(self.sites.of_host("a.demo.test", 25, False), self.sites.of_host("b.demo.test", 25, False))

    def test_bounds(self) -> None:
        """Connections to a provider's host are bound by its preset, those to a stranger's by nothing."""
        self.assertEqual(self.sites.bounds("aspmx.l.google.com", 25), ("gmail", 10, 50))
        self.assertEqual(self.sites.bounds("mx.demo.test", 25), ("", 0, 0))

    def test_bounds_of_a_cooling_site(self) -> None:
        """While a site cools down fewer connections to it are kept."""
        throttle(self.sites.of_host("aspmx.l.google.com", 25, False), 5)
        self.assertEqual(self.sites.bounds("alt1.aspmx.l.google.com", 25), ("gmail", 1, 50))

    def test_forgotten(self) -> None:
        """The last lane that leaves takes a site that is well along, and none that is cooling."""
        well, hot = self.sites.of_host("a.well.test", 25, False), self.sites.of_host("a.hot.test", 25, False)
        throttle(hot, 5)
        for one in (well, hot):
            one.lanes += 1
            self.sites.leave(one)
        self.assertEqual([one.name for one in self.sites], ["hot.test"])

    def test_bounded(self) -> None:
        """However many sites are met, idle ones beyond the bound are forgotten."""
        for number in range(MAX_SITES + 10):
            self.sites.of_host(f"mx.d{number}.test", 25, False)
        self.assertLessEqual(len(list(self.sites)), MAX_SITES)

    def test_stale(self) -> None:
        """A site that cooled down and got no mail for a day counts as well."""
        one = self.sites.of_host("aspmx.l.google.com", 25, False)
        throttle(one, 5)
        self.assertEqual(self.sites.stale(FORGET), [])
        self.assertEqual(self.sites.stale(FORGET + 100), [one])
        self.assertEqual((one.level, one.limit, self.sites.cooling), (0, 10, 0))


class Limits(SynchronousTestCase):
    def test_places(self) -> None:
        """No more at once than its places, and one more when one is given back."""
        one = site(connections=2)
        one.began(0.0)
        one.began(0.0)
        self.assertFalse(one.has_room(0.0))
        one.left()
        self.assertTrue(one.has_room(0.0))

    def test_even(self) -> None:
        """A rate is spread evenly: the next may go when its time has come, not before."""
        one = site(per_minute=6)
        one.succeeded(one.began(100.0), 100.0)
        self.assertFalse(one.has_room(109.9))
        self.assertEqual(one.opens(), 110.0)
        self.assertTrue(one.has_room(110.0))

    def test_clock_went_back(self) -> None:
        """A clock that goes back does not keep a site shut until it has caught up."""
        one = site(per_minute=6)
        one.succeeded(one.began(1e6), 1e6)
        one.rebase(1000.0)
        self.assertTrue(one.has_room(1000.0))


@given(
    st.floats(0.5, 6000.0),
    st.lists(st.floats(0.0, 90.0), min_size=1, max_size=300),
    st.integers(0, 50),
)
def test_never_faster(rate: float, waits: list[float], eagerness: int) -> None:
    """However often it is asked, in any span of T seconds no more than rate * (T + 1 s) + 1 attempts begin."""
    one = Site("demo", Preset(Terms(per_minute=rate)), 1_000_000)
    now, began = 0.0, []
    for wait in waits:
        now += wait
        for _ in range(eagerness + 1):
            if one.has_room(now):
                one.began(now)
                began.append(now)
    for first in range(0, len(began), 7):
        for last in range(first, len(began), 5):
            span = began[last] - began[first]
            assert last - first + 1 <= rate / 60 * (span + 1) + 1 + 1e-6


@given(st.floats(30.0, 3000.0), st.integers(1, 200))
def test_as_fast_as_allowed(rate: float, number: int) -> None:
    """Who comes whenever it opens gets the whole rate."""
    one = Site("demo", Preset(Terms(per_minute=rate)), 1_000_000)
    now = 0.0
    for _ in range(number):
        now = max(now, one.opens())
        assert one.has_room(now)
        one.began(now)
    assert now <= (number - 1) * 60 / rate + 1e-6


class CoolDown(SynchronousTestCase):
    def test_burst(self) -> None:
        """The fifth throttling reply cools it down: a pause of a minute, then half the places and half the rate."""
        one = site(per_minute=60)
        self.assertEqual(throttle(one, 5, 100.0), [Turn.NONE] * 4 + [Turn.COOLED])
        self.assertTrue(one.is_closed(159.9))
        self.assertFalse(one.is_closed(160.0))
        self.assertEqual((one.level, one.limit, one.rate, one.since), (1, 1, 30.0, 100.0))
        one.succeeded(one.began(160.0), 160.0)
        self.assertEqual(one.limit, 4)
        self.assertEqual(one.reply, "cooled down: 5 of 5 attempts were told to slow down by demo, last: 421 4.7.28 unusual rate of mail")

    def test_another_answer_ends_the_trial(self) -> None:
        """The attempt after the pause decides, also when it is answered with a deferral that is about its message."""
        one = site()
        throttle(one, 5)
        one.answered(one.began(60.0), 60.0, LATER)
        self.assertEqual((one.limit, one.level), (4, 1))

    def test_a_rate_for_who_had_none(self) -> None:
        """A site without a rate has one while it cools down."""
        one = site()
        throttle(one, 5)
        self.assertEqual(one.rate, 60.0)

    def test_few_among_many(self) -> None:
        """Five among more than twenty attempts are no burst."""
        one = site()
        for _ in range(10):
            self.assertEqual(throttle(one, 1), [Turn.NONE])
            for _ in range(5):
                one.succeeded(one.began(0.0), 0.0)
        self.assertEqual(one.level, 0)

    def test_long_ago(self) -> None:
        """Replies older than the window do not count."""
        one = site()
        for minute in range(20):
            self.assertEqual(throttle(one, 1, minute * 100.0), [Turn.NONE])

    def test_other_deferrals(self) -> None:
        """A 4xx that speaks of one message is no reason to slow down."""
        one = site()
        for _ in range(50):
            self.assertIs(one.answered(one.began(0.0), 0.0, LATER), Turn.NONE)

    def test_on_the_wire_before(self) -> None:
        """What was on the wire when the pause began neither deepens nor ends it."""
        one = site()
        epochs = [one.began(0.0) for _ in range(8)]
        for epoch in epochs[:5]:
            one.answered(epoch, 0.0, SLOW)
        self.assertEqual([one.answered(epoch, 1.0, SLOW) for epoch in epochs[5:7]], [Turn.NONE] * 2)
        self.assertIs(one.succeeded(epochs[7], 1.0), Turn.NONE)
        self.assertEqual((one.level, one.not_before, one.in_flight), (1, 60.0, 0))

    def test_pauses_grow(self) -> None:
        """The first throttling reply after a pause is the next, longer pause; the last length repeats."""
        one, now, pauses = site(), 0.0, []
        throttle(one, 4)
        for _ in range(7):
            self.assertEqual(throttle(one, 1, now), [Turn.COOLED])
            pauses.append(one.not_before - now)
            now = one.not_before
        self.assertEqual(pauses, [60, 120, 300, 900, 1800, 1800, 1800])
        self.assertEqual((one.limit, one.level), (1, 5))
        self.assertIn("the attempt after the pause was told", one.reply)

    def test_recovers_step_by_step(self) -> None:
        """Ten messages taken are a step back; the last step makes it well."""
        one = site(connections=16)
        throttle(one, 5)
        throttle(one, 1, 60.0)
        found = [(turn, one.limit) for turn in [one.succeeded(one.began(200.0), 200.0) for _ in range(20)] if turn is not Turn.NONE]
        self.assertEqual([turn for turn, _ in found], [Turn.EASED, Turn.WELL])
        self.assertEqual((one.level, one.limit, one.rate, one.reply, one.since), (0, 16, 0.0, "", None))

    def test_recovers_with_time(self) -> None:
        """A site that gets little mail takes a step back with the first success after an hour."""
        one = site()
        throttle(one, 5)
        self.assertIs(one.succeeded(one.began(100.0), 100.0), Turn.NONE)
        self.assertIs(one.succeeded(one.began(3700.0), 3700.0), Turn.WELL)

    def test_survives(self) -> None:
        """What the store kept is as it was: the pause, the step, and the next reply of that kind counts."""
        one = site()
        throttle(one, 5, 100.0)
        again = site()
        again.restore(one.state())
        self.assertEqual(again.state(), one.state())
        self.assertEqual(throttle(again, 1, 160.0), [Turn.COOLED])

    def test_people(self) -> None:
        """People suspend a site, and end a pause; the step stays until it recovers."""
        one = site()
        throttle(one, 5)
        one.apply(SiteState("demo", 1, 0.0, 0.0, suspended=True))
        self.assertTrue(one.is_closed(1e9))
        one.apply(SiteState("demo", 1, 0.0, 0.0))
        self.assertFalse(one.is_closed(1.0))
        self.assertEqual(one.level, 1)


GREY = Reply(450, "4.7.1", "try again later")


def put_off(one: Site, recipients: list[str], now: float = 0.0) -> list[Turn]:
    return [one.answered(one.began(now), now, GREY, about=each) for each in recipients]


class AboutRecipients(SynchronousTestCase):
    """4.7.x in answer to RCPT: about one recipient, until it is about several."""

    def test_one_recipient(self) -> None:
        """However often one recipient is put off, or two are, the site goes on."""
        one = site()
        self.assertEqual(set(put_off(one, ["a@demo.test", "b@demo.test"] * 20)), {Turn.NONE})
        self.assertEqual((one.level, one.is_closed(0.0)), (0, False))

    def test_three_recipients(self) -> None:
        """Three of them in one burst are evidence."""
        one = site()
        self.assertEqual(put_off(one, ["a", "a", "a", "b", "c"]), [Turn.NONE] * 4 + [Turn.COOLED])
        self.assertIn("5 of 5 attempts were", one.reply)

    def test_with_others(self) -> None:
        """A recipient's replies do not make up a burst with four of the host's; a third recipient makes all of them count."""
        one = site()
        throttle(one, 4)
        self.assertEqual(put_off(one, ["a", "b"]), [Turn.NONE] * 2)
        self.assertEqual(put_off(one, ["c"]), [Turn.COOLED])
        self.assertIn("7 of 7 attempts were", one.reply)
        other = site()
        put_off(other, ["a"] * 10)
        self.assertEqual(throttle(other, 5), [Turn.NONE] * 4 + [Turn.COOLED])

    def test_after_the_pause(self) -> None:
        """The attempt after the pause is no further step for one recipient's sake, unless several were the reason for the pause."""
        one = site()
        throttle(one, 5)
        self.assertEqual(put_off(one, ["a"], 60.0), [Turn.NONE])
        self.assertEqual((one.level, one.limit), (1, 4))
        other = site()
        put_off(other, ["a", "b", "c", "d", "e"])
        self.assertEqual(put_off(other, ["f"], 60.0), [Turn.COOLED])

    def test_long_ago(self) -> None:
        """Recipients beyond the window are no part of the burst."""
        one = site()
        put_off(one, ["a", "b"])
        self.assertEqual(set(put_off(one, ["c"] * 10, 400.0)), {Turn.NONE})

    def test_a_configured_host(self) -> None:
        """A customer's own server that greylists everybody is not cooled down; what it says of the connection counts."""
        one = Sites(Providers(), 8).of_host("mx.customer.test", 25, True)
        self.assertEqual(set(put_off(one, [f"r{number}" for number in range(40)])), {Turn.NONE})
        self.assertEqual(throttle(one, 5)[-1], Turn.COOLED)
