"""The directory: aliases and their circles, and a cache that knows when it is old."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.address import Address, parse
from jetmail.store.database import Connection, connect
from jetmail.store.directory import aliases, audit, cache, domains, recipients, rules
from jetmail.store.directory import jobs as job_records
from jetmail.store.directory import settings as stored_settings
from jetmail.store.directory.aliases import MAX_DEPTH, MAX_TARGETS, Expansion, Found, expand
from jetmail.store.directory.domains import Destination, Domain
from jetmail.store.directory.rules import StoredRule
from jetmail.store.directory.versions import bump_queue, directory_version, queue_version
from tests.store.samples import disk_store, memory_store


def told(expansion: Expansion) -> set[str]:
    """The targets as text; it must have some."""
    assert expansion.found is Found.TARGETS, expansion
    return {str(target) for target in expansion.targets}


class ExpandTests(SynchronousTestCase):
    """Where mail for an address goes."""

    def setUp(self) -> None:
        """One domain that lists its recipients, one that takes any, one alias domain."""
        self.conn = memory_store().connection
        domains.add(self.conn, Domain("demo.test", recipients="listed"))
        domains.add(self.conn, Domain("open.test"))
        domains.add(self.conn, Domain("also.test", kind="alias", alias_of="demo.test"))
        recipients.add(self.conn, [parse("ann@demo.test"), parse("x+y@demo.test")])

    def alias(self, address: str, *targets: str) -> None:
        """Store an alias."""
        aliases.put(self.conn, address, address.rpartition("@")[2], targets)

    def expand(self, address: str) -> Expansion:
        """Ask."""
        return expand(self.conn, parse(address))

    def test_plain(self) -> None:
        """Known recipients and recipients of an open domain go where they are addressed; others are unknown in two different ways."""
        self.assertEqual(told(self.expand("ann@demo.test")), {"ann@demo.test"})
        self.assertEqual(told(self.expand("Ann@demo.test")), {"Ann@demo.test"})
        self.assertEqual(told(self.expand("anybody@open.test")), {"anybody@open.test"})
        self.assertIs(self.expand("eve@demo.test").found, Found.UNKNOWN_RECIPIENT)
        self.assertIs(self.expand("eve@elsewhere.test").found, Found.UNKNOWN_DOMAIN)

    def test_alias_domain(self) -> None:
        """Mail for an alias domain is mail for the domain it stands for, its aliases included; a circle of alias domains is not ours."""
        self.alias("sales@demo.test", "ann@demo.test", "shop@elsewhere.test")
        self.assertEqual(told(self.expand("ann@also.test")), {"ann@demo.test"})
        self.assertEqual(told(self.expand("SALES@also.test")), {"ann@demo.test", "shop@elsewhere.test"})
        self.assertIs(self.expand("eve@also.test").found, Found.UNKNOWN_RECIPIENT)
        domains.add(self.conn, Domain("circle.test", kind="alias", alias_of="also.test"))
        self.assertIs(self.expand("ann@circle.test").found, Found.UNKNOWN_DOMAIN)

    def test_plus(self) -> None:
        """A tag is kept for a known base, dropped by an alias of the base, and is no tag where the whole address is known."""
        self.alias("sales@demo.test", "ann@demo.test")
        self.assertEqual(told(self.expand("ann+shop@demo.test")), {"ann+shop@demo.test"})
        self.assertEqual(told(self.expand("sales+x@demo.test")), {"ann@demo.test"})
        self.assertEqual(told(self.expand("x+y@demo.test")), {"x+y@demo.test"})
        self.assertIs(self.expand("eve+x@demo.test").found, Found.UNKNOWN_RECIPIENT)
        self.assertIs(self.expand("+x@demo.test").found, Found.UNKNOWN_RECIPIENT)

    def test_catch_all(self) -> None:
        """The catch-all takes what nobody else has, and only that."""
        self.alias("@demo.test", "ann@demo.test")
        self.assertEqual(told(self.expand("eve@demo.test")), {"ann@demo.test"})
        self.assertEqual(told(self.expand("ann@demo.test")), {"ann@demo.test"})

    def test_nested_once(self) -> None:
        """Nested aliases give each target once, and keep a copy for an alias that names itself."""
        self.alias("all@open.test", "team@open.test", "ann@demo.test", "all@open.test")
        self.alias("team@open.test", "ann@demo.test", "bob@open.test")
        self.assertEqual(told(self.expand("all@open.test")), {"all@open.test", "ann@demo.test", "bob@open.test"})

    def test_loop(self) -> None:
        """A circle with a way out ends there; one without is a loop and says so."""
        self.alias("a@open.test", "b@open.test")
        self.alias("b@open.test", "a@open.test")
        self.assertIs(self.expand("a@open.test").found, Found.LOOP)
        self.alias("b@open.test", "a@open.test", "out@open.test")
        self.assertEqual(told(self.expand("a@open.test")), {"out@open.test"})

    def test_loop_through_alias_domain(self) -> None:
        """A circle through an alias domain is the same circle."""
        self.alias("a@demo.test", "b@also.test")
        self.alias("b@demo.test", "a@also.test")
        self.assertIs(self.expand("a@also.test").found, Found.LOOP)

    def test_dead_end(self) -> None:
        """A target nobody has makes the alias unknown when it is the only one, and stays visible as a target beside others."""
        self.alias("old@demo.test", "gone@demo.test")
        self.assertIs(self.expand("old@demo.test").found, Found.UNKNOWN_RECIPIENT)
        self.alias("old@demo.test", "gone@demo.test", "ann@demo.test")
        self.assertEqual(told(self.expand("old@demo.test")), {"gone@demo.test", "ann@demo.test"})

    def test_limits(self) -> None:
        """Too deep and too many are said as such, never cut in silence."""
        for number in range(MAX_DEPTH + 2):
            self.alias(f"n{number}@open.test", f"n{number + 1}@open.test")
        self.assertIs(self.expand("n0@open.test").found, Found.LIMIT)
        self.assertEqual(told(self.expand("n3@open.test")), {f"n{MAX_DEPTH + 2}@open.test"})
        self.alias("many@open.test", *(f"t{number}@open.test" for number in range(MAX_TARGETS + 1)))
        self.assertIs(self.expand("many@open.test").found, Found.LIMIT)


class GraphLookup:
    """Any graph of aliases in one domain that knows some of its addresses."""

    def __init__(self, edges: dict[str, tuple[str, ...]], known: set[str]) -> None:
        self.edges = edges
        self.known = known

    def domain(self, name: str) -> tuple[str, bool] | None:
        """One domain, listed."""
        return ("d.test", False) if name == "d.test" else None

    def aliases(self, key: str) -> tuple[str, ...]:
        """The edges."""
        return self.edges.get(key, ())

    def is_known(self, key: str) -> bool:
        """The listed ones."""
        return key in self.known


nodes = st.sampled_from([f"{letter}@d.test" for letter in "abcdef"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(nodes, st.lists(nodes, min_size=1, max_size=3).map(tuple), max_size=6), st.sets(nodes), nodes)
def test_expand_any_graph(edges: dict[str, tuple[str, ...]], known: set[str], start: str) -> None:
    """On any graph expansion ends, and finds exactly the reachable addresses that are no alias (or name themselves) and exist."""
    expansion = aliases.expand_with(GraphLookup(edges, known), parse(start))
    reachable, way = {start}, [start]
    while way:
        for onward in edges.get(way.pop(), ()):
            if onward not in reachable:
                reachable.add(onward)
                way.append(onward)
    final = {name for name in reachable if (name in edges[name] if name in edges else name in known)}
    if expansion.found is Found.TARGETS:
        targets = {str(target) for target in expansion.targets}
        assert final <= targets <= reachable
        assert all(name not in edges for name in targets - final)
        assert final
    else:
        assert not final
        assert not expansion.targets


class CacheTests(SynchronousTestCase):
    """Directory forgets exactly when something changed."""

    def setUp(self) -> None:
        """A store on the disk, so that another connection can change it."""
        self.db, self.path = disk_store(self)
        self.reads: list[str] = []
        self.db.connection.set_trace_callback(self.reads.append)
        self.directory = cache.Directory(self.db)
        self.db.run(domains.add, Domain("demo.test", verified_at=1.0, destinations=(Destination("192.0.2.1", 2525),), reject_score=9.0))
        self.db.run(domains.add, Domain("also.test", kind="alias", alias_of="demo.test", inbound=False))

    def test_policy(self) -> None:
        """A policy is the domain's; an alias domain's is that of the domain it stands for, as far as both allow."""
        policy = self.directory.policy_for("demo.test")
        assert policy is not None
        self.assertEqual((policy.real, policy.is_verified, policy.takes_any, policy.reject_score), ("demo.test", True, True, 9.0))
        self.assertEqual([str(item) for item in policy.destinations], ["192.0.2.1:2525"])
        other = self.directory.policy_for("also.test")
        assert other is not None
        self.assertEqual((other.name, other.real, other.is_verified, other.inbound), ("also.test", "demo.test", False, False))
        self.assertEqual(other.destinations, policy.destinations)
        self.assertIsNone(self.directory.policy_for("elsewhere.test"))

    def test_remembers(self) -> None:
        """While nothing is changed the second answer asks for nothing but whether something was."""
        address = parse("ann@demo.test")
        first = self.directory.resolve(address)
        self.assertEqual(first.targets, (address,))
        del self.reads[:]
        self.assertEqual(self.directory.resolve(address), first)
        self.assertEqual(set(self.reads), {"SELECT version FROM directory_version"})

    def test_own_change(self) -> None:
        """A change through the same store counts for the next question."""
        self.assertIsNone(self.directory.policy_for("new.test"))
        version = self.directory.version
        self.db.run(domains.add, Domain("new.test"))
        self.assertIsNotNone(self.directory.policy_for("new.test"))
        self.assertGreater(self.directory.version, version)

    def test_foreign_change(self) -> None:
        """A change by another process counts for the next question."""
        self.assertEqual(self.directory.rules("domain", "demo.test"), ())
        self.assertIsNone(self.directory.setting("thresholds"))
        other = connect(self.path, writer=True)
        self.addCleanup(other.close)
        rules.put(other, StoredRule("u1", "domain", "demo.test", "block", "no"))
        rules.put(other, StoredRule("u2", "domain", "demo.test", "block", "off", enabled=False))
        stored_settings.put(other, "thresholds", {"spam_score": 5})
        self.assertEqual([rule.uuid for rule in self.directory.rules("domain", "demo.test")], ["u1"])
        self.assertEqual(self.directory.setting("thresholds"), {"spam_score": 5})
        policy = self.directory.policy_for("demo.test")
        assert policy is not None
        self.assertEqual([rule.uuid for rule in policy.rules], ["u1"])

    def test_shared_question(self) -> None:
        """With a clock, questions of the same few milliseconds ask SQLite once, and a change counts right after them; so it does when the clock
        goes back."""
        clock = Clock()
        clock.advance(100.0)
        directory = cache.Directory(self.db, clock.seconds)
        self.assertIsNone(directory.policy_for("new.test"))
        del self.reads[:]
        clock.advance(0.001)
        self.assertIsNone(directory.policy_for("new.test"))
        self.assertEqual(self.reads, [])
        self.db.run(domains.add, Domain("new.test"))
        clock.advance(0.004)
        self.assertIsNotNone(directory.policy_for("new.test"))
        self.db.run(domains.remove, "new.test")
        clock.rightNow -= 50.0
        self.assertIsNone(directory.policy_for("new.test"))

    def test_mail_does_not_forget(self) -> None:
        """Commits that leave the directory alone leave what is remembered alone."""
        self.directory.policy_for("demo.test")
        self.db.run(job_records.record, "vacuum", 1.0)
        self.db.run(audit.record, 1.0, "root", "cli", "test", "nothing")
        del self.reads[:]
        self.directory.policy_for("demo.test")
        self.assertFalse([text for text in self.reads if "domains" in text])

    def test_bounded(self) -> None:
        """Questions about ever new addresses do not fill the memory."""
        self.patch(cache, "MAX_REMEMBERED", 50)
        for number in range(500):
            self.directory.resolve(Address(f"n{number}", "demo.test"))
        self.assertLessEqual(len(self.directory._remembered), 50)


class TablesTests(SynchronousTestCase):
    """The small tables."""

    def setUp(self) -> None:
        """A store."""
        self.db = memory_store()
        self.conn: Connection = self.db.connection

    def test_domain_round_trip(self) -> None:
        """A domain is stored and changed whole, destinations in the order they are tried."""
        domain = Domain("demo.test", destinations=(Destination("b.test", 25, 20), Destination("a.test", 26, 10, "verified")), spam_score=3.0)
        domain_id = domains.add(self.conn, domain)
        stored = domains.get(self.conn, "demo.test")
        assert stored is not None
        self.assertEqual((stored.id, [item.host for item in stored.destinations], stored.spam_score), (domain_id, ["a.test", "b.test"], 3.0))
        self.assertEqual(domains.listing(self.conn), (stored,))
        self.assertEqual(domains.listing(self.conn, account_ids=[1]), (stored,))
        self.assertEqual(domains.listing(self.conn, names=["other.test"]), ())

    def test_remove_domain(self) -> None:
        """With a domain go its recipients, aliases and rules, and nobody else's."""
        for name in ("demo.test", "notdemo.test"):
            domains.add(self.conn, Domain(name, destinations=(Destination("h.test"),)))
            recipients.add(self.conn, [parse(f"a@{name}")])
            aliases.put(self.conn, f"@{name}", name, ("x@y.test",))
            rules.put(self.conn, StoredRule(f"d-{name}", "domain", name, "block", "n"))
            rules.put(self.conn, StoredRule(f"a-{name}", "address", f"a@{name}", "block", "n"))
        self.assertTrue(domains.remove(self.conn, "demo.test"))
        self.assertFalse(domains.remove(self.conn, "demo.test"))
        tables = ("domain_destinations", "recipients", "aliases", "rules")
        counts = [self.conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
        self.assertEqual(counts, [1, 1, 1, 2])

    def test_recipients(self) -> None:
        """Recipients are compared without regard to case and listed in pages."""
        self.assertEqual(recipients.add(self.conn, [parse("Ann@demo.test"), parse("ann@demo.test"), parse("bob@demo.test")]), 2)
        self.assertTrue(recipients.is_known(self.conn, "ann@demo.test"))
        self.assertEqual(recipients.listing(self.conn, "demo.test", limit=1), ("ann@demo.test",))
        self.assertEqual(recipients.listing(self.conn, "demo.test", after="ann@demo.test"), ("bob@demo.test",))
        self.assertEqual(recipients.remove(self.conn, [parse("ANN@demo.test")]), 1)
        self.assertEqual(recipients.count(self.conn, "demo.test"), 1)

    def test_rules(self) -> None:
        """Rules come by priority, allow before block; conditions that are damaged match nothing instead of raising."""
        for uuid, action, priority in (("c", "block", 10), ("a", "block", 100), ("b", "allow", 100)):
            rules.put(self.conn, StoredRule(uuid, "domain", "demo.test", action, "n", priority=priority, conditions='{"size":{"max_size":1}}'))
        self.assertEqual([rule.uuid for rule in rules.listing(self.conn, "domain", "demo.test")], ["c", "b", "a"])
        self.assertEqual(StoredRule("x", "domain", "d", "allow", "n", conditions="{").parsed, {})
        self.assertEqual(StoredRule("x", "domain", "d", "allow", "n", conditions="[]").parsed, {})

    def test_settings_and_audit(self) -> None:
        """Settings keep their type and can be forgotten; the audit is newest first."""
        stored_settings.put(self.conn, "a", {"b": [1, None]})
        stored_settings.put(self.conn, "c", True)
        stored_settings.put(self.conn, "c", None)
        self.assertEqual(stored_settings.everything(self.conn), {"a": {"b": [1, None]}})
        for at in range(3):
            audit.record(self.conn, float(at), "root", "cli", "test", f"thing {at % 2}", {"at": at})
        self.assertEqual([entry.at for entry in audit.listing(self.conn)], [2.0, 1.0, 0.0])
        self.assertEqual([entry.detail for entry in audit.listing(self.conn, obj="thing 0", limit=1)], [{"at": 2}])

    def test_versions(self) -> None:
        """Each kind of change moves its own counter."""
        before = directory_version(self.conn), queue_version(self.conn)
        domains.add(self.conn, Domain("demo.test"))
        self.assertGreater(directory_version(self.conn), before[0])
        self.assertEqual(queue_version(self.conn), before[1])
        bump_queue(self.conn)
        self.assertGreater(queue_version(self.conn), before[1])
