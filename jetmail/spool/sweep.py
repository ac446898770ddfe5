"""Boot: make the spool and the store agree again after whatever happened.

Run before anybody receives or delivers. Unfinished files and files that no content refers to are deleted: their commit never came, so nobody
was promised anything. Content whose file is missing is reported, never deleted: its message was promised, and people must see what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.spool.files import FileStore


class Referred(Protocol):
    """A content row that names a file (store.traffic.spooled.listing gives them)."""

    @property
    def spool(self) -> str: ...
    @property
    def uid(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """`temporary` and `orphans` count deleted files; `missing` is the content whose file is gone."""

    temporary: int
    orphans: int
    missing: tuple[Referred, ...]


def sweep(store: FileStore, referred: Iterable[Referred], log: Logger) -> Deferred[Swept]:
    """See the module. `referred` is every file the store refers to. Fails with StoreError when the spool cannot be read."""
    return Deferred.fromCoroutine(_sweep(store, tuple(referred), log))


async def _sweep(store: FileStore, wanted: tuple[Referred, ...], log: Logger) -> Swept:
    temporary = await store.clear_temporary()
    present = await store.names()
    orphans = present - {item.spool for item in wanted}
    for name in orphans:
        store.delete(name)
    missing = tuple(item for item in wanted if item.spool not in present)
    for item in missing:
        log.error("spool file {spool} of message {uid} is gone", spool=item.spool, uid=item.uid)
    if temporary or orphans:
        log.info("spool swept: {temporary} unfinished, {orphans} unreferenced files deleted", temporary=temporary, orphans=len(orphans))
    return Swept(temporary, len(orphans), missing)
