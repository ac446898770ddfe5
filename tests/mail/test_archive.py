"""What is in an archive, by its directory."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import archive, filetype

RAR4 = b"Rar!\x1a\x07\0" + struct.pack("<HBHH", 0, 0x73, 0, 13) + b"\0" * 6


def rar4_member(name: bytes, flags: int = 0) -> bytes:
    """A file header of RAR 4 with an empty body."""
    fields = struct.pack("<LLBLLBBHL", 0, 99, 2, 0, 0, 29, 0x30, len(name), 0)
    return struct.pack("<HBHH", 0, 0x74, flags | 0x8000, 7 + len(fields) + len(name)) + fields + name


def rar5_block(kind: int, body: bytes, extra: bytes = b"") -> bytes:
    """A block of RAR 5 of small numbers."""
    flags = bytes((1 if extra else 0,))
    inner = bytes((kind,)) + flags + (bytes((len(extra),)) if extra else b"") + body + extra
    return b"\0" * 4 + bytes((len(inner),)) + inner


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return out.getvalue()


def names(octets: bytes) -> list[str]:
    return [member.name for member in archive.listing(octets, filetype.kind_of(octets)).members]


def test_zip() -> None:
    """Names, sizes and kinds; something that stands before the archive does no harm."""
    octets = zipped(a=b"words", b=b"%PDF-1.4")
    members = archive.listing(octets, filetype.ZIP).members
    assert [(member.name, member.size, member.kind.name) for member in members] == [("a", 5, "text"), ("b", 8, "pdf")]
    assert [member.name for member in archive.listing(b"MZ stub" + octets, filetype.ZIP).members] == ["a", "b"]


def test_rar() -> None:
    """Names of RAR 4 and 5, and whether a password is needed for what or for the names themselves."""
    plain = RAR4 + rar4_member(b"a.exe") + rar4_member(b"b.txt", 4)
    assert [(member.name, member.locked) for member in archive.listing(plain, filetype.RAR).members] == [("a.exe", False), ("b.txt", True)]
    assert "locked" in archive.listing(b"Rar!\x1a\x07\0" + struct.pack("<HBHH", 0, 0x73, 0x80, 13) + b"\0" * 6, filetype.RAR).flaws
    file = b"\0" + b"\x09" + b"\0" + b"\0" + b"\0" + b"\x05" + b"c.scr"
    five = b"Rar!\x1a\x07\x01\0" + rar5_block(1, b"\0") + rar5_block(2, file) + rar5_block(5, b"\0")
    assert names(five) == ["c.scr"]
    assert "locked" in archive.listing(b"Rar!\x1a\x07\x01\0" + rar5_block(4, b"\0"), filetype.RAR5).flaws


def test_cab() -> None:
    """Names of a cabinet."""
    header = b"MSCF" + struct.pack("<LLLLLBBHHHHH", 0, 0, 0, 36, 0, 3, 1, 1, 1, 0, 0, 0)
    octets = header + struct.pack("<LLHHHH", 77, 0, 0, 0, 0, 0) + b"setup.exe\0"
    assert [(member.name, member.size) for member in archive.listing(octets, filetype.CAB).members] == [("setup.exe", 77)]


def test_gzip_within() -> None:
    """One file, by its own name, and what lies in it."""
    octets = gzip.compress(zipped(x=b"words"))
    assert names(octets)[1:] == ["x"]


def test_bounds() -> None:
    """What is beyond a bound is named, and not gone into."""
    many = archive.listing(zipped(**{str(index): b"" for index in range(600)}), filetype.ZIP)
    assert len(many.members) == archive.MAX_MEMBERS and "members" in many.flaws
    nested = b"x"
    for _ in range(6):
        nested = zipped(**{"inner.zip": nested})
    deep = archive.listing(nested, filetype.ZIP)
    assert "depth" in deep.flaws and max(member.depth for member in deep.members) == archive.MAX_DEPTH


def test_contents() -> None:
    """Members by how their names end, to a number."""
    octets = zipped(**{"a.rels": b"one", "b.xml": b"two", "c.rels": b"three"})
    assert archive.contents(octets, (".rels",), 5) == [("a.rels", b"one"), ("c.rels", b"three")]
    assert len(archive.contents(octets, (".rels",), 1)) == 1


@pytest.mark.parametrize("kind", [filetype.ZIP, filetype.RAR, filetype.RAR5, filetype.CAB, filetype.GZIP, filetype.TAR], ids=lambda kind: kind.name)
@given(st.binary(max_size=200))
def test_total(kind: filetype.Kind, octets: bytes) -> None:
    """Any octets, as any kind, are listed."""
    assert len(archive.listing(octets, kind).members) <= archive.MAX_MEMBERS + archive.MAX_LATE
    assert len(archive.listing(RAR4 + octets, kind).members) <= archive.MAX_MEMBERS + archive.MAX_LATE
