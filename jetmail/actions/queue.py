"""The queue as people see it and change it: list, count, retry, hold, unhold, bounce, delete, by selection.

A change works through the selection in portions, each one transaction with its events and its audit entry, so that emptying a queue of a
hundred thousand does not stop mail. An administrator reaches all of it; an account or an owner only mail to their own domains.

Raises UsageError (an empty selection must say `everything`), NotFoundError (nothing of the queue is the actor's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IContentStore, IDatabase
from jetmail.store.database import Connection
from jetmail.store.traffic import administration
from jetmail.store.traffic.administration import Queued, Selection

MAX_LIMIT = 1_000
PORTION = 500
VERBS = ("retry", "hold", "unhold", "bounce", "delete")


def listing(db: IDatabase, actor: Actor, selection: Selection, *, now: float, limit: int = 100, before: int = 0) -> Deferred[list[Queued]]:
    """Queued deliveries, newest first; `before` is the id of the last row of the page before."""
    return Deferred.fromCoroutine(_listing(db, actor, selection, now, limit, before))


def count(db: IDatabase, actor: Actor, selection: Selection, *, now: float) -> Deferred[int]:
    """How many are selected."""
    return Deferred.fromCoroutine(_count(db, actor, selection, now))


def reasons(db: IDatabase, actor: Actor, selection: Selection, *, now: float) -> Deferred[list[tuple[str, str, int]]]:
    """(destination, reason, how many) of what is selected, most first."""
    return Deferred.fromCoroutine(_reasons(db, actor, selection, now))


def change(db: IDatabase, actor: Actor, verb: str, selection: Selection, *, now: float, store: IContentStore | None = None) -> Deferred[int]:
    """Do `verb` (VERBS) to everything selected. -> how many deliveries it changed. `store` is needed to delete: files of large content go with it."""
    return Deferred.fromCoroutine(_change(db, actor, verb, selection, now, store))


async def _listing(db: IDatabase, actor: Actor, selection: Selection, now: float, limit: int, before: int) -> list[Queued]:
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError("limit", f"must be 1 to {MAX_LIMIT}")
    return await db.search(administration.select, now, _scoped(db, actor, access.SEE, selection), limit, before)


async def _count(db: IDatabase, actor: Actor, selection: Selection, now: float) -> int:
    return await db.search(administration.count, now, _scoped(db, actor, access.SEE, selection))


async def _reasons(db: IDatabase, actor: Actor, selection: Selection, now: float) -> list[tuple[str, str, int]]:
    return await db.search(administration.reasons, now, _scoped(db, actor, access.SEE, selection))


async def _change(db: IDatabase, actor: Actor, verb: str, selection: Selection, now: float, store: IContentStore | None) -> int:
    if verb not in VERBS:
        raise UsageError("verb", f"'{verb}' is none of {', '.join(VERBS)}")
    if verb == "delete" and store is None:
        raise UsageError("store", "is needed to delete")
    scoped = _scoped(db, actor, access.QUEUE, selection)
    if selection.is_empty and not selection.everything:
        raise UsageError("selection", "says nothing; name ids, a recipient, a destination or an age, or say everything")
    done = 0
    while True:
        changed, files = await db.run(_portion, actor, now, verb, scoped)
        for name in files:
            assert store is not None
            store.delete(name)
        done += changed
        if changed < PORTION:
            return done


def _portion(conn: Connection, actor: Actor, now: float, verb: str, selection: Selection) -> tuple[int, list[str]]:
    files: list[str] = []
    if verb == "delete":
        changed, files = administration.delete(conn, now, selection, actor.name, PORTION)
    else:
        functions: dict[str, Callable[..., int]] = {
            "retry": administration.retry,
            "hold": administration.hold,
            "unhold": administration.unhold,
            "bounce": administration.bounce,
        }
        changed = functions[verb](conn, now, selection, actor.name, PORTION)
    if changed:
        access.record(conn, actor, now, f"queue.{verb}", "queue", {"count": changed, "selection": _told(selection)})
    return changed, files


def _scoped(db: IDatabase, actor: Actor, verb: str, selection: Selection) -> Selection:
    """The selection within what the actor may do `verb` to."""
    reached: Reach = db.read(access.reach, actor, verb)
    if reached.everything:
        return selection
    if not reached.domains:
        raise NotFoundError("no such queue")
    names = reached.domains if selection.domains is None else reached.domains & set(selection.domains)
    return replace(selection, domains=tuple(sorted(names)))


def _told(selection: Selection) -> dict[str, object]:
    """The criteria that were given; long lists by their beginning."""
    told: dict[str, object] = {}
    for field in Selection.__slots__:
        value = getattr(selection, field)
        if value:
            told[field] = value[:20] if isinstance(value, tuple) else value
    return told
