"""Large content as files: streamed as it arrives, synced before anybody promises it, read back when it is sent.

Promises
- Bytes of one message are in memory only until the next `write`; a file is named and visible only when it is whole and on the disk (written under
  tmp/, file synced, renamed, directory synced), so a name in the store always means a whole file.
- Syncing runs on the executor (functions named thd_*); nothing here blocks the reactor longer than a write into the page cache.
- Names come from the given `make_name` and are checked wherever they come in: letters and digits only, so no name leads out of the directory.

Raises StoreError when the disk refuses (full, read-only), ContentMissingError when a file is not there.
Decision: design 3; docs/store.md.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from jetmail.errors import ContentMissingError, StoreError
from jetmail.interfaces import IContentStore, IExecutor

TEMPORARY = "tmp"
BUFFER = 128 * 1024  # octets gathered before the kernel is asked
LOOK_SECONDS = 0.1
_NAME = re.compile(r"[0-9a-z]{8,64}")


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """`directory` holds the files and tmp/ (made when missing). `min_free`: octets that stay free on its disk or no mail is taken, 0 or more."""

    directory: str
    min_free: int = 64 << 20


class Writer:
    """One file being written. After `finish` or `abort` it is of no more use. Not to be made by hand: FileStore.create."""

    def __init__(self, store: FileStore, name: str, file: BinaryIO) -> None:
        self.name = name
        self.size = 0
        self._store = store
        self._file = file
        self._ended = False

    def write(self, octets: bytes) -> None:
        """Append. Raises StoreError when the disk refuses; the writer is to be aborted then."""
        try:
            self._file.write(octets)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot write to the spool: {error}") from error
        self.size += len(octets)

    def finish(self) -> Deferred[str]:
        """-> Deferred of the name once the file is whole, synced and named. When it fails (StoreError) nothing is left behind."""
        if self._ended:
            return fail(StoreError("the spool file was ended before"))
        self._ended = True
        return self._store.seal(self.name, self._file)

    def abort(self) -> None:
        """Forget what was written. Silent when it was ended before."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError):
                self._file.close()
            self._store.forget_temporary(self.name)


@implementer(IContentStore)
class FileStore:
    """The spool directory. `make_name`: a new name never given before, of lower-case letters and digits. `now` gives seconds; with it, `has_room`
    looks
    at the disk ten times a second at most (a system call that every MAIL would otherwise wait for)."""

    def __init__(self, options: SpoolOptions, executor: IExecutor, make_name: Callable[[], str], now: Callable[[], float] | None = None) -> None:
        self.options = options
        self._executor = executor
        self._make_name = make_name
        self._now = now
        self._looked = float("-inf")
        self._free = 0
        self._temporary = os.path.join(options.directory, TEMPORARY)
        try:
            os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the spool {options.directory}: {error.strerror}") from error

    def create(self) -> Writer:
        """A new file to write. Raises StoreError."""
        name = checked(self._make_name())
        try:
            descriptor = os.open(self._path_of_temporary(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot write to the spool: {error.strerror}") from error
        return Writer(self, name, os.fdopen(descriptor, "wb", BUFFER))

    def open(self, name: str) -> BinaryIO:
        """The file for reading, unbuffered: whoever reads asks for large pieces. Raises ContentMissingError; StoreError when the disk fails."""
        try:
            return open(self.path(name), "rb", buffering=0)
        except FileNotFoundError as error:
            raise ContentMissingError(f"spool file {name} is gone") from error
        except OSError as error:
            raise StoreError(f"cannot read spool file {name}: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Forget a file. Silent when it is gone; one that cannot be deleted now is left for the sweep at boot."""
        with contextlib.suppress(OSError):
            os.unlink(self.path(name))

    def free(self) -> int:
        """Octets free on the spool's disk. Raises StoreError."""
        try:
            found = os.statvfs(self.options.directory)
        except OSError as error:
            raise StoreError(f"cannot look at the spool: {error.strerror}") from error
        return found.f_bavail * found.f_frsize

    def has_room(self, size: int = 0) -> bool:
        """Whether `size` octets more may be taken without going below `min_free`."""
        now = self._now() if self._now is not None else 0.0
        if self._now is None or not 0.0 <= now - self._looked < LOOK_SECONDS:
            self._free = self.free()
            self._looked = now
        return self._free - size >= self.options.min_free

    def usage(self) -> Deferred[tuple[int, int]]:
        """-> Deferred of (files, octets) in the spool."""
        return self._executor.run(thd_usage, self.options.directory)

    def names(self) -> Deferred[frozenset[str]]:
        """-> Deferred of the names of all whole files."""
        return self._executor.run(thd_names, self.options.directory)

    def clear_temporary(self) -> Deferred[int]:
        """Delete what a crash left unfinished. -> Deferred of how many. For boot only, before anybody writes."""
        return self._executor.run(thd_clear, self._temporary)

    def path(self, name: str) -> str:
        """Where the file of that name is. Raises ContentMissingError for what cannot be a name."""
        return os.path.join(self.options.directory, checked(name))

    def seal(self, name: str, file: BinaryIO) -> Deferred[str]:
        """For Writer: make the file whole, durable and visible."""
        return self._executor.run(thd_seal, file, self._path_of_temporary(name), self.path(name), self.options.directory, name)

    def forget_temporary(self, name: str) -> None:
        """For Writer: drop an unfinished file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path_of_temporary(name))

    def _path_of_temporary(self, name: str) -> str:
        return os.path.join(self._temporary, name)


@implementer(IContentStore)
class MemoryStore:
    """The same promises in memory: for tests of whoever uses a spool."""

    def __init__(self, make_name: Callable[[], str]) -> None:
        self.files: dict[str, bytes] = {}
        self._make_name = make_name

    def create(self) -> MemoryWriter:
        """See FileStore."""
        return MemoryWriter(self, checked(self._make_name()))

    def open(self, name: str) -> BinaryIO:
        """See FileStore."""
        if name not in self.files:
            raise ContentMissingError(f"spool file {name} is gone")
        return io.BytesIO(self.files[name])

    def delete(self, name: str) -> None:
        """See FileStore."""
        self.files.pop(name, None)

    def has_room(self, size: int = 0) -> bool:
        """Always."""
        return True


class MemoryWriter:
    """See Writer."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self.name = name
        self._store = store
        self._pieces: list[bytes] = []

    def write(self, octets: bytes) -> None:
        """See Writer."""
        self._pieces.append(octets)

    def finish(self) -> Deferred[str]:
        """See Writer."""
        self._store.files[self.name] = b"".join(self._pieces)
        return succeed(self.name)

    def abort(self) -> None:
        """See Writer."""
        self._pieces.clear()


def checked(name: str) -> str:
    """The name, when it can be one. Raises ContentMissingError: what is no name can name no file."""
    if not _NAME.fullmatch(name):
        raise ContentMissingError("a spool file's name has only lower-case letters and digits")
    return name


def thd_seal(file: BinaryIO, temporary: str, final: str, directory: str, name: str) -> str:
    """Flush, sync, rename, sync the directory. -> the name. Raises StoreError, leaving nothing."""
    try:
        with file:
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, final)
        thd_sync_directory(directory)
    except (OSError, ValueError) as error:
        for path in (temporary, final):
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise StoreError(f"cannot write to the spool: {error}") from error
    return name


def thd_sync_directory(directory: str) -> None:
    """Make renames in it durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def thd_names(directory: str) -> frozenset[str]:
    """The whole files. Raises StoreError."""
    try:
        with os.scandir(directory) as entries:
            return frozenset(entry.name for entry in entries if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False))
    except OSError as error:
        raise StoreError(f"cannot look at the spool: {error.strerror}") from error


def thd_usage(directory: str) -> tuple[int, int]:
    """(files, octets). A file that goes while we look does not count."""
    files = octets = 0
    for name in thd_names(directory):
        with contextlib.suppress(OSError):
            octets += os.stat(os.path.join(directory, name)).st_size
            files += 1
    return files, octets


def thd_clear(directory: str) -> int:
    """Delete every file in it. -> how many."""
    cleared = 0
    with os.scandir(directory) as entries:
        for entry in list(entries):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
                cleared += 1
    return cleared
