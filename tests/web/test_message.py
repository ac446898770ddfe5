"""One message: facts, recipients, and everything that happened, in order."""

from __future__ import annotations

import html
import re

from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Event
from jetmail.web.pages.message import timeline
from tests.web import seed
from tests.web.portal import PortalTestCase


def steps(text: str) -> list[str]:
    """The titles of the timeline."""
    return [html.unescape(title) for title in re.findall(r'<div class="what"><strong>(.*?)</strong>', text)]


class MessageTests(PortalTestCase):
    """Over a busy morning."""

    def setUp(self) -> None:
        super().setUp()
        self.uids = self.seed()

    def page(self, word: str) -> str:
        """One message's page."""
        seen = self.get("/messages/" + self.uids[word])
        self.assertEqual(200, seen.code)
        return seen.text

    def test_queued(self) -> None:
        """A queued message shows attempts, the next one, and the reason and reply of the last failure."""
        text = self.page("queued")
        self.assertIn("7 attempts so far", text)
        self.assertIn("Last failure: could not be reached (connect)", text)
        self.assertIn("Connection refused by 192.0.2.50 port 25", text)
        self.assertRegex(text, r"Next attempt <strong>in 21 min</strong> \(<time")

    def test_held(self) -> None:
        """A held message says so instead of naming a time that will not come."""
        text = self.page("held")
        self.assertIn("Held by an operator", text)
        self.assertNotIn("Next attempt", text)

    def test_timeline(self) -> None:
        """Every event is there in order with host, address, TLS and whether it was verified, duration and reply."""
        text = self.page("mixed")
        self.assertEqual(
            [
                "Received from 203.0.113.25",
                "Delivered to mx.demo.test",
                "Refused for good by mx.partner.example",
                "Sender told that it failed",
                "Not delivered yet: asked to come again later (deferred)",
            ],
            steps(text),
        )
        for fact in (
            "greeted as mx1.example.net",
            "listener mx",
            "TLSv1.3, certificate verified",
            "TLSv1.3, certificate not verified",
            "[2001:db8::25]:25",
            "84 ms",
            "mx2.busy.example",
            "250 2.0.0 Ok: queued as 4XbC1n2Zyz",
            "events@conference.example",
            "goes to newsdesk@busy.example",
        ):
            self.assertIn(fact, text)
        self.assertIn(f'href="/messages/{self.uids["rejected"]}"', text, "the report is one click away")

    def test_every_recipient(self) -> None:
        """Each recipient has a status of its own, and the head names each status once."""
        text = self.page("mixed")
        self.assertEqual(["delivered", "rejected", "queued"], re.findall(r'<li class="recipient is-(\w+)"', text))
        head = text[text.index('<div class="pills">') : text.index('<div class="columns">')]
        self.assertEqual(["Delivered", "Rejected", "Queued"], re.findall(r"</svg>(\w+)</span>", head))

    def test_findings(self) -> None:
        """What the rules found is listed with scores, the heaviest first, and what they ruled in words."""
        text = self.page("spam")
        self.assertIn("Judged: score 18.4", steps(text))
        self.assertIn("Spam: score reached the reject threshold (spam)", text)
        meaning = r'<td>(?:<span class="says">.*?</span>)?(?:<span class="sub detail">(.*?)</span>)?</td>'
        found = re.findall(rf'symbol mono">(\w+)</td>{meaning}<td class="score number">(.*?)</td>', text)
        self.assertEqual([("GTUBE", "", "+15"), ("BAYES_SPAM", "0.993", "+4.2"), ("SPF_FAIL", "v=spf1 -all of lottery.example", "+2")], found)
        self.assertIn(">-0.3<", self.page("quarantined"))

    def test_rejected(self) -> None:
        """A refusal at the door says which rule word, and what was replied."""
        text = self.page("rejected")
        self.assertIn("Rejected: the address does not exist (unknown-recipient)", text)
        self.assertIn("550 5.1.1 &lt;nobody@demo.test&gt;: no such recipient", text)

    def test_hostile_text(self) -> None:
        """Nothing a stranger wrote becomes markup."""
        text = self.page("nasty")
        for forbidden in ("<script>alert", "<img", "<b>x"):
            self.assertNotIn(forbidden, text)
        self.assertIn("<title>&lt;script&gt;", text)

    def test_unknown(self) -> None:
        """A uid that does not exist, in any shape, is 404 without an echo of it."""
        for uid in ("nope", "0" * 20, "%3Cscript%3E", "a" * 3000, "..%2F..%2Fetc"):
            seen = self.get("/messages/" + uid)
            self.assertEqual(404, seen.code, uid[:30])
            self.assertNotIn(uid, seen.text)
        self.assertEqual(404, self.get("/messages/").code)

    def test_page_of_all(self) -> None:
        """Every message of the morning has a page."""
        for word in self.uids:
            self.assertIn('<ol class="timeline">', self.page(word), word)


class StepTests(PortalTestCase):
    """Events apart from a page."""

    def shown(self, *events: Event) -> list:
        """The steps of these events in a message of their own."""
        accepted = self.successResultOf(self.db.run(seed.message, 1, seed.NOW, "a@b.example", "S", seed.delivery("x@demo.test")))
        message = self.db.read(messages.by_id, accepted.id)
        return list(timeline(message, self.db.read(messages.deliveries_of, accepted.id), events))

    def test_unknown_event(self) -> None:
        """An event of a kind from the future is shown with all it holds."""
        (step,) = self.shown(Event(1.0, "sealed_again", None, {"selector": "s1", "host": "h.example", "count": 3, "empty": ""}))
        self.assertEqual("Sealed again", step.title)
        self.assertEqual({"selector: s1", "host: h.example", "count: 3"}, set(step.bits))

    def test_damaged_event(self) -> None:
        """An event with values of unexpected types is still a step."""
        (attempt, ruling, other) = self.shown(
            Event(1.0, "attempt", None, {"result": "later", "duration": "x", "tls": None, "address": 5, "reply": None}),
            Event(1.0, "ruling", None, {"findings": [1, {"symbol": "A", "score": "x"}, None], "reason": 7}),
            Event(1.0, "attempt", None, {"result": ["?"], "damaged": "{"}),
        )
        self.assertTrue(attempt.title.startswith("Not delivered yet"))
        self.assertEqual(["?", "A", "?"], [finding.symbol for finding in ruling.findings])
        self.assertEqual("Attempt", other.title)

    def test_by_operator(self) -> None:
        """What people did names them."""
        steps = self.shown(*(Event(1.0, kind, None, {"by": "ruth"}) for kind in ("hold", "unhold", "retry", "bounce", "delete")))
        self.assertEqual({("by: ruth",)}, {step.bits for step in steps})
        self.assertEqual(["Held", "Let go"], [step.title for step in steps[:2]])
