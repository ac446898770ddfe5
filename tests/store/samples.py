"""Stores and messages for tests: a store in memory with the whole schema, and messages that say only what a test is about."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from typing import Any
from unittest import TestCase

from jetmail.store import migrations
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage


def memory_store() -> InlineDatabase:
    """A store with every table, gone with its connection."""
    db = InlineDatabase(":memory:")
    build(db.connection)
    return db


def disk_store(test: TestCase) -> tuple[InlineDatabase, str]:
    """A store on the disk and its path, so that another connection can change it. Gone with the test."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    path = os.path.join(folder.name, "store.sqlite")
    migrations.apply(path)
    db = InlineDatabase(path)
    test.addCleanup(db.close)
    return db, path


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
