"""Recipients verified elsewhere: asked once, remembered, and never taken for what was not said."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from jetmail.inbound.verification import (
    MAX_ASKED,
    RETRY_AFTER,
    STALE,
    Verification,
    VerificationOptions,
)
from jetmail.interfaces import Existence
from jetmail.mail.address import Address, parse
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from tests.inbound.receiving import ROOT, House

BOB = parse("bob@demo.test")


class Asked:
    """What answers, in turn or when told."""

    def __init__(self, *answers: Any, mode: str = "callout", **options: Any) -> None:
        self.clock = Clock()
        self.answers = list(answers)
        self.asked: list[Address] = []
        self.waiting: list[Deferred[Existence]] = []
        self.mode = mode
        self.verification = Verification(self.clock, {mode: self.answer}, VerificationOptions(**options))

    def answer(self, address: Address) -> Deferred[Existence]:
        self.asked.append(address)
        if not self.answers:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return succeed(answer)

    def ask(self, address: Address = BOB) -> Any:
        """The answer, or the Deferred while there is none."""
        said = self.verification.verify(self.mode, address)
        if isinstance(said, Existence):
            return said
        got: list[Any] = []
        said.addBoth(got.append)
        return got[0] if got else said


@pytest.mark.parametrize(
    ("answer", "seconds"), [(Existence.YES, 86_400), (Existence.NO, 3_600), (Existence.UNKNOWN, RETRY_AFTER), (Existence.FAULT, RETRY_AFTER)]
)
def test_answers_are_kept(answer: Existence, seconds: float) -> None:
    """Each answer for its time, and then it is asked again."""
    asked = Asked(answer, Existence.NO)
    assert asked.ask() is answer and asked.ask() is answer
    asked.clock.advance(seconds - 1)
    assert asked.ask() is answer and len(asked.asked) == 1
    asked.clock.advance(1)
    assert asked.ask() is Existence.NO and len(asked.asked) == 2


def test_one_question_for_all() -> None:
    """Who asks the same meanwhile waits for the same answer; one who leaves leaves the others alone."""
    asked = Asked()
    first, second, third = asked.ask(), asked.ask(), asked.verification.verify("callout", BOB)
    assert len(asked.asked) == 1 and isinstance(third, Deferred)
    got: list[Any] = []
    second.addCallback(got.append)
    first.addErrback(lambda _: None).cancel()
    asked.waiting[0].callback(Existence.YES)
    assert third.result is Existence.YES and asked.ask() is Existence.YES


def test_an_outage_does_not_unmake_people() -> None:
    """Who existed goes on existing while nobody can be asked, for a week; a clear no counts at once."""
    asked = Asked(Existence.YES, Existence.UNKNOWN, Existence.NO, Existence.UNKNOWN)
    assert asked.ask() is Existence.YES
    asked.clock.advance(86_401)
    assert asked.ask() is Existence.YES
    asked.clock.advance(RETRY_AFTER)
    assert asked.ask() is Existence.NO
    asked.clock.advance(3_601)
    assert asked.ask() is Existence.UNKNOWN
    late = Asked(Existence.YES, Existence.UNKNOWN)
    late.ask()
    late.clock.advance(STALE)
    assert late.ask() is Existence.UNKNOWN


def test_temporary_may_be_accepted() -> None:
    """With `temporary` accept a callout that cannot tell is a yes; a directory that is down never is."""
    assert Asked(Existence.UNKNOWN, temporary="accept").ask() is Existence.YES
    assert Asked(Existence.FAULT, mode="ldap", temporary="accept").ask() is Existence.FAULT


def test_faults() -> None:
    """Who raises, and a way that is not configured, are faults of ours."""
    asked = Asked(ValueError("broken"))
    assert asked.ask() is Existence.FAULT
    got: list[Any] = []
    said = asked.verification.verify("ldap", BOB)
    assert isinstance(said, Deferred)
    said.addCallback(got.append)
    assert got == [Existence.FAULT]


def test_bounds() -> None:
    """So many questions are open and so many answers kept, and no more."""
    asked = Asked()
    for number in range(MAX_ASKED + 10):
        asked.ask(parse(f"u{number}@demo.test"))
    assert len(asked.asked) == MAX_ASKED
    small = Asked(*[Existence.NO] * 20, entries=5)
    for number in range(20):
        small.ask(parse(f"u{number}@demo.test"))
    assert len(small.verification._kept) == 5


class Verified:
    """A house whose domain asks elsewhere."""

    def __init__(self, mode: str, *answers: Existence) -> None:
        self.asked = Asked(*answers, mode=mode)
        self.house = House()
        self.house.add_domain("asks.test", recipients=mode)
        self.house.chain.bind(
            RuleServices(
                "mx.demo.test", self.house.clock, self.house.resolver, None, Scores(self.house.chain.symbols), ROOT / "etc", ROOT / "var",  # type: ignore[arg-type]
                verify=self.asked.verification.verify,
            )
        )  # fmt: skip

    def rcpt(self, address: str) -> Any:
        """The answer to RCPT."""
        visit = self.house.session()
        visit.mail()
        said = visit.rcpt(address)
        return said.result if isinstance(said, Deferred) and hasattr(said, "result") else said


@pytest.mark.parametrize("mode", ["callout", "ldap"])
@pytest.mark.parametrize(
    ("answer", "reply"),
    [(Existence.YES, "250 2.1.5"), (Existence.NO, "550 5.1.1"), (Existence.UNKNOWN, "450 4.1.1"), (Existence.FAULT, "451 4.3.0")],
)
def test_replies(mode: str, answer: Existence, reply: str) -> None:
    """Yes is 250, no 550, cannot tell 450, out of order 451."""
    assert str(Verified(mode, answer).rcpt("somebody@asks.test")).startswith(reply)


def test_own_tables_come_first() -> None:
    """Known recipients and aliases are not asked about; neither are other domains' recipients."""
    verified = Verified("callout")
    verified.house.add_recipient("known@asks.test")
    verified.house.add_alias("sales@asks.test", "far@elsewhere.example")
    for address in ("known@asks.test", "known+tag@asks.test", "sales@asks.test", "bob@demo.test"):
        assert verified.rcpt(address).code == 250
    assert verified.asked.asked == []


def test_alias_domain() -> None:
    """Behind an alias domain the real address is asked about."""
    verified = Verified("ldap", Existence.YES)
    verified.house.add_domain("also.test", kind="alias", alias_of="asks.test")
    assert verified.rcpt("somebody@also.test").code == 250
    assert verified.asked.asked == [parse("somebody@asks.test")]


def test_a_waiting_answer() -> None:
    """RCPT is answered when the answer comes."""
    verified = Verified("callout")
    visit = verified.house.session()
    visit.mail()
    said = visit.rcpt("somebody@asks.test")
    assert isinstance(said, Deferred) and not said.called
    verified.asked.waiting[0].callback(Existence.NO)
    assert said.result.code == 550
