"""Where mail leaves from: by domain, by account, within what a source may send today, whatever is under way at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail import warmup
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound import arrivals as arrival_module
from jetmail.outbound.arrivals import Arrivals
from jetmail.outbound.departures import Departures
from jetmail.outbound.job import Job
from jetmail.outbound.lane import Pulse, pulse_of
from jetmail.outbound.warmup import Counts
from jetmail.store.database import InlineDatabase
from jetmail.store.directory.sources import Source, SourceBook
from jetmail.store.traffic import source_days
from tests.outbound.appliance import DEFERRED, DELIVERED, DOWN, REFUSED, FakeDeliverer
from tests.outbound.delivering import job
from tests.store.samples import memory_store

NOON = 1_795_176_000.0  # 2026-11-20 12:00 UTC
TODAY = "2026-11-20"
ONE = Source("one", "192.0.2.1", hostname="one.test")
NEW = Source("new", "192.0.2.2", started=TODAY, curve="2,5")


class House:
    """`book` says who leaves from where; `accounts` who is whose."""

    def __init__(self, db: InlineDatabase | None = None) -> None:
        self.db = db or memory_store()
        self.now = NOON
        self.book: SourceBook | None = None
        self.accounts: dict[tuple[str, str], int] = {}
        self.deliverer = FakeDeliverer()
        self.counts = Counts(self.db, lambda: self.now)
        self.departures = Departures(
            self.deliverer, lambda: self.book, lambda user, domain: self.accounts.get((user, domain), 0), self.counts, lambda: self.now
        )
        self.outcomes: list[dict[int, Outcome]] = []

    def deliver(self, recipients: int = 1, **facts: Any) -> dict[int, Outcome]:
        """What became of it, when that is known already."""
        self.departures.deliver(job(recipients, **facts)).addCallback(self.outcomes.append)
        return self.outcomes[-1] if self.outcomes else {}

    def record(self, outcomes: dict[int, Outcome]) -> None:
        """As deliveries.record does."""
        source_days.add(self.db.connection, [each.counted for each in outcomes.values() if each.counted is not None])

    def origins(self) -> list[str]:
        """Where each attempt left from."""
        return [each.origin.name if each.origin is not None else "" for each in self.deliverer.jobs]


def to_new(**settings: Any) -> SourceBook:
    """All of sender.test leaves from a source that is new."""
    return SourceBook({"sender.test": replace(NEW, **settings)}, {})


class DepartureTests(SynchronousTestCase):
    """Who leaves from where."""

    def test_nobody_has_a_source(self) -> None:
        """The job goes on as it is."""
        house = House()
        outcome = house.deliver()[1]
        self.assertEqual((house.origins(), outcome.source, outcome.counted), ([""], "", None))

    def test_domain_over_account_over_default(self) -> None:
        """The sender's domain first, then the account of the user, then that of the domain; who has neither leaves from the default."""
        house = House()
        house.book = SourceBook({"sender.test": ONE}, {7: replace(ONE, name="seven")})
        house.accounts = {("u", "other.test"): 7, ("", "third.test"): 7}
        house.deliver()
        house.deliver(sender="b@bounces.sender.test", user="u")
        house.deliver(sender="a@other.test", user="u")
        house.deliver(sender="a@third.test")
        house.deliver(sender="a@fourth.test", user="v")
        house.deliver(sender="")
        self.assertEqual(house.origins(), ["one", "one", "seven", "seven", "", ""])

    def test_what_we_relay_for_strangers_leaves_from_the_default(self) -> None:
        """Whoever they say they are."""
        house = House()
        house.book = SourceBook({"sender.test": ONE}, {})
        house.deliver(direction="inbound")
        self.assertEqual(house.origins(), [""])

    def test_told_and_counted(self) -> None:
        """The outcome names the source, and what was taken counts for today; a source without a warm-up has no limit."""
        house = House()
        house.book = SourceBook({"sender.test": ONE}, {})
        outcome = house.deliver()[1]
        self.assertEqual((outcome.source, outcome.counted), ("one", ("one", TODAY)))
        origin = house.deliverer.jobs[0].origin
        assert origin is not None
        self.assertEqual((origin.ipv4, origin.ipv6, origin.hostname), ("192.0.2.1", "", "one.test"))


class ArrivalTests(SynchronousTestCase):
    """A host that shuts one source out."""

    def setUp(self) -> None:
        """one.test and two.test have a source each; everybody else has none."""
        self.house = House()
        self.house.book = SourceBook({"one.test": ONE, "two.test": replace(ONE, name="two", ipv4="192.0.2.9")}, {})
        self.house.deliverer.answers["a.test"] = lambda work: (
            DOWN._replace(address="192.0.2.1") if work.origin is not None and work.origin.name == "two" else DELIVERED
        )

    def fault(self, domain: str) -> bool:
        """Whether its mail found the host as a whole at fault."""
        return self.house.deliver(sender=f"x@{domain}")[1].is_host_fault

    def test_down_when_nobody_is_let_in(self) -> None:
        """Nothing is known to the contrary, or what got through was the same source's."""
        self.assertTrue(self.fault("two.test"))
        self.house.deliverer.answers["a.test"] = DELIVERED
        self.fault("two.test")
        self.house.deliverer.answers["a.test"] = DOWN
        self.assertTrue(self.fault("two.test"))

    def test_its_own_trouble_while_others_are_let_in(self) -> None:
        """Another source's mail, or the default's, was taken lately; after half an hour that says nothing any more."""
        for other in ("one.test", "third.test"):
            self.fault(other)
            self.assertFalse(self.fault("two.test"))
            self.assertIs(pulse_of(self.house.outcomes[-1])[0], Pulse.NOTHING)
            self.house.now += 1_801
            self.assertTrue(self.fault("two.test"))

    def test_the_default_is_excused_as_well(self) -> None:
        """It may be the address that is shut out."""
        self.fault("one.test")
        self.house.deliverer.answers["a.test"] = DOWN
        self.assertFalse(self.fault("third.test"))

    def test_bounded(self) -> None:
        """What was reached longest ago is forgotten first."""
        arrivals = Arrivals(lambda: 0.0)
        self.patch(arrival_module, "MAX_DESTINATIONS", 3)
        for number in range(5):
            for source in range(6):
                arrivals.seen(f"{number}.test", str(source), {1: DELIVERED})
        self.assertEqual({name: len(known) for name, known in arrivals._reached.items()}, {"2.test": 4, "3.test": 4, "4.test": 4})


class WarmUpTests(SynchronousTestCase):
    """Two may leave today, five tomorrow, then any number."""

    def test_over_the_limit_by_the_default(self) -> None:
        """The third leaves from the default, is not counted, and says why."""
        house = House()
        house.book = to_new()
        found = [house.deliver()[1] for _ in range(3)]
        self.assertEqual(house.origins(), ["new", "new", ""])
        self.assertEqual([each.counted for each in found], [("new", TODAY), ("new", TODAY), None])
        self.assertEqual(found[2].source, "default: new may send 2 today, day 1 of its warm-up")

    def test_over_the_limit_it_waits(self) -> None:
        """Until the next UTC day, without an attempt."""
        house = House()
        house.book = to_new(overflow="wait")
        outcome = [house.deliver()[1] for _ in range(3)][2]
        self.assertEqual((outcome.result, outcome.reason, outcome.not_before), (Result.LATER, "warm-up", NOON + 43_200))
        self.assertFalse(outcome.is_host_fault)
        self.assertEqual(len(house.deliverer.jobs), 2)

    def test_each_day_has_its_limit(self) -> None:
        """Day two has the curve's second count, the day after its end none; before its first day nothing leaves from it."""
        house = House()
        house.book = to_new(overflow="wait")
        house.now -= 86_400
        self.assertEqual(house.deliver()[1].reason, "warm-up")
        for limit in (2, 5):
            house.now += 86_400
            found = [house.deliver()[1].reason for _ in range(8)]
            self.assertEqual(found.count("accepted"), limit)
        house.now += 86_400
        self.assertEqual({house.deliver()[1].reason for _ in range(8)}, {"accepted"})

    def test_as_many_recipients_as_may(self) -> None:
        """Of a message with more recipients than are left, some leave and the others wait; every one has an outcome."""
        house = House()
        house.book = to_new(overflow="wait")
        found = house.deliver(5)
        self.assertEqual([found[number].reason for number in range(1, 6)], ["accepted"] * 2 + ["warm-up"] * 3)

    def test_what_was_not_taken_gives_its_place_back(self) -> None:
        """A refusal, a 4xx and a host that is down count for nothing; one that did not answer to the content may have it, and counts."""
        house = House()
        house.book = to_new(overflow="wait")
        for each in (REFUSED, DEFERRED, DOWN):
            house.deliverer.answers["a.test"] = each
            self.assertIsNone(house.deliver()[1].counted)
        house.deliverer.answers["a.test"] = Outcome(Result.LATER, "timeout", Reply(451, "4.4.2", "silent"), is_doubtful=True)
        self.assertEqual(house.deliver()[1].counted, ("new", TODAY))
        house.deliverer.answers["a.test"] = DELIVERED
        self.assertEqual([house.deliver()[1].reason for _ in range(2)], ["accepted", "warm-up"])

    def test_an_attempt_that_breaks_gives_its_places_back(self) -> None:
        """Whether it raises at once or fails later."""
        house = House()
        house.book = to_new(overflow="wait")
        house.deliverer.answers["a.test"] = ValueError("broken")
        for _ in range(3):
            self.failureResultOf(house.departures.deliver(job()), ValueError)
        house.deliverer.deliver = lambda work: 1 / 0  # type: ignore[assignment, method-assign]
        self.assertRaises(ZeroDivisionError, house.departures.deliver, job())
        self.assertEqual(house.counts.reserve("new", TODAY, 2, 5), 2)

    def test_what_is_on_the_wire_counts(self) -> None:
        """Two on their way leave no place for a third, until one of them fails."""
        house = House()
        house.book = to_new(overflow="wait")
        house.deliverer.hold = True
        for _ in range(2):
            house.deliver()
        self.assertEqual(house.deliver()[1].reason, "warm-up")
        house.deliverer.answers["a.test"] = DOWN
        house.deliverer.release(1)
        house.deliver()
        self.assertEqual(len(house.deliverer.waiting), 2)

    def test_a_restart_goes_on_where_it_stopped(self) -> None:
        """What was recorded counts for the next process."""
        house = House()
        house.book = to_new(overflow="wait")
        house.record(house.deliver())
        again = House(house.db)
        again.book = house.book
        self.assertEqual([again.deliver()[1].reason for _ in range(2)], ["accepted", "warm-up"])

    def test_mail_that_crosses_midnight_counts_for_its_day(self) -> None:
        """What was reserved yesterday gives back to yesterday."""
        house = House()
        house.book = to_new(overflow="wait")
        house.deliverer.hold = True
        house.deliver()
        house.now += 86_400
        house.deliverer.answers["a.test"] = DOWN
        house.deliverer.release()
        house.deliverer.hold = False
        house.deliverer.answers["a.test"] = DELIVERED
        self.assertEqual([house.deliver()[1].reason for _ in range(6)], ["accepted"] * 5 + ["warm-up"])


class Wire:
    """Holds every attempt until it is told how that ends."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Job, Deferred[dict[int, Outcome]]]] = []

    def deliver(self, work: Job) -> Deferred[dict[int, Outcome]]:
        if work.origin is None:
            return succeed({due.id: DELIVERED for due in work.deliveries})
        done: Deferred[dict[int, Outcome]] = Deferred()
        self.waiting.append((work, done))
        return done


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 6)),
        st.tuples(st.just("end"), st.lists(st.sampled_from((DELIVERED, REFUSED, DOWN)), min_size=1, max_size=6)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("later"), st.sampled_from((3_600.0, 40_000.0))),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from(("wait", "default")))
def test_never_more_than_the_limit(steps: list[tuple[str, Any]], curve: list[int], overflow: str) -> None:
    """Whatever is sent, fails, ends late or is cut off by a restart, no day takes more from the source than its limit, and no place is lost."""
    house = House()
    house.book = to_new(curve=",".join(map(str, curve)), overflow=overflow)
    wire = Wire()
    house.departures._deliverer = wire

    def ended(work: Job, done: Deferred[dict[int, Outcome]], results: list[Outcome]) -> None:
        done.callback({due.id: results[index % len(results)] for index, due in enumerate(work.deliveries)})

    for what, how in steps:
        if what == "send":
            house.departures.deliver(job(how)).addCallback(house.record)
        elif what == "end" and wire.waiting:
            ended(*wire.waiting.pop(0), how)
        elif what == "restart":
            wire.waiting.clear()  # on the wire and never heard of again
            house.counts = house.departures._counts = Counts(house.db, lambda: house.now)
        elif what == "later":
            house.now += how
    while wire.waiting:
        ended(*wire.waiting.pop(), [DELIVERED])
    for day, sent in source_days.days(house.db.connection, "new"):
        limit = warmup.limit(tuple(curve), warmup.number(TODAY, day))
        assert limit is None or sent <= limit
    today = house.counts.today()
    limit = warmup.limit(tuple(curve), warmup.number(TODAY, today))
    if limit is not None:
        assert house.counts.reserve("new", today, limit, 1_000) == limit - source_days.sent(house.db.connection, "new", today)
