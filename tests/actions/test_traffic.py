"""The log, one message, the queue and the figures, each as far as one may see."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import logsearch, messages, queue, stats
from jetmail.actions.access import Actor, Grant
from jetmail.actions.logsearch import Criteria
from jetmail.errors import ContentMissingError, NotFoundError, UsageError
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import audit, domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic.administration import Selection
from jetmail.store.traffic.messages import Content, NewMessage, accept, add_event
from tests.store.samples import delivery, memory_store, message

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
USER = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))
NOBODY = Actor("portal", "eve@x.test")


class TrafficTests(SynchronousTestCase):
    """With one message to three people of two domains, and one refused without recipients."""

    def setUp(self) -> None:
        """The log."""
        self.db = memory_store()
        self.conn = self.db.connection
        self.store = MemoryStore(lambda: "x")
        self.store.files["spooledfile"] = b"body"
        domains.add(self.conn, Domain("demo.test"))
        content = Content(8, None, header=b"A:\r\n", spool="spooledfile")
        self.accepted = accept(
            self.conn, message(1, delivery("Ann@demo.test"), delivery("bob@demo.test"), delivery("eve@other.test", reply="250 ok"), content=content)
        )
        for number, due in enumerate(self.accepted.deliveries):
            add_event(self.conn, self.accepted.id, due.id, 2.0, "attempt", {"host": f"h{number}"})
        accept(self.conn, NewMessage("f" * 20, "inbound", 2.0, "", 0, None, (), response="554 5.5.1 no"))
        self.uid = self.accepted.uid

    def done(self, deferred: Any) -> Any:
        """What came of it."""
        return self.successResultOf(deferred)

    def found(self, actor: Actor, criteria: Criteria = Criteria(), **other: Any) -> list[str]:
        """Recipients of the rows found."""
        return [row.recipient for row in self.done(logsearch.search(self.db, actor, criteria, **other)).rows]

    def test_log_scope(self) -> None:
        """An administrator sees every row, an owner their domain, a person their own address, whatever they ask for."""
        self.assertEqual(self.found(ROOT), ["", "eve@other.test", "bob@demo.test", "Ann@demo.test"])
        self.assertEqual(self.found(OWNER), ["bob@demo.test", "Ann@demo.test"])
        self.assertEqual(self.found(USER), ["Ann@demo.test"])
        self.assertEqual(self.found(NOBODY), [])
        self.assertEqual(self.found(OWNER, Criteria(domain="other.test")), [])
        self.assertEqual(self.found(USER, Criteria(uid=self.uid)), ["Ann@demo.test"])

    def test_log_pages(self) -> None:
        """Pages follow one another to the end, also when a search has to stop early."""
        first = self.done(logsearch.search(self.db, ROOT, Criteria(), limit=3))
        second = self.done(logsearch.search(self.db, ROOT, Criteria(), limit=3, after=first.next))
        self.assertEqual([len(first.rows), len(second.rows), second.next], [3, 1, ""])
        self.patch(logsearch, "MAX_SLICES", 0)
        self.assertEqual(self.done(logsearch.search(self.db, ROOT, Criteria(), after="9.9")).next, "9.9")

    def test_log_refused(self) -> None:
        """A field that makes no sense is named."""
        for field, criteria in (
            ("uid", Criteria(uid="a b")),
            ("status", Criteria(status=("lost",))),
            ("direction", Criteria(direction="up")),
            ("date_from", Criteria(date_from=2.0, date_to=1.0)),
            ("date_to", Criteria(date_to=float("nan"))),
            ("score_min", Criteria(score_min=2.0, score_max=1.0)),
            ("address", Criteria(address="here")),
            ("domain", Criteria(domain="no domain")),
            ("subject", Criteria(subject="a" * 501)),
        ):
            self.assertEqual(self.failureResultOf(logsearch.search(self.db, ROOT, criteria), UsageError).value.field, field)
        self.assertEqual(self.failureResultOf(logsearch.search(self.db, ROOT, Criteria(), limit=0), UsageError).value.field, "limit")
        self.assertEqual(self.failureResultOf(logsearch.search(self.db, ROOT, Criteria(), after="x"), UsageError).value.field, "after")
        spelled = logsearch.checked(Criteria(domain="DEMO.test", address="2001:DB8:0::1"))
        self.assertEqual(spelled, Criteria(domain="demo.test", address="2001:db8::1"))

    def test_message_scope(self) -> None:
        """Each person sees their own deliveries and events of a message and nobody else's."""
        shown = self.done(messages.show(self.db, ROOT, self.uid))
        self.assertEqual((len(shown.deliveries), len(shown.timeline), shown.has_content), (3, 4, True))
        shown = self.done(messages.show(self.db, USER, self.uid))
        self.assertEqual([item.recipient for item in shown.deliveries], ["Ann@demo.test"])
        self.assertEqual([event.detail.get("host") for event in shown.timeline], [None, "h0"])
        for actor, uid in ((NOBODY, self.uid), (OWNER, "f" * 20), (ROOT, "none")):
            self.failureResultOf(messages.show(self.db, actor, uid), NotFoundError)
            self.failureResultOf(messages.raw(self.db, actor, uid, self.store), NotFoundError)

    def test_raw(self) -> None:
        """The octets come as a destination gets them; those no longer kept are not found, those lost are an error."""
        self.assertEqual(b"".join(self.done(messages.raw(self.db, USER, self.uid, self.store))), b"A:\r\nbody")
        self.failureResultOf(messages.raw(self.db, ROOT, "f" * 20, self.store), NotFoundError)
        self.store.delete("spooledfile")
        pieces = self.done(messages.raw(self.db, ROOT, self.uid, self.store))
        self.assertRaises(ContentMissingError, next, pieces)

    def test_queue_scope(self) -> None:
        """An owner changes mail to their own domain alone; a person without a queue has none."""
        self.assertEqual(self.done(queue.count(self.db, ROOT, Selection(), now=5.0)), 3)
        self.assertEqual(len(self.done(queue.listing(self.db, OWNER, Selection(), now=5.0))), 2)
        self.assertEqual(self.done(queue.change(self.db, OWNER, "hold", Selection(everything=True), now=5.0)), 2)
        self.assertEqual([row.recipient for row in self.done(queue.listing(self.db, ROOT, Selection(held=False), now=5.0))], ["eve@other.test"])
        self.assertEqual(self.done(queue.change(self.db, OWNER, "hold", Selection(domains=("other.test",), everything=True), now=5.0)), 0)
        for actor in (USER, NOBODY):
            self.failureResultOf(queue.change(self.db, actor, "hold", Selection(everything=True), now=5.0), NotFoundError)

    def test_queue_changes(self) -> None:
        """Every verb says how many it changed, works in portions, and is written down; deleting takes the files along."""
        self.patch(queue, "PORTION", 1)
        everything = Selection(everything=True)
        changed = [self.done(queue.change(self.db, ROOT, verb, everything, now=5.0, store=self.store)) for verb in queue.VERBS]
        self.assertEqual(changed, [3, 3, 3, 3, 3])
        self.assertEqual(self.store.files, {})
        self.assertEqual(self.done(queue.count(self.db, ROOT, Selection(), now=5.0)), 0)
        entries = audit.listing(self.conn)
        self.assertEqual(len(entries), 15)
        self.assertEqual(entries[0].detail, {"count": 1, "selection": {"everything": True}})

    def test_queue_refused(self) -> None:
        """Nothing happens by accident."""
        everything = Selection(everything=True)
        for field, verb, selection in (("selection", "hold", Selection()), ("verb", "shred", everything), ("store", "delete", everything)):
            self.assertEqual(self.failureResultOf(queue.change(self.db, ROOT, verb, selection, now=5.0), UsageError).value.field, field)
        self.assertEqual(self.failureResultOf(queue.listing(self.db, ROOT, Selection(), now=5.0, limit=0), UsageError).value.field, "limit")
        self.assertEqual(self.done(queue.reasons(self.db, OWNER, Selection(), now=5.0)), [("demo.test", "", 2)])

    def test_stats(self) -> None:
        """An administrator gets all figures, others what became of mail to their domains."""
        seen = self.done(stats.overview(self.db, ROOT, now=10.0))
        assert seen.queue is not None and seen.sizes is not None
        self.assertEqual((seen.queue.queued, seen.status, len(seen.lanes), seen.sizes.contents), (3, {"queued": 3}, 2, 1))
        seen = self.done(stats.overview(self.db, OWNER, now=10.0))
        self.assertEqual((seen.queue, seen.status, seen.lanes, seen.sizes), (None, {"queued": 2}, (), None))
        self.assertEqual(self.done(stats.overview(self.db, NOBODY, now=10.0)).status, {})
