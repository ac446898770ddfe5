"""What of the house a rule may use besides facts and policy. app gives it to each rule that has a method `bind(services)`, once, at boot.

A rule that is loaded only to be listed or checked (`jetmail rules`, `jetmail check`) is never bound, so `bind` is the place for whatever needs the
running process: keep the parts that are needed, start nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jetmail.interfaces import Existence, IDialer, IExecutor, IResolver
from jetmail.mail.address import Address
from jetmail.rules.symbols import Scores

if TYPE_CHECKING:
    from jetmail.classifier.classifier import Classifier  # not at run time: numpy is of no use to most of the command line


@dataclass(frozen=True, slots=True)
class RuleServices:
    """`hostname` is ours (the authserv-id). `clock.seconds()` is epoch time. `etc` is the directory of maps, `state` that of what is learnt. `dialer`
    and `http` (a treq.client.HTTPClient) reach scanners. `verify(mode, address)` asks elsewhere whether a recipient exists: -> Existence or a
    Deferred of it; None where nobody can be asked (a dry run). `classifier`: None where nothing was learnt or loaded."""

    hostname: str
    clock: IReactorTime
    resolver: IResolver
    executor: IExecutor
    scores: Scores
    etc: Path
    state: Path
    dialer: IDialer | None = None
    http: Any = None
    verify: Callable[[str, Address], Existence | Deferred[Existence]] | None = None
    classifier: Classifier | None = None
