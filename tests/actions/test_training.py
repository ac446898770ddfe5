"""Teaching the filter: once for each message and person, by those who may, and with the sender filed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import training
from jetmail.actions.access import Actor, Grant
from jetmail.actions.training import Learnt
from jetmail.errors import NotFoundError, UsageError
from jetmail.inbound.policies import PolicyBook
from jetmail.mail.address import parse
from jetmail.mail.message import Message
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import domains, personal
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import learning
from jetmail.store.traffic.messages import Content, accept
from tests.classifier.samples import mail
from tests.store.samples import delivery, memory_store, message

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "own@demo.test", (Grant("owner", "demo.test"),))
ANN = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))
HOSTNAME = "mx.demo.test"


class TrainingTests(SynchronousTestCase):
    """With a message to ann and bob of one domain."""

    def setUp(self) -> None:
        """The log."""
        self.db = memory_store()
        self.conn = self.db.connection
        self.store = MemoryStore(lambda: "x")
        domains.add(self.conn, Domain("demo.test"))
        self.octets = mail(1, True)
        self.uid = self.stored(1, self.octets)
        self.nudges = 0

    def stored(self, number: int, octets: bytes) -> str:
        """A message in the store. -> its uid."""
        deliveries = (delivery("Ann@demo.test"), delivery("bob@demo.test"))
        return accept(self.conn, message(number, *deliveries, content=Content(len(octets), octets), size=len(octets))).uid

    def nudge(self) -> None:
        """The journal has grown."""
        self.nudges += 1

    def click(self, actor: Actor, is_spam: bool, person: str = "ann@demo.test", uid: str = "") -> Any:
        """One click in the portal."""
        return training.train_stored(
            self.db, actor, uid or self.uid, is_spam, person, now=5.0, store=self.store, hostname=HOSTNAME, trained=self.nudge
        )

    def learnt(self, *about: Any) -> Learnt:
        """What came of it."""
        return self.successResultOf(self.click(*about))

    def test_once_and_last_word(self) -> None:
        """Said again it changes nothing, said the opposite it is turned round; each real lesson is one step and one nudge."""
        self.assertEqual(self.learnt(ANN, True), Learnt.NEW)
        self.assertEqual(self.learnt(ANN, True), Learnt.KNOWN)
        self.assertEqual(self.nudges, 1)
        self.assertEqual(self.learnt(ANN, False), Learnt.TURNED)
        self.assertEqual(self.nudges, 2)
        steps = learning.steps(self.conn, 0)
        self.assertEqual(
            [(step.person, step.is_spam, step.undoes) for step in steps], [("ann@demo.test", True, False), ("ann@demo.test", False, True)]
        )

    def test_by_any_door(self) -> None:
        """The same message from a file, without what we added to it, is the same message."""
        uid = self.stored(
            2,
            b"X-Spam: Yes\r\nReceived: from a ([192.0.2.1])\r\n\tby mx.demo.test with ESMTP id 1;\r\n\tFri, 1 Jan 2026 0:0:0 +0000\r\n" + self.octets,
        )
        self.assertEqual(self.learnt(ANN, True, "ann@demo.test", uid), Learnt.NEW)
        sample = training.sample(Message(self.octets.replace(b"\r\n", b"\n")), HOSTNAME)
        self.assertEqual(self.successResultOf(training.train(self.db, ANN, [sample], True, "Ann@demo.test", now=6.0)), (Learnt.KNOWN,))

    def test_tagged_and_elsewhere(self) -> None:
        """Mail to a tagged address, at an alias domain too, is its mailbox's: learnt for the person and filed in their list."""
        domains.add(self.conn, Domain("alias.test", kind="alias", alias_of="demo.test"))
        for number, recipient in ((2, "Ann+news@demo.test"), (3, "ann+x@alias.test")):
            octets = mail(number, True)
            held = delivery(recipient, "quarantined")._replace(target=recipient.replace("alias", "demo"), destination="demo.test")
            uid = accept(self.conn, message(number, held, content=Content(len(octets), octets), size=len(octets))).uid
            self.assertEqual(self.learnt(ROOT, False, recipient, uid), Learnt.NEW)
        self.assertEqual({step.person for step in learning.steps(self.conn, 0)}, {"ann@demo.test"})
        self.assertEqual(len(personal.listing(self.conn, "ann@demo.test")["allow"]), 2)
        self.failureResultOf(self.click(ROOT, False, "bob+x@demo.test", uid), NotFoundError)

    def test_each_person_and_everybody(self) -> None:
        """Two people and everybody's model each learn it once."""
        self.assertEqual(self.learnt(OWNER, True, "ann@demo.test"), Learnt.NEW)
        self.assertEqual(self.learnt(OWNER, False, "bob@demo.test"), Learnt.NEW)
        self.assertEqual(self.learnt(ROOT, True, ""), Learnt.NEW)
        self.assertEqual(len(learning.steps(self.conn, 0)), 3)

    def test_files_the_sender(self) -> None:
        """Spam puts the header From on the person's block list, not spam on the allow list; last word counts; everybody's files nobody."""
        sender = "1@bulk1.offers.test"
        self.learnt(ANN, True)
        self.assertEqual(personal.listing(self.conn, "ann@demo.test"), {"allow": [], "block": [sender]})
        self.learnt(ANN, False)
        self.learnt(ANN, False)
        self.assertEqual(personal.listing(self.conn, "ann@demo.test"), {"allow": [sender], "block": []})
        self.learnt(ROOT, True, "")
        self.assertEqual(self.conn.execute("SELECT count(*) FROM settings").fetchone(), (1,))

    def test_comes_before_the_domains_lists(self) -> None:
        """What one click filed is in the policy of the person's mail at once, at their own level, and in nobody else's."""
        book = PolicyBook(Directory(self.db))
        self.assertFalse(book.recipient(parse("ann@demo.test")).policy.address_lists)
        self.learnt(ANN, True)
        block = book.recipient(parse("Ann+tag@demo.test")).policy.address_lists.block
        self.assertTrue(block.has_sender("1@bulk1.offers.test", "bulk1.offers.test"))
        self.assertFalse(block.has_sender("2@bulk1.offers.test", "bulk1.offers.test"))
        self.assertFalse(book.recipient(parse("bob@demo.test")).policy.address_lists)

    def test_behind_an_alias(self) -> None:
        """Who is taught for is the mailbox the address leads to, as the rule will ask for it."""
        domains.add(self.conn, Domain("short.test", kind="alias", alias_of="demo.test"))
        sample = training.sample(Message(self.octets), HOSTNAME)
        self.successResultOf(training.train(self.db, ROOT, [sample], True, "Ann+x@short.test", now=1.0, files_sender=True))
        self.assertEqual([step.person for step in learning.steps(self.conn, 0)], ["ann@demo.test"])
        self.assertEqual(len(personal.listing(self.conn, "ann@demo.test")["block"]), 1)

    def test_files_no_forged_sender(self) -> None:
        """One's own address, several addresses and an unreadable From are not filed."""
        for number, line in enumerate((b"Ann <ANN@demo.test>", b"a@x.test, b@x.test", b"nobody", b"<a@x.test>\r\nFrom: <b@x.test>"), 10):
            uid = self.stored(number, b"From: " + line + b"\r\nSubject: %d\r\n\r\nhello you\r\n" % number)
            self.assertEqual(self.learnt(ANN, True, "ann@demo.test", uid), Learnt.NEW)
        self.assertEqual(personal.listing(self.conn, "ann@demo.test"), {"allow": [], "block": []})

    def test_who_may(self) -> None:
        """A person teaches their own filter with their own mail; an owner those of the domain; everybody's is the sysadmin's."""
        for actor, person in (
            (ANN, "bob@demo.test"),
            (ANN, ""),
            (OWNER, ""),
            (OWNER, "eve@other.test"),
            (ROOT, "eve@other.test"),
            (ROOT, "carol@demo.test"),
        ):
            self.failureResultOf(self.click(actor, True, person), NotFoundError)
        self.failureResultOf(self.click(ANN, True, "ann@demo.test", "f" * 20), NotFoundError)
        self.failureResultOf(self.click(ROOT, True, "no address"), UsageError)
        self.assertEqual(learning.pending(self.conn), 0)
        self.assertEqual(self.nudges, 0)

    def test_content_gone(self) -> None:
        """A message whose content is not kept cannot be learnt."""
        self.conn.execute("UPDATE messages SET content_id = NULL")
        self.failureResultOf(self.click(ANN, True), NotFoundError)

    def test_audit(self) -> None:
        """Every lesson is in the audit, a batch as one entry, an empty one as none."""
        samples = [training.sample(Message(mail(number, False)), HOSTNAME) for number in range(10)]
        self.assertEqual(self.successResultOf(training.train(self.db, ROOT, samples, False, now=1.0)), (Learnt.NEW,) * 10)
        self.assertEqual(self.successResultOf(training.train(self.db, ROOT, [], False, now=1.0)), ())
        self.assertEqual(self.conn.execute("SELECT actor, action, object FROM audit").fetchall(), [("cli:root", "train", "everybody")])

    def test_list_is_bounded(self) -> None:
        """Of too many senders the oldest go."""
        self.patch(personal, "MAX_PER_PERSON", 3)
        for number in range(5):
            personal.put(self.conn, "ann@demo.test", f"{number}@x.test", "block")
        self.assertEqual(personal.listing(self.conn, "ann@demo.test")["block"], ["2@x.test", "3@x.test", "4@x.test"])
