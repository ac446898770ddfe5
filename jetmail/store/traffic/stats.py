"""Figures: how much of what there is. Each function is one statement over an index or over a bounded range; give them to `search`."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue in numbers. `oldest` is when the oldest of it was queued, None when it is empty; `next_attempt` when the next is due."""

    queued: int
    held: int
    oldest: float | None
    next_attempt: float | None


@dataclass(frozen=True, slots=True)
class Lane:
    """The part of the queue that goes to one destination. While that is down it is dialled again at `not_before`, and `reason` and `reply` say why.
    `suspended` is 0 or 1: whether people suspended it, `suspended_by` who, `note` why. `site`: what it waits for while that is cooling or
    suspended."""

    destination: str
    queued: int
    held: int
    oldest: float
    next_attempt: float | None
    down_since: float | None
    reason: str
    reply: str
    not_before: float
    suspended: int
    site: str = ""
    suspended_by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Octets of the store: `file` as it is on the disk (without its log), `free` inside it and reusable; `contents` is how many contents are kept and
    `content` their octets, those in spool files included."""

    file: int
    free: int
    contents: int
    content: int


def depth(conn: Connection) -> Depth:
    """The whole queue, by its two partial indexes."""
    waiting = conn.execute("SELECT count(*), min(queued), min(next_attempt) FROM deliveries WHERE status = 'queued' AND held = 0").fetchone()
    held = conn.execute("SELECT count(*), min(queued) FROM deliveries WHERE status = 'queued' AND held = 1").fetchone()
    oldest = [at for at in (waiting[1], held[1]) if at is not None]
    return Depth(waiting[0], held[0], min(oldest) if oldest else None, waiting[2])


def lanes(conn: Connection, limit: int = 100) -> tuple[Lane, ...]:
    """The queue by destination, longest first."""
    rows = conn.execute(
        """SELECT q.destination, sum(1 - q.held) AS waiting, sum(q.held), min(q.queued), min(CASE WHEN q.held = 0 THEN q.next_attempt END),
               l.down_since, coalesce(l.reason, ''), coalesce(l.reply, ''), coalesce(l.not_before, 0), coalesce(l.suspended, 0),
               coalesce(l.site, ''), coalesce(l.suspended_by, ''), coalesce(l.suspended_reason, '')
           FROM (SELECT destination, held, queued, next_attempt FROM deliveries WHERE status = 'queued' AND held = 0
                 UNION ALL SELECT destination, held, queued, next_attempt FROM deliveries WHERE status = 'queued' AND held = 1) AS q
           LEFT JOIN destinations AS l ON l.name = q.destination
           GROUP BY q.destination ORDER BY waiting DESC, q.destination LIMIT ?""",
        (limit,),
    ).fetchall()
    return tuple(Lane(*row) for row in rows)


def by_status(conn: Connection, since: float, domains: tuple[str, ...] | None = None) -> dict[str, int]:
    """How many deliveries of messages received from `since` on have which status; only those of `domains` when given."""
    scope, names = ("", ()) if domains is None else (f" AND d.domain IN ({', '.join('?' * len(domains))})", domains)
    rows = conn.execute(
        f"""SELECT d.status, count(*) FROM messages AS m CROSS JOIN deliveries AS d ON d.message_id = m.id
            WHERE m.received >= ?{scope} GROUP BY d.status ORDER BY d.status""",
        (since, *names),
    ).fetchall()
    return dict(rows)


def sizes(conn: Connection) -> Sizes:
    """How big the store is."""
    page, pages, free = (conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count"))
    contents, content = conn.execute("SELECT count(*), coalesce(sum(size), 0) FROM content").fetchone()
    return Sizes(page * pages, page * free, contents, content)
