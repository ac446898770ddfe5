"""The web site, put together: the door, the pages behind it, the files they need (docs/web.md lists every address; a test compares).

Read-only, and for the machine's own people alone until sign-in exists: whoever gets past the door acts as the `actor` given here, which app makes
the local operator. Klein finds the page for an address and does nothing else; sessions and forms will not come from it.

`make_site` returns a factory; app listens with it, on loopback. Raises at once when a template folder or static file is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from jetmail import resources
from jetmail.actions.access import Actor
from jetmail.errors import NotFoundError
from jetmail.interfaces import IContentStore, IDatabase, IExecutor
from jetmail.web.answer import Answer, PageGuard
from jetmail.web.door import DoorSite
from jetmail.web.metrics import Metrics
from jetmail.web.options import WebOptions
from jetmail.web.pages.logs import LogPages
from jetmail.web.pages.message import Explain, MessagePage
from jetmail.web.pages.monitor import Check, MonitorPages
from jetmail.web.pages.preview import PreviewPage
from jetmail.web.pages.queue import QueuePages
from jetmail.web.pages.report import ReportPage
from jetmail.web.render import Renderer, StaticFile, load_static

__all__ = ["WebOptions", "WebServices", "make_site"]


@dataclass(frozen=True, slots=True)
class WebServices:
    """What the site needs of the process.

    `clock`: the reactor's time, for limits. `wall`: epoch seconds. `make_reference`: a short unpredictable word for the log. `actor`: who asks.
    `content`: where large content is. `executor`: threads for what takes longer than a page may. `explain`: findings in sentences (actions.findings).
    `checks`: what /healthz asks, by name: 'store', 'queue', 'listeners'; each answers True when well, or a Deferred of it.
    """

    db: IDatabase
    actor: Actor
    clock: IReactorTime
    wall: Callable[[], float]
    make_reference: Callable[[], str]
    metrics: Metrics
    content: IContentStore
    executor: IExecutor
    explain: Explain
    checks: dict[str, Check]


def make_site(options: WebOptions, services: WebServices) -> DoorSite:
    """The factory to listen with."""
    static = load_static(resources.static())
    renderer = Renderer(resources.templates(), static, options, services.wall)
    app = Klein()
    guard = PageGuard(app, renderer, services.clock, options.answer_timeout, services.make_reference)
    logs = LogPages(services.db, services.actor, renderer, services.wall, options.page_size)
    message = MessagePage(services.db, services.actor, renderer, services.explain)
    preview = PreviewPage(services.db, services.actor, services.content, services.executor, renderer)
    queue = QueuePages(services.db, services.actor, renderer, services.wall, options.page_size)
    monitor = MonitorPages(services.db, services.actor, services.metrics, services.checks, services.clock, services.wall)
    report = ReportPage(services.db, renderer)
    guard.route("/", report.home)
    guard.route("/report", report.page)
    guard.route("/logs", logs.page)
    guard.route("/logs/rows", logs.rows)
    guard.route("/messages/<uid>", message.page)
    guard.route("/messages/<uid>/preview", preview.page)
    guard.route("/queue", queue.page)
    guard.route("/queue/rows", queue.rows)
    guard.route("/healthz", monitor.health)
    guard.route("/metrics", monitor.metrics)
    guard.route("/static/<name>", StaticPages(static).file)
    return DoorSite(app.resource(), options, services.metrics, services.clock, options.hosts)


class StaticPages:
    """Files that are the same for everybody."""

    def __init__(self, files: dict[str, StaticFile]) -> None:
        self._files = files

    def file(self, request: IRequest, name: str) -> Answer:
        """A file by name. With its version in the query it may be kept for ever, as another content has another version."""
        found = self._files.get(name)
        if found is None:
            raise NotFoundError(name)
        current = request.args.get(b"v") == [found.version.encode()]
        keep = "public, max-age=31536000, immutable" if current else "no-cache"
        return Answer(found.data, 200, found.media_type, (("Cache-Control", keep),), tagged=True)
