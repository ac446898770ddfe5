"""Sites: what stands behind many destinations, how much of our mail it is given, and how it is left alone when it asks for that. Pure.

A *site* is the provider of etc/providers.toml that the best host belongs to, else HOST:PORT of a host that the configuration names, else the
registered domain of the best MX host. Its limits bind all lanes that lead there together.

Promises
- Never more attempts at once than the site may have, and never more begun in T seconds than rate * (T + 1 s) + 1: evenly spread, with at most a
  second's worth at once to make up for a late timer.
- Throttling is about us, not about a recipient: such a reply to RCPT counts only in a burst that has it for DISTINCT recipients, and never from a
  host that the configuration names.
- A burst of throttling replies cools the site down: half as much and half as fast as before, after a pause that grows each time, and one attempt
  before all others. A reply of that kind to it is the next step; successes take the steps back one by one. What was on the wire before the pause
  counts for nothing.
- A site that no lane leads to and that is well is forgotten.

No I/O and no clock; every time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from jetmail.mail.reply import Reply
from jetmail.outbound.providers import Preset, Providers
from jetmail.store.traffic.sites import SiteState

if TYPE_CHECKING:
    from jetmail.outbound.lane import Lane

BURST_SECONDS = 1.0  # what may be made up for at once, in seconds of the rate
COOLED_RATE = 120.0  # messages a minute of a site without a limit of its own, before the first halving
DECAY = 3600.0  # a step is taken back by the first success this long after the last one
DISTINCT = 3  # recipients: a greylisted or busy one is no evidence against the host, nor are two
MAX_REPLY = 200
MAX_SITES = 10_000
FORGET = 86400.0  # seconds after which a site that is cooling, or a destination that is down, is forgotten when it gets no mail


class _Heard(NamedTuple):
    """One attempt of late. `is_hit`: it was told to slow down; `about`: in answer to the RCPT of that recipient."""

    at: float
    is_hit: bool
    about: str = ""


class Turn(Enum):
    """What the end of an attempt did to its site."""

    NONE = "none"
    COOLED = "cooled"  # a pause has begun
    EASED = "eased"  # one step back
    WELL = "well"  # the last step back


class Site:
    """One site. `recent` is None, and `level` 0, while nothing is the matter. `waiting` are lanes that have mail and no room here, `called` how many
    of them were told to come; gate.py keeps both."""

    __slots__ = (
        "_by_recipients", "_interval", "_most", "_successes", "_tat", "called", "closed_until", "count", "epoch", "in_flight", "is_on_trial",
        "is_starved", "lanes", "level", "limit", "name", "not_before", "preset", "rate", "recent", "refused_in", "reply", "since", "stepped",
        "suspended", "told", "turn_of", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, preset: Preset, most: int) -> None:
        self.name = name
        self.preset = preset
        self._most = preset.terms.connections or most
        self.in_flight = 0
        self.count = 0  # deliveries of its lanes in the window
        self.lanes = 0
        self.waiting: deque[Lane] = deque()
        self.called = 0
        self.is_starved = False  # lanes with due mail were left in the store
        self.turn_of = ""  # the first of them, so that it is the next
        self.refused_in = 0  # the look that set `turn_of`
        self.epoch = 0
        self.level = 0
        self.since: float | None = None
        self.not_before = 0.0
        self.told = 0  # destinations that people were told wait for it
        self.closed_until = 0.0  # the same, and for ever while suspended
        self.reply = ""
        self.suspended = False
        self.is_on_trial = False
        self.recent: deque[_Heard] | None = None
        self._by_recipients = False  # the pause began for what was said to RCPT
        self._successes = 0
        self.stepped = 0.0
        self._tat = 0.0  # when the next would be due if all came evenly
        self.limit = self._most
        self.rate = 0.0
        self._interval = 0.0
        self._set_limits()

    # may something go?

    def is_closed(self, now: float) -> bool:
        """Nothing may go now."""
        return now < self.closed_until

    def has_room(self, now: float) -> bool:
        """One more attempt may begin."""
        return self.in_flight < self.limit and now >= self.closed_until and (not self._interval or now >= self._opens())

    def opens(self) -> float:
        """When time alone will have made room; of use only where places are free."""
        return max(self.not_before, self._opens()) if self._interval else self.not_before

    def is_pressed(self, now: float) -> bool:
        """More is in hand than it may have soon: mail for it is better left in the store until its turn."""
        return bool(self.waiting) or self.count >= 4 * self.limit + 20 or (bool(self._interval) and now < self._opens())

    @property
    def is_idle(self) -> bool:
        """No lane leads there and it is well: nothing would be missed if it were forgotten, but for what it was given in the last second."""
        return not self.lanes and not self.in_flight and not self.level and not self.suspended

    def _opens(self) -> float:
        return self._tat - max(0.0, BURST_SECONDS - self._interval)

    # attempts

    def began(self, now: float) -> int:
        """An attempt begins. -> what `ended` wants to know."""
        self.in_flight += 1
        if self._interval:
            # What the clock cannot have seen (it went back) must not keep anything waiting.
            self._tat = max(min(self._tat, now + BURST_SECONDS), now) + self._interval
        return self.epoch

    def left(self) -> None:
        """An attempt that began was not made, or says nothing of the site."""
        self.in_flight -= 1

    def succeeded(self, epoch: int, now: float) -> Turn:
        """Mail was taken, or answered for good."""
        self.in_flight -= 1
        if self.recent is None and not self.level:
            return Turn.NONE
        if self.recent is not None:
            self._note(_Heard(now, False))
        if not self.level or epoch != self.epoch:
            return Turn.NONE
        self._tried()
        self._successes += 1
        if self._successes < self.preset.terms.recover and now - self.stepped < DECAY:
            return Turn.NONE
        self._successes = 0
        self.stepped = now
        self.level -= 1
        self._set_limits()
        if self.level:
            return Turn.EASED
        self.since, self.not_before, self.reply, self.recent = None, 0.0, "", None
        self._shut()
        return Turn.WELL

    def answered(self, epoch: int, now: float, reply: Reply, factor: float = 1.0, about: str = "") -> Turn:
        """It is there, and did not take it. `factor`: about 1, stretches the pause. `about`: the recipient whose RCPT was answered so, '' when that
        was said to anything else."""
        self.in_flight -= 1
        is_throttled = self.preset.throttles(reply, about)
        if not is_throttled:
            if self.recent is not None:
                self._note(_Heard(now, False))
            if epoch == self.epoch:
                self._tried()
            return Turn.NONE
        if epoch != self.epoch:
            return Turn.NONE  # it went before the pause
        if self.is_on_trial and (not about or self._by_recipients):
            return self._cool(now, factor, reply, 1, 1)
        self._tried()
        terms = self.preset.terms
        if self.recent is None:
            self.recent = deque(maxlen=terms.of)
        self._note(_Heard(now, True, about))
        recipients = [heard.about for heard in self.recent if heard.about]
        by_recipients = len(set(recipients)) >= DISTINCT
        hits = sum(heard.is_hit for heard in self.recent)
        if (hits if by_recipients else hits - len(recipients)) < terms.burst:
            return Turn.NONE
        self._by_recipients = by_recipients
        return self._cool(now, factor, reply, hits, len(self.recent))

    def _tried(self) -> None:
        """The attempt after the pause was not told to slow down."""
        if self.is_on_trial:
            self.is_on_trial = False
            self._set_limits()

    def _note(self, heard: _Heard) -> None:
        recent = self.recent
        assert recent is not None
        while recent and recent[0].at <= heard.at - self.preset.terms.within:
            recent.popleft()
        recent.append(heard)
        if not heard.is_hit and not any(each.is_hit for each in recent):
            self.recent = None

    def _cool(self, now: float, factor: float, reply: Reply, hits: int, of: int) -> Turn:
        pauses = self.preset.terms.pauses
        pause = pauses[min(self.level, len(pauses) - 1)] * factor
        self.level = min(self.level + 1, len(pauses))
        self.epoch += 1
        self.not_before = now + pause
        self._shut()
        self.since = now if self.since is None else self.since
        self.stepped = self.not_before
        self._successes = 0
        self.recent = None
        self.is_on_trial = True
        self.told = 0
        self._set_limits()
        how = f"{hits} of {of} attempts were" if of > 1 else "the attempt after the pause was"
        self.reply = f"cooled down: {how} told to slow down by {self.name}, last: {str(reply)[:MAX_REPLY]}"
        return Turn.COOLED

    # what is remembered

    def state(self) -> SiteState:
        """As the store remembers it."""
        return SiteState(self.name, self.level, self.since, self.not_before, self.reply, self.suspended)

    def restore(self, state: SiteState) -> None:
        """As it was before a restart."""
        self.level = min(state.level, len(self.preset.terms.pauses))
        self.since = state.since
        self.not_before = state.not_before if self.level else 0.0
        self.stepped = state.not_before
        self.reply = state.reply
        self.suspended = state.suspended
        self._shut()
        self.is_on_trial = bool(self.level)
        self._set_limits()

    def apply(self, state: SiteState | None) -> None:
        """People changed the row: suspended, resumed, or the pause ended."""
        self.suspended = state is not None and state.suspended
        if state is not None:
            self.not_before = min(self.not_before, state.not_before)
        self._shut()

    def rebase(self, now: float) -> None:
        """The clock went back: no wait may be longer than any that could have been meant."""
        self.not_before = min(self.not_before, now + max(self.preset.terms.pauses))
        self._shut()
        self.stepped = min(self.stepped, self.not_before)
        self._tat = min(self._tat, now)
        self.recent = None

    def _shut(self) -> None:
        self.closed_until = inf if self.suspended else self.not_before

    def _set_limits(self) -> None:
        terms = self.preset.terms
        cut = 1 << self.level
        self.limit = 1 if self.is_on_trial else max(1, self._most // cut)
        rate = terms.per_minute
        if self.level:
            rate = max(1.0, (min(rate, COOLED_RATE) if rate else COOLED_RATE) / cut)
        self.rate = rate
        self._interval = 60.0 / rate if rate else 0.0


class Sites:
    """All sites there is anything to know of. `most`: attempts at once where a preset does not say. `registered`: the registered domain of a name."""

    def __init__(self, providers: Providers, most: int = 20, registered: Callable[[str], str] = str) -> None:
        self._providers = providers
        self._most = most
        self._registered = registered
        self._known: dict[str, Site] = {}

    def __iter__(self) -> Iterator[Site]:
        return iter(tuple(self._known.values()))

    @property
    def cooling(self) -> int:
        """How many are cooling down."""
        return sum(site.level > 0 for site in self._known.values())

    def of_host(self, host: str, port: int, is_named: bool) -> Site:
        """The site of a host. `is_named`: by the configuration, not by MX."""
        preset = self._providers.of_host(host)
        if preset is not None:
            return self._site(preset.name, preset)
        if is_named:
            return self._site(_endpoint(host, port), self._providers.relay)
        return self._site(self._registered(host), self._providers.default)

    def named(self, name: str) -> Site:
        """The site of that name, as the store calls it."""
        preset = self._providers.named.get(name)
        if preset is None:
            preset = self._providers.relay if ":" in name else self._providers.default
        return self._site(name, preset)

    def bounds(self, host: str, port: int) -> tuple[str, int, int]:
        """What connections to a host are bound by: (site, how many of them, messages over each), 0 where nothing is said."""
        preset = self._providers.of_host(host)
        for name in (preset.name,) if preset else (_endpoint(host, port), self._registered(host)):
            if (site := self._known.get(name)) is not None:
                return name, site.limit, site.preset.terms.per_connection
        preset = preset or self._providers.default
        return preset.name, preset.terms.connections if preset.name else 0, preset.terms.per_connection

    def leave(self, site: Site) -> None:
        """One lane fewer leads there; the last one takes a site that is well along."""
        site.lanes -= 1
        if site.is_idle and not site.rate and self._known.get(site.name) is site:  # one with a rate must not be met anew within its second
            del self._known[site.name]

    def stale(self, now: float) -> list[Site]:
        """Those that were to recover and get no mail: they count as well from now on."""
        found = [site for site in self._known.values() if site.level and not site.count and not site.in_flight and now - site.stepped > FORGET]
        for site in found:
            site.restore(SiteState(site.name, suspended=site.suspended))
        return found

    def _site(self, name: str, preset: Preset) -> Site:
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= MAX_SITES:
                for idle in [site for site in self._known.values() if site.is_idle]:
                    del self._known[idle.name]
            found = self._known[name] = Site(name, preset, self._most)
        return found


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
