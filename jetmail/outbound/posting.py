"""One HTTP POST to where somebody wants to be told (docs/webhooks.md).

Promises
- To public addresses only and by https only, unless more is allowed for this one; the address that was checked is the one that is dialled; the
  certificate must be good and name the host; no redirect is followed.
- TIMEOUT seconds in all, look-up to answer; at most MAX_BROUGHT octets are read, and of the answer's body the first MAX_SAID, for people.
- Nothing is kept between two requests, no connection either.

`post` never fails its Deferred but by cancellation: whatever went wrong is said in the Posted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers

from jetmail.interfaces import IDialer, IResolver
from jetmail.mail.webhook import Posted
from jetmail.outbound.bodies import Body
from jetmail.outbound.endpoints import Endpoints, NoAddressError, PrivateAddressError

TIMEOUT = 10.0
BODY_TIMEOUT = 2.0  # for what a failing server has to say
MAX_BROUGHT = 65_536
MAX_SAID = 200
_PRINTABLE = re.compile(r"[^\x20-\x7e]+")


class Poster:
    """`timeout`: seconds for one request in all. `agent`: how we name ourselves."""

    def __init__(
        self, reactor: Any, resolver: IResolver, dialer: IDialer, trusted: Any, timeout: float = TIMEOUT, agent: str = "jetmail-webhook/1"
    ) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._name = agent

        def made(public: bool) -> Agent:
            endpoints = Endpoints(reactor, resolver, dialer, trusted, public, MAX_BROUGHT, plain=not public)
            return Agent.usingEndpointFactory(reactor, endpoints, HTTPConnectionPool(reactor, persistent=False))

        self._public = made(public=True)
        self._any = made(public=False)

    def post(self, url: str, headers: Mapping[str, str], octets: bytes, allow_private: bool = False) -> Deferred[Posted]:
        """JSON to `url`. -> what became of it."""
        posting: Deferred[Posted] = Deferred.fromCoroutine(self._post(url, headers, octets, self._any if allow_private else self._public))
        late = Posted(0, f"no answer within {self._timeout:g} seconds")
        posting.addTimeout(self._timeout, self._reactor, lambda result, seconds: late)
        return posting.addErrback(_told)

    async def _post(self, url: str, headers: Mapping[str, str], octets: bytes, agent: Agent) -> Posted:
        fields = _Spelled({"Content-Type": ["application/json"], "User-Agent": [self._name]})
        for name, value in headers.items():
            fields.setRawHeaders(name, [value])
        response = await agent.request(b"POST", url.encode("ascii"), fields, Body(octets))
        if 200 <= response.code < 300:
            response.deliverBody(_Few(0))
            return Posted(response.code)
        reading = _Few(MAX_SAID)
        reading.done.addTimeout(BODY_TIMEOUT, self._reactor).addErrback(lambda failure: None)
        response.deliverBody(reading)
        await reading.done
        if 300 <= response.code < 400:
            return Posted(response.code, f"answered {response.code}; redirects are not followed")
        said = _PRINTABLE.sub(" ", reading.octets.decode("ascii", "replace").replace("\ufffd", " ")).strip()
        return Posted(response.code, f"answered {response.code}" + (f": {said}" if said else ""))


class _Spelled(Headers):
    """The names of fields mean the same in any case, but a receiver written by hand may look for them as they are documented."""

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """As they go out."""
        for name, values in super().getAllRawHeaders():
            yield (b"X-Webhook-ID" if name == b"X-Webhook-Id" else name), values


class _Few(Protocol):
    """The first octets of an answer's body; then the connection is given up."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.octets = b""
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Not even one is wanted."""
        if not self.limit:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Some of it."""
        self.octets = (self.octets + data[: self.limit])[: self.limit]
        if len(self.octets) >= self.limit:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All, or all we shall have."""
        if not self.done.called:
            self.done.callback(None)


def _told(failure: Failure) -> Posted:
    """What went wrong, in words that help who runs the other side and say nothing of ours. Passes a cancellation on."""
    found = [failure, *(failure.value.reasons if isinstance(failure.value, ResponseFailed) else ())]
    for reason in found:
        error = reason.value
        if isinstance(error, CancelledError):
            reason.raiseException()
        if isinstance(error, PrivateAddressError):
            return Posted(0, f"{error}; an administrator may allow that", True)
        if isinstance(error, NoAddressError):
            return Posted(0, str(error))
        if isinstance(error, ValueError):
            return Posted(0, str(error), True)
        if isinstance(error, TimeoutError):
            return Posted(0, "no answer in time")
        if isinstance(error, SSL.Error | VerificationError | CertificateError):
            return Posted(0, "its certificate is not good for this host, or TLS failed")
        if isinstance(error, ConnectError):
            return Posted(0, f"cannot be reached: {type(error).__name__.removesuffix('Error')}")
    return Posted(0, f"the connection ended without an answer ({type(found[-1].value).__name__})")
