"""What was answered to a request that bore a key, so that the same request sent again sends nothing again.

A row is written by the transaction that accepts the message (`remember`), so it is there exactly when the message is, whatever crashes when.
"""

from __future__ import annotations

from typing import NamedTuple

from jetmail.store.database import Connection


class Remembered(NamedTuple):
    """`request` is the SHA-256 of what was asked, `response` the JSON that was answered."""

    request: bytes
    response: str


def find(conn: Connection, token_id: int, key: str, since: float) -> dict[int, Remembered]:
    """What was answered under the key since then, by place in the batch (0 where there is none)."""
    rows = conn.execute(
        "SELECT item, request, response FROM idempotency WHERE token_id = ? AND key = ? AND created > ?", (token_id, key, since)
    ).fetchall()
    return {item: Remembered(bytes(request), response) for item, request, response in rows}


def remember(conn: Connection, token_id: int, key: str, item: int, request: bytes, response: str, created: float, since: float) -> None:
    """Part of the transaction that accepts. Takes the place of a row that is no longer counted (not after `since`); raises sqlite3.IntegrityError,
    and so undoes the acceptance, when one that counts is there: somebody has sent the same meanwhile."""
    conn.execute("DELETE FROM idempotency WHERE token_id = ? AND key = ? AND item = ? AND created <= ?", (token_id, key, item, since))
    conn.execute(
        "INSERT INTO idempotency (token_id, key, item, request, response, created) VALUES (?, ?, ?, ?, ?, ?)",
        (token_id, key, item, request, response, created),
    )


def forget(conn: Connection, before: float, limit: int = 1_000) -> int:
    """Forget up to `limit` answers given before. -> how many."""
    return conn.execute(
        "DELETE FROM idempotency WHERE (token_id, key, item) IN (SELECT token_id, key, item FROM idempotency WHERE created < ? LIMIT ?)",
        (before, limit),
    ).rowcount
