"""A message as people may look at it without being harmed by it: its text, its HTML made safe, its header fields, its parts.

Promises
- Nothing of it loads anything, runs, submits or can be followed. HTML goes through two locks: it is written anew (mail.showing), and what comes out
  is cleaned by nh3 with a short list of tags and attributes; the page adds a third, a frame that may do nothing.
- Pictures that are parts of the message are shown as data: URIs when their octets are what they say (PNG, JPEG, GIF, WebP), within bounds.
- Bounded: at most MAX_OCTETS of the message are read, and each thing shown has a limit of its own; what was cut says so.
- Never raises for what is in the message. Raises NotFoundError (not there, not the actor's, content no longer kept), ContentMissingError.

Reading and cleaning take milliseconds, so they run where `executor` says.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any

from twisted.internet.defer import Deferred

from jetmail.actions import access, messages
from jetmail.actions.access import Actor, Reach
from jetmail.interfaces import IContentStore, IDatabase, IExecutor
from jetmail.mail import encoded, showing
from jetmail.mail.message import Message
from jetmail.mail.mime import Part, Structure
from jetmail.spool.content import head
from jetmail.store.traffic.messages import Content

MAX_OCTETS = 4 * 1024 * 1024
MAX_TEXT = 128 * 1024  # characters of plain text
MAX_FIELDS = 200
MAX_VALUE = 4_000  # characters of one field
MAX_PARTS = 200
MAX_PICTURES = 20
MAX_PICTURE = 512 * 1024  # octets of one
MAX_ALL_PICTURES = 2 * 1024 * 1024

_CONTENT_ID = re.compile(rb"^content-id:[ \t]*(?:\r?\n[ \t]+)?<?([^>\s]{1,250})", re.IGNORECASE | re.MULTILINE)
_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))


@cache
def _cleaner() -> Any:
    """Made for the first message that is looked at: many appliances never show one."""
    from nh3 import Cleaner

    return Cleaner(
        tags={*showing.BLOCKS, *showing.INLINE, "img"},
        attributes={
            "*": {"style", "align", "valign", "dir", "class", "title"},
            "td": {"colspan", "rowspan", "width"},
            "th": {"colspan", "rowspan", "width"},
            "table": {"border", "cellpadding", "cellspacing", "width"},
            "img": {"src", "alt"},
        },
        url_schemes={"data"},
        attribute_filter=lambda tag, name, value: value if name != "src" or value.startswith("data:image/") else None,
        filter_style_properties=set(showing.PROPERTIES),
        link_rel=None,
    )


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A leaf of the message. `size` in octets as it is sent; `name` '' when it has none."""

    content_type: str
    name: str
    size: int
    is_attachment: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """`html` is a safe fragment, '' where the message has none; `text` is what it says as plain text, HTML without its tags where that is all there
    is. `hosts` its links lead to, `pictures` it would have loaded. `flaws` are words of mail.mime; `is_cut`: there is more than is shown."""

    uid: str
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str
    parts: tuple[ShownPart, ...]
    hosts: tuple[str, ...] = ()
    pictures: int = 0
    flaws: tuple[str, ...] = ()
    is_cut: bool = False


def show(db: IDatabase, actor: Actor, uid: str, store: IContentStore, executor: IExecutor) -> Deferred[Preview]:
    """The message of that uid, as far as its content is kept."""
    return Deferred.fromCoroutine(_show(db, actor, uid, store, executor))


async def _show(db: IDatabase, actor: Actor, uid: str, store: IContentStore, executor: IExecutor) -> Preview:
    seen: Reach = db.read(access.reach, actor)
    refused: Reach = db.read(access.reach, actor, access.KEPT)
    content: Content = await db.search(messages.content, seen, refused, uid)
    preview: Preview = await executor.run(_thd_read, content, store, uid)
    return preview


def _thd_read(content: Content, store: IContentStore, uid: str) -> Preview:
    octets = head(content, store, MAX_OCTETS)
    return of_octets(octets, uid, content.size > len(octets))


def of_octets(octets: bytes, uid: str = "", is_cut: bool = False) -> Preview:
    """The preview of a message, or of its first part. Never raises."""
    message = Message(octets)
    structure = message.structure
    fields = message.fields
    headers = tuple((_name(raw), _value(raw)) for name, raw in fields[:MAX_FIELDS] if name)
    parts = tuple(ShownPart(part.content_type, showing.plain(part.file_name), part.end - part.start, part.is_attachment) for part in structure.parts)
    html = _body(octets, structure, "text/html", showing.MAX_HTML + 1)
    text = _body(octets, structure, "text/plain", MAX_TEXT + 1) or structure.text
    shown = showing.rewrite(html, _Pictures(octets, structure.parts).data) if html else showing.Shown("")
    return Preview(
        uid=uid,
        headers=headers,
        text=showing.plain(text[:MAX_TEXT]),
        html=_cleaner().clean(shown.html) if shown.html else "",
        parts=parts[:MAX_PARTS],
        hosts=shown.hosts,
        pictures=shown.pictures,
        flaws=tuple(sorted(structure.flaws)),
        is_cut=is_cut or shown.is_cut or len(text) > MAX_TEXT or len(fields) > MAX_FIELDS or len(parts) > MAX_PARTS,
    )


def _name(raw: bytes) -> str:
    return showing.plain(raw[:200].partition(b":")[0].strip().decode("ascii", "replace"))


def _value(raw: bytes) -> str:
    return showing.plain(encoded.decode(raw[:16_384].partition(b":")[2])[:MAX_VALUE])


def _body(octets: bytes, structure: Structure, content_type: str, limit: int) -> str:
    """The text of the first part of that type that is not an attachment."""
    part = next((part for part in structure.parts if part.content_type == content_type and not part.is_attachment), None)
    if part is None:
        return ""
    try:
        return encoded.to_text(part.decoded(octets, 4 * limit), part.charset)[:limit]
    except (binascii.Error, ValueError):
        return ""


class _Pictures:
    """The pictures a message carries for its own HTML, by content-id, within the bounds."""

    def __init__(self, octets: bytes, parts: tuple[Part, ...]) -> None:
        self._octets = octets
        self._parts: dict[str, Part] = {}
        for part in parts:
            if part.content_type.startswith("image/") and (name := _content_id(octets, part)) and len(self._parts) < MAX_PICTURES:
                self._parts.setdefault(name, part)
        self._made: dict[str, str] = {}
        self._left = MAX_ALL_PICTURES

    def data(self, content_id: str) -> str:
        """Its data: URI; '' when it is not there, not what it says or too large. A picture shown twice is counted twice."""
        part = self._parts.get(content_id)
        if part is None:
            return ""
        if content_id not in self._made:
            self._made[content_id] = self._make(part)
        made = self._made[content_id]
        if len(made) > self._left:
            return ""
        self._left -= len(made)
        return made

    def _make(self, part: Part) -> str:
        try:
            data = part.decoded(self._octets, MAX_PICTURE + 1)
        except (binascii.Error, ValueError):
            return ""
        kind = next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), "")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind = "webp"
        return f"data:image/{kind};base64,{b64encode(data).decode()}" if kind and len(data) <= MAX_PICTURE else ""


def _content_id(octets: bytes, part: Part) -> str:
    """Out of the part's own header, which stands right before it, behind the boundary."""
    before = octets[max(0, part.start - 8_192) : part.start]
    header = before[before.rfind(b"\n--") + 1 :]
    found = _CONTENT_ID.search(header)
    return found[1].decode("ascii", "replace") if found else ""
