"""The server's end of a TCP connection in memory, with TLS that is real, and the client at the other end."""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jetmail.inbound.connections import Connections
from jetmail.inbound.listener import SmtpFactory
from jetmail.inbound.options import ConnectionOptions, ListenerOptions
from jetmail.inbound.peer import Peer
from jetmail.inbound.tls import ServerTls
from jetmail.inbound.tlslayer import TlsLayers
from jetmail.smtp.options import SessionOptions
from tests.fakes import RecordingReceiver
from tests.smtp.test_server import turns


class Wire:
    """What tcp.Server is to a protocol. `closed`: '' while open, else 'lose', 'half' (we say nothing more, the peer may) or 'abort'."""

    def __init__(self, protocol: Any, address: str = "192.0.2.1") -> None:
        self.protocol = protocol
        self.smtp = protocol
        self.address = address
        self.out = b""  # octets for the client, not read yet
        self.writes = 0
        self.closed = ""
        self.is_lost = False
        self.is_paused = False
        self.has_no_delay = False
        self.producer: Any = None
        self.TLS = False
        self.getHandle: Any = None
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """Octets arrive from the client."""
        self.protocol.dataReceived(data)

    def lose(self) -> None:
        """The connection is gone."""
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def read(self) -> bytes:
        """What the server sent since the last time."""
        out, self.out = self.out, b""
        return out

    def say(self, *lines: bytes) -> bytes:
        """The client sends these lines, as many at once as it may: what the server answers."""
        for turn in turns(b"".join(line + b"\r\n" for line in lines)):
            self.deliver(turn)
        return self.read()

    # As tcp.Server has them.

    def write(self, data: bytes) -> None:
        self.writes += 1
        if self.TLS:
            self.protocol.write(data)
        elif not self.closed:
            self.out += data

    def startTLS(self, context: Any) -> None:
        self.TLS = True
        self.protocol = TlsLayers(context, Clock()).layer(self.smtp)
        self.getHandle = self.protocol.getHandle
        self.protocol.makeConnection(_BelowTls(self))

    def loseConnection(self) -> None:
        if self.TLS:
            self.protocol.loseConnection()
        self.closed = self.closed or "lose"

    def loseWriteConnection(self) -> None:
        self.closed = self.closed or "half"

    def abortConnection(self) -> None:
        self.closed = "abort"

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.has_no_delay = enabled

    def getPeer(self) -> Any:
        return (IPv6Address if ":" in self.address else IPv4Address)("TCP", self.address, 40_000)

    def getHost(self) -> Any:
        return IPv4Address("TCP", "192.0.2.25", 25)


class _BelowTls:
    """What the TLS layer writes to."""

    disconnecting = False

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def write(self, data: bytes) -> None:
        self._wire.out += data

    def loseConnection(self) -> None:
        self._wire.closed = self._wire.closed or "lose"

    def abortConnection(self) -> None:
        self._wire.closed = "abort"


class TlsClient:
    """A TLS client at the other end of a Wire, by the standard library."""

    def __init__(self, wire: Wire, name: str | None = None, **context: Any) -> None:
        self.wire = wire
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        settings.check_hostname = False
        settings.verify_mode = ssl.CERT_NONE
        for key, value in context.items():
            setattr(settings, key, value)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = settings.wrap_bio(self._in, self._out, server_hostname=name)

    def first(self) -> bytes:
        """The ClientHello, not sent yet."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def handshake(self) -> None:
        """Raises ssl.SSLError."""
        for _ in range(10):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange()
            else:
                self._exchange()
                return
        raise AssertionError("the handshake does not end")

    def _exchange(self) -> None:
        out = self._out.read()
        if out:
            self.wire.deliver(out)
        self._in.write(self.wire.read())

    def say(self, *lines: bytes) -> bytes:
        """Send lines under TLS: what the server answers."""
        if lines:
            self.tls.write(b"".join(line + b"\r\n" for line in lines))
        self._exchange()
        said = b""
        while True:
            try:
                piece = self.tls.read(65_536)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                return said
            if not piece:
                return said
            said += piece

    @property
    def certificate(self) -> bytes:
        """The server's, DER."""
        return self.tls.getpeercert(binary_form=True) or b""


class House:
    """A listener's factory with everything around it. `receivers`: those made so far."""

    def __init__(
        self,
        kind: str = "mx",
        tls: ServerTls | None = None,
        answers: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        session: dict[str, Any] | None = None,
        **listener: Any,
    ) -> None:
        self.clock = Clock()
        self.connections = Connections(self.clock, ConnectionOptions(**(limits or {})))
        self.receivers: list[RecordingReceiver] = []
        self.peers: list[Peer] = []
        self.answers = answers or {}
        self.wires: list[Wire] = []
        self.unwelcome: set[str] = set()
        self.factory = SmtpFactory(
            ListenerOptions("door", kind, **listener),
            SessionOptions("mx.test", kind, tls_available=tls is not None, **(session or {})),
            self.connections,
            self._make_receiver,
            lambda: "r3f",
            tls,
            lambda address: address not in self.unwelcome,
        )

    def _make_receiver(self, peer: Peer) -> RecordingReceiver:
        self.peers.append(peer)
        receiver = RecordingReceiver(self.answers)
        self.receivers.append(receiver)
        return receiver

    def connect(self, address: str = "192.0.2.1") -> Wire:
        """A client connects."""
        wire = Wire(self.factory.buildProtocol(None), address)
        self.wires.append(wire)
        return wire

    @property
    def receiver(self) -> RecordingReceiver:
        """The latest."""
        return self.receivers[-1]

    def pass_time(self, seconds: float) -> None:
        """Time passes, in steps small enough for every sweep."""
        left = seconds
        while left > 0:
            self.clock.advance(min(left, 5.0))
            left -= 5.0

    def end(self) -> None:
        """All connections are lost: no timer may be left."""
        for wire in self.wires:
            wire.lose()
        assert self.clock.getDelayedCalls() == []
        assert len(self.connections) == 0
