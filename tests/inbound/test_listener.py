"""The doors: opened all or none, with the reason; closed before the last transaction ends."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.inbound.connections import Connections
from jetmail.inbound.listener import Listeners, SmtpFactory
from jetmail.inbound.options import ListenerOptions
from jetmail.smtp.options import SessionOptions
from tests.fakes import RecordingReceiver
from tests.inbound.wire import Wire


class Reactor(MemoryReactorClock):
    """Refuses `taken` ports, notes adopted sockets."""

    def __init__(self, taken: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.taken = taken
        self.opened: list[Any] = []
        self.adopted: list[tuple[int, int]] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port in self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        opened = super().listenTCP(port, factory, backlog, interface)
        opened.stopListening = lambda: self.opened.remove(opened)
        self.opened.append(opened)
        return opened

    def adoptStreamPort(self, fd: int, family: int, factory: Any) -> Any:
        self.adopted.append((fd, family))
        return self.listenTCP(0, factory)


class ListenersTestCase(SynchronousTestCase):
    """Listeners over a reactor in memory."""

    def listeners(self, reactor: Reactor, *doors: ListenerOptions) -> Listeners:
        self.connections = Connections(reactor)
        factories = [
            SmtpFactory(
                door, SessionOptions("mx.test", door.kind, tls_available=False), self.connections, lambda peer: RecordingReceiver(), lambda: "r3f"
            )
            for door in doors
        ]
        return Listeners(reactor, self.connections, factories)

    def test_opens_and_closes(self) -> None:
        """Every door is opened where it should be, once, and closed when the service stops."""
        reactor = Reactor()
        service = self.listeners(reactor, ListenerOptions("mx", "mx", "192.0.2.1", 25), ListenerOptions("submission", "submission", port=587))
        service.privilegedStartService()
        service.startService()
        self.assertEqual([server[0] for server in reactor.tcpServers], [25, 587])
        self.assertEqual(reactor.tcpServers[0][2:], (511, "192.0.2.1"))
        self.assertIn(reactor.tcpServers[1][3], ("::", "0.0.0.0"))
        self.assertEqual(set(service.ports), {"mx", "submission"})
        self.successResultOf(service.stopService())
        self.assertEqual((reactor.opened, service.ports), ([], {}))
        service.startService()
        self.assertEqual(len(reactor.opened), 2)

    def test_taken_port(self) -> None:
        """A taken port is an error of whoever starts the service, and no other door stays open."""
        reactor = Reactor(taken=(587,))
        service = self.listeners(reactor, ListenerOptions("mx", "mx", port=25), ListenerOptions("submission", "submission", port=587))
        for start in (service.privilegedStartService, service.startService):
            with self.assertRaises(CannotListenError):
                start()
            self.assertEqual(reactor.opened, [])

    def test_adopts(self) -> None:
        """A socket that is open already is adopted with its family, made non-blocking and left open."""
        reactor = Reactor()
        with socket.socket(socket.AF_INET6) as given:
            service = self.listeners(reactor, ListenerOptions("mx", "mx", fd=given.fileno()))
            service.listen()
            self.assertEqual(reactor.adopted, [(given.fileno(), socket.AF_INET6)])
            self.assertFalse(os.get_blocking(given.fileno()))

    def test_stop_waits_for_the_running_transaction(self) -> None:
        """The doors close at once; the service has stopped when the last connection is gone."""
        reactor = Reactor()
        service = self.listeners(reactor, ListenerOptions("mx", "mx", port=25))
        service.startService()
        wire = Wire(reactor.tcpServers[0][1].buildProtocol(None))
        wire.say(b"EHLO c", b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"DATA")
        done = service.stopService()
        self.assertEqual(reactor.opened, [])
        self.assertNoResult(done)
        self.assertTrue(wire.say(b"x", b".").startswith(b"250 "))
        wire.lose()
        self.successResultOf(done)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_tls_without_certificate(self) -> None:
        """A listener that would offer TLS without having it is a mistake of ours, found when it is built."""
        for kind, available in (("mx", True), ("submissions", False)):
            with self.assertRaises(ValueError):
                SmtpFactory(
                    ListenerOptions("x", kind),
                    SessionOptions("mx.test", kind, tls_available=available),
                    Connections(Reactor()),
                    RecordingReceiver,
                    str,
                )
        with self.assertRaises(ValueError):
            SmtpFactory(ListenerOptions("x", "mx"), SessionOptions("mx.test", "submission"), Connections(Reactor()), RecordingReceiver, str)
