"""The page a refusal leads to: reason, advice and evidence for who has the whole address, 404 for anybody else."""

from __future__ import annotations

from jetmail.store.traffic import messages
from tests.web import seed
from tests.web.portal import PortalTestCase

UID, USER = "0" * 20, "550e8400-e29b-41d4-a716-446655440000"
REPLY = f"550 [ACL] Blocked. See https://mx.test/?id={UID}&auth={USER}"


class ReportTests(PortalTestCase):
    """Over one refused message."""

    def setUp(self) -> None:
        super().setUp()
        rows = (messages.NewDelivery("secret@private.test", "private.test", "secret@private.test", "private.test", "rejected", "acl", REPLY),)
        evidence = '[{"symbol":"SENDER_NOT_ALLOWED","score":0.0,"detail":"From <b>a@b.test</b>","rule":"submission"}]'
        new = messages.NewMessage(
            UID, "outbound", seed.NOW, "a@b.test", 10, None, rows, subject="Private", user=USER, findings=evidence, response=REPLY
        )
        self.successResultOf(self.db.run(messages.record_refusal, new))

    def test_from_the_front_page(self) -> None:
        """The address in the reply leads to the report; without one the front page is the log."""
        self.assertEqual(self.get(f"/?id={UID}&auth={USER}").headers["location"], f"/report?id={UID}&auth={USER}")
        self.assertEqual(self.get("/").headers["location"], "/logs")

    def test_report(self) -> None:
        """Reason, advice, reply and evidence, escaped; neither recipients nor subject."""
        seen = self.get(f"/report?id={UID}&auth={USER}")
        self.assertEqual(seen.code, 200)
        for words in ("the user may not send from that domain (acl)", "Assign the domain", "SENDER_NOT_ALLOWED", "From &lt;b&gt;a@b.test", USER):
            self.assertIn(words, seen.text)
        for words in ("secret@private.test", "Subject", "Private"):
            self.assertNotIn(words, seen.text)

    def test_not_found(self) -> None:
        """Anything that does not fit is 404."""
        wrong = (
            "", f"id={UID}", f"id={UID}&auth=x",
            f"id=x&auth={USER}", f"id={UID}&id={UID}&auth={USER}", f"id={'x' * 200}&auth={USER}", "id=%ff&auth=%00",
        )  # fmt: skip
        for query in wrong:
            self.assertEqual(self.get(f"/report?{query}").code, 404, query)
        self.assertEqual(self.get("/?id=%0d%0aX&auth=1").code, 302)
