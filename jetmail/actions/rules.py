"""Allow and block rules (spec 1.5): add, change, remove, list, at the scope of the appliance, an account, a domain or an address.

Conditions are the API's JSON object and are compiled before they are stored, so that a rule that cannot work is refused with its field named.
A person's own rule always means their own mailbox: its `recipients` condition, if any, is replaced by their address. Limits: 250 rules a scope.

Raises UsageError, NotFoundError (no such rule, or not yours), ConflictError (limit).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse, parse_domain
from jetmail.rules.conditions import compile_conditions
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, domains, rules
from jetmail.store.directory.rules import MAX_PER_DOMAIN, SCOPES, StoredRule

MAX_DESCRIPTION = 500
MAX_CONDITIONS = 256 * 1024  # characters of JSON
MAX_PRIORITY = 1_000_000
FIELDS = ("name", "description", "action", "enabled", "priority", "conditions")
_NAME = re.compile(r"[A-Za-z0-9 \-_.]{1,100}")  # spec 1.5
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


def add(
    db: IDatabase,
    actor: Actor,
    uuid: str,
    scope: str,
    scope_key: str,
    action: str,
    name: str,
    conditions: Mapping[str, Any],
    *,
    now: float,
    description: str = "",
    enabled: bool = True,
    priority: int = 100,
) -> Deferred[StoredRule]:
    """A new rule. `uuid` is given by the caller (random); `scope_key` '' for the appliance, an account's id, a domain, an address."""

    def do() -> Deferred[StoredRule]:
        if not _UUID.fullmatch(uuid):
            raise UsageError("uuid", "is no UUID")
        scoped = scope_of(scope, scope_key)
        rule = StoredRule(uuid, *scoped, action, name, description, enabled, priority, _json(conditions), now, now)
        return db.run(_add, actor, now, checked(rule))

    return maybeDeferred(do)


def change(db: IDatabase, actor: Actor, uuid: str, changes: Mapping[str, Any], *, now: float) -> Deferred[StoredRule]:
    """Set the fields named in `changes` (FIELDS)."""

    def do() -> Deferred[StoredRule]:
        for field in changes:
            if field not in FIELDS:
                raise UsageError(field, f"cannot be set; these can: {', '.join(FIELDS)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        given = dict(changes)
        if "conditions" in given:
            given["conditions"] = _json(given["conditions"])
        return db.run(_change, actor, now, uuid, given)

    return maybeDeferred(do)


def remove(db: IDatabase, actor: Actor, uuid: str, *, now: float) -> Deferred[StoredRule]:
    """Forget the rule. -> what it was."""
    return db.run(_remove, actor, now, uuid)


def listing(db: IDatabase, actor: Actor, scope: str, scope_key: str = "") -> Deferred[tuple[StoredRule, ...]]:
    """The rules of one scope in the order they are asked, disabled ones too."""

    def do() -> Deferred[tuple[StoredRule, ...]]:
        return db.search(_listing, actor, *scope_of(scope, scope_key))

    return maybeDeferred(do)


def show(db: IDatabase, actor: Actor, uuid: str) -> Deferred[StoredRule]:
    """One rule."""
    return db.search(_found, actor, uuid)


def _add(conn: Connection, actor: Actor, now: float, rule: StoredRule) -> StoredRule:
    require_scope(conn, actor, rule.scope, rule.scope_key)
    if rules.get(conn, rule.uuid) is not None:
        raise ConflictError(f"rule {rule.uuid} is here already")
    if rules.count(conn, rule.scope, rule.scope_key) >= MAX_PER_DOMAIN:
        raise ConflictError(f"at most {MAX_PER_DOMAIN} rules, allow and block together")
    rules.put(conn, rule)
    access.record(conn, actor, now, "rule.add", f"rule {rule.uuid}", _told(rule))
    return rule


def _change(conn: Connection, actor: Actor, now: float, uuid: str, changes: dict[str, Any]) -> StoredRule:
    before = _found(conn, actor, uuid)
    after = checked(replace(before, modified=now, **changes))
    rules.put(conn, after)
    was, told = _told(before), _told(after)
    access.record(
        conn, actor, now, "rule.set", f"rule {uuid}", {field: {"from": was[field], "to": told[field]} for field in told if was[field] != told[field]}
    )
    return after


def _remove(conn: Connection, actor: Actor, now: float, uuid: str) -> StoredRule:
    rule = _found(conn, actor, uuid)
    rules.remove(conn, uuid)
    access.record(conn, actor, now, "rule.remove", f"rule {uuid}", _told(rule))
    return rule


def _listing(conn: Connection, actor: Actor, scope: str, scope_key: str) -> tuple[StoredRule, ...]:
    require_scope(conn, actor, scope, scope_key)
    return rules.listing(conn, scope, scope_key)


def _found(conn: Connection, actor: Actor, uuid: str) -> StoredRule:
    rule = rules.get(conn, uuid)
    if rule is None or not access.may(actor, access.RULES, _object(conn, rule.scope, rule.scope_key)):
        raise NotFoundError(f"no such rule: {uuid}")
    return rule


def require_scope(conn: Connection, actor: Actor, scope: str, scope_key: str) -> None:
    """The scope must exist and be the actor's. Raises NotFoundError."""
    obj = _object(conn, scope, scope_key)
    if scope == "account" and accounts.get(conn, int(scope_key)) is None:
        raise NotFoundError(f"no such account: {scope_key}")
    if scope in ("domain", "address") and not obj.account_id:
        raise NotFoundError(f"no such {scope}: {scope_key}")
    verb = access.APPLIANCE if scope == "appliance" else access.RULES
    access.require(actor, verb, obj, f"{scope}: {scope_key}" if scope_key else scope)


def _object(conn: Connection, scope: str, scope_key: str) -> Object:
    """What a rule of that scope concerns. An account's rules are not its owners': they see only the account's id."""
    if scope == "account":
        return Object(account_id=int(scope_key))
    if scope == "domain":
        domain = domains.get(conn, scope_key)
        return Object(account_id=domain.account_id if domain else 0, domain=scope_key)
    if scope == "address":
        name = scope_key.rpartition("@")[2]
        domain = domains.get(conn, name)
        return Object(account_id=domain.account_id if domain else 0, domain=name, address=scope_key)
    return Object()


def scope_of(scope: str, scope_key: str) -> tuple[str, str]:
    """Scope and key in stored spelling."""
    if scope not in SCOPES:
        raise UsageError("scope", f"'{scope}' is none of {', '.join(SCOPES)}")
    try:
        if scope == "domain":
            return scope, parse_domain(scope_key)
        if scope == "address":
            return scope, parse(scope_key).key
    except AddressError as error:
        raise UsageError("scope_key", f"'{scope_key}': {error}") from None
    if scope == "account" and not (scope_key.isascii() and scope_key.isdigit() and len(scope_key) < 18):
        raise UsageError("scope_key", "must be the account's id")
    if scope == "appliance" and scope_key:
        raise UsageError("scope_key", "must be empty for the appliance")
    return scope, str(int(scope_key)) if scope == "account" else scope_key


def checked(rule: StoredRule) -> StoredRule:
    """The rule as it is to be stored. Raises UsageError naming the field."""
    if rule.action not in ("allow", "block"):
        raise UsageError("action", "is allow or block")
    if not isinstance(rule.name, str) or not _NAME.fullmatch(rule.name):
        raise UsageError("name", "must be 1 to 100 letters, digits, spaces, '-', '_' or '.'")
    if not isinstance(rule.description, str) or len(rule.description) > MAX_DESCRIPTION:
        raise UsageError("description", f"longer than {MAX_DESCRIPTION} characters")
    if rule.enabled not in (True, False):
        raise UsageError("enabled", "must be true or false")
    if isinstance(rule.priority, bool) or not isinstance(rule.priority, int) or not 0 <= rule.priority <= MAX_PRIORITY:
        raise UsageError("priority", f"must be 0 to {MAX_PRIORITY}, lower is asked first")
    conditions = rule.parsed
    if rule.scope == "address":
        conditions.pop("recipients", None)
        if not conditions:
            raise UsageError("conditions", "at least one besides the recipient is needed: a rule without any would match all mail")
        conditions["recipients"] = [{"recipient_type": "email", "recipient_value": rule.scope_key}]
    compile_conditions(conditions)
    return replace(rule, conditions=_json(conditions))


def _json(conditions: Any) -> str:
    if not isinstance(conditions, Mapping):
        raise UsageError("conditions", "must be an object")
    try:
        text = json.dumps(dict(conditions), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):
        raise UsageError("conditions", "is no JSON") from None
    if len(text) > MAX_CONDITIONS:
        raise UsageError("conditions", f"longer than {MAX_CONDITIONS} characters")
    return text


def _told(rule: StoredRule) -> dict[str, Any]:
    return {"scope": rule.scope, "scope_key": rule.scope_key} | {field: getattr(rule, field) for field in FIELDS}
