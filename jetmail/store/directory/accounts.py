"""Accounts: whose a domain is. An appliance with a single owner has account 1 and never sees them."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection

DEFAULT = 1


@dataclass(frozen=True, slots=True)
class Account:
    """An accounts row. `plan` standard or pro. `contact` is the address notices go to; '' for nobody."""

    id: int
    name: str
    plan: str = "standard"
    contact: str = ""


def get(conn: Connection, account_id: int) -> Account | None:
    """The account of that id, or None."""
    row = conn.execute("SELECT id, name, plan, contact FROM accounts WHERE id = ?", (account_id,)).fetchone()
    return Account(*row) if row else None


def listing(conn: Connection) -> tuple[Account, ...]:
    """All accounts by name."""
    return tuple(Account(*row) for row in conn.execute("SELECT id, name, plan, contact FROM accounts ORDER BY name").fetchall())


def named(conn: Connection, name: str) -> Account | None:
    """The account of that name, or None."""
    row = conn.execute("SELECT id, name, plan, contact FROM accounts WHERE name = ?", (name,)).fetchone()
    return Account(*row) if row else None


def save(conn: Connection, account: Account) -> None:
    """Write every field of a stored account back (its id stays). Raises sqlite3.IntegrityError when the name is taken."""
    conn.execute("UPDATE accounts SET name = ?, plan = ?, contact = ? WHERE id = ?", (account.name, account.plan, account.contact, account.id))


def add(conn: Connection, name: str, plan: str = "standard", contact: str = "") -> int:
    """Store a new account. -> its id. Raises sqlite3.IntegrityError when the name is taken."""
    account_id = conn.execute("INSERT INTO accounts (name, plan, contact) VALUES (?, ?, ?)", (name, plan, contact)).lastrowid
    assert account_id is not None
    return account_id
