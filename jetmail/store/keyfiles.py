"""Private keys as files: `<directory>/<domain>/<fingerprint>.pem`, mode 0600, directories 0700, belonging to whoever the state directory belongs to.

Files, not rows: a copy of the store, which people take for backups and for questions, holds no secret that signs in a customer's name. A file is
written whole and synced before its row, and removed after it; what has no row is swept by `orphans` after a day.

Raises StoreError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from jetmail.errors import StoreError

ZONE_FILE = "zone"
DAY = 86_400.0


class KeyFiles:
    """See the module. Nothing is touched before the first write."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, domain: str, fingerprint: str, pem: bytes) -> None:
        """Keep a private key."""
        path = self._path(domain, fingerprint)
        with _told(path):
            for folder in (self._directory, path.parent):
                if not folder.is_dir():
                    folder.mkdir(mode=0o700, parents=folder == self._directory)
                    self._give(folder)
            self._put(path, pem, 0o600)

    def read(self, domain: str, fingerprint: str) -> bytes:
        """The private key."""
        path = self._path(domain, fingerprint)
        with _told(path):
            return path.read_bytes()

    def remove(self, domain: str, fingerprint: str) -> None:
        """Forget one; silent when it is gone."""
        path = self._path(domain, fingerprint)
        with _told(path):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # only when it was the last

    def orphans(self, known: Iterable[tuple[str, str]], now: float) -> Iterator[tuple[str, str]]:
        """(domain, fingerprint) of files a day old that no row knows."""
        kept = frozenset(known)
        for path in sorted(self._directory.glob("*/*.pem")):
            key = (path.parent.name, path.stem)
            with contextlib.suppress(FileNotFoundError):
                if key not in kept and path.stat().st_mtime < now - DAY:
                    yield key

    def put_zone(self, text: str) -> bool:
        """The records of our own zone, for a name server to include. -> whether they changed."""
        path = self._directory / ZONE_FILE
        with _told(path):
            if path.is_file() and path.read_text("utf-8") == text:
                return False
            if not self._directory.is_dir():
                self._directory.mkdir(mode=0o700, parents=True)
                self._give(self._directory)
            self._put(path, text.encode(), 0o644)
        return True

    def _path(self, domain: str, fingerprint: str) -> Path:
        return self._directory / domain / f"{fingerprint}.pem"

    def _put(self, path: Path, octets: bytes, mode: int) -> None:
        making = path.with_name(path.name + ".new")
        making.unlink(missing_ok=True)
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
        self._give(making)
        os.replace(making, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _give(self, path: Path) -> None:
        """The command line may be root's; the appliance must be able to read what it wrote."""
        if os.geteuid() == 0:
            owner = self._directory.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
