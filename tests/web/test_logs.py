"""Email Logs: what is shown, found, paged and said when nothing is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from jetmail.actions.access import Actor, Grant
from jetmail.mail.status import Status
from jetmail.web.options import WebOptions
from jetmail.web.pages.logs import instant
from tests.web import seed
from tests.web.portal import PortalTestCase


def row_ids(text: str) -> list[str]:
    """The rows of a page, in order."""
    return re.findall(r'<tr role="row" id="(d[\d-]+)"', text)


class LogTests(PortalTestCase):
    """Over a busy morning."""

    options = WebOptions(page_size=20)

    def find(self, query: str) -> str:
        """The rows of one search."""
        seen = self.get("/logs/rows?" + query)
        self.assertEqual(200, seen.code)
        return seen.text

    def test_page(self) -> None:
        """The page is HTML in UTF-8, kept nowhere, newest first, and links each message."""
        uids = self.seed()
        seen = self.get("/logs")
        self.assertEqual((200, "text/html; charset=utf-8", "no-store"), (seen.code, seen.headers["content-type"], seen.headers["cache-control"]))
        self.assertEqual(20, len(row_ids(seen.text)))
        self.assertTrue(seen.text.index("Minutes of this morning") < seen.text.index("Undelivered mail returned"))
        self.assertIn(f'href="/messages/{uids["received"]}"', seen.text)
        self.assertIn('<time datetime="2026-11-20T07:59:58.000Z"', seen.text)

    def test_head(self) -> None:
        """HEAD answers as GET does, without the body."""
        seen = self.get("/logs", method="HEAD")
        self.assertEqual((200, b""), (seen.code, seen.body))
        self.assertTrue(int(seen.headers["content-length"]) > 1000)

    def test_every_status_is_a_word(self) -> None:
        """Each of the seven statuses shows its word, its own shape and its own colour, and can be searched for."""
        self.seed()
        for status in Status:
            found = self.find(f"status={status}")
            self.assertEqual({str(status)}, set(re.findall(r'data-status="(\w+)"', found)), status)
            self.assertIn(f'<use href="#i-{status}"/></svg>{status.label}</span>', found)
            self.assertIn(f'class="toned is-{status}"', found)
        page = self.get("/logs").text
        for status in Status:
            self.assertIn(f'<symbol id="i-{status}"', page)

    def test_search_fields(self) -> None:
        """Every field of the specification finds its message and only what fits."""
        uids = self.seed()
        mixed = uids["mixed"]
        searches = {
            "subject": "PROJECTOR AND",
            "from": "events@conf",
            "to": "newsdesk@",
            "uid": mixed,
            "domain": "Partner.Example",
            "response": "[rule]",
            "reply": "user unknown",
            "address": "192.0.2.77",
        }
        counts = {name: len(row_ids(self.find(f"{name}={quote(value)}"))) for name, value in searches.items()}
        self.assertEqual({"subject": 3, "from": 3, "to": 1, "uid": 3, "domain": 2, "response": 1, "reply": 1, "address": 1}, counts)
        self.assertEqual([], row_ids(self.find(f"uid={mixed}&status=spam")), "fields are joined by AND")
        self.assertEqual([], row_ids(self.find("direction=outbound")))

    def test_dates(self) -> None:
        """A date range is read in the browser's zone, both ends included."""
        self.seed()
        # The speaker's message came at 07:45:00 UTC, which is 08:45 in Berlin.
        self.assertIn("Your speaker slot", self.find("since=2026-11-20T08:45&until=2026-11-20T08:45&zone=Europe/Berlin"))
        self.assertNotIn("Your speaker slot", self.find("since=2026-11-20T08:45&until=2026-11-20T08:45"))
        self.assertEqual([], row_ids(self.find("until=2026-11-01")))
        self.assertEqual(20, len(row_ids(self.find("since=2026-11-20&until=2026-11-20"))))

    def test_start_after_end(self) -> None:
        """A start later than the end is named at its field, and nothing is searched."""
        self.seed()
        seen = self.get("/logs?since=2026-11-21&until=2026-11-20")
        self.assertEqual(400, seen.code)
        self.assertIn('aria-invalid="true" aria-describedby="problem-since"', seen.text)
        self.assertIn('id="problem-since">The start is later than the end.', seen.text)
        self.assertIn("<details open>", seen.text)
        self.assertEqual([], row_ids(seen.text))
        self.assertEqual(200, self.get("/logs?since=2026-11-20&until=2026-11-20").code)

    def test_wrong_fields(self) -> None:
        """What makes no sense is said at its field, in our words and never as a failure."""
        wrong = {
            "since=yesterday": "problem-since",
            "until=2026-13-01": "problem-until",
            "since=2026-11-20T10:00%2B01:00": "problem-since",
            "until=9999-12-31": "problem-until",
            "since=2026-11-20&zone=../../etc/passwd": "problem-since",
            "since=2026-11-20&zone=Mars/Olympus": "problem-since",
            "uid=%3Cscript%3E": "problem-uid",
            "domain=not_a..domain": "problem-domain",
            "address=300.1.1.1": "problem-address",
        }
        for query, problem in wrong.items():
            seen = self.get("/logs?" + query)
            self.assertEqual(400, seen.code, query)
            self.assertIn(f'id="{problem}"', seen.text, query)
        self.assertIn("There is no such status", self.get("/logs?status=lost").text)
        self.assertEqual(400, self.get("/logs?after=12.x").code)

    def test_pages(self) -> None:
        """Pages follow one another without gap or repetition, whatever arrives meanwhile, and end."""
        self.seed()
        whole = row_ids(self.make_with(1_000))
        seen: list[str] = []
        address = "/logs"
        for step in range(10):
            text = self.get(address).text
            seen += row_ids(text)
            if step == 0:
                self.db.run(lambda conn: seed.message(conn, 999, seed.NOW + 1, "late@example.net", "Late", seed.delivery("dana@demo.test")))
            older = re.search(r'href="(/logs\?after=[^"]+)" rel="next"', text)
            if older is None:
                break
            address = older[1]
        self.assertEqual(whole, seen)
        self.assertIn("The end of the log", text)
        self.assertIn('<a class="button" href="/logs">Newest</a>', text)

    def make_with(self, page_size: int) -> str:
        """The first page of a site with other page size."""
        keep, self.options = self.options, WebOptions(page_size=page_size)
        site, self.options = self.make(self.db), keep
        self.site, keep_site = site, self.site
        text = self.get("/logs").text
        self.site = keep_site
        return text

    def test_pages_keep_the_search(self) -> None:
        """The way to older mail keeps every field of the search."""
        self.seed()
        text = self.get("/logs?subject=e&status=delivered&zone=UTC").text
        self.assertIn('href="/logs?subject=e&amp;status=delivered&amp;zone=UTC&amp;after=', text)
        self.assertIn('data-live="/logs/rows?subject=e&amp;status=delivered&amp;zone=UTC"', text)
        self.assertIn('<option value="" selected>Both</option>', text)
        self.assertIn('name="status" value="delivered" checked', text)

    def test_nothing_yet(self) -> None:
        """An empty store says that mail will appear; an empty search says that nothing matches and how to leave it."""
        self.assertIn("No mail yet", self.get("/logs").text)
        self.seed()
        seen = self.get("/logs?subject=zebra")
        self.assertEqual(200, seen.code)
        self.assertIn("Nothing matches", seen.text)
        self.assertIn('href="/logs">Clear the search', seen.text)

    def test_hostile_text(self) -> None:
        """Subject, sender, recipient, reply and the search itself are text, whatever they hold."""
        self.seed()
        for path in (
            "/logs",
            "/logs?subject=" + quote(seed.NASTY),
            "/logs?status=" + quote(seed.NASTY),
            "/logs/rows",
            "/logs?zone=" + quote(seed.NASTY),
        ):
            text = self.get(path).text
            self.assertNotIn("<script>alert", text, path)
            self.assertNotIn("<img", text, path)
            self.assertNotIn("<b>x", text, path)
        self.assertIn("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;", self.get("/logs").text)

    def test_hidden_characters(self) -> None:
        """Characters that turn a line around or hide in it are shown, so that no subject looks like another."""
        self.db.run(lambda conn: seed.message(conn, 1, seed.NOW, "a@b.example", "invoice\u202egpj.exe\x07", seed.delivery("dana@demo.test")))
        text = self.get("/logs").text
        self.assertIn("invoice\ufffdgpj.exe\u2407", text)
        self.assertNotIn("\u202e", text)

    def test_nothing_inline(self) -> None:
        """No page needs what its own policy forbids: inline script or style, handlers, or a file from elsewhere."""
        uids = self.seed()
        for path in ("/logs", "/queue", f"/messages/{uids['mixed']}", "/nowhere"):
            text = self.get(path).text
            self.assertNotRegex(text, r"<style|\sstyle=|<script(?! src=\"/static/)|[\s\"]on\w+=\"|https?://(?!www\.w3\.org/2000/svg)", path)

    def test_rows_unchanged(self) -> None:
        """The script asks with the tag of what it has and is told in a few octets that nothing changed."""
        self.seed()
        first = self.get("/logs/rows")
        again = self.get("/logs/rows", If_None_Match=first.headers["etag"])
        self.assertEqual((304, b""), (again.code, again.body))
        self.db.run(lambda conn: seed.message(conn, 999, seed.NOW, "late@example.net", "Late", seed.delivery("dana@demo.test")))
        self.assertIn("Late", self.get("/logs/rows", If_None_Match=first.headers["etag"]).text)

    def test_without_recipient(self) -> None:
        """A message refused before it had a recipient is in the log too."""
        self.db.run(lambda conn: seed.message(conn, 1, seed.NOW, "a@b.example", "", response="554 5.7.1 Go away"))
        text = self.get("/logs").text
        self.assertIn("554 5.7.1 Go away", text)
        self.assertIn("Rejected</span>", text)
        self.assertIn("(no subject)", text)


class ScopedTests(PortalTestCase):
    """A site whose actor has one domain."""

    actor = Actor("local", "dana", (Grant("owner", "demo.test"),))

    def test_scope(self) -> None:
        """Rows, messages and figures of others are not there."""
        uids = self.seed()
        self.assertNotIn("warehouse@slow.example", self.get("/logs?to=slow").text)
        self.assertEqual(404, self.get(f"/messages/{uids['queued']}").code)
        mixed = self.get(f"/messages/{uids['mixed']}").text
        self.assertIn("dana@demo.test", mixed)
        self.assertNotIn("gone@partner.example", mixed)
        queue = self.get("/queue").text
        self.assertNotIn("slow.example", queue)
        self.assertNotIn("By destination", queue)


def seconds(*when: int) -> float:
    """A UTC time in epoch seconds."""
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "zone", "is_end", "expected"),
    [
        ("2026-11-20", "UTC", False, seconds(2026, 11, 20)),
        ("2026-11-20", "UTC", True, seconds(2026, 11, 21)),
        ("2026-11-20T14:30", "UTC", True, seconds(2026, 11, 20, 14, 31)),
        ("2026-11-20T14:30:05", "UTC", True, seconds(2026, 11, 20, 14, 30, 6)),
        ("2026-11-20T14:30", "America/New_York", False, seconds(2026, 11, 20, 19, 30)),
        ("2026-10-25", "Europe/Berlin", False, seconds(2026, 10, 24, 22)),
        ("2026-10-25", "Europe/Berlin", True, seconds(2026, 10, 25, 23)),
    ],
)
def test_instant(text: str, zone: str, is_end: bool, expected: float) -> None:
    """A typed date is an instant in its zone; as an end it includes all it names, also on the day of 25 hours."""
    assert instant(text, ZoneInfo(zone), is_end=is_end) == expected


@pytest.mark.parametrize(
    "text", ["", "today", "2026-11-20 10:00", "2026-11-20T10", "20261120", "2026-W47-5", "2026-02-30", "2026-11-20T25:00", "２０２６-11-20"]
)
def test_no_instant(text: str) -> None:
    """Anything else is no date."""
    with pytest.raises(ValueError):
        instant(text, UTC, is_end=False)
