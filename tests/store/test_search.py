"""The log's search against a brute force that reads like the specification."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jetmail.store.database import Connection
from jetmail.store.traffic import search
from jetmail.store.traffic.messages import NewMessage, accept, add_event
from jetmail.store.traffic.search import Criteria, Cursor, LogRow, Within, search_slice
from tests.store.samples import delivery, memory_store, message

TEXTS = ("", "Invoice 50%", "in_voice", "Grüße", "GRÜSSE", "back\\slash")
DOMAINS = ("demo.test", "other.test", "third.test")
RECIPIENTS = tuple(f"{local}@{domain}" for local in ("ann", "Bob", "jürgen") for domain in DOMAINS)
STATUSES = ("queued", "delivered", "rejected", "blocked")
HOSTS = ("mx.demo.test", "relay.example.org")
ADDRESSES = ("192.0.2.1", "2001:db8::1")


@dataclass
class Stored:
    """A message with the attempts made for it."""

    new: NewMessage
    events: list[tuple[int | None, dict[str, Any]]]


@st.composite
def logs(draw: st.DrawFn) -> list[Stored]:
    """A short log in which everything that can matter varies, times out of order included."""
    found = []
    for number in range(1, draw(st.integers(0, 7)) + 1):
        deliveries = [
            delivery(draw(st.sampled_from(RECIPIENTS)), draw(st.sampled_from(STATUSES)), reply=draw(st.sampled_from(TEXTS)))
            for _ in range(draw(st.integers(0, 3)))
        ]
        new = NewMessage(
            uid=f"{number:020x}",
            direction=draw(st.sampled_from(("inbound", "outbound"))),
            received=float(draw(st.integers(0, 9))),
            sender=draw(st.sampled_from(("", "bob@example.org", "Ann@demo.test"))),
            size=1,
            content=None,
            deliveries=tuple(deliveries),
            header_from=draw(st.sampled_from(("bob@example.org", "news@Demo.test"))),
            subject=draw(st.sampled_from(TEXTS)),
            client_address=draw(st.sampled_from(ADDRESSES)),
            helo=draw(st.sampled_from(HOSTS)),
            user=draw(st.sampled_from(("", "shop"))),
            score=draw(st.sampled_from((None, 0.0, 4.5, 15.0))),
            response=draw(st.sampled_from(("250 2.0.0 ok", "550 5.7.1 no", "451 4.3.0 later"))),
        )
        events = draw(
            st.lists(
                st.tuples(
                    st.sampled_from([None, *range(len(deliveries))]),
                    st.fixed_dictionaries({}, optional={"host": st.sampled_from(HOSTS), "address": st.sampled_from(ADDRESSES)}),
                ),
                max_size=2,
            )
        )
        found.append(Stored(new, events))
    return found


needles = st.sampled_from(("", "", "", "INVOICE", "%", "_", "\\", "grüsse", "grü", "bob", "@demo", "Jürgen", "zzz"))
criteria_of_any_kind = st.builds(
    Criteria,
    subject=needles,
    sender=needles,
    recipient=needles,
    uid=st.sampled_from(("", "", f"{2:020x}", "none")),
    domain=st.sampled_from(("", "", *DOMAINS)),
    status=st.sampled_from(((), (), ("queued",), ("rejected", "received"))),
    response=st.sampled_from(("", "", "5.7.1", "OK")),
    reply=needles,
    date_from=st.sampled_from((None, None, 3.0)),
    date_to=st.sampled_from((None, None, 6.0)),
    score_min=st.sampled_from((None, None, 4.5)),
    score_max=st.sampled_from((None, None, 4.5)),
    direction=st.sampled_from(("", "", "inbound")),
    user=st.sampled_from(("", "", "SHO")),
    host=st.sampled_from(("", "", "MX.demo", "relay")),
    address=st.sampled_from(("", "", *ADDRESSES)),
)
withins = st.sampled_from(
    (
        Within(),
        Within(),
        Within((), ()),
        Within(("demo.test",), ()),
        Within(("demo.test", "third.test"), ()),
        Within((), ("bob@demo.test",)),
        Within((), ("jürgen@demo.test",)),
        Within(("other.test",), ("ann@demo.test", "bob@demo.test")),
    )
)


def contains(text: str, needle: str) -> bool:
    """A case-insensitive part."""
    return needle.casefold() in text.casefold()


def meets(stored: Stored, index: int | None, asked: Criteria, within: Within) -> bool:
    """Whether the row of that recipient (None: of a message without any) is to be found."""
    new = stored.new
    item = None if index is None else new.deliveries[index]
    status = item.status if item else ("rejected" if new.response.startswith("5") else "received")
    details = [detail for at, detail in stored.events if at is None or at == index]
    tests = (
        contains(new.subject, asked.subject),
        contains(new.sender, asked.sender) or contains(new.header_from, asked.sender),
        not asked.recipient or (item is not None and contains(item.recipient, asked.recipient)),
        asked.uid in ("", new.uid),
        not asked.domain or (item is not None and item.domain == asked.domain),
        not asked.status or status in asked.status,
        contains(new.response, asked.response),
        not asked.reply or (item is not None and contains(item.reply, asked.reply)),
        asked.date_from is None or new.received >= asked.date_from,
        asked.date_to is None or new.received < asked.date_to,
        asked.score_min is None or (new.score is not None and new.score >= asked.score_min),
        asked.score_max is None or (new.score is not None and new.score <= asked.score_max),
        asked.direction in ("", new.direction),
        contains(new.user, asked.user),
        contains(new.helo, asked.host) or any(contains(detail.get("host", ""), asked.host) for detail in details),
        asked.address in ("", new.client_address) or any(detail.get("address") == asked.address for detail in details),
        (within.domains is None and within.addresses is None)
        or (item is not None and (item.domain in (within.domains or ()) or item.recipient.casefold() in (within.addresses or ()))),
    )
    return all(tests)


def brute_force(log: list[Stored], asked: Criteria, within: Within) -> list[tuple[str, str, str]]:
    """(uid, recipient, status) of every row to be found, newest first."""
    found = []
    for stored in reversed(log):
        items = stored.new.deliveries
        indexes: list[int | None] = list(reversed(range(len(items)))) or [None]
        for index in indexes:
            if meets(stored, index, asked, within):
                item = None if index is None else items[index]
                status = item.status if item else ("rejected" if stored.new.response.startswith("5") else "received")
                found.append((stored.new.uid, item.recipient if item else "", status))
    return found


def fill(conn: Connection, log: list[Stored]) -> None:
    """Store the log."""
    for stored in log:
        accepted = accept(conn, stored.new)
        ids = [row[0] for row in conn.execute("SELECT id FROM deliveries WHERE message_id = ? ORDER BY id", (accepted.id,))]
        for index, detail in stored.events:
            add_event(conn, accepted.id, None if index is None else ids[index], stored.new.received, "attempt", detail)


def everything(conn: Connection, asked: Criteria, within: Within, limit: int) -> list[LogRow]:
    """All pages of a search."""
    rows: list[LogRow] = []
    cursor = Cursor()
    while True:
        found = search_slice(conn, asked, within, cursor, limit)
        assert len(found.rows) <= limit
        rows += found.rows
        if found.next is None:
            return rows
        assert found.next != cursor
        cursor = Cursor.parse(str(found.next))


@settings(max_examples=250, deadline=None)
@given(logs(), criteria_of_any_kind, withins, st.integers(1, 4), st.integers(1, 5))
def test_agrees_with_brute_force(log: list[Stored], asked: Criteria, within: Within, limit: int, size: int) -> None:
    """Every combination of criteria and scope finds the same rows in the same order, whatever the page and the slice."""
    db = memory_store()
    fill(db.connection, log)
    with mock.patch.object(search, "SLICE", size):
        rows = everything(db.connection, asked, within, limit)
    assert [(row.uid, row.recipient, row.status) for row in rows] == brute_force(log, asked, within)
    db.close()


class LargeLogTests(SynchronousTestCase):
    """A hundred thousand rows."""

    def setUp(self) -> None:
        """Rows made by SQL: what they say does not matter, how many are looked at does."""
        self.db = memory_store()
        self.conn = self.db.connection
        self.conn.execute("BEGIN")
        self.conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
               INSERT INTO messages (uid, direction, received, size, sender, subject)
               SELECT printf('%020x', i), 'inbound', i, 1, 'b@example.org', 's' FROM n"""
        )
        self.conn.execute(
            """INSERT INTO deliveries (message_id, recipient, domain, target, destination, status, queued)
               SELECT id, 'a@demo.test', iif(id % 50, 'demo.test', 'rare.test'), 'a@demo.test', 'demo.test', 'delivered', received FROM messages"""
        )
        self.conn.execute("COMMIT")

    def slices(self, asked: Criteria, within: Within = Within()) -> tuple[int, list[LogRow], int]:
        """(slices, rows, most work of one slice in units of a thousand SQLite instructions)."""
        rows: list[LogRow] = []
        cursor, count, worst = Cursor(), 0, 0
        ticks: list[int] = []
        self.conn.set_progress_handler(lambda: ticks.append(1), 1000)  # returns None, that is: go on
        while True:
            del ticks[:]
            found = search_slice(self.conn, asked, within, cursor, 1000)
            worst = max(worst, len(ticks))
            count += 1
            rows += found.rows
            if found.next is None:
                self.conn.set_progress_handler(None, 0)
                return count, rows, worst
            cursor = found.next

    def test_in_slices(self) -> None:
        """A search that finds nothing looks at every row, but never at more than a slice at once, and holds no transaction between slices."""
        count, rows, worst = self.slices(Criteria(subject="nowhere"))
        self.assertEqual((count, rows), (100_000 // search.SLICE, []))
        self.assertLess(worst, 200)
        self.assertFalse(self.conn.in_transaction)

    def test_by_domain(self) -> None:
        """A search within one domain looks at that domain's rows alone."""
        count, rows, _ = self.slices(Criteria(domain="rare.test", subject="nowhere"))
        self.assertEqual((count, rows), (1, []))
        count, rows, _ = self.slices(Criteria(), Within(("rare.test",), ()))
        self.assertEqual(len(rows), 2000)
        self.assertLess(count, 5)

    def test_by_date_and_uid(self) -> None:
        """A date range or a uid leads straight to its rows."""
        count, rows, _ = self.slices(Criteria(date_from=500.0, date_to=510.0))
        self.assertEqual((count, [row.received for row in rows]), (1, [float(at) for at in range(509, 499, -1)]))
        count, rows, worst = self.slices(Criteria(uid=f"{77:020x}"))
        self.assertEqual((count, len(rows), worst), (1, 1, 0))


class CursorTests(SynchronousTestCase):
    """Cursors come from strangers."""

    def test_refused(self) -> None:
        """What `str` never made is a ValueError."""
        for text in ("x", "1", "1.", ".1", "-1.2", "1.2.3", "1." + "9" * 50, "¹.²"):
            self.assertRaises(ValueError, Cursor.parse, text)

    def test_no_rows(self) -> None:
        """An empty log has one empty slice; nobody's scope has no rows."""
        db = memory_store()
        self.assertEqual(search_slice(db.connection, Criteria()), search.Slice((), None))
        accept(db.connection, message(1))
        self.assertEqual(search_slice(db.connection, Criteria(), Within((), ())), search.Slice((), None))


def test_last_word() -> None:
    """A reply first; of what somebody ended, that; else what the client was told."""
    row = LogRow(1, 1, "u", "inbound", 0.0, "", "", "", 1, None, "", "", "250 2.0.0 ok", "a@b", "b", "", "", "queued", "", "", False, 0, 0.0, None)
    assert row.last_word == "250 2.0.0 ok"
    for status, reason, reply, finished, said in (
        ("rejected", "operator", "", 1.0, "deleted by an administrator"),
        ("rejected", "operator", "550 5.7.0 Returned", 1.0, "550 5.7.0 Returned"),
        ("queued", "operator", "", None, "250 2.0.0 ok"),
        ("quarantined", "suspect", "", None, "250 2.0.0 ok"),
        ("quarantined", "suspect", "", 1.0, "deleted by an administrator, or kept long enough"),
        ("delivered", "", "250 taken", 1.0, "250 taken"),
    ):
        assert replace(row, status=status, reason=reason, reply=reply, finished=finished).last_word == said
