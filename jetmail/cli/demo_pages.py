"""The demo inbox as pages: /demo/inbox lists it, /demo/inbox/NNNNNN.eml shows one message as plain text.

Stands in front of the real site (`Pages(inbox, site.resource)` takes its place) and behind its door, so every limit and header of the site holds
here too. Everything outside /demo/ goes on to the real site.
"""

from __future__ import annotations

from pathlib import Path

from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from jetmail.cli.demo_inbox import Inbox
from jetmail.web.render import Renderer

SHOWN_OCTETS = 256 * 1024  # of one message on a page; the file has all of it


@implementer(IResource)
class Pages:
    """The root resource of the demo's site."""

    isLeaf = False

    def __init__(self, inbox: Inbox, site: IResource, renderer: Renderer, domain: str) -> None:
        self._site = site
        self._demo = Resource()
        self._demo.putChild(b"inbox", InboxPages(inbox, renderer, domain))

    def getChildWithDefault(self, name: bytes, request: IRequest) -> IResource:
        """See IResource."""
        if name == b"demo":
            return self._demo
        request.postpath.insert(0, request.prepath.pop())  # the site is a leaf and reads the whole path itself
        return self._site

    def putChild(self, path: bytes, child: IResource) -> None:
        """See IResource."""
        self._site.putChild(path, child)

    def render(self, request: IRequest) -> bytes | int:
        """See IResource."""
        return self._site.render(request)


class InboxPages(Resource):
    """The list, and below it the messages."""

    def __init__(self, inbox: Inbox, renderer: Renderer, domain: str) -> None:
        super().__init__()
        self._inbox = inbox
        self._renderer = renderer
        self._domain = domain

    def getChild(self, path: bytes, request: IRequest) -> Resource:
        """See IResource."""
        if path == b"":
            return self
        file = self._inbox.content(path.decode("ascii", "replace"))
        return super().getChild(path, request) if file is None else MessageText(file)

    def render_GET(self, request: IRequest) -> bytes:
        """The list."""
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        messages = list(reversed(self._inbox.newest))
        return self._renderer.page("demo_inbox.html", here="", messages=messages, domain=self._domain, folder=str(self._inbox.folder)).encode()


class MessageText(Resource):
    """One message as it was filed, as text: nothing in it is acted upon."""

    isLeaf = True

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def render_GET(self, request: IRequest) -> bytes:
        """The text, cut where a page would get too long."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        with open(self._file, "rb") as stream:
            text = stream.read(SHOWN_OCTETS + 1)
        if len(text) > SHOWN_OCTETS:
            return text[:SHOWN_OCTETS] + f"\n[cut here; the whole message is {self._file}]\n".encode()
        return text
