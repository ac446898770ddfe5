"""The seven words a person sees for what became of a message (spec 1.3), and their stored form."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """One per delivery. The value is what the store and the API hold; `label` is what a page prints."""

    RECEIVED = "received"
    QUEUED = "queued"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    BLOCKED = "blocked"
    SPAM = "spam"

    @property
    def label(self) -> str:
        """'Delivered', 'Queued', ... exactly as in the specification's table."""
        return self.value.capitalize()

    @property
    def meaning(self) -> str:
        """One line for tooltips, help texts and docs."""
        return _MEANINGS[self]


_MEANINGS = {
    Status.DELIVERED: "accepted by the destination server",
    Status.QUEUED: "held in the queue, retrying delivery",
    Status.RECEIVED: "accepted by the filter and being processed",
    Status.REJECTED: "refused by the filter or the destination (permanent failure)",
    Status.QUARANTINED: "held back because of spam scoring",
    Status.BLOCKED: "stopped by a custom block rule",
    Status.SPAM: "classified as spam by filtering",
}
