"""A rule tried on the log and the quarantine before it is let loose (spec 10.5): what it would have matched, and what cannot be told any more.

Nothing is changed. Looked at are the newest rows the actor may see and the rule would be asked about: of its domain, its address, its account. The
content of what is queued or held is read where a condition needs it, at most MAX_CONTENTS of at most MAX_OCTETS.

Raises UsageError (conditions that make no sense, with the field), NotFoundError (no such rule, no such scope, or not yours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred

from jetmail.actions import access, logsearch, messages, rules
from jetmail.actions.access import Actor
from jetmail.errors import ContentMissingError, NotFoundError
from jetmail.interfaces import IContentStore, IDatabase
from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.message import Message
from jetmail.mail.status import Status
from jetmail.rules.conditions import Conditions, compile_conditions
from jetmail.rules.dryrun import Logged, match
from jetmail.spool.content import head
from jetmail.store.database import Connection
from jetmail.store.directory import domains
from jetmail.store.directory.rules import StoredRule
from jetmail.store.traffic.messages import Content, deliveries_of
from jetmail.store.traffic.search import Criteria, LogRow

MAX_ROWS = 10_000
MAX_MATCHES = 1_000
MAX_CONTENTS = 1_000
MAX_OCTETS = 1024 * 1024  # of one content: what is longer is judged by its beginning

_MAY_HAVE_CONTENT = frozenset({Status.QUEUED, Status.QUARANTINED, Status.SPAM, Status.DELIVERED})


@dataclass(frozen=True, slots=True)
class Tried:
    """`matched` and `unknown` (its content would decide, and is gone) are the first MAX_MATCHES rows of each kind, newest first, beside how many
    there were. `looked_at` counts rows in all; `is_complete`: there were no more."""

    looked_at: int
    matched: tuple[LogRow, ...]
    matches: int
    unknown: tuple[LogRow, ...]
    unknowns: int
    is_complete: bool


def try_stored(
    db: IDatabase, actor: Actor, uuid: str, store: IContentStore, *, date_from: float | None = None, limit: int = MAX_ROWS
) -> Deferred[Tried]:
    """A rule that is there, enabled or not, on mail of its own scope."""
    return Deferred.fromCoroutine(_try_stored(db, actor, uuid, store, date_from, limit))


def try_conditions(
    db: IDatabase,
    actor: Actor,
    scope: str,
    scope_key: str,
    action: str,
    conditions: Mapping[str, Any],
    store: IContentStore,
    *,
    date_from: float | None = None,
    limit: int = MAX_ROWS,
) -> Deferred[Tried]:
    """Conditions nobody has saved, as they would be saved for that scope."""
    return Deferred.fromCoroutine(_try_conditions(db, actor, scope, scope_key, action, conditions, store, date_from, limit))


async def _try_stored(db: IDatabase, actor: Actor, uuid: str, store: IContentStore, date_from: float | None, limit: int) -> Tried:
    rule = await rules.show(db, actor, uuid)
    return await _try(db, actor, rule.scope, rule.scope_key, rule.action == "allow", compile_conditions(rule.parsed), store, date_from, limit)


async def _try_conditions(
    db: IDatabase,
    actor: Actor,
    scope: str,
    scope_key: str,
    action: str,
    conditions: Mapping[str, Any],
    store: IContentStore,
    date_from: float | None,
    limit: int,
) -> Tried:
    scope, scope_key = rules.scope_of(scope, scope_key)
    await db.search(rules.require_scope, actor, scope, scope_key)
    checked = StoredRule("", scope, scope_key, action, "dry run", conditions=json.dumps(dict(conditions)))
    return await _try(db, actor, scope, scope_key, action == "allow", compile_conditions(rules.checked(checked).parsed), store, date_from, limit)


async def _try(
    db: IDatabase,
    actor: Actor,
    scope: str,
    scope_key: str,
    is_allow: bool,
    conditions: Conditions,
    store: IContentStore,
    date_from: float | None,
    limit: int,
) -> Tried:
    home = scope_key.rpartition("@")[2]
    if scope == "address":
        conditions = replace(conditions, recipients=())  # by whose mail it is, as in PolicyBook
    names: frozenset[str] | None = await db.search(_domains, scope, scope_key) if scope in ("account", "domain", "address") else None
    criteria = Criteria(direction="inbound", date_from=date_from, domain=next(iter(names)) if names is not None and len(names) == 1 else "")
    reading = _Reading(db, actor, store)
    looked_at = matches = unknowns = 0
    matched: list[LogRow] = []
    unknown: list[LogRow] = []
    after = ""
    while True:
        page = await logsearch.search(db, actor, criteria, limit=min(logsearch.MAX_LIMIT, limit - looked_at), after=after)
        for row in page.rows:
            looked_at += 1
            if names is not None and row.domain not in names:
                continue
            logged = Logged(row.client_address, _address(row.sender), _address(row.recipient), _address(row.header_from), row.subject, row.size)
            if scope == "address" and not await _is_theirs(db, row, logged.recipient, home, scope_key):
                continue
            await reading.prepare(row, conditions)
            found = match(conditions, logged, reading.message, is_allow=is_allow)
            if found:
                matches += 1
                matched += [row] if matches <= MAX_MATCHES else []
            elif found is None:
                unknowns += 1
                unknown += [row] if unknowns <= MAX_MATCHES else []
        after = page.next
        if not after or looked_at >= limit:
            return Tried(looked_at, tuple(matched), matches, tuple(unknown), unknowns, not after)


class _Reading:
    """Contents for as long as there are any and as many as may be read; the last is kept, because recipients of one message follow one another."""

    def __init__(self, db: IDatabase, actor: Actor, store: IContentStore) -> None:
        self._db = db
        self._store = store
        self._seen = db.read(access.reach, actor)
        self._refused = db.read(access.reach, actor, access.KEPT)
        self._left = MAX_CONTENTS
        self._uid = ""
        self._message: Message | None = None

    async def prepare(self, row: LogRow, conditions: Conditions) -> None:
        """The row's content, where a condition may ask for it and it may still be there."""
        if not (conditions.body or conditions.headers or conditions.attachments) or row.uid == self._uid:
            return
        self._uid, self._message = row.uid, None
        if self._left <= 0 or row.status not in _MAY_HAVE_CONTENT:
            return
        try:
            content: Content = await self._db.search(messages.content, self._seen, self._refused, row.uid)
            self._message = Message(head(content, self._store, MAX_OCTETS), row.size)
            self._left -= 1
        except (ContentMissingError, NotFoundError):
            return

    def message(self) -> Message | None:
        """What was prepared."""
        return self._message


async def _is_theirs(db: IDatabase, row: LogRow, recipient: Address | None, home: str, key: str) -> bool:
    """Whether the rules of that address were asked about this mail, as inbound.policies has it: at an alias domain it is the same person, without the
    tag too, and so is an alias that leads to that mailbox alone."""
    if recipient is None:
        return False
    own, target = Address(recipient.local, home), _address(row.target)
    if key in (own.key, own.untagged.key):
        return True
    if target is None or key not in (target.key, target.untagged.key):
        return False
    deliveries = await db.search(deliveries_of, row.message_id)
    return sum(each.recipient == row.recipient for each in deliveries) == 1


def _domains(conn: Connection, scope: str, scope_key: str) -> frozenset[str]:
    """Whose mail a rule of that scope is asked about: alias domains have the rules of the domain they stand for."""
    if scope == "account":
        return frozenset(domain.name for domain in domains.listing(conn, account_ids=[int(scope_key)]))
    name = scope_key.rpartition("@")[2]
    return frozenset({name, *domains.aliases_of(conn, name)})


def _address(text: str) -> Address | None:
    try:
        return parse(text) if text else None
    except AddressError:
        return None
