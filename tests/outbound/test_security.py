"""What hosts found by MX must show: DANE, MTA-STS, nothing; with real handshakes in memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.interfaces import AnswerKind
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound import ending
from jetmail.outbound.attempt import Deliverer
from jetmail.outbound.fetching import FetchError
from jetmail.outbound.job import DeliveryOptions
from jetmail.outbound.ledger import Ledger
from jetmail.outbound.policies import Policies
from jetmail.outbound.pool import Pool, PoolOptions
from jetmail.outbound.route import Destination, RouteOptions, Router
from jetmail.outbound.security import Security, SecurityOptions
from jetmail.outbound.tls import ClientTls, TlsMode, TlsOptions
from jetmail.store.database import InlineDatabase
from jetmail.store.schema import v0008_transport
from jetmail.store.traffic import transport
from tests.fakes import FakeDialer, FakeEntropy, FakePeer, FakeResolver
from tests.outbound.delivering import MESSAGE, job
from tests.outbound.test_tls import EHLO_BARE, EHLO_TLS, STRANGE, TRUSTED

NOW = 1_900_000_000.0  # 2030-03-17
POLICY = b"version: STSv1\nmode: %s\nmx: %s\nmax_age: 604800\n"
SIGNED = ("a.test", "mx.test", "_25._tcp.mx.test")


@implementer(IOpenSSLServerConnectionCreator)
class Server:
    """A server's side of STARTTLS whose certificate can be asked for."""

    def __init__(self, authority: Any, *names: str) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        issued = authority.issue_cert(*names)
        issued.configure_cert(self.context)
        key = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_key()
        self.tlsa = (3, 1, 1, hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class SecurityCase(SynchronousTestCase):
    """One host, mx.test at 192.0.2.1, for the domain a.test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        bundle = Path(directory.name, "ca.pem")
        TRUSTED.cert_pem.write_to_path(str(bundle))
        self.db = InlineDatabase(":memory:")
        self.db.connection.executescript(v0008_transport.SQL)
        self.resolver = FakeResolver({("a.test", "MX"): [(10, "mx.test")], ("mx.test", "A"): ["192.0.2.1"]})
        self.fetched: list[str] = []
        self.file: Any = FetchError("nobody is there")
        self.options = SecurityOptions()
        self.rows: tuple[Destination, ...] = ()
        self.dialer = FakeDialer(self.clock)
        self.tls = ClientTls(TlsOptions(ca_file=str(bundle)), self.clock.seconds)
        self.restart()

    def restart(self) -> None:
        """All but the store is new."""
        self.policies = Policies(self.resolver, self._fetch, self.db, self.clock.seconds, Logger())
        self.ledger = Ledger(self.db, self.clock.seconds)
        self.security = Security(self.resolver, self.policies, self.ledger, self.options)
        self.security.load()
        router = Router(self.resolver, lambda domain: self.rows, FakeEntropy(), RouteOptions(), self.security.demands)
        pool = Pool(PoolOptions(), self.clock)
        self.subject = Deliverer(
            router, pool, self.dialer, self.tls, lambda content: iter(()), self.clock, DeliveryOptions("us.test"), self.security
        )

    def _fetch(self, domain: str) -> Deferred[bytes]:
        self.fetched.append(domain)
        return fail(self.file) if isinstance(self.file, Exception) else succeed(self.file)

    def host(self, server: Any, ehlo: bytes = EHLO_TLS) -> None:
        """What answers at mx.test."""
        self.dialer.peers["192.0.2.1", 25] = lambda: FakePeer({"EHLO": ehlo}, server)

    def publish(self, mode: str, host: str = "mx.test", identity: str = "1") -> None:
        """An MTA-STS policy of a.test."""
        self.resolver.zone["_mta-sts.a.test", "TXT"] = [b"v=STSv1; id=" + identity.encode()]
        self.file = POLICY % (mode.encode(), host.encode())

    def sign(self, *records: tuple[int, int, int, bytes]) -> None:
        """TLSA records, and DNSSEC for everything."""
        self.resolver.zone["_25._tcp.mx.test", "TLSA"] = records
        self.resolver.signed = SIGNED

    def one(self, content: bytes = MESSAGE, **facts: Any) -> Outcome:
        """The outcome of a delivery."""
        found: list[dict[int, Outcome]] = []
        self.subject.deliver(job(content=content, **facts)).addCallback(found.append)
        self.dialer.pump()
        self.assertEqual(len(found), 1, "no outcome yet")
        return found[0][1]

    def said(self, outcome: Outcome) -> dict[str, str]:
        """The attempt's sentences, as its event has them."""
        found: dict[str, str] = json.loads(ending._detail(outcome))["security"]
        return found

    def counted(self) -> list[tuple[str, str, int]]:
        """(policy, result, sessions) of what the store counts for a.test."""
        self.successResultOf(self.ledger.flush())
        return sorted((row.policy, row.result, row.sessions) for row in transport.results(self.db.connection, "2030-03-17", "a.test", 100))


class DaneTests(SecurityCase):
    """DNSSEC vouches."""

    def test_proved(self) -> None:
        """A certificate nobody else trusts is good when TLSA names it; the event says what was required, found and decided."""
        server = Server(STRANGE, "other.test")
        self.sign(server.tlsa)
        self.host(server)
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.verified), (Result.DELIVERED, True))
        said = self.said(outcome)
        self.assertIn("DANE", said["required"])
        self.assertIn("3 1 1", said["found"])
        self.assertIn("proved by TLSA", said["decided"])
        self.assertEqual(self.counted(), [("tlsa", "", 1)])

    def test_not_proved(self) -> None:
        """Another certificate, however good, or no TLS at all: nothing is said beyond EHLO, and the mail waits."""
        self.sign(Server(TRUSTED, "mx.test").tlsa)
        self.host(Server(TRUSTED, "mx.test"))
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.reason, outcome.reply.enhanced), (Result.LATER, "tls", "4.7.5"))
        self.assertIn("TLSA", outcome.reply.text)
        self.host(None, EHLO_BARE)
        self.assertEqual(self.one().reason, "tls")
        self.assertFalse(any("MAIL" in peer.verbs for peer in self.dialer.made))
        self.assertEqual(self.counted(), [("tlsa", "starttls-not-supported", 1), ("tlsa", "validation-failure", 1)])

    def test_unusable(self) -> None:
        """Records of the web's usages still mean TLS, with any certificate (RFC 7672 2.2)."""
        self.sign((1, 1, 1, b"x" * 32))
        self.host(Server(STRANGE, "other.test"))
        self.assertEqual(self.one().result, Result.DELIVERED)
        self.restart()
        self.host(None, EHLO_BARE)
        self.assertEqual(self.one().reason, "tls")

    def test_look_up_fails(self) -> None:
        """TLSA that cannot be looked up in a signed zone could be an attacker's doing: the host is not used."""
        self.sign()
        self.resolver.zone["_25._tcp.mx.test", "TLSA"] = AnswerKind.SERVFAIL
        self.host(Server(TRUSTED, "mx.test"))
        outcome = self.one()
        self.assertEqual((outcome.reason, self.dialer.made), ("tls", []))
        self.assertEqual(self.counted(), [("tlsa", "dnssec-invalid", 1)])

    def test_not_signed(self) -> None:
        """Without DNSSEC for MX and address nobody asks for TLSA, and records that are not authentic mean nothing."""
        self.sign(Server(TRUSTED, "mx.test").tlsa)
        self.host(None, EHLO_BARE)
        for signed in ((), ("a.test",), ("mx.test", "_25._tcp.mx.test"), ("a.test", "mx.test")):
            self.resolver.signed = signed
            self.restart()
            self.assertEqual(self.one().result, Result.DELIVERED, signed)

    def test_before_mta_sts(self) -> None:
        """DANE decides where both speak (RFC 8461 section 2)."""
        server = Server(STRANGE, "other.test")
        self.sign(server.tlsa)
        self.publish("enforce", "elsewhere.test")
        self.host(server)
        self.assertEqual(self.one().result, Result.DELIVERED)

    def test_requiretls(self) -> None:
        """A proof by TLSA is what REQUIRETLS asks for, too (RFC 8689 4.2.1)."""
        server = Server(STRANGE, "other.test")
        self.sign(server.tlsa)
        self.host(server)
        self.assertEqual(self.one(requiretls=True).result, Result.DELIVERED)


class StsTests(SecurityCase):
    """DNS is not signed."""

    def test_enforce(self) -> None:
        """A verified host of the policy gets the mail; one that cannot be verified, or has no TLS, does not."""
        self.publish("enforce")
        self.host(Server(TRUSTED, "mx.test"))
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.verified), (Result.DELIVERED, True))
        self.assertIn("MTA-STS enforce", self.said(outcome)["required"])
        for server, ehlo in ((Server(STRANGE, "mx.test"), EHLO_TLS), (Server(TRUSTED, "other.test"), EHLO_TLS), (None, EHLO_BARE)):
            self.restart()
            self.host(server, ehlo)
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.reason), (Result.LATER, "tls"))
        self.successResultOf(self.ledger.flush())
        results = {row.result for row in transport.results(self.db.connection, "2030-03-17", "a.test", 100)}
        self.assertLessEqual({"starttls-not-supported"}, results)

    def test_results(self) -> None:
        """Each way to fail is counted under its own name."""
        self.publish("enforce")
        self.host(Server(STRANGE, "mx.test"))
        self.one()
        self.host(Server(TRUSTED, "other.test"))
        self.one()
        self.host(None, EHLO_BARE)
        self.one()
        results = ["certificate-host-mismatch", "certificate-not-trusted", "starttls-not-supported"]
        self.assertEqual(self.counted(), [("sts", result, 1) for result in results])

    def test_host_not_named(self) -> None:
        """A host the policy does not name is not even dialled."""
        self.publish("enforce", "*.mx.test")
        self.host(Server(TRUSTED, "mx.test"))
        outcome = self.one()
        self.assertEqual((outcome.reason, self.dialer.made), ("tls", []))
        self.assertIn("does not name mx.test", outcome.reply.text)
        self.assertIn("not used", self.said(outcome)["decided"])
        self.assertEqual(self.counted(), [("sts", "validation-failure", 1)])

    def test_testing(self) -> None:
        """Mode testing is counted and delivered."""
        self.publish("testing")
        self.host(Server(STRANGE, "mx.test"))
        self.assertEqual(self.one().result, Result.DELIVERED)
        self.assertEqual(self.counted(), [("sts", "certificate-not-trusted", 1)])

    def test_kept(self) -> None:
        """A policy holds for its age without a record or a file, over a restart; then it is forgotten."""
        self.publish("enforce")
        self.host(None, EHLO_BARE)
        self.assertEqual(self.one().reason, "tls")
        del self.resolver.zone["_mta-sts.a.test", "TXT"]
        self.file = FetchError("gone")
        self.restart()
        self.assertEqual(self.one().reason, "tls")
        self.assertEqual(self.fetched, ["a.test"])
        self.clock.advance(604_801)
        self.restart()
        self.assertEqual(self.one().result, Result.DELIVERED)

    def test_renewed(self) -> None:
        """Another id means another file; while that cannot be had the old policy holds, and it is not asked for at every message."""
        self.publish("enforce")
        self.host(None, EHLO_BARE)
        self.one()
        self.publish("none", identity="2")
        good, self.file = self.file, FetchError("down")
        self.assertEqual([self.one().reason, self.one().reason], ["tls", "tls"])
        self.assertEqual(len(self.fetched), 2)
        self.clock.advance(301)
        self.file = good
        self.assertEqual(self.one().result, Result.DELIVERED)

    def test_unfetchable(self) -> None:
        """A policy that cannot be had is none, and its domain will read why."""
        self.publish("enforce")
        self.host(None, EHLO_BARE)
        for file, result in ((FetchError("bad certificate", "sts-webpki-invalid"), "sts-webpki-invalid"), (b"<html>", "sts-policy-invalid")):
            self.restart()
            self.file = file
            self.assertEqual(self.one().result, Result.DELIVERED)
            self.assertIn(("sts", result, 1), self.counted())

    def test_refresh(self) -> None:
        """The job fetches again what is older than a day, so that it does not run out."""
        self.publish("enforce")
        self.host(None, EHLO_BARE)
        self.one()
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.policies.refresh())), 0)
        self.clock.advance(90_000)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.policies.refresh())), 1)
        self.assertEqual(self.fetched, ["a.test", "a.test"])

    def test_fetched_once(self) -> None:
        """However many messages wait, a policy is fetched once."""
        self.publish("enforce")
        self.host(Server(TRUSTED, "mx.test"))
        waiting: Deferred[bytes] = Deferred()
        content, fetch = self.file, self.policies._fetch
        self.policies._fetch = lambda domain: self.fetched.append(domain) or waiting  # type: ignore[func-returns-value]
        found: list[Any] = []
        for _ in range(3):
            self.subject.deliver(job()).addCallback(found.append)
        self.assertEqual((self.fetched, found), (["a.test"], []))
        waiting.callback(content)
        self.dialer.pump()
        self.assertEqual([each[1].result for each in found], [Result.DELIVERED] * 3)
        self.policies._fetch = fetch

    def test_tls_required_no(self) -> None:
        """Mail that says TLS-Required: No goes wherever it can, uncounted (RFC 8689 5, RFC 8460 3)."""
        self.publish("enforce", "elsewhere.test")
        self.host(None, EHLO_BARE)
        outcome = self.one(b"From: a@sender.test\r\nTLS-Required: no\r\n\r\nhi\r\n")
        self.assertEqual(outcome.result, Result.DELIVERED)
        self.assertIn("TLS-Required: No", self.said(outcome)["decided"])
        self.assertEqual(self.one(b"From: a@sender.test\r\n\r\nTLS-Required: No\r\n").reason, "tls")


class MemoryTests(SecurityCase):
    """Nobody promises anything."""

    def test_downgrade(self) -> None:
        """A domain that had verified TLS and now has none gets its mail, and an event beside the attempt."""
        self.host(Server(TRUSTED, "mx.test"))
        outcome = self.one()
        self.assertEqual(self.said(outcome)["required"], "nothing")
        self.assertEqual(self.counted(), [("no-policy-found", "", 1)])
        self.restart()
        self.host(None, EHLO_BARE)
        outcome = self.one()
        self.assertEqual(outcome.result, Result.DELIVERED)
        self.assertIn("2030-03-17", self.said(outcome)["downgrade"])
        ((kind, detail),) = ending._downgrade(outcome)
        self.assertEqual((kind, json.loads(detail)["host"]), ("tls-downgrade", "mx.test"))

    def test_downgrade_deferred(self) -> None:
        """Configured so, the mail waits."""
        self.options = SecurityOptions(defer_downgrade=True)
        self.restart()
        self.host(Server(TRUSTED, "mx.test"))
        self.one()
        self.clock.advance(20)
        self.restart()
        self.successResultOf(self.ledger.flush())
        self.ledger._verified["a.test"] = NOW
        self.host(None, EHLO_BARE)
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.reason), (Result.LATER, "tls"))
        self.assertFalse(any("MAIL" in peer.verbs for peer in self.dialer.made[1:]))

    def test_forgotten(self) -> None:
        """After a month it is no news, and a certificate nobody vouches for is nothing to remember."""
        self.host(Server(STRANGE, "mx.test"))
        self.one()
        self.assertEqual(self.ledger.remembered("a.test"), "")
        self.restart()
        self.host(Server(TRUSTED, "mx.test"))
        self.one()
        self.assertEqual(self.ledger.remembered("a.test"), "2030-03-17")
        self.clock.advance(31 * 86_400)
        self.assertEqual(self.ledger.remembered("a.test"), "")

    def test_store_fails(self) -> None:
        """What cannot be written is kept for the next time."""
        self.host(None, EHLO_BARE)
        self.one()
        run, self.db.run = self.db.run, lambda fn, *args: fail(OSError("full"))  # type: ignore[method-assign,assignment]
        self.failureResultOf(self.ledger.flush(), OSError)
        self.db.run = run  # type: ignore[method-assign]
        self.assertEqual(self.counted(), [("no-policy-found", "starttls-not-supported", 1)])


class ToldTests(SecurityCase):
    """What the event says where no domain asks for anything."""

    def test_nothing(self) -> None:
        """That nothing was required is said with what was looked for."""
        self.host(Server(STRANGE, "other.test"))
        said = self.said(self.one())
        self.assertEqual((said["required"], said["found"]), ("nothing", "no MTA-STS policy, no DNSSEC"))
        self.assertIn("not verified", said["decided"])
        self.options = SecurityOptions(mta_sts=False)
        self.resolver.signed = ("a.test", "mx.test")
        self.restart()
        self.assertEqual(self.said(self.one())["found"], "MTA-STS is switched off, no TLSA")

    def test_destination(self) -> None:
        """A destination that is set to TLS says so, used or not; one that is set to take it or leave it requires nothing and says nothing."""
        self.rows = (Destination("mx.test", 25, 10, TlsMode.VERIFIED),)
        self.host(Server(TRUSTED, "mx.test"))
        said = self.said(self.one())
        self.assertEqual(said, {"required": "verified TLS, as its destination is set", "decided": "used with TLSv1.3, verified"})
        self.restart()
        self.host(Server(STRANGE, "other.test"))
        outcome = self.one()
        self.assertEqual(outcome.reason, "tls")
        self.assertTrue(self.said(outcome)["decided"].startswith("not used: "))
        self.restart()
        self.rows = (Destination("mx.test", 25, 10, TlsMode.REQUIRED),)
        self.assertEqual(self.said(self.one())["required"], "TLS, as its destination is set")
        self.restart()
        self.rows = (Destination("mx.test", 25, 10, TlsMode.OPPORTUNISTIC),)
        self.assertEqual(self.one().security, ())
