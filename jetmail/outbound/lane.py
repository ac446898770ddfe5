"""One destination as the queue sees it: what waits for it in memory, how much may be on the wire, and whether it is down.

Promises
- Concurrency starts at `lane_start`, grows with success to `lane_limit`, shrinks with faults and deferrals, and after an outage begins at one and
  doubles (1, 2, 4, ...), so that a destination that came back is not run over.
- A fault of the host is believed only when nothing got through since that attempt began; then the lane is down: nothing is dialled before
  `not_before`, and then one probe at a time, with growing pauses.
- Work in hand alternates between fresh mail and mail read back from the store, so that neither keeps the other waiting.

No I/O and no clock; every time is an argument.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.lanes import LaneState
from jetmail.store.traffic.messages import Content

if TYPE_CHECKING:
    from jetmail.outbound.sites import Site

_REPLY = re.compile(r"([245]\d\d)(?: (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """The queue in memory.

    `window`: deliveries held at most, waiting, on the wire or not yet recorded (10-100,000); fresh mail may fill `fresh_share` of it.
    `content_octets`: inline content kept with fresh mail; above it content is read back. `concurrency`: attempts at once in all. `lane_start`,
    `lane_limit`: attempts at once to one destination, at first and at most. `lane_pauses`: seconds before each further probe of a destination that
    is down; the last repeats; the schedule's jitter applies. `wake_after`: seconds without a success after which a success makes all waiting mail of
    the destination due. `recipients_per_job`: of one message and destination at once. `look_interval`: seconds between two looks at the store at
    least, `longest_sleep` at most. `sweep_interval`: seconds between two searches for expired mail of a destination that is down. `grace`: seconds
    that attempts get to end at a stop. `record_pauses`: seconds before recording is tried again after it failed."""

    window: int = 2000
    fresh_share: float = 0.8
    content_octets: int = 64 << 20
    concurrency: int = 100
    lane_start: int = 5
    lane_limit: int = 20
    lane_pauses: tuple[float, ...] = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0)
    wake_after: float = 600.0
    recipients_per_job: int = 100
    look_interval: float = 1.0
    longest_sleep: float = 300.0
    sweep_interval: float = 60.0
    grace: float = 30.0
    record_pauses: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)


class Pulse(Enum):
    """What one attempt tells of the destination as a whole."""

    SUCCESS = "success"
    ANSWERED = "answered"  # it is there, but wants this later
    FAULT = "fault"
    NOTHING = "nothing"  # it was not reached for reasons of ours


class Change(Enum):
    """What a pulse did to the lane. WAKE is UP, or a success after a long time without, and its waiting mail is due."""

    NONE = "none"
    DOWN = "down"
    UP = "up"
    WAKE = "wake"


class Item:
    """Deliveries of one message to one destination, to be attempted together. `content` None: to be read. `claimed`: the attempt is in the store.
    `site` and `site_epoch`: whom the attempt that is on the wire is counted with."""

    __slots__ = ("claimed", "content", "deliveries", "facts", "site", "site_epoch")

    def __init__(self, facts: MessageFacts, deliveries: tuple[Due, ...], content: Content | None, claimed: bool) -> None:
        self.facts = facts
        self.deliveries = deliveries
        self.content = content
        self.claimed = claimed
        self.site: Site | None = None
        self.site_epoch = 0

    @property
    def octets(self) -> int:
        """Memory its content takes."""
        return len(self.content.data) if self.content is not None and self.content.data is not None else 0


class Lane:
    """See the module."""

    __slots__ = (
        "_epoch", "_is_fresh_next", "_options", "count", "down_since", "failures", "fresh", "in_flight", "is_called", "is_ready", "limit", "loaded",
        "more", "name", "not_before", "reason", "reply", "site", "site_until", "suspended", "sweep_at", "told", "trouble_since",
    )  # fmt: skip

    def __init__(self, state: LaneState, has_failed: bool, options: QueueOptions) -> None:
        self.name = state.name
        self._options = options
        self.fresh: deque[Item] = deque()
        self.loaded: deque[Item] = deque()
        self.count = 0  # deliveries in the window: waiting, on the wire or being recorded
        self.in_flight = 0
        self.is_ready = False
        self.site: Site | None = None  # what it leads to, as far as known
        self.site_until = inf  # when that is to be asked again; gate.py says so
        self.is_called = False  # the site has a place for it
        self.told = -1  # the site's epoch in which people were told that this lane waits for it
        self.more = False  # the store has more that is due
        self._is_fresh_next = True
        self._epoch = 0
        self.failures = state.failures
        self.down_since = state.down_since
        self.not_before = state.not_before if state.down_since is not None else 0.0
        self.reason = state.reason if state.down_since is not None else ""
        self.reply = reply_of(state.reply) if state.down_since is not None else None
        self.suspended = state.suspended
        self.limit = 1.0 if self.is_down else float(options.lane_start)
        # Mail that failed before we started: the first success should wake it, so the trouble counts as old.
        self.trouble_since: float | None = float("-inf") if has_failed else None
        self.sweep_at = 0.0

    @property
    def is_down(self) -> bool:
        """Only a probe may dial."""
        return self.down_since is not None

    @property
    def is_idle(self) -> bool:
        """Nothing would be missed if it were forgotten and made again from the store."""
        return not self.count and not self.in_flight

    @property
    def waiting(self) -> int:
        """Items in hand."""
        return len(self.fresh) + len(self.loaded)

    def is_closed(self, now: float) -> bool:
        """Nothing may be dialled now, not even a probe."""
        return now < self.not_before or self.suspended or ((site := self.site) is not None and now < site.closed_until)

    @property
    def opens(self) -> float:
        """When a lane that is closed and not suspended may dial again; never while its site is suspended."""
        if self.site is None:
            return self.not_before
        return max(self.not_before, self.site.closed_until)

    def may_lead_elsewhere(self, now: float) -> bool:
        """All that closes it is that its site is suspended, and where it leads was asked long ago."""
        site = self.site
        return site is not None and site.suspended and now >= self.site_until and now >= self.not_before and not self.suspended

    def is_held_back(self, now: float) -> bool:
        """Fresh mail for it would only have to wait."""
        site = self.site
        return self.is_closed(now) or (site is not None and site.rate > 0 and site.is_pressed(now))

    def has_room(self, now: float) -> bool:
        """One more may go on the wire."""
        return self.in_flight < int(self.limit) and not self.is_closed(now)

    def take(self) -> Item | None:
        """The next item, fresh and loaded in turn."""
        first, second = (self.fresh, self.loaded) if self._is_fresh_next else (self.loaded, self.fresh)
        if first:
            self._is_fresh_next = not self._is_fresh_next
            return first.popleft()
        return second.popleft() if second else None

    def drain(self) -> Iterator[Item]:
        """Everything that waits, taken out."""
        while self.fresh:
            yield self.fresh.popleft()
        while self.loaded:
            yield self.loaded.popleft()

    def began(self) -> int:
        """An attempt takes a place. -> what `ended` wants to know."""
        self.in_flight += 1
        return self._epoch

    def ended(self, epoch: int, pulse: Pulse, now: float, uniform_pause: float, outcome: Outcome | None) -> Change:
        """An attempt gives its place back. `uniform_pause`: a factor about 1 for the next pause."""
        self.in_flight -= 1
        if pulse is Pulse.SUCCESS:
            return self._succeeded(now)
        if pulse is Pulse.ANSWERED:
            self._epoch += 1
            change = self._rise() if self.is_down else Change.NONE
            self.limit = max(1.0, self.limit - 0.5)
            self._troubled(now)
            return change
        if pulse is Pulse.FAULT:
            self._troubled(now)
            if epoch == self._epoch:
                self._fall(now, uniform_pause, outcome)
                return Change.DOWN
            if not self.is_down:
                self.limit = max(1.0, self.limit / 2)
        return Change.NONE

    def state(self) -> LaneState:
        """As the store remembers it."""
        reply = str(self.reply) if self.reply else ""
        return LaneState(self.name, self.failures, self.down_since, self.not_before, self.reason, reply, self.suspended)

    def apply(self, state: LaneState | None) -> None:
        """People changed the row: suspended, resumed, or to be tried now."""
        self.suspended = state is not None and state.suspended
        if state is not None and self.is_down:
            self.not_before = min(self.not_before, state.not_before)

    def _succeeded(self, now: float) -> Change:
        self._epoch += 1
        change = self._rise() if self.is_down else Change.NONE
        step = 1.0 if self.limit < self._options.lane_start else 1.0 / self.limit
        self.limit = min(float(self._options.lane_limit), self.limit + step)
        if self.trouble_since is not None:
            if now - self.trouble_since >= self._options.wake_after:
                change = Change.WAKE
            self.trouble_since = None
        return change

    def _rise(self) -> Change:
        self.failures = 0
        self.down_since = None
        self.not_before = 0.0
        self.reason = ""
        self.reply = None
        self.limit = 1.0
        return Change.UP

    def _fall(self, now: float, uniform_pause: float, outcome: Outcome | None) -> None:
        self._epoch += 1
        pauses = self._options.lane_pauses
        self.not_before = now + pauses[min(self.failures, len(pauses) - 1)] * uniform_pause
        self.failures += 1
        if self.down_since is None:
            self.down_since = now
            self.sweep_at = now
        if outcome is not None:
            self.reason, self.reply = outcome.reason, outcome.reply
        self.limit = 1.0

    def _troubled(self, now: float) -> None:
        if self.trouble_since is None:
            self.trouble_since = now


def pulse_of(outcomes: Mapping[int, Outcome]) -> tuple[Pulse, Outcome | None]:
    """What the outcomes of one job say of the destination, and the one that says it."""
    fault = answered = None
    for outcome in outcomes.values():
        if outcome.result is Result.DELIVERED or (outcome.result is Result.NEVER and outcome.address):
            return Pulse.SUCCESS, outcome
        if outcome.is_host_fault:
            fault = outcome
        elif outcome.address and not outcome.is_excused and (answered is None or not outcome.about):
            answered = outcome  # what was said of the connection or the sender says more than what was said of a recipient
    if answered is not None:
        return Pulse.ANSWERED, answered
    return (Pulse.FAULT, fault) if fault is not None else (Pulse.NOTHING, None)


def reply_of(text: str) -> Reply | None:
    """A reply as the store keeps it, back as a value."""
    found = _REPLY.fullmatch(text)
    return Reply.parse(int(found[1]), [found[2] or ""]) if found else None
