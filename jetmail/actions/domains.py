"""Domains: add, list, show, set, remove, each checked field by field and written down.

A fault names the field and the reason (UsageError); nothing is changed then. What is allowed but odd comes back as warnings beside the result.
Each change and its audit entry are one transaction. Who may: `access.DOMAIN`; seeing is `access.SEE`.

Raises UsageError, NotFoundError (no such domain, or not yours), ConflictError (the name is taken, or other domains need it).
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, ownership
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse_domain
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, domains, settings
from jetmail.store.directory.domains import Destination, Domain

TLS_MODES = ("none", "opportunistic", "required", "verified")
SPAM_ACTIONS = ("quarantine", "tag", "junk")
DMARC_MODES = ("enforce", "score", "ignore")
RECIPIENT_MODES = ("any", "listed", "callout", "ldap")
KINDS = ("relay", "hosted", "alias")
MAX_SCORE = 999.0  # spec 6.7: the maximum disables a threshold
DEFAULT_SCORES = {"reject_score": 15.0, "spam_score": 6.0, "defer_score": 4.0}
MAX_DESTINATIONS = 50
MAX_DOMAINS = 100_000
FIELDS = (
    "destinations", "recipients", "inbound", "outbound", "reject_score", "spam_score", "defer_score", "spam_action", "keep_spam", "dmarc", "alias_of",
    "verified",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saved:
    """The domain as it is now, and what is odd about it."""

    domain: Domain
    warnings: tuple[str, ...] = ()


def parse_destination(text: str, *, priority: int = 10, tls: str = "opportunistic") -> Destination:
    """'HOST', 'HOST:PORT', '[IPv6]:PORT', a bare IPv4 or IPv6 address -> Destination. Raises UsageError('destination', ...)."""
    host, port = _split_port(text.strip())
    if not 1 <= port <= 65_535:
        raise UsageError("destination", f"port {port} is not 1 to 65535")
    return checked_destination(Destination(host, port, priority, tls))


def checked_destination(given: Destination) -> Destination:
    """The destination in stored spelling. Raises UsageError."""
    if not 1 <= given.port <= 65_535:
        raise UsageError("destination", f"port {given.port} is not 1 to 65535")
    if not 0 <= given.priority <= 65_535:
        raise UsageError("priority", "must be 0 to 65535, lower is tried first")
    if given.tls not in TLS_MODES:
        raise UsageError("tls", f"'{given.tls}' is none of {', '.join(TLS_MODES)}")
    return replace(given, host=_host(given.host))


def add(
    db: IDatabase,
    actor: Actor,
    name: str,
    *,
    now: float,
    destinations: Iterable[Destination] = (),
    kind: str = "relay",
    alias_of: str = "",
    verified: bool = False,
    recipients: str = "any",
    reject_score: float | None = None,
    spam_score: float | None = None,
    defer_score: float | None = None,
    spam_action: str = "quarantine",
    keep_spam: bool = False,
    dmarc: str = "enforce",
    account_id: int = accounts.DEFAULT,
    challenge: str = "",
) -> Deferred[Saved]:
    """Take mail for a new domain; or claim one that another account has claimed and not proved (actions.ownership). `verified`: do not wait for the
    owner's proof by DNS (an admin's word); `challenge` is what that proof must say."""

    def make() -> Domain:
        return _checked(
            Domain(
                name=_name("name", name),
                account_id=account_id,
                kind=kind,
                alias_of=_name("alias_of", alias_of) if alias_of else None,
                verified_at=now if verified else None,
                challenge=challenge,
                recipients=recipients,
                reject_score=score("reject_score", reject_score),
                spam_score=score("spam_score", spam_score),
                defer_score=score("defer_score", defer_score),
                spam_action=spam_action,
                keep_spam=_flag("keep_spam", keep_spam),
                dmarc=dmarc,
                created=now,
                destinations=tuple(destinations),
            )
        )

    def do() -> Deferred[Saved]:
        domain = make()
        if verified and not actor.is_admin:
            raise UsageError("verified", "only an administrator may vouch for a domain; publish the DNS record instead")
        access.require(actor, access.DOMAIN, Object(account_id=domain.account_id), f"account: {domain.account_id}")
        return db.run(_add, actor, now, domain)

    return maybeDeferred(do)


def listing(db: IDatabase, actor: Actor) -> Deferred[tuple[Domain, ...]]:
    """The domains the actor may see, by name."""
    return db.search(_listing, actor)


def show(db: IDatabase, actor: Actor, name: str) -> Deferred[Saved]:
    """One domain, with what is odd about it."""
    return db.search(_show, actor, name)


def change(db: IDatabase, actor: Actor, name: str, changes: Mapping[str, Any], *, now: float) -> Deferred[Saved]:
    """Set the fields named in `changes` (FIELDS): destinations an iterable of Destination, scores a number or None for the appliance's own,
    inbound, outbound, keep_spam and verified true or false, the others texts."""

    def do() -> Deferred[Saved]:
        for field in changes:
            if field not in FIELDS:
                raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        return db.run(write, actor, now, name, dict(changes))

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, name: str, *, now: float) -> Deferred[Domain]:
    """Take no more mail for the domain, and forget its recipients, aliases and rules. Mail already accepted stays in the queue. -> what it was."""
    return db.run(_remove, actor, now, name)


def _add(conn: Connection, actor: Actor, now: float, domain: Domain) -> Saved:
    if accounts.get(conn, domain.account_id) is None:
        raise NotFoundError(f"no such account: {domain.account_id}")
    if len(domains.listing(conn, account_ids=[domain.account_id])) >= MAX_DOMAINS:
        raise ConflictError(f"an account may have {MAX_DOMAINS} domains")
    _check_alias(conn, actor, domain)
    if domains.get(conn, domain.name) is not None:
        if domain.verified_at is not None:
            raise ConflictError(f"domain {domain.name} is here already")
        ownership.claim(conn, actor, now, domain, domain.challenge)
        return Saved(domain, (f"another account says that {domain.name} is its own too: whoever proves it first has it",))
    domain = replace(domain, id=domains.add(conn, domain))
    access.record(conn, actor, now, "domain.add", f"domain {domain.name}", _told(domain))
    return Saved(domain, warnings(conn, domain))


def _listing(conn: Connection, actor: Actor) -> tuple[Domain, ...]:
    seen = access.reach(conn, actor)
    return domains.listing(conn) if seen.everything else domains.listing(conn, account_ids=(), names=sorted(seen.domains))


def _show(conn: Connection, actor: Actor, name: str) -> Saved:
    domain = found(conn, actor, access.SEE, name)
    return Saved(domain, warnings(conn, domain))


def write(conn: Connection, actor: Actor, now: float, name: str, changes: dict[str, Any]) -> Saved:
    """`change`, inside a transaction."""
    before = found(conn, actor, access.DOMAIN, name)
    verified = changes.pop("verified", None)
    if verified is not None:
        if not actor.is_admin:
            raise UsageError("verified", "only an administrator may vouch for a domain; publish the DNS record instead")
        changes["verified_at"] = (before.verified_at or now) if _flag("verified", verified) else None
    for field, value in changes.items():
        if field in DEFAULT_SCORES:
            changes[field] = score(field, value)
        elif field in ("inbound", "outbound", "keep_spam"):
            changes[field] = _flag(field, value)
        elif field == "destinations":
            changes[field] = tuple(value)
        elif field == "alias_of":
            changes[field] = _name("alias_of", value) if value else None
    after = _checked(replace(before, **changes))
    if "alias_of" in changes:
        _check_alias(conn, actor, after)
    domains.save(conn, after)
    was, told = _told(before), _told(after)
    access.record(
        conn, actor, now, "domain.set", f"domain {after.name}",
        {field: {"from": was.get(field), "to": told.get(field)} for field in sorted(was.keys() | told.keys()) if was.get(field) != told.get(field)},
    )  # fmt: skip
    return Saved(after, warnings(conn, after))


def _remove(conn: Connection, actor: Actor, now: float, name: str) -> Domain:
    domain = found(conn, actor, access.DOMAIN, name)
    if needing := domains.aliases_of(conn, domain.name):
        raise ConflictError(f"domain {domain.name} is what {', '.join(needing[:5])} stands for; remove the alias domain first")
    domains.remove(conn, domain.name)
    access.record(conn, actor, now, "domain.remove", f"domain {domain.name}", _told(domain))
    return domain


def found(conn: Connection, actor: Actor, verb: str, name: str) -> Domain:
    """The domain of that name, when the actor may do `verb` to it. Raises NotFoundError; a name that can be none is simply not there."""
    try:
        domain = domains.get(conn, parse_domain(name))
    except AddressError:
        domain = None
    if domain is None or not access.may(actor, verb, Object(account_id=domain.account_id, domain=domain.name)):
        raise NotFoundError(f"no such domain: {name}")
    return domain


def warnings(conn: Connection, domain: Domain) -> tuple[str, ...]:
    """What is allowed and probably not meant."""
    told: list[str] = []
    if domain.kind == "alias":
        return ("not verified: mail for it is refused",) if domain.verified_at is None else ()
    own = settings.get(conn, "thresholds", {})
    scores = {field: DEFAULT_SCORES[field] for field in DEFAULT_SCORES} | {field: value for field, value in own.items() if field in DEFAULT_SCORES}
    scores |= {field: value for field in DEFAULT_SCORES if (value := getattr(domain, field)) is not None}
    told += disorder(scores["defer_score"], scores["spam_score"], scores["reject_score"])
    if domain.kind == "relay" and not domain.destinations:
        told.append("no destination: mail for it goes where its MX records point, which may be here")
    if domain.recipients == "callout" and not domain.destinations:
        told.append("recipients: callout asks the domain's destination, and it has none")
    if domain.verified_at is None:
        told.append("not verified: mail for it is refused")
    return tuple(told)


def disorder(defer: float, spam: float, reject: float) -> tuple[str, ...]:
    """What is odd about the order of thresholds; one that is switched off stands in nobody's way."""
    active = [(name, value) for name, value in (("defer", defer), ("spam", spam), ("reject", reject)) if value < MAX_SCORE]
    pairs = zip(active, active[1:], strict=False)
    return tuple(f"thresholds: {low} ({one:g}) is not below {high} ({other:g})" for (low, one), (high, other) in pairs if not one < other)


def _check_alias(conn: Connection, actor: Actor, domain: Domain) -> None:
    if domain.kind != "alias":
        return
    real = domains.get(conn, domain.alias_of or "")
    if real is None or not access.may(actor, access.DOMAIN, Object(real.account_id, real.name)):
        raise UsageError("alias_of", f"{domain.alias_of} is no domain here")
    if real.name == domain.name or real.kind == "alias":
        raise UsageError("alias_of", f"{real.name} is an alias itself")
    if domains.aliases_of(conn, domain.name):
        raise UsageError("alias_of", f"other domains stand for {domain.name} already")


def _checked(domain: Domain) -> Domain:
    if domain.name.startswith("["):
        raise UsageError("name", "must be a domain name, not an address")
    for field, value, choices in (
        ("kind", domain.kind, KINDS),
        ("recipients", domain.recipients, RECIPIENT_MODES),
        ("spam_action", domain.spam_action, SPAM_ACTIONS),
        ("dmarc", domain.dmarc, DMARC_MODES),
    ):
        if value not in choices:
            raise UsageError(field, f"'{value}' is none of {', '.join(choices)}")
    if domain.kind == "alias" and not domain.alias_of:
        raise UsageError("alias_of", "says nothing: an alias domain stands for another domain")
    if domain.kind != "alias" and domain.alias_of:
        raise UsageError("alias_of", "is only for a domain of kind alias")
    if domain.kind == "alias" and domain.destinations:
        raise UsageError("destination", "an alias domain has none of its own; its mail goes where that of the domain it stands for goes")
    places = tuple(checked_destination(item) for item in domain.destinations)
    if len(places) > MAX_DESTINATIONS:
        raise UsageError("destination", f"more than {MAX_DESTINATIONS}")
    twice = {(item.host, item.port) for item in places if [(other.host, other.port) for other in places].count((item.host, item.port)) > 1}
    if twice:
        raise UsageError("destination", f"{min(twice)[0]}:{min(twice)[1]} is named twice")
    return replace(domain, destinations=tuple(sorted(places, key=lambda item: (item.priority, item.host, item.port))))


def _name(field: str, text: str) -> str:
    try:
        return parse_domain(text.strip().removesuffix("."))
    except AddressError as error:
        raise UsageError(field, f"'{text}': {error}") from None


def score(field: str, value: Any) -> float | None:
    """A threshold given: 0 to 999, None for the level above. Raises UsageError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= MAX_SCORE:
        raise UsageError(field, f"must be 0 to {MAX_SCORE:g} ({MAX_SCORE:g} never)")
    return float(value)


def _flag(field: str, value: Any) -> bool:
    if value not in (True, False):
        raise UsageError(field, "must be true or false")
    return bool(value)


def _split_port(text: str) -> tuple[str, int]:
    if not text:
        raise UsageError("destination", "says nothing; write HOST:PORT")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,6}))?", text)
    if bracketed:
        return bracketed[1], int(bracketed[2] or 25)
    if text.count(":") > 1:
        return text, 25  # an IPv6 address alone; with a port it needs brackets
    host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 6):
        raise UsageError("destination", f"'{text}': the port must be a number")
    return host, int(port) if colon else 25


def _host(text: str) -> str:
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        pass
    if ":" in text:
        raise UsageError("destination", f"'{text}' is no IPv6 address; with a port write [ADDRESS]:PORT")
    try:
        name = parse_domain(text.removesuffix("."))
    except AddressError as error:
        raise UsageError("destination", f"'{text}': {error}") from None
    if name.startswith("["):
        raise UsageError("destination", f"'{text}' is no host")
    if name.rpartition(".")[2].isdigit():  # RFC 1123 2.1: no host name ends in a number
        raise UsageError("destination", f"'{text}' is no IPv4 address")
    return name


def _told(domain: Domain) -> dict[str, Any]:
    """What the audit keeps of a domain: the settings, not the secret."""
    kept = {field: getattr(domain, field) for field in domains.COLUMNS if field not in ("id", "name", "challenge", "created")}
    kept["destinations"] = [f"{item} priority {item.priority} tls {item.tls}" for item in domain.destinations]
    return {field: value for field, value in kept.items() if value is not None}
