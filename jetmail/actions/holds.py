"""Hold rules: mail that is taken and then waits for people (`queue unhold`), at the scope of the appliance, an account, a domain or a user.

Who may: an administrator for the appliance's; else `access.QUEUE` on whatever the rule is about. What a rule holds stays held when the rule goes.

Raises UsageError (field and reason), NotFoundError (no such rule, or not yours; nothing of that name), ConflictError (too many).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail import holdrule
from jetmail.mail.address import AddressError, parse, parse_domain
from jetmail.mail.holdrule import DIRECTIONS, SCOPES, Addressee, HoldRule, Parcel
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, domains, hold_rules, principals

MAX_REASON = 200
MAX_SIZE = 10**12
FIELDS = ("direction", "sender", "recipient", "user", "size_over", "score_over", "reason", "enabled", "expires")


@dataclass(frozen=True, slots=True)
class Trial:
    """A message nobody sent, to see which rules would hold it. `user`: an SMTP user or a person by name or uuid, '' for a stranger."""

    sender: str
    recipient: str
    direction: str = "inbound"
    user: str = ""
    size: int = 0
    score: float = 0.0


def add(db: IDatabase, actor: Actor, uuid: str, scope: str, scope_key: str, settings: Mapping[str, Any], *, now: float) -> Deferred[HoldRule]:
    """A new rule. `uuid` is given by the caller (random); `scope_key`: '', an account's name or id, a domain, a user's name or uuid."""

    def do() -> Deferred[HoldRule]:
        return db.run(_add, actor, now, _uuid(uuid), scope, scope_key, _known(settings))

    return maybeDeferred(do)


def change(db: IDatabase, actor: Actor, uuid: str, changes: Mapping[str, Any], *, now: float) -> Deferred[HoldRule]:
    """Set the fields named in `changes` (FIELDS)."""

    def do() -> Deferred[HoldRule]:
        if not changes:
            raise UsageError("changes", "nothing to set")
        return db.run(_change, actor, now, uuid, _known(changes))

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, uuid: str, *, now: float) -> Deferred[HoldRule]:
    """Forget the rule. -> what it was."""
    return db.run(_remove, actor, now, uuid)


def listing(db: IDatabase, actor: Actor) -> Deferred[tuple[HoldRule, ...]]:
    """The rules the actor may change, in the order they are asked, disabled and expired ones too."""
    return db.search(_listing, actor)


def show(db: IDatabase, actor: Actor, uuid: str) -> Deferred[HoldRule]:
    """One rule."""
    return db.search(_found, actor, uuid)


def test(db: IDatabase, actor: Actor, trial: Trial, *, now: float) -> Deferred[tuple[HoldRule, ...]]:
    """Which of the actor's rules would hold such a message now; the first one would."""
    return maybeDeferred(lambda: db.search(_test, actor, trial, now))


def _add(conn: Connection, actor: Actor, now: float, uuid: str, scope: str, scope_key: str, settings: dict[str, Any]) -> HoldRule:
    key = _scope_key(conn, actor, scope, scope_key)
    rule = _checked(conn, replace(HoldRule(uuid, scope, key, created=now), **settings), now)
    if hold_rules.get(conn, uuid) is not None:
        raise ConflictError(f"hold rule {uuid} is here already")
    if len(hold_rules.listing(conn)) >= hold_rules.MAX_RULES:
        raise ConflictError(f"at most {hold_rules.MAX_RULES} hold rules")
    hold_rules.put(conn, rule)
    access.record(conn, actor, now, "hold.add", f"hold {uuid}", _told(rule) | {"scope": scope, "scope_key": key})
    return rule


def _change(conn: Connection, actor: Actor, now: float, uuid: str, changes: dict[str, Any]) -> HoldRule:
    before = _found(conn, actor, uuid)
    after = _checked(conn, replace(before, **changes), now if "expires" in changes else None)
    hold_rules.put(conn, after)
    was, told = _told(before), _told(after)
    changed: dict[str, object] = {field: {"from": was[field], "to": told[field]} for field in told if was[field] != told[field]}
    access.record(conn, actor, now, "hold.set", f"hold {uuid}", changed)
    return after


def _remove(conn: Connection, actor: Actor, now: float, uuid: str) -> HoldRule:
    rule = _found(conn, actor, uuid)
    hold_rules.remove(conn, uuid)
    access.record(conn, actor, now, "hold.remove", f"hold {uuid}", _told(rule) | {"scope": rule.scope, "scope_key": rule.scope_key})
    return rule


def _listing(conn: Connection, actor: Actor) -> tuple[HoldRule, ...]:
    return tuple(rule for rule in hold_rules.listing(conn) if _may(conn, actor, rule.scope, rule.scope_key))


def _found(conn: Connection, actor: Actor, uuid: str) -> HoldRule:
    rule = hold_rules.get(conn, uuid)
    if rule is None or not _may(conn, actor, rule.scope, rule.scope_key):
        raise NotFoundError(f"no such hold rule: {uuid}")
    return rule


def _test(conn: Connection, actor: Actor, trial: Trial, now: float) -> tuple[HoldRule, ...]:
    if trial.direction not in DIRECTIONS[:2]:
        raise UsageError("direction", f"'{trial.direction}' is none of {', '.join(DIRECTIONS[:2])}")
    user = _user(conn, trial.user) if trial.user else None
    sender = _address("sender", trial.sender) if trial.sender else ""
    recipient = _address("recipient", trial.recipient)
    name = recipient.rpartition("@")[2]
    domain = domains.get(conn, name)
    names = (name,) if domain is None or not domain.alias_of else (name, domain.alias_of)
    parcel = Parcel(trial.direction, (sender,), trial.size, trial.score, user.uuid if user else "", user.account_id if user else 0)
    addressee = Addressee((recipient,), names, domain.account_id if domain is not None else 0)
    return tuple(
        rule for rule in _listing(conn, actor) if rule.is_live(now) and holdrule.asks_for(rule, parcel) and holdrule.holds(rule, parcel, addressee)
    )


def _may(conn: Connection, actor: Actor, scope: str, key: str) -> bool:
    if actor.is_admin:
        return True
    if scope == "appliance":
        return access.may(actor, access.APPLIANCE, Object())
    if scope == "account":
        return access.may(actor, access.QUEUE, Object(account_id=int(key)))
    if scope == "domain":
        domain = domains.get(conn, key)
        return domain is not None and domain.verified_at is not None and access.may(actor, access.QUEUE, Object(domain.account_id, key))
    return access.may(actor, access.QUEUE, Object(account_id=principals.account_of(conn, key)))


def _scope_key(conn: Connection, actor: Actor, scope: str, text: str) -> str:
    """The key in stored spelling, of something that exists and is the actor's."""
    if scope not in SCOPES:
        raise UsageError("scope", f"'{scope}' is none of {', '.join(SCOPES)}")
    if scope == "appliance":
        if text:
            raise UsageError("scope_key", "must be empty for the appliance")
        access.require(actor, access.APPLIANCE, Object(), "appliance")
        return ""
    if scope == "account":
        named = accounts.named(conn, text) or (accounts.get(conn, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None)
        key = str(named.id) if named is not None else ""
    elif scope == "domain":
        name = _domain("domain", text)
        key = name if domains.get(conn, name) is not None else ""
    else:
        key = _user(conn, text).uuid
    if not key or not _may(conn, actor, scope, key):
        raise NotFoundError(f"no such {scope}: {text}")
    return key


def _user(conn: Connection, text: str) -> principals.Named:
    user = principals.named(conn, text.casefold()) or principals.get(conn, text.lower())
    if user is None:
        raise NotFoundError(f"no such user: {text}")
    return user


def _checked(conn: Connection, rule: HoldRule, now: float | None) -> HoldRule:
    """As it is to be stored. `now` None: when it expires was not said just now."""
    if rule.direction not in DIRECTIONS:
        raise UsageError("direction", f"'{rule.direction}' is none of {', '.join(DIRECTIONS)}")
    if not isinstance(rule.reason, str) or len(rule.reason) > MAX_REASON or not (rule.reason.isprintable()):
        raise UsageError("reason", f"must be at most {MAX_REASON} printable characters")
    if rule.enabled not in (True, False):
        raise UsageError("enabled", "must be true or false")
    size = rule.size_over
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE):
        raise UsageError("size_over", f"must be 0 to {MAX_SIZE} octets")
    score = rule.score_over
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score) or abs(score) > 9_999):
        raise UsageError("score_over", "must be -9999 to 9999")
    if rule.expires is not None and now is not None and not now < rule.expires < now + 10 * 366 * 86_400:
        raise UsageError("expires", "must be in the future, within ten years")
    if rule.user and rule.direction == "inbound":
        raise UsageError("user", "sends outbound mail; the direction says inbound")
    if rule.scope == "user" and rule.direction == "inbound":
        raise UsageError("direction", "a user's mail is outbound")
    user = _user(conn, rule.user).uuid if rule.user else ""
    return replace(rule, sender=_matched("sender", rule.sender), recipient=_matched("recipient", rule.recipient), user=user)


def _matched(field: str, text: str) -> str:
    """An address, a domain or *.domain in stored spelling."""
    text = text.strip()
    if not text:
        return ""
    if "@" in text.lstrip("@"):
        return _address(field, text)
    if text.startswith("*."):
        return "*." + _domain(field, text[2:])
    return _domain(field, text.removeprefix("@"))


def _address(field: str, text: str) -> str:
    try:
        return parse(text.strip()).key
    except AddressError as error:
        raise UsageError(field, f"'{text}': {error}") from None


def _domain(field: str, text: str) -> str:
    try:
        return parse_domain(text.strip())
    except AddressError as error:
        raise UsageError(field, f"'{text}': {error}") from None


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError("uuid", "is no UUID") from None


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    for field in settings:
        if field not in FIELDS:
            raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
    return dict(settings)


def _told(rule: HoldRule) -> dict[str, object]:
    told = asdict(rule)
    return {field: told[field] for field in FIELDS}
