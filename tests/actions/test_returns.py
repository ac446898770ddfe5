"""What came back, as people see it: everything for an administrator, their own for an account."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import returns
from jetmail.actions.access import Actor, Grant
from jetmail.errors import NotFoundError, UsageError
from jetmail.mail import returnpath, srs
from jetmail.mail.address import parse
from jetmail.mail.returned import Returned
from jetmail.mail.returned_fields import Recipient
from jetmail.mail.returnpath import DAY, Key, Ring
from jetmail.store.directory import accounts, smtp_users
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.store.traffic import messages
from jetmail.store.traffic import returns as stored
from jetmail.store.traffic.returns import Taken
from tests.store.samples import delivery, memory_store, message

NOW = 1_800_000_000.0
RING = Ring((Key(0, NOW, b"k" * 32),))
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna@one.example", (Grant("account", "1"),))
BERT = Actor("portal", "bert@two.example", (Grant("account", "2"),))
UID = f"{1:020x}"


class ReturnsTests(SynchronousTestCase):
    """A bounce and a complaint of mail that a user of account 1 sent, a bounce of one of account 2."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.run_now(accounts.add, "two")
        for number in (1, 2):
            self.run_now(smtp_users.add, SmtpUser(f"uuid-{number}", number, f"app{number}", password="x"))
            self.run_now(messages.accept, message(number, delivery("bob@far.test", "delivered"), direction="outbound", user=f"uuid-{number}"))
        gone = Recipient("bob@far.test", "", "failed", "5.1.1", "550 5.1.1 no such user", "mx.far.test", "no-such-user")
        self.take(1, 11, Returned("bounce", (gone,), reporter="mx.far.test"))
        self.take(1, 12, Returned("feedback", (Recipient("bob@far.test"),), feedback_type="abuse"))
        self.take(2, 13, Returned("bounce", (gone._replace(word="mailbox-full", status="5.2.2"),)))

    def run_now(self, fn: Any, *args: Any) -> Any:
        """Write."""
        return self.successResultOf(self.db.run(fn, *args))

    def take(self, about: int, number: int, found: Returned) -> None:
        """Something came back."""
        known = self.db.read(stored.about, f"{about:020x}")
        assert known is not None
        sent, deliveries = known
        joined = stored.join(found, deliveries, deliveries[0].id, True)
        self.run_now(stored.take, Taken(message(number, delivery("b+x@b.test", "delivered"), received=NOW), sent, found, joined, False))

    def listed(self, actor: Actor = ROOT, **more: Any) -> list[tuple[str, str, str]]:
        """Kind, word, message."""
        return [(row.kind, row.word, row.about[-1]) for row in self.successResultOf(returns.listing(self.db, actor, **more))]

    def test_list(self) -> None:
        """Newest first; by kind, message, recipient, and those that are of no use to try again; page by page."""
        self.assertEqual(self.listed(), [("bounce", "mailbox-full", "2"), ("feedback", "", "1"), ("bounce", "no-such-user", "1")])
        self.assertEqual(self.listed(kind="feedback"), [("feedback", "", "1")])
        self.assertEqual(len(self.listed(about=UID)), 2)
        self.assertEqual((len(self.listed(recipient="BOB")), len(self.listed(recipient="ann"))), (3, 0))
        self.assertEqual(self.listed(hard=True), [("bounce", "no-such-user", "1")])
        self.assertEqual(
            [self.listed(limit=1), self.listed(limit=2, after=2)], [[("bounce", "mailbox-full", "2")], [("bounce", "no-such-user", "1")]]
        )

    def test_own_only(self) -> None:
        """An account sees what came back for its own users; the rest does not exist for it."""
        self.assertEqual(len(self.listed(ANNA)), 2)
        self.assertEqual(self.listed(BERT), [("bounce", "mailbox-full", "2")])
        self.assertEqual(self.successResultOf(returns.show(self.db, ANNA, 1)).word, "no-such-user")
        self.failureResultOf(returns.show(self.db, BERT, 1), NotFoundError)
        self.failureResultOf(returns.show(self.db, ROOT, 99), NotFoundError)

    def explain(self, address: str, actor: Actor = ROOT, now: float = NOW) -> Any:
        """What it means."""
        return returns.explain(self.db, actor, RING, address, now=now, days=14)

    def test_explain(self) -> None:
        """A token: whose, for whom, since when and how long; forged and expired say so."""
        token = returnpath.made(RING, NOW, UID, 1, True, "b.example.org")
        found = self.successResultOf(self.explain(token))
        self.assertEqual((found.kind, found.status, found.about, found.recipient), ("return-path", "ok", UID, "bob@far.test"))
        self.assertEqual(found.expires, found.made + 15 * DAY)
        self.assertEqual(self.successResultOf(self.explain(token, now=NOW + 20 * DAY)).status, "expired")
        self.assertEqual(self.successResultOf(self.explain(token.replace("b.example.org", "c.example.org"))).status, "forged")
        self.failureResultOf(self.explain(token, BERT), NotFoundError)
        self.assertEqual(self.successResultOf(self.explain(token, ANNA)).about, UID)

    def test_explain_forward(self) -> None:
        """A rewritten sender is explained to an administrator alone."""
        address = srs.forwarded(RING, NOW, parse("ann@origin.test"), "us.test")
        self.assertEqual(self.successResultOf(self.explain(address)).sender, "ann@origin.test")
        self.assertEqual(self.successResultOf(self.explain(address.replace("ann", "eve"))).status, "forged")
        self.failureResultOf(self.explain(address, ANNA), NotFoundError)

    def test_no_address_of_ours(self) -> None:
        """What has another shape is a mistake of who asks."""
        for text in ("bob@far.test", "nothing"):
            self.assertEqual(self.failureResultOf(self.explain(text), UsageError).value.field, "address")

    def test_forgotten(self) -> None:
        """Rows go with their time, a bounded number at once."""
        self.assertEqual(self.run_now(stored.forget, NOW), 0)
        self.assertEqual(self.run_now(stored.forget, NOW + 1, 2), 2)
        self.assertEqual(len(self.listed()), 1)
