"""The window: the bounded part of the queue that is in memory, by lane.

Promises
- Never more deliveries than `window`, counting those waiting, on the wire, not yet recorded, and promised to transactions that are accepting now.
- Fresh mail may fill a part only, and under pressure no lane keeps more than its fair part, so a slow destination cannot shut the others out.
- Lanes that do nothing are forgotten when there are many; what matters of them is in the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from jetmail.outbound.lane import Item, Lane, QueueOptions
from jetmail.outbound.sites import Site

MAX_IDLE_LANES = 5000


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """For metrics and for people. Deliveries, but for `lanes`, `down`, `cooling` (sites) and `attempts` (on the wire)."""

    window: int
    reserved: int
    attempts: int
    unrecorded: int
    lanes: int
    down: int
    is_recording: bool
    cooling: int = 0


class Window:
    """See the module. `make` builds a lane from what the store knows of it, `leave` hears of each that leads to a site no more."""

    def __init__(self, options: QueueOptions, make: Callable[[str], Lane], leave: Callable[[Site], None] = lambda site: None) -> None:
        self._options = options
        self._make = make
        self._leave = leave
        self._fresh_limit = int(options.window * options.fresh_share)
        self.lanes: dict[str, Lane] = {}
        self.ready: deque[Lane] = deque()
        self.ids: set[int] = set()
        self.reserved = 0
        self.octets = 0
        self.busy = 0  # lanes with something in the window

    @property
    def used(self) -> int:
        """Places taken."""
        return len(self.ids)

    @property
    def room(self) -> int:
        """Places free for mail read back from the store."""
        return self._options.window - len(self.ids) - self.reserved

    def reserve(self, count: int) -> bool:
        """Promise places to fresh mail."""
        if len(self.ids) + self.reserved + count > self._fresh_limit:
            return False
        self.reserved += count
        return True

    def unreserve(self, count: int) -> None:
        """The promise was used, or is not needed."""
        self.reserved = max(0, self.reserved - count)

    def lane(self, name: str) -> Lane:
        """The lane of that destination."""
        if (lane := self.lanes.get(name)) is None:
            if len(self.lanes) >= MAX_IDLE_LANES:
                self._evict()
            lane = self.lanes[name] = self._make(name)
        return lane

    def is_crowded(self, lane: Lane) -> bool:
        """The window is half full, and this lane has more than its fair part of it, or many lanes of one site have the half of it."""
        window = self._options.window
        if len(self.ids) * 2 <= window:
            return False
        site = lane.site
        return lane.count * max(1, self.busy) * 2 > window or (site is not None and site.count > lane.count and site.count * 2 > window)

    def move(self, lane: Lane, site: Site) -> None:
        """That lane leads to that site now."""
        old = lane.site
        if old is site:
            return
        lane.site = site
        site.lanes += 1
        site.count += lane.count
        if old is not None:
            old.count -= lane.count
            self._leave(old)

    def admit(self, lane: Lane, item: Item, now: float) -> None:
        """Take an item in. Content beyond the memory set aside for it is dropped and read back when its turn comes."""
        self.count(lane, [due.id for due in item.deliveries])
        if octets := item.octets:
            if self.octets + octets > self._options.content_octets and item.facts.content_id is not None:
                item.content = None
            else:
                self.octets += octets
        (lane.fresh if item.claimed else lane.loaded).append(item)
        self.ready_up(lane, now)

    def count(self, lane: Lane, ids: Collection[int]) -> None:
        """Give these deliveries places until `release`."""
        if not lane.count:
            self.busy += 1
        lane.count += len(ids)
        if lane.site is not None:
            lane.site.count += len(ids)
        self.ids.update(ids)

    def ready_up(self, lane: Lane, now: float) -> None:
        """Put a lane in the round when it has something to do."""
        if not lane.is_ready and (lane.fresh or lane.loaded or lane.more) and lane.has_room(now):
            lane.is_ready = True
            self.ready.append(lane)

    def release(self, lane: Lane, ids: Iterable[int], octets: int = 0) -> None:
        """Give places back: recorded, or not ours to deliver any more."""
        before = len(self.ids)
        self.ids.difference_update(ids)
        if gone := before - len(self.ids):
            lane.count -= gone
            if lane.site is not None:
                lane.site.count -= gone
            if not lane.count:
                self.busy -= 1
        self.octets -= octets

    def _evict(self) -> None:
        idle = [name for name, lane in self.lanes.items() if lane.is_idle and not lane.is_ready]
        for name in idle[: MAX_IDLE_LANES // 2]:
            lane = self.lanes.pop(name)
            if lane.site is not None:
                self._leave(lane.site)
