"""Line ends and dots over any split of the stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetmail.smtp.lines import DotReader, LineEnds, LineLength, crlf_only
from jetmail.smtp.stuffing import stuff

PIECES = st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"bc", b"\r\n.", b"\xff"]), max_size=40).map(b"".join)
HOSTILE = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"\0", b"\r\n.\r\n", b"\n.\n"]), max_size=40).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=12)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    """`octets` cut at these places."""
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[start:end] for start, end in zip(places, places[1:], strict=False)]


def read(stream: bytes, cuts: list[int]) -> tuple[bytes, int]:
    """Content and the place of the end of data, or -1."""
    reader, content, position = DotReader(), b"", 0
    for piece in pieces(stream, cuts):
        got, end = reader.feed(piece)
        content += got
        if end >= 0:
            return content, position + end
        position += len(piece)
    return content, -1


@given(PIECES, CUTS, st.sampled_from([b"", b"QUIT\r\n", b".\r\n"]))
def test_dot_stuffing_there_and_back(content: bytes, cuts: list[int], behind: bytes) -> None:
    """What the client side stuffs, the server side reads back to the octet, however the stream is cut, and it stops just behind the final dot."""
    content = content.rstrip(b"\r\n") + b"\r\n"
    wire = stuff(content)
    assert wire.endswith(b"\r\n.\r\n")
    assert read(wire + behind, cuts) == (content, len(wire))


@given(HOSTILE, CUTS)
def test_dot_reader_split_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    """Any octets: the split changes neither the content nor the end."""
    whole, end = read(stream, [])
    split, split_end = read(stream, cuts)
    assert end == split_end
    if end >= 0:
        assert whole == split
    else:
        # What is held back may differ by what could still become the end of data.
        assert whole.startswith(split) or split.startswith(whole)


@given(HOSTILE, CUTS)
def test_dot_reader_pieces_can_be_judged_alone(stream: bytes, cuts: list[int]) -> None:
    """No piece of content splits a CRLF: the pieces are clean exactly when their sum is."""
    reader, got, end = DotReader(), [], -1
    for piece in pieces(stream, cuts):
        content, end = reader.feed(piece)
        got.append(content)
        if end >= 0:
            break
    assert all(map(crlf_only, got)) == crlf_only(b"".join(got))


def test_empty_content() -> None:
    """A dot at once is a message without content."""
    assert read(b".\r\n", []) == (b"", 3)
    assert read(b".\r\n", [1, 2]) == (b"", 3)


@given(HOSTILE, CUTS)
def test_line_ends_split_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    """A bare CR or LF is found wherever the stream is cut, and only there."""
    checker = LineEnds()
    for piece in pieces(stream, cuts):
        checker.feed(piece)
    assert checker.finish() == crlf_only(stream)


@given(st.lists(st.sampled_from([b"\r\n", b"a", b"bb", b"cccc"]), max_size=60).map(b"".join), CUTS, st.integers(2, 12))
def test_line_length(stream: bytes, cuts: list[int], limit: int) -> None:
    """A line is too long when it and its CRLF exceed the limit, however the stream is cut."""
    checker = LineLength(limit)
    for piece in pieces(stream, cuts):
        checker.feed(piece)
    assert checker.within == all(len(line) <= limit for line in stream.splitlines(keepends=True))
