"""What one attempt to deliver to one recipient came to. The queue records it, the bounce is built from it, the log shows it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from jetmail.mail.reply import Reply


class Result(Enum):
    """DELIVERED: the peer took responsibility. LATER: try again. NEVER: tell the sender."""

    DELIVERED = "delivered"
    LATER = "later"
    NEVER = "never"


class Outcome(NamedTuple):
    """`reason` is a word from a closed list (docs/queue.md): accepted, refused, deferred, dns, connect, tls, timeout, protocol, loop, null-mx,
    no-route, unsupported, source, warm-up, content, expired, operator, suppressed. (A delivery that was
    not tried may wait with the reason 'cooling', which is no outcome.)

    `reply` is the peer's last reply or one of ours that says what happened. `host`, `address`, `port`:
    who gave it ('' and 0 before any connection). `tls`: '' or 'TLSv1.3'; `verified`: its certificate was checked and named the host. `duration`
    in seconds."""

    result: Result
    reason: str
    reply: Reply
    host: str = ""
    address: str = ""
    port: int = 0
    tls: str = ""
    verified: bool = False
    duration: float = 0.0
    relayed_without_dsn: bool = False  # RFC 3461 5.2.2: the next hop does not speak DSN, so a success we owe is 'relayed'
    security: tuple[tuple[str, str], ...] = ()  # (word, sentence): what TLS was required, found and decided, where that was a question
    source: str = ""  # where it left from, in words for people; '': the default, and nothing else was asked for
    counted: tuple[str, str] | None = None  # (source, day): it counts for what may leave from there on that day
    not_before: float = 0.0  # LATER: trying again sooner than that (epoch seconds) would be in vain
    is_excused: bool = False  # LATER: mail from other sources is let in, so the trouble is not the host's as a whole
    is_doubtful: bool = False  # LATER: the peer had all of the content and did not answer
    about: str = ""  # LATER: the recipient whose RCPT was answered so; '': the connection, the sender or the content was
    earlier: tuple[tuple[str, str], ...] = ()  # (host, reply) of those that put the recipient off before, in the same attempt

    @property
    def is_host_fault(self) -> bool:
        """True when the destination as a whole, not this message or recipient, stood in the way: others to it should wait too."""
        return self.result is Result.LATER and self.reason in ("dns", "connect", "tls", "timeout", "protocol") and not self.is_excused
