"""The audit: who did what, append only. An entry is written in the transaction of the change it tells of, so neither exists alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """`via` is the door: cli, portal, api, system. `object` names what was changed ('domain example.com'). No secrets in `detail`."""

    at: float
    actor: str
    via: str
    action: str
    object: str
    detail: dict[str, Any]
    id: int = 0


def record(conn: Connection, at: float, actor: str, via: str, action: str, obj: str, detail: dict[str, Any] | None = None) -> None:
    """Append one entry."""
    conn.execute(
        "INSERT INTO audit (at, actor, via, action, object, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (at, actor, via, action, obj, json.dumps(detail or {}, ensure_ascii=False, sort_keys=True, default=str)),
    )


def listing(conn: Connection, *, obj: str = "", before: int = 0, limit: int = 100) -> tuple[Entry, ...]:
    """Entries, newest first; only those of `obj` when given; from below the id `before` when given."""
    rows = conn.execute(
        """SELECT at, actor, via, action, object, detail, id FROM audit
           WHERE (? = '' OR object = ?) AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?""",
        (obj, obj, before, before, limit),
    ).fetchall()
    return tuple(Entry(at, actor, via, action, found, json.loads(detail), id) for at, actor, via, action, found, detail, id in rows)
