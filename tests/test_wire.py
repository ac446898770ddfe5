"""The short way onto a socket: when it is taken, and that the octets are the same either way."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from jetmail.wire import close, send


class Plain:
    """A plain TCP transport as Twisted has it, with a socket that takes `room` octets, or is gone when that is None."""

    def __init__(self, room: int | None = 1_000, **state: Any) -> None:
        self.room = room
        self.socket = b""
        self.written = b""
        self.end = ""
        self._tempDataLen = 0
        self.dataBuffer = b""
        self.TLS = False
        self.connected = 1
        self.disconnecting = 0
        self.producer: Any = None
        self.streamingProducer = False
        self.__dict__.update(state)

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.room is None:
            return ConnectionLost()
        self.socket += data[: self.room]
        return min(self.room, len(data))

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        self.end = "later"

    def connectionLost(self, reason: Failure) -> None:
        reason.trap(ConnectionDone)
        self.end = "now"


def test_at_once() -> None:
    """Where nothing stands before them, octets go to the socket in the same turn."""
    transport = Plain()
    send(transport, b"250 OK\r\n")
    assert (transport.socket, transport.written) == (b"250 OK\r\n", b"")


@pytest.mark.parametrize("room", [0, 3])
def test_rest(room: int) -> None:
    """What the socket does not take is left to the transport, so that no octet is lost, doubled or out of order."""
    transport = Plain(room)
    send(transport, b"250 OK\r\n")
    assert (transport.socket, transport.written) == (b"250 OK\r\n"[:room], b"250 OK\r\n"[room:])


def test_lost() -> None:
    """A connection that is gone is reported by the transport, which is given everything."""
    transport = Plain(None)
    send(transport, b"250 OK\r\n")
    assert transport.written == b"250 OK\r\n"


STATES = pytest.mark.parametrize(
    "state",
    [
        {"_tempDataLen": 1},
        {"dataBuffer": b"."},
        {"TLS": True},
        {"connected": 0},
        {"disconnecting": 1},
        {"producer": object(), "streamingProducer": False},
    ],
    ids=lambda state: next(iter(state)),
)


@STATES
def test_long_way(state: dict[str, Any]) -> None:
    """Octets that wait, TLS, an end that has begun and a producer that is to be told are the transport's own business."""
    transport = Plain(**state)
    send(transport, b"250 OK\r\n")
    assert (transport.socket, transport.written) == (b"", b"250 OK\r\n")


def test_streaming_producer() -> None:
    """A producer that is only ever paused needs no telling."""
    transport = Plain(producer=object(), streamingProducer=True)
    send(transport, b"250 OK\r\n")
    assert transport.socket == b"250 OK\r\n"


def test_any_other_transport() -> None:
    """A transport that is not plain TCP is written to as ever."""
    transport = StringTransport()
    send(transport, b"250 OK\r\n")
    assert transport.value() == b"250 OK\r\n"


@pytest.mark.parametrize(("room", "state"), [(1_000, {}), (3, {}), (0, {}), (None, {}), (1_000, {"dataBuffer": b"."})])
def test_below_tls(room: int | None, state: dict[str, Any]) -> None:
    """Records go to the socket at once as well; what it does not take waits below TLS, and nothing is written to the layer above."""
    transport = Plain(room, TLS=True, **state)
    waiting: list[bytes] = []
    send(transport, b"record", waiting.append)
    assert transport.socket + b"".join(waiting) == b"record" and transport.written == b""
    assert (transport.socket == b"record") == (room == 1_000 and not state)


def test_close_at_once() -> None:
    """Where everything is written the connection ends in the same turn, in the orderly way."""
    transport = Plain(producer=object(), streamingProducer=True)
    close(transport)
    assert transport.end == "now"


@STATES
def test_close_later(state: dict[str, Any]) -> None:
    """What waits to be written, or belongs to TLS, leaves before the connection ends."""
    transport = Plain(**state)
    close(transport)
    assert transport.end == "later"


def test_close_any_other_transport() -> None:
    """A transport that is not plain TCP is closed as ever."""
    transport = StringTransport()
    close(transport)
    assert transport.disconnecting
