"""Outgoing TCP over a reactor in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectError, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jetmail.interfaces import IDialer
from jetmail.outbound.dialer import Dialer


class DialerTests(SynchronousTestCase):
    """Of Dialer."""

    def test_connects(self) -> None:
        """The address is dialled with the time-out and the source given, and the protocol comes back."""
        reactor = MemoryReactorClock()
        dialer = Dialer(reactor)
        self.assertTrue(verifyObject(IDialer, dialer))
        dialling = dialer.connect("192.0.2.1", 25, Factory.forProtocol(Protocol), 30, "198.51.100.1")
        host, port, factory, timeout, source = reactor.tcpClients[0]
        self.assertEqual((host, port, timeout, source), ("192.0.2.1", 25, 30, ("198.51.100.1", 0)))
        made: Any = factory.buildProtocol(None)
        made.makeConnection(object())
        self.assertIsInstance(self.successResultOf(dialling), Protocol)

    def test_ipv6(self) -> None:
        """An IPv6 address is dialled as one, from anywhere when no source is given."""
        reactor = MemoryReactorClock()
        Dialer(reactor).connect("2001:db8::1", 25, Factory.forProtocol(Protocol), 30).addErrback(lambda _: None)
        self.assertEqual((reactor.tcpClients[0][0], reactor.tcpClients[0][4]), ("2001:db8::1", None))

    def test_unix_socket(self) -> None:
        """A path is a UNIX socket."""
        reactor = MemoryReactorClock()
        Dialer(reactor).connect("/run/clamav/clamd.ctl", 0, Factory.forProtocol(Protocol), 7).addErrback(lambda _: None)
        self.assertEqual((reactor.unixClients[0][0], reactor.unixClients[0][2]), ("/run/clamav/clamd.ctl", 7))

    def test_refused(self) -> None:
        """A refusal comes back as ConnectError."""
        reactor = MemoryReactorClock()
        dialling = Dialer(reactor).connect("192.0.2.1", 25, Factory.forProtocol(Protocol), 30)
        reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.failureResultOf(dialling, ConnectError)
