"""Where each message leaves from: the source of its sender's domain, else of its sender's account, else the default; within what a source that is
being warmed up may send today.

Stands before the deliverer. Mail of strangers (what we relay to our domains) leaves from the default and is asked nothing; so does everything while
nobody has a source, at the price of a look into the directory's cache.

A source over today's limit: its mail leaves from the default, or waits until the next UTC day (LATER 'warm-up', `not_before`), as the source's
`overflow` says. Recipients count one by one, because that is how whoever looks at the address counts. Of a message with more recipients than are left
for today, as many as may leave do.

A host that lets one source not in while it takes mail of another is not down (arrivals.py).

`deliver` is Deliverer.deliver: it never fails when that does not. Raises StoreError at once when a source's count cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed

from jetmail.mail import warmup
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.arrivals import Arrivals
from jetmail.outbound.job import Job
from jetmail.outbound.origin import Origin
from jetmail.outbound.warmup import Counts
from jetmail.store.directory.sources import Source, SourceBook
from jetmail.store.traffic.deliveries import WARM_UP, MessageFacts

Outcomes = dict[int, Outcome]


class Delivering(Protocol):
    """Whoever makes the attempt."""

    def deliver(self, job: Job) -> Deferred[Outcomes]: ...


class Departures:
    """`book()`: who leaves from where, None while nobody does (the directory's cache). `account_of(user, domain)`: the account of that SMTP user or
    person, or, when there is none any more, that may send from the domain; 0 when nobody may. `wall` gives epoch seconds."""

    def __init__(
        self,
        deliverer: Delivering,
        book: Callable[[], SourceBook | None],
        account_of: Callable[[str, str], int],
        counts: Counts,
        wall: Callable[[], float],
    ) -> None:
        self._deliverer = deliverer
        self._book = book
        self._account_of = account_of
        self._counts = counts
        self._wall = wall
        self._curves: dict[str, tuple[int, ...]] = {}
        self._arrivals = Arrivals(wall)

    def deliver(self, job: Job) -> Deferred[Outcomes]:
        """See the module."""
        if job.message.direction != "outbound" or (book := self._book()) is None:
            return self._deliverer.deliver(job)
        source = self._source(book, job.message)
        if source is None:
            return self._by_default(job)
        day = self._counts.today()
        number, limit = self._limit(source, day)
        wanted = len(job.deliveries)
        granted = self._counts.reserve(source.name, day, limit, wanted)
        if granted == wanted:
            return self._leave(job, source, day)
        why = f"{source.name} may send {limit} today, day {number} of its warm-up"
        rest = self._over(job._replace(deliveries=job.deliveries[granted:]), source, why)
        if not granted:
            return rest
        leaving = self._leave(job._replace(deliveries=job.deliveries[:granted]), source, day)
        both = DeferredList([leaving, rest], consumeErrors=True)
        return both.addCallback(lambda parts: {each: outcome for is_good, found in parts if is_good for each, outcome in found.items()})

    def _source(self, book: SourceBook, message: MessageFacts) -> Source | None:
        domain = message.sender.rpartition("@")[2]
        if (source := book.of_domain(domain)) is not None:
            return source
        return book.accounts.get(self._account_of(message.user, domain)) if book.accounts and (message.user or domain) else None

    def _limit(self, source: Source, day: str) -> tuple[int, int | None]:
        if not source.started:
            return 0, None
        counts = self._curves.get(source.curve)
        if counts is None:
            self._curves.clear()
            counts = self._curves[source.curve] = warmup.curve(source.curve)
        number = warmup.number(source.started, day)
        return number, warmup.limit(counts, number)

    def _leave(self, job: Job, source: Source, day: str) -> Deferred[Outcomes]:
        origin = Origin(source.name, source.ipv4, source.ipv6, source.hostname)
        reserved = len(job.deliveries)

        def left(found: Outcomes) -> Outcomes:
            outcomes: Outcomes = {}
            counted = 0
            for delivery_id, outcome in self._arrivals.seen(job.destination, source.name, found).items():
                if outcome.result is Result.DELIVERED or outcome.is_doubtful:
                    counted += 1
                    outcomes[delivery_id] = outcome._replace(source=source.name, counted=(source.name, day))
                else:
                    outcomes[delivery_id] = outcome._replace(source=source.name)
            self._counts.give_back(source.name, day, reserved - counted)
            return outcomes

        def broke(failure: object) -> object:
            self._counts.give_back(source.name, day, reserved)
            return failure

        try:
            leaving = self._deliverer.deliver(job._replace(origin=origin))
        except BaseException:
            self._counts.give_back(source.name, day, reserved)
            raise
        return leaving.addCallbacks(left, broke)  # type: ignore[arg-type]

    def _over(self, job: Job, source: Source, why: str) -> Deferred[Outcomes]:
        if source.overflow == "wait":
            later = Outcome(Result.LATER, WARM_UP, Reply(451, "4.3.2", f"source {why}"), source=source.name, not_before=warmup.next_day(self._wall()))
            return succeed({due.id: later for due in job.deliveries})
        return self._by_default(job).addCallback(
            lambda found: {delivery_id: outcome._replace(source=f"default: {why}") for delivery_id, outcome in found.items()}
        )

    def _by_default(self, job: Job) -> Deferred[Outcomes]:
        return self._deliverer.deliver(job).addCallback(lambda found: self._arrivals.seen(job.destination, "", found))
