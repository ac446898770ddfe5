"""The queue: what waits, for which destination, since when, why, and when it is tried next (spec 3).

`/queue` is the page, `/queue/rows` its changing part for the script. `destination` narrows the deliveries to one of them, `text` to a part of
sender, recipient or subject; the figures and the destinations above are always of the whole queue, because that is what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from twisted.web.iweb import IRequest

from jetmail.actions import stats
from jetmail.actions.access import Actor
from jetmail.actions.queue import Selection, listing
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.web.answer import Answer
from jetmail.web.pages.logs import value_of
from jetmail.web.render import Renderer

MAX_LANES = 50
MAX_ID = 2**63 - 1


class QueuePages:
    """The page and its changing part, for one actor."""

    def __init__(self, db: IDatabase, actor: Actor, renderer: Renderer, wall: Callable[[], float], page_size: int) -> None:
        self._db = db
        self._actor = actor
        self._renderer = renderer
        self._wall = wall
        self._page_size = page_size

    async def page(self, request: IRequest) -> Answer:
        """The whole page."""
        return Answer(self._renderer.page("queue.html", here="queue", **await self._look(request)))

    async def rows(self, request: IRequest) -> Answer:
        """What changes."""
        return Answer(self._renderer.page("_queue_rows.html", **await self._look(request)), tagged=True)

    async def _look(self, request: IRequest) -> dict[str, Any]:
        now = self._wall()
        asked = {name: value_of(request.args, name) for name in ("destination", "text", "before")}
        before = asked.pop("before")
        if before and not (before.isascii() and before.isdigit() and int(before) <= MAX_ID):
            raise UsageError("before", "is not the end of an earlier page")
        selection = Selection(destination=asked["destination"].lower(), text=asked["text"])
        # One more than fits tells whether there is a next page.
        rows = await listing(self._db, self._actor, selection, now=now, limit=self._page_size + 1, before=int(before or 0))
        figures = await stats.queue(self._db, self._actor, lanes=MAX_LANES)
        shown = rows[: self._page_size]
        return {
            "asked": asked,
            "rows": shown,
            "depth": figures.depth,
            "lanes": figures.lanes,
            "has_all_lanes": len(figures.lanes) < MAX_LANES,
            "now": now,
            "live": _address("/queue/rows", asked, before=before),
            "newest": _address("/queue", asked) if before else "",
            "older": _address("/queue", asked, before=str(shown[-1].id)) if len(rows) > len(shown) else "",
        }


def _address(path: str, asked: dict[str, str], **more: str) -> str:
    query = {name: value for name, value in (asked | more).items() if value}
    return f"{path}?{urlencode(query)}" if query else path
