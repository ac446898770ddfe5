"""What the people of a domain have decided, as a rule sees it: one value per recipient, and one for the appliance as a whole.

Built by the receiving side from the directory; a rule only reads. A Policy is immutable and shared by every message to the same address, so
everything that can be prepared (regular expressions, networks) is prepared when it is built. Conditions that do not compile were refused when
they were saved; one that still does not (an edit past the door) makes a rule that never matches, and is named in `faults`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from jetmail.rules.conditions import Conditions
from jetmail.rules.lists import NO_LISTS, Lists
from jetmail.rules.verdict import Level

DISABLED_SCORE = 999.0  # spec 6.7: the maximum disables a threshold


class DomainState(Enum):
    """What the recipient's domain is to us."""

    UNKNOWN = "unknown"  # not ours: relay denied
    UNVERIFIED = "unverified"  # claimed but not proved: as if not ours
    DISABLED = "disabled"  # its owner switched inbound mail off
    ACTIVE = "active"


class SpamAction(Enum):
    """What a score at or over the spam threshold does (spec 10.3)."""

    QUARANTINE = "quarantine"
    TAG = "tag"
    JUNK = "junk"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores at which mail is refused, treated as spam, deferred (`>=`; 999 never). Defaults as in spec 6.7."""

    reject: float = 15.0
    spam: float = 6.0
    defer: float = 4.0

    def over(self, reject: float | None, spam: float | None, defer: float | None) -> Thresholds:
        """A domain's own values over these; None keeps these."""
        if reject is None and spam is None and defer is None:
            return self
        return Thresholds(
            self.reject if reject is None else reject, self.spam if spam is None else spam, self.defer if defer is None else defer
        )


@dataclass(frozen=True, slots=True)
class PersonalRule:
    """An allow or block rule of the people's own (spec 1.5). `blocks` False is an allow rule."""

    uuid: str
    name: str
    level: Level
    blocks: bool
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Policy:
    """`domain` '' is the appliance's own policy, which rules of MESSAGE scope are given. `is_known`: the recipient exists (True where the domain takes
    any). `rules` by level, each in order of priority. `account_id` 0 where there is none. `submission`: the client may send anywhere."""

    domain: str = ""
    state: DomainState = DomainState.UNKNOWN
    is_known: bool = False
    account_id: int = 0
    thresholds: Thresholds = Thresholds()
    spam_action: SpamAction = SpamAction.QUARANTINE
    appliance_lists: Lists = NO_LISTS
    domain_lists: Lists = NO_LISTS
    rules: tuple[tuple[PersonalRule, ...], ...] = ((), (), (), ())
    has_rules: bool = False
    faults: tuple[str, ...] = field(default=(), compare=False)

    def at(self, level: Level) -> tuple[PersonalRule, ...]:
        """The people's rules of one level."""
        return self.rules[level]


def by_level(rules: Iterable[PersonalRule]) -> tuple[tuple[PersonalRule, ...], ...]:
    """Rules in the shape of Policy.rules, order kept within a level."""
    levels: tuple[list[PersonalRule], ...] = ([], [], [], [])
    for rule in rules:
        levels[rule.level].append(rule)
    return tuple(tuple(level) for level in levels)
