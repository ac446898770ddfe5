"""What is in a message, in a document of its own for a frame that may do nothing: HTML made safe, text, header fields, parts.

The document's own Content-Security-Policy allows styles written into it and pictures written into it, and nothing else: no script, no request, no
form, no frame; `sandbox` gives it an origin nobody shares. So what two sanitisers (actions.preview) might miss still loads and runs nothing.
Kept content only: what was delivered or refused has none (404).
"""

from __future__ import annotations

from markupsafe import Markup
from twisted.web.iweb import IRequest

from jetmail.actions.access import Actor
from jetmail.actions.preview import show
from jetmail.errors import ContentMissingError, NotFoundError, UsageError
from jetmail.interfaces import IContentStore, IDatabase, IExecutor
from jetmail.web.answer import Answer
from jetmail.web.render import Renderer

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
VIEWS = ("message", "text", "headers", "parts")


class PreviewPage:
    """The frame's document, for one actor."""

    def __init__(self, db: IDatabase, actor: Actor, content: IContentStore, executor: IExecutor, renderer: Renderer) -> None:
        self._db = db
        self._actor = actor
        self._content = content
        self._executor = executor
        self._renderer = renderer

    async def page(self, request: IRequest, uid: str) -> Answer:
        """`view` is one of VIEWS; 'message' is its HTML where it has some, else its text. Raises UsageError."""
        view = (request.args.get(b"view") or [b"message"])[0].decode("ascii", "replace")
        if view not in VIEWS:
            raise UsageError("view", f"is one of {', '.join(VIEWS)}")
        try:
            shown = await show(self._db, self._actor, uid, self._content, self._executor)
        except (NotFoundError, ContentMissingError):  # the site's own page for that may not stand in a frame
            return self._answer(404, view="", shown=None, html="")
        # The one place where a stranger's markup is not escaped: it went through both locks of actions.preview, and this document can do nothing.
        return self._answer(200, view=view, shown=shown, html=Markup(shown.html))

    def _answer(self, code: int, **values: object) -> Answer:
        body = self._renderer.page("preview.html", **values)
        return Answer(body, code, headers=(("Content-Security-Policy", POLICY), ("X-Frame-Options", "SAMEORIGIN")))
