"""Lists and networks: what an entry covers, and how fast."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.errors import UsageError
from jetmail.rules.facts import parse_ip
from jetmail.rules.lists import Networks, parse_entries, parse_range


def test_entries_of_every_kind() -> None:
    """Addresses, domains with what is below them, hosts, networks and ranges."""
    entries = parse_entries(
        ["Ann@Example.com", "example.org", "*.example.net", "192.0.2.7", "198.51.100.0/24", "2001:db8::/32", "203.0.113.1-203.0.113.9"]
    )
    assert entries.has_sender("ann@example.com", "example.com")
    assert not entries.has_sender("bob@example.com", "example.com")
    assert entries.has_sender("x@deep.below.example.org", "deep.below.example.org")
    assert entries.has_sender("x@example.net", "example.net")
    assert not entries.has_sender("x@notexample.org", "notexample.org")
    inside = ["192.0.2.7", "198.51.100.200", "2001:db8::7", "203.0.113.5", "::ffff:192.0.2.7"]
    assert all(entries.has_network(parse_ip(text)) for text in inside)
    assert not any(entries.has_network(parse_ip(text)) for text in ["192.0.2.8", "203.0.113.10", "2001:db9::", "garbage"])


@pytest.mark.parametrize("entry", ["", "a@", "exa mple", "192.0.2.0/33", "192.0.2.9-192.0.2.1", "300.1.1.1", "a@b@c"])
def test_bad_entries_are_named(entry: str) -> None:
    """A bad entry is refused with its place."""
    with pytest.raises(UsageError) as caught:
        parse_entries(["example.org", entry], "allow")
    assert caught.value.field == "allow[1]"


def test_everybody() -> None:
    """0.0.0.0/0 and ::/0 are everybody, for lists that admit only who is allowed."""
    entries = parse_entries(["0.0.0.0/0", "::/0"])
    assert entries.has_network(parse_ip("8.8.8.8"))
    assert entries.has_network(parse_ip("2001:db8::1"))
    assert not entries.has_network(None)


V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=20)


@given(RANGES, st.integers(0, 360))
def test_bisection_agrees_with_looking_at_each(ranges: list[tuple[int, int]], number: int) -> None:
    """Merged and sorted ranges contain exactly what the single ones do."""
    networks = Networks((4, low, low + width) for low, width in ranges)
    assert (ipaddress.IPv4Address(number) in networks) == any(low <= number <= low + width for low, width in ranges)
    found = networks.ranges()
    assert all(last + 1 < first for (_, _, last), (_, first, _) in zip(found, found[1:], strict=False))


@given(V4, st.integers(0, 32))
def test_cidr_is_its_network(address: ipaddress.IPv4Address, prefix: int) -> None:
    """A network given by any of its addresses is that network."""
    network = ipaddress.ip_network((address, prefix), strict=False)
    assert parse_range(f"{address}/{prefix}") == (4, int(network.network_address), int(network.broadcast_address))
