"""Sources: the addresses mail leaves from, and whose mail leaves from which. Functions here obey; what may be asked is checked in actions.sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jetmail.store.database import Connection

OVERFLOWS = ("default", "wait")
COLUMNS = ("name", "ipv4", "ipv6", "hostname", "started", "curve", "overflow", "enabled", "created")
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM sources"


@dataclass(frozen=True, slots=True)
class Source:
    """A sources row. One of `ipv4` and `ipv6` at least is there. `started` '': no warm-up."""

    name: str
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""
    started: str = ""
    curve: str = "default"
    overflow: str = "default"
    enabled: bool = True
    created: float = 0.0


class Assignment(NamedTuple):
    """A source_assignments row: `scope` domain or account, `scope_key` its name or id."""

    scope: str
    scope_key: str
    source: str


@dataclass(frozen=True, slots=True)
class SourceBook:
    """Who leaves from where: enabled sources only, by sender's domain and by account."""

    domains: Mapping[str, Source]
    accounts: Mapping[int, Source]

    def of_domain(self, domain: str) -> Source | None:
        """That of the domain, or of the nearest domain above it."""
        while domain:
            found = self.domains.get(domain)
            if found is not None:
                return found
            domain = domain.partition(".")[2]
        return None


def get(conn: Connection, name: str) -> Source | None:
    """The source of that name, or None."""
    row = conn.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return _source(row) if row else None


def listing(conn: Connection) -> tuple[Source, ...]:
    """All sources by name."""
    return tuple(_source(row) for row in conn.execute(f"{_SELECT} ORDER BY name").fetchall())


def put(conn: Connection, source: Source) -> None:
    """Store a source, new or changed."""
    conn.execute(
        f"""INSERT INTO sources ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
            ON CONFLICT (name) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:])}""",
        [getattr(source, column) for column in COLUMNS],
    )


def remove(conn: Connection, name: str) -> None:
    """Forget a source and its assignments. What it sent stays counted."""
    conn.execute("DELETE FROM source_assignments WHERE source = ?", (name,))
    conn.execute("DELETE FROM sources WHERE name = ?", (name,))


def assign(conn: Connection, assignment: Assignment) -> None:
    """In the place of what was assigned before."""
    conn.execute(
        """INSERT INTO source_assignments (scope, scope_key, source) VALUES (?, ?, ?)
            ON CONFLICT (scope, scope_key) DO UPDATE SET source = excluded.source""",
        assignment,
    )


def unassign(conn: Connection, scope: str, scope_key: str) -> bool:
    """-> False when nothing was assigned."""
    return conn.execute("DELETE FROM source_assignments WHERE scope = ? AND scope_key = ?", (scope, scope_key)).rowcount > 0


def assignments(conn: Connection, source: str = "") -> tuple[Assignment, ...]:
    """All of them, or those of one source."""
    rows = conn.execute(
        "SELECT scope, scope_key, source FROM source_assignments WHERE ? IN ('', source) ORDER BY source, scope, scope_key", (source,)
    ).fetchall()
    return tuple(Assignment(*row) for row in rows)


def book(conn: Connection, key: object = None) -> SourceBook | None:
    """Who leaves from where; None when everybody leaves from the default."""
    known = {source.name: source for source in listing(conn) if source.enabled}
    domains: dict[str, Source] = {}
    accounts: dict[int, Source] = {}
    for scope, scope_key, name in assignments(conn) if known else ():
        if name in known:
            if scope == "domain":
                domains[scope_key] = known[name]
            else:
                accounts[int(scope_key)] = known[name]
    return SourceBook(domains, accounts) if domains or accounts else None


def _source(row: tuple) -> Source:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    values["enabled"] = bool(values["enabled"])
    return Source(**values)
