"""What a webhook says: the words of events, the body, the signature. Values only (docs/webhooks.md is the description for who receives them).

Signed is `{id}.{timestamp}.{body}`, with HMAC-SHA256 and the webhook's secret, so that neither the event's name nor its time can be exchanged; the
timestamp is that of the attempt, so that a receiver may refuse what is old. While a secret is being exchanged there are two signatures.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

OUTBOUND = ("queued", "delivered", "deferred", "bounced", "rejected", "spam", "virus", "dropped", "complaint")
INBOUND = ("received", "delivered", "deferred", "bounced", "spam", "blocked", "quarantined")
EVENTS = (*(f"outbound.{word}" for word in OUTBOUND), *(f"inbound.{word}" for word in INBOUND))
PATTERNS = ("*", "outbound.*", "inbound.*", *EVENTS)
TEST = "webhook.test"  # what people send themselves to see whether it arrives
SECRET_PREFIX = "whsec_"


class Posted(NamedTuple):
    """What became of one attempt. `status` of the answer, 0 without one. `said`: why it failed, in words, or the beginning of what the other side
    said. `never`: it is no use to try again."""

    status: int = 0
    said: str = ""
    never: bool = False

    @property
    def is_taken(self) -> bool:
        """The other side has it."""
        return 200 <= self.status < 300

    @property
    def is_over(self) -> bool:
        """Not to be tried again: taken, or refused for good (any answer but 429 and 5xx)."""
        return self.never or (200 <= self.status < 500 and self.status != 429)


def matches(patterns: Iterable[str], event: str) -> bool:
    """Whether one of `patterns` (of PATTERNS) means the event."""
    group = event.partition(".")[0] + ".*"
    return any(pattern in ("*", event, group) for pattern in patterns)


def event_id(*parts: object) -> str:
    """The same for the same happening, however often it is told: what a receiver knows repetitions by."""
    return "evt_" + hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]


def body(identity: str, event: str, at: float, data: Mapping[str, Any]) -> bytes:
    """The JSON that is sent. `at` epoch seconds."""
    created = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"id": identity, "service": event.partition(".")[0], "type": event, "created_at": created, "data": data}
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def sign(secret: str, identity: str, timestamp: int, octets: bytes) -> str:
    """'sha256=' and 64 hex digits."""
    signed = f"{identity}.{timestamp}.".encode() + octets
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def headers(secrets: Iterable[str], identity: str, timestamp: int, octets: bytes) -> dict[str, str]:
    """The fields that go with the body: one signature for each secret that counts now, separated by a comma."""
    return {
        "X-Webhook-ID": identity,
        "X-Webhook-Timestamp": str(timestamp),
        "X-Webhook-Signature": ", ".join(sign(secret, identity, timestamp, octets) for secret in secrets),
    }
