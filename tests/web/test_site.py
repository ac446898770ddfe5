"""The site around its pages: addresses, failures, static files, health, metrics, and that docs say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError
from twisted.internet.defer import Deferred, fail, succeed

from jetmail.errors import StoreError
from jetmail.mail.status import Status
from jetmail.rules.verdict import REASONS as RULINGS
from jetmail.web import render
from jetmail.web.options import WebOptions
from jetmail.web.pages.logs import FIELDS
from tests.web import seed
from tests.web.browser import Wire, fetch
from tests.web.portal import PortalTestCase

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Broken:
    """A store whose searches end as told."""

    def __init__(self, db: Any, result: Any) -> None:
        self.read = db.read
        self.run = db.run
        self.result = result

    def search(self, fn: Any, *args: Any) -> Any:
        """The told end."""
        return self.result() if callable(self.result) else self.result


class SiteTests(PortalTestCase):
    """Everything that is not one page's."""

    def test_home(self) -> None:
        """The first screen is the log."""
        seen = self.get("/")
        self.assertEqual((302, "/logs"), (seen.code, seen.headers["location"]))

    def test_unknown_address(self) -> None:
        """An address nobody serves is a page that says so and leads on, and nothing else."""
        for path in ("/nowhere", "/logs/", "/static/../site.py", "/static/%2e%2e/site.py", "/static/", "//evil.example/", "/admin", "/%00"):
            seen = self.get(path)
            self.assertEqual(404, seen.code, path)
            self.assertNotIn("location", seen.headers, path)
        self.assertIn("There is nothing at this address", self.get("/nowhere").text)

    def test_undecodable_address(self) -> None:
        """An address that is not UTF-8 is the client's mistake."""
        self.assertEqual(400, self.get("/logs/%ff%fe").code)
        self.flushLoggedErrors(UnicodeDecodeError)

    def test_our_fault(self) -> None:
        """A failing page tells a reference and nothing internal; the log has the failure under the same reference."""
        site = self.make(Broken(self.db, lambda: fail(RuntimeError("secret detail in /var/lib"))))
        seen = fetch(site, "/logs")
        self.assertEqual(500, seen.code)
        self.assertIn('Reference <span class="mono">ref-1</span>', seen.text)
        for inside in ("secret", "RuntimeError", "Traceback", "/var/lib"):
            self.assertNotIn(inside, seen.text)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertIn("ref-2", fetch(site, "/queue").text)
        self.flushLoggedErrors(RuntimeError)

    def test_store_down(self) -> None:
        """A store that cannot answer makes pages 503 with a time to try again."""
        site = self.make(Broken(self.db, lambda: fail(StoreError("disk I/O error"))))
        seen = fetch(site, "/logs")
        self.assertEqual((503, "5"), (seen.code, seen.headers["retry-after"]))
        self.assertNotIn("disk", seen.text)
        self.flushLoggedErrors(StoreError)

    def test_too_slow(self) -> None:
        """A page that takes too long is given up, and so is its work."""
        cancelled = []
        site = self.make(Broken(self.db, Deferred(lambda _: cancelled.append(1))))
        wire = Wire(site)
        wire.send(b"GET /logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.clock.advance(14.9)
        self.assertEqual(b"", wire.transport.value())
        self.clock.advance(0.1)
        self.assertEqual(503, wire.seen().code)
        self.assertEqual([1], cancelled)
        wire.close()
        self.flushLoggedErrors()

    def test_browser_leaves(self) -> None:
        """When the browser leaves, the work for it ends without a word in the log."""
        cancelled = []
        wire = Wire(self.make(Broken(self.db, Deferred(lambda _: cancelled.append(1)))))
        wire.send(b"GET /logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wire.close()
        self.assertEqual([1], cancelled)
        self.assertEqual([], self.flushLoggedErrors())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_static(self) -> None:
        """A static file under its version may be kept for ever, under another never; unchanged, it costs no body."""
        page = self.get("/logs").text
        for name, media in (("site.css", "text/css"), ("site.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
            address = re.search(rf'"(/static/{re.escape(name)}\?v=\w+)"', page)[1]  # type: ignore[index]
            seen = self.get(address)
            self.assertEqual((200, media + "; charset=utf-8"), (seen.code, seen.headers["content-type"]))
            self.assertIn("immutable", seen.headers["cache-control"])
            self.assertEqual("no-cache", self.get(f"/static/{name}?v=0").headers["cache-control"])
            again = self.get(address, If_None_Match=seen.headers["etag"])
            self.assertEqual((304, b""), (again.code, again.body))

    def test_brand(self) -> None:
        """The brand is a setting, and another one leaves no trace of ours in any page."""
        self.options = WebOptions(brand="Postamt & Söhne")
        uids = self.seed()
        site = self.make(self.db)
        for path in ("/logs", "/queue", "/nowhere", f"/messages/{uids['mixed']}"):
            text = fetch(site, path).text
            self.assertIn("Postamt &amp; Söhne", text)
            self.assertNotIn("jetmail", text.lower())

    def test_undefined(self) -> None:
        """A template that misses a value fails rather than show a gap."""
        renderer = render.Renderer(Path(__file__).resolve().parents[2] / "templates", {}, WebOptions(), lambda: 0.0)
        self.assertRaises((UndefinedError, KeyError), renderer.page, "error.html")


class HealthTests(PortalTestCase):
    """/healthz."""

    def test_well(self) -> None:
        """All checks well: 200, and each by name; a check may answer later."""
        self.checks["store"] = lambda: succeed(True)
        seen = self.get("/healthz")
        self.assertEqual(200, seen.code)
        self.assertEqual({"status": "ok", "checks": {"store": "ok", "queue": "ok", "listeners": "ok"}}, seen.json())
        self.assertEqual("application/json; charset=utf-8", seen.headers["content-type"])

    def test_failed(self) -> None:
        """One check that is not well, raises, fails or hangs makes it 503 and says no more than which."""

        def raises() -> bool:
            raise OSError("no space left on /var")

        for check in (lambda: False, raises, lambda: fail(OSError("no space left on /var"))):
            self.checks["store"] = check
            seen = self.get("/healthz")
            self.assertEqual(503, seen.code)
            self.assertEqual({"status": "failed", "checks": {"store": "failed", "queue": "ok", "listeners": "ok"}}, seen.json())
        self.flushLoggedErrors(OSError)
        self.checks["store"] = Deferred
        wire = Wire(self.site)
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.clock.advance(3)
        self.assertEqual(503, wire.seen().code)
        wire.close()
        self.flushLoggedErrors()


class MetricsTests(PortalTestCase):
    """/metrics."""

    def sample(self, name: str) -> str:
        """The value of one sample."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return found[1] if found else ""

    def test_counted(self) -> None:
        """What the rooms count comes out under its name and labels."""
        metrics = self.metrics
        metrics.connected("mx")
        metrics.accepted(4096)
        metrics.refused("blocked")
        metrics.refused("blocked")
        metrics.delivered()
        metrics.deferred("connect")
        metrics.bounced("refused")
        metrics.committed(3, 0.004)
        metrics.connections = lambda: 5
        metrics.window = lambda: 17
        metrics.wal_bytes = lambda: 65_536
        for name, value in {
            'jetmail_smtp_connections_total{listener="mx"}': "1.0",
            "jetmail_messages_accepted_total": "1.0",
            "jetmail_accepted_octets_total": "4096.0",
            'jetmail_messages_refused_total{reason="blocked"}': "2.0",
            'jetmail_deliveries_total{reason="accepted",result="delivered"}': "1.0",
            'jetmail_deliveries_total{reason="connect",result="deferred"}': "1.0",
            'jetmail_deliveries_total{reason="refused",result="bounced"}': "1.0",
            'jetmail_commit_transactions_bucket{le="2.0"}': "0.0",
            'jetmail_commit_transactions_bucket{le="4.0"}': "1.0",
            'jetmail_commit_transactions_bucket{le="+Inf"}': "1.0",
            "jetmail_commit_transactions_sum": "3.0",
            "jetmail_commit_seconds_count": "1.0",
            "jetmail_smtp_connections_open": "5.0",
            "jetmail_queue_window": "17.0",
            "jetmail_wal_bytes": "65536.0",
        }.items():
            self.assertEqual(value, self.sample(name), name)
        self.assertTrue(float(self.sample("process_resident_memory_bytes")) > 0)

    def test_queue(self) -> None:
        """A scrape looks at the queue as it is then."""
        self.seed()
        self.assertEqual("10.0", self.sample('jetmail_queue_deliveries{state="queued"}'))
        self.assertEqual("1.0", self.sample('jetmail_queue_deliveries{state="held"}'))
        self.assertEqual("14900.0", self.sample("jetmail_queue_oldest_seconds"))
        self.assertEqual("1.0", self.sample("jetmail_destinations_down"))

    def test_store_down(self) -> None:
        """A store that does not answer costs its own figures and leaves no stale ones; so does a callable that raises."""
        self.seed()
        self.get("/metrics")
        self.metrics.window = lambda: 1 // 0
        self.site = self.make(Broken(self.db, lambda: fail(StoreError("gone"))))
        self.assertEqual("", self.sample('jetmail_queue_deliveries{state="queued"}'))
        self.assertEqual("", self.sample("jetmail_queue_window"))
        self.assertEqual("0.0", self.sample("jetmail_wal_bytes"))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_bounded(self) -> None:
        """However many words come, the page does not grow with them."""
        for number in range(1_000):
            self.metrics.refused(f"word-{number}")
        self.assertEqual(65, self.get("/metrics").text.count("jetmail_messages_refused_total{"))
        self.assertEqual("936.0", self.sample('jetmail_messages_refused_total{reason="other"}'))

    def test_documented(self) -> None:
        """docs/metrics.md names every metric with its type, and no other."""
        self.metrics.refused("blocked")
        text = self.get("/metrics").text
        types = dict(re.findall(r"^# TYPE (jetmail_\w+) (\w+)$", text, re.MULTILINE))
        documented = dict(re.findall(r"^\| `(jetmail_\w+)(?:\{[\w,]+\})?` \| (\w+) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE))
        self.assertEqual(types, documented)


class DocsTests(PortalTestCase):
    """docs/web.md says what the site does."""

    text = (DOCS / "web.md").read_text()

    def test_addresses(self) -> None:
        """Every address is documented, and no other."""
        served = {rule.rule for rule in self.site.resource._app.url_map.iter_rules()}
        self.assertEqual(served, set(re.findall(r"^\| `(/[^`]*)` \|", self.text, re.MULTILINE)))

    def test_fields(self) -> None:
        """Every field of the search is documented."""
        section = self.text[self.text.index("## Searching") : self.text.index("## The seven")]
        documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE))))
        self.assertEqual({*FIELDS, "after"}, documented)

    def test_statuses(self) -> None:
        """Each status is documented with its meaning."""
        for status in Status:
            self.assertIn(f"| {status.label} | {status.meaning} |", self.text)

    def test_reasons(self) -> None:
        """Every word a ruling or an outcome may give has a phrase for people."""
        outcomes = {
            "accepted",
            "refused",
            "deferred",
            "dns",
            "connect",
            "tls",
            "timeout",
            "protocol",
            "loop",
            "null-mx",
            "no-route",
            "unsupported",
            "source",
            "warm-up",
            "hold-rule",
            "cooling",
            "content",
            "expired",
            "operator",
            "returned",
            "report",
        }
        self.assertEqual(outcomes | set(RULINGS), set(render.REASONS))


def test_span() -> None:
    """A length of time has at most two units and never a wrong one."""
    cases = {
        0: "0 ms",
        0.0384: "38 ms",
        4.21: "4.2 s",
        59: "59 s",
        60: "1 min",
        3_599: "59 min",
        3_600: "1 h",
        8_100: "2 h 15 min",
        86_400: "1 d",
        356_460: "4 d 3 h",
        -5: "0 ms",
    }
    assert {seconds: render.span(seconds) for seconds in cases} == cases


def test_size() -> None:
    """Octets are said in the unit that fits."""
    cases = {0: "0 B", 812: "812 B", 4_200: "4.1 KB", 24_881_002: "24 MB", 10_240: "10 KB", 5 * 1024**5: "5120 TB"}
    assert {octets: render.size(octets) for octets in cases} == cases


def test_stamp() -> None:
    """An instant is a <time> in UTC; one that no calendar has does not take the page down."""
    assert str(render.stamp(seed.NOW)) == '<time datetime="2026-11-20T08:00:00.000Z" data-style="second">2026-11-20 08:00:00 UTC</time>'
    assert "1970" in render.stamp(1e30)
    assert "—" in render.stamp(None)


def test_visible() -> None:
    """Nothing in a text is hidden or breaks the page's encoding."""
    assert render.visible("a\x00b\x1b[2Jc\u202ed\u2066e\x85f\ud800g\U0001f600\n") == "a\u2400b\u241b[2Jc\ufffdd\ufffde\ufffdf?g\U0001f600\u240a"
