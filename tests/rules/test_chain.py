"""The asking of the chain: who waits, who fails, in what order opinions come back."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.rules import registry
from jetmail.rules.chain import DEFERRED, Judge
from jetmail.rules.policy import Policy
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Ruling, Stage, Verdict
from tests.rules.samples import facts, message, policy, recipient

RAIN = Verdict((Finding("RAIN", 1.0),))
BLOCK = Verdict(ruling=Ruling(Action.REJECT, "blocked"))


def chain(*entries: str) -> Any:
    """'Class', or 'Class after=a,b', each named by its place: r0, r1, ..."""
    lines = []
    for number, entry in enumerate(entries):
        made, _, after = entry.partition(" after=")
        names = ", ".join(f'"{name}"' for name in after.split(",") if name)
        lines.append(f'[[rule]]\nname = "r{number}"\nclass = "tests.thirdparty_rule.weather.{made}"\nafter = [{names}]\n')
    return registry.parse("\n".join(lines))


class AskingTests(SynchronousTestCase):
    """One stage asked."""

    def ask(self, *entries: str, subject: str = "Rain", to: tuple[Any, ...] = ()) -> Any:
        """Ask CONTENT of a chain of those classes."""
        self.clock = Clock()
        self.chain = chain(*entries)
        known = facts(message(subject=subject), to=to or (recipient(),))
        return Judge(self.chain, self.clock).ask(Stage.CONTENT, known, [policy() for _ in known.recipients], Policy())

    def rule(self, number: int) -> Any:
        """The rule r<number>."""
        return next(entry.rule for entry in self.chain.entries if entry.name == f"r{number}")

    def test_answers_at_once_make_no_deferred(self) -> None:
        """Rules that know are a plain call."""
        opinions = self.ask("Weather")
        self.assertEqual([opinion.verdict.findings[0].symbol for opinion in opinions], ["WEATHER_RAIN"])

    def test_no_opinion_is_not_kept(self) -> None:
        """Who has nothing to say is not written down."""
        self.assertEqual(self.ask("Weather", subject="Sun"), ())

    def test_coroutines_are_awaited(self) -> None:
        """A rule may be `async def`; when it waits for nothing its answer is there at once, like any other's."""
        opinions = self.ask("Coroutine")
        self.assertEqual(opinions[0].verdict.findings[0].symbol, "WEATHER_RAIN")

    def test_failure_is_what_on_error_says(self) -> None:
        """A rule that raises is skipped or defers, as it declared, and is logged once by name."""
        self.assertEqual(self.ask("Broken"), ())
        self.assertEqual([opinion.verdict for opinion in self.ask("BrokenList")], [DEFERRED])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_what_is_no_verdict_is_a_failure(self) -> None:
        """True is not an answer."""
        self.assertEqual(self.ask("Liar"), ())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_time_out(self) -> None:
        """A rule that never answers counts as its on_error says once its time is over, and is told to stop."""
        answer = self.ask("Slow")
        self.assertNoResult(answer)
        self.clock.advance(1.1)
        self.assertEqual([opinion.verdict for opinion in self.successResultOf(answer)], [DEFERRED])
        self.assertEqual(self.rule(0).cancelled, 1)
        self.flushLoggedErrors()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rules_wait_at_the_same_time(self) -> None:
        """Two slow rules are asked before either has answered."""
        answer = self.ask("Slow", "SlowFilter", "Weather")
        self.assertEqual([len(self.rule(0).asked), len(self.rule(1).asked)], [1, 1])
        self.rule(1).asked[0].callback(RAIN)
        self.rule(0).asked[0].callback(BLOCK)
        self.assertEqual([opinion.rule for opinion in self.successResultOf(answer)], ["r0", "r1", "r2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_waits_and_sees(self) -> None:
        """A rule that comes after another is asked when that one has answered, and knows what it said."""
        seen: list[Any] = []
        answer = self.ask("Weather after=r1", "Slow")
        self.patch(self.rule(0), "judge", lambda known, _: seen.append(known.opinions) or NO_OPINION)
        self.assertEqual(seen, [])
        self.rule(1).asked[0].callback(RAIN)
        self.successResultOf(answer)
        self.assertEqual([opinion.rule for opinion in seen[0]], ["r1"])

    def test_policy_refusal_ends_the_stage(self) -> None:
        """Once POLICY has refused the message, rules that come after are not asked."""
        self.assertEqual([opinion.rule for opinion in self.ask("Guard", "Weather after=r0")], ["r0"])

    def test_recipient_rules_are_asked_for_each(self) -> None:
        """A rule of RECIPIENT scope answers once for every recipient, with its place in the envelope."""
        text = '[[rule]]\nname = "loop"\nclass = "jetmail.rules.checks.loop.Loop"\n'
        known = facts(
            message(delivered_to="bob@demo.test\r\nDelivered-To: bob@demo.test"), to=(recipient("ann@demo.test"), recipient("bob@demo.test", 1))
        )
        opinions: Any = Judge(registry.parse(text), Clock()).ask(Stage.CONTENT, known, [policy(), policy()], Policy())
        self.assertEqual([opinion.recipient for opinion in opinions], [1])

    def test_cancelled_asking_cancels_what_it_waits_for(self) -> None:
        """When nobody wants the answer any more, waiting rules are told, later ones never asked, and it is no failure of theirs."""
        answer: Deferred[Any] = self.ask("Slow", "SlowFilter", "Weather after=r0")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual([self.rule(0).cancelled, self.rule(1).cancelled], [1, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order_of_answers_does_not_matter(self) -> None:
        """Every order in which four slow rules may answer gives the same opinions in the same order."""
        results = []
        for order in permutations(range(4)):
            answer = self.ask("Slow", "SlowFilter", "Slow after=r0", "SlowFilter")
            for number in order:
                for waiting in self.rule(number).asked:
                    waiting.callback(Verdict((Finding(f"F{number}", 1.0),)))
            for waiting in self.rule(2).asked:
                if not waiting.called:
                    waiting.callback(Verdict((Finding("F2", 1.0),)))
            results.append(self.successResultOf(answer))
        self.assertEqual(set(results), {results[0]})
        self.assertEqual([opinion.rule for opinion in results[0]], ["r0", "r1", "r3", "r2"])


@given(st.lists(st.sampled_from(["at once", "first", "second", "raises", "never"]), min_size=1, max_size=5), st.booleans())
def test_timing_does_not_matter(ways: list[str], is_reversed: bool) -> None:
    """Whether a rule answers at once, later, or through a failure, and in which order: the same opinions."""
    clock = Clock()
    made = chain(*["SlowFilter"] * len(ways))
    answer: Any = Judge(made, clock).ask(Stage.CONTENT, facts(message()), [policy()], Policy())
    waiting = [(entry.rule.asked[0], way, entry.order) for entry, way in zip(made.entries, ways, strict=True)]
    for deferred, way, order in reversed(waiting) if is_reversed else waiting:
        if way == "raises":
            deferred.errback(CancelledError())
        elif way != "never":
            deferred.callback(Verdict((Finding(f"F{order}", 1.0),)))
    clock.advance(2)
    said: list[Any] = []
    answer.addCallback(said.extend)
    assert [opinion.order for opinion in said] == [order for order, way in enumerate(ways) if way not in ("raises", "never")]
    assert clock.getDelayedCalls() == []
