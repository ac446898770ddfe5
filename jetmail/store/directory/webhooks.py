"""Webhooks: whom to tell by HTTP what happens to mail. Functions here obey; what may be asked is checked in actions.webhooks.

A uuid is given once and stays. A name is one per account; the appliance's own webhooks (`account_id` None) have names of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jetmail.store.database import Connection

COLUMNS = (
    "uuid", "account_id", "name", "url", "secret", "old_secret", "old_until", "events", "smtp_users", "domains", "is_enabled", "allow_private",
    "since", "created", "modified",
)  # fmt: skip
_LISTS = ("events", "smtp_users", "domains")
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM webhooks"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhooks row. `account_id` None: the appliance's own. Empty `smtp_users` (uuids) and `domains`: all. `since`: what happened before is not
    told. `old_secret` signs too until `old_until`."""

    uuid: str
    account_id: int | None
    name: str
    url: str
    secret: str = field(repr=False)
    old_secret: str = field(default="", repr=False)
    old_until: float = 0.0
    events: tuple[str, ...] = ("*",)
    smtp_users: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    is_enabled: bool = True
    allow_private: bool = False
    since: float = 0.0
    created: float = 0.0
    modified: float = 0.0

    def secrets(self, now: float) -> tuple[str, ...]:
        """Those that sign now."""
        return (self.secret, self.old_secret) if self.old_secret and now < self.old_until else (self.secret,)


def get(conn: Connection, uuid: str) -> Webhook | None:
    """The webhook of that uuid, or None."""
    row = conn.execute(f"{_SELECT} WHERE uuid = ?", (uuid,)).fetchone()
    return _made(row) if row else None


def named(conn: Connection, name: str) -> tuple[Webhook, ...]:
    """Those of that name: one an account."""
    return tuple(_made(row) for row in conn.execute(f"{_SELECT} WHERE name = ? ORDER BY account_id", (name,)).fetchall())


def listing(conn: Connection, account_ids: Iterable[int] | None = None) -> tuple[Webhook, ...]:
    """By name: all, or those of the accounts."""
    if account_ids is None:
        rows = conn.execute(f"{_SELECT} ORDER BY name, uuid").fetchall()
    else:
        wanted = list(account_ids)
        rows = conn.execute(f"{_SELECT} WHERE account_id IN ({', '.join('?' * len(wanted))}) ORDER BY name, uuid", wanted).fetchall()
    return tuple(_made(row) for row in rows)


def enabled(conn: Connection, _: object = None) -> tuple[Webhook, ...]:
    """Those that are told anything."""
    return tuple(_made(row) for row in conn.execute(f"{_SELECT} WHERE is_enabled = 1 ORDER BY uuid").fetchall())


def count(conn: Connection, account_id: int | None) -> int:
    """How many the account has, or the appliance."""
    return int(conn.execute("SELECT count(*) FROM webhooks WHERE account_id IS ?", (account_id,)).fetchone()[0])


def add(conn: Connection, hook: Webhook) -> None:
    """Store a new one. Raises sqlite3.IntegrityError when the name is taken."""
    conn.execute(f"INSERT INTO webhooks ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", _row(hook))


def save(conn: Connection, hook: Webhook) -> None:
    """Write every field back (the uuid stays). Raises sqlite3.IntegrityError when the name is taken."""
    columns = COLUMNS[1:]
    conn.execute(f"UPDATE webhooks SET {', '.join(f'{column} = ?' for column in columns)} WHERE uuid = ?", [*_row(hook)[1:], hook.uuid])


def remove(conn: Connection, uuid: str) -> None:
    """Forget it; what is on its way to it is the queue's."""
    conn.execute("DELETE FROM webhooks WHERE uuid = ?", (uuid,))


def _row(hook: Webhook) -> list[Any]:
    return [json.dumps(getattr(hook, column)) if column in _LISTS else getattr(hook, column) for column in COLUMNS]


def _made(row: tuple[Any, ...]) -> Webhook:
    values = dict(zip(COLUMNS, row, strict=True))
    for column in _LISTS:
        values[column] = tuple(json.loads(values[column]))
    for column in ("is_enabled", "allow_private"):
        values[column] = bool(values[column])
    return Webhook(**values)
