"""Whoever may sign in and send, an SMTP user or a person, by the uuid that mail and log know them by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jetmail.store.database import Connection
from jetmail.store.directory import people, smtp_users


class Named(NamedTuple):
    """`name`: what they sign in with, an SMTP user's name or a person's address."""

    uuid: str
    name: str
    account_id: int


def get(conn: Connection, uuid: str) -> Named | None:
    """Who has that uuid, or None."""
    if (user := smtp_users.get(conn, uuid)) is not None:
        return Named(user.uuid, user.username, user.account_id)
    if (person := people.get(conn, uuid)) is not None:
        return Named(person.uuid, person.address, person.account_id)
    return None


def named(conn: Connection, name: str) -> Named | None:
    """Who signs in with that name (in lower case) or address (an Address.key), or None."""
    if "@" in name:
        person = people.at(conn, name)
        return Named(person.uuid, person.address, person.account_id) if person is not None else None
    user = smtp_users.named(conn, name)
    return Named(user.uuid, user.username, user.account_id) if user is not None else None


def account_of(conn: Connection, uuid: str) -> int:
    """The account of who has or had that uuid: what they sent stays its affair. 0 for nobody's."""
    if (found := get(conn, uuid)) is not None:
        return found.account_id
    row = conn.execute("SELECT account_id FROM former_senders WHERE uuid = ?", (uuid,)).fetchone()
    return int(row[0]) if row else 0


def uuids_of(conn: Connection, account_ids: Iterable[int]) -> frozenset[str]:
    """Whom the accounts have, and whom they had."""
    wanted = list(account_ids)
    marks = ", ".join("?" * len(wanted))
    return frozenset(
        row[0]
        for table in ("smtp_users", "people", "former_senders")
        for row in conn.execute(f"SELECT uuid FROM {table} WHERE account_id IN ({marks})", wanted)
    )
