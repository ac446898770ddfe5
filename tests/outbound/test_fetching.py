"""MTA-STS policies over HTTPS, with real handshakes in memory."""

from __future__ import annotations

from typing import Any

import trustme
from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.errors import ConfigError
from jetmail.outbound.fetching import FetchError, PolicyFetcher, trust
from tests.fakes import FakeDialer, FakeResolver

TRUSTED = trustme.CA()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
FILE = b"version: STSv1\r\nmode: none\r\nmax_age: 1\r\n"


@implementer(IOpenSSLServerConnectionCreator)
class Server:
    """The server's certificate."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        authority.issue_cert(name).configure_cert(self.context)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class Web(Protocol):
    """A web server with one answer for everything; None: none."""

    def __init__(self, server: Server, answer: bytes | None) -> None:
        self.server = server
        self.answer = answer
        self.asked = b""

    def connectionMade(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None  # type: ignore[assignment]
            self.transport.startTLS(server, False)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.asked += data
        if b"\r\n\r\n" in self.asked and self.answer is not None:
            self.transport.write(self.answer)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]


class FetchingTests(SynchronousTestCase):
    """From mta-sts.a.test at 192.0.2.1."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialer = FakeDialer(self.clock)
        self.resolver = FakeResolver({("mta-sts.a.test", "A"): ["192.0.2.1"], ("rua.test", "A"): ["192.0.2.1"]})
        trusted = trustRootFromCertificates([Certificate(crypto.load_certificate(crypto.FILETYPE_PEM, TRUSTED.cert_pem.bytes()))])
        self.subject = PolicyFetcher(self.clock, self.resolver, self.dialer, trusted)

    def serve(self, answer: bytes | None, authority: trustme.CA = TRUSTED, name: str = "mta-sts.a.test") -> None:
        """What is there."""
        server = Server(authority, name)
        self.dialer.peers["192.0.2.1", 443] = lambda: Web(server, answer)

    def fetch(self) -> Any:
        """The octets, or (result type, reason)."""
        found: list[Any] = []
        self.subject.fetch("a.test").addCallbacks(found.append, lambda failure: found.append(failure.value))
        for _ in range(3):
            self.dialer.pump()
            self.clock.advance(0.01)
        if not found:
            self.clock.advance(61)
        self.assertEqual(len(found), 1)
        return (found[0].result, str(found[0])) if isinstance(found[0], FetchError) else found[0]

    def test_file(self) -> None:
        """One GET of the well-known place; the octets as they are."""
        self.serve(HEAD + b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE)
        self.assertEqual(self.fetch(), FILE)
        asked = self.dialer.made[0].asked
        self.assertTrue(asked.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), asked)
        self.assertIn(b"Host: mta-sts.a.test\r\n", asked)

    def test_answers(self) -> None:
        """Redirects are not followed; only 200 and text/plain count; more than 64 KB is not read."""
        moved = b"HTTP/1.1 301 x\r\nLocation: https://mta-sts.a.test/other\r\nContent-Length: 0\r\n\r\n"
        page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
        gone = b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"
        for answer, words in ((moved, "answered 301"), (gone, "404"), (page, "text/html"), (b"junk\r\n\r\n", "failed")):
            self.serve(answer)
            result, why = self.fetch()
            self.assertEqual(result, "sts-policy-fetch-error")
            self.assertIn(words, why)
        self.serve(HEAD + b"\r\n" + b"x" * 70_000)
        self.assertEqual(self.fetch()[0], "sts-policy-invalid")

    def test_certificate(self) -> None:
        """Another name or an unknown authority is no policy, and is said to be the certificate's fault."""
        for authority, name in ((TRUSTED, "a.test"), (trustme.CA(), "mta-sts.a.test")):
            self.serve(HEAD + b"\r\n" + FILE, authority, name)
            self.assertEqual(self.fetch()[0], "sts-webpki-invalid")

    def test_nobody(self) -> None:
        """No address, nobody there, nobody who speaks: an error within a minute."""
        self.dialer.peers["192.0.2.1", 443] = ConnectionRefusedError()
        self.assertIn("cannot be reached", self.fetch()[1])
        self.serve(None)
        self.assertIn("60 seconds", self.fetch()[1])
        del self.resolver.zone["mta-sts.a.test", "A"]
        self.assertIn("no address", self.fetch()[1])

    def test_post(self) -> None:
        """A report goes by POST, and to public addresses only."""
        found: list[str] = []
        self.serve(b"HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n", name="rua.test")
        self.subject.post("https://rua.test/r", b"{}").addCallback(found.append)
        self.assertIn("not public", found[0])
        self.resolver.zone["rua.test", "A"] = ["198.41.0.4"]
        self.dialer.peers["198.41.0.4", 443] = self.dialer.peers["192.0.2.1", 443]
        self.subject.post("https://rua.test/r", b"{}").addCallback(found.append)
        for _ in range(3):
            self.dialer.pump()
            self.clock.advance(0.01)
        self.assertEqual(found[1:], [""])
        self.assertIn(b"application/tlsrpt+gzip", self.dialer.made[-1].asked)

    def test_trust(self) -> None:
        """A file without certificates is a fault of the settings."""
        self.assertRaises(ConfigError, trust, __file__)
        self.assertIsNotNone(trust(""))
