"""What came back: bounces after delivery, complaints, auto-replies, as people look at them, and what an address of ours means.

An administrator sees everything, an account what came back for mail of its users. Rewritten senders of forwards are the appliance's own.
Raises NotFoundError (no such row, or not yours), UsageError (no address).
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail import returnpath, srs
from jetmail.mail.address import AddressError, parse
from jetmail.mail.returnpath import DAY, Ring, Wrong
from jetmail.store.database import Connection
from jetmail.store.traffic import returns
from jetmail.store.traffic.returns import Return

MAX_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Explained:
    """An address of ours. `kind` return-path or forward; `status` ok, expired or forged; `sender` where what comes to it goes. Of a return path:
    `about` the message's uid, `recipient` whom it was for ('' for several), `made` and `expires` in epoch seconds."""

    address: str
    kind: str
    status: str
    sender: str = ""
    about: str = ""
    recipient: str = ""
    made: float | None = None
    expires: float | None = None


def listing(
    db: IDatabase, actor: Actor, *, kind: str = "", about: str = "", recipient: str = "", hard: bool = False, after: int = 0, limit: int = 100
) -> Deferred[tuple[Return, ...]]:
    """The newest, `after` (an id) where the last page ended. `about` a message's uid, `recipient` a part of an address, `hard` only what is of no use
    to try again."""
    return db.search(_listing, actor, kind, about, recipient, hard, after, max(1, min(limit, MAX_LIMIT)))


def show(db: IDatabase, actor: Actor, return_id: int) -> Deferred[Return]:
    """One of them."""
    return db.search(_show, actor, return_id)


def explain(db: IDatabase, actor: Actor, ring: Ring, address: str, *, now: float, days: float) -> Deferred[Explained]:
    """What an address of ours says."""
    return db.search(_explain, actor, ring, address, now, days)


def _listing(conn: Connection, actor: Actor, kind: str, about: str, recipient: str, hard: bool, after: int, limit: int) -> tuple[Return, ...]:
    return returns.listing(conn, _users(access.reach(conn, actor)), kind=kind, about=about, recipient=recipient, hard=hard, after=after, limit=limit)


def _show(conn: Connection, actor: Actor, return_id: int) -> Return:
    found = returns.get(conn, return_id)
    users = _users(access.reach(conn, actor))
    if found is None or (users is not None and found.user not in users):
        raise NotFoundError(f"no such return: {return_id}")
    return found


def _explain(conn: Connection, actor: Actor, ring: Ring, text: str, now: float, days: float) -> Explained:
    try:
        address = parse(text)
    except AddressError as error:
        raise UsageError("address", f"{text!r}: {error}") from error
    if srs.is_shaped(address.local):
        if not actor.is_admin:
            raise NotFoundError(f"no such return address: {text}")
        back = srs.reversed_(ring, now, address.local, days)
        return Explained(text, "forward", back.value) if isinstance(back, Wrong) else Explained(text, "forward", "ok", str(back))
    if not returnpath.is_shaped(address.local):
        raise UsageError("address", f"{text!r} is neither a return path (b+...) nor a rewritten sender (SRS0=..., SRS1=...)")
    # Years, so that what has expired is still explained; the day of a token goes round after 179 of them.
    token = returnpath.read(ring, now, address.local, address.domain, 36_500.0)
    if isinstance(token, Wrong):
        return Explained(text, "return-path", token.value)
    found = returns.about(conn, token.uid)
    users = _users(access.reach(conn, actor))
    if users is not None and (found is None or found[0].user not in users):
        raise NotFoundError(f"no such return address: {text}")
    expires = token.made + (days + 1) * DAY
    status = "ok" if found is not None and now < expires else "expired"
    recipient = next((each.recipient for each in found[1] if each.id == token.delivery and token.is_one), "") if found is not None else ""
    return Explained(text, "return-path", status, found[0].sender if found is not None else "", token.uid, recipient, token.made, expires)


def _users(reach: Reach) -> frozenset[str] | None:
    return None if reach.everything else reach.users
