"""A message as octets, read only as far as somebody asks: the header block by one scan, the body by mail.mime when a rule needs it.

Promises
- Never raises and never takes time out of proportion, whatever the octets are: an unreadable field is an empty one, an undecodable character
  is a replacement character, and every list has a cap.
- Costs nothing until asked; a plain 4 KB message's header is scanned in about 10 us, its MIME structure not at all unless a rule wants it.
- Octets are never changed. `edited` gives the header block with fields removed and added, once, for the store; the body stays as it came.

`octets` is the whole content, or of a large one its first part (the header block is in it, or the header is too large and says so); `rest`
then fetches everything, `pieces(offset)` what follows an offset piece by piece. RFC 5322 for the header, RFC 2047 and 2231 for what is encoded
in it, RFC 6532 for UTF-8 in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from jetmail.mail import encoded
from jetmail.mail.address import Address
from jetmail.mail.mailbox import Mailbox, parse_mailboxes, readable
from jetmail.mail.mime import Structure, parse_structure

MAX_HEADER = 128 * 1024  # octets of header block; Postfix takes 100 KiB
MAX_FIELDS = 1_000
MAX_FIELD = 64 * 1024  # octets of one field that are looked at
MAX_SUBJECT = 1_000  # characters kept of a decoded subject
MAX_MESSAGE_ID = 250
ORPHAN = b"X-Unnamed:\r\n"  # a first line that begins with white space continues this, and not the last field we have put on top

T = TypeVar("T")

_END = re.compile(rb"\A\r?\n|\n\r?\n")
_FIELD = re.compile(rb"[^\n]+\n?(?:[ \t][^\n]*\n?)*")  # one field with its continuation lines; every octet is consumed once


class FromFlaw(Enum):
    """What is wrong with the From field as a whole (RFC 5322 3.6: exactly one field)."""

    NONE = ""
    MISSING = "missing"
    SEVERAL_FIELDS = "several fields"
    SEVERAL_ADDRESSES = "several addresses"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class From:
    """The header From, judged and not guessed: every mailbox that can be read in any From field, and what is wrong. `address` is the first readable
    one, for a person to see; a rule that decides by it looks at all of `mailboxes` and at `flaw`."""

    mailboxes: tuple[Mailbox, ...] = ()
    flaw: FromFlaw = FromFlaw.MISSING

    @property
    def address(self) -> Address | None:
        """The first mailbox that is one."""
        return next((mailbox.address for mailbox in self.mailboxes if mailbox.address is not None), None)

    @property
    def is_sound(self) -> bool:
        """One well-formed field with at least one address: it may speak for somebody."""
        return self.flaw in (FromFlaw.NONE, FromFlaw.SEVERAL_ADDRESSES)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All of them."""
        return tuple(mailbox.address for mailbox in self.mailboxes if mailbox.address is not None)


class Edits(NamedTuple):
    """What to change in a header block. `remove`: lower-case names of fields to drop; `remove_if(name, field)` drops one by its content;
    `prepend`: complete fields with their CRLF, in the order in which they are to stand."""

    remove: frozenset[bytes] = frozenset()
    remove_if: Callable[[bytes, bytes], bool] | None = None
    prepend: bytes = b""


class Message:
    """See the module. `size` is that of the whole content."""

    __slots__ = ("_fields", "_from", "_pieces", "_read", "_rest", "_structure", "_subject", "head_size", "octets", "size", "too_large")

    def __init__(
        self,
        octets: bytes,
        size: int | None = None,
        rest: Callable[[], bytes] | None = None,
        pieces: Callable[[int], Iterable[bytes]] | None = None,
    ) -> None:
        self.octets = octets
        self.size = len(octets) if size is None else size
        self._rest = rest
        self._pieces = pieces
        self._fields: tuple[tuple[bytes, bytes], ...] | None = None
        self._from: From | None = None
        self._subject: str | None = None
        self._structure: Structure | None = None
        self._read: dict[Callable[[Message], Any], Any] = {}
        end = _END.search(octets, 0, MAX_HEADER + 4)
        self.too_large = end is None and len(octets) > MAX_HEADER
        self.head_size = end.end() if end else min(len(octets), MAX_HEADER)  # with the empty line, where there is one

    @property
    def is_whole(self) -> bool:
        """True when `octets` is everything."""
        return self.size == len(self.octets)

    @property
    def header(self) -> bytes:
        """The header block without the empty line that ends it."""
        head = self.octets[: self.head_size]
        return head[:-2] if head.endswith(b"\n\r\n") or head == b"\r\n" else head[:-1] if head.endswith(b"\n\n") or head == b"\n" else head

    def whole(self) -> bytes:
        """All octets; fetched from the spool where they are not at hand, so for a rule that must."""
        return self.octets if self._rest is None or self.is_whole else self._rest()

    def body_chunks(self) -> Iterable[bytes]:
        """The octets behind the header block, in pieces: of a large message straight from the spool, so that nobody needs to hold it."""
        if self.is_whole or self._rest is None:
            return (self.octets[self.head_size :],)
        return self._pieces(self.head_size) if self._pieces is not None else (self._rest()[self.head_size :],)

    # header

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """(lower-case name, raw field with its line ends), top to bottom, at most MAX_FIELDS. A line that is no field has the name b''."""
        if self._fields is None:
            self._fields = scan_fields(self.header)
        return self._fields

    def values(self, name: bytes) -> list[bytes]:
        """Raw values of all fields of that lower-case name, top to bottom, folding kept, outer white space gone."""
        return [raw[:MAX_FIELD].partition(b":")[2].strip() for key, raw in self.fields if key == name]

    def value(self, name: bytes) -> bytes:
        """The first of them, b'' when there is none."""
        for key, raw in self.fields:
            if key == name:
                return raw[:MAX_FIELD].partition(b":")[2].strip()
        return b""

    def count(self, name: bytes) -> int:
        """How many fields of that name."""
        return sum(key == name for key, _ in self.fields)

    def text(self, name: bytes) -> str:
        """The first value, unfolded and decoded for people (RFC 2047); '' when there is none."""
        value = self.value(name)
        return encoded.decode(value) if value else ""

    def texts(self, name: bytes) -> list[str]:
        """All values, decoded."""
        return [encoded.decode(value) for value in self.values(name)]

    @property
    def subject(self) -> str:
        """Decoded, at most MAX_SUBJECT characters."""
        if self._subject is None:
            self._subject = self.text(b"subject")[:MAX_SUBJECT]
        return self._subject

    @property
    def message_id(self) -> str:
        """As written, angle brackets included; '' when absent."""
        return encoded.plain(self.value(b"message-id"))[:MAX_MESSAGE_ID]

    @property
    def sender(self) -> From:
        """The header From."""
        if self._from is None:
            self._from = _judge_from(self.values(b"from"))
        return self._from

    # body

    @property
    def structure(self) -> Structure:
        """MIME parts, attachments, decoded text: read once, at the first question, bounded (mail.mime)."""
        if self._structure is None:
            self._structure = parse_structure(self.whole())
        return self._structure

    def once(self, read: Callable[[Message], T]) -> T:
        """What `read` makes of this message, made at the first question and kept: for a reading that several rules share. `read` is a function of a
        module, its answer immutable."""
        if read not in self._read:
            self._read[read] = read(self)
        kept: T = self._read[read]
        return kept

    # edits

    def edited(self, edits: Edits) -> tuple[bytes, int]:
        """-> (new header block with its empty line where it had one, offset in the content from which the octets follow unchanged)."""
        head = self.octets[: self.head_size]
        if head[:1] in (b" ", b"\t") and edits.prepend:
            edits = edits._replace(prepend=edits.prepend + ORPHAN)
        if not edits.remove and edits.remove_if is None:
            return edits.prepend + head, self.head_size
        if edits.remove_if is None and edits.remove.isdisjoint([name for name, _ in self.fields]):
            return edits.prepend + head, self.head_size
        drops = [False] * len(self.fields)
        for index, (name, raw) in enumerate(self.fields):
            drops[index] = name in edits.remove or (edits.remove_if is not None and bool(name) and edits.remove_if(name, raw))
        if not any(drops):
            return edits.prepend + head, self.head_size
        kept = [raw for (_, raw), dropped in zip(self.fields, drops, strict=True) if not dropped]
        scanned = sum(len(raw) for _, raw in self.fields)  # what stands past the last field scanned stays as it is
        return edits.prepend + b"".join(kept) + head[scanned:], self.head_size


def scan_fields(header: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """A header block -> its fields (see Message.fields)."""
    raws = _FIELD.findall(header, 0, min(len(header), MAX_HEADER)) if header.count(b"\n") < MAX_FIELDS else _first(header)
    fields = []
    for raw in raws:
        name, colon, _ = raw.partition(b":")
        name = name.rstrip(b" \t").lower()
        fields.append((name if colon and name and b" " not in name and b"\t" not in name and b"\n" not in name else b"", raw))
    return tuple(fields)


def _first(header: bytes) -> list[bytes]:
    raws: list[bytes] = []
    for found in _FIELD.finditer(header):
        if len(raws) == MAX_FIELDS:
            break
        raws.append(found[0])
    return raws


def _judge_from(values: list[bytes]) -> From:
    if not values:
        return From()
    mailboxes: list[Mailbox] = []
    is_malformed = False
    for value in (*values[:9], *values[9:][-1:]):  # the last one too, for there are mail programs that show it
        found, is_clean = parse_mailboxes(value)
        mailboxes += found
        if not is_clean or not found:
            is_malformed = True
            known = {mailbox.address for mailbox in found}
            mailboxes += [Mailbox("", address) for address in readable(value) if address not in known]
    if len(values) > 1:
        return From(tuple(mailboxes), FromFlaw.SEVERAL_FIELDS)
    if is_malformed:
        return From(tuple(mailboxes), FromFlaw.MALFORMED)
    return From(tuple(mailboxes), FromFlaw.SEVERAL_ADDRESSES if len(mailboxes) > 1 else FromFlaw.NONE)
