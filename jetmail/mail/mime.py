"""The body of a message as parts (RFC 2045-2047, 2183, 2231), for rules: what is attached, what the text says. Bounded whatever it is given.

Promises
- Never raises. Parts, depth, boundary hits, header octets of a part and decoded text are capped; a cap that was reached is named in `flaws`.
- The body is walked with plain searches for the boundary lines, so that the time is that of a few passes over memory, whatever is in there;
  the standard library's parser (policy compat32) is only given the header of a single part, cut to MAX_PART_HEADER.
- Reads, never repairs: how a mail program might read a malformed message is for rules to score, by `flaws`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from email import message_from_string
from email.message import Message as Fields
from email.policy import compat32

from jetmail.mail import encoded, filetype
from jetmail.mail.markup import Page, read_page

MAX_PARTS = 500
MAX_DEPTH = 16
MAX_ENTITIES = 1_000  # parts, and multiparts that hold them
MAX_HITS = 5_000  # boundary look-alikes
MAX_PART_HEADER = 8 * 1024
MAX_TEXT = 256 * 1024  # characters of decoded text in all
MAX_FILE_NAME = 255

_READ_FIELDS = frozenset({"content-type", "content-disposition", "content-transfer-encoding"})
_PLAIN_VALUE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,80}(?:/[A-Za-z0-9!#$&^_.+-]{1,80})?(?:[ \t]*;[ \t]*[A-Za-z0-9-]{1,40}=(?:\"[^\"\\]*\"|[^\s;\"()*\\=?]+))*[ \t]*;?"
)
_PLAIN_PARAMETER = re.compile(r";[ \t]*([A-Za-z0-9-]{1,40})=(?:\"([^\"\\]*)\"|([^\s;\"]+))")
_UUENCODED = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n(?=[!-M][ -`]{4,80}\r?\n)", re.MULTILINE)
_HEAD_END = re.compile(rb"\A\r?\n|\n\r?\n")
_LOOSE_BOUNDARY = re.compile(r"\sboundary\s{0,9}=\s{0,9}\"?([^\s\";]{1,200})", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}")


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf, or an attached message, whose own leaves follow it. `start` and `end` are the place of its encoded octets in the message.
    `file_name` decoded, without directories; '' when it has none."""

    content_type: str
    disposition: str
    file_name: str
    charset: str
    encoding: str
    depth: int
    start: int
    end: int

    @property
    def extension(self) -> str:
        """Lower-case, without the dot; '' when there is none. Dots and blanks at the end fall off a name where most people save it."""
        stem, dot, extension = self.file_name.rstrip(". ").rpartition(".")
        return extension.strip().lower() if dot and stem else ""

    @property
    def is_attachment(self) -> bool:
        """Said to be one, or named, or nothing a mail program shows as the text of a message."""
        if self.disposition == "attachment" or self.file_name:
            return True
        return not self.content_type.startswith(("text/", "multipart/", "message/delivery-status", "message/disposition-notification"))

    def decoded(self, octets: bytes, limit: int) -> bytes:
        """At most about `limit` decoded octets of the part, from the octets of the message it was read from."""
        raw = octets[self.start : min(self.end, self.start + limit * 4 + 4096)]
        if self.encoding == "base64":
            return encoded.from_base64(raw)[:limit]
        if self.encoding == "quoted-printable":
            return binascii.a2b_qp(raw)[:limit]
        if self.encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
            return encoded.from_uuencode(raw)[:limit]
        return raw[:limit]


@dataclass(frozen=True, slots=True)
class Structure:
    """All leaves, the text of those that are text (HTML without its tags), what was wrong: words of 'parts', 'depth', 'boundary' (a multipart
    without a usable one), 'unclosed' (its end never came), 'header' (a part's header too large), 'hits'; and those leaves that are shown as HTML,
    each as a page (mail.markup)."""

    parts: tuple[Part, ...]
    text: str
    flaws: frozenset[str]
    pages: tuple[tuple[Part, Page], ...] = ()

    @property
    def attachments(self) -> tuple[Part, ...]:
        """The leaves that are attachments."""
        return tuple(part for part in self.parts if part.is_attachment)


class _Walk:
    """The state of one reading: what was found and what may still be spent."""

    __slots__ = ("entities", "flaws", "hits", "octets", "parts")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.parts: list[Part] = []
        self.flaws: set[str] = set()
        self.entities = 0
        self.hits = 0


def parse_structure(octets: bytes) -> Structure:
    """A whole message -> its Structure."""
    walk = _Walk(octets)
    _read(walk, 0, len(octets), 0, "text/plain")
    text, pages = _text(octets, walk.parts)
    return Structure(tuple(walk.parts), text, frozenset(walk.flaws), pages)


def _read(walk: _Walk, start: int, end: int, depth: int, default: str) -> None:
    """One entity (header, empty line, body) between two offsets."""
    walk.entities += 1
    if len(walk.parts) >= MAX_PARTS or walk.entities > MAX_ENTITIES:
        walk.flaws.add("parts")
        return
    head_end, body = _split(walk, start, end, depth)
    fields = _fields(walk.octets[start:head_end])
    content_type = _content_type(fields, default)
    if depth < MAX_DEPTH and content_type.startswith("multipart/"):
        boundary = _parameter(fields, "boundary", "content-type") or _loose_boundary(walk, fields)
        if boundary and len(boundary) <= 200:
            before = walk.entities
            _read_parts(walk, body, end, depth, boundary, "message/rfc822" if content_type == "multipart/digest" else "text/plain")
            if walk.entities == before:  # nothing was found where the boundary should be: mail programs show all of it as text
                walk.flaws.add("boundary")
                walk.flaws.discard("unclosed")
                walk.parts.append(Part("text/plain", "", "", "", "", depth, body, end))
            return
        walk.flaws.add("boundary")
    elif depth >= MAX_DEPTH:
        walk.flaws.add("depth")
    encoding = _field(fields, "content-transfer-encoding").strip().lower()[:40]
    disposition = _field(fields, "content-disposition").partition(";")[0].strip().lower()[:40]
    charset = _parameter(fields, "charset", "content-type")[:40]
    walk.parts.append(Part(content_type, disposition, _file_name(fields), charset, encoding, depth, body, end))
    if (
        content_type == "text/plain"
        and disposition != "attachment"
        and encoding in ("", "7bit", "8bit", "binary")
        and walk.octets.find(b"\nbegin ", max(0, body - 1), end) >= 0
    ):
        _read_uuencoded(walk, body, end, depth)
    if depth < MAX_DEPTH and content_type == "message/rfc822" and encoding not in ("base64", "quoted-printable"):
        _read(walk, body, end, depth + 1, "text/plain")  # an attached message is an attachment, and so is what is in it


def _split(walk: _Walk, start: int, end: int, depth: int) -> tuple[int, int]:
    """-> (end of the header that is looked at, start of the body)."""
    limit = MAX_PART_HEADER if depth else MAX_PART_HEADER * 16
    octets = walk.octets
    if octets.startswith(b"\r\n", start):
        return start, min(start + 2, end)
    if octets.startswith(b"\n", start):
        return start, min(start + 1, end)
    found = _HEAD_END.search(octets, start, min(end, start + limit))
    if found is None:
        if end - start > limit:
            walk.flaws.add("header")
            return start + limit, start + limit
        return end, end
    return found.start() + 1, found.end()


def _read_parts(walk: _Walk, start: int, end: int, depth: int, boundary: str, default: str) -> None:
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    octets = walk.octets
    part = -1  # where the part being read started; -1 is the preamble
    position = start
    while True:
        hit = octets.find(mark, position, end)
        if hit < 0:
            break
        walk.hits += 1
        if walk.hits > MAX_HITS:
            walk.flaws.add("hits")
            break
        position = hit + len(mark)
        if hit > start and octets[hit - 1 : hit] != b"\n":
            continue
        line_end = octets.find(b"\n", position, min(end, position + 200))
        tail = octets[position : line_end if line_end >= 0 else min(end, position + 200)].rstrip(b"\r")
        is_close = tail.startswith(b"--")
        if (tail[2:] if is_close else tail).strip(b" \t"):
            continue  # a longer boundary that begins like ours
        if part >= 0:
            stop = hit - 2 if octets[hit - 2 : hit] == b"\r\n" else hit - 1  # RFC 2046 5.1.1: the line end before belongs to the boundary
            _read(walk, part, max(part, stop), depth + 1, default)
        if is_close:
            return
        part = position = line_end + 1 if line_end >= 0 else end
        if "parts" in walk.flaws:
            return
    walk.flaws.add("unclosed")
    if part >= 0:
        _read(walk, part, end, depth + 1, default)


def _read_uuencoded(walk: _Walk, start: int, end: int, depth: int) -> None:
    """Files written into a text as people did before MIME, which some mail programs still show as attachments."""
    while len(walk.parts) < MAX_PARTS and (found := _UUENCODED.search(walk.octets, start, end)) is not None:
        stop = walk.octets.find(b"\nend", found.end() - 1, end)
        stop = end if stop < 0 else stop
        name = _bare_name(encoded.decode(found[1]))
        walk.parts.append(Part("application/octet-stream", "attachment", name, "", "x-uuencode", depth, found.start(), stop))
        start = max(stop, found.end())


class _Plain:
    """MIME fields as nearly every part has them, read in a tenth of the time: nothing quoted within quotes, encoded, continued or commented."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def get(self, name: str, default: str) -> str:
        return self._values.get(name, default)

    def get_param(self, name: str, default: str, header: str) -> str:
        for found in _PLAIN_PARAMETER.finditer(self._values.get(header, "")):
            if found[1].lower() == name:
                return found[2] if found[2] is not None else found[3]
        return default


def _plain(lines: list[bytes]) -> _Plain | None:
    """The fields when all of them are of the plain shape, else None."""
    values: dict[str, str] = {}
    for line in lines:
        if not line.isascii():
            return None
        name, colon, value = line.decode("ascii").partition(":")
        key, value = name.lower(), value.strip(" \t")
        if not colon or (key in _READ_FIELDS and not _PLAIN_VALUE.fullmatch(value)):
            return None
        values.setdefault(key, value)
    return _Plain(values)


def _fields(header: bytes) -> Fields | _Plain:
    """The MIME fields of a part; of other than the plain shape through the standard library, which is given nothing but those."""
    kept: list[bytes] = []
    keeps = False
    for line in header.split(b"\n")[:2000]:
        is_folded = line[:1] in (b" ", b"\t")
        keeps = keeps if is_folded else line[:8].lower() == b"content-"
        if keeps and is_folded and len(kept[-1]) < MAX_PART_HEADER:
            kept[-1] += line[:2000].rstrip(b"\r")  # unfolded here, because the parser leaves line ends in quoted values
        elif keeps and not is_folded and len(kept) < 50:
            kept.append(line[:2000].rstrip(b"\r"))
    if (plain := _plain(kept)) is not None:
        return plain
    try:
        return message_from_string(_text_of(b"\n".join(kept)) + "\n\n", policy=compat32)
    except Exception:  # the parser's own faults on hostile input (RecursionError, IndexError, ...): a part without fields
        return Fields(policy=compat32)


def _text_of(octets: bytes) -> str:
    """8-bit octets as the text they most likely are: the standard library makes question marks of them, also in the name of a file."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _field(fields: Fields | _Plain, name: str) -> str:
    try:
        return str(fields.get(name, ""))
    except Exception:  # see _fields
        return ""


def _content_type(fields: Fields | _Plain, default: str) -> str:
    value = _field(fields, "content-type").partition(";")[0].strip().lower()
    if not value:
        return default
    if _WORD.fullmatch(value):
        return value
    first = value.split(maxsplit=1)[0]  # "multipart/mixed boundary=x", of which lenient programs make parts all the same
    return first if first.startswith("multipart/") and _WORD.fullmatch(first) else "text/plain"  # RFC 2045 5.2


def _loose_boundary(walk: _Walk, fields: Fields | _Plain) -> str:
    """The boundary of a field that lacks the semicolon before it; '' for none."""
    found = _LOOSE_BOUNDARY.search(_field(fields, "content-type")[:2_000])
    if found is None:
        return ""
    walk.flaws.add("boundary")
    return found[1]


def _parameter(fields: Fields | _Plain, name: str, header: str) -> str:
    try:
        value = fields.get_param(name, "", header)
        if isinstance(value, tuple):
            charset, _, octets = value
            return encoded.to_text(str(octets).encode("latin-1", "replace"), charset or "").strip()
        return str(value).strip()
    except Exception:  # see _fields
        return ""


def _file_name(fields: Fields | _Plain) -> str:
    said, other = (_decoded_name(_parameter(fields, *of)) for of in (("filename", "content-disposition"), ("name", "content-type")))
    # Mail programs differ in which of two names they save a file by: the one that would run is the one to know.
    return other if not said or (other and _runs(other) and not _runs(said)) else said


def _decoded_name(name: str) -> str:
    return _bare_name(encoded.decode(name.encode("utf-8", "surrogateescape"))) if name else ""


def _bare_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].strip()[-MAX_FILE_NAME:]


def _runs(name: str) -> bool:
    return filetype.family_of(name.rstrip(". ").rpartition(".")[2].lower()) in ("program", "script", "shortcut")


def _text(octets: bytes, parts: list[Part]) -> tuple[str, tuple[tuple[Part, Page], ...]]:
    pieces: list[str] = []
    pages: list[tuple[Part, Page]] = []
    left = MAX_TEXT
    for part in parts:
        if left <= 0:
            break
        if not part.content_type.startswith("text/") or part.disposition == "attachment":
            continue
        try:
            text = encoded.to_text(part.decoded(octets, left), part.charset)
        except (binascii.Error, ValueError):
            continue
        left -= len(text)
        if part.content_type == "text/html":
            page = read_page(text)
            pages.append((part, page))
            text = page.text
        pieces.append(text)
    return "\n".join(pieces), tuple(pages)
