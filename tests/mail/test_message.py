"""A message's header and edits: read without raising, changed without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.message import MAX_FIELDS, MAX_HEADER, MAX_SUBJECT, ORPHAN, Edits, FromFlaw, Message, scan_fields

PLAIN = (
    b"Received: from a\r\n\tby b;\r\n Mon\r\nFrom: Ann <ann@example.org>\r\nsubject : =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"X-Two: 1\r\nx-two: 2\r\nMessage-ID: <1@x>\r\n\r\nBody\r\n\r\nmore\r\n"
)


def test_fields() -> None:
    """Names are lower-case, values unfolded for people, order kept."""
    message = Message(PLAIN)
    assert [name for name, _ in message.fields] == [b"received", b"from", b"subject", b"x-two", b"x-two", b"message-id"]
    assert message.subject == "Grüße"
    assert message.values(b"x-two") == [b"1", b"2"]
    assert message.text(b"received") == "from a\tby b; Mon".replace("\t", " ")
    assert message.count(b"x-two") == 2
    assert message.text(b"absent") == ""
    assert message.message_id == "<1@x>"
    assert message.octets[message.head_size :] == b"Body\r\n\r\nmore\r\n"


@pytest.mark.parametrize(
    ("octets", "header", "body"),
    [
        (b"", b"", b""),
        (b"\r\nbody", b"", b"body"),
        (b"A: b\r\n\r\nbody", b"A: b\r\n", b"body"),
        (b"A: b\n\nbody", b"A: b\n", b"body"),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"A: b", b"A: b", b""),
        (b"\n", b"", b""),
    ],
)
def test_where_the_header_ends(octets: bytes, header: bytes, body: bytes) -> None:
    """At the first empty line; a message may be header only, body only, or nothing."""
    message = Message(octets)
    assert message.header == header
    assert octets[message.head_size :] == body


def test_a_line_that_is_no_field() -> None:
    """Garbage between fields is kept in place and has no name."""
    assert scan_fields(b"A: b\r\nno colon here\r\nbad name: x\r\n: empty\r\nC: d\r\n")[1:4] == (
        (b"", b"no colon here\r\n"),
        (b"", b"bad name: x\r\n"),
        (b"", b": empty\r\n"),
    )


def test_limits() -> None:
    """A header block without end, or with fields without number, is cut and says so."""
    endless = Message(b"A: " + b"x" * (2 * MAX_HEADER))
    assert endless.too_large
    assert len(endless.header) == MAX_HEADER
    many = Message(b"A: b\r\n" * (2 * MAX_FIELDS) + b"\r\n")
    assert len(many.fields) == MAX_FIELDS
    assert len(Message(b"Subject: " + b"x" * 5000 + b"\r\n\r\n").subject) == MAX_SUBJECT


@pytest.mark.parametrize(
    ("values", "addresses", "flaw"),
    [
        ([], [], FromFlaw.MISSING),
        (["Ann <ann@example.org>"], ["ann@example.org"], FromFlaw.NONE),
        (["a@example.org", "b@example.org"], ["a@example.org", "b@example.org"], FromFlaw.SEVERAL_FIELDS),
        (["a@example.org, b@example.org"], ["a@example.org", "b@example.org"], FromFlaw.SEVERAL_ADDRESSES),
        (["a@example.org <b@example.org"], ["b@example.org", "a@example.org"], FromFlaw.MALFORMED),
        (["nobody at all"], [], FromFlaw.MALFORMED),
        ([""], [], FromFlaw.MALFORMED),
    ],
)
def test_from_is_judged(values: list[str], addresses: list[str], flaw: FromFlaw) -> None:
    """Every address that can be read is reported with what is wrong; nothing is guessed."""
    message = Message("".join(f"From: {value}\r\n" for value in values).encode() + b"\r\n")
    assert [str(address) for address in message.sender.addresses] == addresses
    assert message.sender.flaw is flaw


def test_edits_remove_and_prepend() -> None:
    """Fields go by name, in any case and folded; the body and everything else stays octet for octet."""
    header, offset = Message(PLAIN).edited(Edits(frozenset({b"x-two", b"received"}), None, b"New: 1\r\n"))
    assert header + PLAIN[offset:] == (
        b"New: 1\r\nFrom: Ann <ann@example.org>\r\nsubject : =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@x>\r\n\r\nBody\r\n\r\nmore\r\n"
    )


def test_edits_by_content() -> None:
    """A field may go by what it says."""
    edits = Edits(remove_if=lambda name, raw: name == b"x-two" and b"2" in raw)
    header, _ = Message(PLAIN).edited(edits)
    assert header.count(b"wo: ") == 1


def test_edits_of_a_message_without_header() -> None:
    """Fields added to a body alone stand before its empty line."""
    header, offset = Message(b"\r\nbody").edited(Edits(frozenset({b"x"}), None, b"New: 1\r\n"))
    assert header + b"\r\nbody"[offset:] == b"New: 1\r\n\r\nbody"


@pytest.mark.parametrize("edits", [Edits(), Edits(frozenset({b"subject"})), Edits(remove_if=lambda name, raw: name == b"to")])
def test_a_first_line_that_continues_nothing(edits: Edits) -> None:
    """White space where the first field should begin does not continue what is put on top: a stranger would finish our sentence."""
    octets = b" ; dkim=pass\r\n\theader.d=bank.example\r\nSubject: x\r\nTo: a@b\r\n\r\nbody"
    header, _ = Message(octets).edited(edits._replace(prepend=b"Authentication-Results: us; dkim=fail\r\n"))
    fields = Message(header).fields
    assert fields[0] == (b"authentication-results", b"Authentication-Results: us; dkim=fail\r\n")
    assert fields[1] == (b"x-unnamed", b"X-Unnamed:\r\n ; dkim=pass\r\n\theader.d=bank.example\r\n")


def test_rest_is_fetched_only_when_asked() -> None:
    """The header of a large message is read from its first part; the whole comes when the structure is wanted."""
    fetched: list[int] = []

    def rest() -> bytes:
        fetched.append(1)
        return PLAIN + b"x" * 1000

    message = Message(PLAIN, len(PLAIN) + 1000, rest)
    assert message.subject == "Grüße"
    assert not message.is_whole
    assert not fetched
    assert message.structure.text.endswith("x" * 1000)
    assert message.structure
    assert fetched == [1]


@given(
    st.binary(max_size=400) | st.text('ab: \r\n\tFrom<>@"()=?q,;\\', max_size=300).map(str.encode), st.sets(st.sampled_from([b"a", b"from", b"x"]))
)
def test_any_octets(octets: bytes, names: set[bytes]) -> None:
    """Whatever the octets, nothing raises, no edit touches the body, and without a match the header stays as it was."""
    message = Message(octets)
    assert b"".join(raw for _, raw in message.fields) == message.header
    message.subject, message.sender, message.message_id, message.structure  # noqa: B018
    header, offset = message.edited(Edits(frozenset(names), None, b"New: 1\r\n"))
    top = b"New: 1\r\n" + (ORPHAN if octets[:1] in (b" ", b"\t") else b"")
    assert header.startswith(top)
    if not any(name in names for name, _ in message.fields):
        assert header + octets[offset:] == top + octets
    assert not any(name in names for name, _ in Message(header).fields)
