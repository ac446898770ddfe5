"""A rule with parts of the house around it, and the verdict of one that waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jetmail.interfaces import IExecutor
from jetmail.offload import InlineExecutor
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import Verdict
from tests.fakes import FakeResolver
from tests.rules.samples import NOW


def bound(rule: Any, *, zone: Any = None, etc: Path = Path("etc"), clock: Clock | None = None, **parts: Any) -> Any:
    """The rule, bound to services in memory: `zone` is what DNS says, `parts` replace fields of RuleServices."""
    if clock is None:
        clock = Clock()
        clock.advance(NOW)
    values: dict[str, Any] = {
        "hostname": "mx.demo.test",
        "clock": clock,
        "resolver": FakeResolver(zone),
        "executor": IExecutor(InlineExecutor()),
        "scores": Scores(getattr(rule, "SYMBOLS", ())),
        "etc": etc,
        "state": etc,
    }
    rule.bind(RuleServices(**(values | parts)))
    return rule


def begin(rule: Any, *about: Any) -> list[Any]:
    """Ask; the list has the verdict (or the failure) once it is there."""
    answer = rule.judge(*about)
    got: list[Any] = []
    if isinstance(answer, Verdict):
        got.append(answer)
    else:
        (answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)).addBoth(got.append)
    return got


def verdict(rule: Any, *about: Any) -> Verdict:
    """Ask, and have the answer at once."""
    got = begin(rule, *about)
    assert got, "it still waits"
    assert isinstance(got[0], Verdict), got[0]
    return got[0]


def found(answer: Verdict) -> dict[str, float]:
    """Symbols with their scores."""
    return {finding.symbol: finding.score for finding in answer.findings}
