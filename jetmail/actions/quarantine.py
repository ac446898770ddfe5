"""The quarantine as people see it and decide about it: list, release, release and train, delete (spec 1.4, 10.3).

Promises
- A released delivery goes straight to the queue with its original envelope and a lifetime of its own, and is never judged again. Releasing one
  recipient of several touches only that one. A second release is refused (ConflictError).
- Only what is kept can be released: quarantined mail, and refused spam where a domain keeps a copy, which its owner alone sees here.
- Releasing trains nobody unless asked to; `train` is then called for each message and recipient before the release, while the content is sure to be
  there, and a training that fails stops the release.
- Each change is in the audit and in the message's timeline, with who did it.

Who may: `access.QUARANTINE` for quarantined mail, `access.KEPT` for refused spam. What is out of scope does not exist (NotFoundError).
Raises UsageError, NotFoundError, ConflictError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IContentStore, IDatabase
from jetmail.mail.status import Status
from jetmail.store.database import Connection
from jetmail.store.traffic import messages, quarantine
from jetmail.store.traffic.messages import DeliveryRow
from jetmail.store.traffic.quarantine import Kept, Wanted

MAX_LIMIT = 1_000
PORTION = 200
MAX_NAMED = 500  # ids or uids in one question: SQLite takes so many values, and nobody types more

Train = Callable[[Kept], Awaitable[object]]  # learn that this message is no spam for its recipient


def listing(db: IDatabase, actor: Actor, wanted: Wanted, *, now: float, limit: int = 100, before: int = 0) -> Deferred[list[Kept]]:
    """What is kept and wanted, newest first; `before` is the id of the last row of the page before."""
    return Deferred.fromCoroutine(_listing(db, actor, wanted, now, limit, before))


def count(db: IDatabase, actor: Actor, wanted: Wanted, *, now: float) -> Deferred[int]:
    """How many that is."""
    return Deferred.fromCoroutine(_count(db, actor, wanted, now))


def release(db: IDatabase, actor: Actor, wanted: Wanted, *, now: float, train: Train | None = None) -> Deferred[list[Kept]]:
    """Deliver what is wanted. -> what was released. Every id and uid named must be there and kept: else nothing is done and the error says which."""
    return Deferred.fromCoroutine(_release(db, actor, wanted, now, train))


def delete(db: IDatabase, actor: Actor, wanted: Wanted, *, now: float, store: IContentStore) -> Deferred[list[Kept]]:
    """Give up what is wanted, telling nobody. -> what was deleted."""
    return Deferred.fromCoroutine(_delete(db, actor, wanted, now, store))


async def _listing(db: IDatabase, actor: Actor, wanted: Wanted, now: float, limit: int, before: int) -> list[Kept]:
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError("limit", f"must be 1 to {MAX_LIMIT}")
    found: list[Kept] = await db.search(quarantine.select, now, _scoped(db, actor, wanted), limit, before)
    return found


async def _count(db: IDatabase, actor: Actor, wanted: Wanted, now: float) -> int:
    found: int = await db.search(quarantine.count, now, _scoped(db, actor, wanted))
    return found


async def _release(db: IDatabase, actor: Actor, wanted: Wanted, now: float, train: Train | None) -> list[Kept]:
    scoped = await _checked(db, actor, wanted, now)
    released: list[Kept] = []
    while portion := await db.search(quarantine.select, now, scoped, PORTION):
        if train is not None:
            for item in portion:
                await train(item)
        done: list[Kept] = await db.run(_release_portion, actor, now, [item.id for item in portion], train is not None)
        released += done
        if len(portion) < PORTION or not done:
            break
    if not released and (wanted.ids or wanted.uids):
        raise ConflictError("somebody else has just decided about it")
    return released


async def _delete(db: IDatabase, actor: Actor, wanted: Wanted, now: float, store: IContentStore) -> list[Kept]:
    scoped = await _checked(db, actor, wanted, now)
    deleted: list[Kept] = []
    while portion := await db.search(quarantine.select, now, scoped, PORTION):
        done, files = await db.run(_delete_portion, actor, now, [item.id for item in portion])
        for name in files:
            store.delete(name)
        deleted += done
        if len(portion) < PORTION or not done:
            break
    return deleted


async def _checked(db: IDatabase, actor: Actor, wanted: Wanted, now: float) -> Wanted:
    """What is wanted within the actor's scope. Whoever names something must find it."""
    if wanted.is_empty:
        raise UsageError("selection", "says nothing; name ids, a recipient, a sender, a domain or an age")
    if len(wanted.ids) + len(wanted.uids) > MAX_NAMED:
        raise UsageError("selection", f"names more than {MAX_NAMED}")
    scoped = _scoped(db, actor, wanted)
    if wanted.ids or wanted.uids:
        seen: Reach = db.read(access.reach, actor)
        await db.search(_check_named, now, scoped, seen)
    return scoped


def _check_named(conn: Connection, now: float, scoped: Wanted, seen: Reach) -> None:
    """Raise for the first that is not there, not the actor's, or decided about already; which it is is told to who may see it alone."""
    for delivery_id in scoped.ids:
        if not quarantine.count(conn, now, replace(scoped, ids=(delivery_id,), uids=())):
            row = messages.delivery(conn, delivery_id)
            if row is None or not seen.covers(row.domain, row.recipient):
                raise NotFoundError(f"no such delivery: {delivery_id}")
            raise ConflictError(f"delivery {delivery_id} to {row.recipient} is not in the quarantine (any more): {_state(row)}")
    for uid in scoped.uids:
        if not quarantine.count(conn, now, replace(scoped, ids=(), uids=(uid,))):
            message = messages.by_uid(conn, uid)
            rows = messages.deliveries_of(conn, message.id) if message is not None else ()
            theirs = [row for row in rows if seen.covers(row.domain, row.recipient)]
            if not theirs:
                raise NotFoundError(f"no such message: {uid}")
            raise ConflictError(f"message {uid} is not in the quarantine (any more): {', '.join(dict.fromkeys(map(_state, theirs)))}")


def _state(row: DeliveryRow) -> str:
    return f"{row.status}, deleted or expired" if row.status == Status.QUARANTINED and row.finished is not None else row.status


def _release_portion(conn: Connection, actor: Actor, now: float, ids: list[int], has_trained: bool) -> list[Kept]:
    done = quarantine.release(conn, now, ids, actor.name)
    for item in done:
        access.record(conn, actor, now, "quarantine.release", f"message {item.uid}", {"recipient": item.recipient, "trained": has_trained})
    return done


def _delete_portion(conn: Connection, actor: Actor, now: float, ids: list[int]) -> tuple[list[Kept], list[str]]:
    done, files = quarantine.delete(conn, now, ids, actor.name)
    for item in done:
        access.record(conn, actor, now, "quarantine.delete", f"message {item.uid}", {"recipient": item.recipient})
    return done, files


def _scoped(db: IDatabase, actor: Actor, wanted: Wanted) -> Wanted:
    """What is wanted within what the actor may decide about."""
    mine: Reach = db.read(access.reach, actor, access.QUARANTINE)
    if mine.everything:
        return wanted
    refused: Reach = db.read(access.reach, actor, access.KEPT)
    domains = mine.domains if wanted.domains is None else mine.domains & set(wanted.domains)
    return replace(wanted, domains=tuple(sorted(domains)), addresses=tuple(sorted(mine.addresses)), refused_for=tuple(sorted(refused.domains)))
