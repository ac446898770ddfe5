"""Signing in: one answer for every failure, IP not authorized only to who knows the password, no hash twice, a bounded line, growing delays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jetmail.inbound.attempts import AttemptOptions, Attempts, network
from jetmail.inbound.login import DirectoryLogin, LoginOptions
from jetmail.inbound.principal import Login, Principal, PrincipalKind
from jetmail.interfaces import IExecutor, ILogin
from jetmail.store.directory import people, smtp_users
from tests.inbound.receiving import House

HERE = "192.0.2.7"


@implementer(IExecutor)
class Hashing:
    """Instead of threads and argon2: the right password is 'right'. Counts what is asked; holds answers back while `holds`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.holds = False
        self.waiting: list[tuple[Deferred[bool], bool]] = []

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred[bool]:
        self.asked.append(args)
        is_right = args[1] == "right" and args[0].startswith("proved")
        if not self.holds:
            return succeed(is_right)
        deferred: Deferred[bool] = Deferred()
        self.waiting.append((deferred, is_right))
        return deferred

    def answer(self) -> None:
        """One of them."""
        deferred, is_right = self.waiting.pop(0)
        deferred.callback(is_right)


class Case(SynchronousTestCase):
    """A login over the user 'app'."""

    def setUp(self) -> None:
        self.house = House()
        self.house.add_user()
        self.hashing = Hashing()
        self.used: list[str] = []
        self.login = self.make()

    def make(self, **options: Any) -> DirectoryLogin:
        """Another one."""
        return DirectoryLogin(self.house.directory, self.hashing, self.house.clock, b"key", LoginOptions(**options), on_login=self.used.append)

    def ask(self, username: str = "app", password: str = "right", address: str = HERE) -> Any:
        """The answer, or the Deferred of it."""
        return self.login.authenticate(username, password, address)

    def said(self, *args: str) -> str:
        """The reply, after whatever it waits for."""
        answer = self.ask(*args)
        if not isinstance(answer, Login):
            got: list[Login] = []
            answer.addCallback(got.append)
            while not got:
                self.house.clock.advance(1)
            answer = got[0]
        return str(answer.reply)


class AnswerTests(Case):
    """What is said."""

    FAILED = "535 Authentication failed"

    def test_interface(self) -> None:
        """It is what the receiver asks for."""
        verifyObject(ILogin, self.login)

    def test_right(self) -> None:
        """235 with the uuid, the name in any case; the use is noted."""
        login = self.successResultOf(self.ask("APP"))
        self.assertEqual(str(login.reply), "235 2.7.0 Authentication successful")
        self.assertEqual(login.principal, Principal("uuid-of-app", "app", 1, PrincipalKind.SMTP_USER, "proved"))
        self.assertEqual(self.used, ["uuid-of-app"])

    def test_one_answer_for_every_failure(self) -> None:
        """Wrong password, unknown name, a name nobody can have: the same words after the same hash."""
        for username, password in (("app", "wrong"), ("nobody", "right"), ("n@body", "right"), ("x" * 10_000, "right"), ("app\0", "right")):
            before = len(self.hashing.asked)
            self.assertEqual(self.said(username, password), self.FAILED)
            self.assertEqual(len(self.hashing.asked), before + 1, username[:10])
        self.assertEqual(self.used, [])

    def test_networks(self) -> None:
        """'IP not authorized' only when the password is right; IPv4, IPv6 and ranges."""
        self.house.change_user(networks=("203.0.113.42", "198.51.100.0/24", "2001:db8::/64"))
        for address in ("203.0.113.42", "198.51.100.200", "2001:db8::99"):
            self.assertEqual(self.said("app", "right", address)[:3], "235", address)
        for address in ("203.0.113.43", "2001:db8:1::1"):
            self.assertEqual(self.said("app", "right", address), "535 IP not authorized")
            self.assertEqual(self.said("app", "wrong", address), self.FAILED)

    def test_suspended(self) -> None:
        """Suspended is told to nobody."""
        self.house.change_user(is_suspended=True)
        self.assertEqual(self.said(), self.FAILED)
        self.assertEqual(self.said(), self.FAILED)

    def test_people(self) -> None:
        """A name with an @ is a person's address, however it is written, and the principal has the uuid; every failure is one answer."""
        self.house.add_person()
        for username in ("ann@demo.test", "Ann@DEMO.test"):
            login = self.ask(username)
            principal = (login if isinstance(login, Login) else self.successResultOf(login)).principal
            self.assertEqual(principal, Principal("uuid-of-ann@demo.test", "ann@demo.test", 1, PrincipalKind.MAILBOX, "proved"))
        self.assertEqual(len(self.hashing.asked), 1)
        self.assertEqual(self.used, ["uuid-of-ann@demo.test"] * 2)
        self.assertEqual(self.said("ann@demo.test", "wrong"), self.FAILED)
        self.assertEqual(self.said("bob@demo.test"), self.FAILED)
        self.assertEqual(self.said("ann@demo.test@x"), self.FAILED)
        self.assertEqual(len(self.hashing.asked), 4)
        self.house.change_person(status="suspended")
        self.assertEqual(self.said("ann@demo.test"), self.FAILED)
        self.house.change_person(status="active", password="proved-anew")
        self.assertNotIsInstance(self.ask("ann@demo.test"), Login)
        self.house.write(people.remove, self.house.person())
        self.assertEqual(self.said("ann@demo.test"), self.FAILED)

    def test_one_name_however_it_is_written(self) -> None:
        """The spellings of an address, known or not, are guessed at together: another dot or case is no fresh start."""
        self.login = self.make(attempts=AttemptOptions(free_of_address=100, free_of_network=100, free_of_name=3))
        spellings = ("ann@demo.test", "ANN@demo.test", "ann@Demo.Test", "ann@demo\u3002test", "ann@\uff44emo.test")
        for username in spellings[:4]:
            self.successResultOf(self.ask(username, "wrong " + username))
        self.assertNoResult(self.ask(spellings[4], "wrong"))


class MemoryTests(Case):
    """A busy app pays no hash per connection."""

    def test_remembered(self) -> None:
        """The second sign-in is answered at once without a hash; a wrong password is remembered too."""
        self.said()
        self.assertIsInstance(self.ask(), Login)
        self.said("app", "wrong")
        self.said("app", "wrong")
        self.assertEqual(len(self.hashing.asked), 2)

    def test_every_change_counts_at_once(self) -> None:
        """Another password, a deletion, a suspension, another network: what was remembered says nothing."""
        self.said()
        self.house.change_user(networks=("203.0.113.1",))
        self.assertEqual(self.said(), "535 IP not authorized")
        self.house.change_user(networks=(), password="proved-anew")
        self.assertNotIsInstance(self.ask(), Login)
        self.assertEqual(len(self.hashing.asked), 2)
        self.house.write(smtp_users.remove, self.house.user())
        self.assertEqual(self.said(), "535 Authentication failed")

    def test_changed_while_it_was_hashed(self) -> None:
        """What was right when it began is no use when it ends."""
        self.hashing.holds = True
        answer = self.ask()
        self.house.change_user(password="proved-anew")
        self.hashing.answer()
        self.assertEqual(self.successResultOf(answer).reply.code, 535)

    def test_bounded(self) -> None:
        """What was used longest ago is forgotten first."""
        self.login = self.make(remembered=2)
        for name in ("a", "b", "c"):
            self.house.add_user(name)
            self.said(name)
        self.said("a")
        self.assertEqual(len(self.hashing.asked), 4)


class LineTests(Case):
    """Hashing is bounded."""

    def test_too_many_wait(self) -> None:
        """One is hashed at a time; beyond the line it is 454; who is remembered does not stand in it."""
        self.said()
        self.hashing.holds = True
        answers = [self.ask("app", f"guess{number}", f"10.0.{number}.1") for number in range(101)]
        self.assertEqual(len(self.hashing.waiting), 1)
        self.assertEqual(str(self.successResultOf(self.ask("app", "one more", "10.1.0.1")).reply)[:9], "454 4.7.0")
        self.assertIsInstance(self.ask(), Login)
        while self.hashing.waiting:
            self.hashing.answer()
        codes = {self.successResultOf(answer).reply.code for answer in answers if answer.called}
        self.assertEqual(codes, {535})
        self.house.clock.advance(60)
        while self.hashing.waiting:
            self.hashing.answer()
        self.assertTrue(all(answer.called for answer in answers))
        self.assertEqual(self.login.waiting, 0)

    def test_who_failed_most_gives_way(self) -> None:
        """When guesses from everywhere have filled the line, somebody who has failed nowhere gets in, and one of the guesses is told to come back."""
        for number in range(200):
            self.login._attempts.failed(f"guessed{number}", f"10.0.{number}.1", self.house.clock.seconds())
        self.hashing.holds = True
        answers = [self.ask("nobody", f"guess{number}", f"10.0.{number}.1") for number in range(101)]
        owner = self.ask()
        self.assertNotIsInstance(owner, Login)
        given_up = [self.successResultOf(answer).reply.code for answer in answers if answer.called]
        self.assertEqual(given_up, [454])
        while self.hashing.waiting:
            self.hashing.answer()
        self.assertEqual(self.successResultOf(owner).reply.code, 235)
        self.assertEqual(self.login.waiting, 0)

    def test_who_failed_least_is_served_first(self) -> None:
        """Somebody who has failed nowhere does not stand behind guesses; those there was no place for weigh more when they come again."""
        self.hashing.holds = True
        first = [self.ask(f"nobody{number}", f"guess{number}", f"10.{number}.0.1") for number in range(130)]
        self.assertEqual({self.successResultOf(answer).reply.code for answer in first[101:]}, {454})
        for _ in range(101):
            self.hashing.answer()
        self.house.clock.advance(60)
        again = [self.ask(f"nobody{number}", f"again{number}", f"10.{number}.0.2") for number in range(101, 130)]
        owner = self.ask()
        self.hashing.answer()
        self.hashing.answer()
        self.assertEqual(self.successResultOf(owner).reply.code, 235)
        self.assertGreater(sum(not answer.called for answer in again), 25)

    def test_in_vain_is_not_welcome(self) -> None:
        """While many wait, an address that has come in vain need not begin; others may, and so may it when the line is short, or after a success."""
        for _ in range(3):
            self.login._attempts.failed("nobody", "10.9.9.9", self.house.clock.seconds())
        self.assertTrue(self.login.is_welcome("10.9.9.9"))
        self.hashing.holds = True
        answers = [self.ask(f"nobody{number}", f"guess{number}", f"10.{number}.0.1") for number in range(51)]
        self.assertEqual([self.login.is_welcome(address) for address in ("10.9.9.9", "10.9.9.8", HERE)], [False, True, True])
        self.login._attempts.passed("app", "10.9.9.9", self.house.clock.seconds())
        self.assertTrue(self.login.is_welcome("10.9.9.9"))
        for times in range(9):
            self.assertTrue(self.login.is_welcome("10.9.9.9"), times)
            self.login._attempts.turned_away("10.9.9.9", self.house.clock.seconds())
        self.assertFalse(self.login.is_welcome("10.9.9.9"))
        while self.hashing.waiting:
            self.hashing.answer()
        self.assertTrue(all(answer.called for answer in answers))

    def test_nobody_waits_for_ever(self) -> None:
        """Who has stood in line too long is told to come back."""
        self.hashing.holds = True
        first, second = self.ask(), self.ask("app", "wrong")
        self.house.clock.advance(16)
        self.hashing.answer()
        self.assertEqual(self.successResultOf(first).reply.code, 235)
        self.assertEqual(self.successResultOf(second).reply.code, 454)
        self.assertEqual(self.hashing.waiting, [])

    def test_connection_lost(self) -> None:
        """A client that leaves while its password is looked at gives its place back, and nothing is logged as a fault."""
        self.hashing.holds = True
        self.house.services = replace(self.house.services, login=self.login)
        visits = [self.house.session(f"192.0.2.{number}", "submission") for number in range(3)]
        for number, visit in enumerate(visits):
            visit.receiver.tls_started("TLSv1.3", "x")
            visit.receiver.auth("PLAIN", "app", f"guess{number}")
        visits[1].receiver.lost()
        visits[0].receiver.lost()
        self.assertEqual(self.login.waiting, 1)
        self.hashing.answer()
        self.hashing.answer()
        self.assertEqual((self.hashing.waiting, self.login.waiting), ([], 0))

    def test_guesses_that_wait_take_no_place(self) -> None:
        """Those that wait because they failed before are outside the line, and bounded too."""
        self.login = self.make(waiting=10, attempts=AttemptOptions(free_of_name=0))
        for number in range(40):
            self.login._attempts.failed("nobody", f"10.0.{number}.1", self.house.clock.seconds())
        answers = [self.ask("nobody", f"guess{number}", f"10.1.{number}.1") for number in range(11)]
        self.assertEqual([isinstance(answer, Login) for answer in answers], [False] * 10 + [True])
        self.assertEqual(self.said(), "235 2.7.0 Authentication successful")
        self.house.clock.advance(31)
        self.assertTrue(all(answer.called for answer in answers[:10]))

    def test_the_same_at_the_same_moment(self) -> None:
        """Fifty connections of an app at once, from one address, after a restart: one hash, fifty welcomes; wrong ones fail and count each."""
        self.hashing.holds = True
        answers = [self.ask() for _ in range(50)]
        self.assertEqual(len(self.hashing.waiting), 1)
        answers[7].cancel()
        self.hashing.answer()
        self.assertEqual([self.successResultOf(answer).reply.code for answer in answers if answer is not answers[7]], [235] * 49)
        wrong = [self.ask("app", "wrong", "192.0.2.99") for _ in range(8)]
        self.hashing.answer()
        self.assertEqual({self.successResultOf(answer).reply.code for answer in wrong}, {535})
        self.assertGreater(self.login._attempts.delay("app", "192.0.2.99", self.house.clock.seconds()), 8.0)
        self.assertEqual(self.login.waiting, 0)

    def test_broken_hash(self) -> None:
        """A hash that cannot be made is a fault of ours for whoever waited for it, and the next one goes on."""
        self.hashing.holds = True
        first, second = self.ask(), self.ask("app", "wrong")
        self.hashing.waiting.pop(0)[0].errback(RuntimeError("no memory"))
        self.failureResultOf(first, RuntimeError)
        self.hashing.answer()
        self.assertEqual(self.successResultOf(second).reply.code, 535)

    def test_one_address_cannot_fill_it(self) -> None:
        """A few of one address, however it varies within its /64."""
        self.hashing.holds = True
        answers = [self.ask("app", f"guess{number}", f"2001:db8::{number}") for number in range(6)]
        self.assertEqual([isinstance(answer, Login) for answer in answers], [False] * 5 + [True])
        self.assertEqual(answers[5].reply.code, 454)
        while self.hashing.waiting:
            self.hashing.answer()
        self.assertEqual({self.successResultOf(answer).reply.code for answer in answers[:5]}, {535})

    def test_client_leaves(self) -> None:
        """A place in the line is given back, and the next one moves up."""
        self.hashing.holds = True
        first, second, third = (self.ask("app", f"guess{number}") for number in range(3))
        second.cancel()
        self.assertEqual(self.successResultOf(second).reply.code, 454)
        self.hashing.answer()
        self.hashing.answer()
        self.assertEqual((self.successResultOf(first).reply.code, self.successResultOf(third).reply.code), (535, 535))
        self.assertEqual(self.login.waiting, 0)


class AttemptTests(SynchronousTestCase):
    """Delays."""

    def setUp(self) -> None:
        self.attempts = Attempts(AttemptOptions(free_of_address=3, free_of_network=5, free_of_name=4, first_delay=0.5, max_delay=30.0))

    def fail(self, count: int, name: str = "app", address: str = HERE) -> float:  # type: ignore[override]
        """-> the delay after so many failures at the same moment."""
        for _ in range(count):
            self.attempts.failed(name, address, 0.0)
        return self.attempts.delay(name, address, 0.0)

    def test_grows(self) -> None:
        """Some are free, then it doubles up to the limit, and fades."""
        self.assertEqual(self.fail(3), 0.0)
        self.assertEqual([self.fail(1), self.fail(1)], [1.0, 2.0])
        self.assertEqual(self.fail(100), 30.0)
        self.assertEqual(self.attempts.delay("app", HERE, 3_600.0), 0.0)

    def test_by_name_from_everywhere(self) -> None:
        """A name tried from many networks is slow, but not where it has signed in before."""
        for number in range(20):
            self.attempts.failed("app", f"10.{number}.0.1", 0.0)
        self.assertEqual(self.attempts.delay("app", "172.16.0.1", 0.0), 30.0)
        self.assertEqual(self.attempts.delay("other", "172.16.0.1", 0.0), 0.0)
        self.attempts.passed("app", HERE, 0.0)
        self.assertEqual(self.attempts.delay("app", HERE, 0.0), 0.0)

    def test_by_network(self) -> None:
        """Many addresses of one provider are one network."""
        for number in range(20):
            self.attempts.failed(f"name{number}", f"192.0.2.{number + 10}", 0.0)
        self.assertEqual(self.attempts.delay("another", "192.0.2.200", 0.0), 30.0)
        self.assertEqual(network("2001:db8:1:2:3::4"), "2001:db8:1::/48")

    def test_bounded(self) -> None:
        """However many try, so many are remembered."""
        attempts = Attempts(AttemptOptions(remembered=100))
        for number in range(1_000):
            attempts.failed(f"name{number}", f"10.{number // 250}.{number % 250}.1", float(number))
        self.assertEqual(len(attempts), 100)

    @given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["10.0.0.1", "2001:db8::1", "", "nonsense", "::ffff:10.0.0.1"])), max_size=50))
    def test_total(self, tries: list[tuple[str, str]]) -> None:
        """Whatever is tried from wherever, the delay is between nothing and the limit."""
        clock = Clock()
        for name, address in tries:
            self.attempts.failed(name, address, clock.seconds())
            self.assertTrue(0.0 <= self.attempts.delay(name, address, clock.seconds()) <= 30.0)
            clock.advance(0.5)
