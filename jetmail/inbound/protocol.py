"""One SMTP connection: moves octets between a transport, an smtp.server.Session and an IReceiver. Knows sockets and nothing of mail.

A receiver's answer is a Reply or a Deferred of one. Answers that are there at once are worked off in a loop, never by recursion and without a
Deferred; while one is awaited, at most REST_AT octets and a segment are read, and a client that does not read our replies is not heard either. A
receiver that raises, or whose Deferred fails, is logged with a reference and the client told `451 4.3.0 ... ref <reference>`: a fault of ours never
refuses mail for good.

The stages of a connection, each with its deadline (see inbound.options): the PROXY header where one is due, the TLS handshake where it comes first or
STARTTLS asked for it, the delay before the banner, the conversation, and the time the peer gets to close after our last reply (RFC 5321 4.1.1.10;
what it still sends is thrown away, because closing on unread octets would reset the connection and lose that reply).

Attributes are slots and there are no timers or closures: an idle connection costs one object, its Session and its receiver.
"""

from __future__ import annotations

from enum import IntEnum
from sys import intern
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.inbound import proxy
from jetmail.inbound.peer import Peer, plain
from jetmail.mail.reply import Reply
from jetmail.smtp import answers
from jetmail.smtp.events import CLOSE, CONNECTED, STARTTLS, Abort, Chunk, Event, Idle
from jetmail.smtp.server import Session
from jetmail.wire import close, send

if TYPE_CHECKING:
    from jetmail.inbound.listener import SmtpFactory

IN_VAIN = Reply(421, "4.7.0", "Too many sign-ins from your address that came to nothing, try again later")
EARLY_TALKER = Reply(554, "5.5.1", "You spoke before the greeting")
_NOT_YET: Any = object()
_NOTICES = frozenset((Chunk, Abort, Idle))


class Stage(IntEnum):
    """What the connection is doing."""

    PROXY = 0
    HANDSHAKE = 1
    DELAY = 2
    TALK = 3
    CLOSING = 4
    LOST = 5


@implementer(IProtocol, IHandshakeListener, IPushProducer)
class SmtpProtocol:
    """See the module. Twisted calls the camelCase methods."""

    __slots__ = (
        "__weakref__",
        "_admitted",
        "_answer",
        "_deadline",
        "_delay",
        "_driving",
        "_factory",
        "_header",
        "_is_blocked",
        "_is_resting",
        "_messages",
        "_octets",
        "_receiver",
        "_session",
        "_since",
        "_stage",
        "peer",
        "transport",
    )

    def __init__(self, factory: SmtpFactory) -> None:
        self._factory = factory
        self.transport: Any = None
        self.peer: Peer | None = None
        self._stage = Stage.TALK
        self._session: Session | None = None
        self._receiver: Any = None
        self._admitted = False
        self._header = b""  # of PROXY, so far
        self._delay: IDelayedCall | None = None
        # Deadlines, on the clock of Connections: of the present step, and of the message (since when, octets read since).
        self._deadline = 0.0
        self._since = 0.0
        self._octets = 0
        self._messages = 0
        # The loop in _drive: whether it runs, and the answer of a Deferred that fired within it.
        self._driving = False
        self._answer: Any = None
        # Why we do not read: too much input waits for an answer; the client does not read.
        self._is_resting = False
        self._is_blocked = False

    # The transport's side.

    def makeConnection(self, transport: Any) -> None:
        """The connection is there."""
        self.transport = transport
        connections = self._factory.connections
        connections.add(self)
        self._since = connections.now
        # Answers to a pipelined batch may go out in several writes: Nagle's algorithm would hold the second back for a delayed ACK.
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        there = transport.getPeer()
        address = plain(getattr(there, "host", ""))
        options = self._factory.options
        self.peer = Peer(address, getattr(there, "port", 0), options.name, options.kind)
        if address in self._factory.proxies:
            self._enter(Stage.PROXY, connections.options.tls_timeout)
        else:
            self._identified(self.peer, b"")

    def connectionMade(self) -> None:
        """Twisted's default makeConnection calls this; ours does all there is to do."""

    def dataReceived(self, data: bytes) -> None:
        """Octets came in."""
        stage = self._stage
        if stage is Stage.TALK:
            session = self._session
            if session is None:
                return
            self._octets += len(data)
            event = session.receive(data)
            if event is not None:
                self._drive(event)
            elif session.is_waiting:
                if not session.wants_more and not self._is_resting:
                    self._is_resting = True
                    self.transport.pauseProducing()
            else:
                self._flush()
        elif stage is Stage.CLOSING:
            self._octets += len(data)
            if self._octets > self._factory.connections.options.close_octets:
                self.abort()
        elif stage is Stage.PROXY:
            self._read_header(data)
        elif stage is Stage.DELAY:
            self._say_and_close(EARLY_TALKER)

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        if self._stage is not Stage.HANDSHAKE:
            return
        self._enter(Stage.TALK, self._factory.connections.options.idle_timeout)
        handle = self.transport.getHandle()
        # The names are few, and kept as long as the connection is.
        self._notice("tls_started", intern(handle.get_protocol_version_name()), intern(handle.get_cipher_name() or ""))
        if self._session is None:
            self._greet()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        stage, self._stage = self._stage, Stage.LOST
        if stage is Stage.HANDSHAKE:
            self._factory.log.info("TLS handshake failed", peer=self.peer and self.peer.address, problem=reason.getErrorMessage())
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._session is not None and self._session.in_transaction:
            self._notice("abort")
        self._notice("lost")
        self._receiver = None
        self._factory.connections.remove(self)
        if self._admitted and self.peer is not None:
            self._admitted = False
            self._factory.connections.dismiss(self.peer.address)

    def pauseProducing(self) -> None:
        """The client does not read our replies: do not hear it either."""
        self._is_blocked = True
        if not self._is_resting:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It reads again."""
        self._is_blocked = False
        if not self._is_resting:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """connectionLost follows."""

    # The side of Connections.

    def is_overdue(self, now: float) -> bool:
        """A deadline has passed. While we owe an answer, only our own counts."""
        if now > self._deadline:
            return True
        if self._stage is not Stage.TALK or self._session is None or self._session.is_waiting:
            return False
        options = self._factory.connections.options
        return now - self._since > options.message_timeout + self._octets / options.min_rate

    def expire(self) -> None:
        """Too late: say so where the protocol lets us."""
        session = self._session
        if self._stage is not Stage.TALK or session is None or session.is_waiting:
            if session is not None and session.is_waiting:
                self._factory.log.error("receiver did not answer in time", peer=self.peer and self.peer.address)
            self.abort()
            return
        event = session.hang_up(answers.TIMEOUT)
        if event is not None:
            self._drive(event)

    def drain(self) -> None:
        """The service stops."""
        if self._stage is Stage.TALK and self._session is not None:
            event = self._session.drain()
            if event is not None:
                self._drive(event)
        elif self._stage is Stage.DELAY:
            self._say_and_close(answers.SHUTTING_DOWN)
        elif self._stage < Stage.TALK:
            self.abort()

    def abort(self) -> None:
        """Away with it."""
        if self._stage is not Stage.LOST:
            self._stage = Stage.CLOSING
            self.transport.abortConnection()

    # Before the conversation.

    def _enter(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self._deadline = self._factory.connections.now + seconds

    def _read_header(self, data: bytes) -> None:
        self._header += data
        try:
            found = proxy.parse(self._header)
        except proxy.ProxyError as error:
            self._factory.log.warn("PROXY header refused", peer=self.peer and self.peer.address, problem=str(error))
            self.abort()
            return
        if found is None or self.peer is None:
            return
        origin, used = found
        rest, self._header = self._header[used:], b""
        peer = self.peer
        if origin is not None:
            peer = Peer(plain(origin.address), origin.port, peer.listener, peer.kind, proxy=peer.address)
        self._identified(peer, rest)

    def _identified(self, peer: Peer, rest: bytes) -> None:
        """It is known who calls; `rest` came behind the PROXY header."""
        self.peer = peer
        factory = self._factory
        refusal = factory.connections.admit(peer.address)
        if refusal is not None:
            factory.log.debug("connection refused", peer=peer.address, reply=str(refusal))
            self._say_and_close(refusal)
            return
        self._admitted = True
        if not factory.is_welcome(peer.address):
            factory.log.debug("connection refused", peer=peer.address, reply=str(IN_VAIN))
            self._say_and_close(IN_VAIN)
            return
        try:
            self._receiver = factory.make_receiver(peer)
        except Exception:
            self._say_and_close(self._fault(Failure(), CONNECTED))
            return
        if factory.options.kind == "submissions":
            self._start_tls()
            if rest:
                # The ClientHello came with the header. `protocol` is where the transport delivers from now on: the TLS layer.
                self.transport.protocol.dataReceived(rest)
            return
        self._greet()
        if rest:
            self.dataReceived(rest)

    def _greet(self) -> None:
        delay = self._factory.options.greeting_delay
        if delay > 0:
            self._enter(Stage.DELAY, delay + self._factory.connections.options.idle_timeout)
            self._delay = self._factory.connections.clock.callLater(delay, self._talk)
        else:
            self._talk()

    def _talk(self) -> None:
        self._delay = None
        self._enter(Stage.TALK, self._factory.connections.options.idle_timeout)
        self._session = Session(self._factory.session_options)
        self._drive(self._session.start())

    def _start_tls(self) -> None:
        self._enter(Stage.HANDSHAKE, self._factory.connections.options.tls_timeout)
        self._factory.tls.start(self.transport)  # type: ignore[union-attr]  # asked for only where there is a certificate

    # The conversation.

    def _drive(self, event: Event | None) -> None:
        """Ask until an answer must be awaited or octets are needed."""
        session = self._session
        if session is None:
            return
        self._driving = True
        while event is not None:
            if event is STARTTLS:
                self._flush()
                self._start_tls()
                event = session.reply(None)
                continue
            if event is CLOSE:
                self._driving = False
                self._flush()
                self._close(abruptly=session.is_abrupt)
                return
            try:
                answer = event.ask(self._receiver)
            except Exception:
                answer = self._fault(Failure(), event)
            if type(answer) is not Reply and answer is not None and isinstance(answer, Deferred):
                self._answer = _NOT_YET
                answer.addBoth(self._answered, event)
                if self._answer is _NOT_YET:
                    break
                answer = self._answer
            event = session.reply(answer if type(answer) is Reply or type(event) in _NOTICES else self._no_reply(event))
        self._driving = False
        self._flush()
        options = self._factory.connections.options
        if session.is_waiting:
            self._deadline = self._factory.connections.now + options.answer_timeout
        elif self._is_resting and self._stage is Stage.TALK:
            self._is_resting = False
            if not self._is_blocked:
                self.transport.resumeProducing()

    def _answered(self, answer: Any, event: Event) -> None:
        """An awaited answer is there."""
        if isinstance(answer, Failure):
            answer = self._fault(answer, event)
        if self._driving:
            self._answer = answer
        elif self._stage is Stage.TALK and self._session is not None:
            self._drive(self._session.reply(answer if type(answer) is Reply or type(event) in _NOTICES else self._no_reply(event)))

    def _no_reply(self, event: Event) -> Reply:
        return self._fault(Failure(TypeError("a question was not answered with a Reply")), event)

    def _flush(self) -> None:
        """Write what there is to say, and set the deadline for what we expect next."""
        session = self._session
        if session is None or self._stage is Stage.LOST:
            return
        out = session.take()
        connections = self._factory.connections
        if session.in_content:
            self._deadline = connections.now + connections.options.data_timeout
        elif out:
            # Only a whole command moves the deadline: octets that drip in do not.
            self._deadline = connections.now + connections.options.idle_timeout
        if session.messages != self._messages:
            self._messages = session.messages
            self._since = connections.now
            self._octets = 0
        if out:
            send(self.transport, out)

    def _fault(self, failure: Failure, event: Event) -> Reply:
        """A part of ours failed: log it once, tell the peer a reference and nothing else."""
        reference = self._factory.make_reference()
        self._factory.log.failure(
            "receiver failed", failure, reference=reference, question=type(event).__name__, peer=self.peer and self.peer.address
        )
        code = 421 if event is CONNECTED else 451  # RFC 5321 4.3.2: a greeting is 220, 421, 521 or 554
        return Reply(code, "4.3.0", f"Internal error, try again later, ref {reference}")

    def _notice(self, method: str, *arguments: str) -> None:
        """Tell the receiver something it has no say in."""
        if self._receiver is None:
            return
        try:
            answer = getattr(self._receiver, method)(*arguments)
        except Exception:
            self._factory.log.failure("receiver failed", Failure(), question=method)
            return
        if isinstance(answer, Deferred):
            answer.addErrback(self._notice_failed, method)

    def _notice_failed(self, failure: Failure, method: str) -> None:
        self._factory.log.failure("receiver failed", failure, question=method)

    # The end.

    def _say_and_close(self, reply: Reply) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._factory.options.kind != "submissions" or self._stage is Stage.DELAY:
            send(self.transport, reply.wire)  # before TLS there is nobody who could read it
        self._close(abruptly=reply is EARLY_TALKER)

    def _close(self, abruptly: bool) -> None:
        """Our last reply is written. `abruptly`: the peer may be sending still."""
        if self._stage is Stage.LOST:
            return
        self._enter(Stage.CLOSING, self._factory.connections.options.close_timeout)
        self._octets = 0
        transport = self.transport
        transport.unregisterProducer()
        if self._is_resting or self._is_blocked:
            transport.resumeProducing()
        if abruptly and not getattr(transport, "TLS", False):
            transport.loseWriteConnection()
        else:
            close(transport)
