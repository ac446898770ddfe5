"""Suspending and resuming destinations and sites, and the list of those in trouble."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import destinations
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.store.directory import audit, domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import lanes, sites
from jetmail.store.traffic.lanes import LaneState
from jetmail.store.traffic.messages import accept
from jetmail.store.traffic.sites import SiteState
from tests.store.samples import delivery, memory_store, message

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
NOW = 1000.0


class DestinationTests(SynchronousTestCase):
    """Over a queue with two destinations."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.conn = self.db.connection
        domains.add(self.conn, Domain("demo.test"))
        accept(self.conn, message(1, delivery("ann@demo.test"), delivery("eve@other.test"), delivery("bob@other.test")))

    def done(self, deferred: Any) -> Any:
        return self.successResultOf(deferred)

    def told(self, actor: Actor = ROOT) -> list[tuple[str, str, str, int]]:
        """(kind, name, state, waiting) of those in trouble."""
        return [(each.kind, each.name, each.state, each.waiting) for each in self.done(destinations.listing(self.db, actor, now=NOW))]

    def test_suspend(self) -> None:
        """A suspended destination is listed with who did it, when and why, the queue is told, and the audit has it."""
        before = lanes.version(self.conn)
        self.assertEqual(self.done(destinations.suspend(self.db, ROOT, "Other.Test", now=NOW, note="moving")), "other.test")
        (row,) = self.done(destinations.listing(self.db, ROOT, now=NOW))
        self.assertEqual((row.state, row.waiting, row.since, row.by, row.note), ("suspended", 2, NOW, "cli:root", "moving"))
        self.assertGreater(lanes.version(self.conn), before)
        entry = audit.listing(self.conn)[0]
        self.assertEqual((entry.action, entry.object), ("queue.suspend", "destination other.test"))

    def test_since_stays(self) -> None:
        """Suspending again renews the reason, not the beginning."""
        for at, note in ((NOW, "one"), (NOW + 5, "two")):
            self.done(destinations.suspend(self.db, ROOT, "other.test", now=at, note=note))
        (row,) = self.done(destinations.listing(self.db, ROOT, now=NOW))
        self.assertEqual((row.since, row.note), (NOW, "two"))

    def test_resume(self) -> None:
        """A resumed destination is well and gone from the list."""
        self.done(destinations.suspend(self.db, ROOT, "other.test", now=NOW))
        self.done(destinations.resume(self.db, ROOT, "other.test", now=NOW))
        self.assertEqual(self.told(), [])

    def test_nothing_to_resume(self) -> None:
        """Resuming what is well is not found."""
        self.failureResultOf(destinations.resume(self.db, ROOT, "other.test", now=NOW), NotFoundError)

    def test_resume_what_is_down(self) -> None:
        """A destination that is down is probed now, and stays down until it answers."""
        lanes.save(self.conn, LaneState("other.test", 3, NOW, NOW + 600, "connect", "451 4.4.1 refused"))
        self.done(destinations.resume(self.db, ROOT, "other.test", now=NOW))
        state, _ = lanes.state(self.conn, "other.test")
        self.assertEqual((state.not_before, state.down_since), (0, NOW))
        self.assertEqual(self.told(), [("destination", "other.test", "down", 2)])

    def test_site(self) -> None:
        """A site is suspended and resumed by its name, with what waits for it."""
        sites.save(self.conn, SiteState("big", 2, NOW, NOW + 60, "cooled down: ..."))
        sites.wait_for(self.conn, "other.test", "big", NOW + 60, "cooled down: ...")
        self.assertEqual(self.told(), [("site", "big", "cooling", 2), ("destination", "other.test", "cooling", 2)])
        self.done(destinations.suspend(self.db, ROOT, "big", now=NOW, is_site=True))
        self.assertEqual(self.told()[0], ("site", "big", "suspended", 2))
        self.done(destinations.resume(self.db, ROOT, "big", now=NOW, is_site=True))
        (state,) = sites.states(self.conn)
        self.assertEqual((state.level, state.not_before, state.suspended), (2, 0, False))
        self.assertEqual(lanes.states(self.conn), [])

    def test_waits_for_a_site(self) -> None:
        """Resuming a destination that waits for a site says which site is to be resumed."""
        sites.wait_for(self.conn, "other.test", "big", NOW + 60, "cooled down: ...")
        failure = self.failureResultOf(destinations.resume(self.db, ROOT, "other.test", now=NOW), ConflictError)
        self.assertIn("--site big", str(failure.value))

    def test_well_again(self) -> None:
        """When a site recovers nobody waits for it, and what is down or suspended besides stays so."""
        sites.save(self.conn, SiteState("big", 1, NOW, NOW + 60, "cooled down: ..."))
        for name in ("a.test", "b.test"):
            sites.wait_for(self.conn, name, "big", NOW + 60, "cooled down: ...")
        lanes.suspend(self.conn, "b.test")
        lanes.save(self.conn, LaneState("c.test", 1, NOW, NOW + 60, "connect", "451 no"))
        sites.wait_for(self.conn, "c.test", "big", NOW + 60, "cooled down: ...")
        sites.save(self.conn, SiteState("big"))
        self.assertEqual(
            [(each.name, each.state, each.reason) for each in sites.troubles(self.conn, NOW)],
            [("b.test", "suspended", ""), ("c.test", "down", "connect")],
        )

    def test_scope(self) -> None:
        """An owner suspends and sees their own domain, and learns nothing of others or of sites."""
        self.done(destinations.suspend(self.db, ROOT, "other.test", now=NOW))
        self.done(destinations.suspend(self.db, OWNER, "demo.test", now=NOW))
        self.assertEqual(self.told(OWNER), [("destination", "demo.test", "suspended", 1)])
        for name, is_site in (("other.test", False), ("big", True), ("demo.test", True)):
            self.failureResultOf(destinations.suspend(self.db, OWNER, name, now=NOW, is_site=is_site), NotFoundError)
            self.failureResultOf(destinations.resume(self.db, OWNER, name, now=NOW, is_site=is_site), NotFoundError)

    def test_nonsense(self) -> None:
        """Names that cannot be, and reasons of two lines, are refused with the field."""
        for name, note, is_site in (
            ("no domain", "", False),
            ("", "", False),
            ("a b", "", True),
            ("x.test", "a\nb", False),
            ("x.test", "x" * 201, False),
        ):
            with self.assertRaises(UsageError):
                self.done(destinations.suspend(self.db, ROOT, name, now=NOW, note=note, is_site=is_site))
