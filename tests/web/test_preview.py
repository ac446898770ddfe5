"""The content of a message in a frame that may do nothing, and the findings in sentences."""

from __future__ import annotations

import re

from jetmail.actions.findings import explain
from jetmail.rules.symbols import Scores, symbols
from jetmail.web.pages.preview import POLICY, VIEWS
from jetmail.web.site import WebServices, make_site
from tests.web import seed
from tests.web.portal import PortalTestCase

SYMBOLS = symbols("Test", ("BAYES_SPAM", 4.2, "Reads like mail people marked as spam."), ("SPF_FAIL", 2.0, "The sender's domain says <no>."))


class PreviewTests(PortalTestCase):
    """Over the busy morning."""

    def setUp(self) -> None:
        super().setUp()
        self.uids = self.seed()

    def view(self, view: str, word: str = "quarantined") -> str:
        """The frame's document."""
        seen = self.get(f"/messages/{self.uids[word]}/preview?view={view}")
        self.assertEqual((200, POLICY, "SAMEORIGIN"), (seen.code, seen.headers["content-security-policy"], seen.headers["x-frame-options"]))
        self.assertEqual("no-store", seen.headers["cache-control"])
        return seen.text

    def test_page_frames_itself_alone(self) -> None:
        """The message page has a sandboxed frame without any permission, may frame this site and nothing else, and cannot be framed."""
        seen = self.get(f"/messages/{self.uids['quarantined']}")
        self.assertIn('<iframe name="preview" sandbox=""', seen.text)
        for view in VIEWS:
            self.assertIn(f'/preview?view={view}" target="preview"', seen.text)
        policy = seen.headers["content-security-policy"]
        self.assertIn("frame-src 'self'", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertIn("script-src 'self'", policy)

    def test_policy(self) -> None:
        """The document may show styles and pictures written into it, and nothing else."""
        for word in ("default-src 'none'", "img-src data:", "form-action 'none'", "frame-ancestors 'self'", "sandbox"):
            self.assertIn(word, POLICY)
        self.assertNotIn("script", POLICY)
        self.assertNotIn("http", POLICY)

    def test_html(self) -> None:
        """What lays out text is there; what loads, runs, submits or leads away is not; links name their hosts."""
        text = self.view("message")
        body = text[text.index('<div class="letter">') :]
        for gone in ("<script", "onload", "onclick", "href", "http-equiv", "<form", "<input", "<iframe", "<svg", "@import", "pixel.gif", "alert("):
            self.assertNotIn(gone, body)
        for there in ("Congratulations!", "font-weight:bold", "[claim.lottery.example]", "[xn--bnk-0na.example]", "data:image/png;base64,", "poison"):
            self.assertIn(there, body)
        self.assertIn("1 picture not loaded.", text)
        self.assertEqual(set(re.findall(r'src="(\w+):', body)), {"data"})

    def test_other_views(self) -> None:
        """Text, header fields decoded, parts with names and sizes; a message without HTML shows its text."""
        self.assertIn("winner of 2.400.000 EUR", self.view("text"))
        headers = self.view("headers")
        self.assertIn("You have been selected ✉ claim within 24 h", headers)
        self.assertIn("&#34;Prize Office&#34; &lt;winner@lottery.example&gt;", headers)
        parts = self.view("parts")
        self.assertIn("application/zip, attached</td><td>claim form.pdf.zip</td>", parts)
        self.assertIn("Hello,\nthis is only text.", self.view("message", "queued"))

    def test_no_content(self) -> None:
        """What is not kept has no frame, and its address, any other and an odd view say so within it."""
        for path in (f"/messages/{self.uids['spam']}/preview", "/messages/nope/preview"):
            self.assertEqual(404, self.get(path).code)
        self.assertNotIn("<iframe", self.get(f"/messages/{self.uids['spam']}").text)
        self.assertEqual(400, self.get(f"/messages/{self.uids['quarantined']}/preview?view=x").code)

    def test_damaged_content(self) -> None:
        """A store that lost the octets says it has none."""
        self.db.connection.execute("UPDATE content SET size = size + 1")
        self.assertEqual(404, self.get(f"/messages/{self.uids['quarantined']}/preview").code)

    def test_findings_in_sentences(self) -> None:
        """Each finding has the public explanation of its symbol and its detail; what was ruled stands last, in words."""
        scores = Scores(SYMBOLS)
        services = WebServices(
            self.db, self.actor, self.clock, lambda: seed.NOW, lambda: "ref", self.metrics, self.content, None,
            lambda found, recipients: explain(found, scores, recipients), self.checks,
        )  # fmt: skip
        self.site = make_site(self.options, services)
        text = self.get(f"/messages/{self.uids['quarantined']}").text
        rows = re.findall(r'symbol mono">(\w+)</td><td>(?:<span class="says">(.*?)</span>)?', text)
        self.assertEqual(rows[0], ("BAYES_SPAM", "Reads like mail people marked as spam."))
        self.assertEqual(rows[1], ("SPF_FAIL", "The sender&#39;s domain says &lt;no&gt;."))
        self.assertEqual(rows[-1], ("QUARANTINE", "To be held back: its score reached the spam threshold: held, or delivered with a mark (suspect)."))
