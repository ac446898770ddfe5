"""Mailbox lists of header fields (RFC 5322 3.4 with its obsolete forms), read in one pass, judged and not guessed.

Never raises; linear in the input; comments nest to a depth that is counted, not recursed. What is not a mailbox is still reported, with no
address and with `clean` False, so that a rule can say "malformed" instead of trusting a lucky reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from jetmail.mail import encoded
from jetmail.mail.address import Address, AddressError, parse

MAX_MAILBOXES = 100
MAX_NAME = 300

_SIMPLE = re.compile(r'(?:"([^"\\]*)"|([^"<>@,;:()\\\[\]]*))\s*<([^<>@\s,;:()"\\\[\]]+@[^<>@\s,;:()"\\\[\]]+)>')
_BARE = re.compile(r'[^<>@\s,;:()"\\\[\]]+@[^<>@\s,;:()"\\\[\]]+')
_QUOTED_PAIR = re.compile(r"\\(.)")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_BLANK = {ord(char): " " for char in "\t\r\n\0"}
_BEFORE = re.compile(r'[^\s<>(),:;@"\[\]\\]+\Z')
_AFTER = re.compile(r'@([^\s<>(),:;@"\[\]\\.]{1,63}\.[^\s<>(),:;@"\[\]\\]{1,190})')
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`name` decoded for people; `address` None when what stands there is no address."""

    name: str
    address: Address | None


def parse_mailboxes(value: bytes) -> tuple[list[Mailbox], bool]:
    """-> (mailboxes in order, whether the whole value was well formed)."""
    text = encoded.plain(value)
    if simple := _SIMPLE.fullmatch(text):
        return _finish(simple[1] if simple[1] is not None else simple[2], simple[3])
    if _BARE.fullmatch(text):
        return _finish("", text)
    return _scan(text, len(value) <= encoded.MAX_VALUE)


def _finish(name: str, spec: str) -> tuple[list[Mailbox], bool]:
    mailbox = _mailbox(name, spec)
    return [mailbox], mailbox.address is not None


def _mailbox(name: str, spec: str) -> Mailbox:
    try:
        address = parse(spec) if len(spec) <= 320 else None
    except AddressError:
        address = None
    return Mailbox(encoded.decode_words(name.strip())[:MAX_NAME].strip(), address)


class _Item:
    """One list item in the making."""

    __slots__ = ("angle", "comment", "has_angle", "text")

    def __init__(self) -> None:
        self.comment = ""
        self.text: list[str] = []
        self.angle: list[str] = []
        self.has_angle = False


def _scan(text: str, is_clean: bool) -> tuple[list[Mailbox], bool]:
    found: list[Mailbox] = []
    item = _Item()
    in_angle = False
    in_group = False
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        target = item.angle if in_angle else item.text
        if char == '"':
            stop = _end_of_quoted(text, position)
            is_clean = is_clean and stop > 0
            stop = stop or end
            target.append(text[position:stop] if in_angle or text[stop : stop + 1] == "@" else _QUOTED_PAIR.sub(r"\1", text[position + 1 : stop - 1]))
            position = stop
            continue
        if char == "(":
            stop = _end_of_comment(text, position)
            is_clean = is_clean and stop > 0
            item.comment = text[position + 1 : stop - 1] if stop and item.text and not item.has_angle else item.comment
            position = stop or end
            target.append(" ")
            continue
        if char == "<":
            is_clean = is_clean and not in_angle and not item.has_angle
            in_angle = item.has_angle = True
        elif char == ">":
            is_clean = is_clean and in_angle
            in_angle = False
        elif char in ",;" and not in_angle:
            if char == ";":
                is_clean = is_clean and in_group
                in_group = False
            is_clean = _close(item, found) and is_clean
            item = _Item()
            if len(found) >= MAX_MAILBOXES:
                return found, False
        elif char == ":" and not in_angle and not in_group and "@" not in "".join(item.text[-200:]):
            in_group = True  # RFC 5322 3.4: a group's name is no mailbox
            item = _Item()
        else:
            target.append(char)
        position += 1
    return found, _close(item, found) and is_clean and not in_angle and not in_group


def _close(item: _Item, found: list[Mailbox]) -> bool:
    """Add what the item came to. -> False when it is no mailbox."""
    text = "".join(item.text).strip()
    if not item.has_angle:
        if not text:
            return True  # obs-addr-list: empty items are allowed
        mailbox = _mailbox(item.comment, _tight(text))  # RFC 822's way to give a name, which mail programs still show as one
        found.append(mailbox if mailbox.address is not None else Mailbox(encoded.decode_words(text)[:MAX_NAME], None))
        return mailbox.address is not None
    spec = _tight("".join(item.angle).strip())
    if spec.startswith("@") and ":" in spec:
        spec = spec.partition(":")[2]  # RFC 5322 4.4: obsolete route
    found.append(_mailbox(text, spec))
    return found[-1].address is not None


def _tight(text: str) -> str:
    """Without the white space and comments RFC 5322 4.4 lets stand around @ and dots."""
    if " " not in text:
        return text
    for mark in "@.":
        text = mark.join(piece.strip(" ") for piece in text.split(mark))
    return text


def readable(value: bytes) -> list[Address]:
    """Every address that somebody more lenient than we are might take a malformed value for: what a mail program shows of it is not ours to know.
    In the order in which they stand, at most MAX_MAILBOXES."""
    text = _FOLD.sub("", encoded.to_text(value)).translate(_BLANK)
    bare = _tight(_without_comments(text))
    found: dict[Address, None] = {}
    for reading in (text, bare, encoded.decode_words(text[: encoded.MAX_VALUE]) if "=?" in text else ""):
        for after in islice(_AFTER.finditer(reading), MAX_MAILBOXES):
            if address := _around(reading[max(0, after.start() - 64) : after.start()], after[1]):
                found.setdefault(address)
    return list(found)[:MAX_MAILBOXES]


def _around(before: str, after: str) -> Address | None:
    local = _BEFORE.search(before.rstrip('" '))
    host = _HOST.match(after)
    for domain in (after.rstrip("."), host[0] if host else ""):
        for part in (local[0] if local else "", "unknown"):
            try:
                return parse(f"{part}@{domain}")
            except AddressError:
                continue
    return None


def _without_comments(text: str) -> str:
    if "(" not in text:
        return text
    pieces, position = [], 0
    while (start := text.find("(", position)) >= 0 and (end := _end_of_comment(text, start)):
        pieces.append(text[position:start])
        position = end
    return " ".join([*pieces, text[position:]])


def _end_of_quoted(text: str, position: int) -> int:
    position += 1
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == '"':
            return position + 1
        else:
            position += 1
    return 0


def _end_of_comment(text: str, position: int) -> int:
    depth = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 2
            continue
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if not depth:
                return position + 1
        position += 1
    return 0
