"""Source addresses: add, change, remove, list, assign to an account or a sender's domain, and how far a warm-up is. An administrator's.

Whose mail leaves from where: the source assigned to the sender's domain (or the nearest domain above it), else to the account, else the default of
[delivery]. A source that is switched off counts as not assigned. Whether an address is this machine's own is for `jetmail check` to say: a source may
be made before its address is.

Raises UsageError (field and reason), NotFoundError (no such source, account or domain, or not an administrator), ConflictError (taken, or in use).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail import warmup
from jetmail.mail.address import AddressError, parse_domain
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, domains, sources
from jetmail.store.directory.sources import OVERFLOWS, Assignment, Source
from jetmail.store.traffic import source_days

MAX_SOURCES = 1_000
FIELDS = ("ipv4", "ipv6", "hostname", "started", "curve", "overflow", "enabled")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")


@dataclass(frozen=True, slots=True)
class Shown:
    """A source as people see it. `day` is the warm-up's day number today (0: it has none, or has not begun), `sent` what left today, `limit` how
    much may (None: no limit), `domains` and `accounts` (by name) who leave from it."""

    name: str
    ipv4: str
    ipv6: str
    hostname: str
    started: str
    curve: str
    overflow: str
    enabled: bool
    created: float
    day: int
    sent: int
    limit: int | None
    domains: tuple[str, ...]
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a source: its number in the warm-up (0: none), what left and what may (None: no limit)."""

    day: str
    number: int
    sent: int
    limit: int | None


def add(db: IDatabase, actor: Actor, name: str, settings: Mapping[str, Any], *, now: float) -> Deferred[Shown]:
    """A new source; `settings` by FIELDS, one address at least."""

    def do() -> Deferred[Shown]:
        wanted = name.strip().lower()
        if not _NAME.fullmatch(wanted):
            raise UsageError("name", "must be 1 to 64 letters, digits, '-', '_' or '.', and begin with a letter or digit")
        return db.run(_add, actor, now, _checked(replace(Source(wanted, created=now), **_known(settings))))

    return maybeDeferred(do)


def change(db: IDatabase, actor: Actor, name: str, changes: Mapping[str, Any], *, now: float) -> Deferred[Shown]:
    """Set the fields named in `changes` (FIELDS)."""

    def do() -> Deferred[Shown]:
        if not changes:
            raise UsageError("changes", "nothing to set")
        return db.run(_change, actor, now, name.lower(), _known(changes))

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Source]:
    """Forget it, and its assignments: that mail leaves from the default from then on."""
    return db.run(_remove, actor, now, name.lower())


def listing(db: IDatabase, actor: Actor, *, now: float) -> Deferred[tuple[Shown, ...]]:
    """All sources by name."""
    return db.search(_listing, actor, now)


def show(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Shown]:
    """One source."""
    return db.search(_show, actor, name.lower(), now)


def assign(db: IDatabase, actor: Actor, name: str, *, now: float, domain: str = "", account: str = "") -> Deferred[Assignment]:
    """The mail of a sender's domain, or of an account, leaves from it."""
    return maybeDeferred(lambda: db.run(_assign, actor, now, name.lower(), _domain(domain), account))


def unassign(db: IDatabase, actor: Actor, *, now: float, domain: str = "", account: str = "") -> Deferred[Assignment]:
    """Take that back."""
    return maybeDeferred(lambda: db.run(_unassign, actor, now, _domain(domain), account))


def warmup_days(db: IDatabase, actor: Actor, name: str, *, now: float, limit: int = 30) -> Deferred[tuple[Day, ...]]:
    """What left from it by day, today first, as far back as there is something to tell."""
    return db.search(_days, actor, name.lower(), now, limit)


def _add(conn: Connection, actor: Actor, now: float, source: Source) -> Shown:
    _require(actor, source.name)
    known = sources.listing(conn)
    if len(known) >= MAX_SOURCES:
        raise ConflictError(f"at most {MAX_SOURCES} sources")
    if any(other.name == source.name for other in known):
        raise ConflictError(f"the source {source.name} is here already")
    _unshared(known, source)
    sources.put(conn, source)
    access.record(conn, actor, now, "source.add", f"source {source.name}", _told(source))
    return _shown(conn, source, now)


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, Any]) -> Shown:
    before = _found(conn, actor, name)
    after = _checked(replace(before, **changes))
    _unshared(sources.listing(conn), after)
    sources.put(conn, after)
    was, told = _told(before), _told(after)
    changed: dict[str, object] = {field: {"from": was[field], "to": told[field]} for field in told if was[field] != told[field]}
    access.record(conn, actor, now, "source.set", f"source {name}", changed)
    return _shown(conn, after, now)


def _remove(conn: Connection, actor: Actor, now: float, name: str) -> Source:
    source = _found(conn, actor, name)
    assigned = [f"{item.scope} {item.scope_key}" for item in sources.assignments(conn, name)]
    sources.remove(conn, name)
    access.record(conn, actor, now, "source.remove", f"source {name}", _told(source) | {"assigned": assigned[:20]})
    return source


def _listing(conn: Connection, actor: Actor, now: float) -> tuple[Shown, ...]:
    _require(actor, "")
    return tuple(_shown(conn, source, now) for source in sources.listing(conn))


def _show(conn: Connection, actor: Actor, name: str, now: float) -> Shown:
    return _shown(conn, _found(conn, actor, name), now)


def _assign(conn: Connection, actor: Actor, now: float, name: str, domain: str, account: str) -> Assignment:
    _found(conn, actor, name)
    assignment = Assignment(*_scope(conn, domain, account), name)
    sources.assign(conn, assignment)
    access.record(conn, actor, now, "source.assign", f"source {name}", {assignment.scope: assignment.scope_key})
    return assignment


def _unassign(conn: Connection, actor: Actor, now: float, domain: str, account: str) -> Assignment:
    _require(actor, "")
    scope, key = _scope(conn, domain, account, must_exist=False)
    before = [item for item in sources.assignments(conn) if (item.scope, item.scope_key) == (scope, key)]
    if not before:
        raise NotFoundError(f"nothing is assigned to {scope} {domain or account}")
    sources.unassign(conn, scope, key)
    access.record(conn, actor, now, "source.unassign", f"source {before[0].source}", {scope: key})
    return before[0]


def _days(conn: Connection, actor: Actor, name: str, now: float, limit: int) -> tuple[Day, ...]:
    source = _found(conn, actor, name)
    today = warmup.day_of(now)
    counted = dict(source_days.days(conn, name, limit))
    return tuple(_day(source, day, counted.get(day, 0)) for day in sorted({today, *counted}, reverse=True)[:limit])


def _require(actor: Actor, name: str) -> None:
    access.require(actor, access.APPLIANCE, Object(), f"source: {name}" if name else "sources")


def _found(conn: Connection, actor: Actor, name: str) -> Source:
    _require(actor, name)
    source = sources.get(conn, name)
    if source is None:
        raise NotFoundError(f"no such source: {name}")
    return source


def _scope(conn: Connection, domain: str, account: str, must_exist: bool = True) -> tuple[str, str]:
    if bool(domain) == bool(account):
        raise UsageError("domain", "name a domain or an account, and not both")
    if domain:
        if must_exist and not _is_ours(conn, domain):
            raise NotFoundError(f"no such domain: {domain}")
        return "domain", domain
    known = accounts.named(conn, account) or (
        accounts.get(conn, int(account)) if account.isascii() and account.isdigit() and len(account) < 10 else None
    )
    if known is None:
        raise NotFoundError(f"no such account: {account}")
    return "account", str(known.id)


def _is_ours(conn: Connection, name: str) -> bool:
    """The domain, or one above it, is here."""
    while name:
        if domains.get(conn, name) is not None:
            return True
        name = name.partition(".")[2]
    return False


def _domain(text: str) -> str:
    try:
        return parse_domain(text.strip()) if text else ""
    except AddressError as error:
        raise UsageError("domain", f"'{text}': {error}") from None


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    for field in settings:
        if field not in FIELDS:
            raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
    return dict(settings)


def _checked(source: Source) -> Source:
    """As it is to be stored."""
    hostname = source.hostname.strip().lower()
    if hostname and not _HOST.fullmatch(hostname):
        raise UsageError("hostname", f"'{source.hostname}' is not a full host name")
    if source.overflow not in OVERFLOWS:
        raise UsageError("overflow", f"'{source.overflow}' is none of {', '.join(OVERFLOWS)}")
    if source.enabled not in (True, False):
        raise UsageError("enabled", "must be true or false")
    try:
        started = warmup.parse_day(source.started.strip()) if source.started else ""
    except ValueError as error:
        raise UsageError("started", f"'{source.started}' {error}") from None
    curve = source.curve.strip().lower()
    try:
        counts = warmup.curve(curve)
    except ValueError as error:
        raise UsageError("curve", f"'{source.curve[:100]}' {error}") from None
    ipv4, ipv6 = _address("ipv4", source.ipv4, 4), _address("ipv6", source.ipv6, 6)
    if not ipv4 and not ipv6:
        raise UsageError("ipv4", "one address at least is needed, ipv4 or ipv6")
    spelled = curve if curve in warmup.CURVES else ",".join(map(str, counts))
    return replace(source, ipv4=ipv4, ipv6=ipv6, hostname=hostname, started=started, curve=spelled)


def _address(field: str, text: str, version: int) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise UsageError(field, f"'{text}' is no IP address") from None
    if address.version != version:
        raise UsageError(field, f"'{text}' is an IPv{address.version} address")
    if address.is_unspecified or address.is_multicast or (isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped)):
        raise UsageError(field, f"'{text}' is nothing mail can leave from")
    return str(address)


def _unshared(known: tuple[Source, ...], source: Source) -> None:
    """An address has one warm-up."""
    for other in known:
        if other.name != source.name:
            for field in ("ipv4", "ipv6"):
                if getattr(source, field) and getattr(source, field) == getattr(other, field):
                    raise ConflictError(f"{getattr(source, field)} is the address of the source {other.name}")


def _shown(conn: Connection, source: Source, now: float) -> Shown:
    today = warmup.day_of(now)
    day = _day(source, today, source_days.sent(conn, source.name, today))
    assigned = sources.assignments(conn, source.name)
    names = {str(account.id): account.name for account in accounts.listing(conn)}
    return Shown(
        **asdict(source),
        day=day.number,
        sent=day.sent,
        limit=day.limit,
        domains=tuple(item.scope_key for item in assigned if item.scope == "domain"),
        accounts=tuple(names.get(item.scope_key, item.scope_key) for item in assigned if item.scope == "account"),
    )


def _day(source: Source, day: str, sent: int) -> Day:
    if not source.started:
        return Day(day, 0, sent, None)
    number = warmup.number(source.started, day)
    return Day(day, max(number, 0), sent, warmup.limit(warmup.curve(source.curve), number))


def _told(source: Source) -> dict[str, object]:
    told = asdict(source)
    return {field: told[field] for field in FIELDS}
