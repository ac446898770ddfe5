"""What is known about TLS towards other domains: their MTA-STS policies, who has shown verified TLS, and sessions counted for their reports.

All of it may be lost without losing mail, so it is written behind the mail and in batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jetmail.store.database import Connection


class PolicyRow(NamedTuple):
    """A row of `sts_policies`."""

    domain: str
    id: str
    mode: str
    hosts: tuple[str, ...]
    max_age: int
    fetched: float


class ResultRow(NamedTuple):
    """A row of `tls_results`. `result` '' is success."""

    day: str
    domain: str
    policy: str
    quoted: tuple[str, ...]
    host: str
    result: str
    sessions: int


def save_policy(conn: Connection, row: PolicyRow) -> None:
    """Keep the policy of a domain, in place of an older one."""
    conn.execute(
        "INSERT OR REPLACE INTO sts_policies (domain, id, mode, hosts, max_age, fetched) VALUES (?, ?, ?, ?, ?, ?)",
        (row.domain, row.id, row.mode, json.dumps(row.hosts), row.max_age, row.fetched),
    )


def forget_policies(conn: Connection, now: float) -> int:
    """Those that are too old to be used. -> how many."""
    return conn.execute("DELETE FROM sts_policies WHERE fetched + max_age < ?", (now,)).rowcount


def policies(conn: Connection, limit: int) -> list[PolicyRow]:
    """The `limit` policies fetched last, oldest first."""
    rows = conn.execute("SELECT domain, id, mode, hosts, max_age, fetched FROM sts_policies ORDER BY fetched DESC LIMIT ?", (limit,)).fetchall()
    return [PolicyRow(domain, id_, mode, tuple(json.loads(hosts)), age, fetched) for domain, id_, mode, hosts, age, fetched in reversed(rows)]


def save(conn: Connection, verified: Iterable[tuple[str, float]], results: Iterable[ResultRow]) -> None:
    """(domain, when it last showed verified TLS), and sessions to add to those counted."""
    conn.executemany("INSERT INTO tls_memory (domain, verified) VALUES (?, ?) ON CONFLICT DO UPDATE SET verified = excluded.verified", list(verified))
    conn.executemany(
        """INSERT INTO tls_results (day, domain, policy, quoted, host, result, sessions) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions""",
        [(row.day, row.domain, row.policy, json.dumps(row.quoted), row.host, row.result, row.sessions) for row in results],
    )


def memory(conn: Connection, since: float, limit: int) -> list[tuple[str, float]]:
    """The `limit` domains verified last, and after `since`, oldest first."""
    query = "SELECT domain, verified FROM tls_memory WHERE verified > ? ORDER BY verified DESC LIMIT ?"
    rows: list[tuple[str, float]] = conn.execute(query, (since, limit)).fetchall()
    return rows[::-1]


def forget_memory(conn: Connection, before: float) -> int:
    """Domains not verified since. -> how many."""
    return conn.execute("DELETE FROM tls_memory WHERE verified < ?", (before,)).rowcount


def unreported(conn: Connection, before: str, limit: int) -> list[tuple[str, str]]:
    """(day, domain) of up to `limit` reports that are due: of days before that one, oldest first."""
    return conn.execute("SELECT DISTINCT day, domain FROM tls_results WHERE day < ? ORDER BY day, domain LIMIT ?", (before, limit)).fetchall()


def results(conn: Connection, day: str, domain: str, limit: int) -> list[ResultRow]:
    """What one report is made of, the most frequent first."""
    rows: Sequence[tuple[str, str, str, str, int]] = conn.execute(
        "SELECT policy, quoted, host, result, sessions FROM tls_results WHERE day = ? AND domain = ? ORDER BY sessions DESC LIMIT ?",
        (day, domain, limit),
    ).fetchall()
    return [ResultRow(day, domain, policy, tuple(json.loads(quoted)), host, result, sessions) for policy, quoted, host, result, sessions in rows]


def reported(conn: Connection, day: str, domain: str) -> bool:
    """It is sent, or nobody wants it. -> whether there was anything."""
    return conn.execute("DELETE FROM tls_results WHERE day = ? AND domain = ?", (day, domain)).rowcount > 0


def counted(conn: Connection, domain: str, limit: int) -> list[ResultRow]:
    """What is counted and not yet reported, of `domain` or ('') of all, the newest day first."""
    rows: Sequence[tuple[str, str, str, str, str, str, int]] = conn.execute(
        """SELECT day, domain, policy, quoted, host, result, sessions FROM tls_results WHERE ? IN ('', domain)
            ORDER BY day DESC, domain, sessions DESC LIMIT ?""",
        (domain, limit),
    ).fetchall()
    return [ResultRow(day, name, policy, tuple(json.loads(quoted)), host, result, number) for day, name, policy, quoted, host, result, number in rows]
