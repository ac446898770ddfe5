"""What others report about our domains, as people look at it: reports, one with its rows, and everything summed by source.

An administrator sees all of it and what could not be read; others see reports about their own domains. Raises NotFoundError, UsageError.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.traffic import aggregates
from jetmail.store.traffic.aggregates import Report, Row, Source

KINDS = ("tls", "dmarc", "fault")
MAX_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Opened:
    """One report with what it counts."""

    report: Report
    rows: tuple[Row, ...]


def listing(
    db: IDatabase, actor: Actor, *, domain: str = "", kind: str = "", since: float = 0.0, after: int = 0, limit: int = 100
) -> Deferred[tuple[Report, ...]]:
    """The newest, `after` (an id) where the last page ended. `since`: taken in then or later."""
    _check(kind)
    return db.search(_listing, actor, domain, kind, since, after, max(1, min(limit, MAX_LIMIT)))


def show(db: IDatabase, actor: Actor, number: int) -> Deferred[Opened]:
    """One of them."""
    return db.search(_show, actor, number)


def sources(db: IDatabase, actor: Actor, *, domain: str = "", kind: str = "", since: float = 0.0, limit: int = 100) -> Deferred[tuple[Source, ...]]:
    """By source and domain, those with the most failures first."""
    _check(kind)
    return db.search(_sources, actor, domain, kind, since, max(1, min(limit, MAX_LIMIT)))


def rate(passed: int, failed: int) -> float | None:
    """The part that passed, in percent; None of nothing."""
    return round(100.0 * passed / (passed + failed), 1) if passed + failed else None


def _check(kind: str) -> None:
    if kind and kind not in KINDS:
        raise UsageError("kind", f"'{kind}' is none of {', '.join(KINDS)}")


def _listing(conn: Connection, actor: Actor, domain: str, kind: str, since: float, after: int, limit: int) -> tuple[Report, ...]:
    ours = _ours(access.reach(conn, actor))
    return aggregates.listing(conn, ours, domain=domain, kind=kind, since=since, after=after, limit=limit)


def _show(conn: Connection, actor: Actor, number: int) -> Opened:
    found = aggregates.get(conn, number)
    ours = _ours(access.reach(conn, actor))
    if found is None or (ours is not None and found.ours not in ours):
        raise NotFoundError(f"no such report: {number}")
    return Opened(found, aggregates.rows(conn, number))


def _sources(conn: Connection, actor: Actor, domain: str, kind: str, since: float, limit: int) -> tuple[Source, ...]:
    return aggregates.sources(conn, _ours(access.reach(conn, actor)), domain=domain, kind=kind, since=since, limit=limit)


def _ours(seen: Reach) -> frozenset[str] | None:
    return None if seen.everything else seen.domains
