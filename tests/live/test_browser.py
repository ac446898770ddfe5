"""The portal in a real browser: it looks right at both widths in both schemes, works from the keyboard, stays current, and axe finds nothing serious.

Needs Debian's chromium and the playwright package; without either every test here is skipped and says so. Pictures of the pages are left in the
directory JETMAIL_PICTURES names, when it is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jetmail.store.database import InlineDatabase
from tests.live import needs
from tests.web import seed

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {1280: 860, 390: 844}
SCHEMES = ("light", "dark")


@dataclass(frozen=True)
class Portal:
    """A site that listens."""

    url: str
    store: str
    uids: dict[str, str]

    def add(self, number: int, subject: str) -> None:
        """A message arrives."""
        db = InlineDatabase(self.store)
        db.run(lambda conn: seed.message(conn, number, seed.NOW, "late@example.net", subject, seed.delivery("dana@demo.test")))
        db.close()


def serve(store: Path, what: str) -> Iterator[Portal]:
    """A site of its own until the test is done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.live.portal", str(store), what], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), process.stderr.read()
        _, port, uids = line.split(" ", 2)
        yield Portal(f"http://127.0.0.1:{port}", str(store), json.loads(uids))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A busy morning, with a hostile message in it."""
    yield from serve(tmp_path_factory.mktemp("portal") / "store.db", "hostile")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Portal]:
    """An empty site for tests that add mail."""
    yield from serve(tmp_path / "store.db", "empty")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One chromium for all."""
    path = needs.program("chromium")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


class Tab:
    """A page that remembers what it complained about. `page` is Playwright's."""

    def __init__(self, browser: Any, width: int = 1280, scheme: str = "light", **more: Any) -> None:
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme, timezone_id="Europe/Berlin", locale="en-GB", **more
        )
        self.page = self.context.new_page()
        self.page.clock.set_fixed_time(seed.NOW)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *failure: object) -> None:
        self.context.close()

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def picture(self, name: str) -> None:
        """The whole page as PNG where JETMAIL_PICTURES says, if it does."""
        if place := os.environ.get("JETMAIL_PICTURES"):
            self.page.screenshot(full_page=True, path=str(Path(place) / f"{name}.png"))

    def serious(self) -> list[str]:
        """What axe finds serious or critical, as 'rule: where'."""
        # By the debugger's door, as the page's own policy rightly refuses foreign script.
        session = self.context.new_cdp_session(self.page)
        session.send("Runtime.evaluate", {"expression": AXE.read_text("utf-8")})
        told = session.send(
            "Runtime.evaluate",
            {"expression": "axe.run(document, {resultTypes: ['violations']}).then(JSON.stringify)", "awaitPromise": True, "returnByValue": True},
        )
        found = json.loads(told["result"]["value"])["violations"]
        bad = [item for item in found if item["impact"] in ("serious", "critical")]
        return [f"{item['id']}: {node['target']} {node.get('failureSummary', '')}" for item in bad for node in item["nodes"]]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_pages(browser: Any, portal: Portal, width: int, scheme: str) -> None:
    """Every page fits its window, complains about nothing under its own policy, and axe finds nothing serious on it."""
    pages = {
        "logs": "/logs",
        "search": "/logs?status=queued&reply=refused&since=2026-11-19",
        "problem": "/logs?since=2026-11-25&until=2026-11-20",
        "nothing": "/logs?subject=zebra",
        "queue": "/queue",
        "nowhere": "/nowhere",
        **{f"message-{word}": f"/messages/{portal.uids[word]}" for word in ("queued", "mixed", "spam", "quarantined", "nasty")},
        **{f"preview-{view}": f"/messages/{portal.uids['quarantined']}/preview?view={view}" for view in ("message", "text", "headers", "parts")},
    }
    with Tab(browser, width, scheme) as tab:
        for name, address in pages.items():
            tab.page.goto(portal.url + address)
            if tab.page.locator("iframe").count():  # loaded when it comes into view
                tab.page.locator("iframe").scroll_into_view_if_needed()
                tab.page.frame_locator("iframe").locator("body").wait_for()
            tab.picture(f"{name}-{width}-{scheme}")
            assert tab.overflow() <= 0, name
            # A document that may run nothing cannot be asked by a script.
            assert name.startswith("preview") or tab.serious() == [], name
        # The browser's own word on the error pages above, and on this test's clock, which may not run in a frame either.
        allowed = ("status of 404", "status of 400", "Blocked script execution in")
        assert [text for text in tab.complaints if not any(word in text for word in allowed)] == []


def test_preview(browser: Any, portal: Portal) -> None:
    """A stranger's letter is shown and does nothing: no request leaves, no script of it runs, no link can be followed; the views change in place."""
    with Tab(browser) as tab:
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url))
        tab.page.goto(f"{portal.url}/messages/{portal.uids['quarantined']}")
        tab.page.locator("iframe").scroll_into_view_if_needed()
        frame = tab.page.frame_locator("iframe[name=preview]")
        frame.get_by_text("Congratulations!").wait_for()
        assert frame.locator("a, form, input, script, iframe, svg").count() == 0
        assert frame.locator("img").evaluate("image => image.src").startswith("data:image/png")
        tab.page.get_by_role("link", name="Headers", exact=True).click()
        frame.get_by_text("MIME-Version").wait_for()
        tab.page.get_by_role("link", name="Parts", exact=True).click()
        frame.get_by_text("claim form.pdf.zip").wait_for()
        assert [url for url in asked if not url.startswith((portal.url, "data:"))] == []
        assert [text for text in tab.complaints if "Blocked script execution in" not in text] == []


def test_schemes_differ(browser: Any, portal: Portal) -> None:
    """Light and dark are what the person's system asks for."""
    colours = []
    for scheme in SCHEMES:
        with Tab(browser, scheme=scheme) as tab:
            tab.page.goto(portal.url + "/logs")
            colours.append(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(245, 246, 248)", "rgb(14, 17, 21)"]


def test_keyboard(browser: Any, portal: Portal) -> None:
    """Without a mouse: skip to the content, type a search, choose a status, open a message, and always see where one is."""
    with Tab(browser) as tab:
        page = tab.page
        page.goto(portal.url + "/logs")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        assert page.locator(".skip").bounding_box()["y"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.get_by_label("Subject").focus()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.type("speaker slot")
        page.keyboard.press("Enter")
        page.wait_for_url("**/logs?subject=speaker+slot")
        assert page.locator("tbody tr").count() == 3
        page.locator("input[name=status]:checked").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**/logs?subject=speaker+slot&status=*")
        page.goto(portal.url + "/logs?subject=speaker+slot&status=queued")
        page.locator("tbody a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/messages/{portal.uids['mixed']}")


def test_zone(browser: Any, portal: Portal) -> None:
    """Times are the browser's: shown in its zone, and dates searched in it."""
    with Tab(browser) as tab:
        tab.page.goto(portal.url + f"/logs?uid={portal.uids['mixed']}")
        assert tab.page.locator("tbody time").first.inner_text() == "08:45:00"
        tab.page.goto(portal.url + "/logs")
        tab.page.get_by_text("More fields and dates").click()
        assert tab.page.locator("[data-zone-name]").inner_text() == "Europe/Berlin"
        tab.page.get_by_label("Received from").fill("2026-11-20T08:45")
        tab.page.get_by_label("Received until").fill("2026-11-20T08:45")
        tab.page.get_by_role("button", name="Search").click()
        tab.page.wait_for_url("**zone=Europe*")
        assert tab.page.locator("tbody tr").count() == 3


def test_live_rows(browser: Any, fresh: Portal) -> None:
    """Mail that arrives appears by itself and is announced; focus stays where it is; Pause pauses."""
    with Tab(browser) as tab:
        page = tab.page
        page.goto(fresh.url + "/logs")
        assert page.get_by_text("No mail yet").is_visible()
        fresh.add(1, "The first")
        page.get_by_role("link", name="The first").wait_for()
        page.get_by_role("link", name="The first").focus()
        fresh.add(2, "The second")
        page.get_by_role("link", name="The second").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "The first"
        assert page.locator("#live-voice").inner_text() == "One new message"
        assert [row.get_attribute("class").split()[-1] for row in page.locator("tbody tr").all()] == ["fresh", "is-queued"]
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(400)  # an answer that was on its way has arrived
        fresh.add(3, "The third")
        page.wait_for_timeout(900)
        assert page.get_by_text("Paused").is_visible()
        assert page.get_by_role("link", name="The third").count() == 0
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("link", name="The third").wait_for()
        assert tab.complaints == []


def test_server_away(browser: Any, fresh: Portal) -> None:
    """When the server does not answer the page keeps what it has, says so, and goes on when it is back."""
    with Tab(browser) as tab:
        page = tab.page
        fresh.add(1, "The first")
        page.goto(fresh.url + "/logs")
        page.route("**/logs/rows*", lambda route: route.abort())
        page.get_by_text("Reconnecting…").wait_for()
        assert page.get_by_role("link", name="The first").is_visible()
        page.unroute("**/logs/rows*")
        page.get_by_text("Live", exact=True).wait_for()


def test_without_script(browser: Any, portal: Portal) -> None:
    """Without script the pages are complete: times in UTC, search, pages, details."""
    with Tab(browser, java_script_enabled=False) as tab:
        page = tab.page
        page.goto(portal.url + "/logs")
        assert page.locator("tbody time").first.inner_text() == "2026-11-20 07:59:58 UTC"
        assert not page.get_by_role("button", name="Pause").is_visible()
        page.get_by_label("Subject").fill("speaker slot")
        page.get_by_role("button", name="Search").click()
        assert page.locator("tbody tr").count() == 3
        page.goto(portal.url + "/logs")
        page.get_by_role("link", name="Older").click()
        assert page.get_by_role("link", name="Newest").is_visible()


def test_hostile_message(browser: Any, portal: Portal) -> None:
    """Markup in a subject, a sender or a reply is read, not run."""
    with Tab(browser) as tab:
        tab.page.on("dialog", lambda dialog: tab.complaints.append("a dialog opened"))
        for address in ("/logs", f"/messages/{portal.uids['nasty']}", "/logs?subject=%3Cscript%3Ealert(1)%3C/script%3E"):
            tab.page.goto(portal.url + address)
            tab.page.wait_for_timeout(700)  # two looks of the script, which parses what it gets
        assert tab.complaints == []
        assert tab.page.locator("img").count() == 0
