"""dnspython's sockets over the reactor: what dns.asyncquery needs of an asynchronous back end, made of Deferreds.

What arrives and nobody reads is bounded, in datagrams and in octets; every wait has a time-out. Errors are those dnspython expects: Timeout,
OSError, EOFError.
"""

from __future__ import annotations

import socket
from typing import Any

import dns._asyncbackend
import dns.exception
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol


class _Inbox:
    """What arrived and nobody has read yet; one reader at a time. Bounded: a flood of datagrams is dropped."""

    limit = 32

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._items: list[Any] = []
        self._reader: Deferred | None = None

    def put(self, item: Any) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.callback(item)
        elif len(self._items) < self.limit:
            self._items.append(item)

    async def get(self, timeout: float | None) -> Any:
        if not self._items:
            self._reader = Deferred()
            self._reader.addTimeout(timeout if timeout is not None else 30.0, self._reactor)
            try:
                item = await self._reader
            except TimeoutError as error:
                self._reader = None
                raise dns.exception.Timeout(timeout=timeout) from error
        else:
            item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


class _Datagrams(DatagramProtocol, dns._asyncbackend.DatagramSocket):
    transport: Any

    def __init__(self, reactor: Any, family: int, destination: tuple[str, int]) -> None:
        dns._asyncbackend.DatagramSocket.__init__(self, family, socket.SOCK_DGRAM)
        self._inbox = _Inbox(reactor)
        self._destination = destination

    def startProtocol(self) -> None:
        self.transport.connect(*self._destination)  # only this peer is heard, and a closed port is known at once

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._inbox.put((datagram, addr))

    def connectionRefused(self) -> None:
        self._inbox.put(ConnectionRefusedError("DNS server refused"))

    def stopProtocol(self) -> None:
        self.connectionRefused()  # with epoll a refusal arrives as the end of the socket

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        self.transport.write(what)
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> Any:
        datagram, addr = await self._inbox.get(timeout)
        return datagram, self._destination if addr is None else tuple(addr[:2])

    async def close(self) -> None:
        if self.transport is not None:  # the reactor may have closed the socket first
            self.transport.stopListening()

    async def getpeername(self) -> Any:
        return self._destination


class _Stream(Protocol, dns._asyncbackend.StreamSocket):
    transport: Any
    limit = 131_072  # octets waiting to be read: two answers of the largest size

    def __init__(self, reactor: Any, family: int, destination: tuple[str, int]) -> None:
        dns._asyncbackend.StreamSocket.__init__(self, family, socket.SOCK_STREAM)
        self._inbox = _Inbox(reactor)
        self._inbox.limit = 1 << 30  # bounded in octets below
        self._rest = b""
        self._waiting = 0
        self._destination = destination
        self.connected_to: Deferred = Deferred()

    def connectionMade(self) -> None:
        self.connected_to.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self._waiting += len(data)
        if self._waiting > self.limit:
            self.transport.abortConnection()
        else:
            self._inbox.put(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._inbox.put(EOFError("DNS server closed the connection"))

    async def sendall(self, what: bytes, timeout: float | None) -> None:
        self.transport.write(what)

    async def recv(self, size: int, timeout: float | None) -> bytes:
        if not self._rest:
            self._rest = await self._inbox.get(timeout)
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._waiting -= len(piece)
        return piece

    async def close(self) -> None:
        self.transport.abortConnection()

    async def getpeername(self) -> Any:
        return self._destination


class _StreamFactory(ClientFactory):
    noisy = False

    def __init__(self, protocol: _Stream) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> _Stream:
        return self._protocol

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._protocol.connected_to.errback(reason)


class Backend(dns._asyncbackend.Backend):
    """dns.asyncbackend.Backend of this reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def name(self) -> str:
        return "twisted"

    def datagram_connection_required(self) -> bool:
        return True

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: Any = None,
        destination: Any = None,
        timeout: float | None = None,
        ssl_context: Any = None,
        server_hostname: Any = None,
    ) -> Any:
        target = (destination[0], destination[1])
        if socktype == socket.SOCK_DGRAM:
            datagrams = _Datagrams(self._reactor, af, target)
            self._reactor.listenUDP(0, datagrams, interface="::" if af == socket.AF_INET6 else "", maxPacketSize=65_535)
            return datagrams
        stream = _Stream(self._reactor, af, target)
        self._reactor.connectTCP(*target, _StreamFactory(stream), timeout=timeout or 5)
        try:
            return await stream.connected_to
        except CancelledError:
            raise
        except Exception as error:
            raise OSError("no TCP connection to the DNS server") from error

    async def sleep(self, interval: float) -> None:
        done: Deferred = Deferred()
        self._reactor.callLater(interval, done.callback, None)
        await done
