"""Rules over content on octets nobody meant well: never an exception, never more time than the length asks for."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import archive, filetype
from jetmail.mail.message import Message
from tests import fixtures
from tests.rules.checks.judging import judged, mail, page, parts
from tests.rules.checks.test_attachments import letter, packed

HEADS = st.sampled_from([kind[1] for kind in filetype._SIGNATURES] + [b"MZ", b"<svg ", b"<html>", b"<?xml", b"PK\x03\x04", b"\x1f\x8b\x08"])
FIELDS = st.sampled_from(
    ["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Received", "Content-Type", "Content-Transfer-Encoding", "Return-Path"]
)
VALUES = st.text(
    alphabet=st.one_of(
        st.sampled_from("<>@,;:\"'()[]=?.%/# \t\u200b\u202e\u0430\ufeff0aAZ9-"), st.characters(codec="utf-8", exclude_characters="\r\n")
    ),
    max_size=80,
)
SNIPPETS = st.sampled_from(
    [
        "<a href='http://", "paypal", "<img src=", "<form>", "<div style='display:none'>", "http://[", "xn--", "@",
        "%", "&#", "<!--", "</a>", "'", ">", "bit.ly/", "\u200b", "verify your account ",
    ]
)  # fmt: skip


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=12), st.lists(st.one_of(SNIPPETS, VALUES), max_size=30))
def test_any_message(fields: list[tuple[str, str]], body: list[str]) -> None:
    """Whatever stands in fields and text, every rule answers, with finite weights."""
    text = "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n" + "".join(body)
    assert all(abs(finding.score) <= 10 for finding in judged(Message(text.encode("utf-8", "surrogateescape"))))


@given(st.binary(max_size=400))
def test_any_octets(octets: bytes) -> None:
    """Octets that are no message at all."""
    assert all(abs(finding.score) <= 10 for finding in judged(Message(octets)))


@given(HEADS, st.binary(max_size=300), st.sampled_from(["a.zip", "a.doc", "a.html", "a", "a.pdf"]))
def test_any_file(head: bytes, rest: bytes, name: str) -> None:
    """Files that begin like something and go on like nothing."""
    assert judged(letter(head + rest, name)) is not None


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_any_damage_to_an_archive(content: bytes, place: int, octet: int) -> None:
    """An archive with an octet changed is listed, or said to be broken."""
    octets = bytearray(packed(a__txt=content, b__zip=packed(c__exe=content)))
    octets[place % len(octets)] = octet
    listing = archive.listing(bytes(octets), filetype.ZIP)
    assert len(listing.members) <= archive.MAX_MEMBERS


NAMES = (
    "angles",
    "links",
    "parts",
    "dots",
    "ats",
    "at signs in a name",
    "spaces",
    "percent",
    "quotes",
    "labels",
    "capitals",
    "invisible",
    "mixed",
    "urls",
    "commas",
    "nested styles",
)
HOSTILE = (
    lambda: page("<" * 1_000_000),
    lambda: page("".join(f"<a href=http://h{index}.example/>x</a>" for index in range(100_000))),
    lambda: parts(*["\r\nx"] * 10_000),
    lambda: mail("." * 1_000_000),
    lambda: mail("@" * 1_000_000),
    lambda: mail(**{"from": "@" * 16_000 + " <a@example.org>"}),
    lambda: mail(subject=" " * 16_000 + "x" + "- " * 16_000),
    lambda: page("<a href='http://x.example/" + "%61" * 100_000 + "'>x</a>"),
    lambda: page("<a href=\"http://x'" * 50_000),
    lambda: mail("http://" + "a." * 100_000 + "example"),
    lambda: mail("A B C D " * 100_000),
    lambda: mail("a\u200b" * 200_000),
    lambda: mail("a\u0430" * 200_000),
    lambda: mail("http://a.example/?u=http://b.example/ " * 20_000),
    lambda: mail(to=",".join(["a@example.org"] * 1_000), reply_to="," * 16_000),
    lambda: page("<div style='display:none'>" * 50_000),
)


@pytest.mark.parametrize("place", range(len(HOSTILE)), ids=NAMES)
def test_time_is_linear(place: int) -> None:
    """A megabyte of what is hard to read takes no longer than a megabyte of anything."""
    message = HOSTILE[place]()
    start = process_time()
    judged(message)
    assert process_time() - start < 2.5


def test_archives_that_lie(tmp_path: Path) -> None:
    """Members that overlap, and archives of archives that unpack to more of the same, cost what a small archive costs."""
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        for index in range(1_000):
            out.writestr(f"{index}.zip", b"PK\x03\x04" + b"\0" * 100_000)
    octets = bomb.read_bytes()
    start = process_time()
    listing = archive.listing(octets, filetype.ZIP)
    assert process_time() - start < 1
    assert len(listing.members) <= archive.MAX_MEMBERS and "members" in listing.flaws


def test_large_files_are_cheap() -> None:
    """Five megabytes of attachment take a moment, not a second."""
    encoded = base64.encodebytes(b"%PDF-1.4\n" + b"/JS /Launch# " * 380_000).decode()
    message = parts(f'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}')
    start = process_time()
    judged(message)
    assert process_time() - start < 1.5


@pytest.mark.parametrize("name", ["05_mime", "06_dsn"])
def test_other_people_s_messages(name: str) -> None:
    """Every message of the fixtures, and every cut of some, is judged."""
    files = [path for path in sorted(fixtures.folder(name).rglob("*")) if path.is_file()]
    assert files
    for place, path in enumerate(files):
        octets = path.read_bytes()
        assert sum(finding.score for finding in judged(Message(octets))) < 40, path
        if place % 10 == 0:
            for cut in range(0, len(octets), max(1, len(octets) // 7)):
                judged(Message(octets[:cut]))
