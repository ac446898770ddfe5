"""Requests that bear a key."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions.idempotency import KEPT, Keys
from jetmail.errors import ConflictError, UsageError
from jetmail.jobs.retention import RetentionJob
from jetmail.spool.files import MemoryStore
from tests.store.samples import memory_store

ONE, TWO = b"1" * 32, b"2" * 32


def answer(uid: str, reply: str) -> dict[str, Any]:
    """What is answered."""
    return {"id": uid, "reply": reply}


class KeysTests(SynchronousTestCase):
    """A store and a clock."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.now = 1_700_000_000.0
        self.keys = Keys(self.db, lambda: self.now)

    def accept(self, key: str, request: bytes = ONE, token_id: int = 1, item: int = 0, uid: str = "u1") -> None:
        """A request that was accepted."""
        claim = self.keys.claim(token_id, key)
        self.successResultOf(self.db.run(claim.remember(request, answer, item), uid, "250 OK"))
        claim.end()

    def asked(self, key: str, request: bytes = ONE, token_id: int = 1, item: int = 0) -> Any:
        """What was answered before."""
        claim = self.keys.claim(token_id, key)
        try:
            return claim.answered(request, item)
        finally:
            claim.end()

    def test_again(self) -> None:
        """The same request gets the same answer for a day, by item, and for its own token only."""
        self.assertIsNone(self.asked("k"))
        self.accept("k")
        self.accept("k", item=3, uid="u3")
        self.assertEqual(self.asked("k"), {"id": "u1", "reply": "250 OK"})
        self.assertEqual(self.asked("k", item=3)["id"], "u3")
        self.assertIsNone(self.asked("k", item=2))
        self.assertIsNone(self.asked("k", token_id=2))
        self.now += KEPT
        self.assertIsNone(self.asked("k"))
        self.accept("k", TWO, uid="u9")
        self.assertEqual(self.asked("k", TWO)["id"], "u9")

    def test_another_request(self) -> None:
        """One key for another request is refused, whichever item it is about."""
        self.accept("k")
        for item in (0, 1):
            with self.assertRaises(UsageError) as caught:
                self.asked("k", TWO, item=item)
            self.assertEqual(caught.exception.field, "Idempotency-Key")

    def test_at_once(self) -> None:
        """A second request with a key that is under way is turned away, until the first is over."""
        claim = self.keys.claim(1, "k")
        self.assertRaises(ConflictError, self.keys.claim, 1, "k")
        self.keys.claim(2, "k").end()
        claim.end()
        claim.end()
        self.keys.claim(1, "k").end()
        self.assertEqual(len(self.keys), 0)

    def test_race(self) -> None:
        """Should somebody have sent the same all the same, the transaction fails and nothing of it stays."""
        claim = self.keys.claim(1, "k")
        self.successResultOf(self.db.run(claim.remember(ONE, answer), "u1", "250 OK"))
        self.assertTrue(self.failureResultOf(self.db.run(claim.remember(ONE, answer), "u2", "250 OK")))
        claim.end()
        self.assertEqual(self.asked("k")["id"], "u1")

    def test_what_is_a_key(self) -> None:
        """Empty, long, or with anything but printable ASCII: no key."""
        for key in ("", "x" * 201, "a\nb", "é", "a\x7f"):
            self.assertRaises(UsageError, self.keys.claim, 1, key)
        self.keys.claim(1, "x" * 200).end()

    def test_forgotten(self) -> None:
        """What is over a day old is deleted."""
        self.accept("old")
        self.now += KEPT / 2
        self.accept("new")
        self.now += KEPT / 2 + 1
        self.successResultOf(RetentionJob(self.db, MemoryStore(lambda: "x"), lambda: self.now).run())
        self.assertEqual(self.db.connection.execute("SELECT key FROM idempotency").fetchall(), [("new",)])
