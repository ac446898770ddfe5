"""Suppressions in the store: one for an account and an address, renewed and never shortened."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from jetmail.store.traffic import suppressions
from jetmail.store.traffic.suppressions import APPLIANCE, Strike
from tests.store.samples import memory_store

NOW = 1_000_000.0
DAY = 86_400.0
ANN = "ann@far.test"


class SuppressionTests(SynchronousTestCase):
    """Every function, on a store in memory."""

    def setUp(self) -> None:
        """A store."""
        self.conn = memory_store().connection

    def add(self, reason: str = "bounce", expires: float | None = NOW + DAY, account: int = 1, now: float = NOW, address: str = ANN) -> bool:
        """One suppression."""
        return suppressions.add(self.conn, account, address, reason, f"why {reason}", now, expires, f"from {reason}")

    def found(self, account: int = 1, now: float = NOW) -> tuple[str, float | None] | None:
        """Reason and end of what counts for ANN."""
        one = suppressions.find(self.conn, account, [ANN, "other@far.test"], now).get(ANN)
        return (one.reason, one.expires) if one is not None else None

    def test_found_by_account(self) -> None:
        """A suppression binds its own account, and no other."""
        self.assertTrue(self.add())
        self.assertEqual(self.found(), ("bounce", NOW + DAY))
        self.assertIsNone(self.found(account=2))

    def test_found_by_address(self) -> None:
        """However long an account's list is, only the rows of the addresses asked for are looked at."""
        asked: list[str] = []
        self.conn.set_trace_callback(asked.append)
        self.found()
        self.conn.set_trace_callback(None)
        plan = " ".join(str(row[3]) for row in self.conn.execute("EXPLAIN QUERY PLAN " + asked[-1]))
        self.assertIn("USING INDEX suppressions_address (address=? AND account_id=?)", plan)

    def test_appliance_binds_everybody(self) -> None:
        """What the appliance suppresses counts for every account, and is what is told when the account suppresses it too."""
        self.add("manual", None, account=APPLIANCE)
        self.add()
        self.assertEqual(self.found(), ("manual", None))
        self.assertEqual(self.found(account=7), ("manual", None))

    def test_renewed(self) -> None:
        """The same again is no second row: its end moves later, never earlier."""
        self.add()
        self.assertFalse(self.add(expires=NOW + 3 * DAY))
        self.assertFalse(self.add(expires=NOW + 2 * DAY))
        self.assertEqual(self.found(), ("bounce", NOW + 3 * DAY))
        self.assertEqual(suppressions.listing(self.conn, None, NOW).total, 1)

    def test_person_outweighs_bounce(self) -> None:
        """A bounce neither shortens nor renames what a person wrote down, and a complaint replaces a bounce."""
        self.add("manual", None)
        self.add("bounce")
        self.assertEqual(self.found(), ("manual", None))
        self.add("bounce", account=2)
        self.add("complaint", None, account=2)
        self.assertEqual(self.found(account=2), ("complaint", None))

    def test_expired_counts_nowhere(self) -> None:
        """At its end it is neither found nor listed, and adding it anew begins anew."""
        self.add("complaint")
        later = NOW + DAY
        self.assertIsNone(self.found(now=later))
        self.assertEqual(suppressions.listing(self.conn, [1], later).total, 0)
        self.assertTrue(self.add("bounce", later + DAY, now=later))
        self.assertEqual(self.found(now=later), ("bounce", later + DAY))

    def test_strikes(self) -> None:
        """A refusal that counts in numbers suppresses with the third message in its window; the same message counts once."""
        new = Strike(1, ANN, "550 no", NOW, "m1", 3, NOW - 7 * DAY, NOW + DAY)
        told = [suppressions.strike(self.conn, each) for each in (new, new, new._replace(source="m2"), new._replace(source="m3"))]
        self.assertEqual(told, [False, False, False, True])

    def test_old_strikes_do_not_count(self) -> None:
        """What happened before the window began is not counted."""
        new = Strike(1, ANN, "550 no", NOW, "m1", 2, NOW - 7 * DAY, NOW + DAY)
        suppressions.strike(self.conn, new._replace(at=NOW - 8 * DAY))
        self.assertFalse(suppressions.strike(self.conn, new._replace(source="m2")))

    def test_certain_strike(self) -> None:
        """Where one is enough, one suppresses."""
        self.assertTrue(suppressions.strike(self.conn, Strike(1, ANN, "550 5.1.1", NOW, "m1", 1, NOW, None)))
        self.assertEqual(self.found(), ("bounce", None))

    def test_removed(self) -> None:
        """Lifting takes the row of that account, and what counted towards it."""
        new = Strike(1, ANN, "550 no", NOW, "m1", 2, NOW - DAY, None)
        suppressions.strike(self.conn, new)
        self.add()
        self.add(account=2)
        self.assertTrue(suppressions.remove(self.conn, 1, ANN))
        self.assertFalse(suppressions.remove(self.conn, 1, ANN))
        self.assertIsNone(self.found())
        self.assertIsNotNone(self.found(account=2))
        self.assertFalse(suppressions.strike(self.conn, new._replace(source="m2")))

    def test_edited(self) -> None:
        """A person may write an earlier end."""
        self.add("manual", None)
        one = suppressions.get(self.conn, 1, ANN)
        assert one is not None
        suppressions.save(self.conn, replace(one, expires=NOW + 5))
        self.assertEqual(self.found(), ("manual", NOW + 5))
        self.assertEqual(suppressions.by_id(self.conn, one.id), suppressions.get(self.conn, 1, ANN))

    def test_listing(self) -> None:
        """Newest first, in pages, by account, part of the address and reason; the total is of all pages."""
        for number in range(5):
            self.add(account=1 + number % 2, address=f"user{number}@far.test", reason="manual" if number == 4 else "bounce")
        first = suppressions.listing(self.conn, None, NOW, limit=2)
        self.assertEqual(([row.address for row in first.rows], first.total), (["user4@far.test", "user3@far.test"], 5))
        second = suppressions.listing(self.conn, None, NOW, after=first.rows[-1].id, limit=2)
        self.assertEqual([row.address for row in second.rows], ["user2@far.test", "user1@far.test"])
        self.assertEqual(suppressions.listing(self.conn, [2], NOW).total, 2)
        self.assertEqual(suppressions.listing(self.conn, [], NOW).total, 0)
        self.assertEqual([row.address for row in suppressions.listing(self.conn, [1], NOW, search="USER2").rows], ["user2@far.test"])
        self.assertEqual([row.address for row in suppressions.listing(self.conn, [1], NOW, reason="manual").rows], ["user4@far.test"])

    def test_expire(self) -> None:
        """What has expired goes, and strikes of old; what counts, or never expires, stays."""
        self.add()
        self.add("manual", None, account=2)
        suppressions.strike(self.conn, Strike(1, ANN, "", NOW, "m1", 3, NOW, None))
        self.assertEqual(suppressions.expire(self.conn, NOW + DAY, NOW + 1), 2)
        self.assertEqual(suppressions.expire(self.conn, NOW + DAY, NOW + 1), 0)
        self.assertIsNotNone(self.found(account=2))
