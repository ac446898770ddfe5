"""The queue's rows: due, claimed, recorded, administered; lanes."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import UsageError
from jetmail.store.traffic import administration, deliveries, lanes, messages, settlement
from jetmail.store.traffic.administration import Selection
from jetmail.store.traffic.deliveries import Attempted
from jetmail.store.traffic.lanes import LaneState
from jetmail.store.traffic.messages import Content
from jetmail.store.traffic.settlement import Settlement
from tests.store.samples import delivery, memory_store, message


class Rows(SynchronousTestCase):
    def setUp(self) -> None:
        self.conn = memory_store().connection

    def accept(self, number: int, *recipients: str, **other: Any) -> messages.Accepted:
        values: dict[str, Any] = {"claimed": False} | other
        return messages.accept(self.conn, message(number, *[delivery(item) for item in recipients], **values))

    def one(self, sql: str) -> Any:
        return self.conn.execute(sql).fetchone()

    def plan(self, sql: str, *values: Any) -> str:
        return " ".join(row[3] for row in self.conn.execute("EXPLAIN QUERY PLAN " + sql, values))


class Due(Rows):
    def test_due(self) -> None:
        """Only queued, unheld deliveries of the destination that are due, the longest due first, with their message."""
        self.accept(3, "c@demo.test")
        self.accept(1, "a@demo.test", "a2@demo.test")
        self.accept(2, "b@other.test")
        self.accept(9, "late@demo.test")
        self.conn.execute("UPDATE deliveries SET held = 1 WHERE recipient = 'a2@demo.test'")
        found = deliveries.due(self.conn, 5.0, "demo.test", 10)
        self.assertEqual([(facts.uid[-1], due.recipient) for facts, due in found], [("1", "a@demo.test"), ("3", "c@demo.test")])
        facts, due = found[0]
        self.assertEqual((facts.sender, facts.smtputf8, facts.direction, due.attempts, due.queued), ("bob@example.org", False, "inbound", 0, 1.0))
        self.assertEqual(len(deliveries.due(self.conn, 5.0, "demo.test", 1)), 1)

    def test_claim(self) -> None:
        """A claim counts the attempt and sets the next time, and leaves what was held, ended or asked back meanwhile."""
        ids = [item.id for item in self.accept(1, *[f"u{number}@demo.test" for number in range(4)]).deliveries]
        self.conn.execute("UPDATE deliveries SET held = 1 WHERE id = ?", ids[1:2])
        self.conn.execute("UPDATE deliveries SET status = 'delivered' WHERE id = ?", ids[2:3])
        self.conn.execute("UPDATE deliveries SET reason = 'operator' WHERE id = ?", ids[3:4])
        self.assertEqual(deliveries.claim(self.conn, [(item, 77.0) for item in ids]), {ids[0]})
        self.assertEqual(self.one("SELECT attempts, next_attempt FROM deliveries WHERE id = 1"), (1, 77.0))
        deliveries.unclaim(self.conn, [(ids[0], 5.0, "connect", "451 refused")])
        self.assertEqual(self.one("SELECT attempts, next_attempt, reason, reply FROM deliveries WHERE id = 1"), (0, 5.0, "connect", "451 refused"))

    def test_still_queued(self) -> None:
        """What people held, deleted or sent back is not."""
        ids = [item.id for item in self.accept(1, "a@demo.test", "b@demo.test").deliveries]
        self.conn.execute("UPDATE deliveries SET held = 1 WHERE id = ?", ids[:1])
        self.assertEqual(deliveries.still_queued(self.conn, [*ids, 99]), {ids[1]})

    def test_plan(self) -> None:
        """Looking for due mail and for destinations reads an index, never the table."""
        plan = self.plan(deliveries._DUE + " AND d.next_attempt <= ?", "a", 1)
        self.assertIn("USING INDEX deliveries_due (destination=? AND next_attempt<?)", plan)


class Recorded(Rows):
    def test_delivered(self) -> None:
        """A delivery that ends writes its row and event and frees the content."""
        accepted = self.accept(1, "a@demo.test")
        gone = deliveries.record(
            self.conn,
            [Attempted(1, accepted.id, 50.0, "delivered", "accepted", "250 ok", events=(("attempt", "{}"),), content_id=accepted.facts.content_id)],
        )
        self.assertEqual(gone, [])
        self.assertEqual(self.one("SELECT status, reason, reply, finished FROM deliveries"), ("delivered", "accepted", "250 ok", 50.0))
        self.assertEqual(self.one("SELECT delivery_id, at, kind, detail FROM events"), (1, 50.0, "attempt", "{}"))
        self.assertEqual(self.one("SELECT count(*) FROM content"), (0,))
        self.assertEqual(self.one("SELECT content_id FROM messages"), (None,))

    def test_statements(self) -> None:
        """One delivered message is four statements, and so are a hundred."""
        said: list[str] = []
        for number in (1, 100):
            many = [self.accept(number * 1000 + index, "a@demo.test") for index in range(number)]
            said.clear()
            self.conn.set_trace_callback(said.append)
            deliveries.record(
                self.conn,
                [Attempted(item.deliveries[0].id, item.id, 1.0, "delivered", "accepted", "250", events=(("attempt", "{}"),),
                           content_id=item.facts.content_id) for item in many],
            )  # fmt: skip
            self.conn.set_trace_callback(None)
            self.assertEqual(len({text.split()[0] + text.split()[1] for text in said}), 4)
            self.assertEqual(len(said), 4 * number)

    def test_quarantine_keeps_content(self) -> None:
        """Content stays while another recipient's copy is quarantined."""
        accepted = messages.accept(self.conn, message(1, delivery("a@demo.test"), delivery("b@demo.test", "quarantined")))
        deliveries.record(self.conn, [Attempted(1, accepted.id, 1.0, "delivered", "accepted", "250", content_id=accepted.facts.content_id)])
        self.assertEqual(self.one("SELECT count(*) FROM content"), (1,))

    def test_spool(self) -> None:
        """The file's name comes back when its row is gone, and not before."""
        content = Content(9, None, b"h", "file1", 0)
        accepted = self.accept(1, "a@demo.test", "b@demo.test", content=content)
        first, second = (
            Attempted(item.id, accepted.id, 1.0, "delivered", "accepted", "250", content_id=accepted.facts.content_id, spool="file1")
            for item in accepted.deliveries
        )
        self.assertEqual(deliveries.record(self.conn, [first]), [])
        self.assertEqual(deliveries.record(self.conn, [second]), ["file1"])

    def test_later(self) -> None:
        """A deferred delivery keeps its content and shows reason, reply and next time."""
        accepted = self.accept(1, "a@demo.test")
        deliveries.record(self.conn, [Attempted(1, accepted.id, 1.0, "queued", "deferred", "451 wait", 99.0, delay_notified=True)])
        self.assertEqual(
            self.one("SELECT status, reason, reply, next_attempt, held, delay_notified FROM deliveries"),
            ("queued", "deferred", "451 wait", 99.0, 0, 1),
        )
        self.assertEqual(self.one("SELECT count(*) FROM content"), (1,))

    def test_operator_overrules(self) -> None:
        """What people decided during an attempt stands, unless the peer took the mail."""
        accepted = self.accept(1, "a@demo.test", "b@demo.test", "c@demo.test")
        self.conn.execute("UPDATE deliveries SET reason = 'operator', next_attempt = 5 WHERE id = 1")
        self.conn.execute("UPDATE deliveries SET status = 'rejected', reason = 'operator' WHERE id IN (2, 3)")
        deliveries.record(
            self.conn,
            [
                Attempted(1, accepted.id, 1.0, "queued", "deferred", "451", 99.0),
                Attempted(2, accepted.id, 1.0, "rejected", "refused", "550"),
                Attempted(3, accepted.id, 1.0, "delivered", "accepted", "250"),
            ],
        )
        self.assertEqual(
            self.conn.execute("SELECT status, reason, next_attempt FROM deliveries").fetchall(),
            [("queued", "operator", 5.0), ("rejected", "operator", 1.0), ("delivered", "accepted", 1.0)],
        )

    def test_settle(self) -> None:
        """Outcome, report and lanes are one call; a report that cannot be stored takes the outcome back with it."""
        db = memory_store()
        self.conn = db.connection
        accepted = self.accept(1, "a@demo.test")
        ended = Attempted(1, accepted.id, 1.0, "rejected", "refused", "550", content_id=accepted.facts.content_id)
        report = message(2, delivery("bob@example.org"), sender="", claimed=False)
        self.failureResultOf(db.run(settlement.settle, 1.0, Settlement((ended,), (report, report))))
        self.assertEqual(self.one("SELECT status FROM deliveries"), ("queued",))
        result = self.successResultOf(db.run(settlement.settle, 1.0, Settlement((ended,), (report,), down=(LaneState("x.test", 1, 1.0, 61.0),))))
        self.assertEqual(result.reports[0].deliveries[0].recipient, "bob@example.org")
        self.assertEqual(self.one("SELECT status FROM deliveries"), ("rejected",))
        self.assertEqual([item.name for item in lanes.states(self.conn)], ["x.test"])


class Lanes(Rows):
    def test_following(self) -> None:
        """Destinations with waiting mail in order of name, each with its first due time; held and ended mail does not count."""
        for number, name in enumerate(("b.test", "a.test", "c.test", "a.test", "d.test"), 1):
            self.accept(number, f"u@{name}")
        self.conn.execute("UPDATE deliveries SET held = 1 WHERE destination = 'c.test'")
        self.conn.execute("UPDATE deliveries SET status = 'delivered' WHERE destination = 'd.test'")
        self.assertEqual(lanes.following(self.conn, "", 10), [("a.test", 2.0), ("b.test", 1.0)])
        self.assertEqual(lanes.following(self.conn, "a.test", 10), [("b.test", 1.0)])
        self.assertEqual(lanes.following(self.conn, "", 1), [("a.test", 2.0)])

    def test_state(self) -> None:
        """A lane is remembered down, forgotten when it is up, and a suspension outlives both."""
        self.assertEqual(lanes.state(self.conn, "a.test"), (LaneState("a.test"), False))
        down = LaneState("a.test", 2, 10.0, 70.0, "connect", "451 refused")
        lanes.save(self.conn, down)
        self.assertEqual(lanes.state(self.conn, "a.test")[0], down)
        lanes.suspend(self.conn, "a.test")
        lanes.clear(self.conn, "a.test")
        self.assertEqual(lanes.state(self.conn, "a.test")[0], LaneState("a.test", suspended=True))
        lanes.resume(self.conn, "a.test")
        self.assertEqual(lanes.states(self.conn), [])

    def test_wake(self) -> None:
        """Waking makes what failed due, and leaves first attempts under way alone."""
        self.accept(1, "a@demo.test", "b@demo.test", claimed=True)
        self.conn.execute("UPDATE deliveries SET reason = 'connect' WHERE id = 1")
        self.assertEqual(lanes.wake(self.conn, 5.0, "demo.test"), 1)
        self.assertEqual(self.conn.execute("SELECT next_attempt FROM deliveries").fetchall(), [(5.0,), (61.0,)])

    def test_rebase(self) -> None:
        """After the clock went back nothing is due further ahead than the horizon."""
        self.accept(1000, "a@demo.test")
        self.accept(5, "b@demo.test")
        self.assertEqual(lanes.rebase(self.conn, 1.0, 100.0), 1)
        self.assertEqual(self.conn.execute("SELECT next_attempt FROM deliveries").fetchall(), [(1.0,), (5.0,)])

    def test_prune(self) -> None:
        """Old lanes without mail are forgotten, suspended ones and those with mail are not."""
        self.accept(1, "a@kept.test")
        for name in ("kept.test", "gone.test", "held.test"):
            lanes.save(self.conn, LaneState(name, 1, 1.0, 2.0))
        lanes.suspend(self.conn, "held.test")
        self.assertEqual(lanes.prune(self.conn, 10.0), 1)
        self.assertEqual([item.name for item in lanes.states(self.conn)], ["held.test", "kept.test"])


class Administration(Rows):
    def setUp(self) -> None:
        super().setUp()
        for number in range(1, 6):
            self.accept(number, f"u{number}@demo.test", subject=f"about {number}")
        self.accept(6, "x@other.test", sender="Carl@example.org")

    def found(self, now: float = 10.0, **criteria: Any) -> list[str]:
        return [row.recipient for row in administration.select(self.conn, now, Selection(**criteria))]

    def test_select(self) -> None:
        """Each criterion narrows; together they all hold; newest first."""
        self.assertEqual(self.found(destination="other.test"), ["x@other.test"])
        self.assertEqual(self.found(recipient="U2@DEMO.test"), ["u2@demo.test"])
        self.assertEqual(self.found(sender="carl@example.org"), ["x@other.test"])
        self.assertEqual(self.found(older_than=8.0), ["u2@demo.test", "u1@demo.test"])
        self.assertEqual(self.found(uids=(f"{3:020x}",)), ["u3@demo.test"])
        self.assertEqual(self.found(ids=(1, 4)), ["u4@demo.test", "u1@demo.test"])
        self.assertEqual(self.found(text="about 5"), ["u5@demo.test"])
        self.assertEqual(self.found(text="%"), [])
        self.assertEqual(self.found(domains=("other.test",)), ["x@other.test"])
        self.assertEqual(self.found(domains=()), [])
        self.assertEqual(self.found(destination="demo.test", text="about 1"), ["u1@demo.test"])
        self.assertEqual(len(self.found()), 6)

    def test_pages(self) -> None:
        """Pages follow one another by id, and the count is of all."""
        first = administration.select(self.conn, 10.0, Selection(), 4)
        second = administration.select(self.conn, 10.0, Selection(), 4, first[-1].id)
        self.assertEqual([row.id for row in (*first, *second)], [6, 5, 4, 3, 2, 1])
        self.assertEqual(administration.count(self.conn, 10.0, Selection()), 6)

    def test_lane_shows(self) -> None:
        """A row shows the later of its own next time and its destination's, and why that is down."""
        lanes.save(self.conn, LaneState("other.test", 1, 5.0, 500.0, "dns", "451 no answer"))
        (row,) = administration.select(self.conn, 10.0, Selection(destination="other.test"))
        self.assertEqual((row.next_attempt, row.lane_reason, row.lane_reply), (500.0, "dns", "451 no answer"))
        self.assertEqual(administration.reasons(self.conn, 10.0, Selection())[0], ("demo.test", "", 5))

    def test_hold_and_unhold(self) -> None:
        """Held mail is not due; unheld mail is, with a new lifetime; both are events and bump the version."""
        before = lanes.version(self.conn)
        self.assertEqual(administration.hold(self.conn, 10.0, Selection(destination="demo.test"), "ann", 3), 3)
        self.assertEqual(administration.hold(self.conn, 10.0, Selection(destination="demo.test"), "ann", 3), 2)
        self.assertEqual(administration.hold(self.conn, 10.0, Selection(destination="demo.test"), "ann", 3), 0)
        self.assertEqual(len(self.found(held=True)), 5)
        self.assertEqual(deliveries.due(self.conn, 10.0, "demo.test", 9), [])
        self.assertEqual(administration.unhold(self.conn, 20.0, Selection(ids=(2,)), "ann"), 1)
        ((_, due),) = deliveries.due(self.conn, 20.0, "demo.test", 9)
        self.assertEqual((due.id, due.queued), (2, 20.0))
        self.assertGreater(lanes.version(self.conn), before)
        told = self.conn.execute("SELECT kind, detail FROM events WHERE delivery_id = 2").fetchall()
        self.assertEqual(told, [("hold", '{"by": "ann"}'), ("unhold", '{"by": "ann"}')])

    def test_retry(self) -> None:
        """Retried mail is due now, also behind a destination that is down."""
        lanes.save(self.conn, LaneState("other.test", 1, 5.0, 500.0, "dns", ""))
        self.conn.execute("UPDATE deliveries SET next_attempt = 99 WHERE id = 1")
        self.assertEqual(administration.retry(self.conn, 10.0, Selection(everything=True), "ann"), 2)
        self.assertEqual(self.one("SELECT max(next_attempt) FROM deliveries"), (10.0,))
        self.assertEqual(lanes.states(self.conn)[0].not_before, 0.0)

    def test_bounce(self) -> None:
        """Mail to be sent back is due now with that reason, held or not, and asked for once."""
        administration.hold(self.conn, 10.0, Selection(ids=(1,)), "ann")
        self.assertEqual(administration.bounce(self.conn, 11.0, Selection(ids=(1, 2)), "ann"), 2)
        self.assertEqual(administration.bounce(self.conn, 11.0, Selection(ids=(1, 2)), "ann"), 0)
        self.assertEqual({due.reason for _, due in deliveries.due(self.conn, 11.0, "demo.test", 9)}, {"operator", ""})

    def test_delete(self) -> None:
        """Deleted mail ends without a report and its content goes."""
        self.accept(7, "big@demo.test", content=Content(9, None, b"h", "file7", 0))
        self.assertEqual(administration.delete(self.conn, 10.0, Selection(ids=(1, 7)), "ann"), (2, ["file7"]))
        self.assertEqual(self.one("SELECT status, reason, finished FROM deliveries WHERE id = 1"), ("rejected", "operator", 10.0))
        self.assertEqual(self.one("SELECT count(*) FROM content"), (5,))

    def test_empty_selection(self) -> None:
        """A change that says nothing about what is refused; a scope alone says nothing."""
        for change in (administration.retry, administration.hold, administration.bounce, administration.delete, administration.unhold):
            with pytest.raises(UsageError):
                change(self.conn, 1.0, Selection(domains=("demo.test",)), "ann")

    def test_scope(self) -> None:
        """A change stays within the caller's domains."""
        self.assertEqual(administration.hold(self.conn, 1.0, Selection(everything=True, domains=("other.test",)), "ann"), 1)
