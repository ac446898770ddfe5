"""From MAIL to 250: who is taken, what is stored, what a fault leaves behind."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jetmail.errors import StoreError
from jetmail.interfaces import ILogin, IReceiver
from jetmail.mail.reply import Reply
from jetmail.rules.verdict import NO_OPINION
from tests.inbound.receiving import CONTENT, DELIVERIES, MESSAGE, MESSAGES, NOW, House


class AcceptTests(SynchronousTestCase):
    """Mail that is taken."""

    def setUp(self) -> None:
        self.house = House()

    def test_provides_its_interfaces(self) -> None:
        """The receiver is what the session asks for, the login what the receiver asks for."""
        verifyObject(IReceiver, self.house.session().receiver)
        verifyObject(ILogin, self.house.services.login)

    def test_plain_message(self) -> None:
        """One commit, then 250 with the id, and the queue has it with its content at hand and its first attempt claimed."""
        visit = self.house.session()
        self.assertEqual(visit.greeting.code, 220)
        reply = visit.send()
        ((uid, sender, subject, header_from, size, response, score, has_content),) = self.house.rows(MESSAGES)
        self.assertEqual(str(reply), f"250 2.0.0 OK queued as {uid}")
        self.assertEqual(response, str(reply))
        self.assertEqual((sender, subject, header_from, score, has_content), ("alice@example.org", "Hello", "alice@example.org", 0.0, 1))
        self.assertEqual(self.house.rows(DELIVERIES), [("bob@demo.test", "bob@demo.test", "demo.test", "queued", "", "", 1, NOW + 60)])
        ((data, *_),) = self.house.rows(CONTENT)
        self.assertEqual(size, len(data))
        self.assertTrue(data.endswith(MESSAGE))
        self.assertTrue(data.startswith(b"Received: from client.example ([192.0.2.7])\r\n\tby mx.demo.test with ESMTP id " + uid.encode()))
        self.assertIn(b"for <bob@demo.test>", data)
        ((accepted, content),) = self.house.queue.messages
        self.assertEqual((accepted.uid, content.data), (uid, data))
        self.assertEqual(self.house.queue.reserved, 0)
        self.assertEqual(self.house.accepted, [len(data)])

    def test_no_deferred_but_the_commit_s(self) -> None:
        """Every question before the end is answered with a plain Reply."""
        visit = self.house.session()
        for answer in (visit.greeting, visit.mail(), visit.rcpt(), visit.receiver.data()):
            self.assertIsInstance(answer, Reply)
        visit.receiver.chunk(MESSAGE)
        self.assertIsInstance(visit.receiver.end(), Deferred)

    def test_nothing_is_said_before_the_commit(self) -> None:
        """Until the store has it there is no reply, and nothing in the queue."""
        self.house.db.holds = True
        visit = self.house.session()
        visit.mail()
        visit.rcpt()
        answer = visit.content()
        self.assertNoResult(answer)
        self.assertEqual(self.house.queue.messages, [])
        self.assertEqual(self.house.queue.reserved, 1)
        self.house.db.commit()
        self.assertEqual(self.successResultOf(answer).code, 250)
        self.assertEqual(len(self.house.queue.messages), 1)

    def test_client_leaves_during_the_commit(self) -> None:
        """What is committed is enqueued, whoever is still there to hear of it."""
        for leave in ("lost", "cancel"):
            self.house.db.holds = True
            visit = self.house.session()
            visit.mail()
            visit.rcpt()
            answer = visit.content(MESSAGE + b"x" * 200_000)
            if leave == "cancel":
                answer.cancel()
                self.failureResultOf(answer, CancelledError)
            visit.receiver.abort()
            visit.receiver.lost()
            before = len(self.house.queue.messages)
            self.house.db.commit()
            self.assertEqual(len(self.house.queue.messages), before + 1)
            self.assertEqual(len(self.house.spool.files), before + 1)
        self.assertEqual(self.house.queue.reserved, 0)

    def test_queue_without_room(self) -> None:
        """When the window is full the message is stored due at once, unclaimed, and the queue is told to look."""
        self.house.queue.room = 0
        self.assertEqual(self.house.session().send().code, 250)
        self.assertEqual([(row[6], row[7]) for row in self.house.rows(DELIVERIES)], [(0, NOW)])
        self.assertEqual((self.house.queue.woken, self.house.queue.messages), (1, []))

    def test_destination_that_is_down(self) -> None:
        """Mail for a destination that is down is stored unclaimed, and says what it waits for."""
        self.house.queue.down = {"demo.test"}
        self.assertEqual(self.house.session().send().code, 250)
        self.assertEqual([row[6] for row in self.house.rows(DELIVERIES)], [0])
        self.assertEqual(self.house.rows("SELECT reason, reply FROM deliveries"), [("connect", "451 4.4.1 no answer")])
        self.assertEqual(self.house.queue.messages, [])

    def test_queue_that_breaks(self) -> None:
        """A fault of the queue after the commit does not take the 250 back."""
        self.house.queue.is_broken = True
        self.assertEqual(self.house.session().send().code, 250)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_several_recipients_and_aliases(self) -> None:
        """Each target is a delivery, with the recipient as people know it; a recipient said twice is one; no `for` then."""
        self.house.add_alias("team@demo.test", "ann@demo.test", "kim@elsewhere.test")
        visit = self.house.session()
        visit.mail()
        for address in ("team@demo.test", "bob@demo.test", "bob@demo.test"):
            self.assertEqual(visit.rcpt(address).code, 250)
        self.successResultOf(visit.content())
        self.assertEqual(
            sorted(row[:3] for row in self.house.rows(DELIVERIES)),
            [
                ("bob@demo.test", "bob@demo.test", "demo.test"),
                ("team@demo.test", "ann@demo.test", "demo.test"),
                ("team@demo.test", "kim@elsewhere.test", "elsewhere.test"),
            ],
        )
        self.assertEqual(len(self.house.rows(CONTENT)), 1)
        self.assertNotIn(b"\tfor <", self.house.rows(CONTENT)[0][0])

    def test_alias_domain(self) -> None:
        """Mail for an alias domain goes to the domain it stands for, and is logged as it was addressed."""
        self.house.add_domain("alias.test", kind="alias", alias_of="demo.test")
        self.house.session().send(to=("bob@alias.test",))
        self.assertEqual(self.house.rows(DELIVERIES)[0][:3], ("bob@alias.test", "bob@demo.test", "demo.test"))

    def test_foreign_spam_headers_are_removed(self) -> None:
        """What others say in our words is not passed on; ours is."""
        self.house.session().send(b"X-Spam: No\r\nx-spam-score: -5\r\nX-SPAM-Symbols: A,\r\n B\r\nX-Spam-Level: *\r\n" + MESSAGE)
        data: bytes = self.house.rows(CONTENT)[0][0]
        self.assertEqual(data.lower().count(b"x-spam"), 2)
        self.assertIn(b"X-Spam-Score: 0.00\r\nX-Spam-Level: *\r\nFrom:", data)

    def test_large_message_is_spooled(self) -> None:
        """Over the limit content is a file, its edited header in the store, and together they are the message."""
        body = b"".join(b"line %06d\r\n" % number for number in range(30_000))
        self.assertEqual(self.house.session().send(b"X-Spam: No\r\n" + MESSAGE + body).code, 250)
        ((data, header, spool, offset, size),) = self.house.rows(CONTENT)
        self.assertIsNone(data)
        whole = header + self.house.spool.files[spool][offset:]
        self.assertEqual(size, len(whole))
        self.assertTrue(whole.endswith(MESSAGE + body))
        self.assertNotIn(b"X-Spam: No", whole)

    def test_any_piece_size(self) -> None:
        """However content arrives, what is stored is the same."""
        large = MESSAGE + b"0123456789\r\n" * 20_000
        for piece in (1_000, 65_536, 131_072, len(large)):
            house = House()
            visit = house.session()
            visit.mail()
            visit.rcpt()
            self.successResultOf(visit.content(large, piece))
            ((_, header, spool, offset, _),) = house.rows(CONTENT)
            self.assertTrue((header + house.spool.files[spool][offset:]).endswith(large))

    def test_dsn_and_smtputf8_are_kept(self) -> None:
        """What MAIL and RCPT asked for is with the message and its deliveries."""
        visit = self.house.session()
        visit.mail("jörg@example.org", smtputf8=True, ret="HDRS", envid="e1", body="8BITMIME", requiretls=True)
        visit.rcpt("bøb@demo.test", notify="FAILURE,DELAY", orcpt="rfc822;bob@demo.test")
        self.successResultOf(visit.content())
        self.assertEqual(
            self.house.rows("SELECT sender, smtputf8, ret, envid, body, requiretls FROM messages"),
            [("jörg@example.org", 1, "HDRS", "e1", "8BITMIME", 1)],
        )
        self.assertEqual(self.house.rows("SELECT notify, orcpt FROM deliveries"), [("FAILURE,DELAY", "rfc822;bob@demo.test")])
        self.assertIn("for <bøb@demo.test>".encode(), self.house.rows(CONTENT)[0][0])
        self.assertIn(b"with UTF8SMTP id", self.house.rows(CONTENT)[0][0])

    def test_second_transaction_is_a_new_one(self) -> None:
        """Nothing of the first message is in the second, but for the client."""
        visit = self.house.session()
        first, second = visit.send(), visit.send(sender="", to=("ann@demo.test",))
        self.assertNotEqual(first, second)
        self.assertEqual([row[0] for row in self.house.rows(DELIVERIES)], ["bob@demo.test", "ann@demo.test"])
        self.assertEqual([row[1] for row in self.house.rows(MESSAGES)], ["alice@example.org", ""])


class FaultTests(SynchronousTestCase):
    """Parts of ours that fail: always 451 with a reference, and nothing left behind."""

    def setUp(self) -> None:
        self.house = House()

    def assert_fault(self, reply: Reply, error: type[Exception] = StoreError) -> None:
        """451 4.3.0, a reference, no word of what failed, and one line in the log."""
        self.assertRegex(str(reply), r"^451 4\.3\.0 Temporary failure here, please try again later \(ref [0-9a-f]{20}\)$")
        self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_store_that_cannot_write(self) -> None:
        """The commit fails: places given back, file gone, and the next message is served."""
        for octets in (MESSAGE, MESSAGE + b"x" * 200_000):
            self.house.db.holds = True
            visit = self.house.session()
            visit.mail()
            visit.rcpt()
            answer = visit.content(octets)
            self.house.db.fail()
            self.assert_fault(self.successResultOf(answer))
            self.assertEqual((self.house.queue.reserved, self.house.queue.messages, self.house.spool.files), (0, [], {}))
            self.house.db.holds = False
            self.assertEqual(visit.send().code, 250)
            self.house.queue.messages.clear()

    def test_store_that_cannot_read(self) -> None:
        """A directory that cannot be read answers nobody 550."""
        visit = self.house.session()
        visit.mail()

        def broken(fn: Any, *args: Any) -> Any:
            raise StoreError("disk I/O error")

        self.patch(self.house.db, "read", broken)
        self.assert_fault(visit.rcpt())

    def test_no_room(self) -> None:
        """A full disk is said at MAIL."""
        self.house.has_room = False
        self.assertEqual(self.house.session().mail().code, 452)

    def test_spool_that_cannot_write(self) -> None:
        """A file that cannot be written is answered at the end, once, and leaves nothing."""
        visit = self.house.session()
        visit.mail()
        visit.rcpt()

        def broken() -> Any:
            raise StoreError("cannot write to the spool: no space left on device")

        self.patch(self.house.spool, "create", broken)
        self.assert_fault(visit.content(MESSAGE + b"x" * 500_000))
        self.assertEqual(self.house.rows(MESSAGES), [])
        self.assertEqual(visit.send().code, 250)

    def test_policy_that_fails_defers(self) -> None:
        """A POLICY rule that raises is a fault of ours for the whole message; the next message is judged anew."""
        size = next(entry.rule for entry in self.house.chain.entries if entry.name == "size")
        self.patch(size, "judge", lambda facts, policy: 1 // 0)
        visit = self.house.session()
        self.assertEqual(str(visit.send()), "451 4.3.0 Temporary failure here, please try again later")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.house.rows(MESSAGES), [])

    def test_fault_at_the_connection(self) -> None:
        """A greeting can only be 220, 421 or 554."""

        def broken() -> Any:
            raise StoreError("disk I/O error")

        self.patch(self.house.services.book, "appliance", broken)
        visit = self.house.session()
        self.assertEqual((visit.greeting.code, visit.greeting.enhanced), (421, "4.3.0"))
        self.flushLoggedErrors(StoreError)


class WaitingTests(SynchronousTestCase):
    """Rules that wait, and clients that do not."""

    CHAIN = '[[rule]]\nname = "slow"\nclass = "tests.thirdparty_rule.weather.Slow"\n'

    def setUp(self) -> None:
        self.house = House(self.CHAIN)
        self.slow = self.house.chain.entries[0].rule
        self.visit = self.house.session()
        self.visit.mail()
        self.visit.rcpt()

    def test_decision_waits_for_the_rule(self) -> None:
        """The reply comes when the rule has answered."""
        answer = self.visit.content()
        self.assertNoResult(answer)
        self.slow.asked[0].callback(None)
        self.assertEqual(self.successResultOf(answer).code, 451)
        self.flushLoggedErrors(TypeError)

    def test_client_leaves_while_a_rule_waits(self) -> None:
        """Nothing is stored, no file stays, and the late answer breaks nothing."""
        answer = self.visit.content(MESSAGE + b"x" * 200_000)
        self.assertEqual(len(self.house.spool.files), 1)
        self.visit.receiver.abort()
        self.visit.receiver.lost()
        self.assertEqual(self.house.spool.files, {})
        self.slow.asked[0].callback(NO_OPINION)
        self.successResultOf(answer)
        self.assertEqual(self.house.rows(MESSAGES), [])
        self.assertEqual((self.house.queue.reserved, self.house.queue.messages), (0, []))

    def test_cancelled_decision(self) -> None:
        """Cancelling the answer cancels the rule and drops the message."""
        answer = self.visit.content(MESSAGE + b"x" * 200_000)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual((self.slow.cancelled, self.house.spool.files), (1, {}))
        self.assertEqual(self.house.clock.getDelayedCalls(), [])


class SubmissionTests(SynchronousTestCase):
    """What a listener for users asks for; tests of what they may send are in test_submission."""

    def test_mail_without_login(self) -> None:
        """A submission listener takes mail from nobody who has not logged in."""
        visit = House().session(kind="submission")
        self.assertEqual(visit.mail().code, 530)

    def test_login_in_clear(self) -> None:
        """Without TLS no password is looked at."""
        self.assertEqual(House().session(kind="submission").receiver.auth("PLAIN", "ann", "secret").code, 538)

    def test_starttls_forgets(self) -> None:
        """RFC 3207 4.2: the name, the sender and the login from before TLS count for nothing."""
        house = House()
        visit = house.session()
        visit.mail()
        visit.receiver.tls_started("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        self.assertEqual(visit.rcpt().code, 503)
        self.assertEqual(visit.send().code, 250)
        self.assertIn(b"(using TLSv1.3 with TLS_AES_128_GCM_SHA256)", house.rows(CONTENT)[0][0])
