"""The content of one message as it streams in, by DATA or by BDAT, under its limits (RFC 5321 4.5.3.1.6-7, RFC 3030, RFC 1870).

`read(octets)` takes what has arrived and returns what of it is content to hand on. A fault (too big, a line too long, a bare CR or LF) is kept
in `refusal`, from where on nothing is handed on and the rest is only counted: the caller says it when the sender is ready to hear it. `is_fatal`
means the connection must end now: after a bare CR or LF in DATA nobody can tell where the message ends (SMTP smuggling), and after `overrun` octets
too many the sender is abusing us.

The order of faults is fixed, so that the answer does not depend on how the stream was cut: a bare line end, then the size, then the line length.
"""

from __future__ import annotations

from jetmail.mail.reply import Reply
from jetmail.smtp import answers
from jetmail.smtp.lines import DotReader, LineEnds, LineLength, crlf_only


class Content:
    """What DATA and BDAT have in common: the count and the limits."""

    __slots__ = ("_length", "_max_size", "_overrun", "is_fatal", "refusal", "size")

    def __init__(self, max_size: int, overrun: int, max_text_line: int) -> None:
        self.size = 0
        self.refusal: Reply | None = None
        self.is_fatal = False
        self._max_size = max_size
        self._overrun = overrun
        self._length = LineLength(max_text_line)

    def refuse(self, reply: Reply) -> None:
        """Someone else does not want it: count the rest, then say `reply`. A fault found earlier stands."""
        if self.refusal is None:
            self.refusal = reply

    def _judge(self, content: bytes) -> None:
        self.size += len(content)
        if self.size > self._max_size:
            if self.refusal is not answers.BARE_CHUNK:
                self.refusal = answers.TOO_BIG
            self.is_fatal = self.size > self._max_size + self._overrun
        if not self._length.feed(content) and self.refusal is None:
            self.refusal = answers.TEXT_LINE_TOO_LONG


class DataContent(Content):
    """Content sent by DATA."""

    __slots__ = ("_reader",)

    def __init__(self, max_size: int, overrun: int, max_text_line: int) -> None:
        super().__init__(max_size, overrun, max_text_line)
        self._reader = DotReader()

    def read(self, octets: bytes) -> tuple[bytes, int]:
        """(content to hand on, index past the end of data or -1)."""
        content, end = self._reader.feed(octets)
        if not crlf_only(content):
            self.refusal = answers.BARE_CONTENT
            self.is_fatal = True
            return b"", end
        self._judge(content)
        return (b"" if self.refusal else content), end


class BdatContent(Content):
    """Content sent by one or more BDAT. `left` octets of the current chunk are still to come; `last` is said of it."""

    __slots__ = ("_ends", "_final", "last", "left")

    def __init__(self, max_size: int, overrun: int, max_text_line: int) -> None:
        super().__init__(max_size, overrun, max_text_line)
        self._ends = LineEnds()
        self._final = b""  # the last two octets so far
        self.left = 0
        self.last = False

    def begin(self, size: int, last: bool) -> None:
        """A BDAT command: `size` octets follow."""
        self.left = size
        self.last = last
        # Said before it came: no need to read it all to know.
        if self.size + size > self._max_size + self._overrun:
            self.refusal = answers.TOO_BIG
            self.is_fatal = True

    def read(self, octets: bytes) -> bytes:
        """Content to hand on; `octets` are at most `left`."""
        self.left -= len(octets)
        if not self._ends.feed(octets):
            self.refusal = answers.BARE_CHUNK
        self._judge(octets)
        self._final = (self._final + octets[-2:])[-2:]
        return b"" if self.refusal else octets

    def finish(self) -> bytes:
        """After the last octet of the last chunk: the CRLF that a message without a final line end is given, so that content always ends a line."""
        if not self._ends.finish():
            self.refusal = answers.BARE_CHUNK
        return b"" if self.refusal or self._final in (b"\r\n", b"") else b"\r\n"
