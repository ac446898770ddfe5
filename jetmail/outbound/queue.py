"""The queue: decides when each delivery is attempted, and how many at once.

Promises
- The store is the truth; memory holds a bounded window. A restart reads back no more than that, 100,000 waiting rows cost nothing.
- Fresh mail goes from its accepting transaction straight to the wire: that transaction claimed the first attempt, the content is at hand, nothing is
  read back, and the outcome is one transaction that group commit shares with its neighbours.
- Everything else is claimed (attempt and next due time recorded) before it is dialled. What a crash interrupts is tried again at that time.
- Destinations take turns; a destination that is down gets one probe at a time however much waits for it; a success wakes what waits, with a ramp.
- Destinations that one provider or host stands behind share what that is given (sites.py, gate.py); what must wait for it is neither dialled nor
  claimed.
- An outcome that cannot be recorded is kept and never sent again; nothing new starts until recording works.
- An attempt that breaks in our own hands is "later" and an event, never the end of the queue.

Raises nothing after `startService`. Time: due times are wall clock (`now`), waits are spans given to `clock`.
Decision: design 5, 6; docs/queue.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.errors import ContentMissingError, StoreError
from jetmail.interfaces import IContentStore, IDatabase, IEntropy, IQueueDoor
from jetmail.mail.outcome import Outcome
from jetmail.outbound import schedule, telling
from jetmail.outbound.bounce import Reporter
from jetmail.outbound.ending import MISSING, Endings, Strikes, with_event
from jetmail.outbound.gate import Find, Gate, heard
from jetmail.outbound.job import Job
from jetmail.outbound.lane import Change, Item, Lane, Pulse, QueueOptions, pulse_of
from jetmail.outbound.lookout import Lookout
from jetmail.outbound.parking import Parking
from jetmail.outbound.providers import Providers
from jetmail.outbound.recorder import Finished, Recorder
from jetmail.outbound.returns import Returns
from jetmail.outbound.schedule import ScheduleOptions
from jetmail.outbound.sites import Sites, Turn
from jetmail.outbound.window import QueueFigures, Window
from jetmail.store.traffic import deliveries, lanes, messages
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.messages import Accepted, Content
from jetmail.store.traffic.settlement import Settled, Settlement


class Deliverer(Protocol):
    """What makes attempts."""

    def deliver(self, job: Job) -> Deferred[dict[int, Outcome]]:
        """-> an outcome for each delivery id. Should never fail; when it does, that is 'later'."""


@implementer(IQueueDoor)
class Queue(Service):
    """`now`: the wall clock in epoch seconds; without it `clock.seconds`. `on_outcome` is told of each, for metrics; `strikes` as in Endings.
    `find` tells the host a destination leads to, as in gate.py; without it lanes lead to no site."""

    def __init__(
        self,
        db: IDatabase,
        deliverer: Deliverer,
        content_store: IContentStore,
        schedule_options: ScheduleOptions,
        clock: Any,
        entropy: IEntropy,
        options: QueueOptions,
        reporter: Reporter,
        log: Logger,
        now: Callable[[], float] | None = None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
        strikes: Strikes | None = None,
        sites: Sites | None = None,
        find: Find | None = None,
    ) -> None:
        self._db = db
        self._deliverer = deliverer
        self._content_store = content_store
        self._schedule = schedule_options
        self._clock = clock
        self._entropy = entropy
        self._options = options
        self._log = log
        self._on_outcome = on_outcome
        self._now: Callable[[], float] = now or clock.seconds
        sites = sites if sites is not None else Sites(Providers())
        self._is_gated = find is not None
        self._window = Window(options, self._make_lane, sites.leave)
        self._gate = Gate(
            sites, find or (lambda name: None), self._window, clock, self._now, lambda: self._pump(), lambda: self._lookout.look_soon(),
            lambda lane: self._parking.closed(lane),
        )  # fmt: skip
        self._endings = Endings(schedule_options, reporter, entropy, strikes)
        self._recorder = Recorder(db, clock, self._now, options, self._settled, log)
        returns = Returns(self._window, self._endings, self._recorder, schedule_options, self._now, self._read)
        self._parking = parking = Parking(db, self._window, self._recorder, self._gate, self._now, lambda when: self._lookout.at(when), log)
        self._lookout = Lookout(
            db, clock, self._now, self._window, schedule_options, options, log, self._pump, returns.give_back, returns.overdue, parking, self._gate
        )
        self._attempts = 0
        self._is_pumping = False
        self._pause: Any = None
        self._to_claim: list[tuple[Lane, Item, int]] = []
        self._quiet: Deferred | None = None

    # the door for the receiving side

    def first_retry(self, now: float) -> float:
        """The due time an accepting transaction records with the first attempt."""
        return schedule.claim(self._schedule, now, 1, self._entropy.uniform())

    def reserve(self, count: int, destinations: Collection[str] = ()) -> bool:
        """True: claim the first attempt, and call `enqueued` or `cancel` with as many deliveries. False for a destination that is down too: what
        would only be parked again is better not claimed, which saves a transaction for each message while it is away."""
        now = self._now()
        known = self._window.lanes
        must_wait = any((lane := known.get(name)) is not None and lane.is_held_back(now) for name in destinations)
        if self.running and not must_wait and self._window.reserve(count):
            return True
        # They will be in the store a moment from now; the pace of looking is longer than a commit.
        self._lookout.is_starved = True
        self._lookout.at(now + self._options.look_interval)
        return False

    def trouble(self, destination: str) -> tuple[str, str]:
        """Why mail for that destination waits."""
        lane, now = self._window.lanes.get(destination), self._now()
        return self._parking.why(lane, now) if lane is not None and lane.is_closed(now) else ("", "")

    def cancel(self, count: int) -> None:
        """The commit failed."""
        self._window.unreserve(count)

    def enqueued(self, message: Accepted, content: Content) -> None:
        """After the commit: straight to the wire, or back to the store where its lane is down or has more than its part."""
        dues = message.deliveries
        if not dues or not dues[0].attempts:
            if self.running:
                self._lookout.look_soon()
            return
        self._window.unreserve(len(dues))
        if not self.running:
            return  # claimed and in the store: it comes back at its recorded time
        try:
            self._take_in(message.facts, dues, content)
        except Exception:
            # The message is safe in the store; whatever broke here must not turn its 250 into a 451.
            self._log.failure("message {uid} waits for its second attempt", uid=message.uid)

    def _take_in(self, facts: MessageFacts, dues: tuple[Due, ...], content: Content) -> None:
        now = self._now()
        self._lookout.notice(now)
        if len(dues) == 1:
            self._enter(dues[0].destination, facts, dues, content, now)
        else:
            by_destination: dict[str, list[Due]] = {}
            for due in dues:
                by_destination.setdefault(due.destination, []).append(due)
            size = self._options.recipients_per_job
            for name, found in by_destination.items():
                for start in range(0, len(found), size):
                    self._enter(name, facts, tuple(found[start : start + size]), content, now)
        self._pump()

    def wake(self) -> None:
        """Rows may have become due, or people changed some."""
        if not self.running:
            return
        try:
            self._lookout.check_version()
        except StoreError:
            self._log.failure("cannot read the queue's version")
        self._lookout.look_soon()

    def figures(self) -> QueueFigures:
        """How things stand."""
        known = self._window.lanes
        return QueueFigures(
            self._window.used,
            self._window.reserved,
            self._attempts,
            self._recorder.pending,
            len(known),
            sum(lane.is_down for lane in known.values()),
            not self._recorder.is_failing,
            self._gate.sites.cooling,
        )

    # Service

    def startService(self) -> None:
        """Begin to deliver."""
        super().startService()
        self._parking.restore()
        self._lookout.start()

    def stopService(self) -> Deferred:
        """Start nothing new, give what is on the wire `grace` seconds, write what was learnt, leave the rest to the store."""
        super().stopService()
        self._lookout.stop()
        self._gate.stop()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for lane in list(self._window.lanes.values()):
            self._parking.put_back(lane)
        quiet: Deferred = Deferred()
        self._quiet = quiet
        if not self._attempts:
            self._quiet = None
            quiet.callback(None)
        done = quiet.addCallback(lambda _: self._recorder.drained())
        patience = self._clock.callLater(self._options.grace, self._give_up, done)
        waiting = DeferredList([done], consumeErrors=True)

        def stopped(_: Any) -> None:
            if patience.active():
                patience.cancel()
            self._recorder.stop()

        return waiting.addCallback(stopped)

    def _give_up(self, done: Deferred) -> None:
        self._log.warn(
            "stopped with {attempts} attempts on the wire and {pending} not recorded: they will be repeated",
            attempts=self._attempts,
            pending=self._recorder.pending,
        )
        self._quiet = None
        done.cancel()

    # into the window and out of it

    def _make_lane(self, name: str) -> Lane:
        state, has_failed = self._db.read(lanes.state, name)
        lane = Lane(state, has_failed, self._options)
        if self._is_gated:
            lane.site_until = 0.0
        return lane

    def _enter(self, name: str, facts: MessageFacts, dues: tuple[Due, ...], content: Content, now: float) -> None:
        window = self._window
        lane = window.lane(name)
        if lane.is_closed(now) or window.is_crowded(lane):
            reason, reply = self._parking.why(lane, now)
            self._recorder.park([(due.id, now, reason, reply) for due in dues])
            self._lookout.is_starved = True
            self._lookout.at(max(lane.opens, now + self._options.look_interval))
        else:
            window.admit(lane, Item(facts, dues, content, True), now)

    def _pump(self) -> None:
        """Start attempts while there is room, lane by lane."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            self._start_ready()
            while self._to_claim:
                self._claim()
                self._start_ready()
        finally:
            self._is_pumping = False

    def _start_ready(self) -> None:
        now = self._now()
        ready = self._window.ready
        while ready and self._attempts < self._options.concurrency and self._may_start():
            lane = ready.popleft()
            lane.is_ready = False
            if not lane.has_room(now):
                self._gate.declined(lane)
            elif self._gate.passes(lane, now):
                self._start(lane, now)
            if (site := lane.site) is not None and (site.waiting or site.is_starved):
                self._gate.freed(site, now)

    def _start(self, lane: Lane, now: float) -> None:
        if lane.more and len(lane.loaded) * 2 < lane.limit:
            self._fill(lane, now)
        if (item := lane.take()) is not None:
            self._attempts += 1
            epoch = lane.began()
            if (site := lane.site) is not None:
                item.site, item.site_epoch = site, site.began(now)
            if item.claimed:
                self._dial(lane, item, epoch)
            else:
                self._to_claim.append((lane, item, epoch))
        self._window.ready_up(lane, now)

    def _may_start(self) -> bool:
        return bool(self.running) and self._pause is None and not self._recorder.is_failing

    def _fill(self, lane: Lane, now: float) -> None:
        try:
            self._lookout.fill(lane, now)
        except StoreError:
            lane.more = False
            self._log.failure("cannot read due mail")

    # attempts

    def _claim(self) -> None:
        batch, self._to_claim = self._to_claim, []
        now = self._now()
        wanted = [
            (due.id, schedule.claim(self._schedule, now, due.attempts + 1, self._entropy.uniform()))
            for _, item, _ in batch
            for due in item.deliveries
        ]
        claiming = self._db.run(deliveries.claim, wanted)
        claiming.addCallbacks(self._claimed, self._unclaimed, callbackArgs=(batch, dict(wanted)), errbackArgs=(batch,))

    def _claimed(self, ids: set[int], batch: list[tuple[Lane, Item, int]], times: dict[int, float]) -> None:
        now = self._now()
        for lane, item, epoch in batch:
            kept = tuple([due._replace(attempts=due.attempts + 1, next_attempt=times[due.id]) for due in item.deliveries if due.id in ids])
            self._window.release(lane, [due.id for due in item.deliveries if due.id not in ids])
            item.deliveries = kept
            if kept and self.running and not lane.is_closed(now):
                self._dial(lane, item, epoch)
                continue
            if kept:  # stopped, or the lane was closed meanwhile
                reason, reply = self._parking.why(lane, now)
                self._recorder.park([(due.id, now, reason, reply) for due in kept])
            self._not_made(lane, item)
        self._after(None)

    def _unclaimed(self, failure: Failure, batch: list[tuple[Lane, Item, int]]) -> None:
        self._log.failure("cannot claim {count} attempts", failure, count=len(batch))
        for lane, item, _ in batch:
            self._not_made(lane, item)
        # Nothing else would fare better: wait, then look again.
        if self.running and self._pause is None:
            self._pause = self._clock.callLater(self._options.record_pauses[0], self._unpause)

    def _not_made(self, lane: Lane, item: Item) -> None:
        """An attempt that had its place is not made after all."""
        self._window.release(lane, [due.id for due in item.deliveries], item.octets)
        lane.in_flight -= 1
        if item.site is not None:
            item.site.left()
            self._gate.freed(item.site, self._now())
        self._attempt_ended()

    def _unpause(self) -> None:
        self._pause = None
        self._lookout.look_soon()
        self._pump()

    def _dial(self, lane: Lane, item: Item, epoch: int) -> None:
        try:
            content = item.content or self._read(item.facts)
            attempt = self._deliverer.deliver(Job(item.facts, content, item.deliveries, lane.name))
        except ContentMissingError:
            self._finish(dict.fromkeys((due.id for due in item.deliveries), MISSING), lane, item, None, epoch)
        except Exception:
            self._log.failure("attempt of message {uid} broke", uid=item.facts.uid)
            self._finish({}, lane, item, None, epoch)
        else:
            attempt.addCallbacks(self._finish, self._broke, callbackArgs=(lane, item, content, epoch), errbackArgs=(lane, item, content, epoch))
            attempt.addErrback(lambda failure: self._log.failure("the end of an attempt of message {uid} broke", failure, uid=item.facts.uid))

    def _read(self, facts: MessageFacts) -> Content:
        if facts.content_id is None:
            raise ContentMissingError(f"message {facts.uid} has no content")
        content: Content = self._db.read(messages.content, facts.content_id)
        return content

    def _broke(self, failure: Failure, lane: Lane, item: Item, content: Content, epoch: int) -> None:
        self._log.failure("attempt of message {uid} broke", failure, uid=item.facts.uid)
        self._finish({}, lane, item, content, epoch)

    def _finish(self, outcomes: Mapping[int, Outcome], lane: Lane, item: Item, content: Content | None, epoch: int) -> None:
        """One attempt is over: learn about the lane, have the outcome written, go on."""
        now = self._now()
        self._window.octets -= item.octets
        for each in outcomes.values():
            self._on_outcome(each)
        pulse, outcome = pulse_of(outcomes)
        is_success = pulse is Pulse.SUCCESS
        factor = 1.0 if is_success else 1.0 + self._schedule.jitter * (2.0 * self._entropy.uniform() - 1.0)
        turn = Turn.NONE
        if (site := item.site) is not None:
            if is_success and site.recent is None and not site.level:
                site.in_flight -= 1
            else:
                turn, pulse = heard(site, item.site_epoch, pulse, outcome, now, factor)
        change = lane.ended(epoch, pulse, now, factor, outcome)
        if change is not Change.NONE:
            self._parking.changed(lane, change)
        ended = self._endings.attempt(now, item, content, outcomes)
        if turn is not Turn.NONE and site is not None:
            ended = with_event(ended, "cooled" if turn is Turn.COOLED else "eased", {"site": site.name, "reply": site.reply})
            self._parking.turned(site, turn, lane)
        telling.ended(item, outcomes, ended)
        self._recorder.finished(Finished(lane, ended.attempted, ended.reports))
        if ended.due is not None:
            self._lookout.at(max(ended.due, lane.not_before))
        self._attempt_ended()
        if site is not None and (site.waiting or site.is_starved):
            self._gate.freed(site, now)  # before this lane comes into the round again
        self._after(lane)

    def _attempt_ended(self) -> None:
        self._attempts -= 1
        if not self._attempts and self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)

    def _after(self, lane: Lane | None) -> None:
        if lane is not None:
            self._window.ready_up(lane, self._now())
        self._pump()

    def _settled(self, finished: list[Finished], settlement: Settlement, result: Settled) -> None:
        """The store has it: places are free, files can go, reports can leave."""
        for item in finished:
            self._window.release(item.lane, [one.id for one in item.attempted])
        for name in result.spool:
            self._content_store.delete(name)
        if not self.running:
            return
        now = self._now()
        for accepted, report in zip(result.reports, settlement.reports, strict=True):
            for due in accepted.deliveries:
                self._enter_report(accepted.facts, due, report.content, now)
        if result.woken or (self._lookout.is_starved and self._window.room * 10 > self._options.window):
            self._lookout.look_soon()
        if result.reports or self._window.ready:
            self._pump()

    def _enter_report(self, facts: MessageFacts, due: Due, content: Content | None, now: float) -> None:
        lane = self._window.lane(due.destination)
        if self._window.room > 0 and not lane.is_closed(now) and not self._window.is_crowded(lane):
            self._window.admit(lane, Item(facts, (due,), content, False), now)
        else:
            self._lookout.look_soon()
