"""People as they are managed: what is refused and why, who may, what is told, kept and forgotten."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail import passwords
from jetmail.actions import accounts, blocked, domains, logsearch, people, sender_addresses
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.offload import InlineExecutor, SeededEntropy
from jetmail.store.directory import blocked_senders
from jetmail.store.directory import domains as domain_rows
from jetmail.store.directory import people as rows
from jetmail.store.directory import sender_addresses as grants
from jetmail.store.directory.blocked_senders import BlockedSender
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.versions import directory_version
from jetmail.store.traffic import messages
from jetmail.store.traffic.search import Criteria
from tests.store.samples import memory_store

NOW = 1_700_000_000.0
ADMIN = Actor.sysadmin("root")
OWNER = Actor("portal", "owner", (Grant("account", "1"),))
OTHER = Actor("portal", "other", (Grant("account", "2"),))
MANAGER = Actor("portal", "manager", (Grant("owner", "mine.test"),))


class Case(SynchronousTestCase):
    """The accounts 1 and 2, each with a verified domain."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.entropy = SeededEntropy()
        self.successResultOf(accounts.add(self.db, ADMIN, "second", now=NOW))
        for name, account_id in (("mine.test", 1), ("theirs.test", 2)):
            self.successResultOf(self.db.run(domain_rows.add, Domain(name, account_id=account_id, verified_at=1.0)))

    def adding(self, address: str = "ann@mine.test", actor: Actor = OWNER, **more: Any) -> Any:
        """A new person."""
        return people.add(self.db, actor, address, now=NOW, executor=InlineExecutor(), entropy=self.entropy, **more)

    def add(self, *args: Any, **more: Any) -> Any:
        """The answer to that."""
        return self.successResultOf(self.adding(*args, **more))

    def audit(self) -> str:
        """All that was written down."""
        return str(self.db.connection.execute("SELECT * FROM audit").fetchall())


class AddTests(Case):
    """Making one."""

    def test_generated_password(self) -> None:
        """It is told once, kept as argon2id, and works; nothing of it is in the audit."""
        saved = self.add("Ann@Mine.test", name=" Ann Smith ")
        self.assertEqual((saved.person.address, saved.person.name, saved.person.status), ("ann@mine.test", "Ann Smith", "active"))
        row = self.db.read(rows.at, "ann@mine.test")
        self.assertTrue(passwords.matches(row.password, saved.password))
        self.assertEqual((row.account_id, row.domain), (1, "mine.test"))
        self.assertNotIn(saved.password, self.audit())
        self.assertNotIn("argon2", self.audit())
        self.assertEqual(self.successResultOf(people.show(self.db, OWNER, saved.person.uuid.upper(), now=NOW)).password, "")

    def test_given_password(self) -> None:
        """8 to 72 characters, none of them control characters."""
        for password in ("x" * 7, "x" * 73, "with\ttab123"):
            self.assertEqual(self.failureResultOf(self.adding(password=password), UsageError).value.field, "password")
        self.assertEqual(self.add(password="\u00e9" * 72).password, "")

    def test_domain_must_be_verified_and_real(self) -> None:
        """No domain, an unverified one, one that stands for another: refused with the reason, nothing kept."""
        for domain in (Domain("claimed.test"), Domain("alias.test", kind="alias", alias_of="mine.test", verified_at=1.0)):
            self.successResultOf(self.db.run(domain_rows.add, domain))
        self.failureResultOf(self.adding("ann@nowhere.test"), NotFoundError)
        self.assertIn("not verified", str(self.failureResultOf(self.adding("ann@claimed.test"), UsageError).value))
        self.assertIn("stands for mine.test", str(self.failureResultOf(self.adding("ann@alias.test"), UsageError).value))
        self.assertEqual(self.failureResultOf(self.adding("ann"), UsageError).value.field, "address")
        self.assertEqual(self.failureResultOf(self.adding(name="x" * 101), UsageError).value.field, "name")
        self.assertEqual(self.db.read(rows.listing), ())

    def test_one_of_an_address(self) -> None:
        """An address in any case is one person."""
        self.add()
        self.failureResultOf(self.adding("ANN@mine.test"), ConflictError)

    def test_who_may(self) -> None:
        """The domain's account and administrators; to others there is no such domain, and no such person."""
        for actor in (OTHER, MANAGER):
            self.failureResultOf(self.adding(actor=actor), NotFoundError)
        self.add()
        for actor in (OTHER, MANAGER):
            self.failureResultOf(people.show(self.db, actor, "ann@mine.test", now=NOW), NotFoundError)
            self.failureResultOf(people.remove(self.db, actor, "ann@mine.test", now=NOW), NotFoundError)
            self.failureResultOf(people.change(self.db, actor, "ann@mine.test", {"name": "x"}, now=NOW), NotFoundError)
            self.assertEqual(self.successResultOf(people.listing(self.db, actor, now=NOW)), ())
        self.add("bob@theirs.test", ADMIN)
        self.assertEqual([each.address for each in self.successResultOf(people.listing(self.db, OWNER, now=NOW))], ["ann@mine.test"])
        listed = self.successResultOf(people.listing(self.db, ADMIN, "theirs.test", now=NOW))
        self.assertEqual([each.address for each in listed], ["bob@theirs.test"])


class ChangeTests(Case):
    """Afterwards."""

    def test_change(self) -> None:
        """Name and status; a wrong value or field is named; every change is in the audit and moves the directory's version."""
        self.add()
        before = self.db.read(directory_version)
        change = {"status": "suspended", "name": "A"}
        self.assertEqual(self.successResultOf(people.change(self.db, OWNER, "ann@mine.test", change, now=NOW + 1)).person.status, "suspended")
        self.assertGreater(self.db.read(directory_version), before)
        self.assertIn("person.set", self.audit())
        for wrong in ({"status": "gone"}, {"address": "x@mine.test"}, {}):
            self.failureResultOf(people.change(self.db, OWNER, "ann@mine.test", wrong, now=NOW), UsageError)
        self.failureResultOf(people.change(self.db, OWNER, "nobody@mine.test", {"name": "x"}, now=NOW), NotFoundError)
        self.failureResultOf(people.change(self.db, OWNER, "@@", {"name": "x"}, now=NOW), NotFoundError)

    def test_password(self) -> None:
        """Another one, generated and told once; the old one is gone."""
        old = self.add().password
        done = people.set_password(self.db, OWNER, "ann@mine.test", now=NOW, executor=InlineExecutor(), entropy=self.entropy)
        new = self.successResultOf(done).password
        row = self.db.read(rows.at, "ann@mine.test")
        self.assertTrue(passwords.matches(row.password, new))
        self.assertFalse(passwords.matches(row.password, old))

    def test_remove(self) -> None:
        """The person goes and what was granted to it; somebody new at the address has none of it, and another uuid."""
        uuid = self.add().person.uuid
        self.successResultOf(sender_addresses.add(self.db, OWNER, "team@mine.test", "ann@mine.test", now=NOW))
        self.assertEqual(self.successResultOf(people.show(self.db, OWNER, uuid, now=NOW)).person.senders, ("team@mine.test",))
        self.successResultOf(people.remove(self.db, OWNER, "ann@mine.test", now=NOW))
        self.assertEqual(self.db.read(grants.listing), ())
        again = self.add().person
        self.assertNotEqual(again.uuid, uuid)
        self.assertEqual(again.senders, ())

    def test_domain_removed(self) -> None:
        """With the domain its people go, and what was granted to them."""
        self.add()
        self.successResultOf(sender_addresses.add(self.db, ADMIN, "x@theirs.test", "ann@mine.test", now=NOW))
        self.successResultOf(domains.remove(self.db, OWNER, "mine.test", now=NOW))
        self.assertEqual((self.db.read(rows.listing), self.db.read(grants.listing)), ((), ()))

    def test_hint(self) -> None:
        """A domain that is off for outbound is mentioned."""
        self.add()
        self.successResultOf(domains.change(self.db, OWNER, "mine.test", {"outbound": False}, now=NOW))
        self.assertIn("off for outbound", self.successResultOf(people.show(self.db, OWNER, "ann@mine.test", now=NOW)).hints[0])

    def test_log_and_blocks(self) -> None:
        """The account finds what a person sent by its address, and who was blocked by name."""
        uuid = self.add().person.uuid
        row = messages.NewDelivery("x@y.test", "y.test", "x@y.test", "y.test", "queued")
        self.successResultOf(self.db.run(messages.accept, messages.NewMessage("00", "outbound", NOW, "a@b", 10, None, (row,), user=uuid)))
        for criteria in (Criteria(), Criteria(user="Ann@mine.test")):
            self.assertEqual([found.uid for found in self.successResultOf(logsearch.search(self.db, OWNER, criteria)).rows], ["00"])
        self.assertEqual(self.successResultOf(logsearch.search(self.db, OTHER, Criteria())).rows, ())
        self.successResultOf(self.db.run(blocked_senders.block, BlockedSender(uuid, "", 1, NOW, "spam")))
        (shown,) = self.successResultOf(blocked.listing(self.db, OWNER))
        self.assertEqual(shown.username, "ann@mine.test")
        self.assertEqual(self.successResultOf(people.name_of(self.db, OWNER, uuid)), "ann@mine.test")
        self.failureResultOf(people.name_of(self.db, OTHER, uuid), NotFoundError)
