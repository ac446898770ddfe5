"""The job that forgets contacts."""

from __future__ import annotations

from jetmail.interfaces import IJob
from jetmail.jobs.contacts import DAY, ContactsJob
from jetmail.mail.address import parse
from jetmail.store.traffic import contacts
from jetmail.store.traffic.contacts import Contact
from tests.store.samples import memory_store


def test_forgets() -> None:
    """Everything past its time goes, step by step, here and in memory; what is younger stays."""
    db = memory_store()
    db.run(contacts.save_greylist, [Contact("n", f"{number}@b", "r", 0.0) for number in range(2_500)])
    db.run(contacts.save_greylist, [Contact("n", "young@b", "r", 399 * DAY)])
    db.run(contacts.wrote, parse("a@demo.test"), [parse("old@far.example")], 0.0)
    db.run(contacts.wrote, parse("a@demo.test"), [parse("new@far.example")], 300 * DAY)
    forgotten: list[float] = []
    job = IJob(ContactsJob(db, lambda: 401 * DAY, forgotten.append))
    done: list[object] = []
    job.run().addBoth(done.append)
    assert done == [None] and forgotten == [401 * DAY]
    assert [row.sender for row in db.read(contacts.greylist, 10)] == ["young@b"]
    assert not db.read(contacts.has_written, "a@demo.test", "old@far.example")
    assert db.read(contacts.has_written, "demo.test", "new@far.example")
