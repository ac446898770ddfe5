"""Which attachments are not taken: of the appliance, and of a domain, whose own comes in place of the appliance's.

Raises UsageError naming the field, NotFoundError (no such domain, or not yours). Each change and its audit entry are one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, domains
from jetmail.actions.access import Actor, Object
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.rules import attachments
from jetmail.rules.attachments import NO_ATTACHMENT_POLICY, AttachmentPolicy
from jetmail.store.database import Connection
from jetmail.store.directory import settings

SETTING = "attachments"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is in force for a domain ('' is the appliance). `source`: 'domain', 'appliance' or 'default'."""

    domain: str
    source: str
    action: str
    types: tuple[str, ...]
    extensions: tuple[str, ...]
    archives: bool
    locked: bool


def show(db: IDatabase, actor: Actor, domain: str = "") -> Deferred[Shown]:
    """What is in force."""
    return maybeDeferred(lambda: db.search(_show, actor, domain))


def change(db: IDatabase, actor: Actor, changes: Mapping[str, Any], domain: str = "", *, now: float) -> Deferred[Shown]:
    """Set what is given (action, types, extensions, archives, locked), keep the rest of what was set at this level."""

    def do() -> Deferred[Shown]:
        if not changes:
            raise UsageError("changes", "nothing to set")
        return db.run(_change, actor, now, domain, dict(changes))

    return maybeDeferred(do)


def reset(db: IDatabase, actor: Actor, domain: str = "", *, now: float) -> Deferred[Shown]:
    """Give it back to the level above."""
    return maybeDeferred(lambda: db.run(_change, actor, now, domain, None))


def _show(conn: Connection, actor: Actor, name: str) -> Shown:
    key = _key(conn, actor, access.SEE if name else access.APPLIANCE, name)
    own, general = settings.get(conn, key), settings.get(conn, SETTING)
    policy = attachments.parse(own) if own else attachments.parse(general) if general else NO_ATTACHMENT_POLICY
    source = "domain" if own and name else "appliance" if general else "default"
    return _shown(key.partition(":")[2], source, policy)


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, Any] | None) -> Shown:
    key = _key(conn, actor, access.DOMAIN if name else access.APPLIANCE, name)
    before = settings.get(conn, key) or {}
    after = attachments.parse({**before, **changes}).stored() if changes is not None else None
    settings.put(conn, key, after)
    domain = key.partition(":")[2]
    access.record(
        conn, actor, now, "attachments.set" if after else "attachments.reset", f"attachments {domain}".rstrip(), {"from": before or None, "to": after}
    )
    return _show(conn, actor, name)


def _key(conn: Connection, actor: Actor, verb: str, name: str) -> str:
    if not name:
        access.require(actor, verb, Object(), "appliance")
        return SETTING
    domain = domains.found(conn, actor, verb, name)
    if domain.alias_of:
        raise UsageError("domain", f"{name} stands for {domain.alias_of}, whose attachments count")
    return f"{SETTING}:{domain.name}"


def _shown(domain: str, source: str, policy: AttachmentPolicy) -> Shown:
    return Shown(domain, source, policy.action, tuple(sorted(policy.types)), tuple(sorted(policy.extensions)), policy.archives, policy.locked)
