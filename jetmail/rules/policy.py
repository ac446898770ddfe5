"""What the people of a domain have decided, as a rule sees it: one value per recipient, and one for the appliance as a whole.

Built by the receiving side from the directory; a rule only reads. A Policy is immutable and shared by every message to the same address, so
everything that can be prepared (regular expressions, networks) is prepared when it is built. Conditions that do not compile were refused when
they were saved; one that still does not (an edit past the door) makes a rule that never matches, and is named in `faults`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from jetmail.rules.attachments import NO_ATTACHMENT_POLICY, AttachmentPolicy
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


class RecipientState(Enum):
    """What the address is at its domain."""

    KNOWN = "known"  # or its domain takes any
    UNKNOWN = "unknown"
    UNVERIFIED = "unverified"  # nothing here says that it exists; its domain wants it asked elsewhere (Policy.verify)
    LOOP = "loop"  # its aliases lead nowhere but to one another, or too far


class SpamAction(Enum):
    """What a score at or over the spam threshold does (spec 10.3)."""

    QUARANTINE = "quarantine"
    TAG = "tag"
    JUNK = "junk"


class DmarcMode(Enum):
    """Whether the domain does what an author's domain asks for by DMARC, only weighs it, or neither."""

    ENFORCE = "enforce"
    SCORE = "score"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores at which mail is refused, treated as spam, deferred. None: nobody set one at this level, the level above counts (spec 6.7)."""

    reject: float | None = None
    spam: float | None = None
    defer: float | None = None

    def over(self, above: Thresholds) -> Thresholds:
        """These, and those of the level above where these say nothing."""
        return Thresholds(
            above.reject if self.reject is None else self.reject,
            above.spam if self.spam is None else self.spam,
            above.defer if self.defer is None else self.defer,
        )


@dataclass(frozen=True, slots=True)
class PersonalRule:
    """An allow or block rule of the people's own (spec 1.5). `blocks` False is an allow rule."""

    uuid: str
    name: str
    level: Level
    blocks: bool
    conditions: Conditions


NO_RULES: tuple[tuple[PersonalRule, ...], ...] = ((), (), (), ())


@dataclass(frozen=True, slots=True)
class Policy:
    """`domain` '' is the appliance's own policy, which rules of MESSAGE scope are given. `verify`: how an UNVERIFIED recipient is asked about.
    `rules` by level, each in order of priority. `keep_spam`: what is refused for its score is stored for the domain's owner.
    `attachments`: which are not taken. `faults` name stored rules and list entries that did not compile."""

    domain: str = ""
    state: DomainState = DomainState.UNKNOWN
    recipient: RecipientState = RecipientState.UNKNOWN
    verify: str = ""
    thresholds: Thresholds = Thresholds()
    spam_action: SpamAction = SpamAction.QUARANTINE
    keep_spam: bool = False
    dmarc: DmarcMode = DmarcMode.ENFORCE
    appliance_lists: Lists = NO_LISTS
    account_lists: Lists = NO_LISTS
    address_lists: Lists = NO_LISTS
    domain_lists: Lists = NO_LISTS
    rules: tuple[tuple[PersonalRule, ...], ...] = NO_RULES
    attachments: AttachmentPolicy = NO_ATTACHMENT_POLICY
    faults: tuple[str, ...] = field(default=(), compare=False)

    @property
    def has_people_rules(self) -> bool:
        """Whether anybody at any level has decided anything."""
        lists = (self.appliance_lists, self.account_lists, self.address_lists, self.domain_lists)
        return self.rules != NO_RULES or any(each is not NO_LISTS for each in lists)

    def lists(self, level: Level) -> Lists:
        """The allow list and block list of that level."""
        return (self.appliance_lists, self.account_lists, self.address_lists, self.domain_lists)[level]


def by_level(rules: Iterable[PersonalRule]) -> tuple[tuple[PersonalRule, ...], ...]:
    """Rules in the shape of Policy.rules, order kept within a level."""
    levels: tuple[list[PersonalRule], ...] = ([], [], [], [])
    for rule in rules:
        levels[rule.level].append(rule)
    return tuple(tuple(level) for level in levels)
