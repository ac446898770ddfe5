"""For machines that watch this one: /healthz for a supervisor or balancer, /metrics for Prometheus.

/healthz answers 200 when every check is well and 503 otherwise, with a word for each check and nothing of why: the log says that. A check that
raises, fails or takes longer than CHECK_TIMEOUT is 'failed'; all are asked at the same time, so one hanging part does not hide the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from jetmail.actions import stats
from jetmail.actions.access import Actor
from jetmail.errors import StoreError
from jetmail.interfaces import IDatabase
from jetmail.web.answer import JSON, Answer
from jetmail.web.metrics import CONTENT_TYPE, Metrics, QueueFigures

CHECK_TIMEOUT = 3.0
MAX_LANES = 1_000

Check = Callable[[], Any]
"""-> True when well, or a Deferred of it."""

log = Logger()


class MonitorPages:
    """Both addresses. `checks` by the name shown."""

    def __init__(
        self, db: IDatabase, actor: Actor, metrics: Metrics, checks: Mapping[str, Check], clock: IReactorTime, wall: Callable[[], float]
    ) -> None:
        self._db = db
        self._actor = actor
        self._metrics = metrics
        self._checks = checks
        self._clock = clock
        self._wall = wall

    async def health(self, request: IRequest) -> Answer:
        """Is the process well?"""
        words = dict(zip(self._checks, await gatherResults([self._ask(name, check) for name, check in self._checks.items()]), strict=True))
        well = all(word == "ok" for word in words.values())
        body = json.dumps({"status": "ok" if well else "failed", "checks": words}) + "\n"
        return Answer(body, 200 if well else 503, JSON)

    async def metrics(self, request: IRequest) -> Answer:
        """What the process counted, and how the queue is. A store that does not answer takes its own figures from the page and no others."""
        try:
            found = await stats.queue(self._db, self._actor, lanes=MAX_LANES).addTimeout(CHECK_TIMEOUT, self._clock)
        except (StoreError, TimeoutError):
            self._metrics.queue_unknown()
        else:
            if found.depth is not None:
                oldest = self._wall() - found.depth.oldest if found.depth.oldest is not None else 0.0
                down = sum(lane.down_since is not None for lane in found.lanes)
                self._metrics.queue(QueueFigures(found.depth.queued, found.depth.held, max(0.0, oldest), down))
        return Answer(self._metrics.exposition(), 200, CONTENT_TYPE)

    def _ask(self, name: str, check: Check) -> Deferred[str]:
        def failed(failure: Failure) -> str:
            log.failure("health check {name} failed", failure, name=name)
            return "failed"

        asked: Deferred[Any] = maybeDeferred(check)
        asked.addTimeout(CHECK_TIMEOUT, self._clock)
        return asked.addCallback(lambda well: "ok" if well else "failed").addErrback(failed)
