"""What users may send: each permission mode and each reply to the letter, the quota, blocked senders, what is written into the header."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jetmail.inbound.activity import Activity, Limits
from jetmail.inbound.quota import Meter
from jetmail.inbound.submission import Question, SubmissionOptions, Submissions
from jetmail.interfaces import AnswerKind
from jetmail.mail.reply import Reply
from jetmail.rules.verdict import NO_OPINION, Action, Ruling, Verdict
from jetmail.store.directory import accounts, blocked_senders, sender_addresses, smtp_users
from jetmail.store.directory.accounts import Account
from jetmail.store.directory.sender_addresses import SenderAddress
from tests.inbound.receiving import CONTENT, GTUBE, MESSAGE, NOW, House

WORLD = ("x@elsewhere.test",)
ACL = "550 [ACL] Blocked. See https://mx.demo.test/?id={uid}&auth=uuid-of-app"


def written(author: str, body: bytes = b"Hello.\r\n") -> bytes:
    """A message with that From field, '' for none."""
    field = f"From: {author}\r\n".encode() if author else b""
    return field + b"Subject: x\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@a>\r\n\r\n" + body


class Case(SynchronousTestCase):
    """A house with the user 'app', who may send from example.org."""

    def setUp(self) -> None:
        self.house = House()
        self.house.add_user()

    def send(self, author: str = "a@example.org", sender: str = "a@example.org", **more: Any) -> str:
        """The reply to a message, its own id written as {uid}."""
        visit = self.house.submission()
        reply = str(visit.send(written(author, **more), sender, WORLD))
        uids = self.house.rows("SELECT uid FROM messages ORDER BY id DESC LIMIT 1")
        return reply.replace(uids[0][0], "{uid}") if uids else reply

    def begin(self) -> Any:
        """A message whose answer waits for something."""
        visit = self.house.submission()
        visit.mail("a@example.org")
        visit.rcpt(*WORLD)
        return visit.receiver, visit.content(written("a@example.org"))

    def details(self) -> str:
        """What the record of the last message says privately."""
        found: str = self.house.rows("SELECT findings FROM messages ORDER BY id DESC LIMIT 1")[0][0]
        return found

    def taken(self, **more: Any) -> None:
        """A message that is accepted."""
        self.assertEqual(self.send(**more), "250 2.0.0 OK queued as {uid}")


class ModeTests(Case):
    """From which domains each mode may send (spec 5.2)."""

    def test_default_takes_assigned_domains_only(self) -> None:
        """Envelope and From are both looked at, and the refusal says where it is explained but not why."""
        self.taken()
        self.assertEqual(self.send("a@other.test"), ACL)
        self.assertIn("From a@other.test: other.test is not among the 1 domains assigned", self.details())
        self.assertEqual(self.send(sender="a@other.test"), ACL)
        self.assertIn("envelope sender a@other.test", self.details())
        self.assertEqual(self.house.rows("SELECT DISTINCT status, reason FROM deliveries WHERE status <> 'queued'"), [("rejected", "acl")])

    def test_subdomains_only_with_a_star(self) -> None:
        """A domain is itself; *.domain is what is below it, however deep, and not itself."""
        self.assertEqual(self.send("a@sub.example.org"), ACL)
        self.house.change_user(domains=("*.example.org",))
        self.taken(author="a@sub.example.org", sender="b@deep.sub.example.org")
        self.assertEqual(self.send(), ACL)

    def test_null_sender(self) -> None:
        """It is judged by From alone."""
        self.taken(sender="")
        self.assertEqual(self.send("a@other.test", ""), ACL)

    def test_several_authors(self) -> None:
        """All of them must be allowed, and somebody must be named."""
        self.taken(author="a@example.org, b@example.org")
        for author in ("a@example.org, b@other.test", "", "nobody", "a@example.org\r\nFrom: b@other.test"):
            self.assertEqual(self.send(author), ACL, author)

    def test_all_is_every_verified_outbound_domain_of_the_account(self) -> None:
        """Domains added later count at once; unverified ones, those switched off and other accounts' do not."""
        self.house.change_user(mode="all", domains=())
        self.assertEqual(self.send(), ACL)
        self.house.add_domain("example.org")
        self.taken()
        self.house.add_domain("claimed.test", verified_at=None)
        self.house.add_domain("off.test", outbound=False)
        self.house.add_domain("theirs.test", account_id=2)
        for domain in ("claimed.test", "off.test", "theirs.test", "sub.example.org"):
            self.assertEqual(self.send(f"a@{domain}"), ACL, domain)

    def test_any_is_for_plan_pro(self) -> None:
        """Any domain while the account is pro; after a downgrade the mode counts as default."""
        self.house.change_user(mode="any")
        self.house.write(accounts.save, Account(1, "default", "pro"))
        self.house.resolver.zone[("other.test", "TXT")] = [b"v=spf1 -all"]
        self.taken(author="a@other.test", sender="b@other.test")
        self.assertNotIn("SENDER_WITHOUT_SPF", self.details())
        self.house.write(accounts.save, Account(1, "default", "standard"))
        self.assertEqual(self.send("a@other.test"), ACL)
        self.assertIn("needs plan pro", self.details())
        self.taken()

    def test_granted_address(self) -> None:
        """One address granted to a user is that address and no other of its domain."""
        self.house.write(sender_addresses.add, SenderAddress("boss@other.test", "uuid-of-app"))
        self.taken(author="Boss@other.test", sender="boss@other.test")
        self.assertEqual(self.send("clerk@other.test"), ACL)


class ChecksTests(Case):
    """Lockdown's place, and SPF."""

    def test_lockdown_comes_after_permission_and_before_the_chain(self) -> None:
        """It is asked about the domains of envelope and From, and its refusal gets the reference."""
        asked: list[Question] = []
        text = "[LOCKDOWN] This sender is not authorized to send from example.org"
        refusal = Verdict(ruling=Ruling(Action.REJECT, "policy", Reply(550, "5.7.1", text)))

        def lockdown(question: Question) -> Verdict:
            asked.append(question)
            return refusal

        self.house.submissions.lockdown = lockdown
        self.assertEqual(self.send("a@other.test"), ACL)
        self.assertEqual(asked, [])
        self.assertEqual(self.send(body=GTUBE), f"550 5.7.1 {text}")
        self.assertEqual(asked[0].domains, ("example.org",))

    def test_lockdown_waits(self) -> None:
        """A check may take its time; a client that leaves meanwhile leaves nothing."""
        waiting: list[Deferred[Verdict]] = []

        def lockdown(question: Question) -> Deferred[Verdict]:
            waiting.append(Deferred())
            return waiting[-1]

        self.house.submissions.lockdown = lockdown
        self.house.change_user(quota=1)
        receiver, answer = self.begin()
        receiver.abort()
        waiting[0].callback(NO_OPINION)
        self.successResultOf(answer)
        self.assertEqual(self.house.rows("SELECT 1 FROM messages"), [])
        _, again = self.begin()
        waiting[1].callback(NO_OPINION)
        self.assertEqual(self.successResultOf(again).code, 250)  # the place of the first in the quota came back

    def test_no_spf_is_noted(self) -> None:
        """Mode any takes a domain without SPF, and the record says so."""
        self.house.change_user(mode="any")
        self.house.write(accounts.save, Account(1, "default", "pro"))
        self.taken()
        self.assertIn("example.org: no SPF record", self.details())

    def test_strict_spf(self) -> None:
        """The strict option wants the include, nested ones too, and never blocks for DNS trouble."""
        submissions, zone = self.house.submissions, self.house.resolver.zone
        submissions.options = replace(submissions.options, spf="strict", spf_include="spf.demo.test")
        refusal = "550 [SPF_INVALID] Blocked. See https://mx.demo.test/?id={uid}&auth=uuid-of-app"
        self.assertEqual(self.send(), refusal)
        zone["example.org", "TXT"] = [b"google-site-verification=1", b"v=spf1 include:spf.brand.test ~all"]
        zone["spf.brand.test", "TXT"] = [b"v=spf1 ip4:192.0.2.1 -all"]
        self.assertEqual(self.send(), refusal)
        zone["spf.brand.test", "TXT"] = [b"v=spf1 include:SPF.demo.test. -all"]
        self.taken()
        zone["example.org", "TXT"] = AnswerKind.SERVFAIL
        self.taken()


class ContentTests(Case):
    """The chain, and what is written."""

    def test_spam(self) -> None:
        """The score of users' mail has its own threshold; the refusal names its explanation, and is counted."""
        self.assertEqual(self.send(body=b"X" + GTUBE), "550 [SPAM] Blocked. See https://mx.demo.test/?id={uid}&auth=uuid-of-app")
        self.house.activity.flush()
        self.assertEqual(self.house.rows("SELECT sender, messages, spam FROM sending ORDER BY sender"), [("", 1, 1), ("a@example.org", 1, 1)])

    def test_own_domain_still_resolves(self) -> None:
        """An alias of ours leads where it leads; the world is relayed to; a domain that is only claimed is the world."""
        self.house.add_alias("team@demo.test", "ann@demo.test")
        self.house.add_domain("claimed.test", verified_at=None)
        self.house.submission().send(MESSAGE, "a@example.org", ("team@demo.test", "x@claimed.test", "y@elsewhere.test"))
        self.assertEqual(
            self.house.rows("SELECT target, destination FROM deliveries ORDER BY id"),
            [("ann@demo.test", "demo.test"), ("x@claimed.test", "claimed.test"), ("y@elsewhere.test", "elsewhere.test")],
        )
        self.assertEqual(self.house.rows("SELECT direction, user FROM messages"), [("outbound", "uuid-of-app")])

    def test_header(self) -> None:
        """The uuid goes out and nothing of the kind from the client; Date and Message-ID are added only where they are missing."""
        self.house.submission().send(b"x-jetemail-user: forged\r\nFrom: a@example.org\r\nX-JetEmail-User:\r\n more\r\n\r\nHi\r\n", "", WORLD)
        data: bytes = self.house.rows(CONTENT)[0][0]
        self.assertEqual(data.lower().count(b"x-jetemail-user:"), 1)
        self.assertIn(b"\r\nX-JetEmail-User: uuid-of-app\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <", data)
        self.assertIn(b"with ESMTPSA id", data)
        self.assertNotIn(b"X-Spam", data)
        self.assertNotIn(b"more", data)
        self.assertTrue(self.house.rows("SELECT message_id FROM messages")[0][0].endswith("@mx.demo.test>"))
        self.taken()
        self.assertEqual(self.house.rows(CONTENT)[1][0].count(b"Date:"), 1)

    def test_header_by_another_name(self) -> None:
        """Where the field is called otherwise, a forged one of the usual name does not pass either."""
        house = self.house
        house.submissions = Submissions(
            SubmissionOptions("mx.demo.test", user_header="X-Sent-By"), house.directory, Meter(house.db), house.activity, house.resolver, house.clock
        )
        house.services = replace(house.services, submissions=house.submissions)
        house.submission().send(b"X-JetEmail-User: forged\r\nX-Sent-By: forged\r\nFrom: a@example.org\r\n\r\nHi\r\n", "", WORLD)
        data: bytes = house.rows(CONTENT)[0][0]
        self.assertIn(b"X-Sent-By: uuid-of-app\r\n", data)
        self.assertNotIn(b"forged", data)

    def test_session_ends(self) -> None:
        """Deleted, suspended, another password or network: 421 at whatever the session says next."""
        changes: tuple[Callable[[], None], ...] = (
            lambda: self.house.change_user(is_suspended=True),
            lambda: self.house.change_user(password="another"),
            lambda: self.house.change_user(networks=("203.0.113.0/24",)),
            lambda: self.house.write(smtp_users.remove, self.house.user()),
        )
        for change in changes:
            visits = [self.house.submission() for _ in range(4)]
            for number, visit in enumerate(visits):
                if number:
                    visit.mail("a@example.org")
                if number > 1:
                    visit.rcpt()
                if number > 2:
                    visit.receiver.data()
                    visit.receiver.chunk(MESSAGE)
            change()
            said = [visits[0].mail("a@example.org"), visits[1].rcpt(), visits[2].receiver.data(), visits[3].receiver.end()]
            self.assertEqual([reply.code for reply in said], [421] * 4)
            if change is not changes[-1]:
                self.house.change_user(is_suspended=False, password="proved", networks=())


class QuotaTests(Case):
    """So many messages in a window (spec 5.3)."""

    LIMIT = "421 4.7.1 Rate limit exceeded. Try again later."

    def test_counts_what_is_accepted(self) -> None:
        """Refused messages cost nothing; when it is used up MAIL says so; the next window begins anew; a restart forgets nothing."""
        self.house.change_user(quota=2)
        self.assertEqual(self.send("a@other.test"), ACL)
        self.taken()
        self.taken()
        self.assertEqual(str(self.house.submission().mail("a@example.org")), self.LIMIT)
        self.house.submissions.meter = Meter(self.house.db)
        self.assertEqual(str(self.house.submission().mail("a@example.org")), self.LIMIT)
        self.assertEqual(self.house.rows("SELECT user, period, messages FROM quota_usage"), [("uuid-of-app", "2023-11", 2)])
        self.house.clock.advance(17 * 86_400)
        self.taken()

    def test_unlocked(self) -> None:
        """An administrator's word lets more through until the window ends."""
        self.house.change_user(quota=1)
        self.taken()
        self.house.change_user(unlocked_until=NOW + 3_600)
        self.taken()
        self.house.clock.advance(3_600)
        self.assertEqual(str(self.house.submission().mail("a@example.org")), self.LIMIT)

    def test_fifty_sessions_at_once(self) -> None:
        """With ten messages left, ten of fifty that are being committed at the same moment are taken, and no more."""
        self.house.change_user(quota=10)
        visits = [self.house.submission() for _ in range(50)]
        for visit in visits:
            visit.mail("a@example.org")
            visit.rcpt("x@elsewhere.test")
        self.house.db.holds = True
        answers = [visit.content(written("a@example.org")) for visit in visits]
        self.assertEqual(sum(isinstance(answer, Reply) for answer in answers), 40)
        self.house.db.commit()
        said = [answer if isinstance(answer, Reply) else self.successResultOf(answer) for answer in answers]
        self.assertEqual([reply.code for reply in said].count(250), 10)
        self.assertEqual({str(reply) for reply in said if reply.code != 250}, {self.LIMIT})
        self.assertEqual(self.house.rows("SELECT messages FROM quota_usage"), [(10,)])
        self.assertEqual(self.house.rows("SELECT count(*) FROM messages"), [(10,)])

    def test_failed_commit(self) -> None:
        """What could not be stored is not counted."""
        self.house.change_user(quota=1)
        self.house.db.holds = True
        _, answer = self.begin()
        self.house.db.fail()
        self.assertEqual(self.successResultOf(answer).code, 451)
        self.flushLoggedErrors()
        self.house.db.holds = False
        self.taken()


class AbuseTests(Case):
    """A sender over a limit is stopped by itself (spec 7.32)."""

    ABUSE = "550 5.7.1 [ABUSE] Sender blocked: spam or abuse detected. See: https://mx.demo.test/?id={uid}&auth=uuid-of-app"

    def limit(self, of_user: Limits = Limits(), of_sender: Limits = Limits()) -> Activity:
        """Other limits."""
        house = self.house
        before = house.activity
        house.activity = house.submissions.activity = Activity(house.db, house.clock, of_user, of_sender, before.on_over)
        return house.activity

    def test_spam(self) -> None:
        """Over the limit the sender is blocked, listed with evidence, its account told; another sender of the same user sends on."""
        self.house.write(accounts.save, Account(1, "default", "standard", "owner@elsewhere.test"))
        self.limit(of_sender=Limits(spam=2))
        for _ in range(3):
            self.assertIn("[SPAM]", self.send(body=b"X" + GTUBE))
        self.assertEqual(self.send(), self.ABUSE)
        self.assertIn("a@example.org: too many spam", self.details())
        self.taken(author="b@example.org", sender="b@example.org")
        (block,) = self.house.db.read(blocked_senders.listing)
        self.assertEqual((block.user, block.sender, block.reason, block.evidence["spam"]), ("uuid-of-app", "a@example.org", "spam", 3))
        notices = self.house.rows("SELECT sender, subject FROM messages WHERE user = ''")
        self.assertEqual(notices, [("", "Sender blocked: a@example.org of app")])
        told = self.house.rows("SELECT status FROM deliveries WHERE recipient = 'owner@elsewhere.test'")
        self.assertEqual(told, [("queued",)])

    def test_let_go(self) -> None:
        """After an unblocking the sender begins anew, and may be blocked again."""
        self.limit(of_user=Limits(messages=2))
        self.taken()
        self.taken()
        self.assertEqual(self.send(), self.ABUSE)
        self.house.write(partial(blocked_senders.unblock, by_owner=False), 1, self.house.clock.seconds(), "admin")
        self.house.clock.advance(5)
        self.taken()
        self.taken()
        self.assertEqual(self.send(), self.ABUSE)

    def test_fifty_at_once(self) -> None:
        """The message over the limit is the first that is refused, however many come while the block is being written."""
        self.limit(of_user=Limits(messages=10))
        visits = [self.house.submission() for _ in range(50)]
        for visit in visits:
            visit.mail("a@example.org")
            visit.rcpt("x@elsewhere.test")
        self.house.db.holds = True
        answers = [visit.content(written("a@example.org")) for visit in visits]
        self.house.db.commit()
        self.house.db.commit()
        codes = [(answer if isinstance(answer, Reply) else self.successResultOf(answer)).code for answer in answers]
        self.assertEqual((codes.count(250), codes.count(550)), (10, 40))

    def test_newcomers(self) -> None:
        """First-time recipients count once a user, over restarts too."""
        activity = self.limit(of_user=Limits(newcomers=1))
        self.taken()
        self.taken()
        activity.flush()
        self.limit(of_user=Limits(newcomers=1))
        self.taken()
        visit = self.house.submission()
        self.assertEqual(visit.send(written("a@example.org"), "a@example.org", ("new@elsewhere.test",)).code, 550)

    def test_rejections_need_a_share(self) -> None:
        """What comes back blocks only when it is over a tenth of what was sent."""
        activity = self.limit(of_sender=Limits(rejections=2))
        activity.count("uuid-of-app", "a@example.org", messages=100)
        for _ in range(9):
            activity.returned("uuid-of-app", "a@example.org")
        self.assertEqual(self.house.db.read(blocked_senders.listing), ())
        activity.returned("uuid-of-app", "a@example.org")
        activity.returned("uuid-of-app", "a@example.org")
        (block,) = self.house.db.read(blocked_senders.listing)
        self.assertEqual((block.sender, block.reason), ("a@example.org", "rejections"))

    def test_an_hour_later(self) -> None:
        """The rate is that of the last sixty minutes, and a restart knows them."""
        activity = self.limit(of_user=Limits(messages=10))
        activity.count("uuid-of-app", "", messages=10)
        activity.flush()
        activity = self.limit(of_user=Limits(messages=10))
        self.assertEqual(self.send(), self.ABUSE)
        self.house.clock.advance(7_200)
        activity = self.limit(of_user=Limits(messages=10))
        self.house.write(partial(blocked_senders.unblock, by_owner=False), 1, self.house.clock.seconds(), "admin")
        self.taken()
