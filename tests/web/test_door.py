"""The door: limits on a connection, who may ask and by which name, and what every answer carries."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from jetmail.web.door import DoorSite, host_name, is_loopback
from jetmail.web.metrics import Metrics
from jetmail.web.options import WebOptions
from tests.web.browser import Wire, fetch


class Echo(Resource):
    """Answers anything with one word."""

    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        """The word."""
        return b"here"


class DoorTests(SynchronousTestCase):
    """A site with one page behind the door."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.site = self.make(hosts=("mail.example.com",))

    def make(self, **options: object) -> DoorSite:
        """A site with these options."""
        limits = WebOptions(**options)  # type: ignore[arg-type]
        return DoorSite(Echo(), limits, self.metrics, self.clock, limits.hosts)

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_security_headers(self) -> None:
        """Every answer, a refusal included, forbids framing, sniffing, inline code, referrers and storing, and does not name its software."""
        for seen in (fetch(self.site, "/"), fetch(self.site, "/", host="evil.example"), fetch(self.site, "/", method="POST")):
            policy = seen.headers["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("script-src 'self';", policy)
            self.assertIn("style-src 'self';", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual("nosniff", seen.headers["x-content-type-options"])
            self.assertEqual("no-referrer", seen.headers["referrer-policy"])
            self.assertEqual("no-store", seen.headers["cache-control"])
            self.assertNotIn("server", seen.headers)

    def test_host(self) -> None:
        """Only loopback and configured names are answered, whatever the port; a name an attacker points at us is misdirected."""
        for host in (
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "demo.localhost",
            "mail.example.com:443",
            "Mail.Example.Com.",
        ):
            self.assertEqual(200, fetch(self.site, "/", host=host).code, host)
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "",
            "localhost:x",
            "[::1",
            "[::1]x",
        ):
            self.assertEqual(421, fetch(self.site, "/", host=host).code, host)

    def test_host_missing_or_double(self) -> None:
        """HTTP/1.1 needs exactly one Host; HTTP/1.0, which no browser speaks, may have none."""
        self.assertEqual(400, fetch(self.site, "/", host=None).code)
        wire = Wire(self.site)
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        self.assertEqual(400, wire.seen().code)
        wire.close()
        wire = Wire(self.site)
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(200, wire.seen().code)
        wire.close()

    def test_only_this_machine(self) -> None:
        """Without sign-in nobody from elsewhere is answered, nor somebody a local proxy asks for."""
        self.assertEqual(403, fetch(self.site, "/", peer="192.0.2.7").code)
        self.assertEqual(403, fetch(self.site, "/", X_Forwarded_For="192.0.2.7").code)
        self.assertEqual(403, fetch(self.site, "/", X_Forwarded_For="127.0.0.1, 192.0.2.7").code)
        self.assertEqual(200, fetch(self.site, "/", X_Forwarded_For="127.0.0.1").code)

    def test_only_reading(self) -> None:
        """GET and HEAD are answered, everything else is told so."""
        self.assertEqual(b"here", fetch(self.site, "/").body)
        self.assertEqual((200, b""), (lambda seen: (seen.code, seen.body))(fetch(self.site, "/", method="HEAD")))
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"):
            seen = fetch(self.site, "/", method=method)
            self.assertEqual((405, "GET, HEAD"), (seen.code, seen.headers["allow"]), method)

    def test_body_declared_too_large(self) -> None:
        """A body announced over the limit is refused before any of it is kept, and the connection closes."""
        site = self.make(body_limit=100)
        wire = Wire(site)
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 101\r\n\r\n" + b"x" * 101)
        self.assertEqual(413, wire.seen().code)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()

    def test_body_chunked_too_large(self) -> None:
        """A body of unknown length is refused when it passes the limit; at the limit it is fine."""
        site = self.make(body_limit=100)
        wire = Wire(site)
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            wire.send(b"a\r\n0123456789\r\n")
        wire.send(b"0\r\n\r\n")
        self.assertEqual(413, wire.seen().code)
        self.assertEqual(1, wire.transport.value().count(b"HTTP/1.1"))
        wire.close()
        self.assertEqual(200, fetch(site, "/", Content_Length="0").code)

    def test_header_limits(self) -> None:
        """Too many header fields, or too many octets of them, end in 400 and a closed connection."""
        for header in (b"".join(b"X-%d: y\r\n" % number for number in range(120)), b"X: " + b"y" * 15_000 + b"\r\nZ: " + b"y" * 2_000 + b"\r\n"):
            wire = Wire(self.site)
            wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n")
            self.assertTrue(wire.transport.value().startswith(b"HTTP/1.1 400"))
            self.assertTrue(wire.transport.disconnecting)
            wire.close()

    def test_slow_request(self) -> None:
        """A client that sends an octet a second is cut off when its request is not complete in time, though it is never idle."""
        wire = Wire(self.site)
        for octet in b"GET / HTTP/1.1\r\nHost: lo":
            wire.send(bytes([octet]))
            self.clock.advance(1)
            if wire.transport.disconnecting:
                break
        self.assertTrue(wire.transport.disconnecting)
        self.assertEqual(20.0, self.clock.seconds())
        wire.close()

    def test_idle(self) -> None:
        """A connection on which nothing is asked is closed."""
        wire = Wire(self.site)
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.clock.advance(59)
        self.assertFalse(wire.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()

    def test_connections(self) -> None:
        """Connections past the limit are not taken; one that ends makes room."""
        site = self.make(max_connections=2)
        wires = [Wire(site), Wire(site)]
        self.assertIsNone(Wire(site).protocol)
        wires.pop().close()
        self.assertIsNotNone((late := Wire(site)).protocol)
        for wire in (*wires, late):
            wire.close()
        self.assertEqual(0, site.connections)

    def test_counted(self) -> None:
        """Each answer is counted under its code, also those of the door."""
        fetch(self.site, "/")
        fetch(self.site, "/", host="evil.example")
        self.assertEqual({("200",): 1, ("421",): 1}, self.metrics.web_requests.counts)


def test_host_name() -> None:
    """A Host header yields its name without port, and nothing when it is no host."""
    cases = {"a.example:80": "a.example", "[::1]:8080": "::1", "A.Example.": "a.example", "a:b": "", "[::1": "", "": "", "a:80:80": "", "a:": "a"}
    assert {header: host_name(header) for header in cases} == cases


def test_is_loopback() -> None:
    """Loopback is 127/8, ::1, its mapped form and localhost; nothing that merely looks like it."""
    assert all(map(is_loopback, ("127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "localhost", "x.localhost")))
    assert not any(map(is_loopback, ("", "128.0.0.1", "::", "::2", "0.0.0.0", "localhostx", "2130706433", "127.1", "::ffff:192.0.2.1")))
