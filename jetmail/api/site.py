"""The API, put together: the door, the routes, what becomes of bodies, the words for what goes wrong (docs/api.md).

`ApiPort` is what app holds: it opens the port, plain or with TLS, and on `stop` takes no more requests and waits for those that are complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from klein import Klein
from twisted.internet.defer import CancelledError, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from jetmail.actions.idempotency import Keys
from jetmail.actions.tokens import Bearers
from jetmail.api.door import ApiRequest, ApiSite
from jetmail.api.front import Front
from jetmail.api.intake import Body
from jetmail.api.openapi import document
from jetmail.api.options import ApiOptions
from jetmail.api.problem import Problem, later
from jetmail.api.v1.messages import Messages, Sending, answer
from jetmail.errors import NotFoundError, StoreError
from jetmail.interfaces import IDatabase, IEntropy, IExecutor, IHandIn
from jetmail.web.answer import Answer, Guard
from jetmail.web.metrics import Metrics

DESCRIPTION = "/v1/openapi.json"

log = Logger()


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API needs of the process. `clock`: the reactor's time, for limits; `wall`: epoch seconds; `make_reference`: a short word nobody can
    foresee; `plain` and `origin`: how an address is spelled, and what it is counted by."""

    db: IDatabase
    bearers: Bearers
    hand_in: IHandIn
    clock: IReactorTime
    wall: Callable[[], float]
    entropy: IEntropy
    executor: IExecutor
    metrics: Metrics
    make_reference: Callable[[], str]
    plain: Callable[[str], str]
    origin: Callable[[str], str]


class ProblemGuard(Guard):
    """Faults are told as JSON."""

    def _explain(self, failure: Failure) -> Answer:
        error = failure.value
        if isinstance(error, Problem):
            return told(error)
        if isinstance(error, NotFoundError) or (isinstance(error, HTTPException) and error.code in (404, 308)):
            return told(Problem("not_found", "there is nothing at this address, or it is not yours to see"))
        if isinstance(error, HTTPException):
            return told(Problem("bad_request", "this address cannot be asked that way", status=error.code or 400))
        if isinstance(error, (TimeoutError, CancelledError)):
            return told(later("unavailable", "not finished yet, and it goes on: ask again with the same Idempotency-Key", 30.0))
        reference = self._make_reference()
        log.failure("a request failed, reference {reference}", failure, reference=reference)
        if isinstance(error, StoreError):
            problem = later("unavailable", "the answer did not come in time, try again in a moment", 5.0)
        else:
            problem = Problem("internal", "this could not be done; the log of the machine says why, under the reference")
        problem.reference = reference
        return told(problem)


def told(problem: Problem) -> Answer:
    """A problem as an answer."""
    return answer(problem.body, problem.status, problem.headers)


def make_api(options: ApiOptions, services: ApiServices) -> tuple[ApiSite, Messages]:
    """-> (the factory to listen with, the messages whose work is to be waited for)."""
    app = Klein()
    guard = ProblemGuard(app, services.clock, options.answer_timeout, services.make_reference)
    keys = Keys(services.db, services.wall)
    messages = Messages(Sending(services.db, keys, services.hand_in, services.clock, services.wall, services.entropy, services.executor), options)
    described = answer(document(options))
    routes: list[tuple[str, str, Callable[..., Any], Callable[..., Body]]] = [
        ("POST", "/v1/messages", messages.send, messages.gather),
        ("POST", "/v1/messages/raw", messages.send_raw, messages.stream),
        ("POST", "/v1/messages/batch", messages.send_batch, messages.gather),
        ("GET", "/v1/messages/<uid>", messages.show, messages.nothing),
        ("GET", DESCRIPTION, lambda request: described, messages.nothing),
    ]
    bodies: dict[str, Callable[..., Body]] = {}
    for method, path, handler, body in routes:
        guard.route(path, handler, method)
        bodies[f"{method} {path}"] = body
    front = Front(options, services.bearers, app.url_map, frozenset({f"GET {DESCRIPTION}"}), services.wall, services.plain, services.origin)

    def write_problem(request: ApiRequest, problem: Problem) -> None:
        request.write(guard.write(request, told(problem)))
        request.finish()

    def make_body(request: ApiRequest, query: dict[bytes, list[bytes]], length: int | None) -> Body:
        return bodies[request.asker.endpoint](request, query, length)

    site = ApiSite(app.resource(), options, services.metrics, services.clock, front, make_body, write_problem, services.origin)
    return site, messages


class ApiPort:
    """See the module. `tls` None: plain. Port 0: there is no API. `grace`: seconds that stopping waits for requests at most."""

    def __init__(self, reactor: Any, site: ApiSite, messages: Messages, address: str, port: int, tls: Any = None, grace: float = 20.0) -> None:
        self._reactor = reactor
        self._factory = site if tls is None else TLSMemoryBIOFactory(tls, False, site, reactor)
        self._site = site
        self._messages = messages
        self._address = address
        self._port = port
        self._grace = grace
        self._scheme = "http" if tls is None else "https"
        self._open: Any = None

    def listen(self) -> None:
        """Raises CannotListenError."""
        if self._port:
            self._open = self._reactor.listenTCP(self._port, self._factory, interface=self._address)

    @property
    def url(self) -> str:
        """Where it is, '' when it is nowhere."""
        if self._open is None:
            return ""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"{self._scheme}://{host}:{self._open.getHost().port}/"

    async def stop(self) -> None:
        """No more connections; what is complete is worked off, and those who wait for it hear."""
        if self._open is not None:
            await maybeDeferred(self._open.stopListening)
            self._site.close()
            with contextlib.suppress(TimeoutError):
                await self._messages.underway.drain().addTimeout(self._grace, self._reactor)
            self._site.close()  # what was answered meanwhile


__all__ = ["ApiOptions", "ApiPort", "ApiServices", "make_api"]
