"""Work that goes on whoever stops waiting for it: a client that leaves, or an answer that took too long, must not stop a message between its commit
and the end of its key. `drain` waits for all of it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.api.problem import Problem
from jetmail.web.answer import Answer

log = Logger()


class Underway:
    """The requests that are being worked off."""

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Deferred[Answer]:
        """-> what it comes to. Cancelling that ends the waiting, not the work."""
        running = Deferred.fromCoroutine(work)
        self._running.add(running)
        waiting: Deferred[Answer] = Deferred()

        def done(result: Any) -> None:
            self._running.discard(running)
            if not waiting.called:
                waiting.callback(result)  # a Failure runs the errbacks
            elif isinstance(result, Failure) and not result.check(Problem):
                log.failure("a request nobody waits for failed", result)

        running.addBoth(done)
        return waiting

    def drain(self) -> Deferred[Any]:
        """-> Deferred that fires when everything is done."""
        return DeferredList([_after(each) for each in self._running], consumeErrors=True)


def _after(running: Deferred[Any]) -> Deferred[None]:
    """Fires with it, whatever it comes to, and leaves its result alone."""
    waiting: Deferred[None] = Deferred()

    def seen(result: Any) -> Any:
        waiting.callback(None)
        return result

    running.addBoth(seen)
    return waiting
