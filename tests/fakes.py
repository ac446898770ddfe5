"""Stand-ins for what is outside: DNS, randomness, TCP peers. No sockets, no clock but the one given; everything is done when the call, or `pump`,
returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, TimeoutError
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IDialer, IEntropy, IReceiver, IResolver
from jetmail.mail.reply import Reply


@implementer(IResolver)
class FakeResolver:
    """`zone`: {(name, rdtype): records, or an AnswerKind}. What is not there: NODATA when the name has another type, else NXDOMAIN. `asked` in
    order. `signed`: names whose answers are authentic."""

    def __init__(self, zone: Mapping[tuple[str, str], Any] | None = None, signed: Collection[str] = ()) -> None:
        self.signed = signed
        self.zone = dict(zone or {})
        self.asked: list[tuple[str, str]] = []

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        self.asked.append((name, rdtype))
        found = self.zone.get((name, rdtype))
        if isinstance(found, AnswerKind):
            return succeed(Answer(found))
        if found is not None:
            return succeed(Answer(AnswerKind.FOUND, tuple(found), 300, name in self.signed))
        known = any(owner == name for owner, _ in self.zone)
        return succeed(Answer(AnswerKind.NODATA if known else AnswerKind.NXDOMAIN, authentic=name in self.signed))


@implementer(IEntropy)
class FakeEntropy:
    """Gives `numbers` round and round."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = deque(numbers or (0.5,))

    def token(self, octets: int) -> bytes:
        return bytes(int(self.uniform() * 256) for _ in range(octets))

    def uniform(self) -> float:
        self._numbers.rotate(-1)
        return self._numbers[-1]


@implementer(ITransport)
class MemoryTransport:
    """One end of a connection in memory. What is written waits until `pump` carries it to `other`. TLS is the real one. `window` None: the peer
    reads; a number: so many octets are taken from a producer and then it waits."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.other: MemoryTransport
        self.queue: deque[bytes] = deque()
        self.writes: list[bytes] = []  # as the protocol wrote them, in clear
        self.is_closing = False
        self.is_lost = False
        self.is_aborted = False
        self.producer: Any = None
        self.window: int | None = None
        self.largest_queue = 0
        self._tls: TLSMemoryBIOProtocol | None = None
        self._raw = _Raw(self)

    def write(self, data: bytes) -> None:
        if self.is_lost or self.is_closing:
            return
        self.writes.append(data)
        if self._tls is not None:
            self._tls.write(data)
        else:
            self._raw.write(data)

    def writeSequence(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        self.is_closing = True

    def abortConnection(self) -> None:
        self.queue.clear()
        self.is_aborted = self.is_closing = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:  # one that streams writes when it likes
            self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> None:
        return None

    def getHost(self) -> None:
        return None

    @property
    def disconnecting(self) -> bool:
        return self.is_closing

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed here."""

    def pauseProducing(self) -> None:
        """Who asks for a pause must bear what comes all the same."""

    resumeProducing = pauseProducing

    def getHandle(self) -> Any:
        return self._tls.getHandle() if self._tls else None

    def startTLS(self, context: Any, is_client: bool = True) -> None:
        self._tls = TLSMemoryBIOProtocol(TLSMemoryBIOFactory(context, is_client, None, clock=Clock()), self.protocol, False)
        self._tls.makeConnection(self._raw)

    def arrive(self, data: bytes) -> None:
        (self._tls or self.protocol).dataReceived(data)

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            (self._tls or self.protocol).connectionLost(Failure(ConnectionDone()))

    def step(self) -> bool:
        """Carry one piece, or let the producer go on, or close. True when something happened."""
        if self.is_lost:
            return False
        if self.queue:
            data = self.queue.popleft()
            if not self.other.is_lost:
                self.other.arrive(data)
            return True
        if self.producer is not None and not self.is_closing and (self.window is None or self.window > 0):
            self.producer.resumeProducing()
            size = sum(map(len, self.queue))
            self.largest_queue = max(self.largest_queue, size)
            if self.window is not None:
                self.window -= size
            return True
        if self.is_closing:
            self.lose()
            self.other.lose()
            return True
        return False


class _Raw:
    """What is below TLS."""

    disconnecting = False

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        if data:
            self._transport.queue.append(data)

    def writeSequence(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        self._transport.is_closing = True

    def abortConnection(self) -> None:
        self._transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        return None

    def unregisterProducer(self) -> None:
        return None

    def getHandle(self) -> None:
        return None


STALL = None  # as an answer: say nothing
CLOSE = b""  # as an answer: close the connection


class FakePeer(Protocol):
    """An SMTP server with a script. `answers`: {verb or 'banner', 'dot': octets, STALL, CLOSE, a list of these used in turn (the last for ever), or
    a callable of the line}. Keeps `lines` (commands as received) and `messages` (contents, unstuffed). `tls`: a server context factory for
    STARTTLS."""

    DEFAULTS: Mapping[str, bytes] = {
        "banner": b"220 peer.test ESMTP\r\n",
        "EHLO": b"250-peer.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250 DSN\r\n",
        "HELO": b"250 peer.test\r\n",
        "STARTTLS": b"220 2.0.0 go\r\n",
        "MAIL": b"250 2.1.0 ok\r\n",
        "RCPT": b"250 2.1.5 ok\r\n",
        "DATA": b"354 go\r\n",
        "dot": b"250 2.0.0 taken\r\n",
        "RSET": b"250 2.0.0 ok\r\n",
        "QUIT": b"221 2.0.0 bye\r\n",
        "AUTH": b"235 2.7.0 ok\r\n",
    }

    def __init__(self, answers: Mapping[str, Any] | None = None, tls: Any = None, behind_starttls: bytes = b"") -> None:
        self.answers: dict[str, Any] = {**self.DEFAULTS, **(answers or {})}
        self.lines: list[str] = []
        self.messages: list[bytes] = []
        self.tls = tls
        self._behind = behind_starttls
        self._buffer = b""
        self._content: list[bytes] | None = None
        self._is_deaf = False

    @property
    def verbs(self) -> list[str]:
        """The verbs of `lines`."""
        return [line.split(" ")[0].split(":")[0] for line in self.lines]

    def connectionMade(self) -> None:
        self._answer("banner", "")

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n" in self._buffer and not self._is_deaf:
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            if self._content is None:
                self._command(line.decode())
            elif line == b".":
                self.messages.append(b"".join(self._content))
                self._content = None
                self._answer("dot", "")
            else:
                self._content.append(line.removeprefix(b".") + b"\r\n")

    def _command(self, line: str) -> None:
        self.lines.append(line)
        verb = line.split(" ")[0].upper()
        reply = self._answer(verb, line)
        if verb == "DATA" and reply and reply.startswith(b"354"):
            self._content = []
        elif verb == "STARTTLS" and reply and reply.startswith(b"220"):
            if self.tls is not None:
                self.transport.startTLS(self.tls, False)
            else:
                self._is_deaf = True  # what comes now is a handshake, whose random octets may look like lines
        elif verb == "QUIT" and reply:
            self.transport.loseConnection()

    def _answer(self, what: str, line: str) -> bytes | None:
        found = self.answers.get(what, b"502 5.5.1 what\r\n")
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if callable(found):
            found = found(line)
        if found is STALL:
            return None
        if found == CLOSE:
            self.transport.loseConnection()
            return None
        self.transport.write(found + self._behind if what == "STARTTLS" else found)
        return found


@implementer(IDialer)
class FakeDialer:
    """`peers`: {(address, port): a callable that makes a Protocol, an Exception, or None for an address that never answers}. `dialled` in order,
    `made` the peers. Nothing moves until `pump`."""

    def __init__(self, clock: Any, peers: Mapping[tuple[str, int], Callable[[], Any] | Exception | None] | None = None) -> None:
        self.clock = clock
        self.peers = dict(peers or {})
        self.dialled: list[tuple[str, int]] = []
        self.sources: list[str] = []
        self.made: list[Any] = []
        self.transports: list[MemoryTransport] = []  # the dialling ends

    def connect(self, address: str, port: int, factory: Factory, timeout: float, source: str = "") -> Deferred[Any]:
        self.dialled.append((address, port))
        self.sources.append(source)
        peer = self.peers[address, port]
        if peer is None:
            done: Deferred[Any] = Deferred()
            self.clock.callLater(timeout, done.errback, TimeoutError())
            return done
        if isinstance(peer, Exception):
            return fail(peer)
        protocol = factory.buildProtocol(None)
        server = peer()
        near, far = MemoryTransport(protocol), MemoryTransport(server)
        near.other, far.other = far, near
        self.made.append(server)
        self.transports.append(near)
        protocol.makeConnection(near)
        server.makeConnection(far)
        return succeed(protocol)

    def pump(self) -> None:
        """Carry octets until nothing moves."""
        moved = True
        while moved:
            moved = False
            for transport in list(self.transports):
                moved = transport.other.step() or transport.step() or moved


@implementer(IReceiver)
class RecordingReceiver:
    """Answers everything with 250 and keeps what it was asked in `asked`, the contents in `messages`. `answers`: {method: a Reply, a Deferred, an
    Exception to raise, a list of these used in turn, or a callable of the question's arguments}."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[Any, ...]] = []
        self.messages: list[bytes] = []
        self._content = b""

    @property
    def methods(self) -> list[str]:
        """The questions by name, in order."""
        return [question[0] for question in self.asked]

    def _ask(self, method: str, *arguments: Any) -> Any:
        self.asked.append((method, *arguments))
        answer = self.answers.get(method, Reply(250, "2.0.0", "OK"))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(*arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def connected(self) -> Any:
        return self._ask("connected")

    def helo(self, name: str, extended: bool) -> Any:
        return self._ask("helo", name, extended)

    def mail(self, sender: Any) -> Any:
        return self._ask("mail", sender)

    def rcpt(self, recipient: Any) -> Any:
        return self._ask("rcpt", recipient)

    def data(self) -> Any:
        self._content = b""
        return self._ask("data")

    def chunk(self, octets: bytes) -> Any:
        self._content += octets
        answer = self._ask("chunk", octets)
        return answer if "chunk" in self.answers else None

    def end(self) -> Any:
        self.messages.append(self._content)
        return self._ask("end")

    def abort(self, refusal: Reply | None = None) -> Any:
        return self._ask("abort") and None

    def auth(self, mechanism: str, username: str, password: str) -> Any:
        return self._ask("auth", mechanism, username, password)

    def idle(self) -> Any:
        return self.answers.get("idle")

    def tls_started(self, version: str, cipher: str) -> Any:
        return self._ask("tls_started", version, cipher) and None

    def lost(self) -> Any:
        return self._ask("lost") and None
