"""A Receiver with everything around it in memory: store, spool, queue, clock. Nothing waits but where a test wants it to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.errors import StoreError
from jetmail.inbound.activity import Activity, Limits
from jetmail.inbound.blocking import Blocking
from jetmail.inbound.contacts import Contacts
from jetmail.inbound.holding import Holding
from jetmail.inbound.login import DirectoryLogin, LoginOptions
from jetmail.inbound.peer import Peer
from jetmail.inbound.policies import PolicyBook
from jetmail.inbound.principal import Principal, PrincipalKind
from jetmail.inbound.quota import Meter
from jetmail.inbound.services import ReceiverOptions, ReceiverServices
from jetmail.inbound.submission import SubmissionOptions, Submissions
from jetmail.inbound.transaction import Receiver
from jetmail.interfaces import IDatabase, IExecutor, IQueueDoor
from jetmail.mail.address import parse
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply
from jetmail.offload import InlineExecutor
from jetmail.rules import registry
from jetmail.rules.chain import Chain, Judge
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import Kind, Stage
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import aliases, domains, people, recipients, rules, settings, smtp_users
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.people import Person
from jetmail.store.directory.rules import StoredRule
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.suppressing import Suppressing, SuppressingOptions
from tests.fakes import FakeResolver
from tests.store.samples import memory_store

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_000_000.0
MESSAGE = b"From: Alice <alice@example.org>\r\nTo: bob@demo.test\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello, Bob.\r\n"
GTUBE = b"JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

DELIVERIES = "SELECT recipient, target, destination, status, reason, reply, attempts, next_attempt FROM deliveries ORDER BY id"
MESSAGES = "SELECT uid, sender, subject, header_from, size, response, score, content_id IS NOT NULL FROM messages ORDER BY id"
CONTENT = "SELECT data, header, spool, spool_offset, size FROM content ORDER BY id"


@implementer(IQueueDoor)
class QueueRecorder:
    """Has `room` places, keeps what it is told."""

    def __init__(self) -> None:
        self.room = 100
        self.reserved = 0
        self.messages: list[Any] = []
        self.woken = 0
        self.is_broken = False
        self.down: set[str] = set()

    def reserve(self, count: int, destinations: Collection[str] = ()) -> bool:
        if self.reserved + count > self.room or self.down.intersection(destinations):
            return False
        self.reserved += count
        return True

    def enqueued(self, message: Any, content: Any) -> None:
        if not message.deliveries[0].attempts:
            self.woken += 1
            return
        self.reserved -= len(message.deliveries)
        if self.is_broken:
            raise RuntimeError("the queue is broken")
        self.messages.append((message, content))

    def trouble(self, destination: str) -> tuple[str, str]:
        return ("connect", "451 4.4.1 no answer") if destination in self.down else ("", "")

    def cancel(self, count: int) -> None:
        self.reserved -= count

    def wake(self) -> None:
        self.woken += 1


@implementer(IDatabase)
class HeldDatabase:
    """Passes on, or holds writes back until told: commit() or fail()."""

    def __init__(self) -> None:
        self.inner = memory_store()
        self.holds = False
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, fn: Any, *args: Any) -> Deferred[Any]:
        if not self.holds:
            return self.inner.run(fn, *args)
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((deferred, fn, args))
        return deferred

    def read(self, fn: Any, *args: Any) -> Any:
        return self.inner.read(fn, *args)

    def search(self, fn: Any, *args: Any) -> Deferred[Any]:
        return self.inner.search(fn, *args)

    def commit(self) -> None:
        """Do what waits."""
        waiting, self.waiting = self.waiting, []
        for deferred, fn, args in waiting:
            self.inner.run(fn, *args).chainDeferred(deferred)

    def fail(self) -> None:
        """The disk is full."""
        waiting, self.waiting = self.waiting, []
        for deferred, _, _ in waiting:
            deferred.errback(Failure(StoreError("database or disk is full")))


def without_opinions(chain: Chain) -> Chain:
    """The shipped chain without what it thinks of content: these tests are about what becomes of a judgement. GTUBE stays, to cause one."""
    return Chain([each for each in chain.entries if each.kind is not Kind.FILTER or each.stage is not Stage.CONTENT or each.name == "gtube"])


class House:
    """The receiving side of an appliance with the relay domain demo.test. `rules_text` replaces the default chain, which has no opinions here."""

    def __init__(self, rules_text: str = "", **options: Any) -> None:
        self.db = HeldDatabase()
        self.clock = Clock()
        self.clock.advance(NOW)
        self.queue = QueueRecorder()
        self.resolver = FakeResolver()
        numbers = itertools.count(1)
        self.spool = MemoryStore(lambda: f"{next(numbers):020x}")
        self.directory = Directory(self.db)
        self.chain = registry.parse(rules_text) if rules_text else without_opinions(registry.load(ROOT / "etc/rules.toml"))
        scores = Scores(self.chain.symbols)
        self.chain.bind(RuleServices("mx.demo.test", self.clock, self.resolver, IExecutor(InlineExecutor()), scores, ROOT / "etc", ROOT / "var"))
        self.has_room = True
        self.accepted: list[int] = []
        self.refused: list[str] = []
        make_uid = lambda: f"{next(numbers):020x}"  # noqa: E731
        book = PolicyBook(self.directory)
        self.activity = Activity(self.db, self.clock, Limits(), Limits())
        self.activity.on_over = Blocking(self.db, self.directory, book, self.queue, "mx.demo.test", self.clock.seconds, make_uid)
        self.submissions = Submissions(
            SubmissionOptions("mx.demo.test"), self.directory, Meter(self.db), self.activity, self.resolver, self.clock,
            suppressing=Suppressing(self.db, lambda user: 1, SuppressingOptions()),
        )  # fmt: skip
        self.login = DirectoryLogin(self.directory, InlineExecutor(), self.clock, b"key", LoginOptions(), on_login=self.activity.seen)
        self.services = ReceiverServices(
            hostname="mx.demo.test",
            db=self.db,
            book=book,
            judge=Judge(self.chain, self.clock),
            content=self.spool,
            queue=self.queue,
            login=self.login,
            submissions=self.submissions,
            clock=self.clock,
            make_uid=make_uid,
            first_retry=lambda now: now + 60.0,
            has_room=lambda size: self.has_room,
            contacts=Contacts(self.db),
            holding=Holding(self.directory),
            options=ReceiverOptions(**options),
            on_accepted=self.accepted.append,
            on_refused=self.refused.append,
        )
        self.add_domain("demo.test")

    def add_domain(self, name: str, **more: Any) -> None:
        """A verified relay domain."""
        values: dict[str, Any] = {"kind": "relay", "verified_at": 1.0} | more
        self.write(domains.add, Domain(name=name, **values))

    def set_postmaster(self, address: str, hostname: str = "mx.demo.test") -> None:
        """[server] postmaster."""
        self.services = replace(self.services, book=PolicyBook(self.directory, postmaster=parse(address), hostname=hostname))

    def add_user(self, username: str = "app", **more: Any) -> SmtpUser:
        """An SMTP user of account 1 who may send from example.org; the uuid is made of the name."""
        values: dict[str, Any] = {"password": "proved", "domains": ("example.org",)} | more
        self.write(smtp_users.add, SmtpUser(f"uuid-of-{username}", 1, username, **values))
        return self.user(username)

    def user(self, username: str = "app") -> SmtpUser:
        """The user as the store has it."""
        found = self.db.read(smtp_users.named, username)
        assert found is not None
        return found

    def change_user(self, username: str = "app", **changes: Any) -> None:
        """Edit the user."""
        self.write(smtp_users.save, replace(self.user(username), **changes))

    def add_person(self, address: str = "ann@demo.test", **more: Any) -> Person:
        """A person of account 1; the uuid is made of the address."""
        values = {"uuid": f"uuid-of-{address}", "address": address, "account_id": 1, "domain": address.partition("@")[2], "name": ""}
        self.write(people.add, Person(**{**values, "password": "proved", **more}))
        return self.person(address)

    def person(self, address: str = "ann@demo.test") -> Person:
        """The person as the store has it."""
        found = self.db.read(people.at, address)
        assert found is not None
        return found

    def change_person(self, address: str = "ann@demo.test", **changes: Any) -> None:
        """Edit the person."""
        self.write(people.save, replace(self.person(address), **changes))

    def submission(self, username: str = "app", address: str = "192.0.2.7") -> Visit:
        """A connection on which that user, or person, has signed in under TLS."""
        visit = self.session(address, "submission")
        visit.receiver.tls_started("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        visit.receiver.helo("client.example", True)
        if "@" in username:
            person = self.person(username)
            visit.receiver.admit(Principal(person.uuid, person.address, person.account_id, PrincipalKind.MAILBOX, person.password))
        else:
            user = self.user(username)
            visit.receiver.admit(Principal(user.uuid, user.username, user.account_id, stamp=user.password))
        return visit

    def add_recipient(self, address: str) -> None:
        """A known recipient."""
        self.write(recipients.add, [parse(address)])

    def add_alias(self, key: str, *targets: str) -> None:
        """An alias."""
        self.write(aliases.put, key, key.partition("@")[2], targets)

    def add_rule(self, action: str, scope: str = "domain", scope_key: str = "demo.test", conditions: str = "{}", uuid: str = "") -> None:
        """An allow or block rule; `conditions` is JSON."""
        self.write(rules.put, StoredRule(uuid or f"{action}-{scope}", scope, scope_key, action, f"{action} it", conditions=conditions))

    def set(self, key: str, value: Any) -> None:
        """A setting."""
        self.write(settings.put, key, value)

    def write(self, fn: Any, *args: Any) -> None:
        """Do it now."""
        failures: list[Failure] = []
        self.db.inner.run(fn, *args).addErrback(failures.append)
        for failure in failures:
            failure.raiseException()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the store has."""
        return self.db.inner.connection.execute(query).fetchall()

    def session(self, address: str = "192.0.2.7", kind: str = "mx") -> Visit:
        """A new connection, greeted."""
        return Visit(self, address, kind)


class Visit:
    """One client. Methods return Replies, or Deferreds where something waits."""

    def __init__(self, house: House, address: str, kind: str) -> None:
        self.receiver = Receiver(house.services, Peer(address, 4242, kind, kind))
        self.greeting = self.receiver.connected()
        self.receiver.helo("client.example", True)

    def mail(self, sender: str = "alice@example.org", **more: Any) -> Any:
        """MAIL FROM."""
        return self.receiver.mail(Sender(parse(sender) if sender else None, **more))

    def rcpt(self, address: str = "bob@demo.test", **more: Any) -> Any:
        """RCPT TO."""
        return self.receiver.rcpt(Recipient(parse(address), **more))

    def content(self, octets: bytes = MESSAGE, piece: int = 65_536) -> Any:
        """DATA, to the end."""
        self.receiver.data()
        for start in range(0, len(octets), piece):
            self.receiver.chunk(octets[start : start + piece])
        return self.receiver.end()

    def send(self, octets: bytes = MESSAGE, sender: str = "alice@example.org", to: tuple[str, ...] = ("bob@demo.test",)) -> Any:
        """A whole message; every recipient must be taken."""
        assert self.mail(sender).is_positive
        for address in to:
            assert self.rcpt(address).is_positive, address
        answer = self.content(octets)
        if isinstance(answer, Reply):
            return answer
        got: list[Any] = []
        answer.addBoth(got.append)
        return got[0] if got else answer
