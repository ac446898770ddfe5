"""What a message's page says of TLS."""

from __future__ import annotations

from types import SimpleNamespace

from jetmail.web.pages.message import timeline


def test_steps() -> None:
    """What was required, found and decided are tags of the attempt; a downgrade is a step of its own."""
    said = {"required": "DANE: TLS proved by TLSA", "decided": "used with TLSv1.3, proved by TLSA"}
    detail = {"result": "delivered", "host": "mx.a.test", "address": "192.0.2.1", "port": 25, "tls": "TLSv1.3", "verified": True, "security": said}
    events = [
        SimpleNamespace(at=1.0, kind="attempt", delivery_id=1, detail=detail),
        SimpleNamespace(at=1.0, kind="tls-downgrade", delivery_id=1, detail={"host": "mx.a.test", "text": "none at mx.a.test"}),
    ]
    attempt, downgrade = timeline(SimpleNamespace(size=1, score=None, findings=()), [], events)
    assert "required: DANE: TLS proved by TLSA" in attempt.bits
    assert (downgrade.title, "text: none at mx.a.test" in downgrade.bits) == ("No TLS at a domain that used to have it", True)
