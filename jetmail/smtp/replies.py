"""A peer's replies, read from octets in any pieces (RFC 5321 4.2, 4.5.3.1.5).

Lines may end in LF alone, as some peers send them; text that is no UTF-8 is kept with replacement marks, without control characters. A line past
2,048 octets, a reply past 128 lines, a code outside 200-599 or one that changes within a reply raises GarbledReply: what follows cannot be trusted
and the connection must end.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # of terminals, lines and text direction
MAX_LINE = 2048  # RFC 5321 4.5.3.1.5 asks for 512; peers with long texts exist
MAX_LINES = 128


class GarbledReply(Exception):
    """What the peer sent is no SMTP reply; `str()` says why."""


class ReplyReader:
    """`add` octets, then `next` until it returns None. `is_empty`: nothing is waiting, not even part of a line."""

    __slots__ = ("_buffer", "_code", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[str] = []

    @property
    def is_empty(self) -> bool:
        return not self._buffer and not self._lines

    def add(self, octets: bytes) -> None:
        """Octets as they came. Never keeps more than they and one reply's worth."""
        self._buffer = self._buffer + octets if self._buffer else octets

    def next(self) -> tuple[int, list[str]] | None:
        """The next whole reply as (code, lines of text), or None when more octets are needed. Raises GarbledReply."""
        buffer = self._buffer
        start = 0
        while True:
            end = buffer.find(b"\n", start)
            if end < 0:
                if len(buffer) - start > MAX_LINE:
                    raise GarbledReply("a reply line is too long")
                self._buffer = buffer[start:] if start else buffer
                return None
            if end - start > MAX_LINE:
                raise GarbledReply("a reply line is too long")
            line = buffer[start:end]
            start = end + 1
            digits = line[:3]
            if not digits.isdigit() or len(digits) < 3 or not b"200" <= digits < b"600":
                raise GarbledReply("a reply line has no code")
            code = int(digits)
            mark = line[3:4]
            if self._lines and code != self._code:
                raise GarbledReply("the code changes within a reply")
            text = line[4:].rstrip(b"\r").decode("utf-8", "replace")
            if not text.isprintable():
                text = _CONTROL.sub(" ", text)
            if mark == b"-":
                if len(self._lines) >= MAX_LINES - 1:
                    raise GarbledReply("a reply has too many lines")
                self._code = code
                self._lines.append(text)
            elif mark in (b" ", b"", b"\r"):
                lines = [*self._lines, text] if self._lines else [text]
                self._lines = []
                self._buffer = buffer[start:]
                return code, lines
            else:
                raise GarbledReply("a reply line has no separator after its code")

