"""The wall clock jumps, by hours or by weeks, in either direction, under the real queue and the real store: nothing is given up that was not tried
once more, nothing waits for ever, and new mail goes out at once. The machine's own clock is left alone: the reactor's time goes on evenly, the wall
is an offset to it, as on a system whose clock is set."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.bounce import Reporter, ReportOptions
from jetmail.outbound.job import Job
from jetmail.outbound.lane import QueueOptions
from jetmail.outbound.queue import Queue
from jetmail.outbound.schedule import ScheduleOptions
from jetmail.store import migrations
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage, accept
from tests.fakes import FakeEntropy

HOUR, DAY = 3600.0, 86400.0
TODAY = 1_800_000_000.0
OCTETS = b"Subject: x\r\n\r\nhello\r\n"


class Deliverer:
    """Answers 'later' for this recipient until told otherwise; remembers when it was asked, by the wall clock."""

    def __init__(self) -> None:
        self.is_up = False
        self.asked: list[str] = []

    def deliver(self, job: Job) -> Deferred[dict[int, Outcome]]:
        self.asked.extend(due.recipient for due in job.deliveries)
        outcome = Outcome(Result.DELIVERED, "accepted", Reply(250, "2.0.0", "ok")) if self.is_up else Outcome(
            Result.LATER, "deferred", Reply(451, "4.3.0", "not now"))  # fmt: skip
        return succeed({due.id: outcome for due in job.deliveries})


class House:
    """A queue over a store on disk, on a clock whose wall can be set."""

    def __init__(self, path: Path) -> None:
        self.path = str(path / "store.db")
        migrations.apply(self.path)
        self.clock = Clock()
        self.offset = TODAY
        self.deliverer = Deliverer()
        self.numbers = count()
        self.start()

    def now(self) -> float:
        return self.clock.seconds() + self.offset

    def start(self) -> None:
        self.db = InlineDatabase(self.path)
        reporter = Reporter(ReportOptions("house.test"), lambda: f"{next(self.numbers):020x}", FakeEntropy())
        self.queue = Queue(self.db, self.deliverer, None, ScheduleOptions(jitter=0.0), self.clock, FakeEntropy(), QueueOptions(), reporter,  # type: ignore[arg-type]
                           Logger(), self.now)  # fmt: skip
        self.queue.startService()

    def stop(self) -> None:
        self.queue.stopService()
        self.db.close()
        for call in self.clock.getDelayedCalls():
            call.cancel()

    def mail(self, recipient: str) -> None:
        """A message is accepted, its first attempt claimed, and enqueued."""
        assert self.queue.reserve(1)
        now = self.now()
        content = Content(len(OCTETS), OCTETS)
        delivery = NewDelivery(recipient, "example.test", recipient, "example.test", "queued")
        uid, retry = f"{next(self.numbers):020x}", self.queue.first_retry(now)
        new = NewMessage(uid, "inbound", now, "someone@sender.test", content.size, content, (delivery,), first_retry=retry)
        accepted = self.db.run(accept, new)
        accepted.addCallback(lambda stored: self.queue.enqueued(stored, content))
        self.pass_time(1)

    def pass_time(self, seconds: float) -> None:
        """Time goes by evenly, for the reactor and the wall alike."""
        step = max(1.0, seconds / 200)
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.clock.advance(min(step, until - self.clock.seconds()))

    def set_wall(self, by: float) -> None:
        """Somebody sets the clock."""
        self.offset += by

    def tries(self, recipient: str) -> int:
        return self.deliverer.asked.count(recipient)

    def statuses(self) -> dict[str, str]:
        found: dict[str, str] = self.db.read(lambda conn: dict(conn.execute("SELECT recipient, status FROM deliveries")))
        return found


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_forward_by_ten_days(house: House) -> None:
    """Mail that is suddenly older than its lifetime is tried once more before it is returned, and delivered when that works."""
    house.mail("a@example.test")
    assert house.tries("a@example.test") == 1
    house.set_wall(10 * DAY)
    house.deliverer.is_up = True
    house.pass_time(10 * 60)
    assert house.statuses()["a@example.test"] == "delivered"
    house.stop()


def test_forward_by_ten_days_and_still_failing(house: House) -> None:
    """When that last try fails too the sender is told, once: the message is not kept for ever."""
    house.mail("a@example.test")
    house.set_wall(10 * DAY)
    house.pass_time(10 * 60)
    assert house.tries("a@example.test") == 2
    assert house.statuses()["a@example.test"] == "rejected"
    assert "someone@sender.test" in house.deliverer.asked
    house.stop()


def test_back_by_a_month(house: House) -> None:
    """A due time that now lies a month ahead is not waited for: the next try comes within the schedule's longest pause."""
    house.mail("a@example.test")
    house.set_wall(-30 * DAY)
    house.deliverer.is_up = True
    house.pass_time(5 * HOUR)
    assert house.statuses()["a@example.test"] == "delivered"
    house.stop()


def test_back_while_stopped(house: House) -> None:
    """The same when the clock was set while the program was not running."""
    house.mail("a@example.test")
    house.stop()
    house.set_wall(-30 * DAY)
    house.deliverer.is_up = True
    house.start()
    house.pass_time(5 * HOUR)
    assert house.statuses()["a@example.test"] == "delivered"
    house.stop()


@pytest.mark.parametrize("by", [-30 * DAY, -2 * HOUR, 2 * HOUR, 10 * DAY])
def test_new_mail_goes_on(house: House, by: float) -> None:
    """Whatever the clock did, mail accepted after it is sent at once."""
    house.mail("before@example.test")
    house.set_wall(by)
    house.deliverer.is_up = True
    house.mail("after@example.test")
    assert house.statuses()["after@example.test"] == "delivered"
    house.stop()


def test_there_and_back(house: House) -> None:
    """A clock that goes wild and is put right again loses nothing and sends nothing twice."""
    house.mail("a@example.test")
    for by in (400 * DAY, -400 * DAY, -DAY, DAY):
        house.set_wall(by)
        house.pass_time(1)
    house.deliverer.is_up = True
    house.mail("b@example.test")
    house.pass_time(5 * HOUR)
    assert house.tries("b@example.test") == 1
    assert house.statuses()["b@example.test"] == "delivered"
    assert house.statuses()["a@example.test"] in ("delivered", "rejected")
    house.stop()
