"""The lookout: finds in the store what is due, and keeps the queue's one timer.

Promises
- One timer for the whole queue, set to the earliest thing that will be due. A look walks the destinations with waiting mail (one index seek each, in
  slices, so that thousands of them never hold the reactor up) and fills the window from those that are due.
- A look that finds the window full goes on at the same destination when there is room: every destination gets its turn.
- What people changed behind the queue's back (`queue_version`) is noticed at the next look or `wake`, before anything else is dialled.
- A wall clock that went back makes nothing wait longer than the schedule's longest pause from now; one that went forward makes mail due, which the
  window and the lanes' concurrency spread, and returns nothing untried. Timers are given as spans to `clock`; `now` is the wall.
- Of lanes that lead to a site which has enough in hand no mail is taken: they stand in line (gate.py), and what is left in the store for want of a
  place in line comes first at a later look.
- While a destination is down its waiting mail is not dialled, but what reaches the end of its lifetime is returned, and late senders are told.

Faults are logged and the store is looked at again later; only `fill` and `check_version` raise StoreError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.interfaces import IDatabase
from jetmail.outbound.gate import WAITING, Gate
from jetmail.outbound.lane import Item, Lane, QueueOptions
from jetmail.outbound.parking import Parking
from jetmail.outbound.schedule import ScheduleOptions, longest_wait
from jetmail.outbound.sites import FORGET, Site
from jetmail.outbound.window import Window
from jetmail.store.traffic import deliveries, lanes, sites
from jetmail.store.traffic.deliveries import OPERATOR, Due, MessageFacts

SLICE = 200  # destinations a look visits before the reactor gets its turn
SWEEP = 100  # overdue deliveries taken from one destination at once
PAUSE = 5.0  # seconds until the store is looked at again after it failed
SLACK = 60.0  # seconds the clock may go back before it is believed


class Lookout:
    """See the module. `pump()` is called when lanes may have work, `give_back(facts, due)` for what an operator sent back, `overdue(lane, found)` for
    mail of a down lane that is too old or late; `parking` is told when people changed the queue and of lanes whose site is closed."""

    def __init__(
        self,
        db: IDatabase,
        clock: Any,
        now: Callable[[], float],
        window: Window,
        schedule: ScheduleOptions,
        options: QueueOptions,
        log: Logger,
        pump: Callable[[], None],
        give_back: Callable[[MessageFacts, Due], None],
        overdue: Callable[[Lane, list[tuple[MessageFacts, Due]]], None],
        parking: Parking,
        gate: Gate,
    ) -> None:
        self._db = db
        self._clock = clock
        self._now = now
        self._window = window
        self._schedule = schedule
        self._options = options
        self._log = log
        self._pump = pump
        self._give_back = give_back
        self._overdue = overdue
        self._parking = parking
        self._gate = gate
        self._looks = 0
        self._skipped: set[Site] = set()
        self._timer: Any = None
        self._turn: Any = None
        self._sweep_turn: Any = None
        self._timer_at = 0.0
        self._last_look = float("-inf")
        self._latest = float("-inf")
        self._cursor = ""
        self._soonest = 0.0
        self._is_looking = False
        self._is_partial = False
        self._is_sweeping = False
        self._version: int | None = None
        self.is_running = False
        self.is_starved = False  # there was more due than the window could take

    def start(self) -> None:
        """Put right what a clock change left behind while we were not running, then look."""
        self.is_running = True
        self._latest = self._now()
        self._set_right().addBoth(lambda _: self.look_soon())

    def stop(self) -> None:
        """No more looks."""
        self.is_running = False
        self._is_looking = False
        self._cancel()
        for call in (self._turn, self._sweep_turn):
            if call is not None:
                call.cancel()
        self._turn = self._sweep_turn = None

    def at(self, when: float) -> None:
        """Something will be due then."""
        if not self.is_running or self._is_looking:
            self._soonest = min(self._soonest, when)
            return
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        now = self._now()
        self._timer_at = min(max(when, self._last_look + self._options.look_interval, now), now + self._options.longest_sleep)
        self._timer = self._clock.callLater(self._timer_at - now, self._look)

    def look_soon(self) -> None:
        """Look as soon as the pace of looking allows."""
        self.at(self._now())

    def notice(self, now: float) -> None:
        """Compare the wall clock with the latest time it showed."""
        if now >= self._latest - SLACK:
            if now > self._latest:
                self._latest = now
            return
        self._log.warn("the clock went back by {seconds} s", seconds=round(self._latest - now))
        self._latest = now
        self._last_look = float("-inf")
        self._cancel()
        for lane in self._window.lanes.values():
            lane.not_before = min(lane.not_before, now + max(self._options.lane_pauses))
            lane.sweep_at = min(lane.sweep_at, now)
        self._gate.rebase(now)
        self._set_right().addBoth(lambda _: self.look_soon())

    def fill(self, lane: Lane, now: float) -> None:
        """Take due mail of one lane into the window, as much as it can use soon."""
        options = self._options
        site = lane.site
        is_one_of_many = site is not None and (site.rate > 0 or (site.count > lane.count and site.is_pressed(now)))
        share = 1 if lane.is_down or is_one_of_many else 2 * int(lane.limit) + 10
        in_hand = sum(len(item.deliveries) for item in lane.loaded)
        room = self._window.room
        if room <= 0:
            lane.more = False  # the look after the next release finds it again
            self.is_starved = True
            return
        wanted = min(share - in_hand, room)
        if wanted <= 0:
            lane.more = True
            return
        # What is in the window may come first again: an attempt that takes longer than its wait, or a claim under way.
        limit = wanted + lane.count
        rows = self._db.read(deliveries.due, now, lane.name, limit)
        lane.more = len(rows) == limit
        known = self._window.ids
        found: dict[int, tuple[MessageFacts, list[Due]]] = {}
        for facts, due in rows:
            if due.id in known:
                continue
            if wanted <= 0:
                lane.more = True
                break
            wanted -= 1
            if due.reason == OPERATOR:
                self._give_back(facts, due)
            else:
                found.setdefault(facts.id, (facts, []))[1].append(due)
        for facts, dues in found.values():
            for start in range(0, len(dues), options.recipients_per_job):
                self._window.admit(lane, Item(facts, tuple(dues[start : start + options.recipients_per_job]), None, False), now)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_right(self) -> Deferred:
        now = self._now()
        done: Deferred = self._db.run(_set_right, now, longest_wait(self._schedule) + SLACK)
        done.addErrback(lambda failure: self._log.failure("cannot set due times right", failure))
        return done

    def _look(self) -> None:
        self._timer = None
        if not self.is_running or self._is_looking:
            return
        now = self._now()
        self.notice(now)
        self._cancel()
        self._last_look = now
        self._is_looking = True
        self._looks += 1
        self._is_partial = bool(self._cursor)
        self._soonest = now + self._options.longest_sleep
        self.is_starved = False
        try:
            self.check_version()
            self._slice()
        except Exception:  # whatever it is, the queue must look again
            self._broken()

    def check_version(self) -> None:
        """Have people changed the queue?"""
        version = self._db.read(lanes.version)
        if version != self._version:
            if self._version is not None:
                self._parking.revalidate()
            self._version = version

    def _slice(self) -> None:
        now = self._now()
        rows = self._db.read(lanes.following, self._cursor, SLICE)
        for name, due in rows:
            if due <= now:
                if not self._is_left(name, now):
                    lane = self._window.lane(name)
                    if not lane.is_closed(now) or lane.may_lead_elsewhere(now):
                        if self._window.room <= 0 or self._gate.is_full:
                            self.is_starved = True
                            break
                        self._take(lane, now)
                    elif not lane.suspended:
                        self._wait_for(lane)
            elif (known := self._window.lanes.get(name)) is None or not known.suspended:
                self._soonest = min(self._soonest, due)
            self._cursor = name
        else:
            self._pump()
            if len(rows) == SLICE:
                self._turn = self._clock.callLater(0, self._continue)
            elif self._is_partial:  # it began in the middle: now the destinations before it
                self._is_partial = False
                self._cursor = ""
                self._turn = self._clock.callLater(0, self._continue)
            else:
                self._cursor = ""
                self._ended(now)
            return
        self._pump()
        self._ended(now)

    def _is_left(self, name: str, now: float) -> bool:
        """Its site was full or closed when it was met last, and still is: then nothing is made or looked up for it."""
        site = self._gate.left.get(name)
        if site is None:
            return False
        if site.suspended:
            del self._gate.left[name]  # it may lead elsewhere by now
            return False
        if site.is_closed(now):
            self._soonest = min(self._soonest, site.closed_until)
            return True
        if self._is_refused(site, name):
            return True
        del self._gate.left[name]
        return False

    def _is_refused(self, site: Site, name: str) -> bool:
        """There is no place in line, or it is the turn of others."""
        if name < site.turn_of:
            self._skipped.add(site)
        elif len(site.waiting) < WAITING:
            return False
        elif site.refused_in != self._looks:
            site.refused_in, site.turn_of = self._looks, name
        site.is_starved = True
        return True

    def _wait_for(self, lane: Lane) -> None:
        self._soonest = min(self._soonest, lane.opens)
        self._parking.behind(lane)
        self._gate.leave(lane)

    def _take(self, lane: Lane, now: float) -> None:
        if now >= lane.site_until and not self._gate.is_found(lane, now):
            lane.more = True
            return
        site = lane.site
        if lane.is_closed(now):
            self._wait_for(lane)
        elif site is None or not (site.rate > 0 or site.is_pressed(now)):
            self.fill(lane, now)
        elif not lane.is_ready and self._is_refused(site, lane.name):
            self._gate.leave(lane)
        else:
            self._gate.line_up(lane, now)

    def _continue(self) -> None:
        self._turn = None
        try:
            self._slice()
        except Exception:
            self._broken()

    def _broken(self) -> None:
        self._log.failure("cannot look for due mail")
        self._is_looking = False
        self._cursor = ""
        self.at(self._now() + PAUSE)

    def _ended(self, now: float) -> None:
        self._is_looking = False
        for site in self._skipped:
            if site.refused_in != self._looks:
                site.turn_of = ""  # all after it had their turn
        self._skipped.clear()
        self._parking.tidy(now)
        self.at(self._soonest)
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        due = None
        for lane in self._window.lanes.values():
            # One that is to be probed now is probed first: nothing is returned untried.
            is_suspended = lane.suspended or (lane.site is not None and lane.site.suspended)
            if not lane.is_down or is_suspended or now >= lane.not_before:
                continue
            if lane.sweep_at > now:
                self.at(lane.sweep_at)
            elif due is None:
                due = lane
        if due is None or self._is_sweeping:
            return
        self._is_sweeping = True
        due.sweep_at = now + self._options.sweep_interval
        found: Deferred = self._db.search(_overdue, now, due.name, self._schedule.lifetime, self._schedule.delay_notice)
        found.addCallback(self._swept, due)
        found.addErrback(lambda failure: self._log.failure("cannot search for expired mail", failure))
        found.addBoth(self._sweep_ended)

    def _swept(self, found: tuple[list[tuple[MessageFacts, Due]], float], lane: Lane) -> None:
        rows, soonest = found
        now = self._now()
        # A full batch has more behind it, once what it found is recorded.
        lane.sweep_at = now + self._options.look_interval if len(rows) == SWEEP else max(soonest, now + self._options.sweep_interval)
        if lane.is_down and now < lane.not_before and self.is_running:
            self._overdue(lane, [(facts, due) for facts, due in rows if due.id not in self._window.ids])

    def _sweep_ended(self, _: Any) -> None:
        self._is_sweeping = False
        if self.is_running:
            self._sweep_turn = self._clock.callLater(0, self._sweep_next)

    def _sweep_next(self) -> None:
        self._sweep_turn = None
        self._sweep(self._now())


def _set_right(conn: Any, now: float, horizon: float) -> None:
    lanes.rebase(conn, now, horizon)
    lanes.prune(conn, now - FORGET)
    sites.prune(conn, now - FORGET)


def _overdue(conn: Any, now: float, name: str, lifetime: float, delay_notice: float) -> tuple[list[tuple[MessageFacts, Due]], float]:
    late = now - delay_notice if delay_notice > 0 else float("-inf")
    rows = deliveries.overdue(conn, name, now - lifetime, late, SWEEP)
    return rows, deliveries.next_overdue(conn, name, now, lifetime, delay_notice)
