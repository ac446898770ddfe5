"""Under which sender mail leaves."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail import returnpath, srs
from jetmail.mail.address import parse
from jetmail.mail.returnpath import DAY, Key, Ring, Token
from jetmail.outbound.senders import SenderOptions, WireSenders
from jetmail.store.directory import accounts, claims, domains, smtp_users
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.claims import Checked
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.smtp_users import SmtpUser
from tests.fakes import FakePeer
from tests.outbound.delivering import FACTS, MESSAGE, AttemptCase, due, job
from tests.store.samples import memory_store

NOW = 1_800_000_000.0
UID = "0192b3c4d5e6f7a8b9c0"
RING = Ring((Key(0, NOW, b"k" * 32),))
OWN = SenderOptions(own="return.us.test", forward="us.test")


class SenderTests(SynchronousTestCase):
    """Two accounts: example.org of the first has published its name, example.net of the second has not; demo.test takes mail here."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.directory = Directory(self.db)
        self.write(accounts.add, "two", "standard", 1.0)
        for name, account in (("example.org", 1), ("example.net", 2), ("demo.test", 1)):
            self.write(domains.add, Domain(name=name, kind="relay", verified_at=1.0, account_id=account))
        for number in (1, 2):
            self.write(smtp_users.add, SmtpUser(f"uuid-{number}", number, f"app{number}", password="x"))
        self.published("example.org", "ok")

    def write(self, fn: Any, *args: Any) -> None:
        """Do it now."""
        self.successResultOf(self.db.run(fn, *args))

    def published(self, domain: str, status: str) -> None:
        """What was last seen in DNS."""
        self.write(claims.put_checked, domain, [Checked(domain, "return-path", status, "", 1.0)])

    def sender(self, sender: str, options: SenderOptions = OWN, count: int = 1, destination: str = "far.test", **facts: Any) -> str:
        """MAIL FROM."""
        facts = {"uid": UID, "user": "uuid-1", "direction": "outbound"} | facts
        senders = WireSenders(self.directory, lambda: RING, lambda: NOW, options)
        return senders(FACTS._replace(sender=sender, **facts), [due(number) for number in range(7, 7 + count)], destination)

    def test_published(self) -> None:
        """Mail of a user leaves under the domain's own name, with a token for the delivery, or for the first of several."""
        one = parse(self.sender("app@example.org"))
        self.assertEqual(one.domain, "bounces.example.org")
        self.assertEqual(returnpath.read(RING, NOW, one.local, one.domain, 14), Token(UID, 7, True, NOW // DAY * DAY))
        several = parse(self.sender("app@example.org", count=3))
        self.assertEqual(returnpath.read(RING, NOW, several.local, several.domain, 14), Token(UID, 7, False, NOW // DAY * DAY))

    def test_withdrawn(self) -> None:
        """When the name is gone from DNS senders stay; when DNS says nothing, nothing changes."""
        self.published("example.org", "unknown")
        self.assertIn("@bounces.example.org", self.sender("app@example.org"))
        self.published("example.org", "missing")
        self.assertEqual(self.sender("app@example.org"), "app@example.org")

    def test_not_published(self) -> None:
        """Without it: our own name where the domain's mail is signed, or for all, or for none, as is configured."""
        net = {"user": "uuid-2"}
        self.assertEqual(self.sender("app@example.net", **net), "app@example.net")
        self.assertIn("@return.us.test", self.sender("app@example.net", SenderOptions(own="return.us.test", own_name="always"), **net))
        columns = "domain, selector, algorithm, state, record, fingerprint, created"
        key = f"INSERT INTO dkim_keys ({columns}) VALUES ('example.net', 'jm1', 'rsa', 'active', '', 'x', 1)"
        self.write(lambda conn: conn.execute(key))
        self.assertIn("@return.us.test", self.sender("app@example.net", **net))
        self.assertEqual(self.sender("app@example.net", SenderOptions(own="return.us.test", own_name="never"), **net), "app@example.net")
        self.assertEqual(self.sender("app@example.net", SenderOptions(), **net), "app@example.net")

    def test_nobody_elses_name(self) -> None:
        """A user who sends from a domain of another account does not leave under its name."""
        self.assertEqual(self.sender("app@example.org", user="uuid-2"), "app@example.org")

    def test_stays(self) -> None:
        """The null sender, a sender outside ASCII, our own reports, and everything when it is switched off."""
        for sender, more in (("", {}), ("ä@example.org", {}), ("x@example.org", {"user": ""})):
            self.assertEqual(self.sender(sender, **more), sender)
        self.assertEqual(self.sender("app@example.org", SenderOptions(enabled=False)), "app@example.org")

    def test_forward(self) -> None:
        """Mail that came from outside and goes on to a domain that is not ours is rewritten; mail to our own domains is not."""
        inward: dict[str, Any] = {"user": "", "direction": "inbound"}
        rewritten = parse(self.sender("ann@origin.test", **inward))
        self.assertEqual((rewritten.domain, srs.reversed_(RING, NOW, rewritten.local, 14)), ("us.test", parse("ann@origin.test")))
        self.assertEqual(self.sender("ann@origin.test", destination="demo.test", **inward), "ann@origin.test")
        self.assertEqual(self.sender("", **inward), "")

    def test_forward_of_a_long_sender(self) -> None:
        """What does not fit is a return path of a fixed length."""
        long = parse(self.sender("a" * 60 + "@origin.test", user="", direction="inbound"))
        self.assertIsInstance(returnpath.read(RING, NOW, long.local, "us.test", 14), Token)


class OnTheWireTests(AttemptCase):
    """What the peer hears."""

    def test_only_the_wire(self) -> None:
        """MAIL FROM is what the chooser says; the other words of the envelope stay."""
        peer = FakePeer()
        self.peer(lambda: peer)
        self.deliverer.sender = lambda message, batch, destination: f"b+{message.uid}-{len(batch)}@{destination}"
        self.deliver(job(2, ret="HDRS", envid="Q1"))
        self.assertIn(f"MAIL FROM:<b+uid-2@a.test> SIZE={len(MESSAGE)} RET=HDRS ENVID=Q1", peer.lines)
