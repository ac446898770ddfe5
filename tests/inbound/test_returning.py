"""What comes to addresses of ours: taken or refused at RCPT, joined to the message it speaks of, passed on or not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.inbound.policies import PolicyBook
from jetmail.inbound.returning import ReturnOptions, Returns
from jetmail.mail import returnpath, srs
from jetmail.mail.address import parse
from jetmail.mail.returnpath import DAY, Key, Ring
from jetmail.store.directory import domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic import returns, sending, suppressions
from jetmail.suppressing import Suppressing, SuppressingOptions
from tests.inbound.receiving import DELIVERIES, GTUBE, NOW, House

RING = Ring((Key(0, NOW, b"k" * 32),))
BOUNCES = "bounces.example.org"
VACATION = b"From: bob@far.test\r\nAuto-Submitted: auto-replied\r\nSubject: Away\r\nIn-Reply-To: <1@example.org>\r\n\r\nBack on Monday.\r\n"
COMPLAINT = (
    b"From: fbl@far.test\r\nSubject: complaint\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\n\r\nspam\r\n"
    b"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: FBL/1\r\nSource-IP: 192.0.2.9\r\n"
    b"Original-Rcpt-To: bob@far.test\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\n\r\nhi\r\n--x--\r\n"
)


def report(final: str = "bob@far.test", action: str = "failed", status: str = "5.1.1", said: str = "550 5.1.1 no such user") -> bytes:
    """A bounce of a host that took it first."""
    return (
        "From: MAILER-DAEMON@far.test\r\nSubject: failure\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n"
        "--x\r\n\r\nSorry.\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.test\r\n\r\n"
        f"Final-Recipient: rfc822; {final}\r\nAction: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {said}\r\n\r\n--x--\r\n"
    ).encode()


class Case(SynchronousTestCase):
    """The user 'app' has sent a message to bob and ann at far.test, and far.test took it."""

    def setUp(self) -> None:
        self.house = house = House()
        house.write(domains.add, Domain(name="example.org", kind="relay", verified_at=1.0, account_id=1))
        self.user = house.add_user()
        self.told: list[tuple[str, str]] = []
        suppressing = Suppressing(house.db, lambda user: 1, SuppressingOptions())
        self.door = Returns(
            house.db, house.directory, lambda: RING, ReturnOptions(own=frozenset({"return.us.test"}), forward="us.test", per_hour=3),
            lambda address: (address,), suppressing.of_bounce, suppressing.of_complaint, lambda kind, word: self.told.append((kind, word)),
        )  # fmt: skip
        house.services = replace(house.services, returns=self.door, book=PolicyBook(house.directory, self.door.is_ours))
        self.sent()

    def sent(self, notify: str = "") -> None:
        """The message, delivered."""
        visit = self.house.submission()
        visit.mail("app@example.org")
        for name in ("bob", "ann"):
            visit.rcpt(f"{name}@far.test", notify=notify)
        self.assertEqual(self.successResultOf(visit.content()).code, 250)
        self.house.write(lambda conn: conn.execute("UPDATE deliveries SET status = 'delivered', reason = 'accepted', finished = 5"))
        ((self.uid, self.message_id),) = self.house.rows("SELECT uid, id FROM messages ORDER BY id DESC LIMIT 1")
        self.bob, self.ann = (row[0] for row in self.house.rows(f"SELECT id FROM deliveries WHERE message_id = {self.message_id} ORDER BY id"))

    def token(self, delivery: int = 0, is_one: bool = True, domain: str = BOUNCES, now: float = NOW) -> str:
        """The return path the message went out under."""
        return returnpath.made(RING, now, self.uid, delivery or self.bob, is_one, domain)

    def back(self, octets: bytes, to: str = "", sender: str = "") -> Any:
        """Something comes back."""
        return self.house.session().send(octets, sender, (to or self.token(),))

    def rcpt(self, address: str, sender: str = "") -> str:
        """What RCPT says."""
        visit = self.house.session()
        visit.mail(sender)
        return str(visit.rcpt(address))

    def events(self) -> list[tuple[str, int | None, dict[str, Any]]]:
        """The timeline of the message that was sent."""
        rows = self.house.rows(f"SELECT kind, delivery_id, detail FROM events WHERE message_id = {self.message_id} ORDER BY id")
        return [(kind, delivery, json.loads(detail)) for kind, delivery, detail in rows]

    def deliveries(self) -> list[tuple[Any, ...]]:
        """Recipient, target, status, reason of all."""
        return [(row[0], row[1], row[3], row[4]) for row in self.house.rows(DELIVERIES)]


class RcptTests(Case):
    """Who is taken."""

    def test_valid(self) -> None:
        """A token of ours is taken, in any case, below a verified domain and at our own name."""
        self.assertEqual(self.rcpt(self.token()), "250 2.1.5 OK")
        self.assertEqual(self.rcpt(self.token().upper()), "250 2.1.5 OK")
        self.assertEqual(self.rcpt(self.token(domain="return.us.test")), "250 2.1.5 OK")

    def test_forged(self) -> None:
        """One letter changed, or taken to another domain of ours: 550."""
        said = "550 5.7.1 This is no return address of a message sent from here"
        token = self.token()
        self.assertEqual(self.rcpt(("b+b" if token[2] != "b" else "b+c") + token[3:]), said)
        self.assertEqual(self.rcpt(token.replace(BOUNCES, "return.us.test")), said)
        self.assertEqual(self.house.refused, ["return-path"] * 2)

    def test_expired(self) -> None:
        """Past its time, or of a message that is gone: 550."""
        said = "550 5.7.1 This return address has expired"
        self.assertEqual(self.rcpt(self.token(now=NOW - 15 * DAY)), said)
        self.house.write(lambda conn: conn.execute("DELETE FROM messages"))
        self.assertEqual(self.rcpt(self.token()), said)

    def test_not_at_other_domains(self) -> None:
        """At a domain that is not ours the same letters are anybody's address: relaying is denied."""
        self.assertIn("550 5.1.2 Relaying denied", self.rcpt(self.token(domain="bounces.elsewhere.test")))

    def test_ordinary_addresses(self) -> None:
        """What only begins alike at a domain of ours is mail for it."""
        self.assertEqual(self.rcpt("b+tag@demo.test", "alice@example.net"), "250 2.1.5 OK")

    def test_alone(self) -> None:
        """No other recipient with it, before or after."""
        said = "452 4.5.3 One recipient at a time for the null sender"
        visit = self.house.session()
        visit.mail("x@far.test")
        visit.rcpt("bob@demo.test")
        self.assertEqual(str(visit.rcpt(self.token())), said)
        visit.mail("x@far.test")
        visit.rcpt(self.token())
        self.assertEqual(str(visit.rcpt("bob@demo.test")), said)

    def test_rate(self) -> None:
        """So many an hour for one recipient, ten times that for a token of several; then later, until the hour is over."""
        for _ in range(3):
            self.assertEqual(self.rcpt(self.token()), "250 2.1.5 OK")
        said = "451 4.7.1 Too much has come back for this message, please try again later"
        self.assertEqual(self.rcpt(self.token()), said)
        self.assertEqual(self.rcpt(self.token(is_one=False)), "250 2.1.5 OK")
        self.house.clock.advance(3_600)
        self.assertEqual(self.rcpt(self.token()), "250 2.1.5 OK")


class TakenTests(Case):
    """What becomes of it."""

    def test_bounce(self) -> None:
        """An event, the delivery rejected, a suppression, a row; the original sender gets the report from the null sender."""
        self.assertEqual(self.back(report(), sender="postmaster@far.test").code, 250)
        (kind, delivery, detail), (struck, _, what) = self.events()
        self.assertEqual((kind, delivery), ("bounced-later", self.bob))
        self.assertEqual((detail["word"], detail["status"], detail["hard"], detail["passed_on"]), ("no-such-user", "5.1.1", True, True))
        self.assertEqual((struck, what["address"], what["for"]), ("suppressed", "bob@far.test", "bounce"))
        self.assertEqual(self.deliveries(), [
            ("bob@far.test", "bob@far.test", "rejected", "returned"),
            ("ann@far.test", "ann@far.test", "delivered", "accepted"),
            (self.token(), "app@example.org", "queued", ""),
        ])  # fmt: skip
        ((sender, direction, content),) = self.house.rows(
            "SELECT sender, direction, content_id IS NOT NULL FROM messages WHERE direction = 'inbound'"
        )
        self.assertEqual((sender, direction, content), ("", "inbound", 1))
        (item,) = self.house.db.read(returns.listing, None)
        self.assertEqual((item.about, item.delivery_id, item.kind, item.is_hard, item.final), (self.uid, self.bob, "bounce", True, "bob@far.test"))
        self.assertEqual((item.user, item.sender, item.reporter, item.passed_on), (self.user.uuid, "app@example.org", "mx.far.test", True))
        self.assertIn("bob@far.test", self.house.db.read(suppressions.find, 1, ["bob@far.test", "ann@far.test"], NOW))
        self.assertEqual(self.told, [("bounce", "no-such-user")])
        self.assertEqual(len(self.house.queue.messages), 2)

    def test_counts_against_the_sender(self) -> None:
        """What came back, and a complaint, are rejections of the user's for the limits of abuse; a delay is none."""
        self.back(report(action="delayed", status="4.2.2"))
        self.back(report())
        self.back(COMPLAINT)
        _, found = self.house.db.read(sending.returned, 0, 100)
        self.assertEqual(found, ((self.user.uuid, "app@example.org"),) * 2)

    def test_delay_changes_nothing(self) -> None:
        """A notice of delay is an event, and goes on; what was delivered stays so."""
        self.back(report(action="delayed", status="4.2.2", said="452 4.2.2 mailbox full"))
        self.assertEqual([kind for kind, _, _ in self.events()], ["delayed-later"])
        self.assertEqual(self.deliveries()[0][2], "delivered")
        self.assertEqual(self.house.db.read(suppressions.find, 1, ["bob@far.test"], NOW), {})

    def test_soft_bounce_suppresses_nobody(self) -> None:
        """A full mailbox is a failure of this message and says nothing of the next."""
        self.back(report(status="5.2.2", said="552 5.2.2 mailbox full"))
        self.assertEqual(self.deliveries()[0][2:], ("rejected", "returned"))
        self.assertEqual(self.house.db.read(suppressions.find, 1, ["bob@far.test"], NOW), {})

    def test_auto_reply(self) -> None:
        """A vacation reply goes on to the original sender from the null sender; nothing bounced."""
        self.back(VACATION, sender="bob@far.test")
        self.assertEqual([kind for kind, _, _ in self.events()], ["auto-reply"])
        self.assertEqual(self.deliveries()[0][2], "delivered")
        self.assertEqual(self.deliveries()[2][1:3], ("app@example.org", "queued"))
        self.assertEqual(self.house.rows("SELECT sender FROM messages WHERE direction = 'inbound'"), [("",)])

    def test_complaint(self) -> None:
        """A complaint suppresses, is an event and a row, and goes to nobody: no content is kept."""
        self.back(COMPLAINT, sender="fbl@far.test")
        (kind, delivery, detail), (struck, _, _) = self.events()
        self.assertEqual((kind, delivery, detail["type"], detail["source"]), ("complaint", self.bob, "abuse", "192.0.2.9"))
        self.assertEqual(struck, "suppressed")
        self.assertEqual(self.house.db.read(suppressions.find, 1, ["bob@far.test"], NOW)["bob@far.test"].reason, "complaint")
        self.assertEqual(self.deliveries()[2], (self.token(), "app@example.org", "delivered", "returned"))
        self.assertEqual(self.house.rows("SELECT content_id FROM messages WHERE direction = 'inbound'"), [(None,)])

    def test_large_complaint_leaves_no_file(self) -> None:
        """What was spooled of it is gone after the commit."""
        self.house.services = replace(self.house.services, options=replace(self.house.services.options, inline_limit=4_096))
        self.back(COMPLAINT + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 200)
        self.assertEqual(self.house.spool.files, {})

    def test_notify(self) -> None:
        """Who asked for no reports gets none; the event is there all the same."""
        self.sent("NEVER")
        self.back(report())
        self.assertEqual([kind for kind, _, _ in self.events()], ["bounced-later", "suppressed"])
        self.assertEqual(self.deliveries()[-1][2:], ("delivered", "returned"))

    def test_success(self) -> None:
        """A success is passed on to who asked for it, and to nobody else."""
        done = report(action="delivered", status="2.1.5", said="250 2.1.5 ok")
        self.back(done)
        self.assertEqual(self.deliveries()[-1][2:], ("delivered", "returned"))
        self.sent("SUCCESS")
        self.back(done)
        self.assertEqual(self.deliveries()[-1][2], "queued")
        self.assertEqual([kind for kind, _, _ in self.events()], ["confirmed-later"])

    def test_token_of_several(self) -> None:
        """The report says which; whoever is not at the same destination is nobody's to speak of."""
        self.back(report("ann@far.test"), self.token(is_one=False))
        self.assertEqual([(kind, delivery) for kind, delivery, _ in self.events()][0], ("bounced-later", self.ann))
        self.house.write(lambda conn: conn.execute(f"UPDATE deliveries SET destination = 'other.test' WHERE id = {self.bob}"))
        self.back(report("bob@far.test"), self.token(delivery=self.ann, is_one=False))
        statuses = [row[2] for row in self.deliveries()]
        self.assertEqual(statuses[:2], ["delivered", "rejected"])

    def test_one_of_many_behind_the_address(self) -> None:
        """A list behind the address fails for one of its members: told, but the delivery to the list stands, and nobody is suppressed."""
        two = report("x@inner.test").replace(
            b"\r\n--x--", b"\r\nFinal-Recipient: rfc822; y@inner.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--x--"
        )
        self.back(two)
        self.assertEqual([(kind, delivery) for kind, delivery, _ in self.events()], [("bounced-later", self.bob)] * 2)
        self.assertEqual(self.deliveries()[0][2], "delivered")
        self.assertEqual(self.house.db.read(suppressions.find, 1, ["bob@far.test"], NOW), {})

    def test_not_filtered_for_its_score(self) -> None:
        """A bounce that quotes spam comes home."""
        self.assertEqual(self.back(report().replace(b"Sorry.\r\n", b"X" + GTUBE)).code, 250)

    def test_fault(self) -> None:
        """When nothing can be written it is 451, and nothing of it is there."""
        self.house.db.holds = True
        visit = self.house.session()
        visit.mail("")
        visit.rcpt(self.token())
        answer = visit.content(report())
        self.house.db.fail()
        self.assertEqual(self.successResultOf(answer).code, 451)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual((self.events(), self.deliveries()[0][2]), ([], "delivered"))


class FeedbackTests(Case):
    """The address providers are told to send complaints to."""

    def complaint(self, path: str) -> bytes:
        """One that quotes a return path, as the envelope it saw."""
        return COMPLAINT.replace(b"Feedback-Type: abuse", b"Feedback-Type: abuse\r\nOriginal-Mail-From: <" + path.encode() + b">")

    def test_joined_by_what_it_quotes(self) -> None:
        """The return path in the report, or in the header of the message it attaches, says which message it is about."""
        self.assertEqual(self.back(self.complaint(self.token()), "fbl@return.us.test", "fbl@far.test").code, 250)
        attached = COMPLAINT.replace(b"Message-ID:", b"Return-Path: <" + self.token().encode() + b">\r\nMessage-ID:")
        self.assertEqual(self.back(attached, "FBL@return.us.test", "fbl@far.test").code, 250)
        self.assertEqual([kind for kind, _, _ in self.events()], ["complaint", "suppressed", "complaint"])
        self.assertEqual(self.deliveries()[-1], ("FBL@return.us.test", "FBL@return.us.test", "delivered", "returned"))

    def test_anything_else_is_refused(self) -> None:
        """A forged return path, none, a bounce, a letter: 550, and nothing of it is there."""
        letter = b"From: a@far.test\r\nSubject: x\r\n\r\nhello\r\n"
        for octets in (self.complaint(self.token()[:-30] + "a" * 30), COMPLAINT, report(), letter):
            self.assertEqual(str(self.back(octets, "fbl@return.us.test", "fbl@far.test"))[:9], "550 5.7.1")
        self.assertEqual((self.events(), len(self.house.queue.messages)), ([], 1))

    def test_at_no_other_name(self) -> None:
        """Below a domain of a customer it is an address nobody knows."""
        self.assertIn("Relaying denied", self.rcpt("fbl@bounces.example.org"))


class SubmittedTests(Case):
    """Users write to return paths too: their answering machines."""

    def test_taken(self) -> None:
        """From a session that has signed in it is joined and passed on like any other, and the quota's place is settled."""
        self.house.change_user(quota=10)
        visit = self.house.submission()
        visit.mail("app@example.org")
        self.assertEqual(visit.rcpt(self.token()).code, 250)
        self.assertEqual(self.successResultOf(visit.content(VACATION.replace(b"bob@far.test", b"app@example.org"))).code, 250)
        self.assertEqual([kind for kind, _, _ in self.events()], ["auto-reply"])
        self.assertEqual(self.deliveries()[-1], (self.token(), "app@example.org", "queued", ""))


class RewrittenTests(Case):
    """Senders of forwards."""

    def srs(self, sender: str = "ann@origin.test") -> str:
        """As it left."""
        return srs.forwarded(RING, NOW, parse(sender), "us.test")

    def test_goes_home(self) -> None:
        """A bounce to it is relayed to the sender it was made from, under the null sender, as it is."""
        self.back(report(), self.srs())
        self.assertEqual(self.deliveries()[-1], (self.srs(), "ann@origin.test", "queued", ""))
        self.assertEqual(self.events(), [])

    def test_forged_and_expired(self) -> None:
        """550 at RCPT."""
        self.assertEqual(self.rcpt(self.srs().replace("ann", "eve")), "550 5.7.1 This is no return address of a message sent from here")
        self.house.clock.advance(16 * DAY)
        self.assertEqual(self.rcpt(self.srs()), "550 5.7.1 This return address has expired")

    def test_filtered(self) -> None:
        """Spam that a bounce brings back is not passed on."""
        self.assertEqual(self.back(report().replace(b"Sorry.\r\n", b"X" + GTUBE), self.srs()).code, 554)
