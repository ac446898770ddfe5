"""Parking: what goes back from the window into the store because it may not go now, and what people are told about that.

Promises
- What was claimed is given back, due now, with the reason: a pause costs no attempt. A message that is put back because its site cools down has an
  event that says so.
- A lane that goes down, a site that cools down or recovers, and the destinations that wait for one are written with the attempt that showed it.
- What people changed (held, deleted, sent back, suspended, resumed) is taken over before anything else is dialled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from twisted.logger import Logger

from jetmail.interfaces import IDatabase
from jetmail.outbound.gate import Gate
from jetmail.outbound.lane import Change, Lane
from jetmail.outbound.recorder import Recorder
from jetmail.outbound.sites import Site, Turn
from jetmail.outbound.window import Window
from jetmail.store.traffic import deliveries, lanes, sites
from jetmail.store.traffic.deliveries import COOLING

TOLD = 2000  # destinations of one site that people are told of


class Parking:
    """See the module. `look_at(when)` asks for a look at the store then."""

    def __init__(
        self,
        db: IDatabase,
        window: Window,
        recorder: Recorder,
        gate: Gate,
        now: Callable[[], float],
        look_at: Callable[[float], None],
        log: Logger,
    ) -> None:
        self._db = db
        self._window = window
        self._recorder = recorder
        self._gate = gate
        self._now = now
        self._look_at = look_at
        self._log = log

    def why(self, lane: Lane, now: float) -> tuple[str, str]:
        """Reason and reply of what cannot go in a lane that is closed."""
        if lane.is_down:
            return lane.reason, str(lane.reply) if lane.reply else ""
        if lane.site is not None and now < lane.site.not_before:
            return COOLING, lane.site.reply
        return "", ""

    def put_back(self, lane: Lane) -> None:
        """All that waits for the lane goes back into the store."""
        now = self._now()
        reason, reply = self.why(lane, now)
        rows = []
        for item in lane.drain():
            self._window.release(lane, [due.id for due in item.deliveries], item.octets)
            if item.claimed:
                rows.extend([(due.id, now, reason, reply) for due in item.deliveries])
        if rows:
            self._recorder.park(rows)

    def changed(self, lane: Lane, change: Change) -> None:
        """An attempt showed that the lane is down, or that it answers again."""
        if change is Change.DOWN:
            self._log.info(
                "destination {lane} is down ({reason}: {reply}), probed again in {pause} s",
                lane=lane.name, reason=lane.reason, reply=str(lane.reply), pause=round(lane.not_before - self._now()),
            )  # fmt: skip
            self._recorder.lane(lane.name, lane.state())
            self.put_back(lane)
            self._look_at(lane.not_before)
            self._look_at(lane.sweep_at)
            return
        self._log.info("destination {lane} answers", lane=lane.name)
        self._recorder.lane(lane.name, None, wake=change is Change.WAKE)
        lane.more = True

    def turned(self, site: Site, turn: Turn, lane: Lane) -> None:
        """An attempt of `lane` made the site cool down, or showed that it recovers."""
        self._recorder.site(site.state())
        if turn is not Turn.COOLED:
            self._log.info("site {site} is given more again ({left} steps to go)", site=site.name, left=site.level)
            return
        now = self._now()
        self._log.warn("site {site} {reply}; nothing for {pause} s", site=site.name, reply=site.reply, pause=round(site.not_before - now))
        self._close(site)
        self.behind(lane)
        self._look_at(now)  # who else has mail that waits for it?

    def closed(self, lane: Lane) -> None:
        """The lane leads to a site that is closed, which was not known before."""
        self.put_back(lane)
        self.behind(lane)
        self._recorder.flush()
        self._look_at(lane.opens)

    def behind(self, lane: Lane) -> None:
        """A lane with mail waits for its site, which is closed: people are told, once."""
        site = lane.site
        if site is None or lane.is_down or lane.told == site.epoch or site.told >= TOLD or not site.is_closed(self._now()):
            return
        lane.told = site.epoch
        site.told += 1
        state = site.state()
        self._recorder.behind(lane.name, replace(state, reply=f"the site {site.name} is suspended") if site.suspended else state)

    def restore(self) -> None:
        """The sites that were not well when we stopped."""
        for state in self._db.read(sites.states):
            self._gate.sites.named(state.name).restore(state)

    def tidy(self, now: float) -> None:
        """After a look: sites that cooled down and get no mail any more are well, and what the look found is written."""
        for site in self._gate.sites.stale(now):
            self._recorder.site(site.state())
        self._recorder.flush()

    def revalidate(self) -> None:
        """People changed the queue: let go of what they held, deleted or sent back, and learn what they suspended or want tried."""
        now = self._now()
        self._drop_invalid()
        states = {state.name: state for state in self._db.read(lanes.states)}
        known = {state.name: state for state in self._db.read(sites.states)}
        for name in known:
            self._gate.sites.named(name)
        self._gate.left.clear()
        for site in self._gate.sites:
            site.apply(known.get(site.name))
            site.told = 0
            if site.is_closed(now):
                self._close(site)
            self._gate.freed(site, now)
        for lane in self._window.lanes.values():
            lane.apply(states.get(lane.name))
            lane.told = -1
            if lane.suspended:
                self.put_back(lane)
            self._window.ready_up(lane, now)

    def _close(self, site: Site) -> None:
        self._gate.dismiss(site)
        for lane in self._lanes_to(site):
            if lane.waiting or lane.more:
                self.put_back(lane)
                self.behind(lane)

    def _lanes_to(self, site: Site) -> Iterable[Lane]:
        return [lane for lane in self._window.lanes.values() if lane.site is site]

    def _drop_invalid(self) -> None:
        waiting = [due.id for lane in self._window.lanes.values() for item in (*lane.fresh, *lane.loaded) for due in item.deliveries]
        valid: set[int] = set()
        for start in range(0, len(waiting), 500):
            valid |= self._db.read(deliveries.still_queued, waiting[start : start + 500])
        for lane in self._window.lanes.values():
            for item in list(lane.drain()):
                self._window.release(lane, [due.id for due in item.deliveries if due.id not in valid])
                item.deliveries = tuple([due for due in item.deliveries if due.id in valid])
                if item.deliveries:
                    (lane.fresh if item.claimed else lane.loaded).append(item)
                else:
                    self._window.octets -= item.octets
