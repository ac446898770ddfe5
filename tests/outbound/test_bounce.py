"""Who is told what: NOTIFY, RET, ENVID, null senders, aliases."""

from __future__ import annotations

import email
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound import bounce
from jetmail.outbound.bounce import Reporter, ReportOptions
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.messages import Content, NewMessage
from tests.fakes import FakeEntropy
from tests.outbound.appliance import BODY, DEFERRED, DELIVERED, REFUSED, Appliance

FACTS = MessageFacts(1, "0" * 20, "bob@example.org", len(BODY), "7BIT", False, "", "", False, 100.0, 1, "inbound", "")
CONTENT = Content(len(BODY), BODY)
WITHOUT_DSN = DELIVERED._replace(relayed_without_dsn=True)


def due(recipient: str = "ann@demo.test", notify: str = "", **other: Any) -> Due:
    values: dict[str, Any] = {"target": recipient, "delay_notified": False, "orcpt": ""} | other
    return Due(7, 1, recipient, values.pop("target"), "demo.test", 1, 100.0, 160.0, notify, values.pop("orcpt"), **values)


def reporter(resolve: Any = None) -> Reporter:
    return Reporter(ReportOptions("mail.test", full_size=1000), lambda: "f" * 20, FakeEntropy(0.5), resolve)


def text(report: NewMessage | None) -> str:
    assert report is not None and report.content is not None and report.content.data is not None
    return report.content.data.decode("ascii")


class Who(SynchronousTestCase):
    def failure(self, facts: MessageFacts = FACTS, *items: Due) -> NewMessage | None:
        return reporter().failure(200.0, facts, CONTENT, [(item, REFUSED) for item in items or (due(),)])

    def test_envelope(self) -> None:
        """A report goes from the null sender to the sender, unclaimed, and wants no report about itself."""
        report = self.failure()
        assert report is not None
        self.assertEqual((report.sender, report.direction, report.claimed), ("", "outbound", False))
        (delivery,) = report.deliveries
        self.assertEqual((delivery.recipient, delivery.destination, delivery.notify), ("bob@example.org", "example.org", "NEVER"))
        self.assertEqual(report.message_id, "f" * 20 + "@mail.test")

    def test_signed(self) -> None:
        """A report leaves as our signature makes it, and its size is that."""
        signing = Reporter(ReportOptions("mail.test"), lambda: "f" * 20, FakeEntropy(0.5), sign=lambda data: b"Signed: yes\r\n" + data)
        report = signing.failure(200.0, FACTS, CONTENT, [(due(), REFUSED)])
        assert report is not None and report.content is not None
        self.assertTrue(text(report).startswith("Signed: yes\r\n"))
        self.assertEqual((report.size, report.content.size), (len(text(report)),) * 2)

    def test_null_sender(self) -> None:
        """The null sender is told nothing."""
        self.assertIsNone(self.failure(FACTS._replace(sender="")))

    def test_notify(self) -> None:
        """Without NOTIFY and with FAILURE the sender is told; with NEVER or only others not."""
        for notify, told in (("", True), ("FAILURE", True), ("SUCCESS,FAILURE", True), ("NEVER", False), ("SUCCESS,DELAY", False)):
            self.assertEqual(self.failure(FACTS, due(notify=notify)) is not None, told, notify)

    def test_one_report_for_several(self) -> None:
        """Recipients that failed together share a report, without those that want none."""
        said = text(self.failure(FACTS, due("a@demo.test"), due("b@demo.test"), due("c@demo.test", "NEVER")))
        self.assertEqual(said.count("Final-Recipient:"), 2)
        self.assertNotIn("c@demo.test", said)

    def test_alias_is_not_told(self) -> None:
        """The address behind an alias stays ours."""
        self.assertNotIn("secret", text(self.failure(FACTS, due(target="secret@inside.test"))))

    def test_sender_behind_an_alias(self) -> None:
        """A sender that is an alias here is told where the alias goes."""
        report = reporter(lambda address: ("x@one.test", "y@two.test")).failure(200.0, FACTS, CONTENT, [(due(), REFUSED)])
        assert report is not None
        self.assertEqual([item.destination for item in report.deliveries], ["one.test", "two.test"])
        self.assertEqual({item.recipient for item in report.deliveries}, {"bob@example.org"})

    def test_delay(self) -> None:
        """A delay is told unless NOTIFY leaves it out or it was told."""
        for notify, told in (("", True), ("DELAY", True), ("FAILURE", False), ("NEVER", False)):
            found = reporter().delay(200.0, FACTS, CONTENT, [(due(notify=notify), DEFERRED)], 999.0)
            self.assertEqual(found is not None, told, notify)
        self.assertIsNone(reporter().delay(200.0, FACTS, CONTENT, [(due(delay_notified=True), DEFERRED)], 999.0))

    def test_success(self) -> None:
        """A success is told where asked for, and only when the next system will not tell it."""
        for notify, outcome, told in (("SUCCESS", WITHOUT_DSN, True), ("SUCCESS", DELIVERED, False), ("", WITHOUT_DSN, False)):
            found = reporter().success(200.0, FACTS, CONTENT, [(due(notify=notify), outcome)])
            self.assertEqual(found is not None, told)
            if found is not None:
                self.assertIn("Action: relayed", text(found))
                self.assertIn("Status: 2.0.0", text(found))


class What(SynchronousTestCase):
    def test_last_reply_and_host(self) -> None:
        """A failure names the last reply and who gave it."""
        said = text(reporter().failure(200.0, FACTS, CONTENT, [(due(orcpt="rfc822;orig@demo.test"), REFUSED)]))
        for line in ("Diagnostic-Code: smtp; 550 5.1.1 nobody here", "Remote-MTA: dns; mx.demo.test", "Original-Recipient: rfc822; orig@demo.test"):
            self.assertIn(line, said)

    def test_expired(self) -> None:
        """Expiry has a status of its own and still quotes the last reply."""
        said = text(reporter().failure(200.0, FACTS, CONTENT, [(due(), bounce.expired(DEFERRED))]))
        self.assertIn("Status: 4.4.7", said)
        self.assertIn("451 4.7.1 come back", said)

    def test_ret(self) -> None:
        """RET=FULL returns small mail whole; otherwise, or when it is large or wants TLS, the header."""
        for facts, content, whole in (
            (FACTS, CONTENT, False),
            (FACTS._replace(ret="HDRS"), CONTENT, False),
            (FACTS._replace(ret="FULL"), CONTENT, True),
            (FACTS._replace(ret="FULL", requiretls=True), CONTENT, False),
            (FACTS._replace(ret="FULL"), Content(9999, BODY + b"x" * 2000), False),
            (FACTS._replace(ret="FULL"), Content(9999, None, BODY, "spooled"), False),
        ):
            report = reporter().failure(200.0, facts, content, [(due(), REFUSED)])
            assert report is not None
            parts = [part.get_content_type() for part in email.message_from_string(text(report)).walk()]
            self.assertEqual("message/rfc822" in parts, whole)
            self.assertEqual("text/rfc822-headers" in parts, not whole)
            self.assertEqual(report.requiretls, facts.requiretls)

    def test_envid(self) -> None:
        """The envelope id comes back."""
        self.assertIn("Original-Envelope-Id: abc+1", text(reporter().failure(1.0, FACTS._replace(envid="abc+2B1"), CONTENT, [(due(), REFUSED)])))

    def test_huge_header(self) -> None:
        """A header beyond all measure is cut at a line."""
        header = b"".join(b"X-%05d: %s\r\n" % (number, b"y" * 60) for number in range(5000)) + b"\r\n"
        report = reporter().failure(1.0, FACTS, Content(len(header), header), [(due(), REFUSED)])
        self.assertLess(len(text(report)), 80_000)


class Together(SynchronousTestCase):
    def test_mixed_outcomes(self) -> None:
        """One recipient delivered, one refused, one deferred: one report about one, and the third is tried again."""
        one = Appliance().boot()
        answers = {"a@demo.test": DELIVERED, "b@demo.test": REFUSED, "c@demo.test": DEFERRED}
        deliver = one.deliverer.deliver

        def each(job: Any) -> Any:
            done = deliver(job)
            if job.destination == "demo.test":
                done.addCallback(lambda _: {item.id: answers[item.recipient] for item in job.deliveries})
            return done

        one.deliverer.deliver = each  # type: ignore[method-assign]
        one.accept("a@demo.test", "b@demo.test", "c@demo.test")
        self.assertEqual([row[0] for row in one.rows("destination = 'demo.test'")], ["delivered", "rejected", "queued"])
        self.assertEqual(len(one.reports()), 1)
        self.assertEqual(len(one.events("report")), 1)
        answers["c@demo.test"] = DELIVERED
        one.turn(61)
        self.assertEqual(one.store.connection.execute("SELECT count(*) FROM content").fetchone(), (0,))

    def test_success_is_reported(self) -> None:
        """NOTIFY=SUCCESS to a peer without DSN ends in a 'relayed' report."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = Outcome(
            Result.DELIVERED, "accepted", Reply(250, "2.0.0", "ok"), "mx", "192.0.2.1", 25, relayed_without_dsn=True
        )
        one.accept("a@demo.test", notify="SUCCESS")
        self.assertEqual(one.reports(), [("bob@example.org", "Mail relayed")])
