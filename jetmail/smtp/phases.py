"""The words in which the client session and its shell speak: what is waited for, what happened, why it ended. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jetmail.mail.reply import Reply


class Phase(Enum):
    """What the session waits for: the answer to this, or (IDLE, TLS, CONTENT) the shell."""

    BANNER = "banner"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH = "auth"
    IDLE = "idle"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    FINAL = "final"
    EMPTY = "empty"  # the answer to the lone dot of a transaction without recipients
    QUIT = "quit"
    CLOSED = "closed"


class Event(Enum):
    """What `receive` has to report."""

    GREETED = "greeted"  # `extensions` are known
    TLS_READY = "tls-ready"  # shake hands, then call tls_started()
    TLS_REFUSED = "tls-refused"  # the conversation goes on in clear
    AUTHENTICATED = "authenticated"
    GO_AHEAD = "go-ahead"  # feed() and finish()
    SETTLED = "settled"  # `results`; another send() may follow unless `is_over`
    CLOSED = "closed"  # QUIT was answered
    FAILED = "failed"  # `fault`; say nothing more


class FaultKind(Enum):
    """Why a conversation ended before its time. The last six are the shell's to report."""

    GREETING = "greeting"  # the banner or EHLO was a refusal
    CLOSING = "closing"  # 421
    PROTOCOL = "protocol"
    AUTH = "auth"
    TLS = "tls"
    LOST = "lost"
    TIMEOUT = "timeout"
    CONTENT = "content"  # the content could not be read: a fault of ours
    INTERNAL = "internal"  # something of ours broke
    STOPPED = "stopped"  # we are closing down
    SOURCE = "source"  # the address to leave from is not ours: a fault of ours


@dataclass(frozen=True, slots=True)
class Fault:
    """`reply` is the peer's, or one of ours that says what happened. `phase` is where it happened."""

    kind: FaultKind
    reply: Reply
    phase: Phase
