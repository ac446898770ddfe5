"""What a peer's EHLO offers, as the client side needs it (RFC 5321 4.1.1.1; keywords are case-insensitive).

`parse` is total: a keyword with a parameter that makes no sense counts as offered without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extensions:
    """`size`: None when not offered, 0 when offered without a limit (RFC 1870). `rcptmax`: LIMITS RCPTMAX (RFC 9422) or None. `auth`: upper-case
    mechanisms. `extended` False: only HELO was understood."""

    extended: bool = False
    pipelining: bool = False  # RFC 2920
    size: int | None = None
    eightbit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    dsn: bool = False  # RFC 3461
    chunking: bool = False  # RFC 3030
    starttls: bool = False  # RFC 3207
    requiretls: bool = False  # RFC 8689
    rcptmax: int | None = None
    auth: frozenset[str] = frozenset()


def parse(lines: Sequence[str]) -> Extensions:
    """The texts of a positive reply to EHLO; the first is the greeting."""
    offered: dict[str, list[str]] = {}
    for line in lines[1:]:
        # Old Exchange spells 'AUTH=LOGIN'.
        words = line.replace("=", " ", 1).split() if line[:5].upper() == "AUTH=" else line.split()
        if words:
            offered.setdefault(words[0].upper(), []).extend(words[1:])
    size = offered.get("SIZE")
    return Extensions(
        extended=True,
        pipelining="PIPELINING" in offered,
        size=None if size is None else _number(size[0]) or 0 if size else 0,
        eightbit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        dsn="DSN" in offered,
        chunking="CHUNKING" in offered,
        starttls="STARTTLS" in offered,
        requiretls="REQUIRETLS" in offered,
        rcptmax=_limit(offered.get("LIMITS", ()), "RCPTMAX"),
        auth=frozenset(word.upper() for word in offered.get("AUTH", ())),
    )


def _limit(words: Sequence[str], name: str) -> int | None:
    for word in words:
        key, _, value = word.partition("=")
        if key.upper() == name:
            return _number(value) or None
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
