"""One message: what came, what became of it for each recipient the actor may see, and its octets while they are kept.

Of a message to several recipients each person sees their own deliveries and events and nobody else's. Raises NotFoundError when the message is
not there, is out of scope, or (for `raw`) its content is no longer kept; ContentMissingError when it should be there and is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import NotFoundError
from jetmail.interfaces import IContentStore, IDatabase
from jetmail.mail.status import Status
from jetmail.spool.content import chunks
from jetmail.store.database import Connection
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Content, DeliveryRow, Event, Message


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as its page shows it. `timeline` is oldest first and begins with 'received'; `findings` are the rules' opinions with their scores."""

    message: Message
    deliveries: tuple[DeliveryRow, ...]
    timeline: tuple[Event, ...]

    @property
    def findings(self) -> tuple[dict, ...]:
        """What the rules found."""
        return self.message.findings

    @property
    def has_content(self) -> bool:
        """Whether the octets are still kept (they go when nothing needs them)."""
        return self.message.content_id is not None


def show(db: IDatabase, actor: Actor, uid: str) -> Deferred[Shown]:
    """The message of that uid with its deliveries and timeline, as far as the actor may see."""
    return Deferred.fromCoroutine(_show(db, actor, uid))


def raw(db: IDatabase, actor: Actor, uid: str, store: IContentStore) -> Deferred[Iterator[bytes]]:
    """The octets of the message in pieces, header and body as a destination gets them."""
    return Deferred.fromCoroutine(_raw(db, actor, uid, store))


async def _show(db: IDatabase, actor: Actor, uid: str) -> Shown:
    seen: Reach = db.read(access.reach, actor)
    return await db.search(_shown, seen, uid)


async def _raw(db: IDatabase, actor: Actor, uid: str, store: IContentStore) -> Iterator[bytes]:
    seen: Reach = db.read(access.reach, actor)
    found: Content = await db.search(content, seen, db.read(access.reach, actor, access.KEPT), uid)
    return chunks(found, store)


def _shown(conn: Connection, seen: Reach, uid: str) -> Shown:
    message = messages.by_uid(conn, uid)
    if message is None:
        raise NotFoundError(f"no such message: {uid}")
    everyone = messages.deliveries_of(conn, message.id)
    timeline = messages.timeline(conn, message)
    if seen.everything or (message.user and message.user in seen.users):
        return Shown(message, everyone, timeline)
    theirs = tuple(item for item in everyone if seen.covers(item.domain, item.recipient))
    if not theirs:
        raise NotFoundError(f"no such message: {uid}")
    ids = {item.id for item in theirs}
    return Shown(message, theirs, tuple(event for event in timeline if event.delivery_id is None or event.delivery_id in ids))


def content(conn: Connection, seen: Reach, refused: Reach, uid: str) -> Content:
    """The octets of a message that came to somebody the reader may see (`seen`); refused spam of which a copy is kept is for those who may see that
    (`refused`: access.KEPT). Raises NotFoundError."""
    shown = _shown(conn, seen, uid)
    if shown.message.content_id is None or not any(_is_theirs(item, seen, refused) for item in shown.deliveries):
        raise NotFoundError(f"the content of {uid} is not kept any more")
    return messages.content(conn, shown.message.content_id)


def _is_theirs(item: DeliveryRow, seen: Reach, refused: Reach) -> bool:
    """What was refused for somebody is not theirs to read because others got it."""
    if seen.everything or item.status in (Status.RECEIVED, Status.QUEUED, Status.QUARANTINED, Status.DELIVERED):
        return True
    return item.status == Status.SPAM and item.held and refused.covers(item.domain, item.recipient)
