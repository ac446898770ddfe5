"""What the shipped rules have in common, for any rule that wants it. A rule needs no base class: IRule is the promise, this is convenience.

A rule states `stage`, `kind`, `scope` and `on_error` as class attributes (there is no default for what happens on an error), `Options` when
there is something to set, and answers in `judge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jetmail.rules.verdict import Kind, OnError, Scope, Stage


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Nothing can be set."""


class Rule:
    """Name and options kept, nothing awaited, five seconds."""

    stage: Stage
    kind: Kind
    scope: Scope
    on_error: OnError
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    timeout: float = 5.0
    Options: type[Any] = NoOptions

    def __init__(self, name: str, options: Any) -> None:
        self.name = name
        self.options = options
