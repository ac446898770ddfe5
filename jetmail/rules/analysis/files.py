"""The files of a message: what each is, what lies in it, what it would do when opened. `message.once(read_files)`, shared by the findings and the
policy.

Bounded: MAX_FILES files, MAX_FILE octets of each, MAX_IN_ALL of all; what was not looked at is in the list, its kind by its name only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from jetmail.mail import archive, encoded, filetype
from jetmail.mail.archive import Listing
from jetmail.mail.filetype import Kind
from jetmail.mail.markup import read_page
from jetmail.mail.message import Message
from jetmail.mail.mime import Part

MAX_FILES = 100
MAX_FILE = 8 << 20
MAX_IN_ALL = 24 << 20
SAMPLE = 1 << 20
MAX_PAGE = 256 * 1024

_SHOWN = frozenset(
    """
    text/plain text/html text/enriched text/calendar text/rfc822-headers message/delivery-status message/disposition-notification message/rfc822
    application/pgp-signature application/pkcs7-signature application/x-pkcs7-signature
    """.split()
)
_PDF_NAME = re.compile(rb"#([0-9a-fA-F]{2})")
_PDF_MARKS = {
    b"JavaScript": "script",
    b"JS": "script",
    b"Launch": "launch",
    b"Encrypt": "locked",
    b"EmbeddedFile": "embedded",
    b"RichMedia": "embedded",
    b"OpenAction": "opens",
    b"AA": "opens",
    b"SubmitForm": "form",
}
_PDF_MARK = re.compile(rb"/(%s)(?![^\s/<>\[\]()])" % b"|".join(_PDF_MARKS))
MAX_MARKS = 10_000
_RTF_OBJECT = re.compile(rb"\\obj(?:data|update|autlink|link|class)\b|\\ddeauto|\\object\b", re.IGNORECASE)
_RELATION = re.compile(rb"<Relationship\b[^>]{0,1000}>", re.IGNORECASE)
_FETCHED = re.compile(rb"attachedTemplate|oleObject|/frame", re.IGNORECASE)
_AWAY = re.compile(rb"Target=\"(?:https?:|file:|\\\\)", re.IGNORECASE)
_CODE = re.compile(r"\b(?:atob|unescape|eval|fromCharCode|document\.write|decodeURIComponent|createObjectURL|msSaveOrOpenBlob)\s*\(", re.IGNORECASE)
_MOVES = re.compile(r"(?:location(?:\.href|\.replace|\.assign)?\s*[=(]|window\.open\s*\(|http-equiv\s*=\s*[\"']?refresh)", re.IGNORECASE)
_LONG_LITERAL = re.compile(r"[A-Za-z0-9+/=%\\]{2000}")
_SVG_CODE = re.compile(r"<script\b|\bon(?:load|click|error)\s*=|<foreignObject\b|href\s*=\s*[\"']\s*javascript:", re.IGNORECASE)


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le")


_OLE_MARKS = (
    (_wide("_VBA_PROJECT"), "macro"),
    (_wide("VBA"), "macro"),
    (_wide("Macros"), "macro"),
    (b"Attribut\0e VB_", "macro"),
    (_wide("EncryptedPackage"), "locked"),
    (_wide("Equation Native"), "object"),
    (_wide("Ole10Native"), "object"),
)
# A sheet of a workbook whose cells are a program: macros of Excel 4, which need no VBA. BIFF 8, BoundSheet8: size, where it is, visible or not,
# kind 1, length and form of its name.
_MACRO_SHEET = re.compile(rb"\x85\0[\x08-\x48]\0.{4}[\0-\x02]\x01[\x01-\x1f][\0\x01]", re.DOTALL)
_OLE_PROGRAM = (_wide("\u4840"), b"Installation Database", b"Windows Installer")


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
    octets: bytes | None = None
    found: list[File] = []
    left = MAX_IN_ALL
    for part in message.structure.parts:
        if len(found) >= MAX_FILES:
            break
        if part.disposition != "attachment" and not part.file_name and part.content_type in _SHOWN:
            continue
        if octets is None:
            octets = message.whole()
        data = part.decoded(octets, min(MAX_FILE, max(left, filetype.HEAD)))
        left -= len(data)
        found.append(_file(part, data))
    return tuple(found)


def _file(part: Part, data: bytes) -> File:
    kind = filetype.kind_of(data)
    traits: set[str] = set()
    listing = Listing()
    if kind.name == "zip" or kind.family == "archive":
        listing = archive.listing(data, kind)
        traits |= listing.flaws
        if kind.name == "zip":
            kind = _zipped(kind, listing, data, traits)
    elif kind.name == "ole2":
        kind = _ole(kind, data[: 4 * SAMPLE], traits)
    elif kind.name == "pdf":
        _pdf(data[: 4 * SAMPLE], traits)
    elif kind.name == "rtf":
        if _RTF_OBJECT.search(data[:SAMPLE]):
            traits.add("object")
    elif kind.family == "page" or (kind.family == "text" and filetype.family_of(part.extension) == "page"):
        _page(kind, data[:MAX_PAGE], part, traits)
    return File(part, kind, frozenset(traits), listing)


def _zipped(kind: Kind, listing: Listing, data: bytes, traits: set[str]) -> Kind:
    names = {member.name for member in listing.members if member.depth == 1}
    if "[Content_Types].xml" in names:
        lowered = [name.lower() for name in names]
        if any(name.endswith("vbaproject.bin") for name in lowered) or any("/macrosheets/" in name for name in lowered):
            traits.add("macro")
        if any("/embeddings/" in name and name.endswith((".bin", ".exe")) for name in lowered) or any("/activex/" in name for name in lowered):
            traits.add("object")
        for _, body in archive.contents(data, (".rels",), 20):
            if any(_FETCHED.search(each) and _AWAY.search(each) for each in _RELATION.findall(body)[:200]):
                traits.add("remote")
        return filetype.OOXML
    if "AndroidManifest.xml" in names:
        return filetype.APK
    if "META-INF/MANIFEST.MF" in names and any(name.endswith(".class") for name in names):
        return filetype.JAR
    if "mimetype" in names and "content.xml" in names:
        if any(name.startswith(("Basic/", "Scripts/")) for name in names):
            traits.add("macro")
        return filetype.ODF
    return kind


def _ole(kind: Kind, data: bytes, traits: set[str]) -> Kind:
    traits |= {trait for mark, trait in _OLE_MARKS if mark in data}
    if _wide("Workbook") in data and _MACRO_SHEET.search(data):
        traits.add("macro")
    return Kind("msi", "program") if any(mark in data for mark in _OLE_PROGRAM) and "macro" not in traits else kind


def _pdf(data: bytes, traits: set[str]) -> None:
    if b"#" in data:
        data = _PDF_NAME.sub(lambda found: bytes((int(found[1], 16),)), data)
    for found in islice(_PDF_MARK.finditer(data), MAX_MARKS):
        traits.add(_PDF_MARKS[found[1]])


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
