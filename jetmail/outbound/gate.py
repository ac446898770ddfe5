"""The gate: which site a lane leads to, and whose turn it is when several lanes lead to one.

Promises
- Before anything of a lane is dialled its site is known, or known to be unknowable now (then the attempt finds that out for itself and says so). A
  destination that the configuration names costs no look-up; one found by MX costs the look-up that its attempt would make anyway, and at most
  FINDING of them are under way at once.
- Lanes that wait for one site come in turn, one attempt each. Nothing is dialled or claimed for a lane that waits: its mail is in the store.
- One timer for all sites, set to the first that has room again.
- At most WAITING lanes stand in line at one site. When there are more, each leaves the line after its attempt, and looks at the store go on where
  the last one stopped, so that all of them have their turn.

Raises nothing. No starving: a lane that is called and has nothing to send passes its place on.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.mail.outcome import Outcome
from jetmail.outbound.lane import Lane, Pulse
from jetmail.outbound.sites import Site, Sites, Turn
from jetmail.outbound.window import Window

FINDING = 50  # look-ups at once
UNFOUND = 500  # lanes that may wait for one before no more are taken from the store
LEFT = 50_000  # destinations remembered so that looks pass them by
WAITING = 200  # lanes in line at one site
KNOWN_NAMED = 30.0  # seconds the site of a destination that the configuration names is believed
KNOWN_MX = 300.0  # the same for one found by MX
UNKNOWN = 30.0  # seconds until one that could not be found is looked up again


class Best(NamedTuple):
    """The host a destination's mail goes to first. `is_named`: by the configuration, not by MX."""

    host: str
    port: int
    is_named: bool


_log = Logger()
TURNED_AWAY = (421, 450)  # said by a peer in its greeting; what we say ourselves of a host that cannot be reached is 451
Find = Callable[[str], Best | None | Deferred]  # -> Best, None (there is none), or a Deferred of either


class Gate:
    """See the module. `pump()` is called when lanes may have become ready, `look_soon()` when a site has room for mail left in the store,
    `closed(lane)` when a lane turns out to lead to a site that is closed."""

    def __init__(
        self,
        sites: Sites,
        find: Find,
        window: Window,
        clock: Any,
        now: Callable[[], float],
        pump: Callable[[], None],
        look_soon: Callable[[], None],
        closed: Callable[[Lane], None],
    ) -> None:
        self.sites = sites
        self._find = find
        self._window = window
        self._clock = clock
        self._now = now
        self._pump = pump
        self._look_soon = look_soon
        self._closed = closed
        self.left: dict[str, Site] = {}  # destinations whose mail was left in the store, and the site that was full or closed
        self._finding = 0
        self._unfound: deque[Lane] = deque()
        self._alarms: list[tuple[float, int, Site]] = []
        self._armed: set[Site] = set()
        self._numbers = count()
        self._timer: Any = None
        self._timer_at = 0.0

    @property
    def is_full(self) -> bool:
        """So many lanes wait to be looked up that no more should be taken from the store."""
        return len(self._unfound) >= UNFOUND

    def passes(self, lane: Lane, now: float) -> bool:
        """May this lane, which has room itself, begin an attempt now? If not it is in line and comes back into the round by itself."""
        if now >= lane.site_until and not self.is_found(lane, now):
            return False
        site = lane.site
        if site is None:
            return True
        if site.is_closed(now):
            self.declined(lane)
            self._closed(lane)
            return False
        if lane.is_called:
            lane.is_called = False
            site.called -= 1
            if site.has_room(now):
                return True
            site.waiting.appendleft(lane)
        elif not site.waiting and not site.called and site.has_room(now):
            return True
        elif not lane.waiting and (site.is_starved or len(site.waiting) >= WAITING):
            site.is_starved = True  # its mail is in the store, and a look takes it up again
            self.leave(lane)
            return False
        else:
            site.waiting.append(lane)
        lane.is_ready = True
        return False

    def leave(self, lane: Lane) -> None:
        """Its mail stays in the store for the sake of its site; the lane itself may be forgotten meanwhile."""
        if lane.site is not None and not lane.is_down:
            if len(self.left) >= LEFT:
                self.left.clear()
            self.left[lane.name] = lane.site

    def line_up(self, lane: Lane, now: float) -> None:
        """A lane with due mail in the store, which it reads when it is its turn."""
        lane.more = True
        site = lane.site
        if site is not None and not lane.is_ready and lane.has_room(now):
            lane.is_ready = True
            site.waiting.append(lane)
            self.freed(site, now)

    def declined(self, lane: Lane) -> None:
        """It came and cannot go: its place is another's."""
        if lane.is_called:
            lane.is_called = False
            if (site := lane.site) is not None:
                site.called -= 1
                self.freed(site, self._now())

    def freed(self, site: Site, now: float) -> None:
        """There may be room: call those whose turn it is, or see to it that they are called when there is."""
        waiting = site.waiting
        while waiting and site.in_flight + site.called < site.limit and not (site.rate and site.called) and site.has_room(now):
            lane = waiting.popleft()
            lane.is_called = True
            site.called += 1
            self._window.ready.append(lane)
        if waiting and not site.called and site.in_flight < site.limit and site not in self._armed and not site.suspended:
            self._armed.add(site)
            heapq.heappush(self._alarms, (site.opens(), next(self._numbers), site))
            self._set_timer(now)
        if site.is_starved and len(waiting) * 2 < WAITING:
            site.is_starved = False
            self._look_soon()

    def dismiss(self, site: Site) -> None:
        """The site is closed: nobody stands in line there."""
        while site.waiting:
            site.waiting.popleft().is_ready = False

    def rebase(self, now: float) -> None:
        """The clock went back."""
        for lane in self._window.lanes.values():
            lane.site_until = min(lane.site_until, now + KNOWN_MX) if lane.site is not None else lane.site_until
        self._cancel()
        for site in self.sites:
            site.rebase(now)
            self.freed(site, now)

    def stop(self) -> None:
        """No more calls, and nobody in line."""
        self._cancel()
        self._unfound.clear()
        for site in self.sites:
            self.dismiss(site)

    # which site

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._alarms.clear()
        self._armed.clear()

    def is_found(self, lane: Lane, now: float) -> bool:
        """Where the lane leads is known, or known to be unknowable. If not, that is being looked up, and the lane comes into the round by itself."""
        if lane.is_ready:
            return False  # it is being looked up already
        if self._finding >= FINDING:
            self.declined(lane)
            lane.is_ready = True
            self._unfound.append(lane)
            return False
        try:
            found = self._find(lane.name)
        except Exception:  # the attempt will find it in its own way, and say so
            _log.failure("cannot tell where {lane} leads", lane=lane.name)
            found = None
        if not isinstance(found, Deferred):
            self._believe(lane, found, now)
            return True
        answers: list[Any] = []
        is_waiting = False

        def answered(answer: Any) -> None:
            if is_waiting:
                self._found(lane, answer)
            else:
                answers.append(answer)

        found.addCallbacks(answered, lambda failure: answered(None))
        if answers:
            self._believe(lane, answers[0], now)
            return True
        is_waiting = True
        self.declined(lane)
        lane.is_ready = True
        self._finding += 1
        return False

    def _believe(self, lane: Lane, best: Best | None, now: float) -> None:
        if best is None:  # what was known of it is still the best guess
            lane.site_until = now + UNKNOWN
            return
        site = self.sites.of_host(*best)
        if site is not lane.site:
            self.declined(lane)
            self._window.move(lane, site)
        lane.site_until = now + (KNOWN_NAMED if best.is_named else KNOWN_MX)

    def _found(self, lane: Lane, best: Best | None) -> None:
        now = self._now()
        self._finding -= 1
        self._believe(lane, best, now)
        self._again(lane, now)
        while self._unfound and self._finding < FINDING:
            other = self._unfound.popleft()
            other.is_ready = False
            if self.is_found(other, now):
                self._again(other, now)
        self._pump()

    def _again(self, lane: Lane, now: float) -> None:
        lane.is_ready = False
        self._window.ready_up(lane, now)

    # whose turn, when time makes room

    def _set_timer(self, now: float) -> None:
        when = self._alarms[0][0]
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.callLater(max(0.0, when - now), self._rung)

    def _rung(self) -> None:
        self._timer = None
        now = self._now()
        while self._alarms and self._alarms[0][0] <= now:
            site = heapq.heappop(self._alarms)[2]
            self._armed.discard(site)
            self.freed(site, now)
        if self._alarms:
            self._set_timer(now)
        self._pump()


def heard(site: Site, epoch: int, pulse: Pulse, outcome: Outcome | None, now: float, factor: float) -> tuple[Turn, Pulse]:
    """What the end of an attempt says of its site, and what it says of its lane in this light: a host that turns us away because we are too many is
    there, so its lane is not down. Gives the attempt's place back."""
    if pulse is Pulse.SUCCESS:
        return site.succeeded(epoch, now), pulse
    if outcome is None or not (pulse is Pulse.ANSWERED or (pulse is Pulse.FAULT and outcome.reply.code in TURNED_AWAY)):
        site.left()
        return Turn.NONE, pulse
    if pulse is Pulse.FAULT and site.preset.throttles(outcome.reply):
        pulse = Pulse.ANSWERED
    return site.answered(epoch, now, outcome.reply, factor, outcome.about), pulse
