"""Reading a peer's replies and EHLO keywords."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.smtp.extensions import Extensions, parse
from jetmail.smtp.replies import MAX_LINE, MAX_LINES, GarbledReply, ReplyReader


def read(*pieces: bytes) -> list[tuple[int, list[str]]]:
    """All replies in `pieces`."""
    reader = ReplyReader()
    found = []
    for piece in pieces:
        reader.add(piece)
        while (reply := reader.next()) is not None:
            found.append(reply)
    return found


REPLIES = b"250-one\r\n250 two\r\n354\r\n550 5.1.1 no \xff\n421 bye\r\n"


@given(st.lists(st.integers(min_value=0, max_value=len(REPLIES)), max_size=10))
def test_any_split(cuts: list[int]) -> None:
    """However replies are cut, they read the same; LF alone and odd octets are taken."""
    edges = [0, *sorted(cuts), len(REPLIES)]
    found = read(*(REPLIES[start:end] for start, end in pairwise(edges)))
    assert found == [(250, ["one", "two"]), (354, [""]), (550, ["5.1.1 no \ufffd"]), (421, ["bye"])]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_total(pieces: list[bytes]) -> None:
    """Any octets are replies or garbled, never another exception."""
    try:
        for code, lines in read(*pieces):
            assert 200 <= code < 600 and lines
    except GarbledReply:
        pass


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"25\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"250x\r\n",
        b"\xb2\xb3\xb9 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"2" * (MAX_LINE + 2),
        b"250-x\r\n" * (MAX_LINES + 1),
        b"\r\n",
    ],
)
def test_garbled(octets: bytes) -> None:
    """What is no reply, or too long a one, is refused."""
    with pytest.raises(GarbledReply):
        read(octets)


def test_control_characters() -> None:
    """Nothing of a reply can steer a terminal or break a line of a log."""
    assert read(b"250 a\x1b[2Jb\x07\xc2\x85c\xe2\x80\xaed\r\n") == [(250, ["a [2Jb  c d"])]


def test_longest() -> None:
    """A reply of exactly the allowed lines is read."""
    assert len(read(b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n")[0][1]) == MAX_LINES


def test_keywords() -> None:
    """Keywords are found in any case, with their parameters."""
    lines = ["mx.example", "pipelining", "Size 1000", "8BitMime", "smtputf8", "DSN", "CHUNKING", "starttls", "RequireTLS"]
    lines += ["AUTH plain LOGIN", "AUTH=CRAM-MD5", "limits MAILMAX=5 rcptmax=7", ""]
    assert parse(lines) == Extensions(
        extended=True, pipelining=True, size=1000, eightbit=True, smtputf8=True, dsn=True, chunking=True, starttls=True, requiretls=True, rcptmax=7,
        auth=frozenset({"PLAIN", "LOGIN", "CRAM-MD5"}),
    )  # fmt: skip


@given(st.lists(st.text(max_size=20), max_size=6))
def test_keywords_total(lines: list[str]) -> None:
    """Any lines parse."""
    assert parse(lines).extended


def test_senseless_parameters() -> None:
    """A parameter that is no number counts as absent."""
    assert parse(["x", "SIZE big"]).size == 0
    assert parse(["x", "SIZE"]).size == 0
    assert parse(["x", "LIMITS RCPTMAX=0 RCPTMAX=5"]).rcptmax is None
