"""Thresholds: the scores at which mail is deferred, treated as spam, refused (spec 6.7); a domain's own over the appliance's.

A threshold that a domain does not set is the appliance's, one that the appliance does not set is the chain's (etc/rules.toml). 999 switches one off.
An order other than defer < spam < reject is saved and warned of (spec, decision 21); only type and range are refused.

Raises UsageError, NotFoundError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, domains
from jetmail.actions.access import Actor, Object
from jetmail.actions.domains import DEFAULT_SCORES
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.directory import settings

SETTING = "thresholds"
NAMES = ("reject", "spam", "defer")


@dataclass(frozen=True, slots=True)
class Threshold:
    """One score in force. `source`: 'domain', 'appliance' or 'default'."""

    name: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The thresholds in force for a domain ('' is the appliance), and what is odd about them."""

    domain: str
    thresholds: tuple[Threshold, ...]
    warnings: tuple[str, ...]


def show(db: IDatabase, actor: Actor, domain: str = "", *, defaults: Mapping[str, float] = DEFAULT_SCORES) -> Deferred[Shown]:
    """What is in force. `defaults` are the chain's, as {'reject_score': 15.0, ...}."""
    return maybeDeferred(lambda: db.search(_show, actor, domain, defaults))


def change(
    db: IDatabase, actor: Actor, changes: Mapping[str, float | None], domain: str = "", *, now: float, defaults: Mapping[str, float] = DEFAULT_SCORES
) -> Deferred[Shown]:
    """Set the thresholds named in `changes` (NAMES); None gives one back to the level above."""

    def do() -> Deferred[Shown]:
        for name in changes:
            if name not in NAMES:
                raise UsageError(name, f"is none of {', '.join(NAMES)}")
        if not changes:
            raise UsageError("changes", "nothing to set")
        return db.run(_change, actor, now, domain, {f"{name}_score": domains.score(name, value) for name, value in changes.items()}, defaults)

    return maybeDeferred(do)


def reset(
    db: IDatabase, actor: Actor, domain: str = "", *, now: float, names: Iterable[str] = NAMES, defaults: Mapping[str, float] = DEFAULT_SCORES
) -> Deferred[Shown]:
    """Give them back to the level above."""
    return change(db, actor, dict.fromkeys(names), domain, now=now, defaults=defaults)


def _show(conn: Connection, actor: Actor, name: str, defaults: Mapping[str, float]) -> Shown:
    if not name:
        access.require(actor, access.APPLIANCE, Object(), "appliance")
    own = domains.found(conn, actor, access.SEE, name) if name else None
    stored = settings.get(conn, SETTING, {})
    given = stored if isinstance(stored, Mapping) else {}
    found = []
    for word in NAMES:
        field = f"{word}_score"
        if own is not None and getattr(own, field) is not None:
            found.append(Threshold(word, getattr(own, field), "domain"))
        elif field in given:
            found.append(Threshold(word, float(given[field]), "appliance"))
        else:
            found.append(Threshold(word, defaults[field], "default"))
    reject, spam, defer = (each.score for each in found)
    return Shown(own.name if own is not None else "", tuple(found), domains.disorder(defer, spam, reject))


def _change(conn: Connection, actor: Actor, now: float, name: str, changes: Mapping[str, float | None], defaults: Mapping[str, float]) -> Shown:
    if name:
        domains.write(conn, actor, now, name, dict(changes))
        return _show(conn, actor, name, defaults)
    access.require(actor, access.APPLIANCE, Object(), "appliance")
    stored = settings.get(conn, SETTING, {})
    before = dict(stored) if isinstance(stored, Mapping) else {}
    after = {field: value for field, value in (before | dict(changes)).items() if value is not None}
    settings.put(conn, SETTING, after or None)
    changed = [field for field in changes if before.get(field) != after.get(field)]
    told: dict[str, object] = {field: {"from": before.get(field), "to": after.get(field)} for field in changed}
    access.record(conn, actor, now, "thresholds.set", "thresholds", told)
    return _show(conn, actor, name, defaults)
