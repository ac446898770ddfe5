"""SMTP users: create, list, show, edit, rename, delete, a new password, let go on over the quota (spec 5.1-5.5).

A fault names the field and the reason (UsageError); nothing is changed then. A password is given or generated, told once in the answer that made it
and kept only as argon2id, hashed off the reactor. Each change and its audit entry are one transaction, and counts for sign-ins and open sessions at
once. Who may: `access.SENDING` on the user's account; letting a user go on over its quota is an administrator's.

Raises UsageError, NotFoundError (no such user or account, or not yours), ConflictError (the name is taken).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from jetmail.actions import access, credentials
from jetmail.actions.access import Actor, Object
from jetmail.actions.networks import spelled
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase, IEntropy, IExecutor
from jetmail.mail.address import AddressError, parse_domain
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, blocked_senders, sender_addresses, smtp_users
from jetmail.store.directory.smtp_users import MODES, WINDOWS, SmtpUser
from jetmail.store.traffic import sending

MAX_DOMAINS = 50
MAX_QUOTA = 10**12
FIELDS = ("mode", "allow_all_domains", "allow_any_domain", "domains", "quota", "quota_window", "networks", "is_suspended")
DUAL_STACK = (
    "networks: a client with IPv4 and IPv6 may come by either, as its name look-ups and preferences have it; add both its addresses, or both ranges"
)

_USERNAME = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Shown:
    """An SMTP user as people see it. `status`: active, suspended, quota-locked, quota-unlocked. `mode` as set, `effective_mode` as it counts (any
    needs plan pro). `used` messages in the window that ends at `window_end`. `figures` of the
    last 24 hours. `senders`: addresses granted one by one."""

    uuid: str
    username: str
    account: str
    status: str
    mode: str
    effective_mode: str
    domains: tuple[str, ...]
    senders: tuple[str, ...]
    networks: tuple[str, ...]
    quota: int
    quota_window: str
    used: int
    window_end: float
    unlocked_until: float
    created: float
    modified: float
    last_used: float | None
    blocked: int
    figures: dict[str, int]


@dataclass(frozen=True, slots=True)
class Saved:
    """The user as it is now. `password` only where this call made one; `hints` are what is allowed and easily overlooked."""

    user: Shown
    password: str = ""
    hints: tuple[str, ...] = ()


def create(
    db: IDatabase,
    actor: Actor,
    username: str,
    *,
    now: float,
    executor: IExecutor,
    entropy: IEntropy,
    password: str = "",
    account_id: int = accounts.DEFAULT,
    allow_all_domains: bool = False,
    allow_any_domain: bool = False,
    domains: Iterable[str] = (),
    quota: int = 0,
    quota_window: str = "month",
    networks: Iterable[str] = (),
) -> Deferred[Saved]:
    """A new user. Without a password one is generated and told in the answer."""

    async def do() -> Saved:
        access.require(actor, access.SENDING, Object(account_id=account_id), f"account: {account_id}")
        user = SmtpUser(
            uuid=str(UUID(bytes=entropy.token(16), version=4)),
            account_id=account_id,
            username=_username(username),
            password="",
            mode=_mode(allow_all_domains, allow_any_domain),
            quota=_quota(quota),
            quota_window=_window(quota_window),
            created=now,
            modified=now,
            domains=_domains(domains),
            networks=spelled(networks),
        )
        made, encoded = await credentials.encoded(password, executor, entropy)
        shown: Shown = await db.run(_create, actor, now, replace(user, password=encoded))
        return Saved(shown, made, _hints(shown))

    return Deferred.fromCoroutine(do())


def listing(db: IDatabase, actor: Actor, *, now: float) -> Deferred[tuple[Shown, ...]]:
    """The users of the actor's accounts, by name."""
    return db.search(_listing, actor, now)


def show(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Saved]:
    """One user by name or uuid."""

    def find(conn: Connection) -> Saved:
        shown = _shown(conn, found(conn, actor, name), now)
        return Saved(shown, hints=_hints(shown))

    return db.search(find)


def change(db: IDatabase, actor: Actor, name: str, changes: Mapping[str, Any], *, now: float) -> Deferred[Saved]:
    """Set the fields named in `changes` (FIELDS): `mode` one of MODES, or the toggles allow_all_domains and allow_any_domain."""

    async def do() -> Saved:
        for field in changes:
            if field not in FIELDS:
                raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        shown: Shown = await db.run(_change, actor, now, name, dict(changes))
        return Saved(shown, hints=_hints(shown))

    return Deferred.fromCoroutine(do())


def rename(db: IDatabase, actor: Actor, name: str, username: str, *, now: float) -> Deferred[Saved]:
    """Another name for the same user: uuid, password, counters and log stay."""

    async def do() -> Saved:
        shown: Shown = await db.run(_rename, actor, now, name, _username(username))
        return Saved(shown)

    return Deferred.fromCoroutine(do())


def set_password(
    db: IDatabase, actor: Actor, name: str, *, now: float, executor: IExecutor, entropy: IEntropy, password: str = ""
) -> Deferred[Saved]:
    """Another password, given or generated. The old one counts no more, and sessions it opened end at their next command."""

    async def do() -> Saved:
        db.read(found, actor, name)  # who may not, need not wait for a hash
        made, encoded = await credentials.encoded(password, executor, entropy)
        shown: Shown = await db.run(_set_password, actor, now, name, encoded)
        return Saved(shown, made)

    return Deferred.fromCoroutine(do())


def remove(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Shown]:
    """Forget the user. Its sessions end at their next command; mail already queued goes out, and the log stays. -> what it was."""
    return db.run(_remove, actor, now, name)


def unlock(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Saved]:
    """Let the user send on although its quota is used up, until the window ends. An administrator's."""

    async def do() -> Saved:
        access.require(actor, access.APPLIANCE, Object(), f"SMTP user: {name}")
        shown: Shown = await db.run(_unlock, actor, now, name)
        return Saved(shown)

    return Deferred.fromCoroutine(do())


def found(conn: Connection, actor: Actor, name: str) -> SmtpUser:
    """The user of that name (any case) or uuid, when the actor may. Raises NotFoundError."""
    user = smtp_users.named(conn, name.lower()) or smtp_users.get(conn, name.lower())
    if user is None or not access.may(actor, access.SENDING, Object(account_id=user.account_id)):
        raise NotFoundError(f"no such SMTP user: {name}")
    return user


def _create(conn: Connection, actor: Actor, now: float, user: SmtpUser) -> Shown:
    if accounts.get(conn, user.account_id) is None:
        raise NotFoundError(f"no such account: {user.account_id}")
    _check_name(conn, user.username)
    _check(conn, actor, user)
    smtp_users.add(conn, user)
    access.record(conn, actor, now, "smtp-user.create", f"smtp-user {user.uuid}", _told(user))
    return _shown(conn, found(conn, actor, user.uuid), now)


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, Any]) -> Shown:
    before = found(conn, actor, name)
    toggles = {field: _flag(field, changes.pop(field)) for field in ("allow_all_domains", "allow_any_domain") if field in changes}
    if toggles:
        if "mode" in changes:
            raise UsageError("mode", "is said by allow_all_domains and allow_any_domain already")
        # A toggle that is switched on takes the place of the other; both at once are refused.
        is_set = any(toggles.values())
        everything = toggles.get("allow_all_domains", before.mode == "all" and not is_set)
        anything = toggles.get("allow_any_domain", before.mode == "any" and not is_set)
        changes["mode"] = _mode(everything, anything)
    checks = {"domains": _domains, "networks": spelled, "quota": _quota, "quota_window": _window}
    for field, check in checks.items():
        if field in changes:
            changes[field] = check(changes[field])
    if changes.get("mode", "default") not in MODES:
        raise UsageError("mode", f"'{changes['mode']}' is none of {', '.join(MODES)}")
    if "is_suspended" in changes:
        changes["is_suspended"] = _flag("is_suspended", changes["is_suspended"])
    after = replace(before, **changes, modified=now)
    _check(conn, actor, after, before)
    return _save(conn, actor, now, before, after, "smtp-user.set")


def _rename(conn: Connection, actor: Actor, now: float, name: str, username: str) -> Shown:
    before = found(conn, actor, name)
    if before.username != username:
        _check_name(conn, username)
    return _save(conn, actor, now, before, replace(before, username=username, modified=now), "smtp-user.rename")


def _set_password(conn: Connection, actor: Actor, now: float, name: str, encoded: str) -> Shown:
    before = found(conn, actor, name)
    return _save(conn, actor, now, before, replace(before, password=encoded, modified=now), "smtp-user.password")


def _unlock(conn: Connection, actor: Actor, now: float, name: str) -> Shown:
    before = found(conn, actor, name)
    if not before.quota:
        raise ConflictError(f"{before.username} has no quota")
    until = sending.period_end(before.quota_window, now)
    return _save(conn, actor, now, before, replace(before, unlocked_until=until), "smtp-user.unlock")


def _remove(conn: Connection, actor: Actor, now: float, name: str) -> Shown:
    user = found(conn, actor, name)
    shown = _shown(conn, user, now)
    smtp_users.remove(conn, user)
    access.record(conn, actor, now, "smtp-user.delete", f"smtp-user {user.uuid}", _told(user))
    return shown


def _save(conn: Connection, actor: Actor, now: float, before: SmtpUser, after: SmtpUser, action: str) -> Shown:
    smtp_users.save(conn, after)
    was, told = _told(before), _told(after)
    changed: dict[str, object] = {field: {"from": was[field], "to": told[field]} for field in told if was[field] != told[field]}
    access.record(conn, actor, now, action, f"smtp-user {after.uuid}", changed)
    return _shown(conn, after, now)


def _listing(conn: Connection, actor: Actor, now: float) -> tuple[Shown, ...]:
    seen = None if actor.is_admin else [int(grant.scope) for grant in actor.grants if grant.role == "account"]
    last = smtp_users.last_used(conn)
    return tuple(_shown(conn, user, now, last) for user in smtp_users.listing(conn, seen))


def _shown(conn: Connection, user: SmtpUser, now: float, last: Mapping[str, float] | None = None) -> Shown:
    account = accounts.get(conn, user.account_id)
    is_pro = account is not None and account.plan == "pro"
    used = sending.used(conn, user.uuid, sending.period(user.quota_window, now))
    status = "active"
    if user.is_suspended:
        status = "suspended"
    elif user.quota and now < user.unlocked_until:
        status = "quota-unlocked"
    elif user.quota and used >= user.quota:
        status = "quota-locked"
    seen = last if last is not None else smtp_users.last_used(conn)
    return Shown(
        uuid=user.uuid,
        username=user.username,
        account=account.name if account is not None else "",
        status=status,
        mode=user.mode,
        effective_mode="default" if user.mode == "any" and not is_pro else user.mode,
        domains=user.domains,
        senders=tuple(grant.address for grant in sender_addresses.listing(conn, user.uuid)),
        networks=user.networks,
        quota=user.quota,
        quota_window=user.quota_window,
        used=used,
        window_end=sending.period_end(user.quota_window, now),
        unlocked_until=user.unlocked_until,
        created=user.created,
        modified=user.modified,
        last_used=seen.get(user.uuid),
        blocked=len(blocked_senders.now_blocked(conn, user.uuid)),
        figures=sending.totals(conn, user.uuid, int(now // sending.HOUR) - 23),
    )


def _check_name(conn: Connection, username: str) -> None:
    if smtp_users.named(conn, username) is not None:
        raise ConflictError(f"the username {username} is taken")


def _check(conn: Connection, actor: Actor, user: SmtpUser, before: SmtpUser | None = None) -> None:
    """What depends on the rest of the directory."""
    account = accounts.get(conn, user.account_id)
    if user.mode == "any" and (before is None or before.mode != "any") and (account is None or account.plan != "pro"):
        raise UsageError("allow_any_domain", "is for accounts of plan pro")
    if actor.is_admin:
        return
    for domain in user.domains:
        if before is not None and domain in before.domains:
            continue
        if not any(smtp_users.outbound_domain(conn, name) == user.account_id for name in _upwards(domain.removeprefix("*."))):
            raise UsageError("domains", f"{domain} is no verified outbound domain of the account, nor below one")


def _upwards(domain: str) -> list[str]:
    parts = domain.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _mode(allow_all_domains: bool, allow_any_domain: bool) -> str:
    if allow_all_domains and allow_any_domain:
        raise UsageError("allow_any_domain", "allow_all_domains is on too; at most one of the two may be")
    return "all" if allow_all_domains else "any" if allow_any_domain else "default"


def _username(text: str) -> str:
    name = text.strip().lower()
    if "@" in name:
        raise UsageError("username", "may not have an @; it is a name, not an address")
    if not _USERNAME.fullmatch(name):
        raise UsageError("username", "must be 1 to 64 of the letters a to z, digits and -")
    return name


def _quota(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_QUOTA:
        raise UsageError("quota", "must be a number of messages, 0 for as many as they like")
    return value


def _window(value: Any) -> str:
    if value not in WINDOWS:
        raise UsageError("quota_window", f"'{value}' is none of {', '.join(WINDOWS)}")
    return str(value)


def _flag(field: str, value: Any) -> bool:
    if value not in (True, False):
        raise UsageError(field, "must be true or false")
    return bool(value)


def _domains(texts: Iterable[str]) -> tuple[str, ...]:
    made: dict[str, None] = {}
    for text in texts:
        star, name = ("*.", text.strip()[2:]) if text.strip().startswith("*.") else ("", text.strip())
        try:
            domain = parse_domain(name.removesuffix("."))
        except AddressError as error:
            raise UsageError("domains", f"'{text}': {error}") from None
        if domain.startswith("["):
            raise UsageError("domains", f"'{text}' is an address, not a domain")
        made[star + domain] = None
        if len(made) > MAX_DOMAINS:
            raise UsageError("domains", f"more than {MAX_DOMAINS}")
    return tuple(sorted(made))


def _hints(user: Shown) -> tuple[str, ...]:
    made = []
    if user.networks:
        made.append(DUAL_STACK)
    if user.mode == "default" and not user.domains and not user.senders:
        made.append("domains: none assigned, so nothing may be sent yet")
    if user.mode != user.effective_mode:
        made.append("mode: any counts as default, because the account is not of plan pro")
    return tuple(made)


def _told(user: SmtpUser) -> dict[str, Any]:
    """What the audit keeps: everything but the password, of which only that it changed."""
    told = {field: getattr(user, field) for field in smtp_users.COLUMNS if field not in ("uuid", "password", "created", "modified")}
    return told | {"domains": user.domains, "networks": user.networks}
