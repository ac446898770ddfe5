"""One message through the whole receiving side, outside the process and without a trace: what `jetmail scan` runs.

The same Receiver, chain, policies and weights as in the running process, over the same store, which is read and never written: what would have been
stored is looked at and dropped. Rules that wait get a reactor of their own for as long as it takes; each has its time-out, so it ends.

Every rule is timed by a wrapper around its `judge`, waiting included; every stage by the clock around its asking.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail import host, wiring
from jetmail.actions.findings import Explained, explain
from jetmail.config import Config
from jetmail.dns import Resolver
from jetmail.inbound import acceptance
from jetmail.inbound.contacts import Contacts
from jetmail.inbound.peer import Peer
from jetmail.inbound.policies import Known, PolicyBook
from jetmail.inbound.services import ReceiverOptions, ReceiverServices
from jetmail.inbound.transaction import Receiver
from jetmail.interfaces import Answer, AnswerKind, IDatabase, ILogin, IQueueDoor, IResolver
from jetmail.jobs.learning import Learner
from jetmail.mail.address import Address
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply
from jetmail.offload import SystemEntropy, ThreadExecutor
from jetmail.outbound.dialer import Dialer
from jetmail.rules import registry, symbols
from jetmail.rules.chain import Answer as Said
from jetmail.rules.chain import Chain, Judge
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DomainState, Policy, RecipientState
from jetmail.rules.services import RuleServices
from jetmail.rules.settlement import rule_for, settle
from jetmail.rules.verdict import Opinion, Stage
from jetmail.spool.files import MemoryStore
from jetmail.store.database import InlineDatabase
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic.messages import Accepted, NewMessage

SOMEBODY = Address("somebody", "scan.invalid")  # who gets it when no recipient is named: at a domain without settings of its own (RFC 6761)
UID = "0" * 20
PIECE = 65_536

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the message is said to come with. `address` '': a message without a client, like a file."""

    address: str = ""
    helo: str = "scan.invalid"
    sender: Address | None = None
    recipients: tuple[Address, ...] = (SOMEBODY,)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of it for one recipient. `action` in the words of rules.verdict; `reply` what would be said if this were the only one."""

    recipient: str
    action: str
    reason: str
    score: float
    reply: str
    findings: tuple[Explained, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a rule took for this message, in how many calls; waiting included."""

    stage: str
    rule: str
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Scanned:
    """`reply` is the answer to the message as a whole (or to what ended it earlier), `headers` what rules would add."""

    reply: str
    score: float
    fates: tuple[Fate, ...]
    findings: tuple[Explained, ...]
    headers: tuple[str, ...]
    rules: tuple[Timing, ...]
    stages: tuple[Timing, ...]


class _Timed:
    """A rule with a clock on it."""

    def __init__(self, stage: Stage, rule: Any, seconds: Callable[[], float]) -> None:
        self._stage = stage
        self._rule = rule
        self._seconds = seconds
        self.calls = 0
        self.spent = 0.0

    def judge(self, facts: Facts, policy: Policy) -> Any:
        """The rule's own answer."""
        start = self._seconds()
        self.calls += 1
        try:
            verdict = self._rule.judge(facts, policy)
        except Exception:
            self.spent += self._seconds() - start
            raise
        if inspect.isawaitable(verdict):
            waiting = verdict if isinstance(verdict, Deferred) else Deferred.fromCoroutine(_awaited(verdict))
            return waiting.addBoth(self._done, start)
        self.spent += self._seconds() - start
        return verdict

    def timing(self) -> Timing:
        """What it came to."""
        return Timing(self._stage.name.lower(), self._rule.name, self.calls, self.spent)

    def _done(self, result: T, start: float) -> T:
        self.spent += self._seconds() - start
        return result


class _Watched(Judge):
    """A judge that remembers what was asked and answered."""

    def __init__(self, chain: Chain, clock: IReactorTime, seconds: Callable[[], float]) -> None:
        super().__init__(chain, clock)
        self._seconds = seconds
        self.said: list[tuple[Stage, Facts, Said]] = []
        self.spent: dict[Stage, tuple[int, float]] = {}

    def ask(self, stage: Stage, facts: Facts, policies: Sequence[Policy], appliance: Policy) -> Said | Deferred[Said]:
        """As Judge.ask."""
        start = self._seconds()
        answer = super().ask(stage, facts, policies, appliance)
        if isinstance(answer, Deferred):
            return answer.addCallback(self._answered, stage, facts, start)
        return self._answered(answer, stage, facts, start)

    def _answered(self, answer: Said, stage: Stage, facts: Facts, start: float) -> Said:
        calls, spent = self.spent.get(stage, (0, 0.0))
        self.spent[stage] = calls + 1, spent + self._seconds() - start
        self.said.append((stage, facts, answer))
        return answer


class _Book(PolicyBook):
    """The directory's policies, and for nobody in particular the appliance's own."""

    def recipient(self, address: Address) -> Known:
        """As PolicyBook.recipient."""
        if address == SOMEBODY:
            return Known(replace(self.appliance(), domain=SOMEBODY.domain, state=DomainState.ACTIVE, recipient=RecipientState.KNOWN), (address,))
        return super().recipient(address)


@implementer(IDatabase)
class _ReadOnly:
    """The store as it is. What would be written is dropped; a message that would be stored is said to be."""

    def __init__(self, db: InlineDatabase) -> None:
        self._db = db

    def run(self, fn: Any, *args: Any) -> Deferred[Any]:
        """Nothing is written."""
        news = [each for arg in args for each in (arg if isinstance(arg, list) else [arg]) if isinstance(each, NewMessage)]
        stored = [Accepted(0, new.uid, (), None) for new in news]  # type: ignore[arg-type]  # without deliveries nobody asks for facts
        return succeed(stored if any(isinstance(arg, list) for arg in args) else stored[0] if stored else None)

    def read(self, fn: Any, *args: Any) -> Any:
        """As it is."""
        return self._db.read(fn, *args)

    def search(self, fn: Any, *args: Any) -> Deferred[Any]:
        """As it is."""
        return self._db.search(fn, *args)


@implementer(IQueueDoor)
class _NoQueue:
    """Takes nothing."""

    def reserve(self, count: int, destinations: Collection[str] = ()) -> bool:
        """Never: so nothing is claimed."""
        return False

    def enqueued(self, message: Any, content: Any) -> None:
        """Nothing is."""

    def trouble(self, destination: str) -> tuple[str, str]:
        """Nothing waits for anything."""
        return "", ""

    def cancel(self, count: int) -> None:
        """Nothing was reserved."""

    def wake(self) -> None:
        """Nothing waits."""


@implementer(ILogin)
class _NoLogin:
    """A file does not log in."""

    def authenticate(self, username: str, password: str, address: str) -> Deferred[Reply]:
        """Never asked."""
        return succeed(Reply(535, "", "Authentication failed"))


@implementer(IResolver)
class _NoResolver:
    """Says of every name that it cannot tell."""

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        """SERVFAIL."""
        return succeed(Answer(AnswerKind.SERVFAIL))


def scan(config: Config, db: InlineDatabase, octets: bytes, envelope: Envelope, *, asks_dns: bool = True) -> Scanned:
    """Judge a message (CRLF line ends). Raises ConfigError for a chain or weights that make no sense, StoreError."""
    return alone(lambda reactor: _scan(config, db, octets, envelope, asks_dns, reactor))


def alone(fn: Callable[[Any], Awaitable[T]]) -> T:
    """Run `fn(reactor)` with a reactor that exists for that alone. Raises what it raises; KeyboardInterrupt when somebody ended it."""
    reactor = SelectReactor()
    results: list[Any] = []

    def begin() -> None:
        Deferred.fromCoroutine(_awaited(fn(reactor))).addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        raise KeyboardInterrupt
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result


@dataclass(frozen=True, slots=True)
class House:
    """The receiving side with a clock on everything: `judge` tells what was asked, `timed` what each rule of the chain took."""

    services: ReceiverServices
    judge: _Watched
    timed: tuple[_Timed, ...]
    scores: symbols.Scores

    async def receive(self, octets: bytes, envelope: Envelope) -> tuple[Reply, dict[str, Reply]]:
        """One message. -> the last reply, and those to recipients who were refused at once."""
        return await _converse(Receiver(self.services, Peer(envelope.address, 0, "scan", "mx")), octets, envelope)


@contextmanager
def house(config: Config, db: InlineDatabase, reactor: Any, resolver: IResolver, seconds: Callable[[], float]) -> Iterator[House]:
    """A House over a store that is not written to; `seconds` is the clock that rules are timed by. Raises ConfigError for a chain or weights that
    make no sense, StoreError."""
    chain = registry.load(config.rules_file)
    scores = symbols.load(config.file.parent / "scores.toml", chain.symbols)
    hostname = config.server.hostname or host.full_hostname()
    executor = ThreadExecutor(reactor, config.server.workers)
    executor.start()
    try:
        read_only = _ReadOnly(db)
        learner = Learner(read_only, Path(config.state) / "classifier" / "model", executor, hostname, Logger("jetmail.scan"))
        learner.load()
        chain.bind(
            RuleServices(
                hostname, reactor, resolver, executor, scores, config.file.parent, config.state, dialer=Dialer(reactor),
                http=wiring.http_client(reactor), classifier=learner.classifier,
            )  # fmt: skip
        )
        timed = tuple(_Timed(entry.stage, entry.rule, seconds) for entry in chain.entries)
        judge = _Watched(Chain([replace(entry, rule=rule) for entry, rule in zip(chain.entries, timed, strict=True)]), reactor, seconds)
        contacts = Contacts(read_only)
        contacts.load(reactor.seconds())
        services = ReceiverServices(
            hostname=hostname,
            db=read_only,
            book=_Book(Directory(read_only)),
            judge=judge,
            content=MemoryStore(lambda: UID),
            queue=_NoQueue(),
            login=_NoLogin(),
            clock=reactor,
            make_uid=lambda: UID,
            first_retry=lambda now: now,
            has_room=lambda size: True,
            options=ReceiverOptions(inline_limit=config.smtp.max_message_size),
            contacts=contacts,
        )
        yield House(services, judge, timed, scores)
    finally:
        executor.stop()


def resolver_of(config: Config, reactor: Any) -> IResolver:
    """As the running appliance asks."""
    return Resolver(reactor, wiring.dns_options(config), SystemEntropy())


async def _scan(config: Config, db: InlineDatabase, octets: bytes, envelope: Envelope, asks_dns: bool, reactor: Any) -> Scanned:
    resolver = resolver_of(config, reactor) if asks_dns else _NoResolver()
    with house(config, db, reactor, resolver, reactor.seconds) as made:
        reply, refused = await made.receive(octets, envelope)
        return _told(reply, refused, made.judge, made.timed, made.scores)


async def _converse(receiver: Receiver, octets: bytes, envelope: Envelope) -> tuple[Reply, dict[str, Reply]]:
    """-> the last reply, and those to recipients who were refused at once."""
    refused: dict[str, Reply] = {}
    reply = await _said(receiver.connected())
    if not reply.is_positive:
        return reply, refused
    receiver.helo(envelope.helo, True)
    reply = await _said(receiver.mail(Sender(envelope.sender, len(octets))))
    if not reply.is_positive:
        return reply, refused
    for address in envelope.recipients:
        reply = await _said(receiver.rcpt(Recipient(address)))
        if not reply.is_positive:
            refused[str(address)] = reply
    if len(refused) == len(set(envelope.recipients)):
        return reply, refused
    reply = await _said(receiver.data())
    if reply.code != 354:
        return reply, refused
    for start in range(0, len(octets), PIECE):
        receiver.chunk(octets[start : start + PIECE])
    return await _said(receiver.end()), refused


def _told(reply: Reply, refused: dict[str, Reply], judge: _Watched, timed: Sequence[_Timed], scores: symbols.Scores) -> Scanned:
    early = [opinion for stage, _, answer in judge.said if stage < Stage.RECIPIENT for opinion in answer]
    opinions = list(early)
    final = next((facts for stage, facts, _ in reversed(judge.said) if stage > Stage.RECIPIENT), None)
    fates: list[Fate] = []
    for stage, facts, answer in judge.said:
        if stage is Stage.RECIPIENT and facts.recipient is not None:
            name = str(facts.recipient.address)
            if name in refused:
                fates.append(_fate(name, [*early, *answer], facts.recipient.index, refused[name], scores, (facts.recipient,)))
                continue
        if stage >= Stage.RECIPIENT:
            opinions += answer
    recipients = final.recipients if final is not None else ()
    if recipients:
        settled = settle(opinions, len(recipients))
        for index, (recipient, ruling) in enumerate(zip(recipients, settled.rulings, strict=True)):
            fate = _fate(str(recipient.address), opinions, index, ruling.public_reply, scores, recipients)
            fates.append(replace(fate, action=ruling.action.name.lower(), reason=ruling.reason))
    everybody = [opinion for opinion in opinions if opinion.recipient is None]
    headers = tuple(line for opinion in opinions for line in opinion.verdict.headers)
    stages = tuple(Timing(stage.name.lower(), "", *judge.spent[stage]) for stage in Stage if stage in judge.spent)
    score = acceptance.score_of(everybody, None)
    return Scanned(str(reply), score, tuple(fates), _explained(everybody, (), scores), headers, tuple(rule.timing() for rule in timed), stages)


def _fate(name: str, opinions: Sequence[Opinion], index: int, reply: Reply, scores: symbols.Scores, recipients: Sequence[Any]) -> Fate:
    ruling = rule_for(opinions, index)
    own = [opinion for opinion in opinions if opinion.recipient == index]
    score = acceptance.score_of(opinions, index)
    return Fate(name, ruling.action.name.lower(), ruling.reason, score, str(reply), _explained(own, recipients, scores))


def _explained(opinions: Iterable[Opinion], recipients: Sequence[Any], scores: symbols.Scores) -> tuple[Explained, ...]:
    return explain(json.loads(acceptance.findings(opinions, recipients)), scores)


async def _said(answer: Reply | Deferred[Reply]) -> Reply:
    return await answer if isinstance(answer, Deferred) else answer


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
