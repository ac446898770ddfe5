"""Return paths say which message they are of, to us alone, for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import returnpath
from jetmail.mail.address import parse
from jetmail.mail.returnpath import DAY, Key, Ring, Token, Wrong

NOW = 1_800_000_000.0
UID = "0192b3c4d5e6f7a8b9c0"
RING = Ring((Key(3, NOW, b"k" * 32), Key(2, NOW - 90 * DAY, b"o" * 32)))


def test_there_and_back() -> None:
    """An address is short, of letters any host leaves alone, and reads back in any case."""
    address = returnpath.made(RING, NOW, UID, 77, True, "bounces.example.org")
    local, domain = address.split("@")
    assert domain == "bounces.example.org" and local.startswith("b+") and len(local) == 47 and parse(address).domain == domain
    expected = Token(UID, 77, True, NOW // DAY * DAY)
    assert returnpath.read(RING, NOW, local, domain, 14) == expected == returnpath.read(RING, NOW, local.upper(), domain, 14)


def test_of_several() -> None:
    """One of several deliveries says so."""
    local = returnpath.made(RING, NOW, UID, 5, False, "bounces.example.org").split("@")[0]
    assert returnpath.read(RING, NOW, local, "bounces.example.org", 14) == Token(UID, 5, False, NOW // DAY * DAY)


def test_expires() -> None:
    """It counts for as many days as are asked for, and not a day longer; a clock that was ahead over midnight is forgiven."""
    local = returnpath.made(RING, NOW, UID, 77, True, "b.example").split("@")[0]
    assert isinstance(returnpath.read(RING, NOW + 14 * DAY, local, "b.example", 14), Token)
    assert returnpath.read(RING, NOW + 15 * DAY, local, "b.example", 14) is Wrong.EXPIRED
    assert isinstance(returnpath.read(RING, NOW - DAY, local, "b.example", 14), Token)
    assert returnpath.read(RING, NOW - 2 * DAY, local, "b.example", 14) is Wrong.EXPIRED


def test_an_old_key_reads() -> None:
    """What the key before made still reads; without the key it is forged."""
    old = Ring(RING.keys[1:])
    local = returnpath.made(old, NOW, UID, 77, True, "b.example").split("@")[0]
    assert isinstance(returnpath.read(RING, NOW, local, "b.example", 14), Token)
    assert returnpath.read(Ring(RING.keys[:1]), NOW, local, "b.example", 14) is Wrong.FORGED


def test_of_one_domain_alone() -> None:
    """A token taken to another domain is forged."""
    local = returnpath.made(RING, NOW, UID, 77, True, "bounces.example.org").split("@")[0]
    assert returnpath.read(RING, NOW, local, "bounces.example.net", 14) is Wrong.FORGED


def test_any_change_is_forged() -> None:
    """Whatever letter is changed, nothing of it is believed."""
    local = returnpath.made(RING, NOW, UID, 77, True, "b.example").split("@")[0]
    for place in range(2, len(local) - 1):
        other = local[:place] + ("a" if local[place] != "a" else "b") + local[place + 1 :]
        assert returnpath.read(RING, NOW, other, "b.example", 14) is Wrong.FORGED


@given(st.text(max_size=64))
def test_total(text: str) -> None:
    """Any local part is forged or, by no chance, ours."""
    assert returnpath.read(RING, NOW, text, "b.example", 14) is Wrong.FORGED
    assert returnpath.read(RING, NOW, "b+" + text, "b.example", 14) is Wrong.FORGED


def test_what_does_not_fit() -> None:
    """A uid of another shape, a delivery beyond the field, no key: no address."""
    assert returnpath.made(RING, NOW, "x", 1, True, "b.example") == "" == returnpath.made(RING, NOW, UID, 1 << 40, True, "b.example")
    assert returnpath.made(RING, NOW, UID, 1, True, "long." * 45 + "example") == ""
    assert returnpath.made(Ring(()), NOW, UID, 1, True, "b.example") == ""
