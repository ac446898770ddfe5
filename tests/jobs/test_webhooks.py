"""Webhooks from the message to the receiver, on a clock, with a receiver in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.interfaces import IDatabase
from jetmail.jobs.webhook_retention import DAY, WebhookRetentionJob
from jetmail.jobs.webhooks import INTERRUPTED, WebhookOptions, Webhooks
from jetmail.mail import webhook
from jetmail.mail.webhook import Posted
from jetmail.store.directory import smtp_users, webhooks
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic import happenings, messages, webhook_queue
from jetmail.store.traffic.happenings import Position
from jetmail.store.traffic.webhook_queue import Bounds, Figures, NewEvent, QueuedEvent
from tests.fakes import FakeEntropy
from tests.store.samples import delivery, memory_store, message

START = 10_000.0
WAITS = (30.0, 120.0, 600.0, 3_600.0, 14_400.0)


class Receiver:
    """`answers` in turn, the last one for ever: a Posted, a Deferred, an exception. `posts` (url, fields, body, may it be private)."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [Posted(200)]
        self.posts: list[tuple[str, dict[str, str], bytes, bool]] = []

    def post(self, url: str, fields: Any, octets: bytes, allow_private: bool) -> Deferred[Posted]:
        self.posts.append((url, dict(fields), octets, allow_private))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, Deferred) else fail(answer) if isinstance(answer, Exception) else succeed(answer)

    @property
    def types(self) -> list[str]:
        """The events that came."""
        return [json.loads(octets)["type"] for _, _, octets, _ in self.posts]


class WebhooksTests(SynchronousTestCase):
    """One webhook h, for everything, since START."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.conn = self.db.connection
        self.clock = Clock()
        self.clock.advance(START)
        self.counted: list[Any] = []
        self.hook()

    def hook(self, uuid: str = "h", account_id: int | None = None, **fields: Any) -> None:
        """A webhook."""
        values: dict[str, Any] = {"name": uuid, "url": f"https://{uuid}.test/", "secret": f"secret-{uuid}", "since": START}
        webhooks.add(self.conn, Webhook(uuid, account_id, **(values | fields)))

    def begin(self, receiver: Receiver, db: Any = None, **options: Any) -> Webhooks:
        """Running."""
        subject = Webhooks(
            IDatabase(db or self.db), receiver.post, self.clock, FakeEntropy(0.0), WebhookOptions(**options), Logger(),
            lambda word: self.counted.append(word), lambda count: self.counted.extend(["dead"] * count),
        )  # fmt: skip
        subject.start()
        self.addCleanup(subject.stop)
        return subject

    def accept(self, number: int = 1, *deliveries: Any, **fields: Any) -> None:
        """A message now."""
        messages.accept(self.conn, message(number, *deliveries, **({"received": self.clock.seconds()} | fields)))

    def rows(self, hook: str = "h") -> list[QueuedEvent]:
        """Its queue, oldest first."""
        return webhook_queue.listing(self.conn, hook)[::-1]

    def test_told(self) -> None:
        """What happens is told within a second or two, signed, in order; and once."""
        receiver = Receiver()
        self.begin(receiver)
        self.accept()
        messages.add_event(self.conn, 1, 1, self.clock.seconds(), "attempt", {"result": "delivered", "reply": "250 OK"})
        self.clock.pump([1.0] * 5)
        self.assertEqual(receiver.types, ["inbound.received", "inbound.delivered"])
        url, fields, octets, allow_private = receiver.posts[0]
        self.assertEqual((url, allow_private), ("https://h.test/", False))
        self.assertEqual(fields["X-Webhook-ID"], json.loads(octets)["id"])
        self.assertEqual(fields["X-Webhook-Timestamp"], str(int(START) + 1))
        self.assertEqual(fields["X-Webhook-Signature"], webhook.sign("secret-h", fields["X-Webhook-ID"], int(START) + 1, octets))
        self.assertEqual([(row.state, row.status, row.attempts) for row in self.rows()], [("delivered", 200, 1)] * 2)
        self.assertEqual(self.counted, ["delivered", "delivered"])

    def test_nobody(self) -> None:
        """Without a webhook nothing is read and nothing is written; the first one is told of nothing that was before it."""
        webhooks.remove(self.conn, "h")
        receiver = Receiver()
        self.begin(receiver)
        self.accept(1)
        self.clock.pump([1.0] * 100)
        self.assertIsNone(webhook_queue.position(self.conn))
        self.accept(2)
        self.clock.advance(1)
        self.hook(since=self.clock.seconds())
        self.accept(3)
        self.clock.pump([1.0] * 3)
        self.assertEqual([json.loads(octets)["data"]["message"] for _, _, octets, _ in receiver.posts], [f"{3:020x}"])

    def test_schedule(self) -> None:
        """Attempts at 0, 30 s, 2 min, 10 min, 1 h and 4 h after one another, then a dead letter that says why; once sent again it is as new."""
        receiver = Receiver(Posted(500, "answered 500"))
        self.begin(receiver)
        self.accept()
        self.clock.pump([1.0, *[5.0] * 4_000])
        times = [int(fields["X-Webhook-Timestamp"]) for _, fields, _, _ in receiver.posts]
        self.assertEqual(times[0], int(START) + 1)
        for pause, before, after in zip(WAITS, times[:-1], times[1:], strict=True):
            self.assertTrue(pause <= after - before <= pause + 5, (pause, before, after))
        (row,) = self.rows()
        self.assertEqual((row.state, row.attempts, row.status, row.error), ("dead", 6, 500, "answered 500"))
        self.clock.pump([3_600.0] * 10)
        self.assertEqual(len(receiver.posts), 6)
        self.assertEqual(self.counted, ["failed"] * 6 + ["dead"])
        self.assertEqual(len({fields["X-Webhook-ID"] for _, fields, _, _ in receiver.posts}), 1)
        receiver.answers = [Posted(200)]
        webhook_queue.again(self.conn, "h", self.clock.seconds())
        self.clock.advance(1)
        self.assertEqual([(row.state, row.attempts) for row in self.rows()], [("delivered", 1)])

    def test_last_word(self) -> None:
        """An answer that is no use to repeat makes a dead letter at once, with the reason."""
        for answer in (Posted(404, "answered 404"), Posted(302, "no redirects"), Posted(0, "10.0.0.1 is not public", True)):
            receiver = Receiver(answer)
            subject = self.begin(receiver)
            self.accept(int(self.clock.seconds()))
            self.clock.pump([1.0] * 60)
            self.assertEqual(len(receiver.posts), 1)
            self.assertEqual((self.rows()[-1].state, self.rows()[-1].error), ("dead", answer.said))
            self.successResultOf(subject.stop())
        self.assertEqual(self.counted, ["refused", "dead"] * 3)

    def test_again(self) -> None:
        """429, and no answer at all, are tried again; so is what failed in us."""
        for answer in (Posted(429, "slow down"), Posted(0, "no answer"), ValueError("a fault of ours")):
            receiver = Receiver(answer, Posted(200))
            subject = self.begin(receiver)
            self.accept(int(self.clock.seconds()))
            self.clock.pump([1.0] * 40)
            self.assertEqual((len(receiver.posts), self.rows()[-1].state), (2, "delivered"))
            self.successResultOf(subject.stop())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_slow(self) -> None:
        """One receiver that never answers delays no other, and has so many places; after a failure one."""
        self.hook("i")
        stuck: list[Deferred[Posted]] = []

        class Both(Receiver):
            def post(self, url: str, fields: Any, octets: bytes, allow_private: bool) -> Deferred[Posted]:
                done = super().post(url, fields, octets, allow_private)
                if "h.test" in url:
                    done = Deferred()
                    stuck.append(done)
                return done

        receiver = Both()
        self.begin(receiver)
        for number in range(10):
            self.accept(number)
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(stuck), 4)
        self.assertEqual(webhook_queue.figures(self.conn, "i").delivered, 10)
        stuck[0].callback(Posted(0, "no answer"))
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(stuck), 4)
        for waiting in stuck[1:4]:
            waiting.callback(Posted(0, "no answer"))
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(stuck), 5)
        stuck[4].callback(Posted(200))
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(stuck), 9)

    def test_all_places(self) -> None:
        """All together have a bound, and take turns."""
        for name in "ijklm":
            self.hook(name)
        receiver = Receiver(*[Deferred() for _ in range(100)])
        self.begin(receiver, concurrency=4, per_hook=3)
        self.accept(1)
        self.accept(2)
        self.clock.pump([1.0] * 4)
        self.assertEqual(len(receiver.posts), 4)

    def test_crash(self) -> None:
        """Killed while an attempt is under way: it is counted, made again when its pause is over, and nothing is lost or told twice besides."""
        stuck: Deferred[Posted] = Deferred()
        self.begin(Receiver(stuck))
        self.accept()
        self.clock.pump([1.0] * 2)
        self.assertEqual([(row.state, row.attempts) for row in self.rows()], [("waiting", 1)])
        receiver = Receiver()
        other = Clock()
        other.advance(self.clock.seconds())
        self.clock = other  # the first process is no more: its clock stands still
        self.begin(receiver)
        self.accept(2)
        self.clock.pump([1.0] * 20)
        self.assertEqual(len(receiver.posts), 1)
        self.clock.pump([1.0] * 20)
        self.assertEqual([(row.state, row.attempts) for row in self.rows()], [("delivered", 2), ("delivered", 1)])

    def test_crash_in_the_last(self) -> None:
        """Killed in the last attempt of all: a dead letter, not a loop."""
        self.conn.execute(
            "INSERT INTO webhook_queue (webhook, event, type, body, attempts, next_attempt, created) VALUES ('h', 'e', 't', '', 6, 0, 0)"
        )
        receiver = Receiver()
        self.begin(receiver)
        self.clock.pump([1.0] * 3)
        self.assertEqual([(row.state, row.error) for row in self.rows()], [("dead", INTERRUPTED)])
        self.assertEqual(receiver.posts, [])

    def test_stop(self) -> None:
        """Stopped in an orderly way, what is under way is given up, and is due at once at the next start."""
        subject = self.begin(Receiver(Deferred()))
        self.accept()
        self.clock.pump([1.0] * 2)
        self.successResultOf(subject.stop())
        self.assertEqual([(row.state, row.attempts) for row in self.rows()], [("waiting", 0)])
        receiver = Receiver()
        self.begin(receiver)
        self.clock.pump([1.0] * 2)
        self.assertEqual(len(receiver.posts), 1)

    def test_missed(self) -> None:
        """What happened while nobody ran is told afterwards, from where reading was left off."""
        subject = self.begin(Receiver())
        self.accept(1)
        self.clock.pump([1.0] * 2)
        self.successResultOf(subject.stop())
        for number in range(2, 1_300):
            self.accept(number)
        receiver = Receiver()
        self.begin(receiver)
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(receiver.posts), 1_298)

    def test_emptied(self) -> None:
        """A log that was forgotten whole gives its ids again, and what comes then is told."""
        receiver = Receiver()
        self.begin(receiver)
        for number in range(1, 6):
            self.accept(number)
        self.clock.pump([1.0] * 2)
        self.conn.execute("DELETE FROM deliveries")
        self.conn.execute("DELETE FROM messages")
        self.clock.pump([1.0] * 2)
        self.accept(9)
        self.clock.pump([1.0] * 2)
        self.assertEqual(len(receiver.posts), 6)

    def test_unread(self) -> None:
        """What nobody wants to hear of costs no transaction each time."""
        webhooks.save(self.conn, Webhook("h", None, "h", "https://h.test/", "s", events=("outbound.complaint",), since=START))
        self.begin(Receiver())
        self.accept(1)
        self.clock.pump([1.0] * 3)
        self.assertIsNone(webhook_queue.position(self.conn))
        self.accept(2, direction="outbound")
        messages.add_event(self.conn, 2, None, self.clock.seconds(), "complaint", {"recipient": "x@y.test"})
        self.clock.pump([1.0] * 3)
        self.assertEqual(webhook_queue.position(self.conn), Position(2, 1))
        self.assertEqual(happenings.newest(self.conn), Position(2, 1))

    def test_accounts(self) -> None:
        """Whose a user or a domain is, the directory says: users by uuid, domains once proved, alias domains with the one they stand for."""
        self.conn.execute("INSERT INTO accounts (name) VALUES ('second')")
        self.conn.executemany(
            "INSERT INTO domains (account_id, name, kind, alias_of, verified_at) VALUES (?, ?, ?, ?, ?)",
            [(2, "two.test", "relay", None, 1.0), (1, "alias.test", "alias", "two.test", 1.0), (2, "claimed.test", "relay", None, None)],
        )
        smtp_users.add(self.conn, SmtpUser("user-two", 2, "app", "hash"))
        self.hook("two", 2)
        self.hook("one", 1)
        receiver = Receiver()
        self.begin(receiver)
        self.accept(1, *[delivery(f"a@{name}.test") for name in ("two", "alias", "claimed", "three")])
        self.accept(2, delivery("x@elsewhere.test"), direction="outbound", user="user-two")
        self.accept(3, delivery("x@elsewhere.test"), direction="outbound", user="user-nobody")
        self.clock.pump([1.0] * 3)
        told = [json.loads(octets)["data"]["recipient"] for url, _, octets, _ in receiver.posts if url == "https://two.test/"]
        self.assertEqual(told, ["a@two.test", "a@alias.test", "x@elsewhere.test"])
        self.assertEqual(self.rows("one"), [])
        self.assertEqual(len(self.rows("h")), 6)

    def test_changes(self) -> None:
        """A webhook that is switched off is told nothing more, and on again goes on with what waits; the secret of the moment signs."""
        receiver = Receiver(Posted(500), Posted(200))
        self.begin(receiver)
        self.accept()
        self.clock.pump([1.0] * 2)
        webhooks.save(self.conn, Webhook("h", None, "h", "https://h.test/", "new", "old", START + 999, is_enabled=False))
        self.clock.pump([1.0] * 40)
        self.assertEqual(len(receiver.posts), 1)
        webhooks.save(self.conn, Webhook("h", None, "h", "https://h.test/", "new", "old", START + 999))
        self.clock.pump([1.0] * 2)
        _, fields, octets, _ = receiver.posts[1]
        identity, at = fields["X-Webhook-ID"], int(fields["X-Webhook-Timestamp"])
        expected = [webhook.sign(secret, identity, at, octets) for secret in ("new", "old")]
        self.assertEqual(fields["X-Webhook-Signature"].split(", "), expected)

    def test_backlog(self) -> None:
        """Who does not keep up loses no event silently: the oldest become dead letters, counted."""
        self.begin(Receiver(Deferred(), Deferred(), Deferred(), Deferred(), Deferred()), bounds=Bounds(5, 100, 100))
        for number in range(20):
            self.accept(number)
        self.clock.pump([1.0] * 2)
        self.assertEqual(webhook_queue.figures(self.conn, "h"), Figures(5, 0, 15, START + 1))
        self.assertEqual(self.counted.count("dead"), 15)

    def test_store(self) -> None:
        """While the store does not answer nothing is lost: it is read again later."""

        class Broken:
            is_broken = True

            def __init__(self, db: Any) -> None:
                self.db = db

            def read(self, *given: Any) -> Any:
                return self.db.read(*given)

            def search(self, *given: Any) -> Any:
                return self.db.search(*given)

            def run(self, *given: Any) -> Any:
                return fail(StoreError("disk full")) if self.is_broken else self.db.run(*given)

        from zope.interface import alsoProvides

        broken = Broken(self.db)
        alsoProvides(broken, IDatabase)
        receiver = Receiver()
        self.begin(receiver, broken)
        self.accept()
        self.clock.pump([1.0] * 5)
        self.assertEqual(receiver.posts, [])
        broken.is_broken = False
        self.clock.pump([1.0] * 2)
        self.assertEqual(len(receiver.posts), 1)

    def test_retention(self) -> None:
        """Dead letters go after their days, what was taken after three, the rows of a webhook that is gone at once."""
        for state, finished in (("dead", 0.0), ("dead", 2 * DAY), ("delivered", 28 * DAY), ("delivered", 31 * DAY), ("waiting", None)):
            self.conn.execute(
                "INSERT INTO webhook_queue (webhook, event, type, body, state, next_attempt, created, finished) VALUES ('h', ?, '', '', ?, 0, 0, ?)",
                (f"{state}{finished}", state, finished),
            )
        webhook_queue.put(self.conn, NewEvent("gone", "e", "t", b""), 0.0)
        job = WebhookRetentionJob(IDatabase(self.db), lambda: 31.5 * DAY, 30.0)
        self.assertEqual(self.successResultOf(job.run()), 3)
        self.assertEqual([row.event for row in self.rows()], [f"dead{2 * DAY}", f"delivered{31 * DAY}", "waitingNone"])
        self.assertEqual(webhook_queue.known(self.conn), ("h",))
