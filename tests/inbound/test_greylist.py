"""First contacts: remembered by network, sender and recipient, for a while, up to a limit, and over a restart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from jetmail.errors import StoreError
from jetmail.inbound.greylist import (
    FLUSH_AFTER,
    REMEMBERED,
    RENEWED_AFTER,
    UNKNOWN,
    WINDOW,
    Greylist,
    Standing,
    network_of,
    sender_of,
)
from jetmail.mail.address import parse
from jetmail.store.traffic import contacts
from jetmail.store.traffic.contacts import Contact
from tests.store.samples import memory_store

BOB = parse("Bob@demo.test")


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.0/24"), ("::ffff:192.0.2.7", "192.0.2.0/24"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix")],
)
def test_networks(address: str, network: str) -> None:
    """A /24, a /64, or whatever stands there."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("sender", "known_as"),
    [
        ("Ann@Example.org", "ann@example.org"),
        ("ann+news-77@example.org", "ann@example.org"),
        ("bounce-123-45@list.example", "bounce-#-#@list.example"),
        ("a@mx1.example", "a@mx1.example"),
        ("", ""),
    ],
)
def test_senders(sender: str, known_as: str) -> None:
    """What changes from message to message is no part of a sender."""
    assert sender_of(sender) == known_as


def test_first_contact_is_remembered() -> None:
    """The first time counts, for neighbours and in any spelling of the recipient; another sender is another contact."""
    greylist = Greylist()
    assert greylist.standing("192.0.2.7", "a@b", BOB, 100.0) is UNKNOWN
    greylist.deferred("192.0.2.7", "a@b", BOB, 100.0)
    greylist.deferred("192.0.2.8", "a@b", BOB, 200.0)
    assert greylist.standing("192.0.2.99", "a@b", parse("bob@demo.test"), 300.0) == Standing(100.0, False, 0)
    assert greylist.standing("192.0.2.7", "c@b", BOB, 300.0).first_seen is None


def test_who_comes_back_has_passed() -> None:
    """Mail that was taken makes a contact a passed one and counts for its network; a contact that never waited is none."""
    greylist = Greylist()
    greylist.taken("192.0.2.7", "never@waited", BOB, 100.0)
    assert len(greylist) == 0
    greylist.deferred("192.0.2.7", "a@b", BOB, 100.0)
    greylist.taken("192.0.2.7", "a@b", BOB, 500.0)
    assert greylist.standing("192.0.2.7", "a@b", BOB, 600.0) == Standing(100.0, True, 1)
    assert greylist.standing("192.0.2.9", "x@y", BOB, 600.0) == Standing(None, False, 1)
    assert greylist.standing("192.0.2.7", "a@b", BOB, 500.0 + REMEMBERED).first_seen is None


def test_contacts_grow_old() -> None:
    """After five days it is a first contact again; after a day of not passing, its time begins anew."""
    greylist = Greylist()
    greylist.deferred("192.0.2.7", "a@b", BOB, 100.0)
    later = 100.0 + WINDOW
    assert greylist.standing("192.0.2.7", "a@b", BOB, later).first_seen is None
    greylist.deferred("192.0.2.7", "a@b", BOB, later)
    assert greylist.standing("192.0.2.7", "a@b", BOB, later + 1).first_seen == later
    greylist.deferred("192.0.2.7", "a@b", BOB, later + RENEWED_AFTER + 1)
    assert greylist.standing("192.0.2.7", "a@b", BOB, later + RENEWED_AFTER + 2).first_seen == later + RENEWED_AFTER + 1


def test_memory_is_bounded() -> None:
    """What was heard first is forgotten first, and its network's count with it."""
    greylist = Greylist(limit=3)
    for number, name in enumerate("abcde"):
        greylist.deferred("192.0.2.7", f"{name}@b", BOB, float(number))
        greylist.taken("192.0.2.7", f"{name}@b", BOB, float(number))
    assert len(greylist) == 3
    assert greylist.standing("192.0.2.7", "a@b", BOB, 9.0) == Standing(None, False, 3)
    assert greylist.standing("192.0.2.7", "e@b", BOB, 9.0).first_seen == 4.0
    assert greylist.expire(WINDOW + REMEMBERED) == 3 and greylist.standing("192.0.2.7", "e@b", BOB, 9.0) is UNKNOWN


@given(st.lists(st.tuples(st.sampled_from("dt"), st.sampled_from("abc"), st.integers(0, 60)), max_size=40))
def test_counts_add_up(steps: list[tuple[str, str, int]]) -> None:
    """Whatever happens in whatever order, a network's passes are its contacts that have passed."""
    greylist, now = Greylist(limit=2), 0.0
    for what, sender, days in steps:
        now += days * 86_400.0
        (greylist.deferred if what == "d" else greylist.taken)("192.0.2.7", f"{sender}@b", BOB, now)
        if days > 50:
            greylist.expire(now)
        passed = sum(passed is not None for _, passed in greylist._contacts.values())
        assert greylist._passes.get("192.0.2.0/24", 0) == passed


class Kept:
    """A greylist over a store; what is written is counted."""

    def __init__(self) -> None:
        self.db = memory_store()
        self.clock = Clock()
        self.batches: list[int] = []
        self.greylist = Greylist(write=self.write, clock=self.clock)

    def write(self, rows: list[Contact]) -> Any:
        self.batches.append(len(rows))
        return self.db.run(contacts.save_greylist, rows)


def test_written_in_batches() -> None:
    """A hundred contacts are one write, a little later; a restart knows them all, with who had passed."""
    kept = Kept()
    for number in range(100):
        kept.greylist.deferred(f"192.0.{number}.7", "a@b", BOB, 100.0)
    kept.greylist.taken("192.0.9.7", "a@b", BOB, 500.0)
    assert kept.batches == []
    kept.clock.advance(FLUSH_AFTER)
    assert kept.batches == [100] and kept.clock.getDelayedCalls() == []
    again = Greylist()
    again.load(kept.db.read(contacts.greylist, 1000), 600.0)
    assert len(again) == 100 and again.standing("192.0.9.9", "a@b", BOB, 600.0) == Standing(100.0, True, 1)


def test_newest_are_loaded() -> None:
    """Of more than there is room for, those first seen last are remembered; of what is too old, nothing."""
    db = memory_store()
    db.run(contacts.save_greylist, [Contact("n", f"{number}@b", "r", float(number)) for number in range(10)])
    assert [row.sender for row in db.read(contacts.greylist, 3)] == ["7@b", "8@b", "9@b"]
    greylist = Greylist()
    greylist.load(db.read(contacts.greylist, 10), WINDOW + 5.5)
    assert len(greylist) == 4


def test_flush_at_the_end() -> None:
    """What is not written yet is written when the process stops, and no timer stays."""
    kept = Kept()
    kept.greylist.deferred("192.0.2.7", "a@b", BOB, 100.0)
    kept.greylist.flush()
    assert kept.batches == [1] and kept.clock.getDelayedCalls() == []


def test_a_store_that_fails_costs_nothing() -> None:
    """Contacts that cannot be written are still remembered by this process."""
    clock = Clock()
    greylist = Greylist(write=lambda rows: fail(StoreError("disk full")), clock=clock)
    greylist.deferred("192.0.2.7", "a@b", BOB, 100.0)
    clock.advance(FLUSH_AFTER)
    assert greylist.standing("192.0.2.7", "a@b", BOB, 200.0).first_seen == 100.0


def test_expiry_in_the_store() -> None:
    """Who never came back goes after its time, who passed after its own, the others stay."""
    db = memory_store()
    rows = [Contact("n", "waiting@b", "r", 100.0), Contact("n", "passed@b", "r", 100.0, 900.0), Contact("n", "old@b", "r", 100.0, 150.0)]
    db.run(contacts.save_greylist, rows)
    gone: list[int] = []
    db.run(contacts.expire_greylist, 500.0, 200.0).addCallback(gone.append)
    assert gone == [2] and [row.sender for row in db.read(contacts.greylist, 10)] == ["passed@b"]
