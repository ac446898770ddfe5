"""Who has been in touch with whom: first contacts that were told to come back (greylisting), and whom our own people have written to.

Both are knowledge about strangers that may be lost without losing mail, so it is written behind the mail and in batches, or inside a
transaction that is made anyway; nothing here is worth a sync of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jetmail.mail.address import Address
from jetmail.store.database import Connection


class Contact(NamedTuple):
    """A row of `greylist`. `passed`: when its mail was last taken, None while it never was."""

    network: str
    sender: str
    recipient: str
    first_seen: float
    passed: float | None = None


def save_greylist(conn: Connection, contacts: Iterable[Contact]) -> None:
    """Write contacts as they are now, new ones and known ones."""
    conn.executemany("INSERT OR REPLACE INTO greylist (network, sender, recipient, first_seen, passed) VALUES (?, ?, ?, ?, ?)", list(contacts))


def greylist(conn: Connection, limit: int) -> list[Contact]:
    """The `limit` contacts first seen last, oldest first."""
    rows = conn.execute("SELECT network, sender, recipient, first_seen, passed FROM greylist ORDER BY first_seen DESC LIMIT ?", (limit,)).fetchall()
    return [Contact(*row) for row in reversed(rows)]


def expire_greylist(conn: Connection, waiting_before: float, passed_before: float, limit: int = 1_000) -> int:
    """Forget up to `limit` contacts that never came back and were first seen before `waiting_before`, or whose mail was last taken before
    `passed_before`. -> how many."""
    return conn.execute(
        """DELETE FROM greylist WHERE (network, sender, recipient) IN (SELECT network, sender, recipient FROM greylist
            WHERE first_seen < ? AND coalesce(passed < ?, 1) ORDER BY first_seen LIMIT ?)""",
        (waiting_before, passed_before, limit),
    ).rowcount


def wrote(conn: Connection, sender: Address, recipients: Iterable[Address], now: float) -> None:
    """One of ours has written to these: known to the writer, and to the writer's domain."""
    rows = [(owner, peer.key, now) for peer in recipients for owner in (sender.key, sender.domain)]
    conn.executemany("INSERT INTO correspondents (owner, peer, last) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last", rows)


def met(conn: Connection, rows: Iterable[tuple[str, str, float]]) -> None:
    """(owner, peer, when): `wrote`, of owners who are no addresses (an SMTP user's uuid)."""
    conn.executemany("INSERT INTO correspondents (owner, peer, last) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last", list(rows))


def has_written(conn: Connection, owner: str, peer: str) -> bool:
    """Whether `owner` (an Address.key or a domain of ours) has written to the peer (an Address.key)."""
    return conn.execute("SELECT 1 FROM correspondents WHERE owner = ? AND peer = ?", (owner, peer)).fetchone() is not None


def has_correspondents(conn: Connection) -> bool:
    """Whether anybody of ours has ever written to anybody."""
    return conn.execute("SELECT 1 FROM correspondents LIMIT 1").fetchone() is not None


def expire_correspondents(conn: Connection, before: float, limit: int = 1_000) -> int:
    """Forget up to `limit` who were last written to before that time. -> how many."""
    return conn.execute(
        "DELETE FROM correspondents WHERE (owner, peer) IN (SELECT owner, peer FROM correspondents WHERE last < ? ORDER BY last LIMIT ?)",
        (before, limit),
    ).rowcount
