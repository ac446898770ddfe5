"""One open mail transaction, from MAIL to its end: what has been said and decided so far. Mutable, and of one session only.

An answer that comes after the transaction is over finds `is_over` and does nothing: it belongs to a value nobody looks at any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from jetmail.inbound.acceptance import Refused
from jetmail.inbound.aggregates import ReportReading
from jetmail.inbound.intake import Intake
from jetmail.inbound.quota import Reservation
from jetmail.inbound.returning import Entry, Reading
from jetmail.mail.address import Address
from jetmail.mail.envelope import Sender
from jetmail.rules.facts import RecipientFacts
from jetmail.rules.policy import Policy
from jetmail.rules.verdict import Opinion
from jetmail.store.database import Connection

# Something to be written by the very transaction that accepts a message: told its uid and the reply.
Also = Callable[[Connection, str, str], None]


@dataclass(slots=True)
class Pending:
    """`at_envelope`: opinions of CONNECT and SENDER. `appliance`: the policy of the appliance as it was at MAIL. `recipients`, `policies`: those
    taken, place by place; `at_recipients` the opinions about them. `also`: to be done by the transaction that accepts it."""

    uid: str
    sender: Sender
    at_envelope: tuple[Opinion, ...]
    appliance: Policy
    recipients: list[RecipientFacts] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    addresses: set[Address] = field(default_factory=set)
    at_recipients: list[Opinion] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    intake: Intake | None = None
    is_over: bool = False
    reservation: Reservation | None = None
    entry: Entry | None = None
    reading: Reading | Deferred[ReportReading] | None = None
    also: Also | None = None

    def drop(self) -> None:
        """It is over; its content is forgotten unless a committed row refers to it."""
        self.is_over = True
        if self.intake is not None:
            self.intake.drop()
        if self.reservation is not None:
            self.reservation.cancel()
