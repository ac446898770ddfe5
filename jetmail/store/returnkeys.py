"""The keys return paths are made with, as a file: `return-path.keys` in the state directory, mode 0600, one line a key:
number, when it was made, secret.

A file, not a row: a copy of the store makes no address of ours. The first start makes it. `turned` adds a key when the newest is old enough and drops
those nothing unexpired can have been made with. A file that is there and cannot be understood is not overwritten.

Raises StoreError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from jetmail.errors import StoreError
from jetmail.mail.returnpath import KEY_NUMBERS, Key, Ring

NAME = "return-path.keys"
SECRET = 32


class ReturnKeys:
    """`token(octets)` draws at random. `ring` is what there is; it changes by `turned` alone."""

    def __init__(self, state: Path, token: Callable[[int], bytes]) -> None:
        self._path = state / NAME
        self._token = token
        self.ring = Ring(())

    def load(self) -> Ring:
        """Read the file; without one there are no keys."""
        try:
            text = self._path.read_text("ascii")
        except FileNotFoundError:
            return self.ring
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{self._path}: {error}") from error
        try:
            keys = [Key(int(number), float(made), bytes.fromhex(secret)) for number, made, secret in (line.split() for line in text.splitlines())]
        except ValueError as error:
            raise StoreError(f"{self._path}: not lines of number, time and secret") from error
        if any(not 0 <= key.number < KEY_NUMBERS or len(key.secret) < SECRET for key in keys):
            raise StoreError(f"{self._path}: a number out of range or a secret that is too short")
        self.ring = Ring(tuple(sorted(keys, key=lambda key: -key.made)))
        return self.ring

    def turned(self, now: float, rotate: float, life: float) -> Ring:
        """The keys as they are to be now. `rotate`: seconds a key makes addresses (0: for ever); `life`: seconds an address counts."""
        keys = list(self.ring.keys)
        if not keys or (rotate and now - keys[0].made >= rotate and len(keys) < KEY_NUMBERS):
            number = (keys[0].number + 1) % KEY_NUMBERS if keys else 0
            keys.insert(0, Key(number, now, self._token(SECRET)))
        # An older key made its last address when the next newer one came.
        kept = [key for index, key in enumerate(keys) if index == 0 or now - keys[index - 1].made <= life]
        if tuple(kept) != self.ring.keys:
            self._write(kept)
            self.ring = Ring(tuple(kept))
        return self.ring

    def _write(self, keys: list[Key]) -> None:
        making = self._path.with_name(self._path.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                making.unlink()
            descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.writelines(f"{key.number} {key.made:.0f} {key.secret.hex()}\n" for key in keys)
                file.flush()
                os.fsync(descriptor)
            if os.geteuid() == 0:
                owner = self._path.parent.stat()
                os.chown(making, owner.st_uid, owner.st_gid)
            os.replace(making, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
