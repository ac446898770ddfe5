"""One POST: to whom it goes, what is said of its end, what it may cost; with real handshakes in memory."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from OpenSSL import crypto
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.interfaces import AnswerKind
from jetmail.mail.webhook import Posted
from jetmail.outbound.endpoints import is_public
from jetmail.outbound.posting import MAX_BROUGHT, Poster
from tests.fakes import FakeDialer, FakeResolver
from tests.outbound.test_fetching import Server, Web

TRUSTED = trustme.CA()
PUBLIC = "198.41.0.4"
OK = b"HTTP/1.1 204 OK\r\n\r\n"


class PostingTests(SynchronousTestCase):
    """To hook.test at a public address."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialer = FakeDialer(self.clock)
        self.resolver = FakeResolver({("hook.test", "A"): [PUBLIC]})
        trusted = trustRootFromCertificates([Certificate(crypto.load_certificate(crypto.FILETYPE_PEM, TRUSTED.cert_pem.bytes()))])
        self.subject = Poster(self.clock, self.resolver, self.dialer, trusted)

    def serve(self, answer: bytes | None, address: str = PUBLIC, port: int = 443, authority: trustme.CA = TRUSTED, name: str = "hook.test") -> None:
        """What is there. Port 80 speaks in clear."""
        server: Any = Server(authority, name) if port != 80 else None
        self.dialer.peers[address, port] = lambda: Web(server, answer)

    def post(self, url: str = "https://hook.test/in?a=b", allow_private: bool = False, wait: float = 11) -> Posted:
        """What became of it."""
        found: list[Any] = []
        self.subject.post(url, {"X-Webhook-ID": "evt_1"}, b'{"a":1}', allow_private).addBoth(found.append)
        for _ in range(3):
            self.dialer.pump()
            self.clock.advance(0.01)
        if not found:
            self.clock.advance(wait)
        self.assertEqual(len(found), 1, found)
        assert isinstance(found[0], Posted), found
        return found[0]

    def test_taken(self) -> None:
        """The body as it is, by POST, with its fields; 2xx is taken."""
        self.serve(OK)
        self.assertEqual(self.post(), Posted(204))
        asked = self.dialer.made[0].asked
        self.assertTrue(asked.startswith(b"POST /in?a=b HTTP/1.1\r\n"), asked)
        for field in (b"Host: hook.test", b"Content-Type: application/json", b"X-Webhook-ID: evt_1", b"Content-Length: 7"):
            self.assertIn(field.lower() + b"\r\n", asked.lower())
        self.assertIn(b"\r\nX-Webhook-ID: evt_1\r\n", asked)
        self.assertTrue(asked.endswith(b'\r\n\r\n{"a":1}'), asked)

    def test_refused(self) -> None:
        """What the other side says of a failure is kept in part, without what could steer a terminal."""
        self.serve(b"HTTP/1.1 500 x\r\nContent-Length: 9\r\n\r\nno\x1b[1mway")
        self.assertEqual(self.post(), Posted(500, "answered 500: no [1mway"))
        self.serve(b"HTTP/1.1 403 x\r\n\r\n" + b"y" * 5_000)
        self.assertEqual(self.post(), Posted(403, "answered 403: " + "y" * 200))

    def test_redirect(self) -> None:
        """A redirect is not followed, and is the last word."""
        self.serve(b"HTTP/1.1 302 x\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        posted = self.post()
        self.assertEqual((posted.status, posted.is_over), (302, True))
        self.assertEqual(self.dialer.dialled, [(PUBLIC, 443)])

    def test_private(self) -> None:
        """A host with an address that is not public is refused for good, one among others too, and nobody is dialled."""
        for addresses in (["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "192.168.1.1"], [*[PUBLIC] * 6, "169.254.169.254"]):
            self.resolver.zone["hook.test", "A"] = addresses
            posted = self.post()
            self.assertEqual((posted.status, posted.never), (0, True))
            self.assertIn("not public", posted.said)
        self.resolver.zone["hook.test", "AAAA"] = ["::ffff:127.0.0.1"]
        self.resolver.zone["hook.test", "A"] = [PUBLIC]
        self.assertTrue(self.post().never)
        for url in ("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]:8443/", "https://2130706433/", "https://127.1/"):
            self.assertNotEqual(self.post(url).said, "")
        self.assertEqual(self.dialer.dialled, [])

    def test_allowed(self) -> None:
        """Where it is allowed, private addresses and http are reached."""
        self.serve(OK, "127.0.0.1", 80)
        self.assertEqual(self.post("http://127.0.0.1/x", allow_private=True), Posted(204))
        self.assertTrue(self.post("http://hook.test/").never)
        self.assertEqual(self.dialer.dialled, [("127.0.0.1", 80)])

    def test_asked_once(self) -> None:
        """The address that was looked at is the one that is dialled: an answer that changes afterwards changes nothing."""
        self.serve(OK)
        self.post()
        self.assertEqual(sorted(self.resolver.asked), [("hook.test", "A"), ("hook.test", "AAAA")])

    def test_certificate(self) -> None:
        """Another name or an unknown authority gets nothing."""
        for authority, name in ((TRUSTED, "other.test"), (trustme.CA(), "hook.test")):
            self.serve(OK, authority=authority, name=name)
            posted = self.post()
            self.assertIn("certificate", posted.said)
            self.assertNotIn(b"POST", self.dialer.made[-1].asked)

    def test_nobody(self) -> None:
        """No address, nobody there, nobody who answers: said, tried again, and over within ten seconds."""
        self.dialer.peers[PUBLIC, 443] = ConnectionRefusedError()
        self.assertEqual(self.post(), Posted(0, "cannot be reached: ConnectionRefused"))
        self.serve(None)
        self.assertEqual(self.post(), Posted(0, "no answer within 10 seconds"))
        self.serve(b"HTTP/1.1 200")
        self.assertIn("ended without an answer", self.post().said)
        self.resolver.zone["hook.test", "A"] = AnswerKind.SERVFAIL
        self.assertEqual(self.post(), Posted(0, "hook.test has no address"))

    def test_flood(self) -> None:
        """Who sends fields without end is cut off."""
        self.serve(b"HTTP/1.1 200 x\r\n" + b"X-A: b\r\n" * (MAX_BROUGHT // 8 + 1) + b"\r\n")
        self.assertFalse(self.post().is_taken)
        self.assertTrue(self.dialer.transports[0].is_aborted)

    def test_cancelled(self) -> None:
        """A request can be given up, which is the only way its Deferred fails."""
        self.serve(None)
        waiting = self.subject.post("https://hook.test/", {}, b"{}")
        waiting.cancel()
        self.failureResultOf(waiting)


@pytest.mark.parametrize(
    "address",
    """0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.168.0.1 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255
    :: ::1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 2001::1 2002:7f00:1:: 2002:a00:1::1 2001:db8::1 fc00::1 fd12::1
    fe80::1 fec0::1 ff02::1 5f00::1 4000::1""".split(),
)
def test_not_public(address: str) -> None:
    """No way to write a private, local, reserved or multicast address makes it public."""
    assert not is_public(address)


@pytest.mark.parametrize("address", "8.8.8.8 198.41.0.4 2001:4860:4860::8888 ::ffff:8.8.8.8 64:ff9b::808:808".split())
def test_public(address: str) -> None:
    """The internet's addresses are."""
    assert is_public(address)
