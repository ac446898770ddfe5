"""Content on its way out: line ends made whole, dots doubled, over any split into pieces (RFC 5321 4.5.2, 2.3.8).

What leaves has CRLF line ends only and ends with one. A bare CR or LF becomes CRLF: our own receiving side never accepts such content, so it can only
come from content made or imported here, and sent as it is it could end DATA early at a peer that takes LF for a line end (SMTP smuggling).
The result depends on the octets alone, never on how they were cut.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


class LineEnds:
    """Makes line ends whole. `feed` returns what can leave, `finish` the rest, ending the last line."""

    __slots__ = ("_open", "_pending")

    def __init__(self) -> None:
        self._open = False  # the last line that left has no end yet
        self._pending = False  # a CR was held back: its LF may be in the next piece

    def feed(self, octets: bytes) -> bytes:
        if self._pending:
            octets = b"\r" + octets
        self._pending = octets.endswith(b"\r")
        if self._pending:
            octets = octets[:-1]
        pairs = octets.count(b"\r\n")
        if pairs != octets.count(b"\n") or pairs != octets.count(b"\r"):
            octets = _LINE_END.sub(b"\r\n", octets)
        if octets:
            self._open = not octets.endswith(b"\n")
        return octets

    def finish(self) -> bytes:
        ended = self._pending or self._open
        self._pending = self._open = False
        return b"\r\n" if ended else b""


class Stuffer:
    """Content as DATA wants it. `feed` returns what can leave, `finish` the rest with the final dot."""

    __slots__ = ("_ends", "_fresh")

    def __init__(self) -> None:
        self._ends = LineEnds()
        self._fresh = True  # the next octet starts a line

    def feed(self, octets: bytes) -> bytes:
        octets = self._ends.feed(octets)
        if not octets:
            return b""
        dotted = octets.replace(b"\n.", b"\n..")
        if self._fresh and octets.startswith(b"."):
            dotted = b"." + dotted
        self._fresh = octets.endswith(b"\n")
        return dotted

    def finish(self) -> bytes:
        self._fresh = True
        return self._ends.finish() + b".\r\n"


def stuff(content: bytes) -> bytes:
    """All of a content in one go."""
    stuffer = Stuffer()
    return stuffer.feed(content) + stuffer.finish()
