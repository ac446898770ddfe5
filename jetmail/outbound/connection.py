"""One outgoing SMTP connection: the Twisted shell of smtp.client, from dialling to QUIT, for one message after another.

The way to readiness (banner, EHLO, STARTTLS as the key's TLS mode wants it, EHLO again, AUTH) is walked here; then `send` carries one transaction.
Everything is callbacks: a message on a ready connection costs two writes and two reads. Whoever uses the connection (`user`) hears exactly one of
`opened` or `failed` first, then exactly one of `settled` or `failed` per `send`.

Content at hand is written in one go; content in a file is read piece by piece, the next when the last has left (IPullProducer), so memory holds one
piece. A piece that cannot be read, or content whose size is not what was promised, aborts the connection before the final dot: the peer cannot take
a part for the whole.

`deadline` moves when the peer makes progress by whole replies, so one that sends an octet now and then gains nothing; the pool's sweep calls
`expired`. A host marked as unable to do TLS gets clear text at once in mode opportunistic. A password is never said in clear unless the mode is
`none`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, NamedTuple, Protocol

from twisted.internet.error import (
    ConnectBindError,
    ConnectionRefusedError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.interfaces import IHandshakeListener, IPullProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.mail.reply import Reply
from jetmail.outbound.job import Timeouts
from jetmail.outbound.pool import Key, Pool
from jetmail.outbound.route import Credentials
from jetmail.outbound.tls import ClientTls, HostTls, TlsFacts, TlsMode
from jetmail.smtp.client import ClientSession
from jetmail.smtp.phases import Event, Fault, FaultKind, Phase
from jetmail.wire import send

_ABSENT = TlsFacts("", "", False)


class Body(NamedTuple):
    """What to send: `data` at hand, or None and `pieces` that give `size` octets in all."""

    size: int
    data: bytes | None
    pieces: Callable[[], Iterator[bytes]]


class User(Protocol):
    """Who sends a message over a connection."""

    def opened(self, connection: Connection) -> None: ...
    def settled(self, connection: Connection, results: Sequence[Reply]) -> None: ...
    def failed(self, connection: Connection, fault: Fault) -> None: ...


class Surroundings:
    """What all connections share."""

    def __init__(self, pool: Pool, tls: ClientTls, clock: Any, hostname: str, bdat: bool, timeouts: Timeouts) -> None:
        self.pool = pool
        self.tls = tls
        self.clock = clock
        self.hostname = hostname
        self.bdat = bdat
        self.timeouts: dict[Phase, float] = {
            Phase.BANNER: timeouts.banner,
            Phase.EHLO: timeouts.ehlo,
            Phase.HELO: timeouts.ehlo,
            Phase.STARTTLS: timeouts.ehlo,
            Phase.TLS: timeouts.tls,
            Phase.AUTH: timeouts.ehlo,
            Phase.IDLE: inf,
            Phase.RSET: timeouts.rset,
            Phase.MAIL: timeouts.mail,
            Phase.RCPT: timeouts.rcpt,
            Phase.DATA: timeouts.data,
            Phase.CONTENT: timeouts.block,
            Phase.FINAL: timeouts.final,
            Phase.EMPTY: timeouts.final,
            Phase.QUIT: timeouts.quit,
            Phase.CLOSED: timeouts.quit,
        }


@implementer(IHandshakeListener)
class Connection(TwistedProtocol):
    """Made before it is dialled; `user` hears how that went."""

    log = Logger()

    def __init__(self, key: Key, credentials: Credentials | None, around: Surroundings, user: User) -> None:
        self.key = key
        self.user: User | None = user
        self.session = ClientSession((key.origin.hostname if key.origin is not None else "") or around.hostname, around.bdat)
        self.tls = _ABSENT
        self.tls_result = ""  # what a TLS report says of this session (RFC 8460 4.3), once it is ready or has failed
        self.deadline = inf
        self.messages = 0
        self.is_ready = False
        self._credentials = credentials
        self._around = around
        self._handshake: HostTls | None = None
        self._tls_settled = False  # in place, not wanted, or not to be had
        self._body: Body | None = None
        self._feed: _Feed | None = None
        self._answers = 0
        self._gone = False

    @property
    def is_usable(self) -> bool:
        """May carry another message."""
        return self.is_ready and not self._gone and self.session.phase is Phase.IDLE and not self.session.is_over

    # For its user and the pool.

    def send(self, user: User, mail: bytes, rcpts: Sequence[bytes], body: Body) -> None:
        """One transaction, on a usable connection."""
        self.user = user
        self.messages += 1
        self._body = body
        self.session.send(mail, rcpts)
        self._flush()

    def probe(self, user: User, mail: bytes, rcpts: Sequence[bytes]) -> None:
        """Ask about recipients, on a usable connection; the user hears `settled` with None for each that would be taken."""
        self.user = user
        self.messages += 1
        self.session.probe(mail, rcpts)
        self._flush()

    def quit(self) -> None:
        """Leave politely; an unusable connection is only closed."""
        self.user = None
        if self._gone:
            return
        if self.is_usable:
            self.session.quit()
            self._flush()
        else:
            self.session.phase = Phase.CLOSED
            self._close()
        self.deadline = self._around.clock.seconds() + self._around.timeouts[Phase.QUIT]
        self._around.pool.leaving(self)

    def abort(self) -> None:
        """Stop at once; the user hears that we stopped."""
        self._end(Fault(FaultKind.STOPPED, Reply(451, "4.3.2", "this host is closing down"), self.session.phase))

    def not_connected(self, failure: Failure) -> None:
        """Dialling failed."""
        if failure.check(ConnectBindError):
            source = self.key.origin.towards(self.key.address) if self.key.origin is not None else "the address in [delivery]"
            self._end(Fault(FaultKind.SOURCE, Reply(451, "4.3.5", f"mail cannot leave from {source}: {_reason(failure)}"), Phase.BANNER))
        else:
            kind = FaultKind.TIMEOUT if failure.check(TimeoutError, TCPTimedOutError) else FaultKind.LOST
            self._end(Fault(kind, Reply(451, "4.4.1", f"cannot connect: {_reason(failure)}"), Phase.BANNER))
        self._around.pool.lost(self)

    def expired(self) -> None:
        """The deadline has passed."""
        phase = self.session.phase
        if phase is Phase.IDLE and self.user is None:
            self.quit()
        elif phase in (Phase.QUIT, Phase.CLOSED):
            self._abort_transport()
        else:
            self._end(Fault(FaultKind.TIMEOUT, Reply(451, "4.4.2", f"time-out: {_WAITED_FOR.get(phase, 'the peer is silent')}"), phase))

    def content_failed(self, failure: Failure) -> None:
        """The content cannot be read to its end: the peer must not see one."""
        self.log.failure("content of a message cannot be read", failure)
        self._end(Fault(FaultKind.CONTENT, Reply(451, "4.3.0", "the content cannot be read"), self.session.phase))

    # What Twisted calls.

    def connectionMade(self) -> None:
        if self._gone:
            self._abort_transport()
            return
        nodelay = getattr(self.transport, "setTcpNoDelay", None)
        if nodelay is not None:
            nodelay(True)  # the final dot must not wait for the peer's delayed ACK
        self._touch()

    def dataReceived(self, data: bytes) -> None:
        session = self.session
        try:
            event = session.receive(data)
            if event is not None:
                self._on_event(event)
            else:
                out = session.take()
                if out:
                    send(self.transport, out)
            if session.answers != self._answers and not self._gone:
                self._answers = session.answers
                if session.phase is not Phase.IDLE:
                    self._touch()
        except Exception:
            self.log.failure("fault while talking to {host}", host=self.key.host)
            self._end(Fault(FaultKind.INTERNAL, Reply(451, "4.3.0", "internal error"), session.phase))

    def handshakeCompleted(self) -> None:
        if self._handshake is None or self.session.phase is not Phase.TLS:
            return
        self.tls = self._handshake.facts(self.transport.getHandle())  # type: ignore[union-attr]
        self.tls_result = self.tls.result
        if (self.key.tls is TlsMode.VERIFIED or self.key.proof is not None) and not self.tls.verified:
            self._end(self._tls_fault(self.tls.problem))
            return
        self._tls_settled = True
        self.session.tls_started()
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        phase = self.session.phase
        if not self._gone:
            if phase is Phase.TLS:
                problem = self._handshake.chain_problem if self._handshake else ""
                self.tls_result = self._handshake.result if self._handshake else "validation-failure"
                self._end(self._tls_fault(problem or "the handshake failed"))
            else:
                text = f"the connection was lost while waiting: {_WAITED_FOR.get(phase, 'idle')}"
                self._end(Fault(FaultKind.LOST, Reply(451, "4.4.2", text), phase))
        self._around.pool.lost(self)

    # Inside.

    def _on_event(self, event: Event) -> None:
        if event is Event.SETTLED:
            self._stop_feed()
            user, self.user = self.user, None
            self._body = None
            self.deadline = inf
            if user is not None:
                user.settled(self, self.session.results)  # type: ignore[arg-type]
        elif event is Event.GO_AHEAD:
            self._send_content()
        elif event is Event.FAILED:
            assert self.session.fault is not None
            self._end(self.session.fault)
        elif event is Event.GREETED:
            self._greeted()
        elif event is Event.TLS_READY:
            self._handshake = self._around.tls.creator(self.key.host, self.key.tls, self.key.proof)
            self.transport.startTLS(self._handshake)  # type: ignore[union-attr]
        elif event is Event.TLS_REFUSED:
            self._without_tls("STARTTLS was refused")
        elif event is Event.AUTHENTICATED:
            self._open()
        elif event is Event.CLOSED:
            self._close()

    def _greeted(self) -> None:
        mode = self.key.tls
        if self._tls_settled or mode is TlsMode.NONE:
            self._authenticate()
        elif not self.session.extensions.starttls:
            self._without_tls("the peer does not offer STARTTLS")
        elif mode is TlsMode.OPPORTUNISTIC and self._around.tls.is_broken(self.key.host):
            self._without_tls("")
        else:
            self.session.starttls()
            self._flush()

    def _without_tls(self, problem: str) -> None:
        self._tls_settled = True
        self.tls_result = "starttls-not-supported" if problem else "validation-failure"
        if self.key.tls.is_mandatory:
            self._end(self._tls_fault(problem))
        else:
            self._authenticate()

    def _authenticate(self) -> None:
        credentials = self._credentials
        if credentials is None:
            self._open()
        elif not self.tls.version and self.key.tls is not TlsMode.NONE:
            self._end(self._tls_fault("a password is not sent in clear"))
        elif self.session.auth(credentials.username, credentials.password) is Event.FAILED:
            self._on_event(Event.FAILED)
        else:
            self._flush()

    def _open(self) -> None:
        self.is_ready = True
        self.deadline = inf
        user, self.user = self.user, None
        if user is not None:
            user.opened(self)

    def _send_content(self) -> None:
        body = self._body
        assert body is not None
        if body.data is not None:
            self.session.finish(body.data)
            self._flush()
            return
        self._feed = _Feed(self, body)
        self.transport.registerProducer(self._feed, False)  # type: ignore[union-attr]

    def feed(self, octets: bytes, is_last: bool) -> None:
        """A piece of the content, from the file."""
        if is_last:
            self._stop_feed()
            self.session.finish(octets)
        else:
            self.session.feed(octets)
        self._flush()

    def _stop_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stopProducing()
            self.transport.unregisterProducer()  # type: ignore[union-attr]

    def _flush(self) -> None:
        out = self.session.take()
        if out:
            send(self.transport, out)
        self._touch()

    def _touch(self) -> None:
        around = self._around
        self.deadline = around.clock.seconds() + around.timeouts[self.session.phase]

    def _tls_fault(self, problem: str) -> Fault:
        return Fault(FaultKind.TLS, Reply(451, "4.7.5", f"TLS: {problem}"), self.session.phase)

    def _end(self, fault: Fault) -> None:
        """Over and out: the transport goes, the user hears why, once."""
        if self._gone:
            return
        self._gone = True
        self.session.phase = Phase.CLOSED
        self.deadline = inf
        self._around.pool.leaving(self)
        self._stop_feed()
        self._abort_transport()
        user, self.user = self.user, None
        if user is not None:
            user.failed(self, fault)

    def _close(self) -> None:
        self._gone = True
        if self.transport is not None:
            self.transport.loseConnection()

    def _abort_transport(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


@implementer(IPullProducer)
class _Feed:
    """Content in a file, a piece whenever the transport has room."""

    def __init__(self, connection: Connection, body: Body) -> None:
        self._connection = connection
        self._left = body.size
        self._open = body.pieces
        self._pieces: Iterator[bytes] | None = None

    def resumeProducing(self) -> None:
        if self._left < 0:
            return
        try:
            if self._pieces is None:
                self._pieces = self._open()
            piece = next(self._pieces, b"")
            self._left -= len(piece)
            if self._left < 0 or not piece:
                raise ValueError("the content is not as long as its message says")
        except Exception:
            self._left = -1
            self._connection.content_failed(Failure())
            return
        is_last = not self._left
        if is_last:
            self._left = -1
        self._connection.feed(piece, is_last)

    def stopProducing(self) -> None:
        self._left = -1
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()  # a generator holds the file open


class OneConnection(Factory):
    """The factory a dialer wants, for the connection that was made already."""

    noisy = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: object) -> Connection:
        return self._connection


def _reason(failure: Failure) -> str:
    if failure.check(TimeoutError, TCPTimedOutError):
        return "no answer in time"
    if failure.check(ConnectionRefusedError):
        return "connection refused"
    if failure.check(NoRouteError):
        return "no route"
    return failure.getErrorMessage()[:200] or "connection failed"


_WAITED_FOR = {
    Phase.BANNER: "no greeting",
    Phase.EHLO: "no answer to EHLO",
    Phase.HELO: "no answer to HELO",
    Phase.STARTTLS: "no answer to STARTTLS",
    Phase.TLS: "the TLS handshake did not end",
    Phase.AUTH: "no answer to AUTH",
    Phase.RSET: "no answer to RSET",
    Phase.MAIL: "no answer to MAIL",
    Phase.RCPT: "no answer to RCPT",
    Phase.DATA: "no answer to DATA",
    Phase.CONTENT: "the content was not taken",
    Phase.FINAL: "no answer to the content",
    Phase.EMPTY: "no answer to the content",
}
