"""Destinations and sites in trouble: which are down, cooling down or suspended, and suspending and resuming them.

A destination is the domain (or address literal) mail goes to after aliases; a site is what stands behind many of them (docs/queue.md). An
administrator reaches all; an account or an owner the destinations that are their own domains. Suspended mail waits, and is not returned meanwhile.

Raises UsageError (no such name is possible, a reason that is too long), NotFoundError (nothing to resume, or not the actor's), ConflictError (it
waits for a site, and that is to be resumed).
"""

from __future__ import annotations

import re

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse_domain
from jetmail.store.database import Connection
from jetmail.store.traffic import lanes, sites
from jetmail.store.traffic.sites import Trouble

MAX_NOTE = 200
MAX_LISTED = 10_000
_SITE = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(:\d{1,5})?")


def listing(db: IDatabase, actor: Actor, *, now: float) -> Deferred[list[Trouble]]:
    """What is down, cooling, recovering or suspended, sites first."""
    return db.search(_listing, actor, now)


def suspend(db: IDatabase, actor: Actor, name: str, *, now: float, note: str = "", is_site: bool = False) -> Deferred[str]:
    """Send nothing there until it is resumed. -> its name as it is stored."""
    if len(note) > MAX_NOTE or not note.isprintable():
        raise UsageError("reason", f"must be one line of at most {MAX_NOTE} characters")
    return db.run(_suspend, actor, now, _name(name, is_site), note, is_site)


def resume(db: IDatabase, actor: Actor, name: str, *, now: float, is_site: bool = False) -> Deferred[str]:
    """Send there again: the end of a suspension, of a pause of one that is cooling (which stays slow until it recovers), of the wait for the next
    probe of one that is down. -> its name."""
    return db.run(_resume, actor, now, _name(name, is_site), is_site)


def _name(name: str, is_site: bool) -> str:
    if is_site:
        name = name.lower()
        if not _SITE.fullmatch(name):
            raise UsageError("DESTINATION", f"'{name}' cannot be a site: a provider's name, a registered domain, or HOST:PORT")
        return name
    try:
        return parse_domain(name)
    except AddressError as error:
        raise UsageError("DESTINATION", f"'{name}': {error}") from error


def _listing(conn: Connection, actor: Actor, now: float) -> list[Trouble]:
    reached = access.reach(conn, actor)
    found = sites.troubles(conn, now, MAX_LISTED)
    if reached.everything:
        return found
    return [each for each in found if each.kind == "destination" and each.name in reached.domains]


def _suspend(conn: Connection, actor: Actor, now: float, name: str, note: str, is_site: bool) -> str:
    _require(conn, actor, name, is_site)
    (sites if is_site else lanes).suspend(conn, name, now, actor.name, note)
    access.record(conn, actor, now, "queue.suspend", _told(name, is_site), {"reason": note} if note else None)
    return name


def _resume(conn: Connection, actor: Actor, now: float, name: str, is_site: bool) -> str:
    _require(conn, actor, name, is_site)
    if not (sites if is_site else lanes).resume(conn, name):
        site = "" if is_site else lanes.site_of(conn, name)
        if site:
            raise ConflictError(f"{name} waits for the site {site}: resume that (--site {site})")
        raise NotFoundError(f"{_told(name, is_site)} is not suspended, nor down or cooling")
    access.record(conn, actor, now, "queue.resume", _told(name, is_site))
    return name


def _require(conn: Connection, actor: Actor, name: str, is_site: bool) -> None:
    reached: Reach = access.reach(conn, actor, access.QUEUE)
    if not reached.everything and (is_site or name not in reached.domains):
        raise NotFoundError(f"no such destination: {name}")


def _told(name: str, is_site: bool) -> str:
    return f"{'site' if is_site else 'destination'} {name}"
