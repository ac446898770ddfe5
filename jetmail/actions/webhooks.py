"""Webhooks: add, list, show, set, remove, test, a new secret, what became of their events, dead letters sent again (docs/webhooks.md).

An account's webhook is told of what its own users send and of what comes for its own domains; the appliance's own (no account), which only an
administrator has, of everything. Whether one may go to a private address or over http is an administrator's word, and counts for the URL it was said
of: when somebody else changes the URL, it is taken back. A secret is generated, told once and never shown again; a new one signs beside the old for a
while. A fault names the field and the reason, and nothing is changed then; each change and its audit entry are one transaction.

Who may: `access.SENDING` on the account, `access.APPLIANCE` for the appliance's own. Raises UsageError, NotFoundError (no such webhook or account, or
not yours), ConflictError (the name is taken, too many of them, the webhook is off).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from jetmail.actions import access, webhook_fields
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase, IEntropy
from jetmail.mail import webhook
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, principals, webhooks
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic import webhook_queue
from jetmail.store.traffic.webhook_queue import DEAD, STATES, Figures, NewEvent, QueuedEvent

MAX_HOOKS = 50  # of one account
MAX_OVERLAP = 30 * 86_400.0
OVERLAP = 86_400.0
FIELDS = ("name", "url", "events", "smtp_users", "domains", "is_enabled", "allow_private")


@dataclass(frozen=True, slots=True)
class Shown:
    """A webhook as people see it. `account` '' for the appliance's own. `smtp_users` by name, or uuid once they are gone. `old_secret_until` 0:
    there is one secret. `queue`: how many events of each state, and since when the oldest waits."""

    uuid: str
    name: str
    account: str
    url: str
    events: tuple[str, ...]
    smtp_users: tuple[str, ...]
    domains: tuple[str, ...]
    is_enabled: bool
    allow_private: bool
    old_secret_until: float
    since: float
    created: float
    modified: float
    queue: Figures


@dataclass(frozen=True, slots=True)
class Saved:
    """The webhook as it is now. `secret` only where this call made one; `hints` are what is allowed and easily overlooked."""

    webhook: Shown
    secret: str = ""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """An event on its way or kept, with what is sent."""

    event: QueuedEvent
    body: str


def add(
    db: IDatabase,
    actor: Actor,
    name: str,
    url: str,
    *,
    now: float,
    entropy: IEntropy,
    account_id: int | None = accounts.DEFAULT,
    events: Iterable[str] = ("*",),
    smtp_users: Iterable[str] = (),
    domains: Iterable[str] = (),
    is_enabled: bool = True,
    allow_private: bool = False,
) -> Deferred[Saved]:
    """A new one, with a secret of its own. `account_id` None: the appliance's own."""

    async def do() -> Saved:
        _require(actor, account_id, f"account: {account_id if account_id is not None else 'the appliance'}")
        uuid = str(UUID(bytes=entropy.token(16), version=4))
        secret = _secret(entropy)
        fields = {
            "name": name, "url": url, "events": events, "smtp_users": smtp_users, "domains": domains, "is_enabled": is_enabled,
            "allow_private": allow_private,
        }  # fmt: skip
        new = Webhook(uuid, account_id, "", "", secret, since=now, created=now, modified=now)
        shown: Shown = await db.run(_add, actor, now, new, fields)
        return Saved(shown, secret, _hints(shown))

    return Deferred.fromCoroutine(do())


def listing(db: IDatabase, actor: Actor) -> Deferred[tuple[Shown, ...]]:
    """Those the actor may see, by name."""
    return db.search(_listing, actor)


def show(db: IDatabase, actor: Actor, name: str) -> Deferred[Saved]:
    """One of them, by name or uuid."""

    def find(conn: Connection) -> Saved:
        shown = _shown(conn, found(conn, actor, name))
        return Saved(shown, hints=_hints(shown))

    return db.search(find)


def change(db: IDatabase, actor: Actor, name: str, changes: Mapping[str, Any], *, now: float) -> Deferred[Saved]:
    """Set the fields named in `changes` (FIELDS)."""

    async def do() -> Saved:
        for field in changes:
            if field not in FIELDS:
                raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        shown: Shown = await db.run(_change, actor, now, name, dict(changes))
        return Saved(shown, hints=_hints(shown))

    return Deferred.fromCoroutine(do())


def rotate(db: IDatabase, actor: Actor, name: str, *, now: float, entropy: IEntropy, overlap: float = OVERLAP) -> Deferred[Saved]:
    """Another secret. The one before signs beside it for `overlap` seconds; 0: it counts no more."""

    async def do() -> Saved:
        if not 0 <= overlap <= MAX_OVERLAP:
            raise UsageError("overlap", f"must be 0 to {MAX_OVERLAP:g} seconds")
        secret = _secret(entropy)
        shown: Shown = await db.run(_rotate, actor, now, name, secret, overlap)
        return Saved(shown, secret)

    return Deferred.fromCoroutine(do())


def remove(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Shown]:
    """Forget it. What was on its way to it is forgotten too. -> what it was."""
    return db.run(_remove, actor, now, name)


def test(db: IDatabase, actor: Actor, name: str, *, now: float, entropy: IEntropy) -> Deferred[QueuedEvent]:
    """Send it a sample. -> the event as it waits; `outcome` tells what became of it."""
    return db.run(_test, actor, now, name, entropy.token(12).hex())


def outcome(db: IDatabase, actor: Actor, name: str, event: str) -> QueuedEvent:
    """One event of one webhook, as it is now."""
    queued: QueuedEvent = db.read(_outcome, actor, name, event)
    return queued


def events(db: IDatabase, actor: Actor, name: str, *, states: Sequence[str] = STATES, limit: int = 100) -> Deferred[list[QueuedEvent]]:
    """What is on its way to it, was taken by it, or is kept as a dead letter; newest first."""

    def find(conn: Connection) -> list[QueuedEvent]:
        return webhook_queue.listing(conn, found(conn, actor, name).uuid, states, limit)

    return db.search(find)


def letter(db: IDatabase, actor: Actor, name: str, event: str) -> Deferred[Letter]:
    """One event with what is sent."""

    def find(conn: Connection) -> Letter:
        queued = _outcome(conn, actor, name, event)
        return Letter(queued, webhook_queue.body_of(conn, queued.id).decode("utf-8", "replace"))

    return db.search(find)


def resend(db: IDatabase, actor: Actor, name: str, *, now: float, ids: Sequence[str] | None = None) -> Deferred[int]:
    """Send dead letters again as if they were new: those of the events `ids`, or all. -> how many."""

    async def do() -> int:
        total = 0
        while True:
            step: int = await db.run(_resend, actor, now, name, ids, not total)
            total += step
            if ids is not None or not step:
                return total

    return Deferred.fromCoroutine(do())


def found(conn: Connection, actor: Actor, name: str) -> Webhook:
    """The webhook of that uuid or name, when the actor may. Raises NotFoundError, ConflictError where several have that name."""
    by_uuid = webhooks.get(conn, name.lower())
    hooks = [hook for hook in ((by_uuid,) if by_uuid is not None else webhooks.named(conn, name)) if _may(actor, hook.account_id)]
    if not hooks:
        raise NotFoundError(f"no such webhook: {name}")
    if len(hooks) > 1:
        raise ConflictError(f"{len(hooks)} accounts have a webhook {name}; say which by its uuid: {', '.join(hook.uuid for hook in hooks)}")
    return hooks[0]


def _may(actor: Actor, account_id: int | None) -> bool:
    return access.may(actor, access.APPLIANCE, Object()) if account_id is None else access.may(actor, access.SENDING, Object(account_id=account_id))


def _require(actor: Actor, account_id: int | None, what: str) -> None:
    if not _may(actor, account_id):
        raise NotFoundError(f"no such {what}")


def _add(conn: Connection, actor: Actor, now: float, new: Webhook, fields: dict[str, Any]) -> Shown:
    if new.account_id is not None and accounts.get(conn, new.account_id) is None:
        raise NotFoundError(f"no such account: {new.account_id}")
    if webhooks.count(conn, new.account_id) >= MAX_HOOKS:
        raise ConflictError(f"an account may have {MAX_HOOKS} webhooks")
    hook = webhook_fields.checked(conn, actor, new, fields)
    webhooks.add(conn, hook)
    access.record(conn, actor, now, "webhook.add", f"webhook {hook.uuid}", _told(hook))
    return _shown(conn, hook)


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, Any]) -> Shown:
    before = found(conn, actor, name)
    after = replace(webhook_fields.checked(conn, actor, before, changes), modified=now)
    if after.is_enabled and not before.is_enabled:
        after = replace(after, since=now)
    webhooks.save(conn, after)
    old, new = _told(before), _told(after)
    changed: dict[str, object] = {field: {"from": old[field], "to": new[field]} for field in old if old[field] != new[field]}
    access.record(conn, actor, now, "webhook.set", f"webhook {after.uuid}", changed)
    return _shown(conn, after)


def _rotate(conn: Connection, actor: Actor, now: float, name: str, secret: str, overlap: float) -> Shown:
    before = found(conn, actor, name)
    old, until = (before.secret, now + overlap) if overlap else ("", 0.0)
    after = replace(before, secret=secret, old_secret=old, old_until=until, modified=now)
    webhooks.save(conn, after)
    access.record(conn, actor, now, "webhook.rotate", f"webhook {after.uuid}", {"name": after.name, "overlap": overlap})
    return _shown(conn, after)


def _remove(conn: Connection, actor: Actor, now: float, name: str) -> Shown:
    hook = found(conn, actor, name)
    shown = _shown(conn, hook)
    webhooks.remove(conn, hook.uuid)  # its events go with the retention's next run: they may be many
    access.record(conn, actor, now, "webhook.remove", f"webhook {hook.uuid}", _told(hook))
    return shown


def _test(conn: Connection, actor: Actor, now: float, name: str, token: str) -> QueuedEvent:
    hook = found(conn, actor, name)
    if not hook.is_enabled:
        raise ConflictError(f"the webhook {hook.name} is off; switch it on first")
    identity = webhook.event_id("test", hook.uuid, token)
    octets = webhook.body(identity, webhook.TEST, now, {"webhook": hook.uuid, "name": hook.name, "message": "This is a test."})
    webhook_queue.put(conn, NewEvent(hook.uuid, identity, webhook.TEST, octets), now)
    access.record(conn, actor, now, "webhook.test", f"webhook {hook.uuid}", {"name": hook.name, "event": identity})
    return _outcome(conn, actor, name, identity)


def _outcome(conn: Connection, actor: Actor, name: str, event: str) -> QueuedEvent:
    queued = webhook_queue.get(conn, found(conn, actor, name).uuid, event)
    if queued is None:
        raise NotFoundError(f"no such event of {name}: {event}")
    return queued


def _resend(conn: Connection, actor: Actor, now: float, name: str, ids: Sequence[str] | None, is_first: bool) -> int:
    hook = found(conn, actor, name)
    rows: list[int] | None = None
    if ids is not None:
        rows = []
        for event in ids:
            queued = _outcome(conn, actor, name, event)
            if queued.state != DEAD:
                raise ConflictError(f"{event} is no dead letter: it {'waits' if queued.state == 'waiting' else 'was taken'}")
            rows.append(queued.id)
    again = webhook_queue.again(conn, hook.uuid, now, rows)
    if again or is_first:
        detail: dict[str, object] = {"name": hook.name, "events": len(again)}
        access.record(conn, actor, now, "webhook.resend", f"webhook {hook.uuid}", detail)
    return len(again)


def _listing(conn: Connection, actor: Actor) -> tuple[Shown, ...]:
    return tuple(_shown(conn, hook) for hook in webhooks.listing(conn) if _may(actor, hook.account_id))


def _secret(entropy: IEntropy) -> str:
    return webhook.SECRET_PREFIX + base64.urlsafe_b64encode(entropy.token(32)).decode("ascii").rstrip("=")


def _told(hook: Webhook) -> dict[str, object]:
    """For the audit: the URL without its query, where people put tokens; no secret."""
    shown = hook.url.partition("?")[0]
    return {
        "name": hook.name, "account": hook.account_id, "url": shown + ("?..." if shown != hook.url else ""), "events": list(hook.events),
        "smtp_users": list(hook.smtp_users), "domains": list(hook.domains), "is_enabled": hook.is_enabled, "allow_private": hook.allow_private,
    }  # fmt: skip


def _shown(conn: Connection, hook: Webhook) -> Shown:
    account = accounts.get(conn, hook.account_id) if hook.account_id is not None else None
    users = []
    for uuid in hook.smtp_users:
        user = principals.get(conn, uuid)
        users.append(user.name if user is not None else uuid)
    return Shown(
        hook.uuid, hook.name, account.name if account is not None else "", hook.url, hook.events, tuple(users), hook.domains, hook.is_enabled,
        hook.allow_private, hook.old_until if hook.old_secret else 0.0, hook.since, hook.created, hook.modified,
        webhook_queue.figures(conn, hook.uuid),
    )  # fmt: skip


def _hints(hook: Shown) -> tuple[str, ...]:
    if hook.smtp_users and any(pattern == "*" or pattern.startswith("inbound") for pattern in hook.events):
        return ("smtp_users: inbound mail has no user, so this webhook is told of none",)
    return ()
