"""Everything at once, at random: many domains behind two providers and hosts of their own, answers of all kinds, look-ups that take their time,
people, crashes, clocks that go back, a disk that is full. Whatever happened, the bounds held all the time and in the end everything is delivered."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.gate import WAITING, Best
from jetmail.outbound.job import Job
from jetmail.outbound.lane import QueueOptions
from jetmail.outbound.providers import Provider, Providers, Terms
from jetmail.store.traffic import lanes, sites
from tests.outbound.appliance import DEFERRED, DELIVERED, DOWN, REFUSED, Appliance

SLOW = Outcome(Result.LATER, "deferred", Reply(421, "4.7.28", "slower"), "mx.big.test", "192.0.2.1", 25)
TURNED_AWAY = SLOW._replace(reason="connect")
ANSWERS = [DELIVERED, DEFERRED, SLOW, TURNED_AWAY, DOWN, REFUSED]
LIKELY = [5.0, 1.0, 2.0, 1.0, 1.0, 0.2]
STEPS = 200


class Storm:
    """One seed's weather."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = Random(seed)
        presets = Providers(
            Terms(connections=dice.choice([0, 3])),
            Terms(),
            [
                Provider(
                    name="big", mx=("big.test",), connections=dice.choice([1, 2, 5, 20]), per_minute=dice.choice([0.0, 60.0, 600.0]),
                    pauses=(5.0, 20.0), recover=3,
                ),
                Provider(name="mid", mx=("mid.test",), connections=3, per_minute=dice.choice([0.0, 120.0]), burst=3, pauses=(10.0,)),
            ],
        )  # fmt: skip
        self.asked: list[tuple[Deferred[Best | None], Best]] = []
        self.hosts: dict[str, str] = {}
        self.names = [f"d{number}.test" for number in range(dice.choice([5, 60, 300]))]
        self.suspended: set[str] = set()
        self.sent = 0
        self.is_over = False
        self.one = Appliance(QueueOptions(window=dice.choice([30, 200, 2000])), providers=presets, find=self.find)
        self.one.deliverer.hold = True
        for name in self.names:
            self.one.deliverer.answers[name] = self.answer

    def find(self, name: str) -> Best | None | Deferred[Best | None]:
        """Where a destination leads: told at once, later or never, and now and then elsewhere than before."""
        host = self.hosts.setdefault(name, self.dice.choice(["mx.big.test", "mx.mid.test", f"mx.{name}"]))
        best = Best(host, 25, self.dice.random() < 0.3)
        chance = self.dice.random()
        if chance < 0.5:
            return best if chance < 0.4 else None
        later: Deferred[Best | None] = Deferred()
        self.asked.append((later, best))
        return later

    def answer(self, job: Job) -> Outcome:
        """What an attempt meets."""
        return DELIVERED if self.is_over else self.dice.choices(ANSWERS, LIKELY)[0]

    def step(self) -> None:
        """Something happens."""
        one, dice = self.one, self.dice
        chance = dice.random()
        if chance < 0.35:
            for _ in range(dice.randrange(1, 20)):
                one.accept(*[f"u{self.sent}@{dice.choice(self.names)}" for _ in range(dice.choice([1, 1, 1, 3]))])
                self.sent += 1
        elif chance < 0.4:
            one.fill(dice.randrange(1, 30), dice.choice(self.names))
            one.queue.wake()
        elif chance < 0.7:
            one.deliverer.release(dice.randrange(1, 40))
        elif chance < 0.8:
            self.tell(dice.randrange(0, len(self.asked) + 1))
        elif chance < 0.88:
            self.people(chance < 0.83)
        elif chance < 0.9:
            for name in dice.sample(self.names, len(self.names) // 3 + 1):
                self.hosts[name] = dice.choice(["mx.big.test", "mx.mid.test"])
        elif chance < 0.91:
            one.crash()
            self.asked.clear()
            one.boot()
        elif chance < 0.92:
            back = dice.choice([100.0, 5000.0])
            one.clock.rightNow -= back
            for call in one.clock.getDelayedCalls():
                call.time -= back
        elif chance < 0.925:
            one.db.is_full = True
            one.turn(3)
            one.deliverer.release(5)
            one.turn(3)
            one.db.is_full = False
        else:
            one.turn(dice.choice([0.5, 5, 30, 300]), dice.choice([1.0, 1.0, 5.0]))

    def tell(self, number: int) -> None:
        """So many look-ups end, in any order."""
        self.dice.shuffle(self.asked)
        for _ in range(number):
            later, best = self.asked.pop()
            later.callback(best if self.is_over or self.dice.random() < 0.7 else None)

    def people(self, is_suspending: bool) -> None:
        """Somebody suspends or resumes a destination, or the provider."""
        if not is_suspending and not self.suspended:
            return
        name = self.dice.choice([*self.names, "big"] if is_suspending else sorted(self.suspended))
        module: Any = sites if name == "big" else lanes
        (module.suspend if is_suspending else module.resume)(self.one.store.connection, name, *((1.0, "ann", "") if is_suspending else ()))
        (self.suspended.add if is_suspending else self.suspended.discard)(name)
        self.one.queue.wake()

    def check(self) -> None:
        """What must hold at any time."""
        window = self.one.queue._window
        assert len(window.ids) <= self.one.options.window
        for site in self.one.sites:
            assert 0 <= site.in_flight <= (site.preset.terms.connections or 20), site.name
            assert site.called >= 0 and site.count >= 0 and len(site.waiting) <= WAITING + len(window.ids), site.name
        assert sum(site.in_flight for site in self.one.sites) <= self.one.queue._attempts

    def calm(self) -> None:
        """Everything answers and takes mail from now on; a day is enough for all that waits."""
        one, self.is_over = self.one, True
        while self.suspended:
            self.people(False)
        one.deliverer.hold = False
        for _ in range(200):
            self.tell(len(self.asked))
            one.deliverer.release()
            if not one.count("status = 'queued'"):
                break
            one.turn(600, 2.0)
            self.check()


@pytest.mark.parametrize("seed", range(8))
def test_storm(seed: int) -> None:
    """Bounds hold all the time; when it is over all mail is delivered or returned, no place is taken and nobody stands in line."""
    storm = Storm(seed)
    one = storm.one.boot()
    for _ in range(STEPS):
        storm.step()
        storm.check()
    storm.calm()
    one.turn(20)
    assert storm.sent > 100
    assert one.count("status = 'queued'") == 0
    assert (one.queue._attempts, len(one.queue._window.ids)) == (0, 0)
    assert {(site.in_flight, site.called, len(site.waiting), site.count) for site in one.sites} <= {(0, 0, 0, 0)}
