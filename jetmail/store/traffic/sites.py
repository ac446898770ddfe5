"""Sites: what is remembered of those that asked us to slow down or that people suspended, and the list of destinations in trouble for people.

Promises
- A site without a row is well. A row survives a restart, so that a provider that throttled us is not run over by every boot.
- While a site is closed, the destinations behind it that have mail waiting are rows of `destinations` with its name, so that people see what their
  mail waits for. They go when the site is well again.
- Whether people suspended a site is theirs: what the queue writes leaves it alone.

Decision: design 5; docs/queue.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection
from jetmail.store.traffic.deliveries import COOLING


@dataclass(frozen=True, slots=True)
class SiteState:
    """A row of `sites`. Cooling: `level` above 0, `since` when it began, nothing goes before `not_before`, `reply` says what happened."""

    name: str
    level: int = 0
    since: float | None = None
    not_before: float = 0.0
    reply: str = ""
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """A destination or a site (`kind`) that is down, cooling, recovering (its pause is over, its limits are cut still) or suspended. `waiting`
    deliveries queued and not held; `since` when that state began; `until`: not dialled before; `by` and `note` of who suspended it; `reply` the last
    one; `site` what a destination waits for."""

    kind: str
    name: str
    state: str
    waiting: int
    since: float | None
    until: float
    reason: str
    reply: str
    site: str = ""
    by: str = ""
    note: str = ""


_COLUMNS = "name, level, since, not_before, reply, suspended"


def states(conn: Connection, limit: int = 10_000) -> list[SiteState]:
    """Every site that is not well."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM sites ORDER BY name LIMIT ?", (limit,))
    return [SiteState(name, level, since, at, reply, bool(suspended)) for name, level, since, at, reply, suspended in rows]


def save(conn: Connection, site: SiteState) -> None:
    """Remember how a site stands; one that is well is forgotten, and nothing waits for it any more."""
    conn.execute(
        """INSERT INTO sites (name, level, since, not_before, reply) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            level = excluded.level, since = excluded.since, not_before = excluded.not_before, reply = excluded.reply""",
        (site.name, site.level, site.since, site.not_before, site.reply),
    )
    if not site.level:
        conn.execute("DELETE FROM sites WHERE name = ? AND suspended = 0", (site.name,))
        if not conn.execute("SELECT 1 FROM sites WHERE name = ?", (site.name,)).fetchone():
            _let_go(conn, site.name)


def wait_for(conn: Connection, destination: str, site: str, not_before: float, reply: str) -> None:
    """That destination has mail that waits for that site. One that is down on its own account keeps its own row."""
    conn.execute(
        """INSERT INTO destinations (name, not_before, reason, reply, site) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            not_before = excluded.not_before, reason = excluded.reason, reply = excluded.reply, site = excluded.site WHERE down_since IS NULL""",
        (destination, not_before, COOLING, reply, site),
    )


def suspend(conn: Connection, name: str, now: float, by: str, note: str) -> None:
    """People's wish: send nothing to that site until `resume`."""
    conn.execute(
        """INSERT INTO sites (name, suspended, suspended_since, suspended_by, suspended_reason) VALUES (?, 1, ?, ?, ?) ON CONFLICT (name) DO UPDATE
            SET suspended = 1, suspended_since = coalesce(suspended_since, excluded.suspended_since), suspended_by = excluded.suspended_by,
            suspended_reason = excluded.suspended_reason""",
        (name, now, by, note),
    )
    conn.execute("UPDATE queue_version SET version = version + 1")


def resume(conn: Connection, name: str) -> bool:
    """The end of `suspend`, and of a cool-down's pause; what is cooling stays slow until it recovers. -> whether there was anything to end."""
    found = conn.execute("SELECT 1 FROM sites WHERE name = ?", (name,)).fetchone() is not None
    conn.execute(
        "UPDATE sites SET suspended = 0, suspended_since = NULL, suspended_by = '', suspended_reason = '', not_before = 0 WHERE name = ?", (name,)
    )
    conn.execute("DELETE FROM sites WHERE name = ? AND level = 0", (name,))
    _let_go(conn, name)
    conn.execute("UPDATE queue_version SET version = version + 1")
    return found


def prune(conn: Connection, before: float) -> int:
    """Forget what was cooling until that time and got no mail since. -> how many."""
    old = [row[0] for row in conn.execute("SELECT name FROM sites WHERE suspended = 0 AND not_before < ?", (before,))]
    for name in old:
        conn.execute("DELETE FROM sites WHERE name = ?", (name,))
        _let_go(conn, name)
    return len(old)


def troubles(conn: Connection, now: float, limit: int = 1000) -> list[Trouble]:
    """Destinations and sites that are down, cooling, recovering or suspended, by name, sites first. Counts what waits: give it to `search`."""
    rows = conn.execute(
        """SELECT 'site', s.name, s.level, NULL, s.suspended,
                (SELECT count(*) FROM destinations AS l CROSS JOIN deliveries AS d ON d.destination = l.name
                    WHERE l.site = s.name AND d.status = 'queued' AND d.held = 0),
                s.since, s.suspended_since, s.not_before, '', s.reply, '', s.suspended_by, s.suspended_reason FROM sites AS s
            UNION ALL SELECT 'destination', l.name, 0, l.down_since, l.suspended,
                (SELECT count(*) FROM deliveries AS d WHERE d.destination = l.name AND d.status = 'queued' AND d.held = 0),
                coalesce(l.down_since, s.since, s.suspended_since), l.suspended_since, l.not_before, l.reason, l.reply, l.site, l.suspended_by,
                l.suspended_reason
                FROM destinations AS l LEFT JOIN sites AS s ON s.name = l.site
            ORDER BY 1 DESC, 2 LIMIT ?""",
        (limit,),
    )
    return [_trouble(now, *row) for row in rows]


def _trouble(
    now: float, kind: str, name: str, level: int, down_since: float | None, suspended: int, waiting: int, since: float | None,
    suspended_since: float | None, not_before: float, reason: str, reply: str, site: str, by: str, note: str,
) -> Trouble:  # fmt: skip
    state = "suspended" if suspended else "down" if down_since is not None else "cooling" if not_before > now else "recovering"
    began = suspended_since if suspended else since
    return Trouble(kind, name, state, waiting, began, not_before, reason or (COOLING if level else ""), reply, site, by, note)


def _let_go(conn: Connection, name: str) -> None:
    conn.execute("DELETE FROM destinations WHERE site = ? AND suspended = 0 AND down_since IS NULL", (name,))
    conn.execute(
        """UPDATE destinations SET site = '', reason = CASE WHEN down_since IS NULL THEN '' ELSE reason END,
            reply = CASE WHEN down_since IS NULL THEN '' ELSE reply END, not_before = CASE WHEN down_since IS NULL THEN 0 ELSE not_before END
            WHERE site = ?""",
        (name,),
    )
