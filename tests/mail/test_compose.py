"""Letters as values become messages that read back as what was put in."""

from __future__ import annotations

import email
import re
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.mail import encoded
from jetmail.mail.address import parse
from jetmail.mail.compose import Attachment, Letter, Party, compose, is_plain, unstructured
from jetmail.mail.mailbox import parse_mailboxes

ANN, BOB, EVE = parse("ann@example.org"), parse("bob@example.com"), parse("eve@example.net")
BOUNDARY = "0123456789abcdef0123"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=400)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200)
NAME = LINE.map(str.strip)


def made(**more: object) -> bytes:
    """A letter of Ann's."""
    return compose(Letter(Party(ANN), **more), BOUNDARY)  # type: ignore[arg-type]


def read(octets: bytes) -> EmailMessage:
    """As the standard library reads it."""
    found = email.message_from_bytes(octets, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def lines_of(text: str) -> str:
    """A text as it arrives: CRLF, and the last line ended."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def check_form(octets: bytes) -> None:
    """Line ends, line lengths, and 7-bit."""
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998


def test_plain() -> None:
    """A short ASCII letter is as a person would write it."""
    assert made(to=(Party(BOB, "Bob B."),), subject="Hello", text="Hi Bob,\nbye.") == (
        b'From: ann@example.org\r\nTo: "Bob B." <bob@example.com>\r\nSubject: Hello\r\nMIME-Version: 1.0\r\n'
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n\r\nHi Bob,\r\nbye.\r\n"
    )


def test_structure() -> None:
    """Text and HTML are alternatives, what the HTML shows goes along with it, files come behind."""
    files = (Attachment("a.pdf", "application/pdf", b"%PDF"), Attachment("logo.png", "image/png", b"\x89PNG", "logo"))
    found = read(made(to=(Party(BOB),), text="t", html="<img src=cid:logo>", attachments=files))
    shape = [part.get_content_type() for part in found.walk()]
    assert shape == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "application/pdf",
    ]  # fmt: skip
    parts = list(found.walk())
    assert (parts[5]["Content-ID"], parts[5].get_content_disposition()) == ("<logo>", "inline")
    assert (parts[6].get_filename(), parts[6].get_payload(decode=True)) == ("a.pdf", b"%PDF")


def test_without_html_nothing_is_inline() -> None:
    """A picture with a cid is an attachment like any other where there is no HTML to show it."""
    found = read(made(text="t", attachments=(Attachment("logo.png", "image/png", b"x", "logo"),)))
    assert [part.get_content_type() for part in found.walk()] == ["multipart/mixed", "text/plain", "image/png"]


def test_nobody_named() -> None:
    """A letter to hidden recipients only says so (RFC 5322 3.4)."""
    assert b"To: undisclosed-recipients:;\r\n" in made(text="x")
    assert b"To:" not in made(cc=(Party(BOB),), text="x")


def test_utf8_address() -> None:
    """A local part outside ASCII makes the header UTF-8 and the letter says so; a domain does not."""
    letter = Letter(Party(ANN), (Party(parse("jörg@example.org")),), text="x")
    assert letter.is_utf8 and "jörg@example.org".encode() in compose(letter, BOUNDARY)
    letter = Letter(Party(ANN), (Party(parse("joe@bücher.example")),), text="x")
    assert not letter.is_utf8 and b"joe@xn--bcher-kva.example" in compose(letter, BOUNDARY)


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y", "a\nb", "a\rb", "a\x00b", "a\u2028b", "a\x85b", "\ud800", "x" * 2_001])
def test_injection(value: str) -> None:
    """What would begin a line of its own is refused, in fields and in names."""
    for call in (
        lambda: made(subject=value, text=""),
        lambda: made(headers=(("X-A", value),), text=""),
        lambda: made(to=(Party(BOB, value),), text=""),
    ):
        with pytest.raises(ValueError, match="can be made|codec"):
            call()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "x" * 77])
def test_field_names(name: str) -> None:
    """A field's name is printable ASCII without a colon."""
    with pytest.raises(ValueError, match="header field"):
        unstructured(name, "x")


def test_part_headers() -> None:
    """A content type or a cid with anything but printable ASCII is refused."""
    for item in (Attachment("a", "text/plain\r\nX: y", b""), Attachment("a", "image/png", b"", "a\r\nb"), Attachment("a", "é/x", b"")):
        with pytest.raises(ValueError, match="printable"):
            made(html="x", attachments=(item,))


@given(subject=LINE, name=NAME, text=TEXT, html=st.none() | TEXT)
@settings(max_examples=300, deadline=None)
def test_reads_back(subject: str, name: str, text: str, html: str | None) -> None:
    """Subject, names and texts are read back as they were written, and the form is kept whatever they are."""
    octets = made(to=(Party(BOB, name), Party(EVE)), subject=subject, text=text, html=html)
    check_form(octets)
    found = email.message_from_bytes(octets)
    assert [key for key, _ in found.items()] == [
        "From", "To", "Subject", "MIME-Version", "Content-Type", *([] if html is not None else ["Content-Transfer-Encoding"]),
    ]  # fmt: skip
    assert header_text(found["Subject"]) == subject
    assert names_of(octets) == [name, ""]
    parts = [part.get_payload(decode=True).decode().replace("\r\n", "\n") for part in found.walk() if not part.is_multipart()]  # type: ignore[union-attr]
    assert parts == [lines_of(each) for each in (text, html) if each is not None]


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=120), data=st.binary(max_size=500))
@settings(max_examples=200, deadline=None)
def test_attachments_read_back(name: str, data: bytes) -> None:
    """A file keeps its name and its octets."""
    octets = made(text="x", attachments=(Attachment(name, "application/octet-stream", data),))
    check_form(octets)
    part = list(email.message_from_bytes(octets).walk())[-1]
    raw = part.get_param("filename", header="content-disposition")
    found = email.utils.collapse_rfc2231_value(raw) if raw is not None else ""  # type: ignore[arg-type]
    assert (found, part.get_payload(decode=True)) == (name, data)


@given(value=LINE)
def test_fields_read_back(value: str) -> None:
    """Free text in a field is read back, folded or not."""
    octets = unstructured("X-Note", value)
    assert is_plain(value)
    assert header_text(email.message_from_bytes(octets + b"\r\n\r\n")["X-Note"]) == value


def header_text(value: str) -> str:
    """A field as people read it: unfolded, encoded words decoded."""
    return encoded.decode_words(value.replace("\r\n", ""))


def names_of(octets: bytes) -> list[str]:
    """The names in To as our own parser reads them."""
    raw = octets.partition(b"\r\nTo: ")[2].partition(b"\r\nSubject:")[0]
    found, is_clean = parse_mailboxes(raw)
    assert is_clean
    return [mailbox.name for mailbox in found]
