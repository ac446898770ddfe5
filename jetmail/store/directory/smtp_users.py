"""SMTP users: what apps, mail servers and platforms sign in with (spec 5). Functions here obey; what may be asked is checked in actions.smtp_users.

A name is kept in lower case and is one per appliance; a uuid is given once and stays. `password` is encoded by whoever calls; nothing here hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jetmail.store.database import Connection

MODES = ("default", "all", "any")
WINDOWS = ("hour", "day", "month")
COLUMNS = ("uuid", "account_id", "username", "password", "mode", "quota", "quota_window", "is_suspended", "unlocked_until", "created", "modified")
_SELECT = f"SELECT {', '.join(COLUMNS)}, id FROM smtp_users"


@dataclass(frozen=True, slots=True)
class SmtpUser:
    """A smtp_users row with its domains and networks. `mode`: 'default' (only `domains`), 'all' (the account's verified outbound domains), 'any'.
    `quota` messages in a `quota_window`, 0 without end; `unlocked_until` the quota does not count until then. `networks` empty: from anywhere."""

    uuid: str
    account_id: int
    username: str
    password: str
    mode: str = "default"
    quota: int = 0
    quota_window: str = "month"
    is_suspended: bool = False
    unlocked_until: float = 0.0
    created: float = 0.0
    modified: float = 0.0
    id: int = 0
    domains: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def named(conn: Connection, username: str) -> SmtpUser | None:
    """The user of that name in lower case, or None."""
    return _user(conn, conn.execute(f"{_SELECT} WHERE username = ?", (username,)).fetchone())


def get(conn: Connection, uuid: str) -> SmtpUser | None:
    """The user of that uuid, or None."""
    return _user(conn, conn.execute(f"{_SELECT} WHERE uuid = ?", (uuid,)).fetchone())


def listing(conn: Connection, account_ids: Iterable[int] | None = None) -> tuple[SmtpUser, ...]:
    """Users by name: all, or those of the accounts."""
    if account_ids is None:
        rows = conn.execute(f"{_SELECT} ORDER BY username").fetchall()
    else:
        wanted = list(account_ids)
        rows = conn.execute(f"{_SELECT} WHERE account_id IN ({', '.join('?' * len(wanted))}) ORDER BY username", wanted).fetchall()
    domains = _by_user(conn, "SELECT user_id, domain FROM smtp_user_domains ORDER BY domain")
    networks = _by_user(conn, "SELECT user_id, network FROM smtp_user_networks ORDER BY network")
    return tuple(_made(row, domains.get(row[-1], ()), networks.get(row[-1], ())) for row in rows)


def add(conn: Connection, user: SmtpUser) -> int:
    """Store a new user. -> its id. Raises sqlite3.IntegrityError when name or uuid are taken."""
    user_id = conn.execute(
        f"INSERT INTO smtp_users ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", [getattr(user, column) for column in COLUMNS]
    ).lastrowid
    assert user_id is not None
    _put_lists(conn, user_id, user)
    return user_id


def save(conn: Connection, user: SmtpUser) -> None:
    """Write every field of a stored user back (id and uuid stay)."""
    columns = COLUMNS[1:]
    conn.execute(
        f"UPDATE smtp_users SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
        [*(getattr(user, column) for column in columns), user.id],
    )
    _put_lists(conn, user.id, user)


def remove(conn: Connection, user: SmtpUser) -> None:
    """Forget the user and what was granted to it. What it has sent stays, in the queue and in the log."""
    conn.execute("DELETE FROM smtp_user_domains WHERE user_id = ?", (user.id,))
    conn.execute("DELETE FROM smtp_user_networks WHERE user_id = ?", (user.id,))
    conn.execute("DELETE FROM sender_addresses WHERE person = ?", (user.uuid,))
    conn.execute("DELETE FROM smtp_user_activity WHERE user = ?", (user.uuid,))
    conn.execute("DELETE FROM smtp_users WHERE id = ?", (user.id,))


def outbound_domain(conn: Connection, name: str) -> int:
    """The account that may send from the domain (verified, outbound on), 0 where there is none."""
    row = conn.execute("SELECT account_id FROM domains WHERE name = ? AND outbound = 1 AND verified_at IS NOT NULL", (name,)).fetchone()
    return int(row[0]) if row else 0


def last_used(conn: Connection) -> dict[str, float]:
    """When each user was last used, those that never were left out."""
    return dict(conn.execute("SELECT user, last_used FROM smtp_user_activity").fetchall())


def _put_lists(conn: Connection, user_id: int, user: SmtpUser) -> None:
    for table, column, wanted in (("smtp_user_domains", "domain", user.domains), ("smtp_user_networks", "network", user.networks)):
        conn.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,))
        conn.executemany(f"INSERT INTO {table} (user_id, {column}) VALUES (?, ?)", [(user_id, item) for item in wanted])


def _by_user(conn: Connection, query: str) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for user_id, item in conn.execute(query).fetchall():
        found.setdefault(user_id, []).append(item)
    return {user_id: tuple(items) for user_id, items in found.items()}


def _user(conn: Connection, row: tuple | None) -> SmtpUser | None:
    if row is None:
        return None
    domains = conn.execute("SELECT domain FROM smtp_user_domains WHERE user_id = ? ORDER BY domain", (row[-1],)).fetchall()
    networks = conn.execute("SELECT network FROM smtp_user_networks WHERE user_id = ? ORDER BY network", (row[-1],)).fetchall()
    return _made(row, tuple(item[0] for item in domains), tuple(item[0] for item in networks))


def _made(row: tuple, domains: tuple[str, ...], networks: tuple[str, ...]) -> SmtpUser:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=False))
    values["is_suspended"] = bool(values["is_suspended"])
    return SmtpUser(**values, id=row[-1], domains=domains, networks=networks)
