"""A third party's rules: one that knows nothing of our base class, one that waits, and a few that are wrong in their own ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict


@dataclass(frozen=True, slots=True)
class WeatherOptions:
    """`word` in the subject that means rain, and what rain costs."""

    word: str = "rain"
    score: float = 2.5


@implementer(IRule)
class Weather:
    """Counts rain against a message."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    timeout = 1.0
    on_error = OnError.SKIP
    Options: Any = WeatherOptions

    def __init__(self, name: str, options: Any) -> None:
        self.name = name
        self.options = options

    def judge(self, facts: Any, policy: Any) -> Any:
        """See the class."""
        if facts.message is not None and self.options.word in facts.message.subject.lower():
            return Verdict((Finding("WEATHER_RAIN", self.options.score),))
        return NO_OPINION


class Slow(Weather):
    """Answers when its test says so."""

    kind = Kind.LIST
    on_error = OnError.DEFER

    def __init__(self, name: str, options: Any) -> None:
        super().__init__(name, options)
        self.asked: list[Deferred[Verdict]] = []
        self.cancelled = 0

    def judge(self, facts: Any, policy: Any) -> Any:
        """A Deferred kept in `asked`."""

        def cancelled(_: Any) -> None:
            self.cancelled += 1

        self.asked.append(Deferred(cancelled))
        return self.asked[-1]


class SlowFilter(Slow):
    """The same, and only an opinion."""

    kind = Kind.FILTER
    on_error = OnError.SKIP


class Coroutine(Weather):
    """Answers through `async def`."""

    async def judge(self, facts: Any, policy: Any) -> Any:
        """Rain, always."""
        return Verdict((Finding("WEATHER_RAIN", self.options.score),))


class Broken(Weather):
    """Raises."""

    def judge(self, facts: Any, policy: Any) -> Any:
        """Never answers."""
        raise RuntimeError("no barometer")


class BrokenList(Broken):
    """Raises, and defers for it."""

    on_error = OnError.DEFER


class Liar(Weather):
    """Answers with something that is no verdict."""

    def judge(self, facts: Any, policy: Any) -> Any:
        """Yes, says it."""
        return True


class Guard(Weather):
    """A POLICY rule that refuses."""

    kind = Kind.POLICY
    on_error = OnError.DEFER

    def judge(self, facts: Any, policy: Any) -> Any:
        """No."""
        return Verdict(ruling=Ruling(Action.REJECT, "policy"))


class Careless(Weather):
    """A POLICY rule that would be skipped."""

    kind = Kind.POLICY


class NoRule:
    """Says of nothing that it is a rule."""


@implementer(IRule)
class Unfinished:
    """Promises IRule and does not keep it."""

    Options = WeatherOptions

    def __init__(self, name: str, options: Any) -> None:
        self.name = name


class TooEarly(Weather):
    """Wants a recipient at CONNECT."""

    stage = Stage.CONNECT
    scope = Scope.RECIPIENT


class NoOptions(Weather):
    """Has nothing that says what may be set."""

    Options = None
