"""People: add, list, show, set, remove, another password (spec 6.10, 10.1). A person is an address of a verified domain of ours that signs in with a
password and sends as itself and as what was granted to it.

A fault names the field and the reason (UsageError); nothing is changed then. A password is given or generated, told once in the answer that made it
and kept only as argon2id, hashed off the reactor. Each change and its audit entry are one transaction, and counts for sign-ins and open sessions at
once. Who may: `access.SENDING` on the domain's account.

Raises UsageError, NotFoundError (no such person or domain, or not yours), ConflictError (somebody has the address, the domain is full).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from jetmail.actions import access, credentials, domains
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase, IEntropy, IExecutor
from jetmail.mail.address import Address, AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, blocked_senders, people, principals, sender_addresses, smtp_users
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.people import STATUSES, Person
from jetmail.store.traffic import sending

MAX_OF_DOMAIN = 100_000
MAX_NAME = 100
FIELDS = ("name", "status")


@dataclass(frozen=True, slots=True)
class Shown:
    """A person as people see it. `senders`: addresses granted besides their own. `figures` of the last 24 hours. `blocked`: how many of their senders
    are stopped for abuse."""

    uuid: str
    address: str
    name: str
    account: str
    domain: str
    status: str
    senders: tuple[str, ...]
    created: float
    modified: float
    last_used: float | None
    blocked: int
    figures: dict[str, int]


@dataclass(frozen=True, slots=True)
class Saved:
    """The person as it is now. `password` only where this call made one; `hints` are what is allowed and easily overlooked."""

    person: Shown
    password: str = ""
    hints: tuple[str, ...] = ()


def add(
    db: IDatabase, actor: Actor, address: str, *, now: float, executor: IExecutor, entropy: IEntropy, password: str = "", name: str = ""
) -> Deferred[Saved]:
    """A new person. Without a password one is generated and told in the answer."""

    async def do() -> Saved:
        wanted, called = _address(address), _name(name)
        db.read(_domain, actor, wanted)  # who may not, need not wait for a hash
        made, encoded = await credentials.encoded(password, executor, entropy)
        saved: Saved = await db.run(_add, actor, now, wanted, str(UUID(bytes=entropy.token(16), version=4)), called, encoded)
        return replace(saved, password=made)

    return Deferred.fromCoroutine(do())


def listing(db: IDatabase, actor: Actor, domain: str = "", *, now: float) -> Deferred[tuple[Shown, ...]]:
    """The people of the actor's accounts, or of one domain, by domain and address."""
    return db.search(_listing, actor, domain, now)


def show(db: IDatabase, actor: Actor, who: str, *, now: float) -> Deferred[Saved]:
    """One person by address or uuid."""

    def find(conn: Connection) -> Saved:
        return _saved(conn, found(conn, actor, who), now)

    return db.search(find)


def change(db: IDatabase, actor: Actor, who: str, changes: Mapping[str, Any], *, now: float) -> Deferred[Saved]:
    """Set the fields named in `changes` (FIELDS)."""

    async def do() -> Saved:
        for field in changes:
            if field not in FIELDS:
                raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        wanted = dict(changes)
        if "name" in wanted:
            wanted["name"] = _name(wanted["name"])
        if wanted.get("status", "active") not in STATUSES:
            raise UsageError("status", f"'{wanted['status']}' is none of {', '.join(STATUSES)}")
        saved: Saved = await db.run(_change, actor, now, who, wanted, "person.set")
        return saved

    return Deferred.fromCoroutine(do())


def set_password(db: IDatabase, actor: Actor, who: str, *, now: float, executor: IExecutor, entropy: IEntropy, password: str = "") -> Deferred[Saved]:
    """Another password, given or generated. The old one counts no more, and sessions it opened end at their next command."""

    async def do() -> Saved:
        db.read(found, actor, who)
        made, encoded = await credentials.encoded(password, executor, entropy)
        saved: Saved = await db.run(_change, actor, now, who, {"password": encoded}, "person.password")
        return replace(saved, password=made)

    return Deferred.fromCoroutine(do())


def remove(db: IDatabase, actor: Actor, who: str, *, now: float) -> Deferred[Shown]:
    """Forget the person and what was granted to it. Its sessions end at their next command; mail already queued goes out, and the log stays.
    -> what it was."""
    return db.run(_remove, actor, now, who)


def name_of(db: IDatabase, actor: Actor, uuid: str) -> Deferred[str]:
    """What the SMTP user or person of that uuid signs in with. Raises NotFoundError."""

    def find(conn: Connection) -> str:
        known = principals.get(conn, uuid)
        if known is None or not access.may(actor, access.SENDING, Object(account_id=known.account_id)):
            raise NotFoundError(f"nobody has the uuid {uuid}")
        return known.name

    return db.search(find)


def found(conn: Connection, actor: Actor, who: str) -> Person:
    """The person of that address or uuid, when the actor may. Raises NotFoundError."""
    try:
        person = people.at(conn, parse(who.strip()).key) if "@" in who else people.get(conn, who.strip().lower())
    except AddressError:
        person = None
    if person is None or not access.may(actor, access.SENDING, Object(account_id=person.account_id)):
        raise NotFoundError(f"no such person: {who}")
    return person


def _add(conn: Connection, actor: Actor, now: float, address: Address, uuid: str, name: str, encoded: str) -> Saved:
    domain = _domain(conn, actor, address)
    if people.at(conn, address.key) is not None:
        raise ConflictError(f"the person {address.key} is here already")
    if people.count(conn, domain.name) >= MAX_OF_DOMAIN:
        raise ConflictError(f"a domain may have {MAX_OF_DOMAIN} people")
    person = Person(uuid, address.key, domain.account_id, domain.name, name, encoded, created=now, modified=now)
    people.add(conn, person)
    access.record(conn, actor, now, "person.add", f"person {uuid}", _told(person))
    return _saved(conn, found(conn, actor, uuid), now)


def _change(conn: Connection, actor: Actor, now: float, who: str, changes: dict[str, Any], action: str) -> Saved:
    before = found(conn, actor, who)
    after = replace(before, **changes, modified=now)
    people.save(conn, after)
    was, told = _told(before), _told(after)
    changed: dict[str, object] = {field: {"from": was[field], "to": told[field]} for field in told if was[field] != told[field]}
    access.record(conn, actor, now, action, f"person {after.uuid}", changed)
    return _saved(conn, after, now)


def _remove(conn: Connection, actor: Actor, now: float, who: str) -> Shown:
    person = found(conn, actor, who)
    shown = _shown(conn, person, now, smtp_users.last_used(conn))
    people.remove(conn, person)
    access.record(conn, actor, now, "person.remove", f"person {person.uuid}", _told(person))
    return shown


def _listing(conn: Connection, actor: Actor, domain: str, now: float) -> tuple[Shown, ...]:
    name = domains.found(conn, actor, access.SEE, domain).name if domain else ""
    seen = None if actor.is_admin else [int(grant.scope) for grant in actor.grants if grant.role == "account"]
    last = smtp_users.last_used(conn)
    return tuple(_shown(conn, person, now, last) for person in people.listing(conn, seen, name))


def _saved(conn: Connection, person: Person, now: float) -> Saved:
    shown = _shown(conn, person, now, smtp_users.last_used(conn))
    if smtp_users.outbound_domain(conn, person.domain) == person.account_id:
        return Saved(shown)
    return Saved(shown, hints=(f"domain: {person.domain} is off for outbound, or not verified: the person may sign in but not send as itself",))


def _shown(conn: Connection, person: Person, now: float, last: Mapping[str, float]) -> Shown:
    account = accounts.get(conn, person.account_id)
    return Shown(
        uuid=person.uuid,
        address=person.address,
        name=person.name,
        account=account.name if account is not None else "",
        domain=person.domain,
        status=person.status,
        senders=tuple(grant.address for grant in sender_addresses.listing(conn, person.uuid)),
        created=person.created,
        modified=person.modified,
        last_used=last.get(person.uuid),
        blocked=len(blocked_senders.now_blocked(conn, person.uuid)),
        figures=sending.totals(conn, person.uuid, int(now // sending.HOUR) - 23),
    )


def _domain(conn: Connection, actor: Actor, address: Address) -> Domain:
    """The domain a person of that address may be added to."""
    domain = domains.found(conn, actor, access.SENDING, address.domain)
    if domain.kind == "alias":
        raise UsageError("address", f"{domain.name} stands for {domain.alias_of}; add the person there")
    if domain.verified_at is None:
        raise UsageError("address", f"{domain.name} is not verified yet")
    return domain


def _address(text: str) -> Address:
    try:
        return parse(text.strip())
    except AddressError as error:
        raise UsageError("address", f"'{text}': {error}") from None


def _name(text: Any) -> str:
    name = str(text).strip()
    if len(name) > MAX_NAME or not (name.isprintable() or not name):
        raise UsageError("name", f"must be at most {MAX_NAME} printable characters")
    return name


def _told(person: Person) -> dict[str, object]:
    """What the audit keeps: everything but the password, of which only that it changed."""
    return {field: getattr(person, field) for field in ("address", "account_id", "domain", "name", "status")}
