"""Settings people change while it runs: JSON values by key. What is fixed at boot lives in etc/ (design 12)."""

from __future__ import annotations

import json
from typing import Any

from jetmail.store.database import Connection


def get(conn: Connection, key: str, default: Any = None) -> Any:
    """The value of `key`, or `default` where it was never set."""
    row = conn.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row[0])


def put(conn: Connection, key: str, value: Any) -> None:
    """Set `key`; None forgets it, so that the default counts again."""
    if value is None:
        conn.execute("DELETE FROM settings WHERE key = ?", (key,))
    else:
        text = json.dumps(value)
        conn.execute("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, text))


def everything(conn: Connection) -> dict[str, Any]:
    """All that were set."""
    return {key: json.loads(value) for key, value in conn.execute("SELECT key, value FROM settings ORDER BY key").fetchall()}
