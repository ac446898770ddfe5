"""The site that serves MTA-STS policies: one path for names of ours, and nothing to anybody else."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.web.metrics import Metrics
from jetmail.web.policies import PolicyOptions, PolicySite
from tests.web.browser import Seen, Wire, fetch

FILE = "version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmax_age: 604800\r\n"
PATH = "/.well-known/mta-sts.txt"


class PolicyTests(SynchronousTestCase):
    """a.test has a policy."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.is_broken = False
        self.site = PolicySite(PolicyOptions(max_per_address=2), Metrics(CollectorRegistry()), self.clock, self.policy_of, lambda address: address)

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def policy_of(self, domain: str) -> str:
        """Of a.test alone."""
        if self.is_broken:
            raise StoreError("gone")
        return FILE if domain == "a.test" else ""

    def get(self, path: str = PATH, host: str | None = "mta-sts.a.test", **more: str) -> Seen:
        """Asked from elsewhere in the world."""
        return fetch(self.site, path, host=host, peer="192.0.2.7", **more)

    def test_served(self) -> None:
        """To whoever asks, as RFC 8461 wants it, whatever the case of the name or the port behind it."""
        for host in ("mta-sts.a.test", "MTA-STS.A.test.", "mta-sts.a.test:443"):
            seen = self.get(host=host)
            self.assertEqual((seen.code, seen.headers["content-type"], seen.body.decode()), (200, "text/plain", FILE))
        self.assertEqual(self.get("/.well-known/mta-sts.txt?x=1").code, 200)
        self.assertEqual((self.get(method="HEAD").code, self.get(method="HEAD").body), (200, b""))
        self.assertNotIn("server", self.get().headers)

    def test_nothing_else(self) -> None:
        """No other path and no other name, our own pages and loopback names included, and nothing but reading."""
        for path in ("/", "/logs", "/metrics", "/healthz", PATH + "/", "/.well-known/", "/.well-known/mta-sts.txt/x", "//.well-known/mta-sts.txt"):
            self.assertEqual(self.get(path).code, 404, path)
        for host in ("a.test", "mta-sts.b.test", "mta-sts.", "mta-sts", "localhost", "127.0.0.1", "mta-sts.a.test.evil.test", "mta-sts.a.test:x"):
            self.assertEqual(self.get(host=host).code, 404, host)
        self.assertEqual(self.get(host=None).code, 400)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.get(method=method).code, 405, method)

    def test_store_fails(self) -> None:
        """A store that cannot be read is 503, so that nobody takes the policy for withdrawn."""
        self.is_broken = True
        self.assertEqual((self.get().code, self.get().headers["retry-after"]), (503, "60"))

    def test_connections(self) -> None:
        """Connections of one address past the limit are not taken; one that ends makes room, and all end when the site closes."""
        wires = [Wire(self.site), Wire(self.site)]
        self.assertIsNone(Wire(self.site).protocol)
        wires.pop().close()
        wires.append(Wire(self.site))
        self.assertIsNotNone(wires[-1].protocol)
        self.site.close()
        self.assertTrue(all(wire.transport.disconnecting for wire in wires))
        for wire in wires:
            wire.close()
        self.assertEqual(self.site.connections, 0)

    def test_slow(self) -> None:
        """A request that is not complete in ten seconds is not waited for."""
        wire = Wire(self.site)
        for octet in b"GET / HTTP/1.1\r\nHost":
            wire.send(bytes([octet]))
            self.clock.advance(1)
            if wire.transport.disconnecting:
                break
        self.assertEqual(self.clock.seconds(), 10.0)
        wire.close()
