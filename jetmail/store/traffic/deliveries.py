"""Deliveries: the queue's rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """A queued delivery as the queue's window holds it."""

    id: int
    message_id: int
    recipient: str
    target: str
    destination: str
    attempts: int
    queued: float
    next_attempt: float
    notify: str
    orcpt: str
    delay_notified: bool


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What delivering a message needs to know of it besides its content."""

    id: int
    uid: str
    sender: str
    size: int
    body: str
    smtputf8: bool
    ret: str
    envid: str
    requiretls: bool
    received: float
    content_id: int | None
    direction: str
    user: str
