"""What a resolver that answers nothing costs: one message its budget, and then nothing."""

from __future__ import annotations

from typing import Any

import dns.message
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jetmail.dns import DnsOptions, Resolver
from jetmail.offload import SeededEntropy
from jetmail.rules.budget import Budget
from jetmail.rules.checks.authentication import Authentication, AuthenticationOptions
from jetmail.rules.checks.dnsbl import AddressListOptions, AddressLists
from jetmail.rules.checks.uribl import DomainListOptions, DomainLists
from tests.rules.bound import begin, bound, found
from tests.rules.samples import facts, message, policy

BUDGET = AuthenticationOptions().budget


class Nobody:
    """Takes questions and says nothing; or the answer of `alive`."""

    def __init__(self) -> None:
        self.alive: Any = None
        self.asked = 0

    async def __call__(self, question: dns.message.Message, server: tuple[str, int]) -> dns.message.Message:
        self.asked += 1
        if self.alive is not None:
            return self.alive(question)
        await Deferred()
        raise AssertionError


class House:
    """Everything that asks DNS about a message, over one resolver that nobody answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.nobody = Nobody()
        self.resolver = Resolver(self.clock, DnsOptions(servers=("192.0.2.1",)), SeededEntropy(), self.nobody)
        parts: dict[str, Any] = {"clock": self.clock, "resolver": self.resolver}
        self.rules = [
            bound(Authentication("authentication", AuthenticationOptions()), **parts),
            bound(AddressLists("dnsbl", AddressListOptions(enabled=True)), **parts),
            bound(DomainLists("uribl", DomainListOptions(enabled=True)), **parts),
        ]

    def receive(self, number: int) -> list[list[Any]]:
        """One more message of somebody new: what each rule answers, once it does."""
        content = message(f"http://link{number}.example/\r\n", **{"from": f"a@from{number}.example", "to": "bob@demo.test"})
        about = facts(content, f"a@sender{number}.example", f"8.8.4.{number}")
        return [begin(rule, about, policy()) for rule in self.rules]

    def took(self, answers: list[list[Any]], began: float, most: float = 5.0) -> float:
        """Seconds from `began` until all have answered."""
        while not all(answers):
            self.clock.advance(0.05)
            assert self.clock.seconds() - began < most, "it still waits"
        return self.clock.seconds() - began


def test_one_message_pays_once() -> None:
    """The first message waits for its budget at most, the next hundred not at all and ask nothing; all get temperror, none a fail."""
    house = House()
    first = house.receive(0)
    assert house.took(first, 0.0) <= BUDGET
    assert {"SPF_TEMPERROR", "IPREV_TEMPERROR", "DMARC_TEMPERROR"} <= set(found(first[0][0]))
    asked = house.nobody.asked
    for number in range(1, 101):
        began = house.clock.seconds()
        answers = house.receive(number)
        assert house.took(answers, began) == 0.0
        assert sum(finding.score for answer in answers for finding in answer[0].findings) <= 0.2
    assert house.nobody.asked == asked


def test_many_at_once_pay_once() -> None:
    """Messages that come in the seconds until it is known wait for two seconds at most, each; those after it not at all."""
    house = House()
    waiting: list[tuple[float, list[list[Any]]]] = []
    for number in range(60):
        now = house.clock.seconds()
        waiting.append((now, house.receive(number)))
        assert not any(now - began >= BUDGET and not all(answers) for began, answers in waiting)
        if house.resolver.is_broken:
            assert all(all(answers) for _, answers in waiting), "nobody waits any more"
        house.clock.advance(0.1)
    assert house.resolver.is_broken


def test_no_message_waits_for_the_probe() -> None:
    """While it stays dead, messages that come when it is tried again do not wait; when it is back the next message is judged as ever."""
    house = House()
    house.took(house.receive(0), 0.0)
    for number in range(1, 40):
        house.clock.advance(0.5)
        began = house.clock.seconds()
        assert house.took(house.receive(number), began) == 0.0
    house.nobody.alive = dns.message.make_response
    house.clock.advance(DnsOptions().breaker_seconds + 1)
    answers = house.receive(50)
    assert house.took(answers, house.clock.seconds()) == 0.0
    assert "SPF_NONE" in found(answers[0][0])


def test_budget_ends_it_even_when_others_are_answered() -> None:
    """A resolver that answers others and not this message's questions costs it the budget, and the breaker stays closed."""
    house = House()
    waiting = house.receive(0)
    house.nobody.alive = dns.message.make_response
    assert 1.5 < house.took(waiting, 0.0) <= BUDGET + 0.05
    assert not house.resolver.is_broken
    assert Budget(house.resolver, house.clock, 1.0).query("other.example", "A").called
