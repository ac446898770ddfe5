"""The suppression list as use cases: whose it is, what people may do to it, and as a file."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import suppression_files, suppressions
from jetmail.actions.access import Actor, Grant
from jetmail.actions.suppression_files import guarded, unguarded
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.store.directory import accounts
from jetmail.store.traffic import suppressions as stored
from tests.store.samples import memory_store

NOW = 1_795_159_800.0  # 2026-11-20
DAY = 86_400.0
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna", (Grant("account", "1"),))
BERT = Actor("portal", "bert", (Grant("account", "2"),))
OWNER = Actor("portal", "olga", (Grant("owner", "demo.test"),))


class Case(SynchronousTestCase):
    """Two accounts."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.db.run(accounts.add, "second")

    def done(self, deferred: Deferred[Any]) -> Any:
        """The result, now."""
        return self.successResultOf(deferred)

    def refused(self, kind: type[Exception], deferred: Deferred[Any]) -> str:
        """What it says."""
        return str(self.failureResultOf(deferred, kind).value)

    def add(self, address: str = "ann@far.test", actor: Actor = ANNA, **more: Any) -> Any:
        """One more."""
        return suppressions.add(self.db, actor, address, now=NOW, **more)

    def addresses(self, actor: Actor, **more: Any) -> list[str]:
        """What that actor sees."""
        return [row.address for row in self.done(suppressions.listing(self.db, actor, now=NOW, **more)).rows]


class ListTests(Case):
    """Add, list, show, change, remove."""

    def test_add(self) -> None:
        """It is shown as it was given, with who wrote it down, and the audit knows."""
        shown = self.done(self.add("Ann@FAR.test", detail="asked by phone", expires=NOW + DAY))
        self.assertEqual((shown.address, shown.account, shown.reason, shown.source), ("ann@far.test", "default", "manual", "anna"))
        self.assertEqual(self.done(suppressions.show(self.db, ANNA, "ANN@far.test", now=NOW)), shown)
        entry = self.db.connection.execute("SELECT actor, action, object FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        self.assertEqual(entry, ("anna", "suppression.add", "suppression ann@far.test (account 1)"))

    def test_twice(self) -> None:
        """What is suppressed already is a conflict that says why; once expired it is not."""
        self.done(self.add(reason="unsubscribe", expires=NOW + DAY))
        self.assertEqual(self.refused(ConflictError, self.add()), "ann@far.test is suppressed already (unsubscribe)")
        self.done(suppressions.add(self.db, ANNA, "ann@far.test", now=NOW + DAY))

    def test_faults_name_the_field(self) -> None:
        """A wrong address, reason, detail or end is told by its field, and nothing is changed."""
        self.assertIn("address: 'ann'", self.refused(UsageError, self.add("ann")))
        self.assertIn("reason: 'whim'", self.refused(UsageError, self.add(reason="whim")))
        self.assertIn("detail:", self.refused(UsageError, self.add(detail="two\nlines")))
        for expires in (NOW, float("nan"), float("inf"), NOW + 1e12):
            self.assertIn("expires:", self.refused(UsageError, self.add(expires=expires)))
        self.assertEqual(self.addresses(ROOT), [])

    def test_scope(self) -> None:
        """An account sees and changes its own list; another's, and the appliance's, are as if they were not there."""
        self.done(self.add())
        self.done(self.add("bob@far.test", BERT, account_id=2))
        self.done(self.add("eve@far.test", ROOT, account_id=0))
        self.assertEqual(self.addresses(ANNA), ["ann@far.test"])
        self.assertEqual(self.addresses(ROOT), ["eve@far.test", "bob@far.test", "ann@far.test"])
        self.assertEqual(self.addresses(OWNER), [])
        self.assertEqual(self.refused(NotFoundError, self.add("x@far.test", account_id=2)), "no such account: 2")
        self.assertEqual(self.refused(NotFoundError, self.add("x@far.test", account_id=0)), "no such account: 0")
        self.assertEqual(self.refused(NotFoundError, self.add("x@far.test", ROOT, account_id=9)), "no such account: 9")
        for account_id in (0, 2):
            for attempt in (suppressions.show, suppressions.remove):
                told = self.refused(NotFoundError, attempt(self.db, ANNA, "bob@far.test", now=NOW, account_id=account_id))
                self.assertEqual(told, "no such suppression: bob@far.test")
            self.refused(NotFoundError, suppressions.listing(self.db, ANNA, now=NOW, account_id=account_id))

    def test_change(self) -> None:
        """A person may shorten what a complaint wrote for good, and say why."""
        self.db.run(stored.add, 1, "ann@far.test", "complaint", "fbl", NOW, None, "m1")
        shown = self.done(suppressions.change(self.db, ANNA, "ann@far.test", {"expires": NOW + DAY, "detail": "sorted out"}, now=NOW))
        self.assertEqual((shown.reason, shown.expires, shown.detail, shown.source), ("complaint", NOW + DAY, "sorted out", "m1"))
        self.assertIn("nothing to set", self.refused(UsageError, suppressions.change(self.db, ANNA, "ann@far.test", {}, now=NOW)))
        self.assertIn("address: cannot", self.refused(UsageError, suppressions.change(self.db, ANNA, "ann@far.test", {"address": "x"}, now=NOW)))

    def test_remove(self) -> None:
        """Lifted is lifted; a second time there is nothing, and what has expired is not there either."""
        self.done(self.add(expires=NOW + DAY))
        self.assertIn("no such", self.refused(NotFoundError, suppressions.remove(self.db, ANNA, "ann@far.test", now=NOW + DAY)))
        self.assertEqual(self.done(suppressions.remove(self.db, ANNA, "ann@far.test", now=NOW)).reason, "manual")
        self.assertIn("no such", self.refused(NotFoundError, suppressions.remove(self.db, ANNA, "ann@far.test", now=NOW)))

    def test_pages(self) -> None:
        """A page says how many there are and where the next one begins."""
        for number in range(5):
            self.done(self.add(f"u{number}@far.test", reason="unsubscribe" if number == 3 else "manual"))
        first = self.done(suppressions.listing(self.db, ANNA, now=NOW, limit=3))
        self.assertEqual(([row.address for row in first.rows], first.total), (["u4@far.test", "u3@far.test", "u2@far.test"], 5))
        last = self.done(suppressions.listing(self.db, ANNA, now=NOW, limit=3, after=first.next))
        self.assertEqual(([row.address for row in last.rows], last.next), (["u1@far.test", "u0@far.test"], 0))
        self.assertEqual(self.addresses(ANNA, search="U3@", reason="unsubscribe"), ["u3@far.test"])
        self.assertIn("limit", self.refused(UsageError, suppressions.listing(self.db, ANNA, now=NOW, limit=0)))


class FileTests(Case):
    """CSV in and out."""

    def take(self, text: str, actor: Actor = ANNA, **more: Any) -> Any:
        """Take a file in."""
        return suppression_files.take_in(self.db, actor, text.encode(), now=NOW, **more)

    def test_take_in(self) -> None:
        """Rows go on the list; active duplicates are skipped, of the file too; wrong rows are told by number and reason."""
        self.done(self.add("old@far.test"))
        self.db.run(stored.add, 1, "expired@far.test", "bounce", "", NOW - 2 * DAY, NOW - DAY, "m1")
        text = (
            "\ufeffName;x,Target_Value,reason,expires,detail\r\n"
            "a,new@far.test,unsubscribe,2026-12-31,by form\r\n"
            ",old@far.test\n,NEW@far.test\n\n,expired@far.test,,never\n,nonsense\n,\n,a@far.test,whim\n,b@far.test,,yesterday\n,c@far.test,,2020-01-01\n"
        )
        found = self.done(self.take(text))
        self.assertEqual((found.inserted, found.skipped, found.faults), (2, 2, 4))
        self.assertEqual([failed.row for failed in found.failed], [7, 9, 10, 11])
        self.assertEqual([failed.reason.split(":")[0] for failed in found.failed], ["target_value", "reason", "expires", "expires"])
        shown = self.done(suppressions.show(self.db, ANNA, "new@far.test", now=NOW))
        self.assertEqual((shown.reason, shown.detail, shown.expires), ("unsubscribe", "by form", 1_798_675_200.0))
        self.assertEqual(self.addresses(ANNA), ["new@far.test", "expired@far.test", "old@far.test"])

    def test_dry_run(self) -> None:
        """The same answer, and nothing is written."""
        text = "target_value\na@far.test\nb@far.test\na@far.test\nx\n"
        dry = self.done(self.take(text, dry_run=True))
        self.assertEqual((dry.inserted, dry.skipped, dry.faults), (2, 1, 1))
        self.assertEqual(self.addresses(ANNA), [])
        self.assertEqual(self.done(self.take(text)).inserted, 2)
        self.assertEqual(self.done(self.take(text)).skipped, 3)

    def test_many(self) -> None:
        """Thousands of rows go in in pieces, and come out in pages; of many faults some are told and all counted."""
        rows = [f"u{number}@far.test" for number in range(2_300)] + ["x"] * 1_500
        found = self.done(self.take("\n".join(["target_value", *rows])))
        self.assertEqual((found.inserted, found.faults, len(found.failed)), (2_300, 1_500, 1_000))
        self.assertEqual(len(self.done(suppression_files.give_out(self.db, ANNA, now=NOW)).splitlines()), 2_301)

    def test_not_a_file_of_ours(self) -> None:
        """Without the column, beyond the limits or in no UTF-8, nothing is taken in and the file is what is wrong."""
        for octets in (
            b"",
            b"address\na@b.test\n",
            b"target_value\n\xff\n",
            b'target_value\n"a\x00',
            b"target_value\n" + b"x" * suppression_files.MAX_OCTETS,
        ):
            deferred = suppression_files.take_in(self.db, ANNA, octets, now=NOW)
            if octets.startswith(b'target_value\n"'):
                self.assertEqual(self.done(deferred).inserted, 0)
            else:
                self.assertIn("file: ", self.refused(UsageError, deferred))
        self.refused(NotFoundError, self.take("target_value\na@b.test\n", account_id=2))
        self.refused(NotFoundError, self.take("target_value\na@b.test\n", ROOT, account_id=9))

    def test_give_out(self) -> None:
        """What is given out can be taken in elsewhere, formulas disarmed on the way."""
        self.done(self.add("=cmd@far.test", detail="=1+1", expires=NOW + DAY))
        self.done(self.add("bob@far.test", reason="complaint"))
        text = self.done(suppression_files.give_out(self.db, ANNA, now=NOW))
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(rows[0][:4], ["target_value", "reason", "expires", "detail"])
        self.assertEqual(rows[2][:4], ["'=cmd@far.test", "manual", "2026-11-21T07:30:00Z", "'=1+1"])
        self.assertEqual(self.done(self.take(text, ROOT, account_id=0)).inserted, 2)
        shown = self.done(suppressions.show(self.db, ROOT, "=cmd@far.test", now=NOW, account_id=0))
        self.assertEqual((shown.detail, shown.expires), ("=1+1", NOW + DAY))
        self.assertEqual(len(self.done(suppression_files.give_out(self.db, BERT, now=NOW)).splitlines()), 1)


@given(st.text(alphabet="'=+-@\t\ra", max_size=6))
def test_guard(cell: str) -> None:
    """No cell that goes out is a formula, and each comes back as it was."""
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(cell)) == cell
