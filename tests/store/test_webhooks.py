"""Reading on in what happened, and the queue of what is told."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.store.directory import versions, webhooks
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic import happenings, messages, quarantine, webhook_queue
from jetmail.store.traffic.deliveries import Attempted, record
from jetmail.store.traffic.happenings import Position
from jetmail.store.traffic.webhook_queue import BACKLOG, Bounds, Figures, NewEvent, Told
from tests.store.samples import delivery, memory_store, message


class DirectoryTests(SynchronousTestCase):
    """Rows of the directory."""

    def test_rows(self) -> None:
        """What is written is read, each change bumps the version, and secrets do not show in logs."""
        conn = memory_store().connection
        before = versions.directory_version(conn)
        hook = Webhook("u1", None, "all", "https://a.test/", "s1", "s0", 50.0, ("*",), ("x",), ("a.test",), True, False, 1.0, 1.0, 1.0)
        webhooks.add(conn, hook)
        self.assertEqual(webhooks.get(conn, "u1"), hook)
        webhooks.save(conn, Webhook("u1", 1, "mine", "https://b.test/", "s2", is_enabled=False))
        self.assertEqual([found.name for found in webhooks.listing(conn, [1])], ["mine"])
        self.assertEqual((webhooks.enabled(conn), webhooks.count(conn, 1), webhooks.count(conn, None)), ((), 1, 0))
        webhooks.remove(conn, "u1")
        self.assertEqual(webhooks.listing(conn), ())
        self.assertEqual(versions.directory_version(conn), before + 3)
        self.assertNotIn("s1", repr(hook))
        self.assertEqual((hook.secrets(49.0), hook.secrets(50.0)), (("s1", "s0"), ("s1",)))

    def test_names(self) -> None:
        """A name is one per account, and the appliance has names of its own."""
        conn = memory_store().connection
        for uuid, account in (("a", 1), ("b", 2), ("c", None)):
            webhooks.add(conn, Webhook(uuid, account, "same", "https://a.test/", "s"))
        for uuid, account in (("d", 1), ("e", None)):
            with self.assertRaisesRegex(sqlite3.IntegrityError, "webhooks_name"):
                webhooks.add(conn, Webhook(uuid, account, "same", "https://a.test/", "s"))
        self.assertEqual(len(webhooks.named(conn, "same")), 3)


class HappeningsTests(SynchronousTestCase):
    """What is read, and from where."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.conn = self.db.connection

    def accept(self, number: int, *deliveries: Any, **other: Any) -> Any:
        """A message received at that second."""
        return messages.accept(self.conn, message(number, *deliveries, **other))

    def first(self) -> list[tuple[str, str]]:
        """(recipient's name, status as it came) of everything."""
        return [(found.recipient.partition("@")[0], found.status) for found in happenings.deliveries_after(self.conn, 0, 100)[1]]

    def test_first_status(self) -> None:
        """What was decided at first is found whatever happened since: delivery, refusal, release, deletion, expiry."""
        words = ("queued", "blocked", "rejected", "spam", "quarantined", "delivered")
        self.accept(100, *[delivery(f"{word}@a.test", word, reason="why") for word in words])
        self.accept(200, delivery("kept@a.test", "spam", held=True), delivery("q1@a.test", "quarantined"), delivery("q2@a.test", "quarantined"))
        expected = [(word, word) for word in words] + [("kept", "spam"), ("q1", "quarantined"), ("q2", "quarantined")]
        self.assertEqual(self.first(), expected)
        ids = {row[1].partition("@")[0]: row for row in self.conn.execute("SELECT id, recipient, message_id FROM deliveries")}
        record(self.conn, [Attempted(ids["queued"][0], ids["queued"][2], 101.0, "delivered", "accepted", "250 OK")])
        quarantine.release(self.conn, 300.0, [ids["kept"][0], ids["q1"][0]], "ann")
        quarantine.delete(self.conn, 300.0, [ids["q2"][0]], "ann")
        record(self.conn, [Attempted(ids["q1"][0], ids["q1"][2], 301.0, "rejected", "refused", "550 no")])
        self.assertEqual(self.first(), expected)

    def test_reason(self) -> None:
        """A refusal at the door tells its reason and reply; a delivery that has been tried since tells nothing of that as how it came."""
        self.accept(100, delivery("a@a.test", "blocked", reason="block-rule", reply="550 no"), delivery("b@a.test"))
        record(self.conn, [Attempted(2, 1, 101.0, "rejected", "refused", "554 go away")])
        found = happenings.deliveries_after(self.conn, 0, 100)[1]
        self.assertEqual([(item.status, item.reason, item.reply) for item in found], [("blocked", "block-rule", "550 no"), ("queued", "", "")])

    def test_events(self) -> None:
        """Events come with their message and delivery, those of the whole message without a recipient; what is no JSON is no reason to stop."""
        self.accept(100, user="u1")
        messages.add_event(self.conn, 1, 1, 101.0, "attempt", {"result": "later"})
        messages.add_event(self.conn, 1, None, 102.0, "complaint", {"recipient": "x@y.test"})
        self.conn.execute(
            "INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (1, 1, 103, 'hold', 'no json'), (9, 9, 104, 'x', '{}')"
        )
        last, found = happenings.events_after(self.conn, 0, 100)
        self.assertEqual(last, 4)
        self.assertEqual([(item.kind, item.at, item.recipient, item.detail, item.user) for item in found], [
            ("attempt", 101.0, "ann@demo.test", {"result": "later"}, "u1"), ("complaint", 102.0, "", {"recipient": "x@y.test"}, "u1"),
            ("hold", 103.0, "ann@demo.test", {}, "u1"),
        ])  # fmt: skip

    def test_steps(self) -> None:
        """So many at a time, and on from there."""
        for number in range(1, 6):
            self.accept(number)
        last, found = happenings.deliveries_after(self.conn, 0, 2)
        self.assertEqual((last, len(found)), (2, 2))
        last, found = happenings.deliveries_after(self.conn, 4, 2)
        self.assertEqual((last, len(found)), (5, 1))
        self.assertEqual(happenings.deliveries_after(self.conn, 5, 2), (5, ()))

    def test_position_at(self) -> None:
        """Everything that happened from a time on lies behind the position of that time, gaps or not."""
        self.assertEqual(happenings.position_at(self.conn, 5.0), Position(0, 0))
        for number in range(1, 41):
            self.accept(number)
            messages.add_event(self.conn, number, number, number + 0.5, "attempt", {})
        for gone in (1, 2, 3, 9, 10, 11, 39):
            self.conn.execute("DELETE FROM deliveries WHERE id = ?", (gone,))
            self.conn.execute("DELETE FROM events WHERE id = ?", (gone,))
        for at in range(43):
            found = happenings.position_at(self.conn, float(at))
            wanted = [number for number in range(4, 41) if number >= at and number not in (9, 10, 11, 39)]
            behind = [item.row for item in happenings.deliveries_after(self.conn, found.delivery, 100)[1]]
            self.assertEqual(behind, wanted, at)
            self.assertLessEqual(found.event, min(wanted, default=40))


class QueueTests(SynchronousTestCase):
    """Events on their way."""

    def setUp(self) -> None:
        self.conn = memory_store().connection

    def add(self, *numbers: int, hook: str = "h", bounds: Bounds = Bounds()) -> dict[str, int]:
        """Events of those numbers at 100."""
        news = [NewEvent(hook, f"evt_{number}", "inbound.received", b"{}") for number in numbers]
        return webhook_queue.add(self.conn, news, Position(7, 8), 100.0, bounds)

    def test_add(self) -> None:
        """With the position in one go; the same event again is nothing new."""
        self.assertIsNone(webhook_queue.position(self.conn))
        self.assertEqual(self.add(1, 2, 1), {})
        self.add(2)
        self.assertEqual(webhook_queue.position(self.conn), Position(7, 8))
        self.assertEqual([due.event for due in webhook_queue.due(self.conn, "h", 100.0, 10)], ["evt_1", "evt_2"])
        self.assertEqual(webhook_queue.due(self.conn, "h", 99.0, 10), [])

    def test_bounds(self) -> None:
        """Beyond the backlog the oldest are dead letters that say why; of these, and of those taken, the newest are kept."""
        self.assertEqual(self.add(*range(10), bounds=Bounds(4, 3, 2)), {"h": 6})
        self.add(1, hook="other")
        dead = webhook_queue.listing(self.conn, "h", ["dead"])
        self.assertEqual([(row.event, row.error) for row in dead], [(f"evt_{number}", BACKLOG) for number in (5, 4, 3)])
        self.assertEqual(webhook_queue.figures(self.conn, "h"), Figures(4, 0, 3, 100.0))
        for due in webhook_queue.due(self.conn, "h", 100.0, 10):
            webhook_queue.record(self.conn, Told(due.id, "delivered", 200, "", 101.0))
        self.add(20, bounds=Bounds(4, 3, 2))
        self.assertEqual(webhook_queue.figures(self.conn, "h"), Figures(1, 2, 3, 100.0))
        self.assertEqual(webhook_queue.figures(self.conn, "other"), Figures(1, 0, 0, 100.0))

    def test_claim(self) -> None:
        """An attempt is counted and put off before it is made; what is not waiting cannot be claimed."""
        self.add(1, 2)
        webhook_queue.record(self.conn, Told(2, "dead", 404, "answered 404", 101.0))
        self.assertEqual(webhook_queue.claim(self.conn, [(1, 130.0), (2, 130.0)]), {1})
        self.assertEqual(webhook_queue.due(self.conn, "h", 129.0, 10), [])
        (due,) = webhook_queue.due(self.conn, "h", 130.0, 10)
        self.assertEqual(due.attempts, 1)
        webhook_queue.unclaim(self.conn, 1, 105.0)
        self.assertEqual([item.attempts for item in webhook_queue.due(self.conn, "h", 105.0, 10)], [0])

    def test_record(self) -> None:
        """Later, dead, delivered; nothing takes back that it was delivered."""
        self.add(1)
        webhook_queue.record(self.conn, Told(1, "waiting", 500, "x" * 999, 101.0, 131.0))
        row = webhook_queue.get(self.conn, "h", "evt_1")
        assert row is not None
        self.assertEqual((row.status, len(row.error), row.next_attempt, row.finished), (500, 300, 131.0, None))
        webhook_queue.record(self.conn, Told(1, "dead", 500, "", 102.0))
        webhook_queue.record(self.conn, Told(1, "delivered", 200, "", 103.0))
        webhook_queue.record(self.conn, Told(1, "dead", 500, "", 104.0))
        webhook_queue.unclaim(self.conn, 1, 105.0)
        row = webhook_queue.get(self.conn, "h", "evt_1")
        assert row is not None
        self.assertEqual((row.state, row.status, row.finished), ("delivered", 200, 103.0))

    def test_again(self) -> None:
        """Dead letters are as new: all of a webhook, or some; nothing else is."""
        self.add(1, 2, 3)
        self.add(1, hook="other")
        for row_id in (1, 2, 4):
            webhook_queue.claim(self.conn, [(row_id, 130.0)])
            webhook_queue.record(self.conn, Told(row_id, "dead", 404, "no", 101.0))
        self.assertEqual([row.event for row in webhook_queue.again(self.conn, "h", 200.0, [1, 3, 4])], ["evt_1"])
        self.assertEqual([row.event for row in webhook_queue.again(self.conn, "h", 200.0)], ["evt_2"])
        self.assertEqual([(due.id, due.attempts) for due in webhook_queue.due(self.conn, "h", 200.0, 9)], [(3, 0), (1, 0), (2, 0)])
        self.assertEqual(webhook_queue.body_of(self.conn, 1), b"{}")

    def test_forgotten(self) -> None:
        """Dead letters and what was taken go after their time, a webhook's rows with it; what waits stays."""
        self.add(1, 2, 3)
        self.add(1, hook="other")
        webhook_queue.record(self.conn, Told(1, "dead", 404, "", 10.0))
        webhook_queue.record(self.conn, Told(2, "delivered", 200, "", 20.0))
        self.assertEqual(webhook_queue.known(self.conn), ("h", "other"))
        self.assertEqual(webhook_queue.waiting(self.conn), ("h", "other"))
        plan = self.conn.execute("EXPLAIN QUERY PLAN SELECT min(webhook) FROM webhook_queue WHERE webhook > 'x'").fetchone()[3]
        self.assertIn("SEARCH", plan)
        self.assertEqual(webhook_queue.expire(self.conn, "h", 10.0, 20.0), 0)
        self.assertEqual(webhook_queue.expire(self.conn, "h", 11.0, 21.0, 1), 1)
        self.assertEqual(webhook_queue.expire(self.conn, "h", 11.0, 21.0), 1)
        self.assertEqual((webhook_queue.forget(self.conn, "h"), webhook_queue.forget(self.conn, "h")), (1, 0))
        self.assertEqual(webhook_queue.known(self.conn), ("other",))

    def test_put(self) -> None:
        """What did not come of mail leaves the position alone."""
        webhook_queue.put(self.conn, NewEvent("h", "evt_t", "webhook.test", json.dumps({}).encode()), 5.0)
        self.assertIsNone(webhook_queue.position(self.conn))
        self.assertEqual(len(webhook_queue.due(self.conn, "h", 5.0, 9)), 1)
