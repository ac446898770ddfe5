"""Sender addresses: who may send as an address besides their own (spec 6.10). `person` is the uuid of an SMTP user or of a person; an
address may belong to several."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class SenderAddress:
    """A sender_addresses row."""

    address: str
    person: str


def granted(conn: Connection, address: str, person: str) -> bool:
    """Whether the person may send as the address (an Address.key)."""
    return conn.execute("SELECT 1 FROM sender_addresses WHERE address = ? AND person = ?", (address, person)).fetchone() is not None


def of_address(conn: Connection, address: str) -> tuple[str, ...]:
    """Who may send as the address."""
    return tuple(row[0] for row in conn.execute("SELECT person FROM sender_addresses WHERE address = ? ORDER BY person", (address,)).fetchall())


def listing(conn: Connection, person: str = "") -> tuple[SenderAddress, ...]:
    """All grants by address, or those of one person."""
    rows = conn.execute("SELECT address, person FROM sender_addresses WHERE ? IN ('', person) ORDER BY address, person", (person,)).fetchall()
    return tuple(SenderAddress(*row) for row in rows)


def add(conn: Connection, grant: SenderAddress) -> bool:
    """-> False when it was granted already."""
    return conn.execute("INSERT OR IGNORE INTO sender_addresses (address, person) VALUES (?, ?)", (grant.address, grant.person)).rowcount > 0


def remove(conn: Connection, grant: SenderAddress) -> bool:
    """-> False when it was not granted."""
    return conn.execute("DELETE FROM sender_addresses WHERE address = ? AND person = ?", (grant.address, grant.person)).rowcount > 0
