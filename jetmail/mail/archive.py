"""What is in an archive, by its directory: names, sizes, what is locked, what lies inside what is inside. Nothing is written, nothing is run.

Promises: never raises; reads at most MAX_MEMBERS names of an archive, unpacks at most MAX_UNPACKED octets in all and MAX_DEPTH archives deep, so
that a
bomb costs what a small archive costs; what was beyond a bound is named in `flaws`. Zip, gzip, bzip2, xz, tar and TNEF are looked into, of RAR 4 and
5, CAB and 7z the names are read. Of a zip with more members the names that run are read all the same.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from jetmail.mail import document, filetype, sevenzip
from jetmail.mail.filetype import Kind

MAX_MEMBERS = 500
MAX_NAMES = 20_000  # of a zip: past MAX_MEMBERS only for the names
MAX_LATE = 20  # names that run, found there
MAX_SLOW = 2 << 20  # octets that are unpacked of what takes ten times as long as gzip
MAX_DICTIONARY = 80 << 20  # octets xz may ask for: its strongest preset takes 65 MiB
MAX_BLOCKS = 2_000  # headers of any kind in one archive
MAX_DEPTH = 3
MAX_UNPACKED = 8 << 20
MAX_RATIO = 200  # unpacked to packed; text compresses to a tenth, pages of zeros to a thousandth
BOMB_SIZE = 50 << 20  # below this a ratio harms nobody
PEEK = 40_000  # octets of a member that tell its kind
_RUNS = frozenset({"program", "script", "shortcut", "disk-image"})
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")


class Member(NamedTuple):
    """One file in an archive. `depth` 1 lies in the attachment itself. `kind` is by content where it could be looked at, and so are `traits` of a
    document (mail.document)."""

    name: str
    size: int
    depth: int
    locked: bool
    kind: Kind
    traits: frozenset[str] = frozenset()

    @property
    def extension(self) -> str:
        """Lower-case, without the dot; '' when there is none."""
        stem, dot, extension = self.name.replace("\\", "/").rpartition("/")[2].rstrip(". ").rpartition(".")
        return extension.strip().lower() if dot and stem else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The members, those of archives within archives after the archive they are in; and words of 'broken', 'bomb', 'members' (too many to
    list), 'depth', 'locked'
    (something in it needs a password)."""

    members: tuple[Member, ...] = ()
    flaws: frozenset[str] = frozenset()


class _Looking:
    """What was found, and what may still be spent."""

    __slots__ = ("flaws", "left", "members")

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.flaws: set[str] = set()
        self.left = MAX_UNPACKED

    def add(self, name: str, size: int, depth: int, locked: bool, kind: Kind) -> bool:
        if locked:
            self.flaws.add("locked")
        if len(self.members) >= MAX_MEMBERS:
            self.flaws.add("members")
            if len(self.members) < MAX_MEMBERS + MAX_LATE:
                late = Member(name[-255:], size, depth, locked, kind)
                if filetype.family_of(late.extension) in _RUNS:
                    self.members.append(late)
            return False
        self.members.append(Member(name[-255:], size, depth, locked, kind))
        return True


def listing(octets: bytes, kind: Kind) -> Listing:
    """What is in an archive (or a document that is a zip) of that kind."""
    looking = _Looking()
    _look(looking, octets, kind, 1)
    return Listing(tuple(looking.members), frozenset(looking.flaws))


def contents(octets: bytes, endings: tuple[str, ...], limit: int) -> list[tuple[str, bytes]]:
    """(name, content) of at most `limit` members of a zip whose names end so, each cut at PEEK octets; [] for one that cannot be read."""
    found: list[tuple[str, bytes]] = []
    looking = _Looking()
    position = 0
    while len(found) < limit and (position := octets.find(b"PK\x03\x04", position)) >= 0:
        try:
            fields = _LOCAL.unpack_from(octets, position)
            name = octets[position + 30 : position + 30 + fields[10]].decode("utf-8", "replace")
            if name.endswith(endings):
                found.append((name, _unpacked(looking, octets, position, fields[4], fields[8] or len(octets), PEEK, name)[0][:PEEK]))
        except (struct.error, zlib.error, OverflowError):
            return found
        position += 4
    return found


def _look(looking: _Looking, octets: bytes, kind: Kind, depth: int) -> None:
    if depth > MAX_DEPTH:
        looking.flaws.add("depth")
        return
    reader = _READERS.get(kind.name)
    if reader is None:
        return
    try:
        reader(looking, octets, depth)
    except (struct.error, zlib.error, lzma.LZMAError, ValueError, IndexError, OverflowError):
        looking.flaws.add("broken")


def _inside(looking: _Looking, name: str, size: int, depth: int, packed: int, head: bytes, whole: bytes | None) -> None:
    """Note a member whose beginning is at hand, and go into it when it is an archive that could be unpacked."""
    kind = filetype.kind_of(head)
    if size > BOMB_SIZE and size > MAX_RATIO * max(packed, 1):
        looking.flaws.add("bomb")
    place = len(looking.members)
    if not looking.add(name, size, depth, False, kind):
        return
    traits: set[str] = set()
    if kind.name == "ole2":
        kind, traits = document.of_ole(whole or head)
    elif kind.family == "archive" and whole is not None:
        _look(looking, whole, kind, depth + 1)
        if kind.name == "zip":
            kind, traits = document.of_names(kind, {member.name for member in looking.members[place + 1 :] if member.depth == depth + 1})
            if kind.family != "archive":
                del looking.members[place + 1 :]  # what a document is made of is none of the files somebody packed
    looking.members[place] = looking.members[place]._replace(kind=kind, traits=frozenset(traits))


def _zip(looking: _Looking, octets: bytes, depth: int) -> None:
    end = octets.rfind(b"PK\x05\x06", max(0, len(octets) - 66_000))
    if end < 0:
        looking.flaws.add("broken")
        return
    _, _, _, _, count, size, start, _ = _END.unpack_from(octets, end)
    shift = end - size - start  # something may stand before the archive (a self-extractor)
    position = start + shift if shift >= 0 else start
    total = 0
    for _ in range(min(count, MAX_NAMES)):
        if octets[position : position + 4] != b"PK\x01\x02":
            looking.flaws.add("broken")
            return
        fields = _CENTRAL.unpack_from(octets, position)
        flags, method, packed, unpacked = fields[5], fields[6], fields[10], fields[11]
        name_size, extra, comment, local = fields[12], fields[13], fields[14], fields[18]
        raw = octets[position + 46 : position + 46 + name_size]
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        position += 46 + name_size + extra + comment
        total += unpacked
        if name.endswith("/"):
            continue
        if flags & 1 or len(looking.members) >= MAX_MEMBERS:
            looking.add(name, unpacked, depth, bool(flags & 1), filetype.UNKNOWN)
            continue
        head, whole = _unpacked(looking, octets, local + max(shift, 0), method, packed, unpacked, name)
        _inside(looking, name, unpacked, depth, packed, head, whole)
    if total > BOMB_SIZE and total > MAX_RATIO * len(octets):
        looking.flaws.add("bomb")


def _unpacked(looking: _Looking, octets: bytes, local: int, method: int, packed: int, unpacked: int, name: str) -> tuple[bytes, bytes | None]:
    """-> (the beginning of a member, all of it when it is small and may be an archive)."""
    fields = _LOCAL.unpack_from(octets, local)
    start = local + 30 + fields[10] + fields[11]
    if fields[0] != b"PK\x03\x04":
        looking.flaws.add("broken")
        return b"", None
    wants = filetype.family_of(name.rpartition(".")[2].lower()) in ("archive", "document", "")
    limit = min(looking.left, max(unpacked, PEEK) if wants else PEEK)
    data = octets[start : start + min(packed, limit + 1_024)]  # members may lie about their size, and lie over one another
    if method == 0:
        head = data[:limit]
    elif method == 8:
        head = zlib.decompressobj(-15).decompress(data, max(limit, 1))
    else:
        return b"", None
    looking.left = max(0, looking.left - len(head))
    return head, head if wants and len(head) >= unpacked else None


def _gzip(looking: _Looking, octets: bytes, depth: int) -> None:
    limit = looking.left
    head = zlib.decompressobj(31).decompress(octets, max(limit, 1))
    looking.left = max(0, looking.left - len(head))
    name = ""
    if octets[3:4] and octets[3] & 8:
        place = 10 + (2 + int.from_bytes(octets[10:12], "little") if octets[3] & 4 else 0)
        name = octets[place : octets.find(b"\0", place, place + 300)].decode("latin-1") if octets.find(b"\0", place, place + 300) > 0 else ""
    if len(head) >= limit and len(head) > MAX_RATIO * len(octets):
        looking.flaws.add("bomb")
    _single(looking, name, depth, len(octets), head)


def _bzip2(looking: _Looking, octets: bytes, depth: int) -> None:
    try:
        head = bz2.BZ2Decompressor().decompress(octets, max(1, min(looking.left, MAX_SLOW)))
    except OSError:
        raise ValueError("no bzip2") from None
    looking.left = max(0, looking.left - len(head))
    _single(looking, "", depth, len(octets), head)


def _xz(looking: _Looking, octets: bytes, depth: int) -> None:
    head = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_DICTIONARY).decompress(octets, max(1, min(looking.left, MAX_SLOW)))
    looking.left = max(0, looking.left - len(head))
    _single(looking, "", depth, len(octets), head)


def _single(looking: _Looking, name: str, depth: int, packed: int, head: bytes) -> None:
    """What a packer of one file held. A tar in it is the same archive and none within it: what is in it lies as deep."""
    kind = filetype.kind_of(head)
    if kind.name == "tar":
        _look(looking, head, kind, depth)
    else:
        _inside(looking, name, len(head), depth, packed, head[:PEEK], head)


def _tnef(looking: _Looking, octets: bytes, depth: int) -> None:
    """MS-OXTNEF 2.1.3: attributes one after the other. Of an attached file its data come before its title, or behind it."""
    position, title, data = 6, "", b""
    for _ in range(MAX_BLOCKS):
        if position + 9 > len(octets):
            break
        attribute, size = struct.unpack_from("<LL", octets, position + 1)
        value = octets[position + 9 : position + 9 + size]
        position += 11 + size
        if attribute == 0x00069002:  # attAttachRendData: the next file begins
            _attached(looking, title, data, depth)
            title, data = "", b""
        elif attribute == 0x00018010:
            title = value.partition(b"\0")[0].decode("latin-1")
        elif attribute == 0x0006800F:
            data = value
    _attached(looking, title, data, depth)


def _attached(looking: _Looking, title: str, data: bytes, depth: int) -> None:
    if title or data:
        _inside(looking, title, len(data), depth, len(data), data[:PEEK], data)


def _tar(looking: _Looking, octets: bytes, depth: int) -> None:
    position = 0
    for _ in range(MAX_BLOCKS):
        if position + 512 > len(octets):
            return
        block = octets[position : position + 512]
        if block[0] == 0:
            return
        text = block[124:136].strip(b"\0 ")
        size = int(text, 8) if text else 0
        if size < 0:
            raise ValueError("a size below nothing")
        name = block[:100].rstrip(b"\0").decode("utf-8", "replace")
        body = octets[position + 512 : position + 512 + size]
        if block[156:157] in (b"0", b"\0"):
            _inside(looking, name, size, depth, size, body[:PEEK], body)
            if "members" in looking.flaws:
                return
        position += 512 + (size + 511) // 512 * 512


def _rar(looking: _Looking, octets: bytes, depth: int) -> None:
    position = 7
    for _ in range(MAX_BLOCKS):
        if position + 7 > len(octets):
            return
        _, kind, flags, size = struct.unpack_from("<HBHH", octets, position)
        if kind == 0x73 and flags & 0x80:
            looking.flaws.add("locked")  # the names themselves
            return
        if size < 7:
            looking.flaws.add("broken")
            return
        skip = size
        if kind == 0x74:
            packed, unpacked = struct.unpack_from("<LL", octets, position + 7)
            name_size = struct.unpack_from("<H", octets, position + 26)[0]
            start = position + 32 + (8 if flags & 0x100 else 0)
            name = octets[start : start + name_size].partition(b"\0")[0].decode("utf-8", "replace")
            if (flags & 0xE0) != 0xE0 and not looking.add(name, unpacked, depth, bool(flags & 4), filetype.UNKNOWN):
                return
            skip += packed
        elif kind == 0x7B:
            return
        elif flags & 0x8000:
            skip += struct.unpack_from("<L", octets, position + 7)[0]
        position += skip


def _rar5(looking: _Looking, octets: bytes, depth: int) -> None:
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 7 > len(octets):
            return
        size, start = _number(octets, position + 4)
        if not size:
            raise ValueError("an empty header")
        kind, place = _number(octets, start)
        flags, place = _number(octets, place)
        extra, place = _number(octets, place) if flags & 1 else (0, place)
        data, place = _number(octets, place) if flags & 2 else (0, place)
        if kind == 4:
            looking.flaws.add("locked")
            return
        if kind == 5:
            return
        if kind == 2:
            file_flags, place = _number(octets, place)
            unpacked, place = _number(octets, place)
            _, place = _number(octets, place)
            place += (4 if file_flags & 2 else 0) + (4 if file_flags & 4 else 0)
            _, place = _number(octets, place)
            _, place = _number(octets, place)
            length, place = _number(octets, place)
            name = octets[place : place + length].decode("utf-8", "replace")
            more = octets[start + size - extra : start + size] if extra else b""
            if not file_flags & 1 and not looking.add(name, unpacked, depth, more[1:2] == b"\x01", filetype.UNKNOWN):
                return
        position = start + size + data


def _number(octets: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits an octet -> (it, where the next begins)."""
    value = 0
    for shift in range(0, 63, 7):
        octet = octets[place]
        value |= (octet & 0x7F) << shift
        place += 1
        if octet < 0x80:
            return value, place
    raise ValueError("a number without an end")


def _cab(looking: _Looking, octets: bytes, depth: int) -> None:
    position = struct.unpack_from("<L", octets, 16)[0]
    count = struct.unpack_from("<H", octets, 28)[0]
    for _ in range(min(count, MAX_MEMBERS + 1)):
        size = struct.unpack_from("<L", octets, position)[0]
        end = octets.index(b"\0", position + 16, position + 16 + 300)
        if not looking.add(octets[position + 16 : end].decode("latin-1"), size, depth, False, filetype.UNKNOWN):
            return
        position = end + 1


def _seven_zip(looking: _Looking, octets: bytes, depth: int) -> None:
    try:
        found = sevenzip.read(octets)
    except OverflowError:
        looking.flaws.add("members")
        return
    if found.is_hidden:
        looking.flaws.add("locked")
    if found.size > BOMB_SIZE and found.size > MAX_RATIO * len(octets):
        looking.flaws.add("bomb")
    for name in found.names:
        if not looking.add(name, 0, depth, found.is_locked, filetype.UNKNOWN):
            return


_READERS = {"zip": _zip, "ooxml": _zip, "odf": _zip, "gzip": _gzip, "tar": _tar, "rar": _rar, "rar5": _rar5, "cab": _cab, "7z": _seven_zip,
            "bzip2": _bzip2, "xz": _xz, "tnef": _tnef}  # fmt: skip
