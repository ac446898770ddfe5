"""Returns: what leaves the queue without an attempt.

Promises
- Mail that an operator sent back, and mail whose lifetime ends while its destination is down, becomes a report to its sender in the transaction that
  ends it. Senders of mail that waits for a destination that is down are told once that it is late.
- The report goes without the header when the content is lost.
"""

from __future__ import annotations

from collections.abc import Callable

from jetmail.errors import ContentMissingError
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound import bounce, telling
from jetmail.outbound.ending import FAULT, Ended, Endings
from jetmail.outbound.lane import Item, Lane
from jetmail.outbound.recorder import Finished, Recorder
from jetmail.outbound.schedule import ScheduleOptions
from jetmail.outbound.window import Window
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.messages import Content


class Returns:
    """See the module. `read` gives the content of a message or raises ContentMissingError."""

    def __init__(
        self,
        window: Window,
        endings: Endings,
        recorder: Recorder,
        schedule: ScheduleOptions,
        now: Callable[[], float],
        read: Callable[[MessageFacts], Content],
    ) -> None:
        self._window = window
        self._endings = endings
        self._recorder = recorder
        self._schedule = schedule
        self._now = now
        self._read = read

    def give_back(self, facts: MessageFacts, due: Due) -> None:
        """An operator sent it back."""
        now = self._now()
        lane = self._window.lane(due.destination)
        self._conclude(lane, facts, due, lambda item, content: self._endings.returned(now, item, content, bounce.returned()))

    def overdue(self, lane: Lane, found: list[tuple[MessageFacts, Due]]) -> None:
        """Too old, or late, while the lane is down: its last probe speaks for all."""
        now = self._now()
        last = Outcome(Result.LATER, lane.reason, lane.reply or FAULT.reply)
        gone = bounce.expired(last)
        for facts, due in found:
            if now >= due.queued + self._schedule.lifetime:
                self._conclude(lane, facts, due, lambda item, content: self._endings.returned(now, item, content, gone))
            else:
                self._conclude(lane, facts, due, lambda item, content: self._endings.late(now, item, content, last))

    def _conclude(self, lane: Lane, facts: MessageFacts, due: Due, end: Callable[[Item, Content | None], Ended]) -> None:
        content = None
        try:
            content = self._read(facts)
        except ContentMissingError:
            pass
        self._window.count(lane, (due.id,))
        item = Item(facts, (due,), None, False)
        ended = end(item, content)
        telling.returned(item, ended)
        self._recorder.finished(Finished(lane, ended.attempted, ended.reports))
