"""Blocked senders: who was stopped for abuse, why, and letting them go (spec 6.13, 7.32).

An administrator lets anybody go. The account itself may do so once; when the same sender is blocked again after that, it is the administrator's turn,
and after that the account has its one time again. What was counted before a release counts no more.

Raises NotFoundError (no such block, or not yours), ConflictError (let go already, or not the account's turn).
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.directory import blocked_senders, principals
from jetmail.store.directory.blocked_senders import BlockedSender


@dataclass(frozen=True, slots=True)
class Shown:
    """A block as people see it. `username` '' when the user is gone. `owner_may`: the account may still let the sender go by itself."""

    block: BlockedSender
    username: str
    owner_may: bool


def listing(db: IDatabase, actor: Actor, *, past: bool = False) -> Deferred[tuple[Shown, ...]]:
    """Who of the actor's accounts is blocked, newest first; with `past` those let go too."""
    return db.search(_listing, actor, past)


def show(db: IDatabase, actor: Actor, block_id: int) -> Deferred[Shown]:
    """One of them."""
    return db.search(_found, actor, block_id)


def unblock(db: IDatabase, actor: Actor, block_id: int, *, now: float) -> Deferred[Shown]:
    """Let the sender go."""
    return db.run(_unblock, actor, now, block_id)


def _listing(conn: Connection, actor: Actor, past: bool) -> tuple[Shown, ...]:
    seen = None if actor.is_admin else [int(grant.scope) for grant in actor.grants if grant.role == "account"]
    return tuple(_shown(conn, block) for block in blocked_senders.listing(conn, seen, past=past))


def _found(conn: Connection, actor: Actor, block_id: int) -> Shown:
    block = blocked_senders.get(conn, block_id)
    if block is None or not access.may(actor, access.SENDING, Object(account_id=block.account_id)):
        raise NotFoundError(f"no such blocked sender: {block_id}")
    return _shown(conn, block)


def _unblock(conn: Connection, actor: Actor, now: float, block_id: int) -> Shown:
    shown = _found(conn, actor, block_id)
    if shown.block.unblocked is not None:
        raise ConflictError(f"blocked sender {block_id} was let go already")
    if not actor.is_admin and not shown.owner_may:
        raise ConflictError("this sender was let go by its account before; an administrator can do it now")
    blocked_senders.unblock(conn, block_id, now, actor.name, by_owner=not actor.is_admin)
    detail: dict[str, object] = {"sender": shown.block.sender, "reason": shown.block.reason}
    access.record(conn, actor, now, "sender.unblock", f"smtp-user {shown.block.user}", detail)
    return _found(conn, actor, block_id)


def _shown(conn: Connection, block: BlockedSender) -> Shown:
    user = principals.get(conn, block.user)
    may = block.unblocked is None and not blocked_senders.released_by_owner(conn, block.user, block.sender)
    return Shown(block, user.name if user is not None else "", may)
