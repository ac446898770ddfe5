"""Suppressed recipients at RCPT: who is refused, in which words, and what the record says."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions.reports import report
from jetmail.errors import NotFoundError, StoreError
from jetmail.mail.reply import Reply
from jetmail.store.traffic import suppressions
from tests.inbound.receiving import MESSAGE, NOW, House

ANN = "ann@far.test"
REFUSED = (
    "550 5.7.1 [SUPPRESSED] Ann@far.test is on your suppression list (bounce); take it off to send there again. "
    "See https://mx.demo.test/?id={uid}&auth=uuid-of-app"
)


class SuppressedTests(SynchronousTestCase):
    """A house with the user 'app' and an address mail came back from."""

    def setUp(self) -> None:
        self.house = House()
        self.house.add_user()
        self.put()

    def put(self, address: str = ANN, reason: str = "bounce", account: int = 1, expires: float | None = NOW + 86_400.0) -> None:
        """One more suppression."""
        self.house.write(suppressions.add, account, address, reason, "550 5.1.1 User unknown", NOW, expires, "m1")

    def rcpt(self, *addresses: str, visit: Any = None) -> list[str]:
        """The replies, in a transaction that ends without content."""
        visit = visit or self.house.submission()
        visit.mail("a@example.org")
        replies = [str(visit.rcpt(address)) for address in addresses]
        visit.receiver.abort()
        return replies

    def rows(self) -> list[tuple]:
        """What the log says of recipients."""
        return self.house.rows("SELECT recipient, status, reason FROM deliveries ORDER BY id")

    def test_refused(self) -> None:
        """550 names the address as it was given, the reason, who lifts it, and the reference; the refusal is in the log with its evidence."""
        (reply,) = self.rcpt("Ann@far.test")
        uid, user, direction, findings = self.house.rows("SELECT uid, user, direction, findings FROM messages")[0]
        self.assertEqual(reply, REFUSED.format(uid=uid))
        self.assertEqual((user, direction), ("uuid-of-app", "outbound"))
        self.assertEqual(self.rows(), [("Ann@far.test", "rejected", "suppressed")])
        self.assertEqual(json.loads(findings)[0]["detail"], "Ann@far.test: bounce, since 2023-11-14, until 2023-11-15; 550 5.1.1 User unknown")
        self.assertEqual(self.house.refused, ["suppressed"])

    def test_others_are_taken(self) -> None:
        """The other recipients of the message are accepted, and the reference of the refused one leads to its report."""
        visit = self.house.submission()
        visit.mail("a@example.org")
        refused = str(visit.rcpt(ANN))
        self.assertEqual(visit.rcpt("bob@far.test"), Reply(250, "2.1.5", "OK"))
        self.assertEqual(self.successResultOf(visit.content(MESSAGE.replace(b"alice@", b"a@"))).code, 250)
        self.assertEqual([row[1:] for row in self.rows()], [("queued", ""), ("rejected", "suppressed")])
        uid = self.house.rows("SELECT uid FROM messages")[0][0]
        self.assertIn(f"?id={uid}&auth=uuid-of-app", refused)
        told = self.successResultOf(report(self.house.db, uid, "uuid-of-app"))
        self.assertEqual((told.reason, told.reply), ("suppressed", refused))
        self.assertIn("suppression list", told.advice)
        self.assertEqual([found.symbol for found in told.evidence], ["RECIPIENT_SUPPRESSED"])
        self.assertIn("since ", told.evidence[0].detail)
        self.failureResultOf(report(self.house.db, uid, "uuid-of-other"), NotFoundError)

    def test_report_of_a_refusal(self) -> None:
        """Where nobody else was written to, the report says the same, with the evidence."""
        self.rcpt(ANN)
        uid = self.house.rows("SELECT uid FROM messages")[0][0]
        told = self.successResultOf(report(self.house.db, uid, "uuid-of-app"))
        self.assertEqual((told.reason, told.evidence[0].symbol), ("suppressed", "RECIPIENT_SUPPRESSED"))

    def test_over(self) -> None:
        """Once it has expired, or was lifted, the recipient is taken."""
        self.put("bob@far.test")
        self.house.write(suppressions.remove, 1, ANN)
        self.house.clock.advance(86_400.0)
        self.assertEqual(self.rcpt(ANN, "bob@far.test"), ["250 2.1.5 OK"] * 2)

    def test_scope(self) -> None:
        """Another account's list binds nobody here; the appliance's binds all, says who lifts it and keeps its note to itself."""
        self.put("bob@far.test", account=2)
        self.put("eve@far.test", "manual", 0, None)
        ok, refused = self.rcpt("bob@far.test", "eve@far.test")
        self.assertEqual(ok, "250 2.1.5 OK")
        self.assertIn("eve@far.test is on the suppression list of this system (manual); its administrator can take it off. See https://", refused)
        self.assertNotIn("User unknown", self.house.rows("SELECT findings FROM messages")[0][0])

    def test_mail_for_us_is_not_asked(self) -> None:
        """Mail from strangers to our own domain is taken whatever is on the list."""
        self.put("bob@demo.test", account=0)
        self.assertEqual(self.house.session().send(MESSAGE, "x@far.test", ("bob@demo.test",)).code, 250)

    def test_alias(self) -> None:
        """An alias is refused when all it leads to is suppressed, without saying where it leads; with some of it, it is taken."""
        self.house.add_alias("team@demo.test", ANN)
        (refused,) = self.rcpt("team@demo.test")
        self.assertIn("team@demo.test leads to an address on your suppression list (bounce)", refused)
        self.assertNotIn(ANN, refused + self.house.rows("SELECT findings FROM messages")[0][0])
        self.house.add_alias("team@demo.test", ANN, "bob@far.test")
        self.assertEqual(self.rcpt("team@demo.test"), ["250 2.1.5 OK"])

    def test_nobody_is_blocked_for_it(self) -> None:
        """Refusals of suppressed recipients do not count against the sender, and all of them are in the log."""
        self.put("bob@far.test")
        visit = self.house.submission()
        for _ in range(20):
            self.rcpt(ANN, "bob@far.test", visit=visit)
        self.assertEqual(len(self.rows()), 40)
        self.assertEqual(self.house.rows("SELECT coalesce(sum(rejections), 0) FROM sending"), [(0,)])

    def test_list_cannot_be_read(self) -> None:
        """A fault of ours is a 4xx."""
        visit = self.house.submission()
        visit.mail("a@example.org")
        read = self.house.db.read

        def broken(fn: Any, *args: Any) -> Any:
            if fn is suppressions.find:
                raise StoreError("locked")
            return read(fn, *args)

        self.house.db.read = broken  # type: ignore[method-assign]
        self.assertEqual(visit.rcpt(ANN).code, 451)
        self.flushLoggedErrors(StoreError)
