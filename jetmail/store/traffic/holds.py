"""Mail that a hold rule sets aside as it comes: stored with the word why, in the transaction that accepts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jetmail.store.database import Connection
from jetmail.store.traffic.messages import Accepted

HOLD_RULE = "hold-rule"  # the reason of such a delivery; its reply says which rule


def accept(conn: Connection, at: float, details: Mapping[str, str], first: Callable[..., Any], *args: Any) -> Any:
    """What `first` stores, and for each delivery a rule held an event. `details`: the event's JSON by the delivery's reply."""
    stored: Accepted | Sequence[Accepted] = first(conn, *args)
    for each in [stored] if isinstance(stored, Accepted) else stored:
        held = conn.execute("SELECT id, reply FROM deliveries WHERE message_id = ? AND held = 1 AND reason = ?", (each.id, HOLD_RULE)).fetchall()
        conn.executemany(
            "INSERT INTO events (message_id, delivery_id, at, kind, detail) VALUES (?, ?, ?, 'hold', ?)",
            [(each.id, delivery_id, at, details[reply]) for delivery_id, reply in held],
        )
    return stored
