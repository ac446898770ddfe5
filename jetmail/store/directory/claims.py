"""Who says that a domain is theirs, and what was last found in DNS about it.

An account's claim is its row in `domains` or, when another account came first and has not proved it either, a row in `domain_claims`. Each has a
challenge of its own, so one account's DNS record proves nothing for another. Functions here obey; the rules are in actions.ownership.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class Claim:
    """One account's claim to a name. `is_held`: the row in `domains` is this account's. `verified_at` only then."""

    name: str
    account_id: int
    challenge: str
    is_held: bool
    verified_at: float | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A domain_checks row."""

    domain: str
    subject: str
    status: str
    found: str
    checked: float


def of_name(conn: Connection, name: str) -> tuple[Claim, ...]:
    """All claims to a name, the held one first."""
    held = conn.execute("SELECT name, account_id, challenge, 1, verified_at FROM domains WHERE name = ?", (name,)).fetchall()
    others = conn.execute("SELECT name, account_id, challenge, 0, NULL FROM domain_claims WHERE name = ? ORDER BY created", (name,)).fetchall()
    return tuple(Claim(row[0], row[1], row[2], bool(row[3]), row[4]) for row in held + others)


def unproved(conn: Connection) -> tuple[Claim, ...]:
    """Every claim with a challenge to a name nobody has proved yet, oldest first."""
    rows = conn.execute(
        """SELECT name, account_id, challenge, 1, created FROM domains WHERE verified_at IS NULL AND challenge != ''
           UNION ALL
           SELECT c.name, c.account_id, c.challenge, 0, c.created FROM domain_claims c
           WHERE NOT EXISTS (SELECT 1 FROM domains d WHERE d.name = c.name AND d.verified_at IS NOT NULL)
           ORDER BY 5"""
    ).fetchall()
    return tuple(Claim(row[0], row[1], row[2], bool(row[3])) for row in rows)


def add(conn: Connection, name: str, account_id: int, challenge: str, created: float) -> None:
    """One more account says so; again changes nothing."""
    conn.execute(
        "INSERT OR IGNORE INTO domain_claims (account_id, name, challenge, created) VALUES (?, ?, ?, ?)", (account_id, name, challenge, created)
    )


def remove(conn: Connection, name: str, account_id: int) -> None:
    """That account's claim beside the held one is gone."""
    conn.execute("DELETE FROM domain_claims WHERE name = ? AND account_id = ?", (name, account_id))


def set_challenge(conn: Connection, claim: Claim, challenge: str) -> None:
    """Give that account's claim, and no other, a challenge."""
    table = "domains" if claim.is_held else "domain_claims"
    conn.execute(f"UPDATE {table} SET challenge = ? WHERE name = ? AND account_id = ?", (challenge, claim.name, claim.account_id))


def checked(conn: Connection, domain: str) -> tuple[Checked, ...]:
    """What was last found about a domain."""
    rows = conn.execute("SELECT domain, subject, status, found, checked FROM domain_checks WHERE domain = ? ORDER BY subject", (domain,)).fetchall()
    return tuple(Checked(*row) for row in rows)


def put_checked(conn: Connection, domain: str, found: Iterable[Checked]) -> None:
    """Replace it, and note whether the name for return paths leads to us now."""
    rows = tuple(found)
    conn.execute("DELETE FROM domain_checks WHERE domain = ?", (domain,))
    conn.executemany(
        "INSERT INTO domain_checks (domain, subject, status, found, checked) VALUES (?, ?, ?, ?, ?)",
        [(domain, item.subject, item.status, item.found, item.checked) for item in rows],
    )
    for item in rows:
        if item.subject == "return-path" and item.status == "ok":
            conn.execute("INSERT OR IGNORE INTO return_paths (domain) VALUES (?)", (domain,))
        elif item.subject == "return-path" and item.status != "unknown":
            conn.execute("DELETE FROM return_paths WHERE domain = ?", (domain,))


def has_return_path(conn: Connection, domain: str) -> bool:
    """Whether the domain's name for return paths leads to us, as far as was last seen."""
    return conn.execute("SELECT 1 FROM return_paths WHERE domain = ?", (domain,)).fetchone() is not None


def stale(conn: Connection, before: float, limit: int) -> tuple[str, ...]:
    """Verified domains that send or have a policy, and that somebody has once asked about, last looked at before then, oldest first."""
    rows = conn.execute(
        """SELECT c.domain FROM domain_checks c JOIN domains d ON d.name = c.domain
           WHERE d.verified_at IS NOT NULL AND (d.outbound = 1 OR d.name IN (SELECT domain FROM served_policies))
           GROUP BY c.domain HAVING MIN(c.checked) < ? ORDER BY MIN(c.checked) LIMIT ?""",
        (before, limit),
    ).fetchall()
    return tuple(row[0] for row in rows)
