"""TLS towards the hosts we deliver to, with real handshakes in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.errors import ConfigError
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound.attempt import Deliverer
from jetmail.outbound.job import DeliveryOptions
from jetmail.outbound.pool import Pool, PoolOptions
from jetmail.outbound.route import Destination, RouteOptions, Router
from jetmail.outbound.tls import ClientTls, TlsMode, TlsOptions
from tests.fakes import CLOSE, FakeDialer, FakeEntropy, FakePeer, FakeResolver
from tests.outbound.delivering import job

EHLO_TLS = b"250-peer.test\r\n250-PIPELINING\r\n250-REQUIRETLS\r\n250 starttls\r\n"
EHLO_BARE = b"250 peer.test\r\n"
TRUSTED = trustme.CA()
STRANGE = trustme.CA()


@implementer(IOpenSSLServerConnectionCreator)
class Server:
    """The server's side of STARTTLS, with a certificate for `names`."""

    def __init__(self, authority: trustme.CA, *names: str, newest: int = 0) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        authority.issue_cert(*names).configure_cert(self.context)
        if newest:
            self.context.set_max_proto_version(newest)
            self.context.set_cipher_list(b"ALL:@SECLEVEL=0")

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


@implementer(IOpenSSLServerConnectionCreator)
class Broken:
    """A server whose every handshake fails: its context has no certificate."""

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD), None)


class TlsTests(SynchronousTestCase):
    """Of the four modes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made: list[FakePeer] = []
        self.dialer = FakeDialer(self.clock)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        bundle = Path(directory.name, "ca.pem")
        TRUSTED.cert_pem.write_to_path(str(bundle))
        self.tls = ClientTls(TlsOptions(ca_file=str(bundle), broken_seconds=60), self.clock.seconds)

    def deliverer(self, mode: TlsMode, server: Any, answers: Any = None, hosts: Sequence[str] = ("mx.test",), behind: bytes = b"") -> None:
        """One host at one address, with that server context."""
        zone = {(host, "A"): [f"192.0.2.{number}"] for number, host in enumerate(hosts, 1)}
        self.pool = Pool(PoolOptions(), self.clock)
        router = Router(FakeResolver(zone), lambda domain: [Destination(host, 25, 1, mode) for host in hosts], FakeEntropy(), RouteOptions())
        self.subject = Deliverer(router, self.pool, self.dialer, self.tls, lambda content: iter(()), self.clock, DeliveryOptions("us.test"))
        for number in range(1, len(hosts) + 1):
            self.dialer.peers[f"192.0.2.{number}", 25] = lambda: FakePeer({"EHLO": EHLO_TLS, **(answers or {})}, server, behind)

    def one(self, **facts: Any) -> Outcome:
        """The outcome of a delivery."""
        found: list[dict[int, Outcome]] = []
        self.subject.deliver(job(**facts)).addCallback(found.append)
        self.dialer.pump()
        self.assertEqual(len(found), 1, "no outcome yet")
        return found[0][1]

    def verbs(self, number: int = 0) -> list[str]:
        """What a peer heard."""
        return self.dialer.made[number].verbs

    def test_opportunistic(self) -> None:
        """TLS is used when offered, in any case of the keyword, with EHLO again; whether the certificate was good is recorded."""
        for authority, names, verified in ((TRUSTED, ["mx.test"], True), (TRUSTED, ["other.test"], False), (STRANGE, ["mx.test"], False)):
            self.setUp()
            self.deliverer(TlsMode.OPPORTUNISTIC, Server(authority, *names))
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.tls, outcome.verified), (Result.DELIVERED, "TLSv1.3", verified))
            self.assertEqual(self.verbs(), ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"])

    def test_opportunistic_without(self) -> None:
        """Not offered, or refused: the mail goes in clear on the same connection."""
        for answers in ({"EHLO": EHLO_BARE}, {"STARTTLS": b"454 4.7.0 not now\r\n"}):
            self.setUp()
            self.deliverer(TlsMode.OPPORTUNISTIC, None, answers)
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.tls, len(self.dialer.made)), (Result.DELIVERED, "", 1))

    def test_opportunistic_broken(self) -> None:
        """A handshake that fails is followed by clear text on a fresh connection, and the host is remembered for a while."""
        self.deliverer(TlsMode.OPPORTUNISTIC, Broken())
        self.assertEqual((self.one().result, len(self.dialer.made)), (Result.DELIVERED, 2))
        self.assertNotIn("STARTTLS", self.verbs(1))
        self.assertTrue(self.tls.is_broken("mx.test"))
        self.clock.advance(61)
        self.assertFalse(self.tls.is_broken("mx.test"))

    def test_required(self) -> None:
        """Any certificate will do, but nothing is said in clear."""
        self.deliverer(TlsMode.REQUIRED, Server(STRANGE, "other.test"))
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.tls, outcome.verified), (Result.DELIVERED, "TLSv1.3", False))
        for answers, server in (({"EHLO": EHLO_BARE}, None), ({"STARTTLS": b"454 no\r\n"}, None), ({}, Broken())):
            self.setUp()
            self.deliverer(TlsMode.REQUIRED, server, answers)
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.reason, outcome.is_host_fault), (Result.LATER, "tls", True))
            self.assertNotIn("MAIL", self.verbs())
            self.assertFalse(self.tls.is_broken("mx.test"))

    def test_verified(self) -> None:
        """A chain to a trusted root and the host's name, or nothing is sent; the next host may do."""
        self.deliverer(TlsMode.VERIFIED, Server(TRUSTED, "mx.test"))
        self.assertTrue(self.one().verified)
        for server, word in ((Server(TRUSTED, "other.test"), "does not name mx.test"), (Server(STRANGE, "mx.test"), "unknown")):
            self.setUp()
            self.deliverer(TlsMode.VERIFIED, server)
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.reason), (Result.LATER, "tls"))
            self.assertIn(word, outcome.reply.text)
            self.assertNotIn("MAIL", self.verbs())

    def test_verified_address(self) -> None:
        """A host that is an address is verified by the address in its certificate."""
        self.deliverer(TlsMode.VERIFIED, Server(TRUSTED, "192.0.2.1"), hosts=["192.0.2.1"])
        self.assertTrue(self.one().verified)

    def test_old_versions(self) -> None:
        """Required and verified want TLS 1.2."""
        self.deliverer(TlsMode.REQUIRED, Server(TRUSTED, "mx.test", newest=SSL.TLS1_1_VERSION))
        self.assertEqual(self.one().reason, "tls")
        self.setUp()
        self.deliverer(TlsMode.REQUIRED, Server(TRUSTED, "mx.test", newest=SSL.TLS1_2_VERSION))
        self.assertEqual(self.one().tls, "TLSv1.2")

    def test_injection(self) -> None:
        """Octets in clear behind the 220 of STARTTLS end the conversation: nothing of them is believed, and nothing goes in clear."""
        for mode in (TlsMode.OPPORTUNISTIC, TlsMode.VERIFIED):
            self.setUp()
            self.deliverer(mode, None, behind=b"250-evil\r\n250 AUTH PLAIN\r\n")
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.reason), (Result.LATER, "protocol"))
            self.assertEqual(self.verbs(), ["EHLO", "STARTTLS"])

    def test_requiretls(self) -> None:
        """REQUIRETLS goes only over verified TLS to a host that offers it, whatever the destination's mode; else never, 5.7.30 (RFC 8689)."""
        self.deliverer(TlsMode.NONE, Server(TRUSTED, "mx.test"))
        self.assertEqual(self.one(requiretls=True).result, Result.DELIVERED)
        self.assertTrue(any(line.startswith("MAIL") and line.endswith(" REQUIRETLS") for line in self.dialer.made[0].lines))
        without = {"EHLO": b"250-x\r\n250 STARTTLS\r\n"}
        for server, answers in ((Server(STRANGE, "mx.test"), {}), (Server(TRUSTED, "mx.test"), without), (None, {"EHLO": EHLO_BARE})):
            self.setUp()
            self.deliverer(TlsMode.OPPORTUNISTIC, server, answers)
            outcome = self.one(requiretls=True)
            self.assertEqual((outcome.result, outcome.reason, outcome.reply.enhanced), (Result.NEVER, "unsupported", "5.7.30"))
            self.assertNotIn("MAIL", self.verbs())

    def test_connections_by_mode(self) -> None:
        """A connection in clear is not used for what must be verified."""
        self.deliverer(TlsMode.NONE, Server(TRUSTED, "mx.test"))
        self.one()
        self.one(requiretls=True)
        self.assertEqual(len(self.dialer.made), 2)

    def test_handshake_stalls(self) -> None:
        """A handshake that does not end is given up after a minute, then as one that failed."""
        self.deliverer(TlsMode.REQUIRED, None)
        found: list[Any] = []
        self.subject.deliver(job()).addCallback(found.append)
        self.dialer.pump()
        self.assertEqual(found, [])
        for _ in range(62):
            self.clock.advance(1)
            self.dialer.pump()
        self.assertEqual(found[0][1].reason, "timeout")

    def test_opportunistic_hangs(self) -> None:
        """A handshake that hangs, or a peer that leaves at STARTTLS, is broken TLS too: clear text on a fresh connection."""
        for answers in ({}, {"STARTTLS": CLOSE}):
            self.setUp()
            self.deliverer(TlsMode.OPPORTUNISTIC, None, answers)
            found: list[Any] = []
            self.subject.deliver(job()).addCallback(found.append)
            for _ in range(62):
                self.dialer.pump()
                self.clock.advance(1)
            self.dialer.pump()
            self.assertEqual((found[0][1].result, found[0][1].tls), (Result.DELIVERED, ""))

    def test_no_sessions(self) -> None:
        """No session is kept, so none can be shown to another host."""
        for mode in (TlsMode.OPPORTUNISTIC, TlsMode.VERIFIED):
            connection = self.tls.creator("mx.test", mode).clientConnectionForTLS(None)
            self.assertEqual(connection.get_context().get_session_cache_mode(), SSL.SESS_CACHE_OFF)

    def test_bad_bundle(self) -> None:
        """A CA file without certificates is said to the administrator at boot."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "ca.pem")
            path.write_text("nothing\n")
            self.assertRaises(ConfigError, ClientTls, TlsOptions(ca_file=str(path)), self.clock.seconds)
