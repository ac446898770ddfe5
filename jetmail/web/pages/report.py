"""Why mail of an SMTP user was refused: the page behind the address in the refusal, `https://<host>/?id=<uid>&auth=<uuid>` (spec 5.6).

It is for whoever administers the sender, who has the address from our reply or from a bounce; nothing else is asked of them. The front page sends
such an address here. What does not fit together is 404, like what never was.
"""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.web.iweb import IRequest

from jetmail.actions.reports import report
from jetmail.errors import NotFoundError
from jetmail.interfaces import IDatabase
from jetmail.web.answer import Answer
from jetmail.web.render import Renderer, stamp

MAX_VALUE = 100  # characters of an id; ours are 20 and 36


class ReportPage:
    """The page, for anybody who has the address."""

    def __init__(self, db: IDatabase, renderer: Renderer) -> None:
        self._db = db
        self._renderer = renderer

    def home(self, request: IRequest) -> Answer:
        """The front page: the log, unless a refusal sent them."""
        if b"id" in request.args and b"auth" in request.args:
            uid, auth = _asked(request)
            return Answer("", 302, headers=(("Location", "/report?" + urlencode({"id": uid, "auth": auth})),))
        return Answer("", 302, headers=(("Location", "/logs"),))

    async def page(self, request: IRequest) -> Answer:
        """The report. Raises NotFoundError."""
        uid, auth = _asked(request)
        found = await report(self._db, uid, auth)
        facts: tuple[tuple[str, object], ...] = (
            ("Envelope sender", found.sender or "<>"),
            ("From header", found.header_from),
            ("Message-ID", found.message_id),
            ("Sent", stamp(found.at, "full")),
            ("From the address", found.client),
            ("SMTP user (uuid)", found.user),
            ("Reference", found.uid),
        )
        body = self._renderer.page("report.html", here="", report=found, facts=[(name, value) for name, value in facts if value])
        return Answer(body)


def _asked(request: IRequest) -> tuple[str, str]:
    """The two values, each given once. Raises NotFoundError."""
    values = []
    for name in (b"id", b"auth"):
        given = request.args.get(name, [])
        if len(given) != 1 or len(given[0]) > MAX_VALUE:
            raise NotFoundError("no such report")
        values.append(given[0].decode("ascii", "replace"))
    return values[0], values[1]
