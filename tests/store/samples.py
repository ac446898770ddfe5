"""Stores and messages for tests: a store in memory with the whole schema, and messages that say only what a test is about."""

from __future__ import annotations

import sqlite3
from typing import Any

from jetmail.store import migrations
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage


def memory_store() -> InlineDatabase:
    """A store with every table, gone with its connection."""
    db = InlineDatabase(":memory:")
    build(db.connection)
    return db


def build(connection: sqlite3.Connection) -> None:
    """Every step of the schema, without the records and the syncs of a real migration."""
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for _, step in migrations.STEPS:
        step(connection)


def delivery(recipient: str = "ann@demo.test", status: str = "queued", **other: Any) -> NewDelivery:
    """One recipient whose mail goes where it is addressed."""
    domain = recipient.rpartition("@")[2]
    values: dict[str, Any] = {"domain": domain, "target": recipient, "destination": domain} | other
    return NewDelivery(recipient=recipient, status=status, **values)


def message(number: int = 1, *deliveries: NewDelivery, **other: Any) -> NewMessage:
    """The message of that number, received at that second, with a small body and (unless told otherwise) one queued recipient."""
    values: dict[str, Any] = {
        "uid": f"{number:020x}",
        "direction": "inbound",
        "received": float(number),
        "sender": "bob@example.org",
        "size": 4,
        "content": Content(4, b"a\r\n."),
        "first_retry": number + 60.0,
    } | other
    return NewMessage(deliveries=deliveries or (delivery(),), **values)
