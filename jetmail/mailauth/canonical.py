"""Canonical forms of header fields and bodies (RFC 6376 3.4), and the hash of a body as it streams by. Pure, linear in its input.

Lines end in CRLF, as everything that comes by SMTP does here; a bare CR or LF is an octet like any other. `hash_bodies` reads the chunks once for all
forms that are asked for and keeps no more of them than a chunk: 25 MB cost no copy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

Fields = tuple[tuple[bytes, bytes], ...]  # (lower-case name, raw field), top to bottom: mail.message.Message.fields
BodyForm = tuple[str, int | None]  # ('simple' or 'relaxed', the octets of l= or None for all)

_WHITE = re.compile(rb"[ \t\r\n]+")
_BLOCK = b"\r\n" * 4096


def header_field(raw: bytes, form: str) -> bytes:
    """One raw field in canonical form, with its CRLF."""
    if form == "simple":
        return raw if raw.endswith(b"\r\n") else raw.rstrip(b"\r\n") + b"\r\n"
    name, _, value = raw.partition(b":")
    if b"\x0b" in value or b"\x0c" in value:  # white space to split(), but not to RFC 5322
        value = _WHITE.sub(b" ", value).strip(b" ")
    else:
        value = b" ".join(value.split())
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


class BodyHash:
    """SHA-256 of one body in one form. `octets` counts the canonical body, cut or not."""

    def __init__(self, form: str, length: int | None = None) -> None:
        self._relaxed = form == "relaxed"
        self._left = length
        self._hash = hashlib.sha256()
        self._held = b""  # the end of what came, which only its successor can settle: one space, a CR, or both
        self._lines = 0  # empty lines that count only when something follows them
        self.octets = 0

    def update(self, chunk: bytes) -> None:
        """The next octets of the body."""
        piece = self._held + chunk
        if self._relaxed:
            if b"\t" in piece:
                piece = piece.replace(b"\t", b" ")
            while b"  " in piece:  # a run gets 16 times shorter each time round: at most five for a chunk, and ten times faster than an expression
                piece = piece.replace(b"        ", b" ").replace(b"  ", b" ")
            if b" \r\n" in piece:
                piece = piece.replace(b" \r\n", b"\r\n")
        held = 0
        if piece.endswith(b"\r"):
            held = 1
        if self._relaxed and piece.endswith((b" ", b" \r")):
            held += 1
        self._held = piece[len(piece) - held :] if held else b""
        self._settled(piece[: len(piece) - held] if held else piece)

    def digest(self) -> bytes:
        """The hash, when everything has come."""
        rest = self._held.rstrip(b" ") if self._relaxed else self._held
        if rest:
            self._settled(rest)
        self._held = b""
        if self.octets or not self._relaxed:
            self._feed(b"\r\n")
        return self._hash.digest()

    def _settled(self, piece: bytes) -> None:
        """Octets that no later one changes: empty lines at their end wait, the rest is hashed. What is hashed ends before its last CRLF."""
        text = piece.rstrip(b"\r\n")
        end = len(piece)
        tail = piece[len(text) :]
        if tail.endswith(b"\n"):
            broken = max(tail.rfind(b"\r\r"), tail.rfind(b"\n\n"))
            begin = broken + 1
            if tail[begin : begin + 1] == b"\n":
                begin += 1
            end = len(text) + begin
        if end:
            if self._lines:
                self._feed_lines()
            self._feed(piece if end == len(piece) else piece[:end])
        self._lines += (len(piece) - end) // 2

    def _feed_lines(self) -> None:
        left, self._lines = self._lines, 0
        while left > 0:
            self._feed(_BLOCK[: 2 * left])
            left -= 4096

    def _feed(self, octets: bytes) -> None:
        self.octets += len(octets)
        if self._left is None:
            self._hash.update(octets)
        elif self._left:
            self._hash.update(octets[: self._left])
            self._left -= min(self._left, len(octets))


def hash_bodies(chunks: Iterable[bytes], forms: Iterable[BodyForm]) -> dict[BodyForm, tuple[bytes, int]]:
    """{form: (hash, octets of the whole canonical body)}, reading the body once."""
    hashes = {form: BodyHash(*form) for form in forms}
    if hashes:
        for chunk in chunks:
            for each in hashes.values():
                each.update(chunk)
    return {form: (each.digest(), each.octets) for form, each in hashes.items()}


class HeaderForms:
    """The fields of one message, picked from the bottom as h= names them, each put into relaxed form once for however many signatures."""

    def __init__(self, fields: Fields) -> None:
        self._by_name: dict[bytes, list[int]] = {}
        for index, (name, _) in enumerate(fields):
            if name:
                self._by_name.setdefault(name, []).append(index)
        self._fields = fields
        self._relaxed: dict[int, bytes] = {}

    def pick(self, names: Iterable[bytes], form: str) -> list[bytes]:
        """Canonical fields in the order of `names` (lower-case): each mention takes the next one up, one too many takes nothing (5.4.2)."""
        used: dict[bytes, int] = {}
        picked = []
        for name in names:
            places = self._by_name.get(name)
            if places is None:
                continue
            count = used.get(name, 0)
            if count < len(places):
                used[name] = count + 1
                picked.append(self._form(places[-1 - count], form))
        return picked

    def _form(self, index: int, form: str) -> bytes:
        if form == "simple":
            return header_field(self._fields[index][1], form)
        made = self._relaxed.get(index)
        if made is None:
            made = self._relaxed[index] = header_field(self._fields[index][1], form)
        return made


def without_signature(raw: bytes) -> bytes:
    """A signature's own field with the value of its b= emptied and no final line end: the last thing that is hashed (3.7)."""
    name, colon, value = raw.partition(b":")
    parts = value.rstrip(b"\r\n").split(b";")
    for index, part in enumerate(parts):
        tag, equals, _ = part.partition(b"=")
        if equals and tag.strip(b" \t\r\n") == b"b":
            parts[index] = tag + equals
    return name + colon + b";".join(parts)


def tags(value: bytes, most: int = 100) -> dict[str, bytes] | None:
    """A tag list (3.2) with folding white space taken off the ends; None when it is none, or names a tag twice."""
    found: dict[str, bytes] = {}
    parts = value.split(b";", most + 1)
    if len(parts) > most:
        return None
    if not parts[-1].strip():
        parts.pop()
    for part in parts:
        tag, equals, content = part.partition(b"=")
        name = tag.strip(b" \t\r\n")
        if not equals or not _is_tag(name):
            return None
        key = name.decode("ascii")
        if key in found:
            return None
        found[key] = content.strip(b" \t\r\n")
    return found


def _is_tag(name: bytes) -> bool:
    return 0 < len(name) <= 40 and name[:1].isalpha() and name.replace(b"_", b"a").isalnum()


def no_white(value: bytes) -> bytes:
    """Base64 and lists with the white space they may be folded with taken out."""
    return b"".join(value.split())


class Hasher:
    """SHA-256 over canonical header fields, for one signature."""

    def __init__(self, base: Any = None) -> None:
        self._hash = base.copy() if base is not None else hashlib.sha256()

    def add(self, *pieces: bytes) -> Hasher:
        """More octets."""
        for piece in pieces:
            self._hash.update(piece)
        return self

    def fork(self) -> Hasher:
        """A second one that goes on from here."""
        return Hasher(self._hash)

    def digest(self) -> bytes:
        """Of everything so far."""
        return bytes(self._hash.digest())
