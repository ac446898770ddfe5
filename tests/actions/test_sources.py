"""Source addresses: checked, assigned, told, and an administrator's alone."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import sources
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.store.directory import accounts, domains
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import source_days
from tests.store.samples import memory_store

NOW = 1_795_159_800.0  # 2026-11-20 07:30 UTC
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna", (Grant("account", "1"),))


class SourceTests(SynchronousTestCase):
    """example.org of account 1, and a second account."""

    def setUp(self) -> None:
        """The directory."""
        self.db = memory_store()
        self.conn = self.db.connection
        domains.add(self.conn, Domain("example.org", verified_at=1.0))
        accounts.add(self.conn, "acme")
        self.directory = Directory(self.db)

    def add(self, name: str = "one", **settings: Any) -> sources.Shown:
        """A source."""
        return self.successResultOf(sources.add(self.db, ROOT, name, {"ipv4": "192.0.2.1"} | settings, now=NOW))

    def refused(self, **settings: Any) -> str:
        """Which field is wrong."""
        return self.failureResultOf(sources.add(self.db, ROOT, "x", settings, now=NOW), UsageError).value.field

    def test_what_is_stored_is_what_was_meant(self) -> None:
        """Spellings of addresses, names and curves become one."""
        made = self.add("One", ipv6="2001:DB8:0::1", hostname="Out1.Example.org", curve="5, 10", started="2026-11-19")
        self.assertEqual((made.name, made.ipv6, made.hostname, made.curve), ("one", "2001:db8::1", "out1.example.org", "5,10"))
        self.assertEqual((made.day, made.sent, made.limit), (2, 0, 10))

    def test_every_fault_names_its_field(self) -> None:
        """Addresses of the wrong family or none, names that are none, days, curves and words that make no sense."""
        self.assertEqual(self.refused(), "ipv4")
        self.assertEqual(self.refused(ipv4="2001:db8::1"), "ipv4")
        self.assertEqual(self.refused(ipv4="192.0.2.256"), "ipv4")
        self.assertEqual(self.refused(ipv4="0.0.0.0"), "ipv4")
        for bad in ("192.0.2.1", "::", "fe80::1%eth0", "::ffff:192.0.2.1", "ff02::1"):
            self.assertEqual(self.refused(ipv6=bad), "ipv6", bad)
        for bad in ("localhost", "a_b.test", "-a.test", "a.test\r\nX", "a..b", "x" * 64 + ".test"):
            self.assertEqual(self.refused(ipv4="192.0.2.1", hostname=bad), "hostname", bad)
        self.assertEqual(self.refused(ipv4="192.0.2.1", started="tomorrow"), "started")
        self.assertEqual(self.refused(ipv4="192.0.2.1", curve="fast"), "curve")
        self.assertEqual(self.refused(ipv4="192.0.2.1", overflow="drop"), "overflow")
        self.assertEqual(self.refused(ipv4="192.0.2.1", name="y"), "name")
        self.failureResultOf(sources.add(self.db, ROOT, "a b", {"ipv4": "192.0.2.1"}, now=NOW), UsageError)

    def test_an_address_has_one_source(self) -> None:
        """Neither a name nor an address is taken twice, by a change either."""
        self.add()
        self.add("two", ipv4="192.0.2.2")
        self.failureResultOf(sources.add(self.db, ROOT, "one", {"ipv4": "192.0.2.9"}, now=NOW), ConflictError)
        self.failureResultOf(sources.add(self.db, ROOT, "three", {"ipv4": "192.0.2.1"}, now=NOW), ConflictError)
        self.failureResultOf(sources.change(self.db, ROOT, "two", {"ipv4": "192.0.2.1"}, now=NOW), ConflictError)
        self.successResultOf(sources.change(self.db, ROOT, "two", {"enabled": False}, now=NOW))

    def test_the_nearest_domain_decides(self) -> None:
        """A domain's source is that of names below it, unless they have their own; who has none is told so at once."""
        self.assertIsNone(self.directory.sources())
        self.add()
        self.assertIsNone(self.directory.sources(), "nobody leaves from it yet")
        self.add("two", ipv4="192.0.2.2")
        domains.add(self.conn, Domain("shop.example.org", verified_at=1.0))
        for name, domain in (("one", "Example.ORG"), ("two", "shop.example.org")):
            self.successResultOf(sources.assign(self.db, ROOT, name, now=NOW, domain=domain))
        self.successResultOf(sources.assign(self.db, ROOT, "two", now=NOW, account="acme"))
        book = self.directory.sources()
        assert book is not None
        found = [book.of_domain(name) for name in ("example.org", "bounces.example.org", "shop.example.org", "a.shop.example.org", "org", "")]
        self.assertEqual([source and source.name for source in found], ["one", "one", "two", "two", None, None])
        self.assertEqual(book.accounts[2].name, "two")
        shown = self.successResultOf(sources.show(self.db, ROOT, "two", now=NOW))
        self.assertEqual((shown.domains, shown.accounts), (("shop.example.org",), ("acme",)))

    def test_a_source_that_is_off_counts_as_not_assigned(self) -> None:
        """And its mail leaves from it again when it is on; assigning again replaces, unassigning and removing end it."""
        self.add()
        self.successResultOf(sources.assign(self.db, ROOT, "one", now=NOW, domain="example.org"))
        self.successResultOf(sources.change(self.db, ROOT, "one", {"enabled": False}, now=NOW))
        self.assertIsNone(self.directory.sources())
        self.successResultOf(sources.change(self.db, ROOT, "one", {"enabled": True}, now=NOW))
        self.assertIsNotNone(self.directory.sources())
        self.successResultOf(sources.unassign(self.db, ROOT, now=NOW, domain="example.org"))
        self.assertIsNone(self.directory.sources())
        self.failureResultOf(sources.unassign(self.db, ROOT, now=NOW, domain="example.org"), NotFoundError)
        self.successResultOf(sources.assign(self.db, ROOT, "one", now=NOW, domain="example.org"))
        self.successResultOf(sources.remove(self.db, ROOT, "one", now=NOW))
        self.assertIsNone(self.directory.sources())
        self.failureResultOf(sources.show(self.db, ROOT, "one", now=NOW), NotFoundError)

    def test_what_is_assigned_must_exist(self) -> None:
        """One of domain and account, and one we know."""
        self.add()
        for wrong in ({}, {"domain": "example.org", "account": "acme"}):
            self.failureResultOf(sources.assign(self.db, ROOT, "one", now=NOW, **wrong), UsageError)
        self.failureResultOf(sources.assign(self.db, ROOT, "one", now=NOW, domain="other.test"), NotFoundError)
        self.failureResultOf(sources.assign(self.db, ROOT, "one", now=NOW, account="nobody"), NotFoundError)
        self.failureResultOf(sources.assign(self.db, ROOT, "two", now=NOW, domain="example.org"), NotFoundError)

    def test_the_warm_up_is_told_by_day(self) -> None:
        """Today first, though nothing left yet, with the limits each day had."""
        self.add(started="2026-11-18", curve="1,2")
        source_days.add(self.conn, [("one", "2026-11-18"), ("one", "2026-11-18"), ("one", "2026-11-17"), ("two", "2026-11-18")])
        source_days.add(self.conn, [("one", "2026-11-18")])
        days = self.successResultOf(sources.warmup_days(self.db, ROOT, "one", now=NOW))
        told = [(day.day, day.number, day.sent, day.limit) for day in days]
        self.assertEqual(told, [("2026-11-20", 3, 0, None), ("2026-11-18", 1, 3, 1), ("2026-11-17", 0, 1, 0)])

    def test_an_administrators_alone(self) -> None:
        """To everybody else there are none."""
        self.add()
        for waiting in (
            sources.add(self.db, ANNA, "two", {"ipv4": "192.0.2.2"}, now=NOW),
            sources.change(self.db, ANNA, "one", {"enabled": False}, now=NOW),
            sources.remove(self.db, ANNA, "one", now=NOW),
            sources.listing(self.db, ANNA, now=NOW),
            sources.show(self.db, ANNA, "one", now=NOW),
            sources.assign(self.db, ANNA, "one", now=NOW, domain="example.org"),
            sources.unassign(self.db, ANNA, now=NOW, domain="example.org"),
            sources.warmup_days(self.db, ANNA, "one", now=NOW),
        ):
            self.failureResultOf(waiting, NotFoundError)

    def test_every_change_is_in_the_audit(self) -> None:
        """With what it changed."""
        self.add()
        self.successResultOf(sources.change(self.db, ROOT, "one", {"started": "2026-11-20"}, now=NOW))
        self.successResultOf(sources.assign(self.db, ROOT, "one", now=NOW, domain="example.org"))
        self.successResultOf(sources.unassign(self.db, ROOT, now=NOW, domain="example.org"))
        self.successResultOf(sources.remove(self.db, ROOT, "one", now=NOW))
        entries = self.conn.execute("SELECT action FROM audit ORDER BY id").fetchall()
        self.assertEqual([row[0] for row in entries], ["source.add", "source.set", "source.assign", "source.unassign", "source.remove"])
