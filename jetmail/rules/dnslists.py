"""What rules that ask DNS lists have in common, whatever they ask about: which lists, in what time, and not before the content is there.

Asked together with everything else that waits, and not at the connection: scores count at JUDGEMENT only, so nothing is lost, the banner waits for
nobody, and who sends nothing costs no look-up. Off until `enabled`: a list answers only resolvers it knows (docs/lists.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.verdict import Kind, OnError, Scope, Stage
from jetmail.rules.zones import ZoneOptions, zones


@dataclass(frozen=True, slots=True)
class DnsListOptions:
    """`enabled`: ask at all. `zones`: whom, and what answers mean. `except_for`: what is never asked about. `seconds`: the budget of all look-ups of
    one message."""

    enabled: bool = False
    zones: tuple[ZoneOptions, ...] = ()
    except_for: tuple[str, ...] = ()
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 10:
            raise ValueError("seconds: must be over 0 and at most 10")
        if len(self.zones) > 20:
            raise ValueError("zones: at most 20")


class DnsLists(Rule):
    """The zones are made of the options; `group` is what their symbols are listed under."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    on_error = OnError.SKIP
    timeout = 11.0
    group: str

    def __init__(self, name: str, options: DnsListOptions) -> None:
        super().__init__(name, options)
        self._zones, self.SYMBOLS = zones(options.zones, self.group)

    def bind(self, services: RuleServices) -> None:
        """Needs DNS."""
        self._services = services
