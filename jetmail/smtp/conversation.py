"""The state of one SMTP server conversation, and the few moves everything else is made of: answer, refuse, count, close, give up.

Internal to the grammar: verbs.Verbs adds the commands, server.Session the machine that reads octets. A move returns the event that must come next, or
None when it has said all there is to say.
"""

from __future__ import annotations

from enum import IntEnum

from jetmail.mail.envelope import Sender
from jetmail.mail.reply import Reply
from jetmail.smtp import answers, sasl
from jetmail.smtp.content import BdatContent, DataContent
from jetmail.smtp.events import ABORT, CLOSE, Abort, Event
from jetmail.smtp.options import SessionOptions


class Phase(IntEnum):
    """What the next octets are."""

    COMMAND = 0
    AUTH = 1  # a response of an AUTH exchange
    DATA = 2
    BDAT = 3
    SKIP = 4  # the octets of a BDAT that is refused
    CLOSED = 5


class Conversation:
    """What is remembered of one connection."""

    __slots__ = (
        "_at",
        "_auth_failures",
        "_buffer",
        "_chunk_refusal",
        "_content",
        "_draining",
        "_errors",
        "_exchange",
        "_flooded",
        "_has_helo",
        "_junk",
        "_messages",
        "_next",
        "_options",
        "_out",
        "_pending",
        "_recipients",
        "_refused",
        "_sender",
        "_skip",
        "_skip_reply",
        "_skipped",
        "_tls",
        "is_abrupt",
        "phase",
        "username",
    )

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self.phase = Phase.COMMAND
        self.username: str | None = None  # who signed in
        self.is_abrupt = False  # closed while the peer had said more than we heard, or is likely to
        # Octets: what came in and is unread from `_at` on, what is to go out, how much of an overlong line was forgotten.
        self._buffer = b""
        self._at = 0
        self._out = b""
        self._skipped = 0
        self._flooded = False
        # Events: the one outstanding, and the one that follows at once when it is answered.
        self._pending: Event | None = None
        self._next: Event | None = None
        # The conversation. A transaction is open for the receiver as long as `_sender` is set.
        self._tls = options.kind == "submissions"
        self._has_helo = False
        self._sender: Sender | None = None
        self._recipients = 0
        self._content: DataContent | BdatContent | None = None
        self._exchange: sasl.Exchange | None = None
        # RFC 3030 2: the octets of a refused BDAT are read all the same, and every further BDAT is told the same until LAST.
        self._skip = 0
        self._skip_reply: Reply | None = None
        self._chunk_refusal: Reply | None = None
        self._errors = self._junk = self._refused = self._messages = self._auth_failures = 0
        self._draining = False

    def _answer(self, reply: Reply) -> Event | None:
        self._out += reply.wire
        # RFC 5321 3.8: 421 announces that we close.
        return self._close(None) if reply.code == 421 else None

    def _error(self, reply: Reply) -> Event | None:
        """A command was wrong."""
        self._errors += 1
        return self._answer(reply if self._errors < self._options.max_errors else answers.TOO_MANY_ERRORS)

    def _harmless(self, reply: Reply) -> Event | None:
        """A command was right and brought no mail nearer."""
        self._junk += 1
        return self._answer(reply if self._junk <= self._options.max_junk else answers.TOO_MUCH_JUNK)

    def _refusal(self, reply: Reply) -> Event | None:
        """The receiver refused a sender or recipient."""
        if reply.is_permanent:
            self._refused += 1
        return self._answer(reply if self._refused <= self._options.max_refused else answers.TOO_MANY_REFUSED)

    def _close(self, reply: Reply | None, refusal: Reply | None = None) -> Event:
        """Say `reply`, hear nothing more. `refusal` as for `_give_up`."""
        if reply is not None:
            self._out += reply.wire
        self.is_abrupt = self._flooded or self._at < len(self._buffer) or Phase.DATA <= self.phase <= Phase.SKIP
        self.phase = Phase.CLOSED
        self._buffer = b""
        self._at = 0
        return self._give_up(CLOSE, refusal) or CLOSE

    def _give_up(self, following: Event | None = None, refusal: Reply | None = None) -> Event | None:
        """The transaction, if there is one, ends without content, because of `refusal` if that was about the content; then `following`."""
        self._content = None
        self._recipients = 0
        if self._sender is None:
            return following
        self._sender = None
        self._next = following
        return ABORT if refusal is None else Abort(refusal)

    def _forsake(self, refusal: Reply | None) -> Event | None:
        """Content is refused while it still comes: the rest is only counted, and the receiver let go at once."""
        if refusal is None or self._sender is None:
            return None
        self._sender = None
        return Abort(refusal)

    def _refuse_content(self, refusal: Reply) -> Event | None:
        """Content is refused and has all come."""
        given_up = self._give_up(None, refusal)
        said = self._error(refusal) if refusal.is_permanent else self._answer(refusal)
        if given_up is not None and said is not None:
            self._next = said
        return given_up or said
