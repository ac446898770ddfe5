"""Domains: what we take mail for, and where it goes.

Names are given and kept as mail.address.parse_domain spells them. A domain of kind 'alias' has no destinations of its own: mail for x@name is
mail for x@alias_of. Functions here obey; what may be asked of them is checked in actions.domains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.store.database import Connection
from jetmail.store.directory import people

COLUMNS = (
    "id", "account_id", "name", "kind", "alias_of", "verified_at", "challenge", "inbound", "outbound", "recipients", "reject_score", "spam_score",
    "defer_score", "spam_action", "keep_spam", "dmarc", "created",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM domains"


@dataclass(frozen=True, slots=True)
class Destination:
    """One host mail of a domain goes to. `host` a name or an address without brackets; `tls` none, opportunistic, required or verified."""

    host: str
    port: int = 25
    priority: int = 10
    tls: str = "opportunistic"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domains row with its destinations, lowest priority first. Scores None: the appliance's own. `keep_spam`: a copy of what is refused
    for its score is kept for the owner. `dmarc` enforce, score or ignore. `id` 0: not stored yet."""

    name: str
    account_id: int = 1
    kind: str = "relay"
    alias_of: str | None = None
    verified_at: float | None = None
    challenge: str = ""
    inbound: bool = True
    outbound: bool = True
    recipients: str = "any"
    reject_score: float | None = None
    spam_score: float | None = None
    defer_score: float | None = None
    spam_action: str = "quarantine"
    keep_spam: bool = False
    dmarc: str = "enforce"
    created: float = 0.0
    destinations: tuple[Destination, ...] = ()
    id: int = 0


def get(conn: Connection, name: str) -> Domain | None:
    """The domain of that name, or None."""
    row = conn.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return _domain(row, destinations(conn, row[0])) if row else None


def destinations(conn: Connection, domain_id: int) -> tuple[Destination, ...]:
    """Where the domain's mail goes, lowest priority first."""
    rows = conn.execute(
        "SELECT host, port, priority, tls FROM domain_destinations WHERE domain_id = ? ORDER BY priority, host, port", (domain_id,)
    ).fetchall()
    return tuple(Destination(*row) for row in rows)


def listing(conn: Connection, *, account_ids: Iterable[int] | None = None, names: Iterable[str] | None = None) -> tuple[Domain, ...]:
    """Domains by name: all (both None), or those of the accounts together with those of the names."""
    if account_ids is None and names is None:
        rows = conn.execute(f"{_SELECT} ORDER BY name").fetchall()
    else:
        accounts: list[object] = list(account_ids or ())
        wanted: list[object] = list(names or ())
        marks = ", ".join("?" * len(accounts)), ", ".join("?" * len(wanted))
        rows = conn.execute(f"{_SELECT} WHERE account_id IN ({marks[0]}) OR name IN ({marks[1]}) ORDER BY name", accounts + wanted).fetchall()
    by_id: dict[int, list[Destination]] = {}
    places = conn.execute("SELECT domain_id, host, port, priority, tls FROM domain_destinations ORDER BY priority, host, port").fetchall()
    for domain_id, *row in places:
        by_id.setdefault(domain_id, []).append(Destination(*row))
    return tuple(_domain(row, tuple(by_id.get(row[0], ()))) for row in rows)


def aliases_of(conn: Connection, name: str) -> tuple[str, ...]:
    """The alias domains that point at `name`."""
    return tuple(row[0] for row in conn.execute("SELECT name FROM domains WHERE alias_of = ? ORDER BY name", (name,)).fetchall())


def add(conn: Connection, domain: Domain) -> int:
    """Store a new domain with its destinations. -> its id. Raises sqlite3.IntegrityError when the name is taken."""
    columns = COLUMNS[1:]
    domain_id = conn.execute(
        f"INSERT INTO domains ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", [getattr(domain, column) for column in columns]
    ).lastrowid
    assert domain_id is not None
    set_destinations(conn, domain_id, domain.destinations)
    return domain_id


def save(conn: Connection, domain: Domain) -> None:
    """Write every field of a stored domain back (its id stays)."""
    columns = COLUMNS[1:]
    conn.execute(
        f"UPDATE domains SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
        [*(getattr(domain, column) for column in columns), domain.id],
    )
    set_destinations(conn, domain.id, domain.destinations)


def set_destinations(conn: Connection, domain_id: int, wanted: Iterable[Destination]) -> None:
    """Replace the domain's destinations."""
    conn.execute("DELETE FROM domain_destinations WHERE domain_id = ?", (domain_id,))
    conn.executemany(
        "INSERT INTO domain_destinations (domain_id, host, port, priority, tls) VALUES (?, ?, ?, ?, ?)",
        [(domain_id, item.host, item.port, item.priority, item.tls) for item in wanted],
    )


def remove(conn: Connection, name: str) -> bool:
    """Forget the domain and all that hangs on it: destinations, known recipients, people, aliases, rules, keys, its published policy. Mail
    in the queue stays. -> was it there."""
    row = conn.execute("SELECT id FROM domains WHERE name = ?", (name,)).fetchone()
    if row is None:
        return False
    conn.execute("DELETE FROM domain_destinations WHERE domain_id = ?", row)
    conn.execute("DELETE FROM recipients WHERE domain = ?", (name,))
    people.remove_domain(conn, name)
    conn.execute("DELETE FROM aliases WHERE domain = ?", (name,))
    conn.execute("DELETE FROM rules WHERE (scope = 'domain' AND scope_key = ?) OR (scope = 'address' AND substr(scope_key, ?) = ?)",
                 (name, -len(name) - 1, "@" + name))  # fmt: skip
    conn.execute("DELETE FROM settings WHERE key = ? OR (key LIKE 'lists:address:%' AND substr(key, ?) = ?)",
                 ("lists:" + name, -len(name) - 1, "@" + name))  # fmt: skip
    conn.execute("DELETE FROM dkim_keys WHERE domain = ?", (name,))
    conn.execute("DELETE FROM domain_checks WHERE domain = ?", (name,))
    conn.execute("DELETE FROM return_paths WHERE domain = ?", (name,))
    conn.execute("DELETE FROM served_policies WHERE domain = ?", (name,))
    conn.execute("DELETE FROM domains WHERE id = ?", row)
    return True


def _domain(row: tuple, found: tuple[Destination, ...]) -> Domain:
    values = dict(zip(COLUMNS, row, strict=True))
    for flag in ("inbound", "outbound", "keep_spam"):
        values[flag] = bool(values[flag])
    return Domain(destinations=found, **values)
