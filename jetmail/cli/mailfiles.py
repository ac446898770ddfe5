"""Messages in files, for commands that learn from them: mbox files, maildirs, folders of single files in any depth, single files.

Messages come one by one and never all at once; of each at most MAX_OCTETS are kept, which is more than anybody looks at. Folders are read in the
order of their names, so the same folder gives the same order. What does not begin like mail is left out and counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jetmail.errors import UsageError
from jetmail.mail.message import scan_fields

MAX_OCTETS = 2 * 1024 * 1024
_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One message, None for a file that holds none. `read` are the octets of files behind us with it."""

    octets: bytes | None
    read: int
    path: Path


class MailFiles:
    """The messages below `paths`. `size` is that of all files. Raises UsageError for a path that is not there or holds no file."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.files: list[tuple[Path, int]] = []
        for text in paths:
            path = Path(text)
            if not path.exists():
                raise UsageError("PATH", f"'{text}' does not exist")
            found = sorted(_files(path)) if path.is_dir() else [path]
            if not found:
                raise UsageError("PATH", f"'{text}' holds no files")
            self.files += [(each, each.stat().st_size) for each in found]
        self.size = sum(size for _, size in self.files)

    def __iter__(self) -> Iterator[Found]:
        before = 0
        for path, size in self.files:
            count = 0
            for octets, place in _messages(path):
                count += 1
                yield Found(octets, before + place, path)
            before += size
            if not count:
                yield Found(None, before, path)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") or (Path(parent) / name / "cur").is_dir()]
        if "cur" in folders and "new" in folders:  # a maildir: what is in tmp is not there yet
            folders[:] = [name for name in folders if name != "tmp"]
            continue
        yield from (path for name in names if not name.startswith(".") and (path := Path(parent) / name).is_file())


def _messages(path: Path) -> Iterator[tuple[bytes, int]]:
    """(message, octets of the file up to its end)."""
    with open(path, "rb") as file:
        if file.read(5) != b"From ":
            file.seek(0)
            octets = file.read(MAX_OCTETS)
            if _is_mail(octets):
                yield octets, file.tell()
            return
        file.readline()
        yield from _mbox(file)


def _mbox(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    gathered: list[bytes] = []
    size = 0
    was_empty = was_whole = True
    for line in iter(lambda: file.readline(_LINE), b""):
        if was_empty and line.startswith(b"From "):
            octets = b"".join(gathered)
            if _is_mail(octets):
                yield octets, file.tell()
            gathered, size = [], 0
            continue
        if size + len(line) <= MAX_OCTETS:
            is_quoted = was_whole and line.startswith(b">") and line.lstrip(b">").startswith(b"From ")
            gathered.append(line[1:] if is_quoted else line)
            size += len(line)
        was_empty = was_whole and line in (b"\n", b"\r\n")
        was_whole = line.endswith(b"\n")
    octets = b"".join(gathered)
    if _is_mail(octets):
        yield octets, file.tell()


def _is_mail(octets: bytes) -> bool:
    """It begins with a header field."""
    fields = scan_fields(octets[:4096])
    return bool(fields) and fields[0][0] != b""
