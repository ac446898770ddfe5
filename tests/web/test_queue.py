"""The queue page: what waits, why, and until when."""

from __future__ import annotations

import re

from jetmail.store.traffic import lanes, sites
from jetmail.web.options import WebOptions
from tests.web import seed
from tests.web.portal import PortalTestCase


class QueueTests(PortalTestCase):
    """Over a busy morning."""

    options = WebOptions(page_size=4)

    def test_empty(self) -> None:
        """An empty queue says so."""
        seen = self.get("/queue")
        self.assertEqual(200, seen.code)
        self.assertIn("The queue is empty", seen.text)

    def test_destinations(self) -> None:
        """A destination that is down shows since when, the reason, the reply and the next probe; one that is well is up."""
        self.seed()
        text = self.get("/queue").text
        lane = text[text.index('id="lane-slow.example"') : text.index('id="lane-busy.example"')]
        for fact in (
            "Down</span>",
            "Down since <time",
            "could not be reached (connect)",
            "Connection refused by 192.0.2.50 port 25",
            "in 21 min",
            '">7</td>',
        ):
            self.assertIn(fact, lane)
        self.assertIn('data-status="up"', text[text.index('id="lane-busy.example"') - 200 :])

    def test_cooling_and_suspended(self) -> None:
        """A destination that waits for its provider says for which and why, one that people suspended who did it and why; their mail does too."""
        self.seed()
        said = "cooled down: 5 of 5 attempts were told to slow down by big, last: 421 4.7.28 slower"
        self.db.run(sites.wait_for, "busy.example", "big", seed.NOW + 600, said)
        self.db.run(lanes.suspend, "slow.example", seed.NOW, "ann", "moving to new servers")
        text = self.get("/queue").text
        lane = text[text.index('id="lane-busy.example"') :]
        for fact in ('data-status="cooling"', "Cooling</span>", "Waits for big", said, "in 10 min"):
            self.assertIn(fact, lane[: lane.index("</tr>")])
        lane = text[text.index('id="lane-slow.example"') :]
        for fact in ('data-status="suspended"', "Suspended by ann", "moving to new servers"):
            self.assertIn(fact, lane[: lane.index("</tr>")])
        self.db.run(sites.wait_for, "busy.example", "big", seed.NOW - 1, said)
        self.assertIn('data-status="recovering"', self.get("/queue").text)
        self.assertIn("Recovering</span>", self.get("/queue").text)
        self.assertIn("the provider asked to slow down (cooling)", self.get("/queue?destination=busy.example").text)

    def test_figures(self) -> None:
        """The figures count what waits and what is held, apart."""
        self.seed()
        figures = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", self.get("/queue").text)
        self.assertEqual([("Waiting", "10"), ("Held", "1"), ("Oldest", "4 h 8 min"), ("Next attempt", "now")], figures)

    def test_pages(self) -> None:
        """Every delivery appears once over the pages."""
        self.seed()
        seen, address = [], "/queue"
        for _ in range(5):
            text = self.get(address).text
            seen += re.findall(r'id="(q\d+)"', text)
            older = re.search(r'href="(/queue\?before=\d+)" rel="next"', text)
            if older is None:
                break
            address = older[1]
        self.assertEqual((11, 11), (len(seen), len(set(seen))))

    def test_narrowed(self) -> None:
        """Deliveries of one destination, or with a text, and a way back to all."""
        self.seed()
        text = self.get("/queue?destination=Busy.example").text
        self.assertEqual(2, len(re.findall(r'id="q\d+"', text)))
        self.assertIn('<a href="/queue">Show all</a>', text)
        self.assertEqual(1, len(re.findall(r'id="q\d+"', self.get("/queue?text=Embargoed").text)))
        self.assertIn("Nothing waits here", self.get("/queue?destination=nowhere.example").text)

    def test_wrong_page(self) -> None:
        """A page that never was is 400, not a failure."""
        for before in ("x", "-1", "9" * 30, "１"):
            self.assertEqual(400, self.get(f"/queue?before={before.encode().hex() if not before.isascii() else before}").code)

    def test_rows(self) -> None:
        """The script's part has no page around it and a tag."""
        self.seed()
        seen = self.get("/queue/rows")
        self.assertNotIn("<html", seen.text)
        self.assertIn("etag", seen.headers)
