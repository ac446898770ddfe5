"""HTTPS towards other domains: an MTA-STS policy file (RFC 8461 3.3), one GET of https://mta-sts.<domain>/.well-known/mta-sts.txt; and a TLS report
to whoever wants it that way (RFC 8460 5.4), one POST.

The certificate must be good and name that host; no redirect is followed; only 200 and text/plain are taken; 64 KB and so many seconds in all are the
end of it. Names are looked up by our own resolver, so no thread waits for one. Nothing is kept between two fetches.

Where a report goes is a stranger's word, so it goes to public addresses only; whom a policy is asked of must prove the name first.

`fetch` fails its Deferred with FetchError and nothing else; `post` never fails.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import treq
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers

from jetmail.errors import ConfigError
from jetmail.interfaces import IDialer, IResolver
from jetmail.mailauth.mtasts import MAX_POLICY
from jetmail.outbound.bodies import Body
from jetmail.outbound.endpoints import Endpoints, NoAddressError, PrivateAddressError

SECONDS = 60.0


class FetchError(Exception):
    """There is no policy to be had. `result`: the result type of RFC 8460 4.3.2."""

    def __init__(self, text: str, result: str = "sts-policy-fetch-error") -> None:
        super().__init__(text)
        self.result = result


def trust(ca_file: str) -> Any:
    """Whom to believe: the certificates of a PEM file, or the system's when it is ''. Raises ConfigError."""
    if not ca_file:
        return platformTrust()
    try:
        found = x509.load_pem_x509_certificates(Path(ca_file).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError([f"delivery.ca_file: {ca_file} holds no readable PEM certificates"]) from error
    return trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(one)) for one in found])


class PolicyFetcher:
    """`reactor` needs callLater and seconds. `port` is 443."""

    def __init__(self, reactor: Any, resolver: IResolver, dialer: IDialer, trusted: Any, port: int = 443) -> None:
        self._reactor = reactor

        def client(public: bool) -> HTTPClient:
            endpoints = Endpoints(reactor, resolver, dialer, trusted, public)
            return HTTPClient(Agent.usingEndpointFactory(reactor, endpoints, HTTPConnectionPool(reactor, persistent=False)))

        self._client = client(public=False)
        self._poster = client(public=True)
        self._port = port

    def fetch(self, domain: str) -> Deferred[bytes]:
        """The file's octets."""
        fetching: Deferred[bytes] = Deferred.fromCoroutine(self._fetch(domain))
        fetching.addTimeout(SECONDS, self._reactor)
        return fetching.addErrback(_told)

    def post(self, url: str, octets: bytes) -> Deferred[str]:
        """A TLS report's JSON, compressed. -> why it was not taken, '' when it was."""
        posting: Deferred[str] = Deferred.fromCoroutine(self._post(url, octets))
        posting.addTimeout(SECONDS, self._reactor)
        return posting.addErrback(lambda failure: str(_told(failure).value))

    async def _post(self, url: str, octets: bytes) -> str:
        headers = Headers({"Content-Type": ["application/tlsrpt+gzip"]})
        response = await self._poster.post(url, data=Body(gzip.compress(octets, mtime=0)), headers=headers, allow_redirects=False, unbuffered=True)
        response.original.deliverBody(_Nothing())
        return "" if 200 <= response.code < 300 else f"its server answered {response.code}"

    async def _fetch(self, domain: str) -> bytes:
        host = f"mta-sts.{domain}" + (f":{self._port}" if self._port != 443 else "")
        response = await self._client.get(f"https://{host}/.well-known/mta-sts.txt", allow_redirects=False)
        if response.code != 200:
            raise FetchError(f"the policy's server answered {response.code}")
        media = (response.headers.getRawHeaders("Content-Type") or [""])[0].partition(";")[0].strip().lower()
        if media != "text/plain":
            raise FetchError(f"the policy is {media[:60] or 'of no type'}, not text/plain")
        gathered: list[bytes] = []
        left = MAX_POLICY

        def collect(octets: bytes) -> None:
            nonlocal left
            left -= len(octets)
            if left < 0:
                raise FetchError("the policy is longer than 64 KB", "sts-policy-invalid")  # treq then closes the connection
            gathered.append(octets)

        await treq.collect(response, collect)
        return b"".join(gathered)


class _Nothing(Protocol):
    """A body nobody reads: what it says after its status is no matter."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of it."""


def _told(failure: Failure) -> Failure:
    """Whatever happened, as a FetchError."""
    error = failure.value
    if isinstance(error, FetchError):
        return failure
    reasons = error.reasons if isinstance(error, ResponseFailed) else ()
    if isinstance(error, NoAddressError | PrivateAddressError):
        return Failure(FetchError(str(error)))
    if isinstance(error, TimeoutError | CancelledError) or any(reason.check(CancelledError) for reason in reasons):
        return Failure(FetchError(f"no policy within {SECONDS:g} seconds"))
    if isinstance(error, ConnectError):
        return Failure(FetchError("the policy's server cannot be reached"))
    for reason in reasons:
        if reason.check(FetchError):
            return Failure(reason.value)
        if reason.check(SSL.Error, VerificationError, CertificateError):
            return Failure(FetchError("the certificate of the policy's server is not good for it", "sts-webpki-invalid"))
    return Failure(FetchError(f"the policy's server failed: {type(error).__name__}"))
