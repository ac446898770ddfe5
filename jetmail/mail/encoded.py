"""Text in header fields: RFC 2047 encoded words and raw octets to characters, guarded.

Never raises. Charsets come from a closed table made at import, because Python's own look-up imports modules by the stranger's word, remembers
every unknown name for ever, and has codecs (idna, punycode, unicode_escape) that are no charsets of text or are quadratic.
"""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases

MAX_VALUE = 16 * 1024  # octets of one field value that are decoded

_NO_TEXT = {
    "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec",
    "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "tactis",
}  # fmt: skip
_CHARSETS = {name.replace("_", ""): codec for name, codec in aliases.items() if codec not in _NO_TEXT}
_CHARSETS |= {codec.replace("_", ""): codec for codec in aliases.values() if codec not in _NO_TEXT}
# What senders mean by these names, as browsers found out.
_CHARSETS |= {"utf8": "utf_8", "unicode11utf8": "utf_8", "utf8mb4": "utf_8", "ascii": "utf_8", "usascii": "utf_8"}
_CHARSETS |= {"iso88591": "cp1252", "latin1": "cp1252", "iso88598i": "iso8859_8", "gb2312": "gb18030", "gbk": "gb18030"}

_WORD = re.compile(r"=\?([A-Za-z0-9._:+-]{1,40})(?:\*[A-Za-z0-9-]{1,20})?\?([bBqQ])\?([^?]{0,4000})\?=")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]+")
_SURROGATE = re.compile("[\ud800-\udfff]")  # the one codec that lets them through, and nobody downstream can encode them
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_Q = re.compile(rb"=([0-9A-Fa-f]{2})")


def charset(name: str) -> str | None:
    """The codec for a charset's name, None when it is unknown."""
    if len(name) > 40:
        return None
    return _CHARSETS.get(re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("x"), _CHARSETS.get(re.sub(r"[^a-z0-9]", "", name.lower())))


def to_text(octets: bytes, name: str = "") -> str:
    """Octets in the charset of that name; UTF-8 where it says nothing and they are, else Windows-1252. Wrong octets become U+FFFD."""
    codec = charset(name) if name else None
    if codec is not None and codec != "utf_8":
        try:
            text = octets.decode(codec, "replace")
            return _SURROGATE.sub("\ufffd", text) if codec == "utf_7" else text
        except (LookupError, UnicodeError, ValueError):
            pass
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("utf-8" if codec else "cp1252", "replace")


def plain(value: bytes) -> str:
    """A value unfolded, as characters, control characters turned into spaces; encoded words left as they are."""
    if not value:
        return ""
    if len(value) > MAX_VALUE:
        value = value[:MAX_VALUE]
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return _CONTROL.sub(" ", value.decode("ascii") if value.isascii() else to_text(value)).strip()


def decode(value: bytes) -> str:
    """A value for people: unfolded, encoded words decoded (RFC 2047), no control characters."""
    text = plain(value)
    return _CONTROL.sub(" ", decode_words(text)).strip() if "=?" in text else text


def decode_words(text: str) -> str:
    """Encoded words in a text; what is none, or lies, stays as written. Octets of neighbours in one charset are joined before decoding, because
    mailers split characters across words against RFC 2047 5."""
    pieces: list[str] = []
    pending = b""
    pending_charset = ""
    position = 0
    for found in _WORD.finditer(text):
        between = text[position : found.start()]
        octets = _word(found[2], found[3])
        name = found[1].lower()
        if pending_charset and not between.strip() and name == pending_charset:
            pending += octets
        else:
            if pending_charset:
                pieces.append(to_text(pending, pending_charset))
            if not pending_charset or between.strip():
                pieces.append(between)
            pending, pending_charset = octets, name
        position = found.end()
    if pending_charset:
        pieces.append(to_text(pending, pending_charset))
    pieces.append(text[position:])
    return "".join(pieces)


def _word(encoding: str, content: str) -> bytes:
    octets = content.encode("utf-8", "replace")
    return from_base64(octets) if encoding in "bB" else _Q.sub(lambda found: bytes((int(found[1], 16),)), octets.replace(b"_", b" "))


def from_uuencode(octets: bytes) -> bytes:
    """What uuencode made, from its begin line or the line after it; lines that are none are left out."""
    pieces = []
    for line in octets.split(b"\n"):
        if line[:6] == b"begin " or not line.strip():
            continue
        if line[:3] == b"end":
            break
        try:
            pieces.append(binascii.a2b_uu(line.rstrip(b"\r")))
        except binascii.Error:
            continue
    return b"".join(pieces)


def from_base64(octets: bytes) -> bytes:
    """Base64 with its garbage ignored and its padding repaired; a lone last character is dropped."""
    try:
        return binascii.a2b_base64(octets.replace(b"\r\n", b""), strict_mode=True)  # as nearly all of it is
    except binascii.Error:
        clean = _NOT_BASE64.sub(b"", octets)
    extra = len(clean) % 4
    return binascii.a2b_base64(clean[: len(clean) - 1] if extra == 1 else clean + b"=" * (-len(clean) % 4))
