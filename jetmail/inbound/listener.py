"""The doors: listening sockets, and the service that opens them, drains them and closes them.

`Listeners` opens every socket or none: a port that is taken raises CannotListenError to whoever starts the service (sockets already opened are closed
again), so the process ends with the reason instead of running half deaf. As a twistd service it opens them in privilegedStartService, while a process
started as root still may. Stopping closes the sockets first, then lets running transactions end: its Deferred fires when the last connection is gone.

Raises CannotListenError; ConfigError never: options come checked.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.inbound.connections import Connections
from jetmail.inbound.options import ListenerOptions
from jetmail.inbound.peer import Networks, Peer
from jetmail.inbound.protocol import SmtpProtocol
from jetmail.inbound.tls import ServerTls
from jetmail.inbound.tlslayer import TlsLayers
from jetmail.smtp.options import SessionOptions


@implementer(IProtocolFactory)
class SmtpFactory:
    """What the connections of one listener share. `make_receiver(peer)` gives each its interfaces.IReceiver; `make_reference()` a short word for
    the log and the peer when a part of ours fails. `tls` None: no STARTTLS (session_options.tls_available must say the same)."""

    noisy = False

    def __init__(
        self,
        options: ListenerOptions,
        session_options: SessionOptions,
        connections: Connections,
        make_receiver: Callable[[Peer], Any],
        make_reference: Callable[[], str],
        tls: ServerTls | None = None,
        is_welcome: Callable[[str], bool] = lambda address: True,
    ) -> None:
        if options.kind != session_options.kind:
            raise ValueError("listener and session options differ in kind")
        if tls is None and (session_options.tls_available or options.kind == "submissions"):
            raise ValueError("TLS is offered without a certificate")
        self.options = options
        self.session_options = session_options
        self.connections = connections
        self.make_receiver = make_receiver
        self.make_reference = make_reference
        self.tls = None if tls is None else TlsLayers(tls, connections.clock)
        self.is_welcome = is_welcome  # before the first word, and before TLS
        self.proxies = Networks(options.proxy_from)
        self.log = Logger()

    def doStart(self) -> None:
        """Twisted: the port listens."""

    def doStop(self) -> None:
        """Twisted: the port is closed."""

    def buildProtocol(self, addr: IAddress | None) -> SmtpProtocol:
        """Twisted: a connection was accepted."""
        return SmtpProtocol(self)


class Listeners(Service):
    """See the module. `reactor` offers listenTCP and adoptStreamPort."""

    name = "inbound"

    def __init__(self, reactor: Any, connections: Connections, factories: Sequence[SmtpFactory]) -> None:
        self._reactor = reactor
        self._connections = connections
        self._factories = tuple(factories)
        self._open: dict[str, IListeningPort] = {}

    @property
    def ports(self) -> dict[str, int]:
        """Listener name to the port it really listens on."""
        return {name: getattr(port.getHost(), "port", 0) for name, port in self._open.items()}

    def privilegedStartService(self) -> None:
        """twistd: still as the user the process was started as."""
        self.listen()

    def startService(self) -> None:
        """Open what is not open yet."""
        self.listen()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Take no more connections, end those there are."""
        super().stopService()
        closing = [Deferred.fromCoroutine(_closed(port)) for port in self._open.values()]
        self._open = {}
        return DeferredList([*closing, self._connections.drain()]).addCallback(lambda _: None)

    def listen(self) -> None:
        """Open every socket. Raises CannotListenError, with none left open. Does nothing when they are open."""
        if self._open:
            return
        self._connections.reopen()
        try:
            for factory in self._factories:
                self._open[factory.options.name] = self._listen(factory)
        except BaseException:
            for port in self._open.values():
                port.stopListening()
            self._open = {}
            raise

    def _listen(self, factory: SmtpFactory) -> IListeningPort:
        options = factory.options
        try:
            if options.fd is not None:
                return adopted(self._reactor, options.fd, factory)
            return self._reactor.listenTCP(
                options.port, factory, backlog=options.backlog, interface=options.address or everywhere()
            )
        except OSError as error:
            raise CannotListenError(options.address or "any", options.port, error) from error


def adopted(reactor: Any, fd: int, factory: Any) -> IListeningPort:
    """A listening socket that was opened by somebody else, who kept the right to."""
    with socket.socket(fileno=os.dup(fd)) as found:
        family = found.family
        found.setblocking(False)  # a property of the socket itself, so the adopted descriptor has it too
    port: IListeningPort = reactor.adoptStreamPort(fd, family, factory)
    return port


async def _closed(port: IListeningPort) -> None:
    closing = port.stopListening()
    if isinstance(closing, Deferred):
        await closing


def everywhere() -> str:
    """The address that stands for all of them: '::' takes IPv4 as well; a system without IPv6 has only the other."""
    return "::" if _has_ipv6() else "0.0.0.0"


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
