"""A queue with a store in memory, a clock that is turned by hand and a deliverer that does as it is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger

from jetmail.errors import StoreError
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.bounce import Reporter, ReportOptions
from jetmail.outbound.gate import Find
from jetmail.outbound.job import Job
from jetmail.outbound.lane import QueueOptions
from jetmail.outbound.providers import Providers
from jetmail.outbound.queue import Queue
from jetmail.outbound.schedule import ScheduleOptions
from jetmail.outbound.sites import Sites
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Accepted, Content, NewDelivery, NewMessage
from tests.fakes import FakeEntropy
from tests.store.samples import memory_store

DELIVERED = Outcome(Result.DELIVERED, "accepted", Reply(250, "2.0.0", "taken"), "mx.demo.test", "192.0.2.1", 25)
DEFERRED = Outcome(Result.LATER, "deferred", Reply(451, "4.7.1", "come back"), "mx.demo.test", "192.0.2.1", 25)
REFUSED = Outcome(Result.NEVER, "refused", Reply(550, "5.1.1", "nobody here"), "mx.demo.test", "192.0.2.1", 25)
DOWN = Outcome(Result.LATER, "connect", Reply(451, "4.4.1", "connection refused"))
BODY = b"From: bob@example.org\r\nSubject: hello\r\n\r\nbody\r\n"
# No jitter, so that a test can name the second.
SCHEDULE = ScheduleOptions(jitter=0.0)


class FakeDeliverer:
    """`answers`: what each destination says: Outcome, exception or callable of the job. `hold` keeps attempts on the wire until `release`."""

    def __init__(self) -> None:
        self.answers: dict[str, Outcome | Exception | Callable[[Job], Outcome]] = {}
        self.jobs: list[Job] = []
        self.hold = False
        self.waiting: list[tuple[Job, Deferred[dict[int, Outcome]]]] = []
        self.most: dict[str, int] = {}

    def deliver(self, job: Job) -> Deferred[dict[int, Outcome]]:
        self.jobs.append(job)
        if not self.hold:
            return self._answer(job)
        done: Deferred[dict[int, Outcome]] = Deferred()
        self.waiting.append((job, done))
        now = sum(other.destination == job.destination for other, _ in self.waiting)
        self.most[job.destination] = max(self.most.get(job.destination, 0), now)
        return done

    def release(self, number: int | None = None) -> None:
        """Let that many of the attempts on the wire end, oldest first (None: all there are now)."""
        batch = self.waiting[:number]
        del self.waiting[: len(batch)]
        for job, done in batch:
            self._answer(job).addCallbacks(done.callback, done.errback)

    def to(self, destination: str) -> list[Job]:
        return [job for job in self.jobs if job.destination == destination]

    def _answer(self, job: Job) -> Deferred[dict[int, Outcome]]:
        answer = self.answers.get(job.destination, DELIVERED)
        if callable(answer):
            answer = answer(job)
        return fail(answer) if isinstance(answer, Exception) else succeed({due.id: answer for due in job.deliveries})


class FlakyDatabase:
    """The database behind a door that can be shut: while `is_full`, nothing is written."""

    def __init__(self, db: InlineDatabase) -> None:
        self._db = db
        self.is_full = False
        self.writes = 0

    def run(self, fn: Any, *args: Any) -> Deferred[Any]:
        self.writes += 1
        return fail(StoreError("disk full")) if self.is_full else self._db.run(fn, *args)

    def read(self, fn: Any, *args: Any) -> Any:
        return self._db.read(fn, *args)

    def search(self, fn: Any, *args: Any) -> Deferred[Any]:
        return self._db.search(fn, *args)


class FakeFiles:
    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete(self, name: str) -> None:
        self.deleted.append(name)


class Appliance:
    """Everything a queue needs. `boot` again after `crash` for a restart over the same store."""

    def __init__(
        self,
        options: QueueOptions | None = None,
        schedule: ScheduleOptions = SCHEDULE,
        start: float = 1_000_000.0,
        providers: Providers | None = None,
        find: Find | None = None,
    ) -> None:
        self.providers = providers
        self.find = find
        self.clock = Clock()
        self.clock.rightNow = start
        self.store = memory_store()
        self.db = FlakyDatabase(self.store)
        self.deliverer = FakeDeliverer()
        self.files = FakeFiles()
        self.options = options or QueueOptions()
        self.schedule = schedule
        self._numbers = count(1)
        self._reports = count(1 << 60)
        self.queue = self.build()

    def build(self) -> Queue:
        reporter = Reporter(ReportOptions("mail.test"), lambda: f"{next(self._reports):020x}", FakeEntropy(0.5))
        self.sites = Sites(self.providers or Providers(), registered=lambda name: ".".join(name.split(".")[-2:]))
        return Queue(
            self.db, self.deliverer, self.files, self.schedule, self.clock, FakeEntropy(0.5), self.options, reporter, Logger("test"),  # type: ignore[arg-type]
            sites=self.sites, find=self.find,
        )  # fmt: skip

    def boot(self) -> Appliance:
        self.queue.startService()
        self.settle()
        return self

    def crash(self) -> None:
        """The process is gone: whatever was in memory is."""
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        self.deliverer.waiting.clear()
        self.queue = self.build()

    def message(self, *recipients: str, claimed: bool = True, **other: Any) -> NewMessage:
        now = self.clock.seconds()
        deliveries = tuple(
            NewDelivery(item, item.rpartition("@")[2], item, item.rpartition("@")[2], "queued", notify=other.get("notify", ""))
            for item in recipients or ("ann@demo.test",)
        )
        other.pop("notify", None)
        values: dict[str, Any] = {"sender": "bob@example.org", "content": Content(len(BODY), BODY)} | other
        return NewMessage(
            f"{next(self._numbers):020x}", "inbound", now, size=len(BODY), deliveries=deliveries, claimed=claimed,
            first_retry=self.queue.first_retry(now) if claimed else 0.0, **values,
        )  # fmt: skip

    def accept(self, *recipients: str, **other: Any) -> Accepted:
        """Fresh mail, as the receiving side hands it over."""
        claimed = self.queue.reserve(len(recipients) or 1, [recipient.rpartition("@")[2] for recipient in recipients])
        new = self.message(*recipients, claimed=claimed, **other)
        if not claimed:
            explained = [item._replace(reason=why[0], reply=why[1]) for item in new.deliveries for why in [self.queue.trouble(item.destination)]]
            new = new._replace(deliveries=tuple(explained))
        accepted: Accepted = self.store.connection and messages.accept(self.store.connection, new)
        if claimed:
            assert new.content is not None
            self.queue.enqueued(accepted, new.content)
        else:
            self.queue.wake()
        return accepted

    def fill(self, number: int, domain: str, **other: Any) -> None:
        """Mail that waits in the store, due since it came."""
        connection = self.store.connection
        connection.execute("BEGIN")
        for index in range(number):
            messages.accept(connection, self.message(f"u{index}@{domain}", claimed=False, **other))
        connection.execute("COMMIT")

    def settle(self) -> None:
        """Let what is due now happen, with the queue's pace of looking."""
        self.turn(self.options.look_interval + 0.1)

    def turn(self, seconds: float, step: float = 1.0) -> None:
        """Turn the clock on, in steps small enough that nothing that should happen in between is missed."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            for _ in range(500):
                if not any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                    break
                self.clock.advance(0)
            seconds -= step

    def rows(self, where: str = "1") -> list[tuple]:
        """(status, reason, attempts, next_attempt, held) of deliveries."""
        return self.store.connection.execute(
            f"SELECT status, reason, attempts, next_attempt, held FROM deliveries WHERE {where} ORDER BY id"
        ).fetchall()

    def count(self, where: str) -> int:
        found: int = self.store.connection.execute(f"SELECT count(*) FROM deliveries WHERE {where}").fetchone()[0]
        return found

    def events(self, kind: str) -> list[str]:
        return [row[0] for row in self.store.connection.execute("SELECT detail FROM events WHERE kind = ? ORDER BY id", (kind,))]

    def reports(self) -> list[tuple[str, str]]:
        """(recipient, subject) of messages we wrote."""
        return self.store.connection.execute(
            "SELECT d.recipient, m.subject FROM messages m JOIN deliveries d ON d.message_id = m.id WHERE m.sender = '' ORDER BY m.id"
        ).fetchall()
