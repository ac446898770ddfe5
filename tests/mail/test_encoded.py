"""Encoded words and raw octets in header fields: decoded where they can be, never raising."""

from __future__ import annotations

from encodings import _cache  # type: ignore[attr-defined]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import encoded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe_an_alle?=", "Grüße an alle"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?utf-8?b?R3LDvMOfZQ?=", "Grüße"),  # padding missing
        (b"=?iso-8859-1?q?a?= =?iso-8859-1?q?b?=", "ab"),  # RFC 2047 6.2: white space between words goes
        (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),  # a character split in two
        (b"=?utf-8?q?a?=\r\n =?koi8-r?b?8NLJ18XU?=", "aПривет"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?utf-8*en?q?hi?=", "hi"),  # RFC 2231 5
        (b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),  # RFC 6532
        (b"Gr\xfc\xdfe", "Grüße"),  # what some write without saying so
        (b"=?nonsense?q?a=FC?=", "aü"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
        (b"=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x"),  # no line ends come out of an encoded word
        (b"a\r\n\tb", "a b"),
        (b"a\x00b", "a b"),
    ],
)
def test_decode(value: bytes, text: str) -> None:
    """What senders write, as people read it."""
    assert encoded.decode(value) == text


@pytest.mark.parametrize("name", ["idna", "punycode", "unicode_escape", "raw-unicode-escape", "rot13", "zlib", "base64", "undefined", "hex"])
def test_codecs_that_are_no_charsets(name: str) -> None:
    """Python's codecs that are slow, dangerous or no text are not reachable by a stranger's word."""
    assert encoded.charset(name) is None


def test_unknown_names_leave_nothing_behind() -> None:
    """Python remembers every unknown codec name for ever; we never ask it."""
    before = len(_cache)
    for number in range(100):
        encoded.decode(b"=?x-strange-%d?q?a?=" % number)
    assert len(_cache) == before


@pytest.mark.parametrize(
    "name", ["UTF-8", "utf8", "us-ascii", "ISO-8859-15", "windows-1251", "GB2312", "Shift_JIS", "euc-kr", "x-mac-cyrillic", "big5"]
)
def test_known_charsets(name: str) -> None:
    """The charsets of real mail are known under the names it uses."""
    assert encoded.charset(name)


@given(st.binary(max_size=300) | st.text("=?utf-8bBqQ_ \r\n", max_size=200).map(str.encode))
def test_any_value(value: bytes) -> None:
    """Whatever the octets: text on one line."""
    text = encoded.decode(value)
    assert not set(text) & set("\r\n\x00")


@pytest.mark.parametrize("name", sorted(set(encoded._CHARSETS.values())))
@given(st.binary(max_size=60) | st.sampled_from([b"+3IY-", b"\xed\xb2\x86", b"\x86\xdc", b"\xdc\x86\x00\x00"]))
def test_text_can_be_written_again(name: str, octets: bytes) -> None:
    """No charset gives half a character: UTF-7 can spell one, and nothing downstream can encode it."""
    text = encoded.to_text(octets, name)
    assert text.encode("utf-8").decode("utf-8") == text


@given(st.binary(max_size=100))
def test_any_base64(octets: bytes) -> None:
    """Garbage, missing padding, lone characters: never an exception."""
    assert len(encoded.from_base64(octets)) <= len(octets)
