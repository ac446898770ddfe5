"""Finds out within two seconds that nobody answers, by a question nobody waits for, and says so to all who would ask.

Those who ask say so (`asking`), and that something came back, whatever it was (`heard`). When a question has stood for DOUBT seconds and nothing came
back since, `probe` is asked: something that whoever is alive knows at once. So one slow answer is not taken for a dead server. When the probe too
has no answer for PATIENCE seconds the breaker opens: `opened` is called, once, for those who wait to be told. From then on the probe is repeated
every `again` seconds, in the background, until it is answered.

Promises
- From the first unanswered question to the open breaker DOUBT + PATIENCE seconds pass, however many ask.
- At most one timer and one probe; none while nothing is asked and the breaker is closed. `probe` may fail or never end.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

DOUBT = 0.75  # seconds of silence until the probe is sent
PATIENCE = 1.0  # seconds until it is given up


class Breaker:
    """`oldest()` is when the oldest question that still stands was asked, None when none does. `probe()` -> Deferred that fires when anybody
    answered."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        again: float,
        oldest: Callable[[], float | None],
        probe: Callable[[], Deferred[None]],
        opened: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._again = again
        self._oldest = oldest
        self._probe = probe
        self._opened = opened
        self._heard = float("-inf")
        self._timer: IDelayedCall | None = None
        self._probing: Deferred[None] | None = None
        self.is_open = False

    def asking(self) -> None:
        """A question was asked."""
        if self._timer is None and self._probing is None:
            self._timer = self._clock.callLater(DOUBT, self._doubt)

    def heard(self) -> None:
        """Something came back."""
        self._heard = self._clock.seconds()

    def settled(self) -> None:
        """No question stands any more."""
        if not self.is_open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _doubt(self) -> None:
        self._timer = None
        oldest = self._oldest()
        if oldest is None:
            return
        left = DOUBT - (self._clock.seconds() - max(oldest, self._heard))
        if left > 0:
            self._timer = self._clock.callLater(left, self._doubt)
        else:
            self._ask()

    def _ask(self) -> None:
        self._timer = None
        self._probing = probing = self._probe()
        if not probing.called:
            probing.addTimeout(PATIENCE, self._clock)
        began = self._clock.seconds()
        probing.addCallbacks(lambda _: self.heard(), lambda _: None)
        probing.addCallback(lambda _: self._judge(began))

    def _judge(self, began: float) -> None:
        self._probing = None
        if self._heard >= began:
            if self.is_open:
                self.log.info("DNS: servers answer again")
                self.is_open = False
            if self._oldest() is not None:
                self.asking()
            return
        if not self.is_open:
            self.is_open = True
            self.log.warn("DNS: no server answers, nothing is asked any more; one probe every {seconds} s", seconds=self._again)
            self._opened()
        self._timer = self._clock.callLater(self._again, self._ask)
