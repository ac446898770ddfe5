"""Mail handed in by other means than SMTP: the same answers, the same log, the same commit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jetmail.inbound.handin import HandIn, LineEnder
from jetmail.inbound.transaction import Receiver
from jetmail.interfaces import AnswerKind, Handed, IHand, IHandIn
from jetmail.mail.address import parse
from jetmail.mail.envelope import Recipient, Sender
from jetmail.store.traffic import sending
from tests.inbound.receiving import DELIVERIES, GTUBE, MESSAGE, NOW, House

FAR = "bob@far.test"


class HandCase(SynchronousTestCase):
    """A house with the user app, who may send from example.org."""

    def setUp(self) -> None:
        self.house = House(inline_limit=4_096)
        self.house.add_user()
        self.door = HandIn(lambda peer: Receiver(self.house.services, peer), self.house.directory, self.house.clock, 20_000)

    def open(self, address: str = "192.0.2.7", tls: str = "TLSv1.3", user: str = "uuid-of-app") -> Any:
        """A message of app's."""
        return self.door.open(user, address, 4242, tls)

    def hand(
        self,
        octets: bytes = MESSAGE,
        sender: str = "alice@example.org",
        to: tuple[str, ...] = (FAR,),
        also: Any = None,
        piece: int = 997,
        **more: Any,
    ) -> Handed:
        """The whole of it."""
        hand = self.open(**more)
        begun: Handed = self.successResultOf(hand.begin(Sender(parse(sender), body="8BITMIME"), [Recipient(parse(each)) for each in to]))
        if not begun.reply.is_positive:
            return begun
        for start in range(0, len(octets), piece):
            hand.write(octets[start : start + piece])
        done: Handed = self.successResultOf(hand.end(also))
        return done

    def check_nothing_left(self) -> None:
        """No message, no content, no file, no place in quota or queue."""
        self.assertEqual(self.house.rows("SELECT count(*) FROM content"), [(0,)])
        self.assertEqual((self.house.spool.files, self.house.queue.reserved), ({}, 0))


class HandTests(HandCase):
    """One message at a time."""

    def test_interfaces(self) -> None:
        """The door and what it opens are what the API is promised."""
        verifyObject(IHandIn, self.door)
        verifyObject(IHand, self.open())

    def test_accepted(self) -> None:
        """It is committed and enqueued before it is answered, by HTTP in log and trace, under the user's uuid and header."""
        self.house.db.holds = True
        hand = self.open()
        self.successResultOf(hand.begin(Sender(parse("alice@example.org"), body="8BITMIME"), [Recipient(parse(FAR))]))
        hand.write(MESSAGE.replace(b"\r\n", b"\n"))
        waiting = hand.end()
        self.assertNoResult(waiting)
        self.house.db.commit()
        self.assertIn("250 2.0.0 OK queued as", str(self.successResultOf(waiting).reply))
        ((listener, direction, user, tls, body),) = self.house.rows("SELECT listener, direction, user, tls, body FROM messages")
        self.assertEqual((listener, direction, user, tls, body), ("http", "outbound", "uuid-of-app", "TLSv1.3", "7BIT"))
        data = self.house.rows("SELECT data FROM content")[0][0]
        self.assertIn(b"with HTTP id", data)
        self.assertIn(b"X-JetEmail-User: uuid-of-app\r\n", data)
        self.assertTrue(data.endswith(MESSAGE))
        self.assertEqual(len(self.house.queue.messages), 1)

    def test_leaving_after_the_end(self) -> None:
        """Who gives up after the end of the content changes nothing: what was committed is enqueued."""
        self.house.db.holds = True
        hand = self.open()
        self.successResultOf(hand.begin(Sender(parse("alice@example.org")), [Recipient(parse(FAR))]))
        hand.write(MESSAGE)
        waiting = hand.end()
        hand.abort()
        self.house.db.commit()
        self.assertTrue(self.successResultOf(waiting).reply.is_positive)

    def test_replies_of_smtp(self) -> None:
        """ACL, spam and a full disk are said as SMTP says them, and nothing of the message stays."""
        self.assertIn("550 [ACL] Blocked. See https://mx.demo.test/?id=", str(self.hand(sender="x@other.test").reply))
        self.assertIn("550 [SPAM] Blocked. See", str(self.hand(MESSAGE + b"X" + GTUBE).reply))
        self.house.has_room = False
        self.assertEqual(self.hand().reply.code, 452)
        self.check_nothing_left()
        self.assertEqual(self.house.rows("SELECT DISTINCT listener, direction FROM messages"), [("http", "outbound")])

    def test_lockdown(self) -> None:
        """A domain that names others is closed to this user here as there."""
        from jetmail.inbound.lockdown import LockdownCheck
        from jetmail.mailauth.suffixes import PublicSuffixes

        self.house.submissions.lockdown = LockdownCheck(self.house.resolver, PublicSuffixes(), self.house.clock)
        self.house.resolver.zone["_jm.example.org", "TXT"] = [b"v=jm1 auth=somebody-else"]
        self.assertIn("550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.org. See", str(self.hand().reply))
        self.house.resolver.zone["_jm.example.org", "TXT"] = AnswerKind.SERVFAIL
        self.house.submissions.lockdown = LockdownCheck(self.house.resolver, PublicSuffixes(), self.house.clock)
        self.assertEqual(self.hand().reply.code, 451)

    def test_quota(self) -> None:
        """Used up: 421 with the time until the window ends; a session of SMTP and this door draw on the same."""
        self.house.change_user(quota=2, quota_window="day")
        self.assertTrue(self.hand().reply.is_positive)
        self.assertTrue(self.house.submission().send(MESSAGE, to=(FAR,)).is_positive)
        over = self.hand()
        self.assertEqual(str(over.reply), "421 4.7.1 Rate limit exceeded. Try again later.")
        self.assertEqual(over.retry_after, sending.period_end("day", NOW) - NOW)

    def test_ended(self) -> None:
        """A user who is gone, suspended, or may not come from there is told what an open session is told."""
        self.house.change_user(networks=("198.51.100.0/24",))
        self.assertEqual(self.hand().reply.code, 421)
        self.assertTrue(self.hand(address="198.51.100.1").reply.is_positive)
        self.house.change_user(networks=(), is_suspended=True)
        self.assertEqual(self.hand().reply.code, 421)
        self.assertEqual(self.hand(user="nobody").reply.code, 421)

    def test_recipients(self) -> None:
        """Those that are refused are named with their replies and the rest get it; when none is left it is refused."""
        self.house.add_domain("listed.test", recipients="listed")
        done = self.hand(to=(FAR, "no@listed.test", FAR))
        self.assertTrue(done.reply.is_positive)
        self.assertEqual([row[0] for row in self.house.rows(DELIVERIES) if row[3] == "queued"], [FAR])
        hand = self.open()
        begun = self.successResultOf(hand.begin(Sender(parse("alice@example.org")), [Recipient(parse("no@listed.test"))]))
        self.assertEqual((begun.reply.code, [address for address, _ in begun.refused]), (550, ["no@listed.test"]))

    def test_too_big(self) -> None:
        """Over the limit, declared or found out, it is refused and its file is gone at once; so is a line without an end."""
        self.assertIn("552", str(self.hand(MESSAGE + b"x" * 70 + b"\r\n" * 10_000).reply))
        hand = self.open()
        self.assertEqual(self.successResultOf(hand.begin(Sender(parse("alice@example.org"), size=20_001), [Recipient(parse(FAR))])).reply.code, 552)
        self.door = HandIn(lambda peer: Receiver(self.house.services, peer), self.house.directory, self.house.clock, 10**6, 2_000)
        self.assertIn("554 5.6.0 Line too long", str(self.hand(MESSAGE + b"x" * 2_001).reply))
        self.check_nothing_left()

    def test_large(self) -> None:
        """Large content is a spool file, in which lines end as they must."""
        body = b"".join(b"line %d\n" % number for number in range(1_500))
        self.assertTrue(self.hand(MESSAGE.replace(b"\r\n", b"\n") + body, piece=7).reply.is_positive)
        (content,) = self.house.spool.files.values()
        self.assertEqual(content, MESSAGE + body.replace(b"\n", b"\r\n"))

    def test_aborted(self) -> None:
        """A client that leaves in the middle leaves nothing behind; what it says after that is nothing."""
        hand = self.open()
        self.successResultOf(hand.begin(Sender(parse("alice@example.org")), [Recipient(parse(FAR))]))
        hand.write(MESSAGE + b"x" * 10_000)
        hand.abort()
        hand.abort()
        hand.write(b"more")
        self.assertFalse(self.successResultOf(hand.end()).reply.is_positive)
        self.check_nothing_left()


class AlsoTests(HandCase):
    """What is written along with the acceptance."""

    def test_with_it(self) -> None:
        """It is told uid and reply, and is in the store exactly when the message is: a store that fails keeps neither, and a write that fails
        undoes the acceptance."""
        written: list[tuple[str, str]] = []

        def also(conn: Any, uid: str, reply: str) -> None:
            conn.execute("INSERT INTO settings (key, value) VALUES (?, ?)", (uid, reply))
            written.append((uid, reply))

        reply = str(self.hand(also=also).reply)
        ((uid, said),) = written
        self.assertEqual((said, f"250 2.0.0 OK queued as {uid}"), (reply, reply))
        self.assertEqual(self.house.rows("SELECT uid FROM messages"), [(uid,)])
        self.house.db.holds = True
        hand = self.open()
        self.successResultOf(hand.begin(Sender(parse("alice@example.org")), [Recipient(parse(FAR))]))
        hand.write(MESSAGE)
        waiting: Deferred[Handed] = hand.end(also)
        self.house.db.fail()
        self.assertEqual(self.successResultOf(waiting).reply.code, 451)
        self.house.db.holds = False

        def broken(conn: Any, uid: str, reply: str) -> None:
            raise KeyError("this key is there")

        self.assertEqual(self.hand(also=broken).reply.code, 451)
        self.assertEqual(self.house.rows("SELECT uid FROM messages"), [(uid,)])
        self.assertEqual(self.house.queue.reserved, 0)
        self.flushLoggedErrors()

    def test_refused(self) -> None:
        """Nothing is written along with a refusal."""
        written: list[str] = []
        self.hand(sender="x@other.test", also=lambda conn, uid, reply: written.append(uid))
        self.assertEqual(written, [])


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b""]), max_size=12))
def test_line_ends(pieces: list[bytes]) -> None:
    """However it is split, every kind of line end comes out as CRLF, the last line is ended, and nothing else changes."""
    ender = LineEnder()
    made = b"".join(map(ender.feed, pieces)) + ender.finish()
    whole = b"".join(pieces).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert made == (whole + (b"" if not whole or whole.endswith(b"\n") else b"\n")).replace(b"\n", b"\r\n")
