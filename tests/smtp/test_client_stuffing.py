"""Dot-stuffing and line ends of outgoing content, over every split."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jetmail.smtp.stuffing import LineEnds, Stuffer, stuff

OCTETS = st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b"..", b"\r\n.", b"\n.\n"])).map(b"".join)


def pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    """`content` cut at `cuts`, empty pieces included."""
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def whole_lines(content: bytes) -> bytes:
    """Reference: what the peer must end up with."""
    lines = re.sub(rb"\r\n|\r|\n", b"\n", content).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def unstuff(wire: bytes) -> tuple[bytes, bytes]:
    """Reference receiver (RFC 5321 4.5.2): (content, what came after the final dot)."""
    content = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end, "the final dot never came"
        if line == b".":
            return content, wire
        content += line.removeprefix(b".") + end


@given(OCTETS, st.lists(st.integers(min_value=0), max_size=12))
def test_every_split_gives_the_same(content: bytes, cuts: list[int]) -> None:
    """What leaves depends on the octets, not on how they were cut."""
    stuffer = Stuffer()
    assert b"".join(map(stuffer.feed, pieces(content, cuts))) + stuffer.finish() == stuff(content)


@given(OCTETS, st.lists(st.integers(min_value=0), max_size=12))
def test_survives_a_receiver(content: bytes, cuts: list[int]) -> None:
    """A receiver that follows the RFC ends up with the content, line ends made whole, and nothing behind the final dot."""
    stuffer = Stuffer()
    wire = b"".join(map(stuffer.feed, pieces(content, cuts))) + stuffer.finish()
    assert unstuff(wire) == (whole_lines(content), b"")


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=6))
def test_no_bare_line_end_leaves(content: bytes, cuts: list[int]) -> None:
    """No CR without LF and no LF without CR ever leaves, so no peer can see an end of DATA that is none."""
    wire = b"".join(map((stuffer := Stuffer()).feed, pieces(content, cuts))) + stuffer.finish()
    assert b"\r" not in wire.replace(b"\r\n", b"") and b"\n" not in wire.replace(b"\r\n", b"")


@given(OCTETS, st.lists(st.integers(min_value=0), max_size=12))
def test_line_ends_alone(content: bytes, cuts: list[int]) -> None:
    """Without dots (BDAT) the same whole lines leave."""
    ends = LineEnds()
    assert b"".join(map(ends.feed, pieces(content, cuts))) + ends.finish() == whole_lines(content)


def test_first_line() -> None:
    """A dot that opens the content is doubled too."""
    assert stuff(b".\r\nQUIT") == b"..\r\nQUIT\r\n.\r\n"


def test_empty() -> None:
    """No content is a lone dot."""
    assert stuff(b"") == b".\r\n"
