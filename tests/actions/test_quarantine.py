"""What was held back is found by who may, let go once, deleted, expired; and its content lives exactly as long as somebody may still want it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import quarantine
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.jobs.quarantine import QuarantineJob
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import deliveries, lanes
from jetmail.store.traffic.messages import Content, accept
from jetmail.store.traffic.quarantine import Wanted
from tests.store.samples import delivery, memory_store, message

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
USER = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))
NOBODY = Actor("portal", "eve@x.test")
NOW = 1_000_000.0
DAY = 86_400.0


class QuarantineTests(SynchronousTestCase):
    """One message held for Ann and Bob and on its way to Eve; one refused for its score of which a copy is kept; one delivered."""

    def setUp(self) -> None:
        """The quarantine."""
        self.db = memory_store()
        self.conn = self.db.connection
        self.store = MemoryStore(lambda: "x")
        self.store.files["spooledfile"] = b"body"
        domains.add(self.conn, Domain("demo.test"))
        held = [delivery(f"{name}@demo.test", "quarantined", reason="suspect") for name in ("Ann", "bob")]
        content = Content(8, None, header=b"A:\r\n", spool="spooledfile")
        self.held = accept(self.conn, message(1, *held, delivery("eve@other.test"), content=content, subject="Prize", score=8.0, received=NOW))
        kept = delivery("ann@demo.test", "spam", reason="spam", reply="554 5.7.1 no", held=True)
        self.kept = accept(self.conn, message(2, kept, subject="Worse", score=20.0, received=NOW + 1))
        accept(self.conn, message(3, delivery("ann@demo.test", "delivered"), received=NOW + 2))
        accept(self.conn, message(4, delivery("ann@demo.test", "spam"), content=None, received=NOW + 3))

    def done(self, deferred: Any) -> Any:
        """What came of it."""
        return self.successResultOf(deferred)

    def found(self, actor: Actor, **wanted: Any) -> list[tuple[str, str]]:
        """(recipient, status) of what is kept."""
        return [(item.recipient, item.status) for item in self.done(quarantine.listing(self.db, actor, Wanted(**wanted), now=NOW))]

    def release(self, actor: Actor = ROOT, train: Any = None, **wanted: Any) -> list[str]:
        """Recipients released."""
        return [item.recipient for item in self.done(quarantine.release(self.db, actor, Wanted(**wanted), now=NOW + 50, train=train))]

    def row(self, recipient: str) -> tuple[Any, ...]:
        """A delivery's status and clock."""
        query = "SELECT status, queued, next_attempt, attempts, finished, sender FROM deliveries d JOIN messages m ON m.id = d.message_id"
        return self.conn.execute(query + " WHERE recipient = ? ORDER BY d.id LIMIT 1", (recipient,)).fetchone()

    def test_scope(self) -> None:
        """An administrator and an owner see what is theirs and refused spam too, a person their own held mail, a stranger nothing."""
        everything = [("ann@demo.test", "spam"), ("bob@demo.test", "quarantined"), ("Ann@demo.test", "quarantined")]
        self.assertEqual(self.found(ROOT), everything)
        self.assertEqual(self.found(OWNER), everything)
        self.assertEqual(self.found(USER), [("Ann@demo.test", "quarantined")])
        self.assertEqual(self.found(NOBODY), [])
        self.assertEqual(self.done(quarantine.count(self.db, OWNER, Wanted(domain="demo.test"), now=NOW)), 3)

    def test_recipient_stands_for_a_mailbox(self) -> None:
        """Looked for by recipient: mail with any tag, at an alias domain, by an alias too; of an alias for two, what goes to that one."""
        ways = {"Zoe+news@demo.test": "Zoe+news@demo.test", "zoe+x@alias.test": "zoe+x@demo.test", "info@demo.test": "zoe@demo.test"}
        rows = [delivery(recipient, "quarantined")._replace(target=target) for recipient, target in ways.items()]
        rows += [delivery("info@demo.test", "quarantined")._replace(target="bob@demo.test"), delivery("azoe@demo.test", "quarantined")]
        accept(self.conn, message(5, *rows, received=NOW + 4))
        self.assertEqual([recipient for recipient, _ in self.found(ROOT, recipient="ZOE@demo.test")], [*ways][::-1])
        self.assertEqual([recipient for recipient, _ in self.found(ROOT, recipient="zoe+news@demo.test")], ["Zoe+news@demo.test"])
        self.assertEqual([recipient for recipient, _ in self.found(ROOT, recipient="info@demo.test")], ["info@demo.test"] * 2)

    def test_scope_follows_tag_and_alias_domain(self) -> None:
        """A person's mail is also what came to their address with a tag, or at an alias domain; not what came to somebody with a longer name."""
        domains.add(self.conn, Domain("alias.test", kind="alias", alias_of="demo.test"))
        for number, address in enumerate(("Ann+shop@demo.test", "ann@alias.test", "ann+x@alias.test", "anna+ann@demo.test", '"ann+q"@demo.test')):
            accept(self.conn, message(10 + number, delivery(address, "quarantined", reason="suspect"), received=NOW + 10 + number))
        own = ["ann+x@alias.test", "ann@alias.test", "Ann+shop@demo.test", "Ann@demo.test"]
        self.assertEqual([recipient for recipient, _ in self.found(USER)], own)
        self.assertEqual(sorted(self.release(USER, recipient="ann+x@alias.test")), ["ann+x@alias.test"])
        self.assertEqual([recipient for recipient, _ in self.found(USER)], own[1:])

    def test_search(self) -> None:
        """Every criterion narrows, and all must hold."""
        for wanted, number in (
            ({"recipient": "ANN@demo.test"}, 2), ({"text": "priz"}, 2), ({"text": "100%"}, 0), ({"sender": "bob@ex"}, 3), ({"score_min": 9.0}, 1),
            ({"score_max": 9.0, "recipient": "ann@demo.test"}, 1), ({"older_than": 1e9}, 0),
            ({"uids": (self.held.uid,)}, 2), ({"domain": "other.test"}, 0),
        ):  # fmt: skip
            self.assertEqual(len(self.found(ROOT, **wanted)), number, wanted)

    def test_release_of_one_of_two(self) -> None:
        """It is queued with the original envelope, due now, with five days that start now; the other recipient stays held, and the content stays."""
        self.assertEqual(self.release(USER, uids=(self.held.uid,)), ["Ann@demo.test"])
        self.assertEqual(self.row("Ann@demo.test"), ("queued", NOW + 50, NOW + 50, 0, None, "bob@example.org"))
        self.assertEqual(self.row("bob@demo.test")[0], "quarantined")
        ((facts, due),) = deliveries.due(self.conn, NOW + 50, "demo.test", 10)
        self.assertEqual((facts.sender, due.recipient, due.queued), ("bob@example.org", "Ann@demo.test", NOW + 50))
        self.assertGreater(lanes.version(self.conn), 1, "the running queue looks")
        kind, detail = self.conn.execute("SELECT kind, detail FROM events").fetchone()
        self.assertEqual((kind, json.loads(detail)), ("released", {"by": "ann@demo.test", "was": "quarantined"}))
        action, obj = self.conn.execute("SELECT action, object FROM audit").fetchone()
        self.assertEqual((action, obj), ("quarantine.release", f"message {self.held.uid}"))

    def test_second_release_is_refused(self) -> None:
        """Once released it is not in the quarantine, whatever has become of it since."""
        self.release(USER, uids=(self.held.uid,))
        failure = self.failureResultOf(quarantine.release(self.db, USER, Wanted(uids=(self.held.uid,)), now=NOW + 60), ConflictError)
        self.assertIn("queued", failure.getErrorMessage())
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(ids=(1,)), now=NOW + 60), ConflictError)
        self.assertEqual(self.conn.execute("SELECT count(*) FROM events").fetchone(), (1,))

    def test_what_was_never_kept(self) -> None:
        """Delivered mail and refused spam without a copy cannot be released; what is out of scope does not exist; nothing named changes nothing."""
        for number in (3, 4):
            self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(uids=(f"{number:020x}",)), now=NOW), ConflictError)
        for actor, uid in ((NOBODY, self.held.uid), (ROOT, "f" * 20)):
            self.failureResultOf(quarantine.release(self.db, actor, Wanted(uids=(uid,)), now=NOW), NotFoundError)
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(ids=(99,)), now=NOW), NotFoundError)
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(), now=NOW), UsageError)
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(ids=tuple(range(9_999))), now=NOW), UsageError)
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(uids=(self.held.uid, "f" * 20)), now=NOW), NotFoundError)
        self.assertEqual(len(self.found(ROOT)), 3, "all or nothing of what is named")

    def test_refused_spam_is_its_owner_s(self) -> None:
        """A person cannot release what was refused to them for its score; the owner of the domain can."""
        self.failureResultOf(quarantine.release(self.db, USER, Wanted(uids=(self.kept.uid,)), now=NOW), ConflictError)
        self.assertEqual(self.release(OWNER, uids=(self.kept.uid,)), ["ann@demo.test"])

    def test_release_and_train(self) -> None:
        """Training comes first, once for each recipient; when it fails nothing is released."""
        taught: list[str] = []

        async def train(item: Any) -> None:
            taught.append(item.recipient)
            if item.recipient == "bob@demo.test":
                raise ConflictError("cannot learn")

        self.assertEqual(self.release(USER, train, uids=(self.held.uid,)), ["Ann@demo.test"])
        self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(uids=(self.held.uid,)), now=NOW, train=train), ConflictError)
        self.assertEqual((taught, self.row("bob@demo.test")[0]), (["Ann@demo.test", "bob@demo.test"], "quarantined"))

    def test_content_lives_while_anybody_may_want_it(self) -> None:
        """It goes with the last unfinished delivery of its message, delivered, deleted or expired, and its file with it."""
        ended = [
            deliveries.Attempted(item.id, item.message_id, NOW, "delivered", "accepted", "250 ok", content_id=1, spool="spooledfile")
            for item in self.held.deliveries
        ]
        self.assertEqual(deliveries.record(self.conn, ended), [], "two are still held")
        self.done(quarantine.delete(self.db, USER, Wanted(uids=(self.held.uid,)), now=NOW, store=self.store))
        self.assertEqual(list(self.store.files), ["spooledfile"])
        (gone,) = self.done(quarantine.delete(self.db, ROOT, Wanted(uids=(self.held.uid,)), now=NOW, store=self.store))
        self.assertEqual((gone.recipient, list(self.store.files)), ("bob@demo.test", []))
        self.assertEqual(self.row("bob@demo.test")[0], "quarantined", "the log still says what became of it")
        failure = self.failureResultOf(quarantine.release(self.db, ROOT, Wanted(uids=(self.held.uid,)), now=NOW), ConflictError)
        self.assertIn("deleted", failure.getErrorMessage())

    def test_many(self) -> None:
        """A selection larger than one transaction takes is worked through to its end."""
        for number in range(10, 10 + 2 * quarantine.PORTION):
            accept(self.conn, message(number, delivery("zoe@demo.test", "quarantined"), received=NOW))
        self.assertEqual(len(self.release(OWNER, recipient="zoe@demo.test")), 2 * quarantine.PORTION)
        self.assertEqual(self.found(ROOT, recipient="zoe@demo.test"), [])

    def test_expiry(self) -> None:
        """What is thirty days old is given up, also where the id says it is young; what is younger stays, and the row tells of it."""
        old = accept(self.conn, message(9, delivery("old@demo.test", "quarantined"), received=NOW - 31 * DAY))
        job = QuarantineJob(self.db, self.store, lambda: NOW)
        self.assertEqual(self.done(job.run()), 1)
        self.assertEqual(self.row("old@demo.test")[::4], ("quarantined", NOW))
        self.assertEqual(self.conn.execute("SELECT content_id FROM messages WHERE id = ?", (old.id,)).fetchone(), (None,))
        self.assertEqual(len(self.found(ROOT)), 3)
        later = QuarantineJob(self.db, self.store, lambda: NOW + 31 * DAY)
        self.assertEqual((self.done(later.run()), self.found(ROOT)), (3, []))
        self.assertEqual(list(self.store.files), ["spooledfile"], "one of its recipients is still queued")

    def test_index(self) -> None:
        """The quarantine is found by its own index, not by a walk over the log."""
        plan = self.conn.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM deliveries AS d WHERE d.finished IS NULL AND d.status IN ('quarantined', 'spam')"
        ).fetchall()
        self.assertIn("deliveries_kept", plan[0][3])
