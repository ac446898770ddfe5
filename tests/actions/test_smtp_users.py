"""SMTP users, accounts, sender addresses and blocked senders as people manage them: what is refused and why, who may, what is told and kept."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail import passwords
from jetmail.actions import accounts, blocked, logsearch, people, reports, sender_addresses, smtp_users
from jetmail.actions.access import Actor, Grant
from jetmail.actions.messages import show
from jetmail.actions.smtp_users import DUAL_STACK
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.offload import InlineExecutor, SeededEntropy
from jetmail.store.directory import blocked_senders, domains
from jetmail.store.directory import smtp_users as rows
from jetmail.store.directory.blocked_senders import BlockedSender
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import messages, sending
from jetmail.store.traffic.search import Criteria
from tests.store.samples import memory_store

NOW = 1_700_000_000.0
ADMIN = Actor.sysadmin("root")
OWNER = Actor("portal", "owner", (Grant("account", "1"),))
OTHER = Actor("portal", "other", (Grant("account", "2"),))


class Case(SynchronousTestCase):
    """A store with the accounts 1 and 2."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.entropy = SeededEntropy()
        self.successResultOf(accounts.add(self.db, ADMIN, "second", now=NOW))

    def create(self, name: str = "app", actor: Actor = ADMIN, **more: Any) -> Any:
        """A new user, or what it failed with."""
        done = smtp_users.create(self.db, actor, name, now=NOW, executor=InlineExecutor(), entropy=self.entropy, **more)
        return self.successResultOf(done)

    def refused(self, field: str, reason: str, name: str = "app", actor: Actor = ADMIN, **more: Any) -> None:
        """Creating fails naming that field and these words."""
        done = smtp_users.create(self.db, actor, name, now=NOW, executor=InlineExecutor(), entropy=self.entropy, **more)
        error = self.failureResultOf(done, UsageError).value
        self.assertEqual(error.field, field)
        self.assertIn(reason, str(error))
        self.assertEqual(self.db.read(rows.listing), ())

    def change(self, actor: Actor = ADMIN, **changes: Any) -> Any:
        """Edit 'app'."""
        return smtp_users.change(self.db, actor, "app", changes, now=NOW + 1)


class CreateTests(Case):
    """Making one."""

    def test_generated_password(self) -> None:
        """It is told once, kept as argon2id, works, and is 28 characters of an alphabet nobody misreads."""
        saved = self.create("Marketing-Prod")
        self.assertEqual(saved.user.username, "marketing-prod")
        self.assertRegex(saved.password, r"^[a-km-zA-HJ-NP-Z2-9]{28}$")
        row = self.db.read(rows.named, "marketing-prod")
        self.assertTrue(row.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$"))
        self.assertTrue(passwords.matches(row.password, saved.password))
        self.assertFalse(passwords.matches(row.password, saved.password + "x"))
        self.assertNotIn(saved.password, str(self.db.connection.execute("SELECT * FROM audit").fetchall()))
        self.assertNotIn("argon2", str(self.db.connection.execute("SELECT * FROM audit").fetchall()))
        self.assertEqual(self.successResultOf(smtp_users.show(self.db, ADMIN, saved.user.uuid.upper(), now=NOW)).password, "")

    def test_names(self) -> None:
        """1 to 64 of a-z, 0-9 and -, no @, one per appliance in any case."""
        self.refused("username", "@", "app@example.org")
        for name in ("", "a_b", "äpp", "a b", "x" * 65):
            self.refused("username", "1 to 64", name)
        self.create("x" * 64)
        self.create("app")
        self.failureResultOf(smtp_users.create(self.db, OWNER, "APP", now=NOW, executor=InlineExecutor(), entropy=self.entropy), ConflictError)

    def test_passwords(self) -> None:
        """8 to 72 characters, counted as characters."""
        for password in ("1234567", "x" * 73, "tab\tinside"):
            self.refused("password", "character", password=password)
        self.assertEqual(self.create(password="ü" * 72).password, "")

    def test_toggles(self) -> None:
        """At most one; any only for plan pro."""
        self.refused("allow_any_domain", "at most one", allow_all_domains=True, allow_any_domain=True)
        self.refused("allow_any_domain", "plan pro", allow_any_domain=True)
        self.successResultOf(accounts.change(self.db, ADMIN, "default", {"plan": "pro"}, now=NOW))
        self.assertEqual(self.create(allow_any_domain=True).user.effective_mode, "any")
        self.successResultOf(accounts.change(self.db, ADMIN, "default", {"plan": "standard"}, now=NOW))
        saved = self.successResultOf(smtp_users.show(self.db, ADMIN, "app", now=NOW))
        self.assertEqual((saved.user.mode, saved.user.effective_mode), ("any", "default"))
        self.assertIn("plan pro", " ".join(saved.hints))

    def test_domains(self) -> None:
        """Up to 50 names, or *.names, in stored spelling."""
        self.refused("domains", "more than 50", domains=[f"d{number}.test" for number in range(51)])
        self.refused("domains", "valid host name", domains=["exa mple.org"])
        self.refused("domains", "not a domain", domains=["[192.0.2.1]"])
        self.assertEqual(self.create(domains=["Example.ORG.", "*.bücher.example"]).user.domains, ("*.xn--bcher-kva.example", "example.org"))

    def test_networks(self) -> None:
        """IPv4, IPv6, ranges of both, mapped ones as the IPv4 they are; with any of them comes the hint about the other family."""
        self.refused("networks", "more than 50", networks=[f"192.0.2.{number}" for number in range(51)])
        for text in ("mail.example.org", "192.0.2.0/33", "300.1.1.1", ""):
            self.refused("networks", "no IPv4 or IPv6", networks=[text])
        given = ["203.0.113.42", "203.0.113.9/24", "2001:DB8::1", "2001:db8::5/64", "::ffff:192.0.2.1", "::ffff:198.51.100.7/120"]
        saved = self.create(networks=given)
        self.assertEqual(saved.user.networks, ("192.0.2.1", "198.51.100.0/24", "2001:db8::/64", "2001:db8::1", "203.0.113.0/24", "203.0.113.42"))
        self.assertIn(DUAL_STACK, saved.hints)

    def test_quota(self) -> None:
        """A whole number from 0, in one of three windows."""
        for quota in (-1, 1.5, True, "10"):
            self.refused("quota", "number of messages", quota=quota)
        self.refused("quota_window", "none of hour, day, month", quota_window="week")


class EditTests(Case):
    """Changing one."""

    def setUp(self) -> None:
        super().setUp()
        self.uuid = self.create(domains=["example.org"]).user.uuid

    def test_toggles_replace_each_other(self) -> None:
        """Switching one on takes the place of the other; switching it off leaves neither."""
        self.assertEqual(self.successResultOf(self.change(allow_all_domains=True)).user.mode, "all")
        self.failureResultOf(self.change(allow_all_domains=True, allow_any_domain=True), UsageError)
        self.successResultOf(accounts.change(self.db, ADMIN, "1", {"plan": "pro"}, now=NOW))
        self.assertEqual(self.successResultOf(self.change(allow_any_domain=True)).user.mode, "any")
        self.assertEqual(self.successResultOf(self.change(allow_any_domain=False)).user.mode, "default")

    def test_rename_and_password(self) -> None:
        """The uuid stays; the old password goes; what changed is in the audit, the password is not."""
        self.assertEqual(self.successResultOf(smtp_users.rename(self.db, OWNER, "APP", "New", now=NOW)).user.uuid, self.uuid)
        before = self.db.read(rows.get, self.uuid).password
        done = smtp_users.set_password(self.db, OWNER, "new", now=NOW, executor=InlineExecutor(), entropy=self.entropy, password="correct horse")
        self.assertEqual(self.successResultOf(done).password, "")
        after = self.db.read(rows.get, self.uuid).password
        self.assertNotEqual(before, after)
        self.assertTrue(passwords.matches(after, "correct horse"))
        told = str(self.db.connection.execute("SELECT action, detail FROM audit").fetchall())
        self.assertIn("smtp-user.password", told)
        self.assertNotIn("correct horse", told)

    def test_status(self) -> None:
        """Active, quota-locked when it is used up, quota-unlocked by an administrator until the window ends, suspended."""

        def status(now: float = NOW) -> str:
            found: str = self.successResultOf(smtp_users.show(self.db, OWNER, "app", now=now)).user.status
            return found

        self.failureResultOf(smtp_users.unlock(self.db, ADMIN, "app", now=NOW), ConflictError)
        self.successResultOf(self.change(quota=1, quota_window="day"))
        self.assertEqual(status(), "active")
        self.successResultOf(self.db.run(sending.count_message, self.uuid, "2023-11-14"))
        self.assertEqual(status(), "quota-locked")
        self.failureResultOf(smtp_users.unlock(self.db, OWNER, "app", now=NOW), NotFoundError)
        self.successResultOf(smtp_users.unlock(self.db, ADMIN, "app", now=NOW))
        self.assertEqual(status(), "quota-unlocked")
        self.assertEqual(status(NOW + 86_400), "active")
        self.successResultOf(self.change(is_suspended=True))
        self.assertEqual(status(), "suspended")

    def test_scope(self) -> None:
        """Another account's user does not exist; an account assigns only domains it has verified, or below them."""
        for done in (
            smtp_users.show(self.db, OTHER, "app", now=NOW),
            self.change(OTHER, quota=1),
            smtp_users.remove(self.db, OTHER, "app", now=NOW),
            smtp_users.rename(self.db, OTHER, "app", "mine", now=NOW),
        ):
            self.failureResultOf(done, NotFoundError)
        self.assertEqual(self.successResultOf(smtp_users.listing(self.db, OTHER, now=NOW)), ())
        self.failureResultOf(self.change(OWNER, domains=["bank.example"]), UsageError)
        self.successResultOf(self.db.run(domains.add, Domain("mine.test", verified_at=1.0)))
        for names in (["mine.test"], ["*.mine.test"], ["sub.mine.test", "mine.test"]):
            self.successResultOf(self.change(OWNER, domains=names))

    def test_delete(self) -> None:
        """It is gone with what was granted to it."""
        self.successResultOf(sender_addresses.add(self.db, ADMIN, "boss@example.org", "app", now=NOW))
        self.successResultOf(smtp_users.remove(self.db, OWNER, "app", now=NOW))
        self.assertEqual(self.db.read(rows.listing), ())
        self.assertEqual(self.successResultOf(sender_addresses.listing(self.db, ADMIN)), ())

    def test_deleted_yet_theirs(self) -> None:
        """What a deleted user has sent stays in its account's log, and its bounces and suppressions the account's; others see nothing of it."""
        uuid = self.create("gone").user.uuid
        row = messages.NewDelivery("x@y.test", "y.test", "x@y.test", "y.test", "queued")
        sent = messages.NewMessage("00", "outbound", NOW, "gone@mine.test", 10, None, (row,), user=uuid)
        self.successResultOf(self.db.run(messages.accept, sent))
        self.successResultOf(smtp_users.remove(self.db, OWNER, "gone", now=NOW))
        for actor, seen in ((OWNER, 1), (OTHER, 0), (ADMIN, 1)):
            page = self.successResultOf(logsearch.search(self.db, actor, Criteria(user=uuid), limit=10))
            self.assertEqual(len(page.rows), seen, actor.name)
        self.assertEqual(self.successResultOf(show(self.db, OWNER, sent.uid)).message.uid, sent.uid)
        self.assertEqual(Directory(self.db).account_of(uuid), 1)
        self.assertEqual(Directory(self.db).account_of("nobody"), 0)
        self.assertIsNone(Directory(self.db).principal(uuid))


class AroundTests(Case):
    """Sender addresses, blocked senders, reports."""

    def test_sender_addresses(self) -> None:
        """An account grants addresses of its own verified domains to its own users; an administrator any."""
        self.create()
        self.failureResultOf(sender_addresses.add(self.db, OWNER, "a@mine.test", "app", now=NOW), NotFoundError)
        self.successResultOf(self.db.run(domains.add, Domain("mine.test", verified_at=1.0)))
        self.successResultOf(sender_addresses.add(self.db, OWNER, "A@mine.test", "app", now=NOW))
        self.failureResultOf(sender_addresses.add(self.db, OWNER, "a@mine.test", "Ann@mine.test", now=NOW), NotFoundError)
        adding = people.add(self.db, OWNER, "ann@mine.test", now=NOW, executor=InlineExecutor(), entropy=self.entropy)
        person = self.successResultOf(adding).person
        granted = self.successResultOf(sender_addresses.add(self.db, OWNER, "a@mine.test", "Ann@mine.test", now=NOW))
        self.assertEqual((granted.person, granted.name), (person.uuid, "ann@mine.test"))
        self.failureResultOf(sender_addresses.add(self.db, OTHER, "a@mine.test", "app", now=NOW), NotFoundError)
        self.assertEqual(
            sorted((grant.address, grant.name) for grant in self.successResultOf(sender_addresses.listing(self.db, OWNER))),
            [("a@mine.test", "ann@mine.test"), ("a@mine.test", "app")],
        )
        self.successResultOf(sender_addresses.remove(self.db, OWNER, "a@mine.test", "app", now=NOW))
        self.failureResultOf(sender_addresses.remove(self.db, OWNER, "a@mine.test", "app", now=NOW), NotFoundError)

    def test_unblocking(self) -> None:
        """The account may let a sender go once, then an administrator must, then the account may again."""
        user = self.create().user
        new = BlockedSender(user.uuid, "a@b.test", 1, NOW, "spam", {"spam": 21})

        def block() -> int:
            made: int = self.successResultOf(self.db.run(blocked_senders.block, new))
            return made

        first = block()
        self.assertEqual(block(), 0)
        self.failureResultOf(blocked.unblock(self.db, OTHER, first, now=NOW), NotFoundError)
        self.assertTrue(self.successResultOf(blocked.unblock(self.db, OWNER, first, now=NOW)).block.by_owner)
        self.failureResultOf(blocked.unblock(self.db, OWNER, first, now=NOW), ConflictError)
        second = block()
        self.failureResultOf(blocked.unblock(self.db, OWNER, second, now=NOW), ConflictError)
        self.successResultOf(blocked.unblock(self.db, ADMIN, second, now=NOW + 1))
        third = block()
        self.successResultOf(blocked.unblock(self.db, OWNER, third, now=NOW + 2))
        self.assertEqual(self.successResultOf(blocked.listing(self.db, OWNER)), ())
        self.assertEqual(len(self.successResultOf(blocked.listing(self.db, OWNER, past=True))), 3)
        self.assertEqual(self.successResultOf(blocked.listing(self.db, OTHER, past=True)), ())

    def test_log(self) -> None:
        """An account finds what its users sent, to whomever, by the user's name too; another account does not."""
        user = self.create().user
        rows = (messages.NewDelivery("x@y.test", "y.test", "x@y.test", "y.test", "queued"),)
        new = messages.NewMessage("00", "outbound", NOW, "a@b", 10, None, rows, user=user.uuid)
        self.successResultOf(self.db.run(messages.accept, new))
        self.successResultOf(self.db.run(messages.accept, new._replace(uid="01", user="somebody-else")))
        for criteria in (Criteria(), Criteria(user="APP"), Criteria(user=user.uuid)):
            self.assertEqual([row.uid for row in self.successResultOf(logsearch.search(self.db, OWNER, criteria)).rows], ["00"])
        self.assertEqual(self.successResultOf(logsearch.search(self.db, OTHER, Criteria(user="app"))).rows, ())
        self.assertEqual(self.successResultOf(show(self.db, OWNER, "00")).message.uid, "00")
        self.failureResultOf(show(self.db, OWNER, "01"), NotFoundError)

    def test_report(self) -> None:
        """A refused message is explained to who has its id and the user's uuid, and to nobody else; an accepted one is not."""
        reply = "550 [ACL] Blocked. See https://mx/?id=00&auth=u-1"
        evidence = '[{"symbol":"SENDER_NOT_ALLOWED","score":0.0,"detail":"From a@b: b is not assigned","rule":"submission"}]'
        rows = (messages.NewDelivery("x@y.test", "y.test", "x@y.test", "y.test", "rejected", "acl", reply),)
        refused = messages.NewMessage("00", "outbound", NOW, "a@b", 10, None, rows, user="u-1", findings=evidence, response=reply)
        self.successResultOf(self.db.run(messages.record_refusal, refused))
        accepted = refused._replace(uid="01", response="250 2.0.0 OK", deliveries=(rows[0]._replace(status="queued", reply=""),))
        self.successResultOf(self.db.run(messages.accept, accepted))
        found = self.successResultOf(reports.report(self.db, "00", "U-1"))
        self.assertEqual((found.reason, found.reply, found.evidence[0].symbol), ("acl", reply, "SENDER_NOT_ALLOWED"))
        self.assertIn("Assign the domain", found.advice)
        for uid, auth in (("00", "u-2"), ("00", ""), ("02", "u-1"), ("01", "u-1")):
            self.failureResultOf(reports.report(self.db, uid, auth), NotFoundError)
