"""The MTA-STS policies our own domains publish: one row a domain that has chosen one."""

from __future__ import annotations

import json
from dataclasses import dataclass

from jetmail.store.database import Connection

_COLUMNS = "domain, mode, hosts, max_age, changed"


@dataclass(frozen=True, slots=True)
class ServedPolicy:
    """`mode` none, testing or enforce; `hosts` patterns of hosts that take the domain's mail, () our own name; `max_age` seconds."""

    domain: str
    mode: str
    hosts: tuple[str, ...]
    max_age: int
    changed: float


def get(conn: Connection, domain: str) -> ServedPolicy | None:
    """That of the domain, None where it has chosen none."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM served_policies WHERE domain = ?", (domain,)).fetchone()
    return _policy(row) if row else None


def listing(conn: Connection) -> tuple[ServedPolicy, ...]:
    """All, by domain."""
    return tuple(_policy(row) for row in conn.execute(f"SELECT {_COLUMNS} FROM served_policies ORDER BY domain").fetchall())


def save(conn: Connection, policy: ServedPolicy) -> None:
    """Put it in the place of the domain's last one."""
    conn.execute(
        f"INSERT OR REPLACE INTO served_policies ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (policy.domain, policy.mode, json.dumps(policy.hosts), policy.max_age, policy.changed),
    )


def remove(conn: Connection, domain: str) -> bool:
    """-> was there one."""
    return conn.execute("DELETE FROM served_policies WHERE domain = ?", (domain,)).rowcount > 0


def _policy(row: tuple) -> ServedPolicy:
    return ServedPolicy(row[0], row[1], tuple(json.loads(row[2])), row[3], row[4])
