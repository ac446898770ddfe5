"""First contacts: remembered by network, sender and recipient, for a while, up to a limit."""

from __future__ import annotations

import pytest

from jetmail.inbound.greylist import LIFETIME, Greylist, network_of
from jetmail.mail.address import parse

BOB = parse("Bob@demo.test")


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.0/24"), ("::ffff:192.0.2.7", "192.0.2.0/24"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix")],
)
def test_networks(address: str, network: str) -> None:
    """A /24, a /64, or whatever stands there."""
    assert network_of(address) == network


def test_first_contact_is_remembered() -> None:
    """The first time counts, for neighbours and in any spelling of the recipient; another sender is another contact."""
    greylist = Greylist()
    assert greylist.first_seen("192.0.2.7", "a@b", BOB, 100.0) is None
    greylist.remember("192.0.2.7", "a@b", BOB, 100.0)
    greylist.remember("192.0.2.8", "a@b", BOB, 200.0)
    assert greylist.first_seen("192.0.2.99", "a@b", parse("bob@demo.test"), 300.0) == 100.0
    assert greylist.first_seen("192.0.2.7", "c@b", BOB, 300.0) is None


def test_contacts_grow_old() -> None:
    """After five days it is a first contact again."""
    greylist = Greylist()
    greylist.remember("192.0.2.7", "a@b", BOB, 100.0)
    later = 100.0 + LIFETIME
    assert greylist.first_seen("192.0.2.7", "a@b", BOB, later) is None
    greylist.remember("192.0.2.7", "a@b", BOB, later)
    assert greylist.first_seen("192.0.2.7", "a@b", BOB, later + 1) == later


def test_memory_is_bounded() -> None:
    """What was heard first is forgotten first."""
    greylist = Greylist(limit=3)
    for number in range(5):
        greylist.remember("192.0.2.7", f"{number}@b", BOB, float(number))
    assert len(greylist) == 3
    assert greylist.first_seen("192.0.2.7", "0@b", BOB, 9.0) is None
    assert greylist.first_seen("192.0.2.7", "4@b", BOB, 9.0) == 4.0
