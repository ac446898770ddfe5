"""What a webhook says: words, body, signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import webhook
from jetmail.mail.webhook import Posted

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "webhooks.md"
texts = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=40)


@given(texts, texts, st.integers(0, 2**40), st.binary(max_size=300))
def test_signature(secret: str, identity: str, timestamp: int, octets: bytes) -> None:
    """It is HMAC-SHA256 over id, timestamp and body with dots between them, in hexadecimal."""
    expected = hmac.new(secret.encode(), identity.encode() + b"." + str(timestamp).encode() + b"." + octets, hashlib.sha256).hexdigest()
    assert webhook.sign(secret, identity, timestamp, octets) == "sha256=" + expected


@given(texts, texts, st.integers(0, 2**40), st.binary(min_size=1, max_size=300), st.integers(0, 299), st.integers(1, 255))
def test_any_change_shows(secret: str, identity: str, timestamp: int, octets: bytes, place: int, flip: int) -> None:
    """Another body, time, id or secret has another signature."""
    made = webhook.sign(secret, identity, timestamp, octets)
    changed = bytearray(octets)
    changed[place % len(octets)] ^= flip
    others = (
        webhook.sign(secret, identity, timestamp, bytes(changed)),
        webhook.sign(secret, identity, timestamp + 1, octets),
        webhook.sign(secret, identity + "x", timestamp, octets),
        webhook.sign(secret + "x", identity, timestamp, octets),
    )
    assert made not in others


@given(st.lists(texts, min_size=1, max_size=2), texts, st.integers(0, 2**40), st.binary(max_size=50))
def test_fields(secrets: list[str], identity: str, timestamp: int, octets: bytes) -> None:
    """There is one signature for each secret that counts, and each can be found by itself."""
    fields = webhook.headers(secrets, identity, timestamp, octets)
    assert (fields["X-Webhook-ID"], fields["X-Webhook-Timestamp"]) == (identity, str(timestamp))
    assert fields["X-Webhook-Signature"].split(", ") == [webhook.sign(secret, identity, timestamp, octets) for secret in secrets]


def test_body() -> None:
    """Id, service, type, time and data, whatever letters are in it."""
    made = json.loads(webhook.body("evt_1", "outbound.bounced", 1_795_159_800.25, {"subject": "Zoë\ud800"}))
    assert made == {
        "id": "evt_1",
        "service": "outbound",
        "type": "outbound.bounced",
        "created_at": "2026-11-20T07:30:00.250Z",
        "data": {"subject": "Zoë\ud800"},
    }


def test_ids() -> None:
    """The same happening has the same id, another one another."""
    assert webhook.event_id("u", "attempt", 1) == webhook.event_id("u", "attempt", 1) != webhook.event_id("u", "attempt", 2)
    assert webhook.event_id("u").startswith("evt_")


@pytest.mark.parametrize(
    ("patterns", "event", "is_meant"),
    [
        (("*",), "inbound.spam", True),
        (("outbound.*",), "outbound.queued", True),
        (("outbound.*",), "inbound.received", False),
        (("inbound.spam", "outbound.bounced"), "outbound.bounced", True),
        (("inbound.spam",), "inbound.received", False),
        ((), "inbound.received", False),
    ],
)
def test_patterns(patterns: tuple[str, ...], event: str, is_meant: bool) -> None:
    """A word means itself, a star its group or everything."""
    assert webhook.matches(patterns, event) is is_meant


@pytest.mark.parametrize(
    ("status", "is_taken", "is_over"),
    [(200, True, True), (204, True, True), (301, False, True), (400, False, True), (404, False, True), (410, False, True)]
    + [(429, False, False), (500, False, False), (503, False, False), (0, False, False)],
)
def test_posted(status: int, is_taken: bool, is_over: bool) -> None:
    """2xx is taken; 429, 5xx and no answer are tried again; anything else is the last word."""
    assert (Posted(status).is_taken, Posted(status).is_over) == (is_taken, is_over)
    assert Posted(status, never=True).is_over


def sample(now: float) -> Callable[[str, dict[str, str], bytes], bool]:
    """The code of docs/webhooks.md, at that time."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found[1], str(PAGE), "exec"), names)
    names["time"] = type("Time", (), {"time": staticmethod(lambda: now)})
    verify: Callable[[str, dict[str, str], bytes], bool] = names["verify"]
    return verify


@given(texts, st.integers(1_000, 2**40), st.binary(max_size=50))
def test_sample(secret: str, timestamp: int, octets: bytes) -> None:
    """The documented code takes what we send, with either secret of two, and nothing older, later or changed."""
    verify = sample(timestamp + 10.0)
    fields = webhook.headers([secret, secret + "old"], "evt_1", timestamp, octets)
    assert verify(secret, fields, octets) and verify(secret + "old", fields, octets)
    assert not verify(secret + "other", fields, octets)
    assert not verify(secret, fields, octets + b" ")
    assert not verify(secret, fields | {"X-Webhook-ID": "evt_2"}, octets)
    assert not verify(secret, fields | {"X-Webhook-Timestamp": str(timestamp + 1)}, octets)
    assert not verify(secret, fields | {"X-Webhook-Timestamp": "soon"}, octets)
    for late in (timestamp + 301.0, timestamp - 301.0):
        assert not sample(late)(secret, fields, octets)


def test_documented() -> None:
    """The page names every event."""
    text = PAGE.read_text("utf-8")
    assert [event for event in webhook.EVENTS if f"`{event}`" not in text] == []
