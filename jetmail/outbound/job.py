"""What the queue hands to the deliverer, and every setting of the sending side that is about one attempt.

Values only. `Job` is one message to the recipients of one destination; the answer to it is one mail.outcome.Outcome per delivery id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jetmail.outbound.origin import Origin

if TYPE_CHECKING:
    from jetmail.store.traffic.deliveries import Due, MessageFacts
    from jetmail.store.traffic.messages import Content


class Job(NamedTuple):
    """One attempt to make: `deliveries` are all of `destination` (the domain of their targets) and all of `message`. `origin` None: as the options
    say."""

    message: MessageFacts
    content: Content
    deliveries: tuple[Due, ...]
    destination: str
    origin: Origin | None = None

    @property
    def header(self) -> bytes:
        """The content's header section."""
        content = self.content
        return content.header if content.data is None else content.data[: content.data.find(b"\r\n\r\n") + 1]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for the peer in each phase (RFC 5321 4.5.3.2); each must be above 0. Kept by a sweep, so true to about a second."""

    connect: float = 30.0
    banner: float = 300.0
    ehlo: float = 300.0  # HELO, EHLO, AUTH and STARTTLS too
    tls: float = 60.0  # the handshake
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0  # until 354
    block: float = 180.0  # each piece of content to leave
    final: float = 600.0  # the answer to the final dot
    rset: float = 20.0
    quit: float = 5.0


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """`hostname` is what EHLO says. `source`/`source6` bind outgoing connections ('' lets the system choose).
    `recipients_per_transaction` 1-1000; a peer's LIMITS RCPTMAX may lower it.
    `send_8bit_anyway`: to a peer without 8BITMIME, 8-bit content goes as it is, undeclared, which is what nearly every peer handles and what
    keeps signatures whole; False returns it to the sender with 5.6.3 (RFC 6152 section 3 leaves both but conversion).
    `bdat`: use BDAT with peers that offer CHUNKING; off, because DATA is what every peer has seen."""

    hostname: str = "localhost"
    source: str = ""
    source6: str = ""
    recipients_per_transaction: int = 100
    send_8bit_anyway: bool = True
    bdat: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
