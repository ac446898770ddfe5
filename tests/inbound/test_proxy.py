"""The PROXY header: parsed exactly, from configured addresses only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jetmail.inbound.proxy import MAX_HEADER, Origin, ProxyError, parse
from tests.inbound.wire import House

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n"
V2_ADDRESSES = bytes((198, 51, 100, 7, 192, 0, 2, 25)) + (4711).to_bytes(2) + (25).to_bytes(2)
V2 = SIGNATURE + b"\x21\x11" + len(V2_ADDRESSES).to_bytes(2) + V2_ADDRESSES
HERE = Origin("198.51.100.7", 4711, "192.0.2.25", 25)
V2_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.mark.parametrize(
    ("octets", "origin"),
    [
        (V1, HERE),
        (V2, HERE),
        (b"PROXY TCP6 2001:DB8::7 2001:db8::25 1 65535\r\n", Origin("2001:db8::7", 1, "2001:db8::25", 65_535)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 whatever\r\n", None),
        (V2_LOCAL, None),
        (SIGNATURE + b"\x21\x11" + (len(V2_ADDRESSES) + 5).to_bytes(2) + V2_ADDRESSES + b"\x04\x00\x02ab", HERE),
        (
            SIGNATURE + b"\x21\x21\x00\x24" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07" + bytes(15) + b"\x01" + b"\x00\x01\x00\x19",
            Origin("2001:db8::7", 1, "::1", 25),
        ),
        (SIGNATURE + b"\x21\x31\x00\x02ab", None),
    ],
)
def test_headers(octets: bytes, origin: Origin | None) -> None:
    """Both versions give the addresses they hold, and say how long they are, whatever follows and however they are cut."""
    assert parse(octets) == (origin, len(octets))
    assert parse(octets + b"EHLO x\r\n") == (origin, len(octets))
    for end in range(len(octets)):
        assert parse(octets[:end]) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"G",
        b"\x16\x03\x01",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 4711\r\n",
        b"PROXY TCP4 2001:db8::7 192.0.2.25 4711 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 65536 25\r\n",
        b"PROXY TCP4  198.51.100.7 192.0.2.25 1 25\r\n",
        b"PROXY UDP4 198.51.100.7 192.0.2.25 1 25\r\n",
        b"PROXY " + b"x" * 101,
        SIGNATURE + b"\x11\x11\x00\x00",
        SIGNATURE + b"\x22\x11\x00\x00",
        SIGNATURE + b"\x21\x11\x00\x04abcd",
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_no_header(octets: bytes) -> None:
    """Anything else is no header, known as soon as it can be."""
    with pytest.raises(ProxyError):
        parse(octets)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(SIGNATURE.__add__) | st.binary(max_size=110).map(b"PROXY ".__add__))
def test_total(octets: bytes) -> None:
    """Any octets are a header, none, or the start of one; never more than the bound is asked for."""
    try:
        found = parse(octets)
    except ProxyError:
        return
    assert found is None or found[1] <= len(octets)
    if found is None:
        assert len(octets) < MAX_HEADER


class OverProxy(SynchronousTestCase):
    """Connections by way of a proxy."""

    def house(self, **options: object) -> House:
        house = House(proxy_from=("10.0.0.0/8", "2001:db8:ffff::/48"), **options)  # type: ignore[arg-type]
        self.addCleanup(house.end)
        return house

    def test_origin(self) -> None:
        """The client's address is the one in the header; nothing is said before it."""
        for header in (V1, V2):
            house = self.house()
            wire = house.connect("10.1.2.3")
            wire.deliver(header[:5])
            self.assertEqual((wire.read(), house.peers), (b"", []))
            wire.deliver(header[5:])
            self.assertEqual(wire.read()[:4], b"220 ")
            peer = house.peers[0]
            self.assertEqual((peer.address, peer.port, peer.proxy), ("198.51.100.7", 4711, "10.1.2.3"))

    def test_commands_behind_the_header(self) -> None:
        """What follows in the same segment is read as commands."""
        wire = self.house().connect("10.1.2.3")
        wire.deliver(V1 + b"NOOP\r\n")
        self.assertTrue(wire.read().endswith(b"250 2.0.0 OK\r\n"))

    def test_the_proxy_itself(self) -> None:
        """UNKNOWN and LOCAL keep the socket's address."""
        for header in (b"PROXY UNKNOWN\r\n", V2_LOCAL):
            house = self.house()
            house.connect("10.1.2.3").deliver(header)
            self.assertEqual((house.peers[0].address, house.peers[0].proxy), ("10.1.2.3", ""))

    def test_strangers(self) -> None:
        """From an address that is not configured the header is an unknown command, and its claim is not believed."""
        house = self.house()
        wire = house.connect("192.0.2.9")
        self.assertEqual(wire.read()[:4], b"220 ")
        self.assertEqual(wire.say(V1.strip())[:4], b"500 ")
        self.assertEqual(house.peers[0].address, "192.0.2.9")

    def test_missing(self) -> None:
        """From a configured address the header is a must."""
        house = self.house()
        wire = house.connect("10.1.2.3")
        wire.deliver(b"EHLO c\r\n")
        self.assertEqual((wire.closed, wire.out, house.peers), ("abort", b"", []))

    def test_late(self) -> None:
        """It must come soon."""
        house = self.house()
        wire = house.connect("10.1.2.3")
        wire.deliver(b"PROXY ")
        house.pass_time(70)
        self.assertEqual(wire.closed, "abort")

    def test_limits_count_the_client(self) -> None:
        """Connections are counted by the address in the header, not by the proxy's."""
        house = self.house(limits={"max_per_address": 1})
        house.connect("10.1.2.3").deliver(V1)
        second = house.connect("10.1.2.3")
        second.deliver(V1.replace(b"100.7", b"100.8"))
        self.assertEqual(second.read()[:4], b"220 ")
        third = house.connect("10.1.2.3")
        third.deliver(V1)
        self.assertEqual(third.read()[:9], b"421 4.7.0")
