"""An SMTP reply as a value, the same for the ones we give and the ones we get (RFC 5321 4.2, RFC 2034, RFC 3463).

`str(reply)` is one line for logs and databases, `reply.wire` the bytes for the peer. Text is ASCII on the wire unless the peer asked for
SMTPUTF8 replies; anything else is replaced, and control characters never get through (no reply can carry a second line by accident).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")
MAX_TEXT = 480  # RFC 5321 4.5.3.1.5: 512 octets a reply line with code and CRLF


@dataclass(frozen=True)
class Reply:
    """`code` 200-599, `enhanced` like '5.1.1' or '' where the RFC wants none (RFC 2034: not on 3xx, greeting, EHLO), `text` with '\\n' between
    lines."""

    code: int
    enhanced: str = ""
    text: str = ""

    @cached_property
    def wire(self) -> bytes:
        """The reply as octets with every line ended by CRLF."""
        prefix = self.enhanced + " " if self.enhanced else ""
        if self.text.isascii() and self.text.isprintable() and len(self.text) <= MAX_TEXT:
            return f"{self.code} {prefix}{self.text}\r\n".encode()
        lines = [_UNSAFE.sub(" ", line)[:MAX_TEXT] for line in self.text.split("\n")]
        last = len(lines) - 1
        return b"".join(
            f"{self.code}{'-' if index < last else ' '}{prefix}{line}".encode("ascii", "replace") + b"\r\n" for index, line in enumerate(lines)
        )

    def __str__(self) -> str:
        text = self.text.replace("\n", " ")
        return f"{self.code}{' ' if self.enhanced else ''}{self.enhanced}{' ' if text else ''}{text}"

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx: try again later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: never try again."""
        return self.code >= 500

    @classmethod
    def parse(cls, code: int, lines: list[str]) -> Reply:
        """A peer's reply: `lines` are its texts without codes; the enhanced code is lifted out of them where present and of the same class."""
        found = _ENHANCED.match(lines[0]) if lines else None
        if found is None or found[1][0] != str(code)[0]:
            return cls(code, "", "\n".join(lines))
        head = found[1] + " "
        return cls(code, found[1], "\n".join(line[len(head) :] if line.startswith(head) else line for line in lines).removeprefix(found[1]))
