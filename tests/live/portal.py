"""A listening web site over a seeded store, as a program of its own: `python -m tests.live.portal STORE [empty|hostile|plain]`.

Says `ready PORT {json of uids}` on standard output and serves until it is killed. The time of day stands still at seed.NOW, so that pages are the
same in every run; rows written to the store by others appear as they would.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry
from twisted.internet import reactor

from jetmail.actions.access import Actor
from jetmail.actions.findings import explain
from jetmail.offload import InlineExecutor
from jetmail.rules import registry
from jetmail.rules.symbols import Scores
from jetmail.spool.files import MemoryStore
from jetmail.web.metrics import Metrics
from jetmail.web.site import WebOptions, WebServices, make_site
from tests.web import seed

ROOT = Path(__file__).resolve().parents[2]


def main(path: str, what: str) -> None:
    """Serve until killed."""
    db = seed.store(path)
    uids: dict[str, str] = {}
    if what != "empty":
        db.run(lambda conn: uids.update(seed.busy_morning(conn, hostile=what == "hostile")))
    references = count(1)
    checks = {"store": lambda: True, "queue": lambda: True, "listeners": lambda: True}
    scores = Scores(registry.load(ROOT / "etc/rules.toml").symbols)
    services = WebServices(
        db, Actor.sysadmin("local", "local"), reactor, lambda: seed.NOW, lambda: f"ref-{next(references)}", Metrics(CollectorRegistry()),
        MemoryStore(lambda: "x"), InlineExecutor(), lambda found, recipients: explain(found, scores, recipients), checks,
    )  # fmt: skip
    port = reactor.listenTCP(0, make_site(WebOptions(poll_interval=0.3), services), interface="127.0.0.1")  # type: ignore[attr-defined]
    print("ready", port.getHost().port, json.dumps(uids), flush=True)
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "plain")
