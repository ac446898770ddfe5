"""The chain: rules in their effective order, and the asking of them.

`Chain` is plain data made by the registry: per stage, layers of entries. Rules of one layer do not wait for one another; a rule that names others in
`after` stands in a later layer and sees their opinions. Within a layer the order is that of the file.

`Judge.ask` asks one stage. Promises
- A rule that answers at once costs a call and nothing else: no Deferred exists unless a rule returns an awaitable. An awaitable whose answer is
  there as soon as it is asked for holds nobody up, and no time-out is set for it.
- Rules of a layer that wait do so at the same time, each under its own time-out; the opinions come back in the order of the chain,
  whoever answered first, and are the same whatever the timing.
- A rule that raises, takes too long or answers with something that is no Verdict has said what its `on_error` says: a deferral (reason 'fault')
  or nothing. It is logged once with the rule's name. A POLICY rule may only defer (the registry sees to it).
- Between layers the asking stops when POLICY has refused everybody who is asked about: nothing could change that.
- Cancelling the Deferred cancels what is still waited for.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.services import RuleServices
from jetmail.rules.settlement import FAULT
from jetmail.rules.symbols import Symbol
from jetmail.rules.verdict import (
    NO_OPINION,
    Action,
    Kind,
    Level,
    OnError,
    Opinion,
    Scope,
    Stage,
    Verdict,
)

DEFERRED = Verdict(ruling=FAULT)

_log = Logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule in its place. `order` counts through the whole chain in effective order; `after`, `timeout`, `on_error` are what etc/ made of the
    rule's own."""

    order: int
    name: str
    path: str
    rule: Any
    stage: Stage
    kind: Kind
    scope: Scope
    level: Level
    layer: int
    after: tuple[str, ...]
    needs: tuple[str, ...]
    timeout: float
    on_error: OnError


class Asked(NamedTuple):
    """An entry as it is asked: what every message needs of it, at hand."""

    of_message: bool
    rule: Any
    entry: Entry


class Chain:
    """Entries in effective order. Immutable."""

    __slots__ = ("_layers", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        layers: dict[Stage, dict[int, list[Entry]]] = {stage: {} for stage in Stage}
        for entry in self.entries:
            layers[entry.stage].setdefault(entry.layer, []).append(entry)
        self._layers = {stage: tuple(tuple(map(_asked, found[layer])) for layer in sorted(found)) for stage, found in layers.items()}

    def layers(self, stage: Stage) -> tuple[tuple[Asked, ...], ...]:
        """The stage's entries, layer by layer."""
        return self._layers[stage]

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """What the rules of this chain may find; a class that stands in it twice counts once."""
        return tuple({symbol.word: symbol for entry in self.entries for symbol in getattr(entry.rule, "SYMBOLS", ())}.values())

    def bind(self, services: RuleServices) -> None:
        """Give the parts of the house to the rules that ask for them."""
        for entry in self.entries:
            if (bind := getattr(entry.rule, "bind", None)) is not None:
                bind(services)

    def describe(self) -> list[dict[str, Any]]:
        """The effective order, one plain dictionary a rule, for people and for --json."""
        return [
            {
                "order": entry.order,
                "stage": entry.stage.name.lower(),
                "name": entry.name,
                "kind": entry.kind.value,
                "scope": entry.scope.value,
                "level": entry.level.name.lower() if entry.kind is Kind.LIST else "",
                "after": list(entry.after),
                "needs": list(entry.needs),
                "timeout": entry.timeout,
                "on_error": entry.on_error.value,
                "class": entry.path,
            }
            for entry in self.entries
        ]


Answer = tuple[Opinion, ...]


class Judge:
    """Asks a chain. `clock` is for the time-outs of rules that wait."""

    def __init__(self, chain: Chain, clock: IReactorTime) -> None:
        self.chain = chain
        self._clock = clock

    def ask(self, stage: Stage, facts: Facts, policies: Sequence[Policy], appliance: Policy) -> Answer | Deferred[Answer]:
        """All opinions of one stage, in the order of the chain. `policies` belong to `facts.recipients` place by place (at RECIPIENT that is the
        one in question, before it nobody); rules of MESSAGE scope get `appliance`. Never raises, never fails but by cancellation."""
        return _Asking(self.chain.layers(stage), facts, policies, appliance, self._clock).start()


class _Asking:
    """One stage being asked about one message."""

    __slots__ = ("_appliance", "_before", "_clock", "_facts", "_is_cancelled", "_layers", "_opinions", "_policies", "_waiting")

    def __init__(self, layers: Sequence[tuple[Asked, ...]], facts: Facts, policies: Sequence[Policy], appliance: Policy, clock: IReactorTime) -> None:
        self._layers = layers
        self._facts = facts
        self._policies = policies
        self._appliance = appliance
        self._clock = clock
        self._opinions: list[Opinion] = []
        self._before = 0  # how many of them the facts know
        self._waiting: list[tuple[Entry, int | None, Deferred[Any]]] = []
        self._is_cancelled = False

    def start(self) -> Answer | Deferred[Answer]:
        """Ask layer by layer for as long as nobody waits."""
        for number, layer in enumerate(self._layers):
            if number and not self._goes_on():
                break
            self._ask_layer(layer)
            if self._waiting:
                return self._cancellable(Deferred.fromCoroutine(self._finish(number + 1)))
        return tuple(self._opinions)

    async def _finish(self, number: int) -> Answer:
        """The rest of the stage, from where a rule waits."""
        while True:
            await self._collect()
            if number == len(self._layers) or not self._goes_on():
                return tuple(self._opinions)
            self._ask_layer(self._layers[number])
            number += 1

    def _cancellable(self, asking: Deferred[Answer]) -> Deferred[Answer]:
        """Cancelling must end the asking, and not be taken for the failure of the rules that are cancelled by it."""

        def cancel(_: Deferred[Answer]) -> None:
            self._is_cancelled = True
            asking.cancel()

        answer: Deferred[Answer] = Deferred(cancel)
        asking.addCallbacks(
            lambda opinions: None if self._is_cancelled else answer.callback(opinions),
            lambda failure: None if self._is_cancelled else answer.errback(failure),
        )
        return answer

    def _goes_on(self) -> bool:
        """Another layer is to be asked; the facts then know what was said."""
        if self._is_cancelled:
            return False
        if not self._opinions:
            return True
        if _is_refused(self._opinions, self._facts):
            return False
        if len(self._opinions) > self._before:
            self._facts = self._facts._replace(opinions=self._facts.opinions + tuple(self._opinions[self._before :]))
            self._before = len(self._opinions)
        return True

    def _ask_layer(self, layer: Iterable[Asked]) -> None:
        facts, appliance = self._facts, self._appliance
        views: list[tuple[int, Facts, Policy]] | None = None
        for of_message, rule, entry in layer:
            if of_message:
                try:
                    verdict = rule.judge(facts, appliance)
                except Exception:
                    verdict = _failed(entry, Failure())
                if verdict is not NO_OPINION:
                    self._said(entry, None, verdict)
                continue
            if views is None:
                views = self._views()
            for index, view, policy in views:
                try:
                    verdict = rule.judge(view, policy)
                except Exception:
                    verdict = _failed(entry, Failure())
                if verdict is not NO_OPINION:
                    self._said(entry, index, verdict)

    def _views(self) -> list[tuple[int, Facts, Policy]]:
        """What a rule is told about each recipient."""
        facts = self._facts
        return [
            (each.index, facts if facts.recipient is each else facts._replace(recipient=each), policy)
            for each, policy in zip(facts.recipients, self._policies, strict=True)
        ]

    def _said(self, entry: Entry, index: int | None, verdict: Any) -> None:
        if type(verdict) is not Verdict and (type(verdict) is CoroutineType or inspect.isawaitable(verdict)):
            waiting: Deferred[Any] = verdict if isinstance(verdict, Deferred) else Deferred.fromCoroutine(_coroutine(verdict))
            if waiting.called and not waiting.paused:  # all it would have waited for was at hand, as DNS answers mostly are
                waiting.addCallbacks(lambda answer: self._add(entry, index, answer), lambda failure: self._add(entry, index, _failed(entry, failure)))
            else:
                self._waiting.append((entry, index, waiting.addTimeout(entry.timeout, self._clock)))
        else:
            self._add(entry, index, verdict)

    async def _collect(self) -> None:
        """Wait for everybody who waits, then put the layer's opinions in the order of the chain."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        results = await DeferredList([deferred for _, _, deferred in waiting], consumeErrors=True)
        if self._is_cancelled:
            return
        for (entry, index, _), (is_success, result) in zip(waiting, results, strict=True):
            self._add(entry, index, result if is_success else _failed(entry, result))
        self._opinions[self._before :] = sorted(self._opinions[self._before :], key=_place)

    def _add(self, entry: Entry, index: int | None, verdict: Any) -> None:
        if type(verdict) is not Verdict:
            verdict = _failed(entry, Failure(TypeError(f"answered {type(verdict).__name__}, not a Verdict")))
        if verdict is not NO_OPINION:
            self._opinions.append(Opinion(entry.name, entry.order, entry.kind, entry.level, index, verdict))


def _asked(entry: Entry) -> Asked:
    return Asked(entry.scope is Scope.MESSAGE, entry.rule, entry)


def _coroutine(awaitable: Awaitable[Any]) -> Coroutine[Deferred[Any], Any, Any]:
    return awaitable if isinstance(awaitable, CoroutineType) else _awaited(awaitable)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _failed(entry: Entry, failure: Failure) -> Verdict:
    _log.failure("rule {rule} failed and counts as {on_error}", failure=failure, rule=entry.name, on_error=entry.on_error.value)
    return DEFERRED if entry.on_error is OnError.DEFER else NO_OPINION


def _place(opinion: Opinion) -> tuple[int, int]:
    return opinion.order, -1 if opinion.recipient is None else opinion.recipient


def _is_refused(opinions: Iterable[Opinion], facts: Facts) -> bool:
    """POLICY has refused the message, or each of its recipients."""
    refused: set[int] = set()
    for opinion in opinions:
        if opinion.kind is Kind.POLICY and opinion.verdict.ruling is not None and opinion.verdict.ruling.action is Action.REJECT:
            if opinion.recipient is None:
                return True
            refused.add(opinion.recipient)
    return bool(refused) and all(recipient.index in refused for recipient in facts.recipients)
