"""The door of the API: that of the pages (web.door) with other questions, and bodies that are looked at as they come.

- Who asks and for what is decided when the header is complete (api.front), so a stranger's body is never kept. An answer given before the body is
  complete ends the connection: small bodies are passed over first, larger ones for a moment, so that the client can hear it.
- A body has the time its size needs at `slowest` octets a second, and may never be silent for `idle_timeout`.
- Connections are counted by address as well as in all.
- No CORS: pages of others have no business here.

Raises nothing; it answers, in JSON (api.problem).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource

from jetmail.api.front import Asker, Front
from jetmail.api.intake import Body, Nothing
from jetmail.api.options import ApiOptions
from jetmail.api.problem import Problem, later
from jetmail.web.door import SECURITY_HEADERS, DoorChannel, DoorRequest, DoorSite
from jetmail.web.metrics import Metrics

JSON = b"application/json; charset=utf-8"
PASSED_OVER = 65_536  # octets of a body nobody wants that are read before the answer
LINGER = 2.0  # seconds more of it are passed over behind the answer

log = Logger()


class ApiRequest(DoorRequest):
    """One request. `asker` and `body` are there once its header is; `query` what stands behind the question mark."""

    site: ApiSite
    channel: ApiChannel
    asker: Asker
    body: Body = Nothing(0)
    _problem_said: Problem | None = None
    _is_answered = False
    _is_complete = False
    _is_taken = False
    _length: int | None = None

    # the header is complete

    def gotLength(self, length: int | None) -> None:
        """Decide before anything of the body is kept. (Twisted keeps method and path to itself until the body is there.)"""
        self.content = BytesIO()
        self.site = self.channel.site
        self._length = length
        peer = self.channel.getPeer()
        method, (path, _, query) = self.channel._command.decode("latin-1"), self.channel._path.partition(b"?")
        try:
            if self.site.is_closing:
                raise later("unavailable", "shutting down", 5.0)
            front = self.site.front
            asker = front.asker(
                getattr(peer, "host", ""),
                getattr(peer, "port", 0),
                _tls_version(self.channel.transport),
                self.channel.isSecure(),
                self.requestHeaders,
            )
            self.asker = front.admit(asker, method, path.decode("latin-1"), self.requestHeaders)
            self.body = self.site.make_body(self, http.parse_qs(query, keep_blank_values=True), length)
            self.channel.allow(length)
            if self._problem_said is not None:  # refused while the body was being made: it has to be closed by who gets it
                self.body.close()
        except Problem as problem:
            self.refuse(problem)
        except Exception:
            log.failure("a request could not be looked at")
            self.refuse(Problem("internal", "this could not be done; the log of the machine says why"))

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self._problem_said is not None:
            self._received += len(data)
            if self._received > PASSED_OVER and not self._is_answered:
                self._answer_now(self._problem_said)
            return
        try:
            self.body.write(data)
        except Problem as problem:
            self.refuse(problem)

    def refuse(self, problem: Problem) -> None:
        """The answer is known and the body is of no more interest. Said at once unless little is to come; at its end at the latest."""
        if self._problem_said is not None or self._is_complete:
            return
        self._problem_said = problem
        self.body.close()
        expects = self.requestHeaders.hasHeader(b"Expect")
        self.requestHeaders.removeHeader(b"Expect")  # or Twisted would ask for the body all the same
        if expects or self._length is None or self._length > PASSED_OVER:
            self._answer_now(problem)

    # the body is complete

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete."""
        self._is_complete = True
        if self._is_answered:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Answer it."""
        self._prepare()
        if self._problem_said is not None:
            self.site.write_problem(self, self._problem_said)
        else:
            self.requestHeaders.setRawHeaders(b"Host", [b"localhost"])  # nothing here asks for it but Klein, which fails over what is no name
            super(DoorRequest, self).process()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone. What is complete goes on without it."""
        if not self._is_taken:
            self.body.close()
        super().connectionLost(reason)

    def finish(self) -> None:
        """It is answered. A body nobody has taken is nobody's to close."""
        if not self._is_taken:
            self.body.close()
        super().finish()

    def take(self) -> Body:
        """The body, for whoever will close it: from here on it is no matter what becomes of the connection."""
        self._is_taken = True
        return self.body

    def _answer_now(self, problem: Problem) -> None:
        self._is_answered = True
        body = json.dumps(problem.body).encode()
        fields = [*SECURITY_HEADERS, (b"Content-Type", JSON), (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
        fields += [(name.encode(), value.encode("latin-1", "replace")) for name, value in problem.headers]
        status = b"%d %s" % (problem.status, http.RESPONSES.get(problem.status, b"Refused"))
        self.channel.write(b"HTTP/1.1 " + status + b"\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n" + body)
        self.site.metrics.answered(problem.status, 0.0)
        self.channel.linger()


class ApiChannel(DoorChannel):
    """One connection."""

    site: ApiSite
    _home = ""
    _is_leaving = False
    _linger: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """The connection is there."""
        super().connectionMade()
        self._home = self.site.arrived(self, getattr(self.getPeer(), "host", ""))

    def dataReceived(self, data: bytes) -> None:
        """Octets came. From who is to leave they may still come through TLS, and Twisted is not made for that."""
        if not self._is_leaving:
            super().dataReceived(data)

    def allow(self, length: int | None) -> None:
        """The header is good: the rest has the time its size needs."""
        options = self.site.options
        if self._late is not None:
            self._late.reset(options.request_timeout + (options.raw_limit if length is None else length) / options.slowest)

    def loseConnection(self) -> None:
        """Once: who is to leave for two reasons leaves."""
        if not self._is_leaving:
            self._is_leaving = True
            super().loseConnection()

    def pause(self) -> None:
        """Read no more for now."""
        self._networkProducer.pauseProducing()

    def resume(self) -> None:
        """Read on, unless the transport itself is busy writing."""
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def linger(self) -> None:
        """The answer is written and the client still talks."""
        self._in_time()
        if self._linger is None:
            self._linger = self.site.reactor.callLater(LINGER, self._gone)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.site.left(self, self._home)
        linger, self._linger = self._linger, None
        if linger is not None:
            linger.cancel()
        super().connectionLost(reason)

    def _gone(self) -> None:
        self._linger = None
        self.loseConnection()


class ApiSite(DoorSite):
    """The factory for a listening port. `make_body(request, query, length)` says what becomes of a body, and raises Problem."""

    request_class = ApiRequest
    channel_class = ApiChannel
    options: ApiOptions

    def __init__(
        self,
        resource: IResource,
        options: ApiOptions,
        metrics: Metrics,
        clock: IReactorTime,
        front: Front,
        make_body: Callable[[ApiRequest, dict[bytes, list[bytes]], int | None], Body],
        write_problem: Callable[[ApiRequest, Problem], None],
        origin: Callable[[str], str],
    ) -> None:
        super().__init__(resource, options, metrics, clock)
        self.front = front
        self.make_body = make_body
        self.write_problem = write_problem
        self._origin = origin
        self._homes: dict[str, int] = {}
        self._channels: set[ApiChannel] = set()
        self.is_closing = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection was accepted by the system; None closes it."""
        host = getattr(addr, "host", "")
        if self.front.counts(host) and self._homes.get(self._origin(host), 0) >= self.options.max_per_address:
            return None
        return super().buildProtocol(addr)

    def close(self) -> None:
        """Take no more requests, and let go of who asks nothing."""
        self.is_closing = True
        for channel in [each for each in self._channels if not each.requests]:
            channel.loseConnection()

    def arrived(self, channel: ApiChannel, host: str) -> str:
        """-> what the connection is counted by, for `left`."""
        self._channels.add(channel)
        home = self._origin(host)
        self._homes[home] = self._homes.get(home, 0) + 1
        return home

    def left(self, channel: ApiChannel, home: str) -> None:
        """It is gone."""
        self._channels.discard(channel)
        left = self._homes.get(home, 0) - 1
        if left > 0:
            self._homes[home] = left
        else:
            self._homes.pop(home, None)


def _tls_version(transport: Any) -> str:
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    named = getattr(handle, "get_protocol_version_name", None)
    return str(named()) if named is not None else ""
