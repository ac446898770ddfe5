"""Accounts: whose a domain is. An appliance with a single owner has account 1 and never sees them."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection

DEFAULT = 1


@dataclass(frozen=True, slots=True)
class Account:
    """An accounts row. `plan` standard or pro."""

    id: int
    name: str
    plan: str = "standard"


def get(conn: Connection, account_id: int) -> Account | None:
    """The account of that id, or None."""
    row = conn.execute("SELECT id, name, plan FROM accounts WHERE id = ?", (account_id,)).fetchone()
    return Account(*row) if row else None


def listing(conn: Connection) -> tuple[Account, ...]:
    """All accounts by name."""
    return tuple(Account(*row) for row in conn.execute("SELECT id, name, plan FROM accounts ORDER BY name").fetchall())


def add(conn: Connection, name: str, plan: str = "standard") -> int:
    """Store a new account. -> its id. Raises sqlite3.IntegrityError when the name is taken."""
    account_id = conn.execute("INSERT INTO accounts (name, plan) VALUES (?, ?)", (name, plan)).lastrowid
    assert account_id is not None
    return account_id
