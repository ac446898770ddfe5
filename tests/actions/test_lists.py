"""Lists and thresholds: written in one spelling, by whoever may, with a word of caution where one is due, and obeyed by the next message."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import lists, thresholds
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.inbound.policies import PolicyBook
from jetmail.mail.address import parse
from jetmail.rules.facts import parse_ip
from jetmail.rules.policy import Thresholds
from jetmail.rules.verdict import Level
from jetmail.store.directory import domains, settings
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from tests.store.samples import memory_store

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
USER = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))


class Base(SynchronousTestCase):
    """demo.test, and alias.test that stands for it."""

    def setUp(self) -> None:
        """The directory."""
        self.db = memory_store()
        self.conn = self.db.connection
        domains.add(self.conn, Domain("demo.test", verified_at=1.0))
        domains.add(self.conn, Domain("alias.test", kind="alias", alias_of="demo.test", verified_at=1.0))
        self.book = PolicyBook(Directory(self.db))

    def add(self, scope: str, key: str, side: str, entry: str, actor: Actor = ROOT) -> lists.Shown:
        """One more entry."""
        return self.successResultOf(lists.add(self.db, actor, scope, key, side, entry, now=1.0))

    def fails(self, kind: type[Exception], fn: Any, *args: Any, **more: Any) -> str:
        """Why it does."""
        return self.failureResultOf(fn(self.db, *args, now=1.0, **more), kind).getErrorMessage()


class ListTests(Base):
    """Allow and block lists."""

    def test_every_level_reaches_the_policy(self) -> None:
        """What is written at each of the four levels is what rules are given for a recipient, under a tag and an alias domain too."""
        self.add("appliance", "", "block", "a.example")
        self.add("account", "1", "block", "b.example")
        self.add("address", "Ann@Demo.test", "allow", "c.example")
        self.add("domain", "demo.test", "block", "d.example")
        for address in ("ann@demo.test", "ann+shop@demo.test", "ANN@alias.test"):
            policy = self.book.recipient(parse(address)).policy
            found = [sorted(policy.lists(level).block.domains | policy.lists(level).allow.domains) for level in Level]
            self.assertEqual(found, [["a.example"], ["b.example"], ["c.example"], ["d.example"]], address)
        self.assertFalse(self.book.recipient(parse("bob@demo.test")).policy.lists(Level.ADDRESS))

    def test_one_spelling(self) -> None:
        """An entry is kept as everybody else would write it, and is there once."""
        for given, kept in (
            (" Bob@Example.COM ", "bob@example.com"), ("*.Example.org", "example.org"), ("192.0.2.77/24", "192.0.2.0/24"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:DB8:0::/32", "2001:db8::/32"), ("192.0.2.1 - 192.0.2.9", "192.0.2.1-192.0.2.9"), ("0.0.0.0/0", "0.0.0.0/0"), ("::/0", "::/0"),
        ):  # fmt: skip
            self.assertEqual(self.add("domain", "demo.test", "block", given).block[-1], kept)
            self.fails(ConflictError, lists.add, ROOT, "domain", "demo.test", "block", kept)

    def test_nonsense_is_refused(self) -> None:
        """What is no entry, no side, no scope."""
        for entry in ("", "a b", "@", "x@", "192.0.2.0/33", "300.1.2.3", "192.0.2.9-192.0.2.1", "1.2.3", "a" * 999, "x@y@z"):
            self.assertIn("entry: ", self.fails(UsageError, lists.add, ROOT, "domain", "demo.test", "block", entry), entry)
        self.fails(UsageError, lists.add, ROOT, "domain", "demo.test", "grey", "a.example")
        self.fails(UsageError, lists.add, ROOT, "planet", "", "block", "a.example")
        self.assertIn("demo.test", self.fails(UsageError, lists.add, ROOT, "domain", "alias.test", "block", "a.example"))

    def test_caution(self) -> None:
        """Who allows a sender is told that anybody can claim to be it; a network is nobody's claim."""
        self.assertIn("forged", self.add("domain", "demo.test", "allow", "partner.example").warnings[0])
        self.assertEqual(self.add("domain", "demo.test", "allow", "192.0.2.0/24").warnings, ())
        self.assertIn("unjudged", self.add("domain", "demo.test", "allow", "0.0.0.0/0").warnings[0])
        self.assertIn("::/0", self.add("address", "ann@demo.test", "block", "0.0.0.0/0").warnings[0])
        self.assertIn("allow list", self.add("address", "ann@demo.test", "block", "::/0").warnings[0])
        self.assertIn("both", self.add("domain", "demo.test", "block", "192.0.2.0/24").warnings[0])

    def test_only_pre_approved_senders(self) -> None:
        """Everybody blocked by network, a few allowed: both families, and the policy says so (spec 6.8)."""
        for entry in ("0.0.0.0/0", "::/0"):
            self.add("domain", "demo.test", "block", entry)
        lists_of = self.book.recipient(parse("ann@demo.test")).policy.domain_lists
        self.assertTrue(all(lists_of.block.has_network(parse_ip(each)) for each in ("192.0.2.7", "2001:db8::7")))

    def test_removed_and_empty(self) -> None:
        """The last entry takes the list with it; what is not there cannot be removed; removing a domain removes its people's lists."""
        self.add("domain", "demo.test", "block", "a.example")
        self.successResultOf(lists.remove(self.db, ROOT, "domain", "demo.test", "block", "A.example", now=2.0))
        self.assertEqual(settings.everything(self.conn), {})
        self.fails(NotFoundError, lists.remove, ROOT, "domain", "demo.test", "block", "a.example")
        self.add("domain", "demo.test", "block", "a.example")
        self.add("address", "ann@demo.test", "block", "a.example")
        domains.remove(self.conn, "demo.test")
        self.assertEqual(settings.everything(self.conn), {})
        audit = [row[0] for row in self.conn.execute("SELECT action FROM audit ORDER BY id")]
        self.assertEqual(audit, ["list.add", "list.remove", "list.add", "list.add"])

    def test_who_may(self) -> None:
        """A person their own, an owner their domain's and its people's, the appliance's and an account's the sysadmin alone."""
        self.add("address", "ann@demo.test", "block", "a.example", USER)
        self.add("address", "bob@demo.test", "block", "a.example", OWNER)
        self.add("domain", "demo.test", "block", "a.example", OWNER)
        others = ((USER, "domain", "demo.test"), (USER, "address", "bob@demo.test"), (OWNER, "appliance", ""), (OWNER, "account", "1"))
        for actor, scope, key in others:
            self.fails(NotFoundError, lists.add, actor, scope, key, "block", "b.example")
        self.assertEqual(self.successResultOf(lists.show(self.db, USER, "address", "ann@demo.test")).block, ("a.example",))
        self.failureResultOf(lists.show(self.db, USER, "appliance"), NotFoundError)


class ThresholdTests(Base):
    """Scores in force."""

    def sources(self, domain: str = "") -> list[tuple[str, float, str]]:
        """Name, score, where it comes from."""
        shown = self.successResultOf(thresholds.show(self.db, ROOT, domain))
        return [(each.name, each.score, each.source) for each in shown.thresholds]

    def set(self, domain: str = "", **scores: float) -> tuple[str, ...]:
        """-> warnings."""
        return self.successResultOf(thresholds.change(self.db, ROOT, scores, domain, now=1.0)).warnings

    def test_domain_over_appliance_over_default(self) -> None:
        """Each threshold by itself, and a reset goes one level up; the policy agrees."""
        self.set(spam=5.5, reject=12)
        self.set("demo.test", spam=7)
        self.assertEqual(self.sources("demo.test"), [("reject", 12.0, "appliance"), ("spam", 7.0, "domain"), ("defer", 4.0, "default")])
        self.assertEqual(self.book.recipient(parse("ann@demo.test")).policy.thresholds, Thresholds(12.0, 7.0, None))
        self.successResultOf(thresholds.reset(self.db, ROOT, "demo.test", now=1.0))
        self.assertEqual(self.sources("demo.test")[1], ("spam", 5.5, "appliance"))
        self.successResultOf(thresholds.reset(self.db, ROOT, now=1.0))
        self.assertEqual([source for _, _, source in self.sources()], ["default"] * 3)

    def test_bounds_and_order(self) -> None:
        """0 to 999 with decimals; another order is saved and warned of; one that is switched off is in nobody's way."""
        for value in (-0.1, 999.5, float("nan"), float("inf")):
            self.assertIn("spam: ", self.fails(UsageError, thresholds.change, ROOT, {"spam": value}))
        self.assertEqual(len(self.set("demo.test", spam=3, reject=2.5)), 2)
        self.assertEqual(self.sources("demo.test")[0][1], 2.5)
        self.assertEqual(self.set("demo.test", spam=6, reject=15, defer=999), ())
        self.fails(UsageError, thresholds.change, ROOT, {"junk": 1})
        self.fails(UsageError, thresholds.change, ROOT, {})

    def test_who_may(self) -> None:
        """The appliance's are the sysadmin's; an owner may look at their domain's and not set them."""
        self.fails(NotFoundError, thresholds.change, OWNER, {"spam": 5})
        self.fails(NotFoundError, thresholds.change, OWNER, {"spam": 5}, "demo.test")
        self.successResultOf(thresholds.show(self.db, OWNER, "demo.test"))
        self.failureResultOf(thresholds.show(self.db, OWNER), NotFoundError)
