"""One message through clamd's INSTREAM (man 8 clamd): `zINSTREAM`, chunks each behind its length, an empty chunk, one answer ended by NUL.

`scan` gives a Deferred of the name of what was found, '' for nothing. It fails with ScanError when clamd answers anything else, closes too early or
says more than it should, with ConnectError when nobody listens. Cancelling ends the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from jetmail.interfaces import IDialer
from jetmail.rules.streams import Feed

MAX_ANSWER = 4_096


class ScanError(Exception):
    """A scanner did not do its work."""


class ClamdSession(Protocol):
    """One question, one answer."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._answer = b""
        self._feeds = False
        self.result: Deferred[str] = Deferred(lambda _: self._stop())

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self.result.called:  # given up while dialling
            transport.abortConnection()
            return
        transport.write(b"zINSTREAM\0")
        self._feeds = True
        transport.registerProducer(Feed(self._source, transport.write, _framed, self._sent, self._end), False)

    def dataReceived(self, data: bytes) -> None:
        self._answer += data
        line, nul, _ = self._answer.partition(b"\0")
        if nul:
            self._read(line.decode("utf-8", "replace").strip())
        elif len(self._answer) > MAX_ANSWER:
            self._end(Failure(ScanError("clamd's answer has no end")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(Failure(ScanError("clamd closed the connection without an answer")))

    def _sent(self) -> None:
        self._unregister()
        self.transport.write(bytes(4))  # type: ignore[union-attr]

    def _read(self, line: str) -> None:
        said = line.removeprefix("stream:").strip()
        if said == "OK":
            self._end("")
        elif said.endswith(" FOUND"):
            self._end(said.removesuffix(" FOUND") or "unnamed")
        else:
            self._end(Failure(ScanError(f"clamd says: {line[:200]}")))

    def _end(self, result: str | Failure) -> None:
        self._stop()
        if not self.result.called:
            self.result.callback(result)

    def _stop(self) -> None:
        self._unregister()
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def _unregister(self) -> None:
        if self._feeds:
            self._feeds = False
            self.transport.unregisterProducer()  # type: ignore[union-attr]


class _One(Factory):
    noisy = False

    def __init__(self, session: ClamdSession) -> None:
        self._session = session

    def buildProtocol(self, addr: object) -> ClamdSession:
        return self._session


def scan(dialer: IDialer, address: str, port: int, source: Iterator[bytes], connect_timeout: float) -> Deferred[str]:
    """See the module. `address` is an IP address, or the path of a UNIX socket."""
    session = ClamdSession(source)

    def failed(failure: Failure) -> None:
        if not session.result.called:
            session.result.errback(failure)

    dialling = dialer.connect(address, port, _One(session), connect_timeout)
    dialling.addErrback(failed)
    return session.result


def _framed(piece: bytes) -> bytes:
    return len(piece).to_bytes(4, "big") + piece
