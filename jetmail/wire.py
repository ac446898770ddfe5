"""Octets onto a TCP connection at once, and its end at once.

A transport's `write` keeps the octets, has the reactor watch for a writable socket, and takes that back when it has written: two system calls and a
turn of the event loop for a reply of thirty octets that the socket would have taken there and then. That was a fifth of the cost of a message.
`loseConnection` does the same to learn that nothing is left to be written.

`send` hands octets to the socket itself where nothing stands before them, `close` ends a connection where nothing is left to be written. Both leave
everything else to the transport: TLS, octets that still wait, a producer that is to be told when they have left, a connection that is closing, a
socket that takes only a part, and any transport that is not plain TCP. Errors are left to it as well: `write` meets the same one a moment later and
reports it in the usual way. Raises nothing. The protocol's connectionLost may have been called when `close` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

_DONE = Failure(ConnectionDone())


def send(transport: Any, octets: bytes, later: Callable[[bytes], None] | None = None) -> None:
    """Write `octets` to `transport`, now if it can be. `later`: how else, for what is below TLS already and must not go through it again."""
    if not _is_clear(transport) or (transport.TLS and later is None):
        (later or transport.write)(octets)
        return
    sent = transport.writeSomeData(octets)
    if type(sent) is not int:  # the connection is lost
        (later or transport.write)(octets)
    elif sent < len(octets):
        (later or transport.write)(octets[sent:])


def close(transport: Any) -> None:
    """End the connection of `transport` once everything is written: now, if it is."""
    if not _is_clear(transport) or transport.TLS:
        transport.loseConnection()
    else:
        transport.connectionLost(_DONE)


def _is_clear(transport: Any) -> bool:
    """Whether nothing stands between what is written and the socket."""
    return not (
        # Twisted's own name for what waits. A transport without it (tests, a Twisted to come) takes the long way.
        getattr(transport, "_tempDataLen", 1)
        or transport.dataBuffer
        or not transport.connected
        or transport.disconnecting
        or (transport.producer is not None and not transport.streamingProducer)
    )
