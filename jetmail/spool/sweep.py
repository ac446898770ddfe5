"""Boot: make the spool and the store agree again after whatever happened.

Run before anybody receives or delivers. Unfinished files and files that no content refers to are deleted: their commit never came, so nobody
was promised anything. Content whose file is missing is reported, never deleted: its message was promised, and people must see what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.interfaces import IDatabase
from jetmail.spool.files import FileStore
from jetmail.store.traffic import spooled
from jetmail.store.traffic.spooled import Spooled


@dataclass(frozen=True, slots=True)
class Swept:
    """`temporary` and `orphans` count deleted files; `missing` is the content whose file is gone."""

    temporary: int
    orphans: int
    missing: tuple[Spooled, ...]


def sweep(store: FileStore, db: IDatabase, log: Logger) -> Deferred[Swept]:
    """See the module. Fails with StoreError when the store or the spool cannot be read."""
    return Deferred.fromCoroutine(_sweep(store, db, log))


async def _sweep(store: FileStore, db: IDatabase, log: Logger) -> Swept:
    temporary = await store.clear_temporary()
    present = await store.names()
    # The rows second: a file that appeared in between would have no row yet, a row cannot appear without its file.
    wanted: tuple[Spooled, ...] = await db.search(spooled.listing)
    orphans = present - {item.spool for item in wanted}
    for name in orphans:
        store.delete(name)
    missing = tuple(item for item in wanted if item.spool not in present)
    for item in missing:
        log.error("spool file {spool} of message {uid} is gone", spool=item.spool, uid=item.uid)
    if temporary or orphans:
        log.info("spool swept: {temporary} unfinished, {orphans} unreferenced files deleted", temporary=temporary, orphans=len(orphans))
    return Swept(temporary, len(orphans), missing)
