"""A letter as values -> a message as octets: what programs that know no MIME send (RFC 5322, 2045-2047, 2183, 2231, 2387, 6532).

Promises
- `compose` is a pure function. Lines end in CRLF and have at most 998 octets; everything is 7-bit but addresses whose local part is not, which make
  the header UTF-8 (`Letter.is_utf8`) and need SMTPUTF8.
- No value of a letter can begin a header field or a part of its own: a control character in what stands in the header is a ValueError, and the
  boundary is one nobody can foresee.
- What was put in is what is read out: subject, names, texts (line ends as CRLF, the last line ended), file names, octets of attachments.
- Bcc is no part of a letter. Date and Message-ID are for the caller to put into `headers`.

Raises ValueError for what only a caller that did not check can ask for; the API checks first, with the name of the field.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jetmail.mail.address import Address

MAX_LINE = 76
MAX_WORD = 700  # octets of a word in a header that are written as they are; RFC 5322 2.1.1 allows a line 998
MAX_VALUE = 2_000  # characters of a header value
MAX_HEADER_NAME = 76
CRLF = b"\r\n"
_WORD_OCTETS = 39  # of text in one encoded word: with 'Reply-To: ' before it the line has less than 76 characters (RFC 2047 2)

_ATOM_WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029\ud800-\udfff]")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_SAFE_FILE_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~ ()@,=-]{1,60}")
_TOKEN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")  # RFC 2231 attribute-char
_UNSAFE_LINE = re.compile(rb"[^\n]{77}|[ \t]\n|\0")


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in From, To, Cc or Reply-To."""

    address: Address
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """`content_type` like 'application/pdf'. `cid`: the HTML shows it as 'cid:...', so it goes along with it inline."""

    name: str
    content_type: str
    data: bytes
    cid: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """`headers` are further fields, unstructured. At least one of `text` and `html` is not None."""

    author: Party
    to: tuple[Party, ...] = ()
    cc: tuple[Party, ...] = ()
    reply_to: tuple[Party, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def is_utf8(self) -> bool:
        """An address stands in the header that is not ASCII (RFC 6532)."""
        return not all(party.address.is_ascii for party in (self.author, *self.to, *self.cc, *self.reply_to))


@dataclass(frozen=True, slots=True)
class _Part:
    """Header lines and body of one part; the body ends with CRLF."""

    header: tuple[bytes, ...]
    body: bytes


def compose(letter: Letter, boundary: str) -> bytes:
    """The whole message. `boundary`: 16 to 50 letters and digits nobody can foresee."""
    inline = [item for item in letter.attachments if item.cid and letter.html is not None]
    attached = [item for item in letter.attachments if not (item.cid and letter.html is not None)]
    bodies: list[_Part] = []
    if letter.text is not None:
        bodies.append(_text(letter.text, "plain"))
    if letter.html is not None:
        html = _text(letter.html, "html")
        bodies.append(_multipart('related; type="text/html"', [html, *map(_attachment, inline)], "r" + boundary) if inline else html)
    if not bodies:
        bodies.append(_text("", "plain"))
    part = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, "a" + boundary)
    if attached:
        part = _multipart("mixed", [part, *map(_attachment, attached)], "m" + boundary)
    header = [_parties("From", (letter.author,))]
    if not letter.to and not letter.cc:
        header.append(b"To: undisclosed-recipients:;")
    header += [_parties(name, parties) for name, parties in (("To", letter.to), ("Cc", letter.cc), ("Reply-To", letter.reply_to)) if parties]
    header.append(unstructured("Subject", letter.subject))
    header += [unstructured(name, value) for name, value in letter.headers]
    header += [b"MIME-Version: 1.0", *part.header]
    return CRLF.join(header) + CRLF * 2 + part.body


def is_plain(text: str) -> bool:
    """Whether it may stand in a header: no control character, no line end, no half of a character."""
    return not _CONTROL.search(text)


def unstructured(name: str, value: str) -> bytes:
    """One field of free text, folded; encoded words where it is not plain ASCII, and where folding would change it."""
    if not _FIELD_NAME.fullmatch(name) or not is_plain(value) or len(value) > MAX_VALUE:
        raise ValueError(f"no header field can be made of {name[:80]!r}")
    words = value.split(" ")
    is_exact = value.isascii() and "=?" not in value and all(words) and max(map(len, words)) <= MAX_WORD
    return _folded(name, words if is_exact else encoded_words(value) if value else [])


def encoded_words(text: str) -> list[str]:
    """RFC 2047: words of 64 characters at most, none of which splits a character."""
    words, start = [], 0
    while start < len(text):
        end = start
        size = 0
        while end < len(text) and size + (width := len(text[end].encode("utf-8"))) <= _WORD_OCTETS:
            size += width
            end += 1
        words.append("=?utf-8?B?" + binascii.b2a_base64(text[start:end].encode("utf-8"), newline=False).decode("ascii") + "?=")
        start = end
    return words


def _parties(field: str, parties: Sequence[Party]) -> bytes:
    words: list[str] = []
    for index, party in enumerate(parties):
        made = [*_phrase(party.name), f"<{party.address}>"] if party.name else [str(party.address)]
        made[-1] += "," if index < len(parties) - 1 else ""
        words += made
    return _folded(field, words)


def _phrase(name: str) -> list[str]:
    """A display name as words between which a line may be folded."""
    if not is_plain(name) or len(name) > MAX_VALUE:
        raise ValueError("no display name can be made of that")
    if not name.isascii() or "=?" in name or name != " ".join(name.split()) or len(name) > MAX_WORD // 2:
        return encoded_words(name)
    if _ATOM_WORDS.fullmatch(name):
        return name.split(" ")
    return ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"']


def _folded(name: str, words: Iterable[str]) -> bytes:
    lines, line = [], name + ":"
    is_first = True  # of its line: a line of nothing but a name and a colon is legal, and some readers lose it
    for word in words:
        if not is_first and len(line) + 1 + len(word) > MAX_LINE:
            lines.append(line)
            line = ""
        line += " " + word
        is_first = False
    return "\r\n".join([*lines, line]).encode("utf-8")


def _text(text: str, kind: str) -> _Part:
    octets = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8")
    if not octets.endswith(b"\n"):
        octets += b"\n"
    header = b"Content-Type: text/%s; charset=utf-8" % kind.encode("ascii")
    if octets.isascii() and not _UNSAFE_LINE.search(octets):
        return _Part((header, b"Content-Transfer-Encoding: 7bit"), octets.replace(b"\n", CRLF))
    if len(octets) > 3 * len(octets.translate(None, bytes(range(128, 256)))) // 2:
        return _Part((header, b"Content-Transfer-Encoding: base64"), _base64(octets.replace(b"\n", CRLF)))
    return _Part((header, b"Content-Transfer-Encoding: quoted-printable"), binascii.b2a_qp(octets).replace(b"\n", CRLF))


def _base64(octets: bytes) -> bytes:
    text = binascii.b2a_base64(octets, newline=False)
    return b"".join([text[start : start + MAX_LINE] + CRLF for start in range(0, len(text), MAX_LINE)]) or CRLF


def _attachment(item: Attachment) -> _Part:
    header = [b"Content-Type: " + _checked(item.content_type), b"Content-Transfer-Encoding: base64"]
    header.append(b"Content-Disposition: " + (b"inline" if item.cid else b"attachment") + _file_name(item.name))
    if item.cid:
        header.append(b"Content-ID: <" + _checked(item.cid) + b">")
    return _Part(tuple(header), _base64(item.data))


def _checked(value: str) -> bytes:
    if not value.isascii() or not value.isprintable() or len(value) > 250:
        raise ValueError("a part's header must be printable ASCII")
    return value.encode("ascii")


def _file_name(name: str) -> bytes:
    """The parameter, with what goes before it; RFC 2231 where it is not plain or long."""
    if not name:
        return b""
    if _SAFE_FILE_NAME.fullmatch(name) and name == name.strip():
        return b';\r\n filename="' + name.encode("ascii") + b'"'
    encoded = "".join(chr(octet) if octet in _TOKEN else f"%{octet:02X}" for octet in name.encode("utf-8"))
    pieces = re.findall(r"(?:%..|[^%]){1,18}", encoded)
    if len(pieces) == 1:
        return b";\r\n filename*=utf-8''" + encoded.encode("ascii")
    pieces[0] = "utf-8''" + pieces[0]
    return "".join(f";\r\n filename*{index}*={piece}" for index, piece in enumerate(pieces)).encode("ascii")


def _multipart(kind: str, parts: Sequence[_Part], boundary: str) -> _Part:
    # '=_' is found in no quoted-printable and no base64 (RFC 2045 6.7), and the rest in no plain text, as nobody can foresee it.
    mark = b"=_" + boundary.encode("ascii")
    body = b"".join(b"--" + mark + CRLF + CRLF.join(part.header) + CRLF * 2 + part.body + CRLF for part in parts)  # the last CRLF is the mark's
    header = b'Content-Type: multipart/%s;\r\n boundary="%s"' % (kind.encode("ascii"), mark)
    return _Part((header,), body + b"--" + mark + b"--" + CRLF)
