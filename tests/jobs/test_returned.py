"""The job that counts what others refuse against who sent it."""

from __future__ import annotations

from jetmail.interfaces import IJob
from jetmail.jobs.returned import ReturnedJob
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import messages
from tests.store.samples import delivery, memory_store, message


def refused(db: InlineDatabase, number: int, reason: str = "recipient") -> None:
    """A user's message whose one delivery was refused for good, and the event of that."""
    sent = message(number, delivery("ann@far.test", "rejected", reason=reason), direction="outbound", user="u1", sender="bob@demo.test")
    db.run(messages.accept, sent)
    db.connection.execute("UPDATE deliveries SET finished = ? WHERE message_id = (SELECT max(id) FROM messages)", (float(number),))
    db.connection.execute(
        "INSERT INTO events (message_id, delivery_id, at, kind) SELECT message_id, id, finished, 'attempt' FROM deliveries ORDER BY id DESC LIMIT 1"
    )


def test_each_refusal_is_told_once_and_only_what_is_new() -> None:
    """What happened before the start is left; after it each refusal is told once; our own suppressions are no fault of the sender's."""
    db = memory_store()
    told: list[tuple[str, str]] = []
    job = ReturnedJob(db, lambda user, sender: told.append((user, sender)))
    refused(db, 1)
    IJob(job).run()
    assert told == []
    refused(db, 2)
    refused(db, 3, "suppressed")
    job.run()
    job.run()
    assert told == [("u1", "bob@demo.test")]


def test_ids_that_begin_anew_are_noticed() -> None:
    """When every event was forgotten and their ids start again, what comes then is told all the same."""
    db = memory_store()
    told: list[tuple[str, str]] = []
    job = ReturnedJob(db, lambda user, sender: told.append((user, sender)))
    for number in range(1, 4):
        refused(db, number)
    job.run()
    db.connection.execute("DELETE FROM events")
    job.run()
    refused(db, 5)
    job.run()
    assert told == [("u1", "bob@demo.test")]
