"""Line ends and dots of mail content, over any split of the stream (RFC 5321 2.3.8, 4.5.2; RFC 3030).

Nothing here looks at single lines: a chunk is judged by counting its CR, LF and CRLF, and dots are removed by one replacement, so the cost does not
depend on how the sender breaks its lines. What is carried from chunk to chunk is at most four octets and one number: no line is ever buffered.

Raises nothing: a fault is a value the caller turns into a reply.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"


class LineEnds:
    """CR and LF as CRLF only, over any split? `feed` returns False for ever once that is broken; `finish` also counts a CR left alone."""

    __slots__ = ("_after_cr", "intact")

    def __init__(self) -> None:
        self._after_cr = False
        self.intact = True

    def feed(self, octets: bytes) -> bool:
        """Look at the next octets."""
        if not octets or not self.intact:
            return self.intact
        if self._after_cr:
            octets = b"\r" + octets
        self._after_cr = octets[-1] == 13
        self.intact = crlf_only(octets[:-1] if self._after_cr else octets)
        return self.intact

    def finish(self) -> bool:
        """No octets follow."""
        self.intact = self.intact and not self._after_cr
        return self.intact


class LineLength:
    """Is every line at most `limit` octets, its CRLF included? `feed` returns False for ever once one was longer."""

    __slots__ = ("_column", "_limit", "within")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._column = 0  # octets of the unfinished line
        self.within = True

    def feed(self, octets: bytes) -> bool:
        """Look at the next octets."""
        size = len(octets)
        if self.within and self._column + size > self._limit:
            # Leap from LF to the last LF within reach: as many steps as limits fit into the chunk, whatever the number of lines.
            start = -self._column
            while size - start > self._limit:
                found = octets.rfind(b"\n", max(start, 0), start + self._limit)
                if found < 0:
                    self.within = False
                    return False
                start = found + 1
        last = octets.rfind(b"\n")
        self._column = self._column + size if last < 0 else size - last - 1
        return self.within


class DotReader:
    """The content of DATA: finds the line with a single dot that ends it and removes the dot every other line that starts with one was given.

    `feed(octets)` returns (content, end): content whose line ends are whole (a CRLF is never split between two pieces, so each piece can be judged
    alone), and the index in `octets` just past the end of data, or -1 when it has not come yet. The CRLF before the single dot is content. After the
    end, feed no more.
    """

    __slots__ = ("_held", "_started")

    def __init__(self) -> None:
        self._held = b"\r\n"  # DATA begins at the start of a line, as if a CRLF had just passed
        self._started = False

    def feed(self, octets: bytes) -> tuple[bytes, int]:
        """The next octets of the stream."""
        held = len(self._held)
        stream = self._held + octets if held else octets
        dot = stream.find(b"\r\n.")  # the first line that begins with a dot: mostly it is the one that ends it all, and one look has told everything
        if dot >= 0:
            end = dot if stream.startswith(b"\r\n", dot + 3) else stream.find(_END, dot)
            if end >= 0:
                return self._content(stream[: end + 2], dot < end), end + len(_END) - held
        # Keep back what may turn out to be the start of the end of data, or half a CRLF.
        keep = 0
        if stream.endswith(b"\r\n.\r"):
            keep = 4
        elif stream.endswith(b"\r\n."):
            keep = 3
        elif stream.endswith(b"\r\n"):
            keep = 2
        elif stream.endswith(b"\r"):
            keep = 1
        self._held = stream[-keep:] if keep else b""
        return self._content(stream[:-keep] if keep else stream, dot >= 0), -1

    def _content(self, stream: bytes, has_dots: bool) -> bytes:
        if not stream:
            return b""
        content = stream.replace(b"\r\n.", b"\r\n") if has_dots else stream
        if self._started:
            return content
        self._started = True
        return content[2:]


def crlf_only(octets: bytes) -> bool:
    """True when CR and LF occur in `octets` as CRLF only."""
    line_ends = octets.count(b"\r\n")
    return octets.count(b"\n") == line_ends and octets.count(b"\r") == line_ends
