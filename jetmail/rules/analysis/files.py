"""The files of a message: what each is, what lies in it, what it would do when opened. `message.once(read_files)`, shared by the findings and the
policy.

Bounded: MAX_FILES files, MAX_FILE octets of each, MAX_IN_ALL of all; what was not looked at is in the list, its kind by its name only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from jetmail.mail import archive, document, encoded, filetype
from jetmail.mail.archive import Listing
from jetmail.mail.filetype import Kind
from jetmail.mail.markup import read_page
from jetmail.mail.message import Message
from jetmail.mail.mime import Part, parse_structure

MAX_FILES = 100
MAX_FILE = 8 << 20
MAX_IN_ALL = 24 << 20
MAX_MESSAGES = 2  # attached messages within one another that are opened as files
SAMPLE = 1 << 20
MAX_PAGE = 256 * 1024

_SHOWN = frozenset(
    """
    text/plain text/html text/enriched text/calendar text/rfc822-headers message/delivery-status message/disposition-notification message/rfc822
    application/pgp-signature application/pkcs7-signature application/x-pkcs7-signature
    """.split()
)
_RTF_OBJECT = re.compile(rb"\\obj(?:data|update|autlink|link|class)\b|\\ddeauto|\\object\b", re.IGNORECASE)
_RELATION = re.compile(rb"<Relationship\b[^>]{0,1000}>", re.IGNORECASE)
_FETCHED = re.compile(rb"attachedTemplate|oleObject|/frame", re.IGNORECASE)
_AWAY = re.compile(rb"Target=\"(?:https?:|file:|\\\\)", re.IGNORECASE)
_CODE = re.compile(r"\b(?:atob|unescape|eval|fromCharCode|document\.write|decodeURIComponent|createObjectURL|msSaveOrOpenBlob)\s*\(", re.IGNORECASE)
_MOVES = re.compile(r"(?:location(?:\.href|\.replace|\.assign)?\s*[=(]|window\.open\s*\(|http-equiv\s*=\s*[\"']?refresh)", re.IGNORECASE)
_LONG_LITERAL = re.compile(r"[A-Za-z0-9+/=%\\]{2000}")
_SVG_CODE = re.compile(r"<script\b|\bon(?:load|click|error)\s*=|<foreignObject\b|href\s*=\s*[\"']\s*javascript:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """`kind` by content. `traits`: words of 'macro', 'object', 'remote', 'locked', 'script', 'launch', 'embedded', 'opens', 'form',
    'password', 'moves', 'disguised-code', 'broken',
    'bomb', 'members', 'depth'. `listing` of an archive."""

    part: Part
    kind: Kind
    traits: frozenset[str] = frozenset()
    listing: Listing = Listing()

    @property
    def name(self) -> str:
        """As the mail names it."""
        return self.part.file_name


def read_files(message: Message) -> tuple[File, ...]:
    """See the module."""
    reading = _Reading()
    reading.add(message.structure.parts, message.whole, 0)
    return tuple(reading.found)


class _Reading:
    """The files found, and what may still be looked at."""

    __slots__ = ("found", "left")

    def __init__(self) -> None:
        self.found: list[File] = []
        self.left = MAX_IN_ALL

    def add(self, parts: Iterable[Part], whole: Callable[[], bytes], depth: int) -> None:
        octets: bytes | None = None
        for part in parts:
            if len(self.found) >= MAX_FILES:
                return
            if part.disposition != "attachment" and not part.file_name and part.content_type in _SHOWN and not _is_packed_message(part):
                continue
            if octets is None:
                octets = whole()
            data = part.decoded(octets, min(MAX_FILE, max(self.left, filetype.HEAD)))
            self.left -= len(data)
            file = _file(part, data)
            self.found.append(file)
            is_message = part.extension == "eml" or file.kind.family == "mail" or part.content_type == "message/rfc822"
            if is_message and depth < MAX_MESSAGES and (part.content_type != "message/rfc822" or _is_packed_message(part)):
                # Of one attached as RFC 2046 5.2.1 has it the parts are among the parts already.
                self.add(parse_structure(data).parts, partial(bytes, data), depth + 1)


def _is_packed_message(part: Part) -> bool:
    """A message in base64, which RFC 2046 5.2.1 forbids and mail programs open all the same."""
    return part.content_type == "message/rfc822" and part.encoding in ("base64", "quoted-printable")


def _file(part: Part, data: bytes) -> File:
    kind = filetype.kind_of(data)
    traits: set[str] = set()
    listing = Listing()
    if kind.family == "archive" or kind.name == "tnef":
        listing = archive.listing(data, kind)
        traits |= listing.flaws
        if kind.name == "zip":
            kind, held = document.of_names(kind, {member.name for member in listing.members if member.depth == 1})
            traits |= held
            if kind.name == "ooxml" and _fetches(data):
                traits.add("remote")
    elif kind.name == "ole2":
        kind, held = document.of_ole(data)
        traits |= held
    elif kind.name == "pdf":
        traits |= document.of_pdf(data)
    elif kind.name == "rtf":
        if _RTF_OBJECT.search(data[:SAMPLE]):
            traits.add("object")
    elif kind.family == "page" or (kind.family == "text" and filetype.family_of(part.extension) == "page"):
        _page(kind, data[:MAX_PAGE], part, traits)
    return File(part, kind, frozenset(traits), listing)


def _fetches(data: bytes) -> bool:
    """Whether a relation of a document leads to a template or an object elsewhere."""
    relations = (_RELATION.findall(body)[:200] for _, body in archive.contents(data, (".rels",), 20))
    return any(_FETCHED.search(each) and _AWAY.search(each) for found in relations for each in found)


def _page(kind: Kind, data: bytes, part: Part, traits: set[str]) -> None:
    text = encoded.to_text(data, part.charset)
    if kind.name == "svg":
        if _SVG_CODE.search(text):
            traits.add("script")
        return
    page = read_page(text)
    if page.passwords:
        traits.add("password")
    if page.forms:
        traits.add("form")
    if page.refresh or _MOVES.search(page.script):
        traits.add("moves")
    if page.script.strip():
        traits.add("script")
        if _CODE.search(page.script) and (_LONG_LITERAL.search(page.script) or len(page.text) < 200):
            traits.add("disguised-code")
