"""Webhooks: reads on in what happened, queues what somebody wants to be told, and tells it (docs/webhooks.md).

Promises
- Nothing of it is on the way of a message: a look a second at what is new, once there is a webhook; while there is none not even that is read.
- A crash loses no event: how far was read is written in the transaction that queues what was read. Told is at least once: an event taken by the
  receiver and not yet recorded is told again, with the same id.
- An attempt and when the next is due are recorded before anybody dials. Between attempts pass `retries` seconds (and a little by chance); then, or at
  an answer that is no use to repeat (anything but 2xx, 429 and 5xx), the event becomes a dead letter, with the reason.
- A slow or broken receiver delays no other: each has so many places of its own, one only after a failure, and all together have an upper bound.
- Order is best effort: what came first is told first, unless it has to be told again.

`start` and `stop` are for app. `wake`: somebody changed something, look at once. Raises nothing: what fails is logged and tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.errors import StoreError
from jetmail.interfaces import IDatabase, IEntropy
from jetmail.jobs import webhook_events
from jetmail.mail import webhook
from jetmail.mail.webhook import Posted
from jetmail.store.database import Connection
from jetmail.store.directory import domains, principals, versions, webhooks
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic import happenings, webhook_queue
from jetmail.store.traffic.happenings import Happening, Position
from jetmail.store.traffic.webhook_queue import BACKLOG, DEAD, DELIVERED, WAITING, Bounds, DueEvent, Told

AT_ONCE = 200  # rows read in one search, and looked at in one go
SLACK = 60.0  # times are in the order of ids but for so much
SAY_AGAIN = 600.0  # how often a webhook that is over its backlog is spoken of
UNREAD = 5_000  # rows nobody wanted, after which their number is written down all the same
INTERRUPTED = "the process ended during the last attempt"

# (url, fields, body, may it be a private address) -> what became of it; outbound.posting.Poster.post
Post = Callable[[str, Mapping[str, str], bytes, bool], Deferred[Posted]]


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """`retries` seconds from one attempt to the next. `poll`: seconds between two looks. `timeout`: what one attempt may take (Poster's). `per_hook`
    attempts to one receiver at a time, `concurrency` to all. `jitter`: part of a wait by which it is varied."""

    retries: tuple[float, ...] = (30.0, 120.0, 600.0, 3_600.0, 14_400.0)
    poll: float = 1.0
    timeout: float = 10.0
    per_hook: int = 4
    concurrency: int = 40
    jitter: float = 0.1
    bounds: Bounds = Bounds()


class Webhooks:
    """See the module. `on_attempt(word)` is told of every attempt: delivered, failed, refused; `on_dead(count)` of dead letters."""

    def __init__(
        self,
        db: IDatabase,
        post: Post,
        clock: IReactorTime,
        entropy: IEntropy,
        options: WebhookOptions,
        log: Logger,
        on_attempt: Callable[[str], None] = lambda word: None,
        on_dead: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._db = db
        self._post = post
        self._clock: Any = clock
        self._entropy = entropy
        self._options = options
        self._log = log
        self._on_attempt = on_attempt
        self._on_dead = on_dead
        self._hooks: dict[str, Webhook] = {}
        self._version = -1
        self._position: Position | None = None
        self._unread = 0
        self._running: dict[int, Deferred[Any]] = {}
        self._places: dict[str, int] = {}  # attempts under way, by webhook
        self._is_failing: set[str] = set()
        self._said: dict[str, float] = {}
        self._turn = 0
        self._timer: Any = None
        self._looking: Deferred[Any] | None = None
        self._is_looking = False
        self._is_woken = False
        self._is_started = False

    def start(self) -> None:
        """Begin to look."""
        self._is_started = True
        self._set_timer(self._options.poll)

    def stop(self) -> Deferred[None]:
        """End what is under way; what was not taken by then is due at the next start. -> Deferred that fires when all is written."""
        self._is_started = False
        self._cancel_timer()
        running = [*self._running.values(), *([self._looking] if self._looking is not None else [])]
        for each in list(self._running.values()):
            each.cancel()
        done: Deferred[Any] = DeferredList([_shadow(each) for each in running])
        return done.addCallback(lambda _: None)

    def wake(self) -> None:
        """Look at once."""
        if self._is_started and not self._is_looking:
            self._look()
        else:
            self._is_woken = True

    # looking

    def _set_timer(self, seconds: float) -> None:
        self._cancel_timer()
        if self._is_started:
            self._timer = self._clock.callLater(seconds, self._look)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        self._cancel_timer()
        self._is_woken = False
        self._is_looking = True
        self._looking = Deferred.fromCoroutine(self._round())
        self._looking.addErrback(self._failed).addBoth(self._looked)

    def _looked(self, _: Any) -> None:
        self._looking = None
        self._is_looking = False
        self._set_timer(0.0 if self._is_woken else self._options.poll)

    def _failed(self, failure: Failure) -> None:
        self._position = None  # what was read and not written is read again
        if failure.check(StoreError):
            self._log.warn("webhooks wait for the store: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("webhooks could not look at what is new", failure)

    async def _round(self) -> None:
        version = self._db.read(versions.directory_version)
        if version != self._version:
            self._hooks = {hook.uuid: hook for hook in self._db.read(webhooks.enabled)}
            self._version = version
        if not self._hooks:
            self._position = None
            return
        await self._collect()
        await self._send()

    # from what happened to the queue

    async def _collect(self) -> None:
        if self._position is None:
            self._position = await self._begin()
        newest: Position = self._db.read(happenings.newest)
        # An emptied table begins anew at 1.
        here = Position(*(at if at <= last else 0 for at, last in zip(self._position, newest, strict=True)))
        while here.delivery < newest.delivery and self._is_started:
            last, found = await self._db.search(happenings.deliveries_after, here.delivery, AT_ONCE)
            here = await self._queue(found, Position(last, here.event))
        while here.event < newest.event and self._is_started:
            last, found = await self._db.search(happenings.events_after, here.event, AT_ONCE)
            here = await self._queue(found, Position(here.delivery, last))

    async def _begin(self) -> Position:
        """Where reading was left off, or where the first webhook began to listen."""
        since = min(hook.since for hook in self._hooks.values()) - SLACK
        left: Position = self._db.read(webhook_queue.position) or Position()
        first: Position = await self._db.search(happenings.position_at, since)
        return Position(max(left.delivery, first.delivery), max(left.event, first.event))

    async def _queue(self, found: tuple[Happening, ...], reached: Position) -> Position:
        users: dict[str, int] = {}
        names: dict[str, int] = {}

        def of_user(user: str) -> int:
            if user not in users:
                users[user] = self._db.read(principals.account_of, user)
            return users[user]

        def of_domain(domain: str) -> int:
            if domain not in names:
                names[domain] = self._db.read(_account_of_domain, domain)
            return names[domain]

        news = webhook_events.news(found, self._hooks.values(), of_user, of_domain)
        self._unread += len(found)
        if news or self._unread >= UNREAD:
            now = self._clock.seconds()
            died: dict[str, int] = await self._db.run(webhook_queue.add, news, reached, now, self._options.bounds)
            self._unread = 0
            for uuid, count in died.items():
                self._on_dead(count)
                if now - self._said.get(uuid, -SAY_AGAIN) >= SAY_AGAIN:
                    self._said[uuid] = now
                    self._log.warn("webhook {webhook}: {count} events became dead letters: {reason}", webhook=uuid, count=count, reason=BACKLOG)
        self._position = reached
        return reached

    # from the queue to the receivers

    async def _send(self) -> None:
        options, now = self._options, self._clock.seconds()
        free = options.concurrency - len(self._running)
        self._turn += 1  # whoever comes first takes the places of all: not always the same
        order = [uuid for uuid in self._db.read(webhook_queue.waiting) if uuid in self._hooks]
        begin = self._turn % max(1, len(order))
        wanted: list[DueEvent] = []
        for uuid in [*order[begin:], *order[:begin]]:
            places = min(free - len(wanted), self._limit(uuid) - self._places.get(uuid, 0))
            if places > 0:
                wanted += [due for due in self._db.read(webhook_queue.due, uuid, now, places) if due.id not in self._running]
        if not wanted:
            return
        claims, ended = [], []
        for due in wanted:
            if due.attempts > len(options.retries):
                ended.append(Told(due.id, DEAD, 0, INTERRUPTED, now))
            else:
                # Should we die now: not before the other side had the time to answer.
                claims.append((due.id, now + max(self._pause(due.attempts), options.timeout)))
        claimed: set[int] = await self._db.run(_claim, claims, ended)
        self._on_dead(len(ended))
        for due in wanted:
            if due.id in claimed and self._is_started:
                self._begin_attempt(self._hooks[due.webhook], due)
            elif due.id in claimed:
                await self._db.run(webhook_queue.unclaim, due.id, now)

    def _limit(self, uuid: str) -> int:
        return 1 if uuid in self._is_failing else self._options.per_hook

    def _pause(self, attempts: int) -> float:
        """After that many earlier attempts and one more."""
        retries = self._options.retries
        spread = 1.0 + self._options.jitter * self._entropy.uniform()
        return retries[min(attempts, len(retries) - 1)] * spread if retries else self._options.timeout

    def _begin_attempt(self, hook: Webhook, due: DueEvent) -> None:
        self._places[hook.uuid] = self._places.get(hook.uuid, 0) + 1
        now = self._clock.seconds()
        fields = webhook.headers(hook.secrets(now), due.event, int(now), due.body)
        attempt = self._running[due.id] = self._post(hook.url, fields, due.body, hook.allow_private)
        attempt.addErrback(lambda failure: failure if failure.check(CancelledError) else self._fault(failure))
        attempt.addCallback(self._answered, due).addErrback(self._broken_off, due).addBoth(self._over, due)

    def _fault(self, failure: Failure) -> Posted:
        self._log.failure("a webhook could not be told", failure)
        return Posted(0, "internal error")

    def _answered(self, posted: Posted, due: DueEvent) -> Deferred[None]:
        now = self._clock.seconds()
        is_last = due.attempts >= len(self._options.retries)
        if posted.is_taken:
            told = Told(due.id, DELIVERED, posted.status, "", now)
            self._is_failing.discard(due.webhook)
        elif posted.is_over or is_last:
            told = Told(due.id, DEAD, posted.status, posted.said, now)
        else:
            told = Told(due.id, WAITING, posted.status, posted.said, now, now + self._pause(due.attempts))
        if not posted.is_taken:
            self._is_failing.add(due.webhook)
            say = self._log.warn if told.state == DEAD else self._log.info
            say(
                "webhook {webhook}: event {event} {became}: {reason}", webhook=due.webhook, event=due.event, reason=posted.said,
                became="is a dead letter" if told.state == DEAD else "waits",
            )  # fmt: skip
        self._on_attempt("delivered" if posted.is_taken else "refused" if posted.is_over else "failed")
        if told.state == DEAD:
            self._on_dead(1)
        recorded: Deferred[None] = self._db.run(webhook_queue.record, told)
        return recorded

    def _broken_off(self, failure: Failure, due: DueEvent) -> Any:
        """We stop, or what became of it cannot be written: then it is due again by its claim."""
        if failure.check(CancelledError):
            return self._db.run(webhook_queue.unclaim, due.id, self._clock.seconds())
        self._log.warn("what became of event {event} could not be written down: {reason}", event=due.event, reason=failure.getErrorMessage())
        return None

    def _over(self, result: Any, due: DueEvent) -> None:
        self._running.pop(due.id, None)
        left = self._places.get(due.webhook, 0) - 1
        if left > 0:
            self._places[due.webhook] = left
        else:
            self._places.pop(due.webhook, None)
        if isinstance(result, Failure):
            self._log.warn("an event could not be given back: {reason}", reason=result.getErrorMessage())
        self.wake()


def _claim(conn: Connection, claims: list[tuple[int, float]], ended: list[Told]) -> set[int]:
    for told in ended:
        webhook_queue.record(conn, told)
    return webhook_queue.claim(conn, claims)


def _account_of_domain(conn: Connection, name: str) -> int:
    """Whose mail to it is; 0 while nobody has proved that. An alias domain belongs to whoever has the domain it stands for."""
    found = domains.get(conn, name)
    if found is not None and found.kind == "alias":
        found = domains.get(conn, found.alias_of or "") if found.verified_at is not None else None
    return found.account_id if found is not None and found.verified_at is not None else 0


def _shadow(waiting: Deferred[Any]) -> Deferred[None]:
    """Fires when `waiting` has, and leaves its result alone."""
    ended: Deferred[None] = Deferred()

    def passed(result: Any) -> Any:
        ended.callback(None)
        return result

    waiting.addBoth(passed)
    return ended
