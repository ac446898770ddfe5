"""What people may send: as themselves and as what was granted to them, in envelope and From, and what ends their sessions (spec 6.10, 7.27)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.inbound.activity import Activity, Limits
from jetmail.store.directory import accounts, blocked_senders, domains, people, sender_addresses
from jetmail.store.directory.accounts import Account
from jetmail.store.directory.sender_addresses import SenderAddress
from tests.inbound.receiving import CONTENT, GTUBE, House
from tests.inbound.test_submission import written

ANN = "ann@demo.test"
NOT_OWNED = "553 5.7.1 Sender address rejected: not owned by user"
WORLD = ("x@elsewhere.test",)


class Case(SynchronousTestCase):
    """A house with the person ann@demo.test."""

    def setUp(self) -> None:
        self.house = House()
        self.house.add_person(ANN)

    def send(self, author: str = ANN, sender: str = ANN, **more: Any) -> str:
        """The reply to a message, its own id written as {uid}; at MAIL or after the content."""
        visit = self.house.submission(ANN)
        at_mail = visit.mail(sender)
        reply = str(visit.send(written(author, **more), sender, WORLD) if at_mail.is_positive else at_mail)
        uids = self.house.rows("SELECT uid FROM messages ORDER BY id DESC LIMIT 1")
        return reply.replace(uids[0][0], "{uid}") if uids else reply

    def taken(self, **more: Any) -> None:
        """A message that is accepted."""
        self.assertEqual(self.send(**more), "250 2.0.0 OK queued as {uid}")

    def details(self) -> str:
        """What the record of the last message says privately."""
        found: str = self.house.rows("SELECT findings FROM messages ORDER BY id DESC LIMIT 1")[0][0]
        return found


class SenderTests(Case):
    """As whom."""

    def test_itself(self) -> None:
        """Its own address in any case, in envelope and From; the null sender is judged by From; the uuid goes out, the address not beside it."""
        self.taken()
        self.taken(author="Ann Smith <Ann@Demo.test>", sender="ANN@demo.test")
        self.taken(sender="")
        data: bytes = self.house.rows(CONTENT)[0][0]
        self.assertIn(b"X-JetEmail-User: uuid-of-ann@demo.test\r\n", data)
        self.assertEqual(set(self.house.rows("SELECT direction, user FROM messages")), {("outbound", "uuid-of-ann@demo.test")})

    def test_nobody_else(self) -> None:
        """Another address of the domain, or one elsewhere: at MAIL for the envelope, after the content for From; so for a From nobody can read."""
        for other in ("bob@demo.test", "ann@elsewhere.test", "ann+x@demo.test"):
            self.assertEqual(str(self.house.submission(ANN).mail(other)), NOT_OWNED, other)
            self.assertEqual(self.send(author=other), NOT_OWNED, other)
            self.assertIn("SENDER_NOT_OWNED", self.details())
        for author in ("", "nobody", f"{ANN}, bob@demo.test", f"{ANN}\r\nFrom: bob@demo.test"):
            self.assertEqual(self.send(author=author), NOT_OWNED, author)
        self.assertEqual(self.send(author="bob@demo.test", sender=""), NOT_OWNED)

    def test_own_alias_is_not_excepted(self) -> None:
        """Mail for an alias reaching a person does not let it send as the alias."""
        self.house.add_alias("team@demo.test", ANN)
        self.assertEqual(self.send(sender="team@demo.test"), NOT_OWNED)

    def test_granted(self) -> None:
        """A granted address is good in envelope and From, one for one, until it is taken back."""
        grant = SenderAddress("team@demo.test", "uuid-of-ann@demo.test")
        self.house.write(sender_addresses.add, grant)
        self.taken(author="Team@demo.test", sender="team@demo.test")
        self.taken(author=f"{ANN}, team@demo.test")
        self.assertEqual(self.send(author="boss@demo.test"), NOT_OWNED)
        self.house.write(sender_addresses.remove, grant)
        self.assertEqual(self.send(sender="team@demo.test"), NOT_OWNED)

    def test_domain_must_be_good(self) -> None:
        """A domain that is switched off for outbound, or is another account's by now, lets nobody send as themselves."""
        for changes in ({"outbound": False}, {"verified_at": None}, {"account_id": 2}):
            self.house.write(domains.remove, "demo.test")
            self.house.add_domain("demo.test", **changes)
            self.house.add_person(ANN)
            self.assertEqual(self.send(), NOT_OWNED, str(changes))


class SessionTests(Case):
    """Signed in, and what comes between."""

    def test_ends(self) -> None:
        """Removed, suspended, another password, the domain gone: 421 at whatever the session says next."""
        changes: tuple[Callable[[], None], ...] = (
            lambda: self.house.change_person(status="suspended"),
            lambda: self.house.change_person(password="another"),
            lambda: self.house.write(domains.remove, "demo.test"),
            lambda: self.house.write(people.remove, self.house.person()),
        )
        for change in changes:
            visits = [self.house.submission(ANN) for _ in range(3)]
            visits[1].mail(ANN)
            visits[2].mail(ANN)
            visits[2].rcpt(*WORLD)
            change()
            said = [visits[0].mail(ANN), visits[1].rcpt(), visits[2].receiver.data()]
            self.assertEqual([reply.code for reply in said], [421] * 3)
            if change is changes[2]:
                self.house.add_domain("demo.test")
                self.house.add_person(ANN)
            elif change is not changes[3]:
                self.house.change_person(status="active", password="proved")


class AbuseTests(Case):
    """People are counted and stopped like SMTP users."""

    def test_blocked(self) -> None:
        """Over a limit the person is blocked, listed with evidence under its account, whose contact is told; others go on."""
        house = self.house
        house.write(accounts.save, Account(1, "default", "standard", "owner@elsewhere.test"))
        house.activity = house.submissions.activity = Activity(house.db, house.clock, Limits(spam=1), Limits(), house.activity.on_over)
        spam = "550 [SPAM] Blocked. See https://mx.demo.test/?id={uid}&auth=uuid-of-ann@demo.test"
        self.assertEqual(self.send(body=b"X" + GTUBE), spam)
        self.assertEqual(self.send(body=b"X" + GTUBE), spam)
        self.assertIn("550 5.7.1 [ABUSE] Sender blocked: spam or abuse detected. See: https://mx.demo.test/?id=", self.send())
        (block,) = house.db.read(blocked_senders.listing)
        self.assertEqual((block.user, block.account_id, block.reason), ("uuid-of-ann@demo.test", 1, "spam"))
        self.assertEqual(house.rows("SELECT subject FROM messages WHERE user = ''"), [("Sender blocked: ann@demo.test",)])
        house.add_person("bob@demo.test")
        visit = house.submission("bob@demo.test")
        self.assertEqual(visit.send(written("bob@demo.test"), "bob@demo.test", WORLD).code, 250)
