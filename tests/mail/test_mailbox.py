"""Mailbox lists of header fields: well formed ones read, malformed ones called so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.mailbox import MAX_MAILBOXES, parse_mailboxes, readable


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("ann@example.org", [("", "ann@example.org")]),
        ("Ann <ann@example.org>", [("Ann", "ann@example.org")]),
        ('"Ann, of Ox" <ann@example.org>', [("Ann, of Ox", "ann@example.org")]),
        ('"Ann \\"A\\" Ox" <ann@example.org>', [('Ann "A" Ox', "ann@example.org")]),
        ("=?utf-8?q?J=C3=B6rg?= <j@example.org>", [("Jörg", "j@example.org")]),
        ("<ann@example.org>", [("", "ann@example.org")]),
        ("Ann (at home (today)) <ann@example.org>", [("Ann", "ann@example.org")]),
        ("ann@example.org (Ann)", [("Ann", "ann@example.org")]),
        ("a@example.org, B <b@EXAMPLE.org>", [("", "a@example.org"), ("B", "b@example.org")]),
        ("Friends: a@example.org, b@example.org;", [("", "a@example.org"), ("", "b@example.org")]),
        ("undisclosed:;", []),
        ("Ann <@relay.example:ann@example.org>", [("Ann", "ann@example.org")]),
        ('"a b"@example.org', [("", '"a b"@example.org')]),
        ("Jörg <jörg@exämple.org>", [("Jörg", "jörg@xn--exmple-cua.org")]),
        ("a@example.org,, b@example.org", [("", "a@example.org"), ("", "b@example.org")]),
        ('"x@evil.example" <ann@example.org>', [("x@evil.example", "ann@example.org")]),
        ("ann @ example . org", [("", "ann@example.org")]),
        ("ann@(at)example(dot).org (Ann)", [("Ann", "ann@example.org")]),
        ("Ann <ann@example\r\n .org>", [("Ann", "ann@example.org")]),
        ("Ann <ann. ox @example.org>", [("Ann", "ann.ox@example.org")]),
    ],
)
def test_well_formed(value: str, found: list[tuple[str, str]]) -> None:
    """RFC 5322 3.4 with its obsolete forms."""
    mailboxes, is_clean = parse_mailboxes(value.encode())
    assert [(mailbox.name, str(mailbox.address)) for mailbox in mailboxes] == found
    assert is_clean


@pytest.mark.parametrize(
    "value",
    [
        "Ann",
        "Ann <ann@example.org",
        "Ann ann@example.org>",
        "a@b@example.org",
        "ann@example.org bob@example.org",
        "Ann <ann@example.org> <bob@example.org>",
        "ann@example.org <bob@example.net",
        '"Ann <ann@example.org>',
        "(Ann <ann@example.org>",
        "Ann <not an address>",
        "Group: a@example.org",
        "a@example.org;",
        "<>",
    ],
)
def test_malformed(value: str) -> None:
    """What has no single reading is called malformed, whatever can be read of it."""
    assert not parse_mailboxes(value.encode())[1]


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        (b"Ann <ann@example.org> <bob@example.net>", ["example.org", "example.net"]),
        (b"<ann@example.org<bob@example.net>>", ["example.org", "example.net"]),
        (b'"Ann <ann@example.org>', ["example.org"]),
        (b"Ann <ann@example.org.>", ["example.org"]),
        (b"Ann <ann@example . org..>", ["example.org"]),
        (b'"a b"@example.org "', ["example.org"]),
        (b"(Ann) ann@(x(y))example.org )", ["example.org"]),
        (b"=?utf-8?q?Ann_=3Cann=40example=2Eorg=3E?=", ["example.org"]),
        ("ann@exämple.org <".encode(), ["xn--exmple-cua.org"]),
        (b"x" * 40_000 + b"<ann@example.org> <", ["example.org"]),
        (b"Ann at example.org", []),
        (b"@ @@ <@> @.@-@", []),
    ],
)
def test_what_a_lenient_reader_might_see(value: bytes, domains: list[str]) -> None:
    """Of a value that has no single reading, every address somebody could take it for is named."""
    assert list(dict.fromkeys(address.domain for address in readable(value) if "." in address.domain)) == domains


def test_readable_is_bounded() -> None:
    """Values made to be slow or many are read in time, and so far."""
    for value in (b"@" * 65_536, b" " * 65_536, b"(" * 65_536, b"a@b." * 16_384, b"a@b.c " * 10_000, b"=?" * 30_000, b"a." * 32_000 + b"@"):
        assert len(readable(value)) <= MAX_MAILBOXES


def test_a_crowd_is_cut() -> None:
    """A field with thousands of addresses is read so far and no further, and is no clean From."""
    mailboxes, is_clean = parse_mailboxes(b"a@example.org," * 5000)
    assert len(mailboxes) == MAX_MAILBOXES
    assert not is_clean


@given(st.binary(max_size=200) | st.text('ab@.<>(),;:"\\ ', max_size=100).map(str.encode))
def test_any_value(value: bytes) -> None:
    """Whatever stands there: a list and a judgement."""
    mailboxes, _ = parse_mailboxes(value)
    assert len(mailboxes) <= MAX_MAILBOXES
