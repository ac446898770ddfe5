"""Attempts that leave from a source: the address bound to, the name said, and connections that are never another source's."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.error import ConnectBindError

from jetmail.mail.outcome import Result
from jetmail.mail.reply import Reply
from jetmail.outbound.job import Job
from jetmail.outbound.lane import Pulse, pulse_of
from jetmail.outbound.origin import Origin
from jetmail.outbound.pool import Admission, Key
from jetmail.outbound.route import Destination
from jetmail.outbound.tls import TlsMode
from tests.fakes import FakePeer
from tests.outbound.delivering import AttemptCase, job

ONE = Origin("one", "198.51.100.1", "2001:db8::1", "one.test")
TWO = Origin("two", "198.51.100.2")
SIX = Origin("six", "", "2001:db8::6")


def via(origin: Origin | None) -> Job:
    """A message that leaves from there."""
    return job()._replace(origin=origin)


class OriginTests(AttemptCase):
    """A host of each family."""

    rows: Sequence[Destination] = (Destination("192.0.2.1", 25, 1), Destination("2001:db8::25", 25, 2))

    def hosts(self) -> None:
        """Both answer."""
        for address in ("192.0.2.1", "2001:db8::25"):
            self.dialer.peers[address, 25] = lambda: FakePeer({})

    def test_bound_and_named(self) -> None:
        """The source's address of the host's family is dialled from, and EHLO says its name; without a name of its own, this system's."""
        self.hosts()
        self.assertIs(self.one(via(ONE)).result, Result.DELIVERED)
        self.assertIs(self.one(via(TWO)).result, Result.DELIVERED)
        self.assertEqual(self.dialer.sources, ["198.51.100.1", "198.51.100.2"])
        self.assertEqual([peer.lines[0] for peer in self.dialer.made], ["EHLO one.test", "EHLO us.test"])

    def test_a_connection_serves_one_source(self) -> None:
        """Mail of another source, or of none, gets another connection; mail of the same one the same; changed settings make it another."""
        self.hosts()
        for origin in (ONE, None, TWO, ONE, None, ONE._replace(hostname="new.test")):
            self.one(via(origin))
        self.assertEqual([len(peer.messages) for peer in self.dialer.made], [2, 2, 1, 1])

    def test_hosts_of_the_other_family_are_not_used(self) -> None:
        """A source with IPv6 alone leaves to hosts that have it, whatever their order."""
        self.hosts()
        outcome = self.one(via(SIX))
        self.assertEqual((outcome.address, self.dialer.sources[0]), ("2001:db8::25", "2001:db8::6"))

    def test_nothing_to_leave_to(self) -> None:
        """A destination of the other family alone gets nothing, and is not blamed for it."""
        self.rows = (Destination("192.0.2.1", 25, 1),)
        outcomes = self.deliver(via(SIX))
        self.assertEqual(self.words(outcomes[1]), (Result.LATER, "source", 451))
        self.assertEqual(outcomes[1].reply.text, "the source six has no IPv4 address, and the destination no other")
        self.assertIs(pulse_of(outcomes)[0], Pulse.NOTHING)

    def test_an_address_that_is_not_ours_blames_nobody(self) -> None:
        """The next host may be of a family that works; when none is, the destination is neither down nor dead for others."""
        self.dialer.peers["192.0.2.1", 25] = self.dialer.peers["2001:db8::25", 25] = ConnectBindError(99, "Cannot assign requested address")
        outcomes = self.deliver(via(ONE))
        self.assertEqual(self.words(outcomes[1]), (Result.LATER, "source", 451))
        self.assertIn("cannot leave from 2001:db8::1", outcomes[1].reply.text)
        self.assertIs(pulse_of(outcomes)[0], Pulse.NOTHING)
        self.assertEqual(self.pool.stats().dead, 0)
        self.hosts()
        self.assertIs(self.one(via(ONE)).result, Result.DELIVERED)

    def test_dead_for_one_source_alone(self) -> None:
        """A host that lets one source not in is dialled from the others all the same."""
        key = Key("mx.test", "192.0.2.1", 25, TlsMode.NONE)
        self.pool.failed(key._replace(origin=TWO), Reply(451, "4.4.1", "connection refused"))
        self.assertIs(self.pool.admit(key._replace(origin=TWO)), Admission.DEAD)
        self.assertIs(self.pool.admit(key), Admission.DIAL)
        self.assertIs(self.pool.admit(key._replace(origin=ONE)), Admission.DIAL)

    def test_an_unanswered_final_dot_is_doubtful(self) -> None:
        """The peer may have the message then, and in no other case."""
        self.peer({"dot": b""})
        self.assertTrue(self.one(via(None)).is_doubtful)
        self.dialer.peers["192.0.2.1", 25] = self.dialer.peers["2001:db8::25", 25] = lambda: FakePeer({"DATA": b""})
        self.pool.close()
        self.build()
        self.assertFalse(self.one(via(None)).is_doubtful)
