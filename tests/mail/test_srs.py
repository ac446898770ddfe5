"""Forwarded mail leaves under a name of ours, and its bounces find their way home."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import srs
from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.returnpath import DAY, Key, Ring, Wrong

NOW = 1_800_000_000.0
RING = Ring((Key(3, NOW, b"k" * 32), Key(2, NOW - 90 * DAY, b"o" * 32)))
OTHERS = Ring((Key(0, NOW, b"x" * 32),))


def _local(address: str) -> str:
    return parse(address).local


def test_srs0_there_and_back() -> None:
    """A sender is wrapped with day and hash, and unwrapped in any case for as long as it counts."""
    wrapped = srs.forwarded(RING, NOW, parse("ann@example.net"), "fwd.example")
    local = _local(wrapped)
    assert wrapped.endswith("=example.net=ann@fwd.example") and local.startswith("SRS0=") and len(local.split("=")[1]) == srs.HASH
    assert srs.reversed_(RING, NOW, local, 14) == parse("ann@example.net") == srs.reversed_(RING, NOW + 14 * DAY, local.lower(), 14)
    assert srs.reversed_(RING, NOW + 15 * DAY, local, 14) is Wrong.EXPIRED
    assert srs.reversed_(RING, NOW + 400 * DAY, local, 14) is Wrong.EXPIRED
    assert srs.reversed_(OTHERS, NOW, local, 14) is Wrong.FORGED


def test_the_day_goes_round() -> None:
    """Over the turn of the 1,024 days nothing changes."""
    late = (1_023 + 20 * 1_024) * DAY
    local = _local(srs.forwarded(RING, late, parse("ann@example.net"), "fwd.example"))
    assert srs.reversed_(RING, late + 3 * DAY, local, 14) == parse("ann@example.net")


def test_srs1_of_what_was_rewritten() -> None:
    """SRS0 of another host becomes SRS1 and goes back to that host; SRS1 is taken over as it is, with our hash."""
    first = srs.forwarded(OTHERS, NOW, parse("ann@example.net"), "one.example")
    second = srs.forwarded(RING, NOW, parse(first), "two.example")
    assert _local(second).startswith("SRS1=") and "=one.example==" in second
    assert srs.reversed_(RING, NOW + 99 * DAY, _local(second), 14) == parse(first)
    third = srs.forwarded(OTHERS, NOW, parse(second), "three.example")
    assert "=one.example==" in third and len(third) <= len(second) + len("three.example")
    assert srs.reversed_(OTHERS, NOW, _local(third), 14) == parse(first)
    assert srs.reversed_(RING, NOW, _local(third), 14) is Wrong.FORGED


def test_changed_is_forged() -> None:
    """Another local part, another domain, another day under the same hash: forged."""
    _, said, stamp, domain, local = _local(srs.forwarded(RING, NOW, parse("ann@example.net"), "f.example")).split("=")
    for other in (f"SRS0={said}={stamp}={domain}=bob", f"SRS0={said}={stamp}=example.org={local}", f"SRS0={said}=AA={domain}={local}"):
        assert srs.reversed_(RING, NOW, other, 14) is Wrong.FORGED


def test_what_cannot_be_written() -> None:
    """Longer than a local part may be, quoted, or without a domain: ''."""
    for text in ("a" * 50 + "@example.net", '"a b"@example.net', "a@[192.0.2.1]", "ann@" + "long." * 12 + "example"):
        assert srs.forwarded(RING, NOW, parse(text), "fwd.example") == ""


@given(st.text(max_size=64))
def test_total(text: str) -> None:
    """Any local part is forged; any sender gives an address that is one, or ''."""
    for local in (text, "SRS0=" + text, "SRS1=" + text, "SRS0=a=b=" + text):
        assert srs.reversed_(RING, NOW, local, 14) is Wrong.FORGED
    try:
        sender = parse(text + "@example.net")
    except AddressError:
        return
    wrapped = srs.forwarded(RING, NOW, sender, "fwd.example")
    back = srs.reversed_(RING, NOW, _local(wrapped), 14) if wrapped else sender
    assert isinstance(back, Address) and back.key == sender.key
