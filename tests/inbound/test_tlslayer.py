"""The TLS layer: buffers given back while nothing is said, and a conversation over a real socket, to its end."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from jetmail.inbound import tlslayer
from jetmail.inbound.tls import CertificateFiles, ServerTls, ensure_certificate
from jetmail.inbound.tlslayer import STREAM, renew_buffers
from tests.inbound.wire import House, TlsClient, Wire


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    """A server's TLS with one certificate."""
    files = CertificateFiles(tmp_path / "mx.pem", tmp_path / "mx.key")
    ensure_certificate(files, "mx.test", 1_800_000_000.0)
    return ServerTls(files)


def talking(tls: ServerTls, **context: Any) -> tuple[House, Wire, TlsClient]:
    """A house, and a client of it that has shaken hands and heard the banner."""
    house = House("submissions", tls)
    wire = house.connect()
    client = TlsClient(wire, **context)
    client.handshake()
    assert client.say().startswith(b"220 ")
    return house, wire, client


class Bios:
    """What stood between the transport and the library at a moment. (A new one may lie where an old one lay, so objects are compared.)"""

    def __init__(self, wire: Wire) -> None:
        self._connection = wire.getHandle()
        self._held = self._connection._into_ssl, self._connection._from_ssl

    @property
    def are_kept(self) -> bool:
        incoming, outgoing = self._held
        kept = incoming is self._connection._into_ssl, outgoing is self._connection._from_ssl
        assert kept[0] == kept[1]
        return kept[0]


def test_buffers_of_the_handshake(tls: ServerTls) -> None:
    """What a handshake has filled is given back when it is over, and not before."""
    house = House("submissions", tls)
    wire = house.connect()
    before = Bios(wire)
    client = TlsClient(wire)
    hello = client.first()
    wire.deliver(hello[:50])
    wire.deliver(hello[50:])
    assert before.are_kept
    client._in.write(wire.read())
    client.handshake()
    assert not before.are_kept
    assert client.say().startswith(b"220 ")
    house.end()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_conversation(tls: ServerTls, version: ssl.TLSVersion) -> None:
    """After each exchange both directions work, and so does the end: the client hears that nothing was cut off."""
    house, wire, client = talking(tls, maximum_version=version)
    for _ in range(3):
        before = Bios(wire)
        assert client.say(b"NOOP") == b"250 2.0.0 OK\r\n"
        assert not before.are_kept
    assert client.say(b"QUIT") == b"221 2.0.0 Bye\r\n"
    assert client.tls.read(1) == b""
    house.end()


def test_record_in_pieces(tls: ServerTls) -> None:
    """A record that comes octet by octet is one record, though the buffers are exchanged in its middle."""
    house, wire, client = talking(tls)
    client.tls.write(b"NOOP\r\n")
    said = b""
    for octet in client._out.read():
        assert not said
        wire.deliver(bytes([octet]))
        said = wire.read()
    client._in.write(said)
    assert client.tls.read(100) == b"250 2.0.0 OK\r\n"
    house.end()


def test_octets_that_wait(tls: ServerTls) -> None:
    """A buffer that holds octets is kept."""
    house, wire, client = talking(tls)
    connection = wire.getHandle()
    before = Bios(wire)
    connection.send(b"for the client")
    renew_buffers(connection)
    assert before.are_kept
    client._in.write(connection.bio_read(STREAM))
    connection.bio_write(b"\x17")
    renew_buffers(connection)
    assert before.are_kept
    assert client.tls.read(100) == b"for the client"
    house.end()


def test_stream(tls: ServerTls) -> None:
    """A client in the middle of much keeps its buffers, until less comes."""
    house, wire, client = talking(tls)
    before = Bios(wire)
    client.tls.write(b"NOOP " + b"x" * 400 + b"\r\n")
    for _ in range(50):
        client.tls.write(b"NOOP " + b"x" * 400 + b"\r\n")
    octets = client._out.read()
    assert len(octets) > 2 * STREAM
    wire.deliver(octets[:STREAM])
    wire.deliver(octets[STREAM:-100])
    assert before.are_kept
    wire.deliver(octets[-100:])
    assert not before.are_kept
    house.end()


def test_other_binding(tls: ServerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library is bound in another way, nothing is exchanged and everything works."""
    monkeypatch.setattr(tlslayer, "_IS_KNOWN", False)
    house, wire, client = talking(tls)
    before = Bios(wire)
    assert client.say(b"NOOP") == b"250 2.0.0 OK\r\n"
    assert before.are_kept
    house.end()
    renew_buffers(None)
    renew_buffers(object())  # type: ignore[arg-type]


class Line:
    """A real socket under Twisted's own transport, which is told by hand when to read and write, and a client at its other end."""

    def __init__(self, house: House) -> None:
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.peer: Any = socket.create_connection(door.getsockname())
            accepted, address = door.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setblocking(False)
        self.peer.setblocking(False)
        self.reactor = MemoryReactorClock()
        self.protocol = house.factory.buildProtocol(None)
        self.transport = Server(accepted, self.protocol, address, None, 1, self.reactor)
        self.protocol.makeConnection(self.transport)

    def turn(self) -> None:
        """What the event loop does when something has come."""
        select.select([self.transport], [], [], 5)
        self.lose(self.transport.doRead())

    def lose(self, reason: Exception | None) -> None:
        """As the event loop does with what a turn has said."""
        if reason is not None:
            self.transport.connectionLost(Failure(reason))

    def say(self, *lines: bytes) -> bytes:
        """The answer, in as many turns as there are answers."""
        self.peer.sendall(b"".join(line + b"\r\n" for line in lines))
        self.turn()
        return self.hear()

    def hear(self) -> bytes:
        """What has come."""
        said = b""
        while True:
            try:
                piece: bytes = self.peer.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return said
            if not piece:
                return said
            said += piece

    def secure(self) -> None:
        """The client shakes hands."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.peer = context.wrap_socket(self.peer, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        for _ in range(10):
            try:
                self.peer.do_handshake()
            except ssl.SSLWantReadError:
                self.turn()
            else:
                self.turn()  # the client's last word of it
                return
        raise AssertionError("the handshake does not end")


@pytest.fixture
def house(tls: ServerTls) -> Iterator[House]:
    """A listener with TLS. No connection and no timer is left."""
    house = House("mx", tls, session={"max_junk": 10_000})
    yield house
    house.end()


@pytest.fixture
def line(house: House) -> Iterator[Line]:
    """A client that has asked for TLS and got it."""
    made = Line(house)
    assert made.hear().startswith(b"220 ")
    made.say(b"EHLO c")
    assert made.say(b"STARTTLS") == b"220 2.0.0 Ready to start TLS\r\n"
    made.secure()
    yield made
    made.peer.close()
    if made.transport.connected:
        made.lose(ConnectionDone())


def test_reply_at_once(line: Line, house: House) -> None:
    """A reply is on the socket in the turn in which its command came."""
    assert b"250 REQUIRETLS\r\n" in line.say(b"EHLO c")
    assert house.receiver.methods[-2:] == ["tls_started", "helo"]
    assert line.say(b"NOOP", b"NOOP") == b"250 2.0.0 OK\r\n" * 2
    assert line.transport not in line.reactor.writers


def test_quit(line: Line) -> None:
    """The last reply, the end of TLS, then the end of the connection."""
    assert line.say(b"QUIT") == b"221 2.0.0 Bye\r\n"
    line.peer = line.peer.unwrap()
    line.turn()
    assert line.transport.disconnecting
    line.lose(line.transport.doWrite())
    assert line.peer.recv(1) == b""


def test_peer_that_only_says_goodbye(line: Line, house: House) -> None:
    """The client ends TLS of its own: so do we."""
    with pytest.raises(ssl.SSLWantReadError):
        line.peer.unwrap()
    line.turn()
    line.peer.unwrap()
    assert line.transport.disconnecting and house.receiver.methods[-1] != "lost"


def test_end_without_a_word(line: Line, house: House) -> None:
    """The client is gone in the middle of TLS: the receiver is told so."""
    line.peer.close()
    line.turn()
    assert house.receiver.methods[-1] == "lost" and not line.transport.connected


def test_client_that_does_not_read(line: Line) -> None:
    """Replies that the socket does not take wait in order, their writer is told to rest, and they arrive when there is room again."""
    take = line.transport.writeSomeData
    line.transport.writeSomeData = lambda octets: take(octets[:1]) if len(octets) > 1 else 0  # a socket that is full but for one octet
    commands = 0
    while not line.protocol._is_blocked:
        line.peer.send(b"EHLO c\r\n")
        line.turn()
        commands += 1
        assert commands < 1_000
    del line.transport.writeSomeData
    said = b""
    while line.transport in line.reactor.writers:
        line.transport.doWrite()
        said += line.hear()
    assert said.count(b"\r\n250 ") == commands and not line.protocol._is_blocked


def test_abort(line: Line) -> None:
    """A connection is ended by force below TLS as well."""
    line.protocol.abort()
    line.reactor.advance(0)
    assert not line.transport.connected


def test_proxy_in_front(tls: ServerTls) -> None:
    """TLS at once behind a PROXY header, on a real socket."""
    house = House("submissions", tls, proxy_from=("127.0.0.1",))
    line = Line(house)
    line.peer.sendall(b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 465\r\n")
    line.turn()
    line.secure()
    assert line.hear() == b"220 mx.test ESMTP jetmail\r\n"
    assert house.peers[0].address == "198.51.100.7"
    line.peer.close()
    line.turn()
    house.end()
