"""What a 7z archive says is in it. The archives were made with py7zr 1.1."""

from __future__ import annotations

import lzma
import struct
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import archive, filetype, sevenzip

# fmt: off
PACKED = b64decode("""
N3q8ryccAAQT3m+DsQAAAAAAAAAWAAAAAAAAAD7aw8XgAlkAFV0AJpaLlRjtZG44YTaL+eUvSxRwwQAAAOAAvACMXQAAgTMHrg/P2W+8D9RqXn3l190IPXk4pL+q4/A5BrX0
am3HD6jZiH2LMIz+2CLXrZ5ipg+eYVPTnuye3I+lNGsigFfkKFxwXAOdbrwnQoHEh53FFdNwTIhoJcEQVQ74CWD8I/K+7T9SyqlnUOavdSRh/UaaJlRtCjv/8iXeT7vKcW4b
dX2EckTKoAAAAAAXBh0BCYCUAAcLAQABISEBGAyAvQAA
""")
PLAIN = b64decode("""
N3q8ryccAAR1gtjuCwAAAAAAAAB0AAAAAAAAALyPC24BAAZNWi4udHdvAAEEBgABCQsABwsBAAIhIQEYBAMDAQMBAAwHBwAIDQIJBAoBefDA/maKyhEAAAUCGQQAAAAAERsA
cgB1AG4ALgBqAHMAAABiAC4AdAB4AHQAAAAUEgEAEMOAmeJ43QEgyYCZ4njdARUKAQAggICBIICAgQAA
""")
LOCKED = b64decode("""
N3q8ryccAATTW9VEiQAAAAAAAAAUAAAAAAAAAKkyWLn/gveAaQgi74b/hTsisSOqSO+P7BQANnTQBdbjPJn6hQEAZAEEBgABCSAKAYXDMwwABwsBAAIkBvEHARJTDyrQXK+u
QrOd8f0KbTHP0n4hIQEYAQAMEWUACAoBcxQf/wAABQERDQBhAC4AZQB4AGUAAAAUCgEA0J6fmeJ43QEVBgEAIICAgQAAABcGIAEJaQAHCwEAASEhARgMZQAA
""")
HIDDEN = b64decode("""
N3q8ryccAAQ7BYasgAAAAAAAAAAoAAAAAAAAALdZyTysk9raj+/PE/2XAy+JTKEH/ZSGQOWWhbJWxQhVWIe2KyPX6ELyGHkpfTvUwxmuRVu0B8YJSlOE32M3tLnnBNbPRvF9
JBJiTp7S8IQluhlOFvrXb8dAqk7Txl91uxQFioHlNeERJ0W1twCYU7J/HRBcw739UEJFkAWl8pn6OQ8SsRcGEAEJcAAHCwEAASQG8QcBElMPi0jghKg3jJB266NF4WdsBQxv
AAA=
""")
# fmt: on
ALL = (PACKED, PLAIN, LOCKED, HIDDEN)


def archived(directory: bytes, packed: bytes = b"") -> bytes:
    """An archive with that directory behind that content."""
    return b"7z\xbc\xaf\x27\x1c\0\4" + b"\0" * 4 + struct.pack("<QQL", len(packed), len(directory), 0) + packed + directory


def named(*names: str, count: int | None = None) -> bytes:
    """A directory of files of those names and nothing else."""
    text = b"\0" + b"".join(name.encode("utf-16-le") + b"\0\0" for name in names)
    assert len(text) < 128
    return b"\x01\x05" + bytes((len(names) if count is None else count,)) + b"\x11" + bytes((len(text),)) + text + b"\0\0"


def names(octets: bytes) -> list[str]:
    """Of the files, as rules see them."""
    return [member.name for member in archive.listing(octets, filetype.kind_of(octets)).members]


def test_names() -> None:
    """Files are named, folders are not, whether the directory is packed or not; empty files are files."""
    assert names(PACKED) == ["invoice.pdf.exe", "docs/readme.txt", "empty.txt"]
    assert names(PLAIN) == ["run.js", "b.txt"]
    assert sevenzip.read(PLAIN).size == 7


def test_as_7_zip_packs_it() -> None:
    """The directory packed by LZMA 1 with a dictionary of 4 GB: read, and no such memory taken."""
    how = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}
    inner = named("ключ.scr")
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[how])
    packed = packer.compress(inner) + packer.flush()
    folder = b"\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05\x5d\xff\xff\xff\xff\x0c" + bytes((len(inner),)) + b"\0"
    octets = archived(b"\x17\x06\x00\x01\x09" + bytes((len(packed),)) + b"\0" + folder + b"\0", packed)
    assert names(octets) == ["ключ.scr"]


def test_locked() -> None:
    """Files that need a password are locked and named; where the names need it too, that is all there is to say."""
    found = archive.listing(LOCKED, filetype.SEVEN_ZIP)
    assert ([(member.name, member.locked) for member in found.members], found.flaws) == ([("a.exe", True)], {"locked"})
    assert sevenzip.read(HIDDEN) == sevenzip.Directory(is_locked=True, is_hidden=True)
    assert archive.listing(HIDDEN, filetype.SEVEN_ZIP) == archive.Listing((), frozenset({"locked"}))


@pytest.mark.parametrize(
    "directory",
    [
        b"\x02",
        b"\x17" * 50,
        named("a", count=2),
        b"\x01\x04\x07\x0b\x01\x00" + b"\x20" + b"\x1f" * 20,
        b"\x01\x04\x06\x00\x05\x09" + b"\0" * 3,
    ],
)
def test_broken(directory: bytes) -> None:
    """What is no directory, or asks for more than anybody packs, is broken."""
    assert archive.listing(archived(directory), filetype.SEVEN_ZIP).flaws == {"broken"}


@pytest.mark.parametrize("count", [b"\xff" * 9, b"\xc0\x10\x27"])
def test_too_many(count: bytes) -> None:
    """An archive of ten thousand files is not broken, only too long to list."""
    assert archive.listing(archived(b"\x01\x05" + count), filetype.SEVEN_ZIP).flaws == {"members"}


def test_end_not_at_hand() -> None:
    """Of an archive whose end was not read nothing is said."""
    assert archive.listing(PACKED[:-10], filetype.SEVEN_ZIP) == archive.Listing()
    assert archive.listing(archived(b""), filetype.SEVEN_ZIP) == archive.Listing()


def test_bomb() -> None:
    """Files that would grow without measure are said to."""
    streams = b"\x04\x07\x0b\x01\x00\x01\x01\x00\x0c\xf0\0\0\0\x40\0\0"  # one folder of 1 GB
    assert "bomb" in archive.listing(archived(b"\x01" + streams + named("a.txt")[1:]), filetype.SEVEN_ZIP).flaws


@given(st.sampled_from(ALL), st.lists(st.tuples(st.integers(32, 260), st.integers(0, 255)), max_size=6), st.binary(max_size=80))
def test_total(octets: bytes, changes: list[tuple[int, int]], directory: bytes) -> None:
    """Any octets have a listing."""
    altered = bytearray(octets)
    for place, value in changes:
        altered[place % len(altered)] = value
    for each in (bytes(altered), archived(b"\x01" + directory, octets)):
        assert len(archive.listing(each, filetype.SEVEN_ZIP).members) <= archive.MAX_MEMBERS
