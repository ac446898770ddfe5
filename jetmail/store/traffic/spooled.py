"""Which spool files the store refers to: what the sweep at boot compares with the directory."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class Spooled:
    """Content kept as a file. `uid` is its message's, '' when no message refers to it."""

    content_id: int
    spool: str
    uid: str


def listing(conn: Connection) -> tuple[Spooled, ...]:
    """All content kept as files."""
    # The messages of spooled content are few among all; without an index on content_id one pass over the referring messages is cheapest.
    names: dict[int, str] = dict(conn.execute("SELECT id, spool FROM content WHERE spool IS NOT NULL").fetchall())
    if not names:
        return ()
    uids: dict[int, str] = {}
    for content_id, uid in conn.execute("SELECT content_id, uid FROM messages WHERE content_id IS NOT NULL"):
        if content_id in names:
            uids[content_id] = uid
    return tuple(Spooled(content_id, spool, uids.get(content_id, "")) for content_id, spool in names.items())
