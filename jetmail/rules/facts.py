"""What a rule may know. Frozen: a rule reads and answers, it changes nothing.

A Facts value grows with the stages: at CONNECT there is a client and a time, at SENDER a sender, at RECIPIENT the recipient in question, from
CONTENT on the message. What is not known yet is None (or empty).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from jetmail.mail.address import Address
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.rules.lists import IPAddress
from jetmail.rules.verdict import Opinion


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> IPAddress | None:
    """An address in its own family (an IPv4 one that came over an IPv6 socket is IPv4), None when the text is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Client(NamedTuple):
    """The other end. `kind` is the listener's: 'mx', 'submission' or 'submissions'. `tls` is '' or 'TLSv1.3'. `user` is '' until somebody logged
    in."""

    address: str
    port: int = 0
    listener: str = ""
    kind: str = "mx"
    helo: str = ""
    tls: str = ""
    user: str = ""

    @property
    def ip(self) -> IPAddress | None:
        """The address as a number; None for a client without one (a test, a file)."""
        return parse_ip(self.address)


class Correspondent(Enum):
    """Whether our people have written to whom a message says it is from."""

    NONE = ""
    OF_DOMAIN = "domain"  # somebody of the recipient's domain has
    OF_RECIPIENT = "recipient"  # the recipient has


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """One recipient. `index` is its place in the envelope. `targets` are where its mail really goes after aliases; empty when it does not exist.
    `first_seen`: when this (network, sender, recipient) was first greylisted, None on first contact; `has_passed`: its mail was taken since.
    `network_passes`: contacts of the client's network whose mail was taken. `correspondent`: who of ours has written to the sender."""

    index: int
    recipient: Recipient
    targets: tuple[Address, ...] = ()
    first_seen: float | None = None
    has_passed: bool = False
    network_passes: int = 0
    correspondent: Correspondent = Correspondent.NONE

    @property
    def address(self) -> Address:
        """As said at RCPT."""
        return self.recipient.address


class Facts(NamedTuple):
    """See the module. `recipient` is the one a rule of RECIPIENT scope is asked about; to others it is the only one, or None where there are several.
    `opinions` are those of the stages before this one, and of the rules a rule names in `after`."""

    time: float
    client: Client
    sender: Sender | None = None
    recipient: RecipientFacts | None = None
    recipients: tuple[RecipientFacts, ...] = ()
    message: Message | None = None
    opinions: tuple[Opinion, ...] = ()

    def score(self) -> float:
        """The sum of findings about the message and about this recipient, rounded so that ten times 0.6 is 6."""
        index = self.recipient.index if self.recipient is not None else None
        total = 0.0
        for opinion in self.opinions:
            if opinion.recipient is None or opinion.recipient == index:
                for finding in opinion.verdict.findings:
                    total += finding.score
        return round(total, 3)
