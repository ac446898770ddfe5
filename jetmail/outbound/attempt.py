"""One attempt to deliver: where to, over which connection, in how many transactions, and what came of it for each recipient.

`Deliverer.deliver(job)` returns a Deferred of {delivery id: Outcome} that never fails and always has every delivery of the job.

Which host (RFC 5321 5.1)
- Hosts and addresses are tried in the route's order. The next is tried when one cannot be dialled, is known dead, is lost, silent or out of step
  before the content, fails TLS that is required, or refuses the conversation: 4xx or 5xx in banner or EHLO, 421 anywhere before the content.
- 2xx and 5xx are a host's last word on a recipient; a refused MAIL answers for all. Whom a host answers 4xx, to MAIL, RCPT, DATA or the content, is
  put off: given to the next one, until MOST_ASKED have answered. The last answer is the outcome, with the others in `earlier`. It stays the outcome
  when no further host answers at all, or has no room for the message: that is no news of the recipient.
- When nobody was left: LATER with what the last one did. Only when every host refused the conversation for good (5xx in greeting, RFC 7504) is it
  NEVER: a 5xx is returned at once.
- Once content is on its way a loss or a time-out means LATER, without another host for anybody: the peer may have it.
- A kept connection that ends before it answered anything is no host's fault: a fresh one is dialled.
- A host that does not show what security.py demands of it is passed over (LATER 'tls').
- Addresses the job's origin cannot reach are not tried (LATER 'source'); an origin that is not this machine's says nothing of the host.
- Opportunistic TLS that fails or hangs, from STARTTLS to the end of the handshake: the same address again, in clear, and the host is remembered
  (ClientTls).

Which transactions
- At most `recipients_per_transaction`, or the peer's RCPTMAX. 452 (or the 552 of old peers) to a recipient after others were accepted means 'too
  many': it goes with the next transaction at once (RFC 5321 4.5.3.1.10).

What cannot be sent to a peer (NEVER 'unsupported', without sending) is in fitting.py.

A fault of ours is logged and means LATER 'deferred': it is tried again, and only content that cannot be read ('content') is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.interfaces import IDialer
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound import fitting
from jetmail.outbound.bookkeeping import OUR_FAULT, Bookkeeping, Outcomes
from jetmail.outbound.connection import Body, Connection, OneConnection, Surroundings
from jetmail.outbound.job import DeliveryOptions, Job
from jetmail.outbound.pool import Admission, Key, Pool
from jetmail.outbound.route import Hop, Route, Router
from jetmail.outbound.security import Security
from jetmail.outbound.tls import ClientTls, TlsMode
from jetmail.smtp import commands
from jetmail.smtp.phases import Fault, FaultKind, Phase

if TYPE_CHECKING:
    from jetmail.store.traffic.deliveries import Due, MessageFacts
    from jetmail.store.traffic.messages import Content

_REASONS = {
    FaultKind.GREETING: "connect",
    FaultKind.CLOSING: "connect",
    FaultKind.PROTOCOL: "protocol",
    FaultKind.AUTH: "protocol",
    FaultKind.TLS: "tls",
    FaultKind.LOST: "connect",
    FaultKind.TIMEOUT: "timeout",
    FaultKind.CONTENT: "content",
    FaultKind.INTERNAL: "deferred",
    FaultKind.STOPPED: "operator",
    FaultKind.SOURCE: "source",
}


class Deliverer:
    """`chunks(content)` yields spooled content in pieces; it may raise. `clock` is IReactorTime. `sender` says under which one a transaction goes."""

    log = Logger()

    def __init__(
        self,
        router: Router,
        pool: Pool,
        dialer: IDialer,
        tls: ClientTls,
        chunks: Callable[[Content], Iterator[bytes]],
        clock: Any,
        options: DeliveryOptions,
        security: Security | None = None,
        sender: Callable[[MessageFacts, Sequence[Due], str], str] = lambda message, batch, destination: message.sender,
    ) -> None:
        self.router = router
        self.security = security
        self.sender = sender
        self.pool = pool
        self.dialer = IDialer(dialer)
        self.tls = tls
        self.chunks = chunks
        self.clock = clock
        self.options = options
        self.around = Surroundings(pool, tls, clock, options.hostname, options.bdat, options.timeouts)

    def deliver(self, job: Job) -> Deferred[Outcomes]:
        """See the module."""
        attempt = _Attempt(self, job)
        attempt.begin()
        return attempt.done


class _Attempt(Bookkeeping):
    """The user of one connection after another until every recipient has an outcome."""

    __slots__ = ()

    # From route to connection.

    def begin(self) -> None:
        if not self._pending:
            self._finish()
            return
        try:
            router = self._deliverer.router
            known = router.known(self._job.destination)
            if known is not None:
                self._routed(known)
            else:
                router.route(self._job.destination).addCallback(self._routed).addErrback(self._broke)
        except Exception:
            self._broke()

    def _routed(self, route: Route | Outcome) -> None:
        if isinstance(route, Outcome):
            self._settle_pending(route)
            self._finish()
            return
        hops, origin = route.hops, self._job.origin
        if origin is not None and hops and not (hops := origin.reachable(hops)):
            self._last = Outcome(Result.LATER, "source", origin.unable())
        self._candidates = [(hop, address) for hop in hops for address in hop.addresses]
        self._advance()

    def _advance(self) -> None:
        """Use or dial the current candidate, or the first after it that can be; finish when there is none."""
        pool = self._deliverer.pool
        while self._pending and self._position < len(self._candidates):
            hop, address = self._candidates[self._position]
            key = self._standing.key(hop, address)
            refusal = self._standing.refusal(hop)
            if refusal is not None:
                self._last = self._outcome(Result.LATER, "tls", refusal, key)
                self._leave_host(len(hop.addresses))
                continue
            connection = pool.take(key)
            if connection is not None:
                self._start(connection)
                return
            admission = pool.admit(key)
            if admission is Admission.DIAL:
                self._dial(key, hop)
                return
            if admission is Admission.FULL:
                pool.wait(key, self)
                return
            self._pass_over(key)
        self._settle_pending(self._last or self._never or Outcome(Result.LATER, "no-route", Reply(451, "4.4.4", "no host to try")))
        self._finish()

    def _pass_over(self, key: Key) -> None:
        """A dead or crowded address is not tried; what others learned of it serves as the answer."""
        if self._last is None:
            dead = self._deliverer.pool.dead_reply(key)
            reply = dead or Reply(451, "4.4.5", "all connections to the destination are busy")
            self._last = self._outcome(Result.LATER, "connect" if dead else "deferred", reply, key)
        self._leave_host()

    def _dial(self, key: Key, hop: Hop) -> None:
        deliverer = self._deliverer
        options = deliverer.options
        connection = Connection(key, hop.credentials, deliverer.around, self)
        deliverer.pool.add(connection)
        source = options.source6 if ":" in key.address else options.source
        if key.origin is not None:
            source = key.origin.towards(key.address)
        dialling = deliverer.dialer.connect(key.address, key.port, OneConnection(connection), options.timeouts.connect, source)
        dialling.addErrback(connection.not_connected).addErrback(self._broke)

    # What the pool and the connection say.

    def granted(self, key: Key, connection: Connection | None) -> None:
        self._guard(self._granted, connection, connection)

    def turned_away(self, key: Key) -> None:
        self._guard(self._turned_away, None, key)

    def opened(self, connection: Connection) -> None:
        self._guard(self._opened, connection, connection)

    def settled(self, connection: Connection, results: Sequence[Reply]) -> None:
        self._guard(self._settled, connection, connection, results)

    def failed(self, connection: Connection, fault: Fault) -> None:
        if not self._is_finished:
            self._guard(self._failed, connection, connection, fault)

    def _guard(self, step: Callable[..., None], connection: Connection | None, *args: Any) -> None:
        """A fault of ours ends the attempt and the connection it had, never the connection's or the pool's work."""
        try:
            step(*args)
        except Exception:
            self._broke()
            if connection is not None:
                connection.abort()

    def _granted(self, connection: Connection | None) -> None:
        if connection is not None:
            self._start(connection)
            return
        hop, address = self._candidates[self._position]
        self._dial(self._standing.key(hop, address), hop)

    def _turned_away(self, key: Key) -> None:
        self._pass_over(key)
        self._advance()

    def _opened(self, connection: Connection) -> None:
        self._deliverer.pool.alive(connection.key)
        self._standing.session(self._candidates[self._position][0], connection)
        self._start(connection)

    def _settled(self, connection: Connection, results: Sequence[Reply]) -> None:
        self._record(connection, results)
        if self._pending and connection.is_usable:
            self._start(connection)
            return
        self._deliverer.pool.release(connection)
        if self._put_off and not self._pending:
            self._leave_host()
        if self._pending:
            self._guard(self._advance, None)  # the connection is no longer this attempt's
        else:
            self._finish()

    # From connection to transaction.

    def _start(self, connection: Connection) -> None:
        held_back = self._standing.holds_back(self._candidates[self._position][0], connection)
        if held_back is not None:
            self._last = self._outcome(Result.LATER, "tls", held_back, connection.key, connection)
            self._deliverer.pool.release(connection)
            self._leave_host()
            self._advance()
            return
        extensions = connection.session.extensions
        problem = fitting.unsupported(self._job, extensions, connection.tls.verified, self._deliverer.options.send_8bit_anyway)
        if problem is not None:
            self._deliverer.pool.release(connection)
            if problem is fitting.NEEDS_TLS or self._asked:  # another host may do
                self._never = self._outcome(Result.NEVER, "unsupported", problem, connection.key, connection)
                self._leave_host()
                self._advance()
                return
            self._settle_pending(self._outcome(Result.NEVER, "unsupported", problem, connection.key, connection))
            self._finish()
            return
        message = self._job.message
        pending = self._pending
        needs_utf8 = fitting.needs_utf8(self._job)
        if not extensions.smtputf8 and not needs_utf8:
            foreign = [due for due in pending if not due.target.isascii()]
            if foreign:
                outcome = self._outcome(Result.NEVER, "unsupported", fitting.NEEDS_UTF8, connection.key, connection)
                for due in foreign:
                    self._outcomes.setdefault(due.id, outcome)
                pending = self._pending = [due for due in pending if due.target.isascii()]
                if not pending:
                    self._deliverer.pool.release(connection)
                    self._finish()
                    return
        limit = min(self._deliverer.options.recipients_per_transaction, extensions.rcptmax or 1_000_000)
        batch = self._batch = pending[:limit]
        content = self._content
        try:
            mail = commands.mail(
                self._deliverer.sender(message, batch, self._job.destination),
                extensions,
                size=content.size,
                eightbit=fitting.is_8bit(self._job),
                smtputf8=needs_utf8 or not all(due.target.isascii() for due in batch),
                ret=message.ret,
                envid=message.envid,
                requiretls=self._requires_tls,
            )
            rcpts = [commands.rcpt(due.target, extensions, notify=due.notify, orcpt=due.orcpt or _original(due)) for due in batch]
        except commands.UnsafeValue:
            self._deliverer.log.failure("envelope of message {uid} is damaged", uid=message.uid)
            self._settle_pending(self._outcome(Result.LATER, "content", OUR_FAULT, connection.key, connection))
            self._deliverer.pool.release(connection)
            self._finish()
            return
        connection.send(self, mail, rcpts, Body(content.size, content.data, self._pieces))

    def _pieces(self) -> Iterator[bytes]:
        return self._deliverer.chunks(self._content)

    # From faults to outcomes.

    def _failed(self, connection: Connection, fault: Fault) -> None:
        pool = self._deliverer.pool
        key = connection.key
        kind, phase = fault.kind, fault.phase
        # It had carried mail before this transaction, and nothing of this one was answered.
        is_stale = connection.messages > 1 and kind in (FaultKind.LOST, FaultKind.CLOSING) and phase in (Phase.RSET, Phase.MAIL)
        if is_stale:
            self._advance()
            return
        if not connection.is_ready:
            at_tls = phase in (Phase.STARTTLS, Phase.TLS) and kind in (FaultKind.TLS, FaultKind.LOST, FaultKind.TIMEOUT)
            if at_tls and key.tls is TlsMode.OPPORTUNISTIC:
                self._deliverer.tls.mark_broken(key.host)
                pool.alive(key)
                self._advance()
                return
            if phase in (Phase.BANNER, Phase.EHLO) and kind in (FaultKind.LOST, FaultKind.TIMEOUT, FaultKind.PROTOCOL):
                pool.failed(key, fault.reply)
            else:
                pool.alive(key)
            if connection.tls_result or phase in (Phase.STARTTLS, Phase.TLS):
                self._standing.session(self._candidates[self._position][0], connection, failed=True)
        session = connection.session
        if not session.refused_sender:  # what it says to RCPT after that is about nobody
            refused = {due.id: (due, reply) for due, reply in zip(self._batch, session.results, strict=False) if reply is not None}
            self._pending = [due for due in self._pending if due.id not in refused]
            for due, reply in refused.values():  # one by one before the fault: that stands
                self._answered(due, reply, connection, is_own=True)
        self._batch = []
        if kind in (FaultKind.CONTENT, FaultKind.INTERNAL) or phase in (Phase.CONTENT, Phase.FINAL):
            outcome = self._outcome(Result.LATER, _REASONS[kind], fault.reply, key, connection)
            for due in self._pending:
                self._note(due, outcome._replace(is_doubtful=phase is Phase.FINAL))
            self._finish()
            return
        if kind is FaultKind.TLS and self._requires_tls:
            self._never = self._outcome(Result.NEVER, "unsupported", Reply(550, "5.7.30", fault.reply.text), key, connection)
        elif kind is FaultKind.GREETING and fault.reply.is_permanent:
            self._never = self._outcome(Result.NEVER, "refused", fault.reply, key, connection)
        elif kind is FaultKind.SOURCE:
            self._last = Outcome(Result.LATER, "source", fault.reply)
        else:
            self._last = self._outcome(Result.LATER, _REASONS[kind], fault.reply, key, connection)
        self._leave_host()
        self._advance()


def _original(due: Due) -> str:
    """RFC 3461 5.2.1: an alias leaves its first name to the reports that follow."""
    if due.target == due.recipient or not due.recipient.isascii():
        return ""
    return "rfc822;" + commands.xtext(due.recipient)
