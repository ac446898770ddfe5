"""Who may ask what: decided when the header of a request is complete, before anything of its body is kept.

In this order: whom it comes from (a trusted proxy says for whom it asks); TLS, but from this machine itself; how often that address asks; what is
there; the token; how often the token asks. A token that does not count is 401 whatever is the matter with it. An address that brings many of those
is told 429 whatever it brings, except a token that was good from there before: so guessing and stuffing learn nothing, and a forgotten program
behind the same address does not lock the others out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.web.http_headers import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map

from jetmail.actions.tokens import Bearer, Bearers
from jetmail.api.limits import Known, Rate
from jetmail.api.options import ApiOptions
from jetmail.api.problem import Problem, later
from jetmail.web.door import is_loopback

UNAUTHORIZED = "Authentication failed"
NOT_FROM_HERE = "535 IP not authorized"
_PATH = re.compile(r"/[A-Za-z0-9/._-]{0,200}")  # nothing here has a name that would have to be encoded


@dataclass(frozen=True, slots=True)
class Asker:
    """`address` of the client itself; `home` is what it is counted by. `tls` '' or the version, as far as it is known."""

    address: str
    home: str
    port: int = 0
    is_secure: bool = False
    tls: str = ""
    bearer: Bearer | None = None
    endpoint: str = ""


class Front:
    """See the module. `plain` and `origin` spell an address and what it is counted by; `public`: endpoints that need no token."""

    def __init__(
        self,
        options: ApiOptions,
        bearers: Bearers,
        routes: Map,
        public: frozenset[str],
        now: Callable[[], float],
        plain: Callable[[str], str],
        origin: Callable[[str], str],
    ) -> None:
        self._options = options
        self._bearers = bearers
        self._routes = routes.bind("api")
        self._public = public
        self._now = now
        self._plain = plain
        self._origin = origin
        self._proxies = [ipaddress.ip_network(text, strict=False) for text in options.proxies]
        self._addresses = Rate(options.address_rate, options.burst)
        self._tokens = Rate(options.token_rate, options.burst)
        self._failures = Rate(options.failures / 60.0, 60.0)
        self._known = Known()

    def asker(self, peer: str, port: int, tls: str, is_secure: bool, headers: Headers) -> Asker:
        """Whom the request comes from."""
        address = self._plain(peer)
        if self._is_proxy(address):
            said = ["", *texts(headers, b"X-Forwarded-Proto")][-1].strip().lower()
            is_secure, tls = is_secure or said == "https", tls if is_secure else "TLS" if said == "https" else ""
            # The last address that is no proxy of ours: what stands before it was written by somebody we do not know.
            chain = [part.strip() for header in texts(headers, b"X-Forwarded-For") for part in header.split(",")]
            for part in reversed(chain):
                if not _is_address(part):
                    break
                address, port = self._plain(part), 0
                if not self._is_proxy(address):
                    break
        return Asker(address, self._origin(address), port, is_secure, tls)

    def counts(self, peer: str) -> bool:
        """Whether connections of this peer are counted as one client's."""
        return not self._is_proxy(self._plain(peer))

    def admit(self, asker: Asker, method: str, path: str, headers: Headers) -> Asker:
        """-> the same with its token and what it asks for. Raises Problem."""
        options, now = self._options, self._now()
        if len(texts(headers, b"Host")) > 1:  # RFC 9112 3.2
            raise Problem("bad_request", "a request has one Host")
        if not asker.is_secure and not is_loopback(asker.address):
            raise Problem("tls_required", "use https: a token that went over the net in clear is to be revoked")
        if wait := self._addresses.take(asker.home, now):
            raise later("rate_limited", f"more than {options.address_rate:g} requests a second from one address", wait)
        endpoint = self._endpoint(method, path)
        if endpoint in self._public:
            return Asker(asker.address, asker.home, asker.port, asker.is_secure, asker.tls, None, endpoint)
        bearer = self._bearer(asker, headers, now)
        if wait := self._tokens.take(str(bearer.id), now):
            raise later("rate_limited", f"more than {options.token_rate:g} requests a second with one token", wait)
        return Asker(asker.address, asker.home, asker.port, asker.is_secure, asker.tls, bearer, endpoint)

    def _bearer(self, asker: Asker, headers: Headers, now: float) -> Bearer:
        given = texts(headers, b"Authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        bearer = self._bearers.authenticate(token.strip(), asker.address) if scheme.lower() == "bearer" else None
        is_known = bearer is not None and (bearer.id, asker.home) in self._known
        if not is_known and (wait := self._failures.is_over(asker.home, now)):
            raise later("rate_limited", "too many requests without a good token from one address", wait)
        if bearer is None or "send" not in bearer.scopes:
            self._failures.take(asker.home, now)
            raise Problem("unauthorized", UNAUTHORIZED, headers=(("WWW-Authenticate", "Bearer"),))
        if not bearer.is_allowed:
            raise Problem("address_not_allowed", NOT_FROM_HERE)
        self._known.add(bearer.id, asker.home)
        return bearer

    def _endpoint(self, method: str, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise Problem("not_found", "there is nothing at this address")
        try:
            endpoint, _ = self._routes.match(path, "GET" if method == "HEAD" else method)
        except MethodNotAllowed as error:
            raise Problem(
                "method_not_allowed", "this address cannot be asked that way", headers=(("Allow", ", ".join(sorted(error.valid_methods or ()))),)
            ) from None
        except HTTPException:  # a redirect to the same with a slash included: nothing here has two names
            raise Problem("not_found", "there is nothing at this address") from None
        return str(endpoint)

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        parsed: Any = ipaddress.ip_address(address)
        return any(parsed in network for network in self._proxies)


def texts(headers: Headers, name: bytes) -> list[str]:
    """Fields of that name, whatever octets they have. (Asked for by a name that is text, Twisted decodes and may raise.)"""
    return [value.decode("utf-8", "replace") for value in headers.getRawHeaders(name, [])]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
