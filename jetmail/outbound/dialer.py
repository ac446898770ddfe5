"""IDialer over a reactor: outgoing TCP to IP addresses, and UNIX sockets by their path, nothing else. Names are route's, TLS is connection's.

Raises nothing; the Deferred fails with twisted.internet.error.ConnectError (refused, unreachable, timed out, no such source address).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTCP
from zope.interface import implementer

from jetmail.interfaces import IDialer


@implementer(IDialer)
class Dialer:
    """`reactor` is given by app."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = IReactorTCP(reactor)

    def connect(self, address: str, port: int, factory: IProtocolFactory, timeout: float, source: str = "") -> Deferred[IProtocol]:
        """Dial `address`, from `source` when one is given. Cancelling stops dialling."""
        if address.startswith("/"):
            return UNIXClientEndpoint(self._reactor, address, timeout).connect(factory)
        endpoint = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        bind = (source, 0) if source else None
        try:
            return endpoint(self._reactor, address, port, timeout, bind).connect(factory)
        except (OSError, ValueError) as error:
            return fail(ConnectError(None, str(error)))
