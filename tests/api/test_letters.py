"""JSON becomes a letter, or a problem that names the field: never anything else."""

from __future__ import annotations

import email
import json
from email import policy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.api.problem import Problem
from jetmail.api.v1 import letters
from jetmail.mail.compose import compose
from tests.api.office import ANY, LETTER

NAMES = sorted(letters.FIELDS)


def problem(octets: bytes) -> Problem:
    """What reading it comes to."""
    with pytest.raises(Problem) as caught:
        letters.read(letters.from_json(octets), 200)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"from": None}, "from"), ({"from": 3}, "from"), ({"from": "nobody"}, "from"), ({"from": ["a@b.test"]}, "from"),
        ({"from": "a@b.test, c@d.test"}, "from"), ({"from": {"email": "x"}}, "from.email"), ({"from": {"name": "x"}}, "from.email"),
        ({"from": {"email": "a@b.test", "name": "a\nb"}}, "from.name"), ({"from": {"email": "a@b.test", "x": 1}}, "from"),
        ({"from": "A\r\nBcc: x@y.test <a@b.test>"}, "from"), ({"to": []}, "to"), ({"to": ["a@b.test", 3]}, "to[1]"),
        ({"to": ["a@b.test", {"email": "a@"}]}, "to[1].email"), ({"to": [f"u{n}@b.test" for n in range(201)]}, "to"), ({"cc": {}}, "cc.email"),
        ({"subject": 3}, "subject"), ({"subject": "a\nb"}, "subject"), ({"subject": "x" * 1_001}, "subject"), ({"text": None}, "text"),
        ({"text": 1}, "text"), ({"html": []}, "html"), ({"text": "\ud800"}, "text"), ({"subject": "\ud800"}, "subject"),
        ({"headers": []}, "headers"), ({"headers": {"Bcc": "x"}}, "headers.Bcc"), ({"headers": {"From": "x"}}, "headers.From"),
        ({"headers": {"DKIM-Signature": "x"}}, "headers.DKIM-Signature"), ({"headers": {"X-A": "a\r\nb"}}, "headers.X-A"),
        ({"headers": {"X-A": 1}}, "headers.X-A"), ({"headers": {"X A": "x"}}, "headers"), ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
        ({"headers": {"Message-ID": "x"}}, "headers.Message-ID"), ({"headers": {"References": "<ä@b>"}}, "headers.References"),
        ({"headers": {f"X-{n}": "" for n in range(51)}}, "headers"), ({"attachments": {}}, "attachments"), ({"attachments": ["x"]}, "attachments[0]"),
        ({"attachments": [{"name": "x"}]}, "attachments[0].content"), ({"attachments": [{"content": "x"}]}, "attachments[0].content"),
        ({"attachments": [{"content": "ä"}]}, "attachments[0].content"), ({"attachments": [{"content": "", "name": "../x"}]}, "attachments[0].name"),
        ({"attachments": [{"content": "", "type": "x"}]}, "attachments[0].type"), ({"attachments": [{"content": "", "y": 1}]}, "attachments[0]"),
        ({"attachments": [{"content": "", "type": "message/rfc822"}]}, "attachments[0].type"),
        ({"attachments": [{"content": "", "type": "a/b\r\nX: y"}]}, "attachments[0].type"),
        ({"attachments": [{"content": "", "cid": "a"}, {"content": "", "cid": "a"}]}, "attachments[1].cid"),
        ({"attachments": [{"content": "", "cid": "<a>"}]}, "attachments[0].cid"), ({"attachments": [{"content": ""}] * 101}, "attachments"),
        ({"envelope_from": ""}, "envelope_from"), ({"envelope_from": 3}, "envelope_from"), ({"tags": ["x"]}, "tags"), ({"a\nb": 1}, ""),
    ],
)  # fmt: skip
def test_field_is_named(changes: dict[str, Any], field: str) -> None:
    """A fault is told with the field it is in."""
    found = problem(json.dumps(LETTER | changes).encode())
    assert (found.status, found.code, found.field) == (422, "invalid", field), found


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b'{"a":',
        b"\xff",
        b'"\\ud8"',
        b"NaN",
        b"[NaN]",
        b"-Infinity",
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"1" * 10_000,
        b"{}x",
        "é".encode("utf-16"),
    ],
)
def test_no_json(octets: bytes) -> None:
    """What is no JSON is 400, however deep it is nested and however long its numbers are."""
    assert problem(octets).status == 400


def test_too_many_values() -> None:
    """What would weigh a thousand times its octets is refused before it is read."""
    for octets in (b"[" + b"[]," * 200_001 + b"0]", b"[" + b'"",' * 200_001 + b"0]"):
        assert problem(octets).status == 413


def test_long_strings() -> None:
    """Strings without an end, full of escapes or of what parts values outside of them, are read once and not again and again."""
    for octets in (b'"' + b'\\"' * 1_000_000, b'"' + b"\\" * 2_000_001, b'["' + b"," * 2_000_000 + b'"]', b'"' * 150_001):
        assert problem(octets).status in (400, 422)


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_any_json(value: Any) -> None:
    """Any value is read or is a problem."""
    try:
        letters.read(letters.from_json(json.dumps(value).encode()), 200)
    except Problem as found:
        assert found.status in (400, 413, 422)


@given(st.dictionaries(st.sampled_from(NAMES), ANY), st.dictionaries(st.sampled_from(["X-A", "List-Id", "References"]), st.text(max_size=60)))
@settings(max_examples=400, deadline=None)
def test_any_letter(changes: dict[str, Any], headers: dict[str, str]) -> None:
    """A letter with any value in any field is composed, in good form and without a field of its own, or is a problem."""
    value = LETTER | {"headers": headers} | changes
    try:
        order = letters.read(letters.from_json(json.dumps(value).encode()), 200)
    except Problem as found:
        assert found.status in (400, 413, 422)
        return
    octets = compose(order.letter, "0123456789abcdef")
    found = email.message_from_bytes(octets, policy=policy.compat32)
    allowed = {"from", "to", "cc", "reply-to", "subject", "mime-version", "content-type", "content-transfer-encoding"}
    allowed |= {name.lower() for name, _ in order.letter.headers}
    assert {name.lower() for name in found} <= allowed
    assert len(found.keys()) == len({name.lower() for name in found})
