"""What a page hands back, and the one place where anything that goes wrong with a page becomes an answer.

`Guard.route` puts a handler behind a path. A handler takes the request (and the path's parts) and returns an Answer, or awaits and then returns one.
- NotFoundError, and a path nobody serves: 404. The same page for what does not exist and what is out of scope.
- UsageError a page did not show at its field: 400 with the sentence of the error.
- StoreError: 503, try again. A handler slower than `answer_timeout`: 503 too, and its work is cancelled.
- Anything else: 500 with a reference, which is all a stranger learns; the log has the traceback under the same reference.
A browser that leaves cancels the handler, which is right as long as pages only read.

Decision: design, 'three catch-alls'; style 3.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from jetmail.errors import NotFoundError, StoreError, UsageError
from jetmail.web.render import Renderer

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"

log = Logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with what must be said about it. `headers` replace those every answer carries; `tagged`: an ETag, and 304 when the browser has it."""

    body: str | bytes
    code: int = 200
    media_type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()
    tagged: bool = False


Handler = Callable[..., Answer | Awaitable[Answer]]


class Guard:
    """Serves handlers of one Klein app; in which words faults are told is for `_explain`. `make_reference` -> a short word, never the same, to find a
    failure in the log by."""

    def __init__(self, app: Klein, clock: IReactorTime, timeout: float, make_reference: Callable[[], str]) -> None:
        self._app = app
        self._clock = clock
        self._timeout = timeout
        self._make_reference = make_reference
        app.handle_errors(Exception)(self._failed)

    def route(self, path: str, handler: Handler, method: str = "GET") -> None:
        """Serve `path` (Werkzeug's pattern) with `handler`."""

        def serve(request: IRequest, **parts: str) -> Any:
            found = handler(request, **parts)
            if isinstance(found, Answer):
                return self.write(request, found)
            waiting = Deferred.fromCoroutine(_await(found))
            waiting.addTimeout(self._timeout, self._clock)
            return waiting.addCallback(lambda answer: self.write(request, answer))

        self._app.route(path, methods=[method], endpoint=f"{method} {path}")(serve)

    def write(self, request: Any, answer: Answer) -> bytes:
        """Everything of an answer but its body, which is returned."""
        body = answer.body.encode("utf-8", "replace") if isinstance(answer.body, str) else answer.body
        request.setResponseCode(answer.code)
        request.setHeader(b"Content-Type", answer.media_type.encode())
        for name, value in answer.headers:
            request.setHeader(name.encode(), value.encode())
        if answer.tagged and request.setETag(b'"' + hashlib.sha256(body).hexdigest()[:24].encode() + b'"'):
            return b""
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        return self.write(request, self._explain(failure))

    def _explain(self, failure: Failure) -> Answer:
        raise NotImplementedError


class PageGuard(Guard):
    """Faults are told as a page."""

    def __init__(self, app: Klein, renderer: Renderer, clock: IReactorTime, timeout: float, make_reference: Callable[[], str]) -> None:
        super().__init__(app, clock, timeout, make_reference)
        self._renderer = renderer

    def _explain(self, failure: Failure) -> Answer:
        error = failure.value
        if isinstance(error, NotFoundError) or (isinstance(error, HTTPException) and error.code in (404, 308)):
            return self._page(404, "Not here", "There is nothing at this address, or it is not yours to see.")
        if isinstance(error, UsageError):
            return self._page(400, "That does not work", f"{error.field}: {error.reason}")
        if isinstance(error, HTTPException):
            return self._page(error.code or 400, "That does not work", "This address cannot be asked that way.")
        reference = self._make_reference()
        log.failure("a page failed, reference {reference}", failure, reference=reference)
        if isinstance(error, (StoreError, TimeoutError)):
            return self._page(503, "Not now", "The answer did not come in time. Mail is not affected; try again in a moment.", reference)
        return self._page(500, "Our fault", "This page could not be made. The log of this machine says why, under the reference below.", reference)

    def _page(self, code: int, title: str, text: str, reference: str = "") -> Answer:
        headers = (("Retry-After", "5"),) if code == 503 else ()
        return Answer(self._renderer.page("error.html", code=code, title=title, text=text, reference=reference, here=""), code, headers=headers)


async def _await(waiting: Awaitable[Answer]) -> Answer:
    return await waiting
