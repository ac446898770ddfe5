"""The TLS layer of an accepted connection: Twisted's own, made to cost little while nothing is said.

`TlsLayers` is shared by the connections of a listener; its `start` puts a `TlsLayer` between a transport and its protocol, as the transport's own
startTLS does. What is left out against that: a factory and a closure for each connection, and the object that gathers small writes until the next
turn of the event loop. A session hands over whole replies, so each is one TLS record that goes to the socket at once (see jetmail.wire).

What the TLS library keeps as long as the connection lives cannot be had back, but for the two memory BIOs between it and us: each holds a buffer of
the size of the most it ever held, a client's greeting, our certificates, a mail. They are exchanged for new ones whenever both are empty and the
client has no more to say for now. Where pyOpenSSL binds the library in another way than we know, they stay as they are.

Raises nothing of its own; a failed handshake ends the connection, as with Twisted.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from jetmail.inbound.tls import ServerTls
from jetmail.wire import send

# Who sends that much at a time sends more, or a command soon: the buffer is kept for it.
STREAM = 4_096

_LIBRARY: Any = Binding().lib
_NOWHERE: Any = Binding().ffi.NULL
_IS_KNOWN = all(hasattr(_LIBRARY, name) for name in ("BIO_new", "BIO_free", "BIO_s_mem", "BIO_get_mem_data", "SSL_set_bio"))


class TlsLayer(TLSMemoryBIOProtocol):
    """Between a transport and its protocol."""

    def dataReceived(self, data: bytes) -> None:
        """Octets came in, encrypted."""
        super().dataReceived(data)
        if self._handshakeDone and len(data) < STREAM:
            renew_buffers(self._tlsConnection)


class TlsLayers(TLSMemoryBIOFactory):
    """See the module. `clock` is the reactor, or a Clock in tests."""

    protocol = TlsLayer

    def __init__(self, tls: ServerTls, clock: IReactorTime) -> None:
        super().__init__(tls, False, None, clock)  # type: ignore[arg-type]  # makes no protocols: they are there before TLS
        self._tls = tls

    def layer(self, protocol: Any) -> TlsLayer:
        """A layer for `protocol`, which has a connection already."""
        return TlsLayer(self, protocol, False)

    def start(self, transport: Any) -> None:
        """TLS from here on, as the server. A transport that is not Twisted's has its own way."""
        is_descriptor = isinstance(transport, FileDescriptor)
        if not is_descriptor:
            transport.startTLS(self._tls)
            return
        producer, is_streaming = transport.producer, transport.streamingProducer
        if producer is not None:
            transport.unregisterProducer()
        layer = self.layer(transport.protocol)
        transport.protocol = layer
        transport.getHandle = layer.getHandle
        transport.TLS = True
        layer.makeConnection(_Below(transport))
        if producer is not None:
            transport.registerProducer(producer, is_streaming)

    # Nobody asks for a list of them.

    def registerProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Twisted: a layer is there."""

    def unregisterProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Twisted: a layer is gone."""


class _Below:
    """The transport as its TLS layer has it: what is written here is on its way to the socket, not to the layer again."""

    __slots__ = ("_transport",)

    disconnecting = False

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, octets: bytes) -> None:
        send(self._transport, octets, self._later)

    def _later(self, octets: bytes) -> None:
        FileDescriptor.write(self._transport, octets)

    def loseConnection(self) -> None:
        FileDescriptor.loseConnection(self._transport)

    def abortConnection(self) -> None:
        self._transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        FileDescriptor.registerProducer(self._transport, producer, streaming)

    def unregisterProducer(self) -> None:
        FileDescriptor.unregisterProducer(self._transport)


def renew_buffers(connection: SSL.Connection | None) -> None:
    """New BIOs for `connection`, if those it has are empty."""
    if connection is None or not _IS_KNOWN or not hasattr(connection, "_into_ssl"):
        return
    if _LIBRARY.BIO_get_mem_data(connection._into_ssl, _NOWHERE) or _LIBRARY.BIO_get_mem_data(connection._from_ssl, _NOWHERE):
        return
    incoming, outgoing = _LIBRARY.BIO_new(_LIBRARY.BIO_s_mem()), _LIBRARY.BIO_new(_LIBRARY.BIO_s_mem())
    if incoming == _NOWHERE or outgoing == _NOWHERE:  # no memory
        _LIBRARY.BIO_free(incoming)
        _LIBRARY.BIO_free(outgoing)
        return
    # They are the library's from here on, which frees the old ones; pyOpenSSL fills and empties them under these names.
    _LIBRARY.SSL_set_bio(connection._ssl, incoming, outgoing)
    connection._into_ssl, connection._from_ssl = incoming, outgoing
