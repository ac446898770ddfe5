"""The names in a 7z archive: its directory lies at the end and is mostly packed itself. What is in the files is not looked at.

Promises: raises ValueError, IndexError or lzma.LZMAError for what is no such directory, OverflowError for one too
large to read, and nothing else; reads a directory of at most MAX_DIRECTORY
octets, unpacked, and as many streams as an archive may have files; one octet is looked at once. The unpacker's memory is that of the directory,
whatever dictionary the archive says it needs. Format: 7zFormat.txt of the LZMA SDK, which is in the public domain.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass, field
from typing import Any

START = 32  # octets of the signature and what leads to the directory
MAX_DIRECTORY = 1 << 20
MAX_PLACES = 4_000  # streams, coders, folders, files: of each kind, in all
MAX_PACKED_TWICE = 2  # directories packed in directories
_END, _DIRECTORY, _PROPERTIES, _ADDITIONAL, _STREAMS, _FILES, _PACKED, _FOLDERS, _PARTS, _SIZES, _SUMS = range(11)
_FOLDER, _FOLDER_SIZES, _PART_COUNT, _EMPTY, _EMPTY_FILE, _NAMES, _PACKED_DIRECTORY = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x11, 0x17
_COPY, _LZMA2, _LZMA1, _AES = b"\0", b"\x21", b"\x03\x01\x01", b"\x06\xf1\x07\x01"


@dataclass(frozen=True, slots=True)
class Directory:
    """`names` of the files, in order. `size` of all when unpacked. `is_locked`: files need a password; `is_hidden`: the names do."""

    names: tuple[str, ...] = ()
    size: int = 0
    is_locked: bool = False
    is_hidden: bool = False


@dataclass(slots=True)
class _Folder:
    coders: list[tuple[bytes, bytes]] = field(default_factory=list)  # (method, properties)
    outputs: int = 0
    sizes: list[int] = field(default_factory=list)
    has_sum: bool = False

    @property
    def is_locked(self) -> bool:
        return any(method == _AES for method, _ in self.coders)


@dataclass(slots=True)
class _Streams:
    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)


def read(octets: bytes) -> Directory:
    """The directory of an archive."""
    place, size = (int.from_bytes(octets[begin : begin + 8], "little") for begin in (12, 20))
    if not size or START + place + size > len(octets):
        return Directory()  # empty, or the end of it is not at hand
    if size > MAX_DIRECTORY:
        raise OverflowError("a directory that is too large")
    raw = octets[START + place : START + place + size]
    for _ in range(MAX_PACKED_TWICE):
        reader = _Reader(raw)
        kind = reader.octet()
        if kind == _DIRECTORY:
            return reader.directory()
        if kind != _PACKED_DIRECTORY:
            break
        streams = reader.streams()
        if any(folder.is_locked for folder in streams.folders):
            return Directory(is_hidden=True, is_locked=True)
        raw = _unpacked(octets, streams)
    raise ValueError("no directory")


def _unpacked(octets: bytes, streams: _Streams) -> bytes:
    folder, size = streams.folders[0], streams.folders[0].sizes[-1]
    if size > MAX_DIRECTORY:
        raise OverflowError("a directory that is too large")
    if len(folder.coders) != 1:
        raise ValueError("packed in an unknown way")
    method, properties = folder.coders[0]
    data = octets[START + streams.start : START + streams.start + streams.packed[0]]
    if method == _COPY:
        return data[:size]
    memory = max(4_096, size)
    if method == _LZMA1:
        mode, given = properties[0], int.from_bytes(properties[1:5], "little")
        if mode >= 225:
            raise ValueError("no mode of LZMA")
        dictionary = max(4_096, min(given, memory))
        how: dict[str, Any] = {"id": lzma.FILTER_LZMA1, "lc": mode % 9, "lp": mode // 9 % 5, "pb": mode // 45, "dict_size": dictionary}
    elif method == _LZMA2:
        how = {"id": lzma.FILTER_LZMA2, "dict_size": memory}
    else:
        raise ValueError("packed in an unknown way")
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[how]).decompress(data, size)


class _Reader:
    """What comes next in a directory."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._place = 0
        self._left = MAX_PLACES

    def octet(self) -> int:
        self._place += 1
        return self._octets[self._place - 1]

    def take(self, count: int) -> bytes:
        if count > len(self._octets) - self._place:
            raise ValueError("cut short")
        self._place += count
        return self._octets[self._place - count : self._place]

    def number(self) -> int:
        """The first octet's leading ones say how many follow."""
        first, value = self.octet(), 0
        for shift in range(0, 64, 8):
            mask = 0x80 >> (shift // 8)
            if not first & mask:
                return value + ((first & (mask - 1)) << shift)
            value += self.octet() << shift
        return value

    def count(self) -> int:
        """A number of things that are to be read one by one."""
        wanted = self.number()
        self._left -= wanted
        if self._left < 0:
            raise OverflowError("too many to read")
        return wanted

    def flags(self, count: int) -> list[bool]:
        """One bit for each."""
        octets = self.take((count + 7) // 8)
        return [bool(octets[each // 8] & 0x80 >> each % 8) for each in range(count)]

    def expect(self, kind: int) -> None:
        if self.octet() != kind:
            raise ValueError("something else than a directory has here")

    def sums(self, count: int) -> list[bool]:
        """Which of so many have a check sum; the sums are passed over."""
        known = [True] * count if self.octet() else self.flags(count)
        self.take(4 * sum(known))
        return known

    def directory(self) -> Directory:
        streams, kind = _Streams(), self.octet()
        if kind == _PROPERTIES:
            while self.number():
                self.take(self.number())
            kind = self.octet()
        if kind == _ADDITIONAL:
            self.streams()
            kind = self.octet()
        if kind == _STREAMS:
            streams = self.streams()
            kind = self.octet()
        names = self.files() if kind == _FILES else ()
        size = sum(folder.sizes[-1] for folder in streams.folders if folder.sizes)
        return Directory(names, size, any(folder.is_locked for folder in streams.folders))

    def streams(self) -> _Streams:
        found, kind = _Streams(), self.octet()
        if kind == _PACKED:
            found.start, count = self.number(), self.count()
            while kind := self.octet():
                if kind == _SIZES:
                    found.packed = [self.number() for _ in range(count)]
                elif kind == _SUMS:
                    self.sums(count)
                else:
                    raise ValueError("something else than packed streams")
            kind = self.octet()
        if kind == _FOLDERS:
            self.folders(found)
            kind = self.octet()
        if kind == _PARTS:
            self.parts(found)
            kind = self.octet()
        if kind != _END:
            raise ValueError("streams without an end")
        return found

    def folders(self, found: _Streams) -> None:
        self.expect(_FOLDER)
        count = self.count()
        self.expect(0)  # not kept elsewhere
        found.folders = [self.folder() for _ in range(count)]
        self.expect(_FOLDER_SIZES)
        for folder in found.folders:
            folder.sizes = [self.number() for _ in range(folder.outputs)]
        while kind := self.octet():
            if kind != _SUMS:
                raise ValueError("something else than sums of folders")
            for folder, has_sum in zip(found.folders, self.sums(count), strict=True):
                folder.has_sum = has_sum

    def folder(self) -> _Folder:
        made, inputs = _Folder(), 0
        for _ in range(self.count()):
            flags = self.octet()
            method = self.take(flags & 15)
            taken, given = (self.count(), self.count()) if flags & 16 else (1, 1)
            made.coders.append((method, self.take(self.number()) if flags & 32 else b""))
            inputs, made.outputs = inputs + taken, made.outputs + given
        bound = max(0, made.outputs - 1)
        for _ in range(2 * bound):
            self.number()
        if inputs - bound > 1:
            for _ in range(inputs - bound):
                self.number()
        return made

    def parts(self, found: _Streams) -> None:
        """How folders divide into files: passed over."""
        counts = [1] * len(found.folders)
        while kind := self.octet():
            if kind == _PART_COUNT:
                counts = [self.count() for _ in found.folders]
            elif kind == _SIZES:
                for count in counts:
                    for _ in range(count - 1):
                        self.number()
            elif kind == _SUMS:
                self.sums(sum(count for count, folder in zip(counts, found.folders, strict=True) if count != 1 or not folder.has_sum))
            else:
                raise ValueError("something else than parts of folders")

    def files(self) -> tuple[str, ...]:
        count = self.count()
        names, empty, empty_files = [""] * count, [False] * count, [False] * count
        while kind := self.number():
            part = _Reader(self.take(self.number()))
            if kind == _NAMES:
                part.expect(0)
                names = [part.name() for _ in range(count)]
            elif kind == _EMPTY:
                empty = part.flags(count)
            elif kind == _EMPTY_FILE:
                empty_files = part.flags(sum(empty))
        files = iter(empty_files)
        return tuple(name for name, is_empty in zip(names, empty, strict=True) if not is_empty or next(files, False))  # others are folders

    def name(self) -> str:
        """UTF-16 up to a zero."""
        end = self._place
        while (end := self._octets.index(b"\0\0", end)) - self._place & 1:
            end += 1
        text = self._octets[self._place : end].decode("utf-16-le", "replace")
        self._place = end + 2
        return text
