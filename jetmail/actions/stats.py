"""The state of the appliance in figures: the queue, its destinations, what became of recent mail, the size of the store.

For an actor without the appliance, only what became of mail to their domains.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.traffic import stats
from jetmail.store.traffic.stats import Depth, Lane, Sizes

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Overview:
    """`status` counts deliveries of messages received within `period` seconds. The others are None or empty for whoever has not the appliance."""

    at: float
    period: float
    status: dict[str, int]
    queue: Depth | None
    lanes: tuple[Lane, ...]
    sizes: Sizes | None


@dataclass(frozen=True, slots=True)
class Queue:
    """`depth` is None and `lanes` empty for whoever has not the appliance."""

    depth: Depth | None
    lanes: tuple[Lane, ...]


def queue(db: IDatabase, actor: Actor, *, lanes: int = 20) -> Deferred[Queue]:
    """The figures of the queue alone, with its `lanes` longest lanes: cheap enough to be asked every few seconds."""
    return Deferred.fromCoroutine(_queue(db, actor, lanes))


def overview(db: IDatabase, actor: Actor, *, now: float, period: float = DAY, lanes: int = 20) -> Deferred[Overview]:
    """The figures of now and of the last `period` seconds, with the `lanes` longest lanes."""
    return Deferred.fromCoroutine(_overview(db, actor, now, period, lanes))


async def _queue(db: IDatabase, actor: Actor, lanes: int) -> Queue:
    seen: Reach = db.read(access.reach, actor)
    return await db.search(_read_queue, max(0, min(lanes, 1_000))) if seen.everything else Queue(None, ())


def _read_queue(conn: Connection, lanes: int) -> Queue:
    return Queue(stats.depth(conn), stats.lanes(conn, lanes))


async def _overview(db: IDatabase, actor: Actor, now: float, period: float, lanes: int) -> Overview:
    seen: Reach = db.read(access.reach, actor)
    return await db.search(_read, seen, now, period, max(0, min(lanes, 1_000)))


def _read(conn: Connection, seen: Reach, now: float, period: float, lanes: int) -> Overview:
    if seen.everything:
        status = stats.by_status(conn, now - period)
        return Overview(now, period, status, stats.depth(conn), stats.lanes(conn, lanes), stats.sizes(conn))
    return Overview(now, period, stats.by_status(conn, now - period, tuple(sorted(seen.domains))), None, (), None)
