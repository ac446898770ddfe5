"""Does this recipient exist? Asked of the host that would get the mail: MAIL FROM:<>, RCPT TO, and no content (SMTP callout).

`Callout.ask(address)` gives a Deferred of Existence that never fails and takes at most `seconds`.
- YES: the host would take it. Also when the mailbox is only full (552, 5.2.2, 4.2.2): it exists.
- NO: the host says that there is no such mailbox: 550, 551 or 553 without an enhanced code or with 5.1.x, 5.2.1 or 5.0.0, and 550 5.4.1, which is
  what one large host means by it.
- UNKNOWN: everything else. A 4xx, a refusal of us or of the null sender (5.7.x), nobody there, no route, no time.

Uses the routes, connections, TLS modes and memory of dead addresses of delivery; a connection is kept for as short a while as delivery keeps them.
RFC 5321 3.5.3, 4.5.5; RFC 3463.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import Existence
from jetmail.mail.address import Address
from jetmail.mail.outcome import Outcome
from jetmail.mail.reply import Reply
from jetmail.outbound.attempt import Deliverer
from jetmail.outbound.connection import Connection, OneConnection
from jetmail.outbound.pool import Admission, Key
from jetmail.outbound.route import Hop, Route
from jetmail.outbound.tls import TlsMode
from jetmail.smtp import commands
from jetmail.smtp.phases import Fault, FaultKind, Phase

MAX_ADDRESSES = 4  # tried for one question

_log = Logger()


class Callout:
    """Asks with what `deliverer` delivers with. `seconds` for one answer."""

    def __init__(self, deliverer: Deliverer, seconds: float = 20.0) -> None:
        self.deliverer = deliverer
        self.seconds = seconds

    def ask(self, address: Address) -> Deferred[Existence]:
        """See the module."""
        question = _Question(self, address)
        question.begin()
        return question.done


class _Question:
    """The user of one connection after another until one has answered."""

    def __init__(self, callout: Callout, address: Address) -> None:
        self.done: Deferred[Existence] = Deferred()
        self._deliverer = callout.deliverer
        self._address = address
        self._candidates: list[tuple[Hop, str]] = []
        self._position = 0
        self._connection: Connection | None = None
        self._is_over = False
        self._timer = self._deliverer.clock.callLater(callout.seconds, self._too_late)

    def begin(self) -> None:
        """Find the way."""
        router = self._deliverer.router
        known = router.known(self._address.domain)
        if known is not None:
            self._guard(self._routed, known)
        else:
            router.route(self._address.domain).addCallback(self._routed).addErrback(self._broke)

    def _routed(self, route: Route | Outcome) -> None:
        if isinstance(route, Route):
            self._candidates = [(hop, address) for hop in route.hops for address in hop.addresses][:MAX_ADDRESSES]
        self._advance()

    def _advance(self) -> None:
        pool = self._deliverer.pool
        while not self._is_over and self._position < len(self._candidates):
            hop, address = self._candidates[self._position]
            key = Key(hop.host, address, hop.port, hop.tls, hop.credentials.username if hop.credentials else "")
            connection = pool.take(key)
            if connection is not None:
                self._start(connection)
                return
            if pool.admit(key) is Admission.DIAL:
                self._dial(key, hop)
                return
            self._position += 1  # dead, or busy delivering: a question does not stand in line
        self._finish(Existence.UNKNOWN, "no host could be asked")

    def _dial(self, key: Key, hop: Hop) -> None:
        deliverer = self._deliverer
        options = deliverer.options
        self._connection = connection = Connection(key, hop.credentials, deliverer.around, self)
        deliverer.pool.add(connection)
        source = options.source6 if ":" in key.address else options.source
        dialling = deliverer.dialer.connect(key.address, key.port, OneConnection(connection), options.timeouts.connect, source)
        dialling.addErrback(connection.not_connected).addErrback(self._broke)

    def _start(self, connection: Connection) -> None:
        self._connection = connection
        extensions = connection.session.extensions
        if not self._address.is_ascii and not extensions.smtputf8:
            self._deliverer.pool.release(connection)
            self._finish(Existence.UNKNOWN, "the host does not know SMTPUTF8")
            return
        mail = commands.mail("", extensions, smtputf8=not self._address.is_ascii)
        connection.probe(self, mail, [commands.rcpt(str(self._address), extensions)])

    # what the connection says

    def opened(self, connection: Connection) -> None:
        """It is ready."""
        self._deliverer.pool.alive(connection.key)
        self._guard(self._start, connection)

    def settled(self, connection: Connection, results: Sequence[Reply | None]) -> None:
        """The host has answered."""
        is_refused_sender = connection.session.refused_sender
        self._deliverer.pool.release(connection)
        reply = results[0]
        existence = Existence.UNKNOWN if is_refused_sender else read(reply)
        self._finish(existence, str(reply) if reply is not None else "accepted")

    def failed(self, connection: Connection, fault: Fault) -> None:
        """The connection came to nothing, or to its end."""
        if not self._is_over:
            self._guard(self._failed, connection, fault)

    def _failed(self, connection: Connection, fault: Fault) -> None:
        pool, key = self._deliverer.pool, connection.key
        if connection.messages > 1 and fault.kind in (FaultKind.LOST, FaultKind.CLOSING) and fault.phase in (Phase.RSET, Phase.MAIL):
            self._advance()  # a kept connection that had ended: nobody's fault, once more
            return
        if not connection.is_ready:
            at_tls = fault.phase in (Phase.STARTTLS, Phase.TLS) and fault.kind in (FaultKind.TLS, FaultKind.LOST, FaultKind.TIMEOUT)
            if at_tls and key.tls is TlsMode.OPPORTUNISTIC:
                self._deliverer.tls.mark_broken(key.host)
                pool.alive(key)
                self._advance()
                return
            if fault.phase in (Phase.BANNER, Phase.EHLO) and fault.kind in (FaultKind.LOST, FaultKind.TIMEOUT, FaultKind.PROTOCOL):
                pool.failed(key, fault.reply)
            else:
                pool.alive(key)
        self._position += 1
        self._advance()

    # the end

    def _too_late(self) -> None:
        connection = self._connection
        self._finish(Existence.UNKNOWN, "no answer in time")
        if connection is not None:
            connection.abort()

    def _finish(self, existence: Existence, why: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._connection = None
        if self._timer.active():
            self._timer.cancel()
        _log.info("callout: {existence}", existence=existence.value, recipient=str(self._address), why=why)
        self.done.callback(existence)

    def _guard(self, step: Callable[..., None], *args: Any) -> None:
        try:
            step(*args)
        except Exception:
            self._broke()

    def _broke(self, failure: Failure | None = None) -> None:
        _log.failure("fault while asking about {recipient}", failure, recipient=str(self._address))
        connection = self._connection
        self._finish(Existence.UNKNOWN, "a fault of ours")
        if connection is not None:
            connection.abort()


def read(reply: Reply | None) -> Existence:
    """What a host's answer to RCPT says about the recipient; None is that it would be taken."""
    if reply is None or reply.code < 300:
        return Existence.YES
    code, enhanced = reply.code, reply.enhanced
    if enhanced in ("4.2.2", "5.2.2") or (code == 552 and not enhanced):
        return Existence.YES
    is_about_mailbox = not enhanced or enhanced in ("5.0.0", "5.2.1") or enhanced.startswith("5.1.") or (code, enhanced) == (550, "5.4.1")
    if code in (550, 551, 553) and is_about_mailbox:
        return Existence.NO
    return Existence.UNKNOWN
