"""What is remembered of one session's receiving side, and the few moves everything else is made of: answer whatever breaks, let go of a transaction,
know who has signed in.

Internal to the receiving side, as smtp.conversation is to the grammar: transaction.Receiver adds the stages. A fault of ours is logged once, with the
reference that the client is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.inbound.peer import Peer
from jetmail.inbound.pending import Pending
from jetmail.inbound.principal import Login, Principal
from jetmail.inbound.refusals import Refusals
from jetmail.inbound.services import ReceiverServices
from jetmail.inbound.submission import Submissions
from jetmail.mail.envelope import Sender
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.rules.chain import Answer
from jetmail.rules.facts import Client
from jetmail.rules.verdict import REASONS

TLS_FIRST = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")

_PRESENT = frozenset((tuple, Message, Reply))

Said = Reply | Deferred[Reply]
T = TypeVar("T")

_log = Logger()


def then(value: T | Deferred[T], fn: Callable[..., Any], *args: Any) -> Any:
    """Go on at once with what is there, later with what is to come: no Deferred where nobody waits."""
    # Deferred is an abstract base class, and asking isinstance of one is a call into Python: so the types of what is mostly there come first.
    if type(value) in _PRESENT or not isinstance(value, Deferred):
        return fn(value, *args)
    return value.addCallback(fn, *args)


class Conversation:
    """See the module."""

    __slots__ = ("_at_connect", "_cipher", "_client", "_is_extended", "_pending", "_principal", "_refusals", "_services", "_signing_in")

    def __init__(self, services: ReceiverServices, peer: Peer) -> None:
        self._services = services
        self._client = Client(peer.address, peer.port, peer.listener, peer.kind)
        self._refusals = Refusals(services)
        self._is_extended = True
        self._cipher = ""
        self._at_connect: Answer = ()
        self._pending: Pending | None = None
        self._principal: Principal | None = None
        self._signing_in: Deferred[Login] | None = None

    def abort(self, refusal: Reply | None = None) -> None:
        """The transaction is over without content."""
        pending, self._pending = self._pending, None
        if pending is not None and not pending.is_over:
            pending.drop()
            self._refusals.without_content(self._client, pending, refusal)

    # who has signed in

    def auth(self, mechanism: str, username: str, password: str) -> Said:
        """Whoever ILogin knows may submit."""
        return self._answered(self._log_in, username, password)

    def admit(self, principal: Principal) -> None:
        """Somebody whose sign-in was proved elsewhere."""
        self._principal = principal
        self._client = self._client._replace(user=principal.id)

    def idle(self) -> Reply | None:
        """421 when the login counts no more."""
        return self._ended()

    def _log_in(self, username: str, password: str) -> Said:
        if not self._client.tls:
            return TLS_FIRST
        answer = self._services.login.authenticate(username, password, self._client.address)
        if isinstance(answer, Deferred):
            self._signing_in = answer
        said: Said = then(answer, self._logged_in, username)
        return said

    def _logged_in(self, login: Login, username: str) -> Reply:
        self._signing_in = None
        if login.principal is not None and self._services.submissions is not None:
            self.admit(login.principal)
        outcome = "ok" if login.principal is not None else "failed"
        _log.info("login {outcome}", outcome=outcome, client=self._client.address, username=username[:100], why=login.why)
        return login.reply

    @property
    def _submissions(self) -> Submissions:
        submissions = self._services.submissions
        assert submissions is not None, "nobody signs in without it"
        return submissions

    def _ended(self) -> Reply | None:
        """421 to who has signed in and may not stay."""
        return None if self._principal is None else self._submissions.ended(self._principal, self._client.address)

    def _refused_at_mail(self, principal: Principal, sender: Sender) -> Reply | None:
        if (ended := self._ended()) is not None:
            return ended
        ruling = self._submissions.at_mail(principal, sender, self._services.clock.seconds())
        if ruling is None:
            return None
        self._refusals.at_connection(self._client, ruling, "mail", str(sender))
        return ruling.public_reply

    # faults

    def _answered(self, fn: Callable[..., Said], *args: Any) -> Said:
        try:
            said = fn(*args)
        except Exception:
            return self._fault(Failure())
        if type(said) is not Reply and isinstance(said, Deferred):
            said.addErrback(self._fault)
        return said

    def _fault(self, failure: Failure) -> Any:
        pending = self._pending
        if failure.check(CancelledError) or (pending is not None and pending.is_over):
            self.abort()
            return failure if failure.check(CancelledError) else REASONS["fault"].reply
        reference = pending.uid if pending is not None else self._services.make_uid()
        self._services.on_refused("fault")
        _log.failure("transaction failed, answered 451 with ref {uid}", failure=failure, uid=reference, client=self._client.address)
        if pending is not None and pending.intake is not None:
            pending.drop()
            self._pending = None
        return fault_reply(reference)


def fault_reply(reference: str) -> Reply:
    """All a stranger hears of a fault of ours."""
    return Reply(451, "4.3.0", f"Temporary failure here, please try again later (ref {reference})")
