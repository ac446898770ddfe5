"""A whole site over a store in memory, for page tests."""

from __future__ import annotations

from itertools import count
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions.access import Actor
from jetmail.actions.findings import unexplained
from jetmail.offload import InlineExecutor
from jetmail.spool.files import MemoryStore
from jetmail.web.door import DoorSite
from jetmail.web.metrics import Metrics
from jetmail.web.site import WebOptions, WebServices, make_site
from tests.web import seed
from tests.web.browser import Seen, fetch


class PortalTestCase(SynchronousTestCase):
    """`get` asks a site whose store is empty until the test seeds it. It is NOW, the actor is the local operator."""

    options = WebOptions()
    actor = Actor.sysadmin("local", "local")

    def setUp(self) -> None:
        self.clock = Clock()
        self.db: Any = seed.store(self.mktemp())
        self.addCleanup(self.db.close)
        self.metrics = Metrics(CollectorRegistry())
        self.checks: dict[str, Any] = {"store": lambda: True, "queue": lambda: True, "listeners": lambda: True}
        self.content = MemoryStore(lambda: "x")
        self.site = self.make(self.db)

    def make(self, db: Any) -> DoorSite:
        """A site over this store."""
        references = (f"ref-{number}" for number in count(1))
        services = WebServices(
            db, self.actor, self.clock, lambda: seed.NOW, lambda: next(references), self.metrics, self.content, InlineExecutor(), unexplained,
            self.checks,
        )
        return make_site(self.options, services)

    def seed(self) -> dict[str, str]:
        """Fill the store with a busy morning. -> uids worth opening."""
        return self.successResultOf(self.db.run(seed.busy_morning))

    def get(self, path: str, **headers: str) -> Seen:
        """One page."""
        return fetch(self.site, path, **headers)
