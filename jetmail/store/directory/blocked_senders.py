"""Blocked senders: SMTP users, or single senders of a user, that were stopped for abuse (spec 5.6, 7.32). A row stays when it no longer counts, so
that it is known who let the sender go."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jetmail.store.database import Connection

_COLUMNS = "id, user, sender, account_id, since, reason, evidence, unblocked, unblocked_by, by_owner"


@dataclass(frozen=True, slots=True)
class BlockedSender:
    """A blocked_senders row. `sender` '': everything `user` (a uuid) sends. `reason` is the limit that was passed: messages, newcomers, rejections,
    spam. `unblocked` None: it counts. `by_owner`: the account itself let the sender go."""

    user: str
    sender: str
    account_id: int
    since: float
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    unblocked: float | None = None
    unblocked_by: str = ""
    by_owner: bool = False
    id: int = 0


def now_blocked(conn: Connection, user: str) -> dict[str, BlockedSender]:
    """What of the user is blocked, by sender; '' is all of it."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM blocked_senders WHERE user = ? AND unblocked IS NULL", (user,)).fetchall()
    return {row[2]: _blocked(row) for row in rows}


def get(conn: Connection, block_id: int) -> BlockedSender | None:
    """The row of that id."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM blocked_senders WHERE id = ?", (block_id,)).fetchone()
    return _blocked(row) if row else None


def listing(conn: Connection, account_ids: Iterable[int] | None = None, *, past: bool = False, limit: int = 1_000) -> tuple[BlockedSender, ...]:
    """Who is blocked, newest first: all, or of the accounts; with `past` those let go too."""
    wanted = list(account_ids) if account_ids is not None else None
    scope = "1" if wanted is None else f"account_id IN ({', '.join('?' * len(wanted))})"
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM blocked_senders WHERE {scope} AND (? OR unblocked IS NULL) ORDER BY id DESC LIMIT ?", [*(wanted or ()), past, limit]
    ).fetchall()
    return tuple(_blocked(row) for row in rows)


def block(conn: Connection, new: BlockedSender) -> int:
    """Stop the sender. -> the row's id; 0 when it is blocked already."""
    done = conn.execute(
        "INSERT OR IGNORE INTO blocked_senders (user, sender, account_id, since, reason, evidence) VALUES (?, ?, ?, ?, ?, ?)",
        (new.user, new.sender, new.account_id, new.since, new.reason, json.dumps(new.evidence, ensure_ascii=False)),
    )
    return (done.lastrowid or 0) if done.rowcount > 0 else 0


def unblock(conn: Connection, block_id: int, now: float, by: str, *, by_owner: bool) -> None:
    """Let the sender go."""
    conn.execute(
        "UPDATE blocked_senders SET unblocked = ?, unblocked_by = ?, by_owner = ? WHERE id = ? AND unblocked IS NULL", (now, by, by_owner, block_id)
    )


def released_by_owner(conn: Connection, user: str, sender: str) -> bool:
    """Whether the last time this sender was let go it was by its own account: then the next time is an administrator's."""
    row = conn.execute(
        "SELECT by_owner FROM blocked_senders WHERE user = ? AND sender = ? AND unblocked IS NOT NULL ORDER BY unblocked DESC, id DESC LIMIT 1",
        (user, sender),
    ).fetchone()
    return bool(row and row[0])


def last_release(conn: Connection, user: str, sender: str) -> float:
    """When the sender was last let go; 0 when never. What was counted before says nothing any more."""
    row = conn.execute("SELECT max(unblocked) FROM blocked_senders WHERE user = ? AND sender = ?", (user, sender)).fetchone()
    return float(row[0] or 0.0)


def _blocked(row: tuple) -> BlockedSender:
    block_id, user, sender, account_id, since, reason, evidence, unblocked, unblocked_by, by_owner = row
    try:
        found = json.loads(evidence)
    except ValueError:
        found = {}
    told = found if isinstance(found, dict) else {}
    return BlockedSender(user, sender, account_id, since, reason, told, unblocked, unblocked_by, bool(by_owner), block_id)
