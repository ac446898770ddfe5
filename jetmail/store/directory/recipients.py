"""Known recipients: the addresses that exist at a domain whose `recipients` is 'listed'. Kept as `Address.key`."""

from __future__ import annotations

from collections.abc import Iterable

from jetmail.mail.address import Address
from jetmail.store.database import Connection


def is_known(conn: Connection, key: str) -> bool:
    """Whether the address (an `Address.key`) is on its domain's list."""
    return conn.execute("SELECT 1 FROM recipients WHERE address = ?", (key,)).fetchone() is not None


def add(conn: Connection, addresses: Iterable[Address]) -> int:
    """Put addresses on their domains' lists. -> how many were new."""
    rows = [(address.key, address.domain) for address in addresses]
    return conn.executemany("INSERT OR IGNORE INTO recipients (address, domain) VALUES (?, ?)", rows).rowcount if rows else 0


def remove(conn: Connection, addresses: Iterable[Address]) -> int:
    """Take addresses off. -> how many were there."""
    rows = [(address.key,) for address in addresses]
    return conn.executemany("DELETE FROM recipients WHERE address = ?", rows).rowcount if rows else 0


def listing(conn: Connection, domain: str, *, after: str = "", limit: int = 1000) -> tuple[str, ...]:
    """The domain's addresses in order, `limit` of them from behind `after`."""
    rows = conn.execute("SELECT address FROM recipients WHERE domain = ? AND address > ? ORDER BY address LIMIT ?", (domain, after, limit)).fetchall()
    return tuple(row[0] for row in rows)


def count(conn: Connection, domain: str) -> int:
    """How many the domain has."""
    found: int = conn.execute("SELECT count(*) FROM recipients WHERE domain = ?", (domain,)).fetchone()[0]
    return found
