"""Accepting messages and reading them back."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import ContentMissingError
from jetmail.store.traffic import messages, spooled
from jetmail.store.traffic.messages import Content, accept, record_refusal
from tests.store.samples import delivery, memory_store, message


class AcceptTests(SynchronousTestCase):
    """The accepting transaction."""

    def setUp(self) -> None:
        """A store."""
        self.db = memory_store()
        self.conn = self.db.connection

    def test_one_recipient(self) -> None:
        """A message to one recipient comes back as stored, with the first attempt claimed."""
        accepted = self.successResultOf(self.db.run(accept, message(7)))
        [due] = accepted.deliveries
        self.assertEqual((due.attempts, due.queued, due.next_attempt, due.target), (1, 7.0, 67.0, "ann@demo.test"))
        stored = messages.by_uid(self.conn, accepted.uid)
        assert stored is not None
        self.assertEqual((stored.id, stored.sender, stored.received), (accepted.id, "bob@example.org", 7.0))
        self.assertEqual(stored, messages.by_id(self.conn, accepted.id))
        [row] = messages.deliveries_of(self.conn, accepted.id)
        self.assertEqual((row.id, row.status, row.attempts, row.next_attempt, row.finished), (due.id, "queued", 1, 67.0, None))
        self.assertEqual(accepted.facts.content_id, stored.content_id)
        assert stored.content_id is not None
        self.assertEqual(messages.content(self.conn, stored.content_id), Content(4, b"a\r\n.", id=stored.content_id))

    def test_statements(self) -> None:
        """For one recipient the hot path is three INSERTs and nothing else."""
        seen: list[str] = []
        self.conn.set_trace_callback(seen.append)
        accept(self.conn, message(1))
        self.conn.set_trace_callback(None)
        self.assertEqual([text.split()[0] for text in seen], ["INSERT"] * 3)

    def test_many_recipients(self) -> None:
        """Ids given to the queue are those of the rows, whatever else stands between them."""
        accept(self.conn, message(1, *(delivery(f"p{n}@demo.test") for n in range(3))))
        accepted = accept(
            self.conn,
            message(2, delivery("a@demo.test"), delivery("b@demo.test", "blocked"), delivery("c@demo.test", held=True), delivery("d@demo.test")),
        )
        self.assertEqual([due.target for due in accepted.deliveries], ["a@demo.test", "d@demo.test"])
        rows = {row.id: row for row in messages.deliveries_of(self.conn, accepted.id)}
        self.assertEqual([rows[due.id].recipient for due in accepted.deliveries], ["a@demo.test", "d@demo.test"])
        self.assertEqual([row.finished for row in rows.values()], [None, 2.0, None, None])
        self.assertEqual([row.attempts for row in rows.values()], [1, 0, 0, 1])

    def test_many_messages(self) -> None:
        """Messages of one batch are stored in three statements for each power of two of them, and every id is that of its own row."""
        news = [
            message(
                number, *(delivery(f"{number}-{place}@demo.test") for place in range(number % 3)), **({"content": None} if number % 4 == 1 else {})
            )
            for number in range(1, 60)
        ]
        for new in news[:3]:
            accept(self.conn, new)
        accepted = messages.accept_all(self.conn, news[3:])
        self.assertEqual([item.uid for item in accepted], [new.uid for new in news[3:]])
        for item, new in zip(accepted, news[3:], strict=True):
            stored = messages.by_id(self.conn, item.id)
            assert stored is not None
            self.assertEqual((stored.uid, stored.content_id), (new.uid, item.facts.content_id))
            self.assertEqual(item.facts.content_id is None, new.content is None)
            rows = messages.deliveries_of(self.conn, item.id)
            self.assertEqual([(due.id, due.recipient) for due in item.deliveries], [(row.id, row.recipient) for row in rows])
            self.assertEqual([row.recipient for row in rows], [each.recipient for each in new.deliveries])
        contents = [item.facts.content_id for item in accepted if item.facts.content_id is not None]
        self.assertEqual(len(set(contents)), len(contents))

    def test_not_claimed(self) -> None:
        """Without room in the window nothing is claimed and everything is due at once."""
        [due] = accept(self.conn, message(5, claimed=False)).deliveries
        self.assertEqual((due.attempts, due.next_attempt), (0, 5.0))

    def test_refusal(self) -> None:
        """A refused message is stored without content and without work for the queue, and without recipients too."""
        accepted = record_refusal(self.conn, message(1, delivery(status="rejected"), content=None, response="550 5.1.1 no"))
        self.assertEqual(accepted.deliveries, ())
        self.assertIsNone(accepted.facts.content_id)
        bare = self.successResultOf(self.db.run(record_refusal, message(2)))
        self.assertEqual(self.conn.execute("SELECT count(*) FROM messages").fetchone(), (2,))
        self.assertTrue(bare.id)

    def test_uid_twice(self) -> None:
        """A uid given twice fails alone and leaves neither content nor deliveries behind."""
        self.successResultOf(self.db.run(accept, message(1)))
        self.failureResultOf(self.db.run(accept, message(1)), sqlite3.IntegrityError)
        self.assertEqual(self.conn.execute("SELECT (SELECT count(*) FROM content), (SELECT count(*) FROM deliveries)").fetchone(), (1, 1))

    def test_spooled(self) -> None:
        """Large content keeps its header block in the store and the rest by name; the sweep learns of it."""
        content = Content(1_000_000, None, header=b"A: b\r\n\r\n", spool="a1b2c3d4e5", spool_offset=31)
        accepted = accept(self.conn, message(1, content=content))
        assert accepted.facts.content_id is not None
        found = messages.content(self.conn, accepted.facts.content_id)
        self.assertEqual((found.header, found.spool, found.spool_offset, found.data), (b"A: b\r\n\r\n", "a1b2c3d4e5", 31, None))
        accept(self.conn, message(2))
        [row] = spooled.listing(self.conn)
        self.assertEqual((row.spool, row.uid), ("a1b2c3d4e5", accepted.uid))

    def test_timeline(self) -> None:
        """'received' comes first though it is not stored; a damaged detail is shown instead of raising."""
        accepted = accept(self.conn, message(1, client_address="192.0.2.1", response="250 ok"))
        messages.add_event(self.conn, accepted.id, accepted.deliveries[0].id, 3.0, "attempt", {"host": "mx.demo.test"})
        self.conn.execute("INSERT INTO events (message_id, at, kind, detail) VALUES (?, 4.0, 'odd', '{')", (accepted.id,))
        stored = messages.by_id(self.conn, accepted.id)
        assert stored is not None
        first, second, third = messages.timeline(self.conn, stored)
        self.assertEqual((first.kind, first.at, first.detail["client"], first.detail["response"]), ("received", 1.0, "192.0.2.1", "250 ok"))
        self.assertEqual((second.kind, second.detail), ("attempt", {"host": "mx.demo.test"}))
        self.assertEqual(third.detail, {"damaged": "{"})

    def test_missing(self) -> None:
        """What is not there is None, content that should be there is an error."""
        self.assertIsNone(messages.by_uid(self.conn, "none"))
        self.assertIsNone(messages.by_id(self.conn, 99))
        self.assertRaises(ContentMissingError, messages.content, self.conn, 99)
