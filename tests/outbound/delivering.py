"""A deliverer over scripted peers, for the tests of attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound.attempt import Deliverer
from jetmail.outbound.job import DeliveryOptions, Job
from jetmail.outbound.pool import Pool, PoolOptions
from jetmail.outbound.route import (
    Destination,
    RouteOptions,
    Router,
)
from jetmail.outbound.tls import ClientTls, TlsOptions
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.messages import Content
from tests.fakes import FakeDialer, FakeEntropy, FakePeer, FakeResolver

MESSAGE = b"From: a@sender.test\r\nSubject: hi\r\n\r\n.dot\r\nend\r\n"
EHLO_BARE = b"250 peer.test\r\n"
FACTS = MessageFacts(1, "uid", "a@sender.test", len(MESSAGE), "7BIT", False, "", "", False, 0.0, 1, "outbound", "")


def due(number: int, target: str = "", recipient: str = "", notify: str = "", orcpt: str = "") -> Due:
    """A delivery."""
    target = target or f"r{number}@a.test"
    return Due(number, 1, recipient or target, target, "a.test", 1, 0.0, 60.0, notify, orcpt, False)


def job(recipients: int = 1, content: bytes = MESSAGE, deliveries: Sequence[Due] = (), **facts: Any) -> Job:
    """A message to that many recipients."""
    stored = Content(len(content), content)
    return Job(FACTS._replace(**facts), stored, tuple(deliveries) or tuple(map(due, range(1, recipients + 1))), "a.test")


class AttemptCase(SynchronousTestCase):
    """Two addresses of one relay destination, or what `rows` says."""

    rows: Sequence[Destination] = (Destination("192.0.2.1", 25, 1), Destination("192.0.2.2", 25, 2))

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialer = FakeDialer(self.clock)
        self.pieces: Callable[[Content], Iterator[bytes]] = lambda content: iter(())
        self.build()

    def build(self, pool: PoolOptions | None = None, route: RouteOptions | None = None, zone: Any = None, **options: Any) -> None:
        """The deliverer under test."""
        self.pool = Pool(pool or PoolOptions(), self.clock)
        self.tls = ClientTls(TlsOptions(), self.clock.seconds)
        router = Router(FakeResolver(zone), lambda domain: self.rows, FakeEntropy(), route or RouteOptions())
        settings = DeliveryOptions(hostname="us.test", **options)
        self.deliverer = Deliverer(router, self.pool, self.dialer, self.tls, lambda content: self.pieces(content), self.clock, settings)

    def peer(self, *peers: Any) -> None:
        """What answers at 192.0.2.1, 192.0.2.2, ..: keyword arguments of FakePeer, or what FakeDialer takes."""
        for number, peer in enumerate(peers, 1):
            made = (lambda answers=peer: FakePeer(answers)) if isinstance(peer, dict) else peer
            self.dialer.peers[f"192.0.2.{number}", 25] = made

    def start(self, work: Job) -> list[dict[int, Outcome]]:
        """Deliver as far as it goes by itself."""
        found: list[dict[int, Outcome]] = []
        self.deliverer.deliver(work).addCallback(found.append)
        self.dialer.pump()
        return found

    def deliver(self, work: Job) -> dict[int, Outcome]:
        """Deliver to the end."""
        found = self.start(work)
        self.assertEqual(len(found), 1, "no outcome yet")
        return found[0]

    def one(self, work: Job | None = None) -> Outcome:
        """The outcome of the first recipient."""
        return self.deliver(work or job())[1]

    def words(self, outcome: Outcome) -> tuple[Result, str, int]:
        """What matters of an outcome."""
        return outcome.result, outcome.reason, outcome.reply.code

    def run_clock(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.dialer.pump()
