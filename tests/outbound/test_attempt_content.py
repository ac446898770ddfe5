"""Attempts to deliver: what is sent, and what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from jetmail.errors import ContentMissingError
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound.job import Job
from jetmail.outbound.route import Credentials, RouteOptions, Smarthost
from jetmail.outbound.tls import TlsMode
from jetmail.store.traffic.messages import Content
from tests.outbound.delivering import EHLO_BARE, FACTS, MESSAGE, AttemptCase, due, job


class ContentTests(AttemptCase):
    """What is sent, and what cannot be."""

    def spooled(self, pieces: Sequence[bytes], size: int | None = None, **facts: Any) -> Job:
        """A job whose content is in a file."""
        self.pieces = lambda content: iter(pieces)
        stored = Content(sum(map(len, pieces)) if size is None else size, None, pieces[0] if pieces else b"", "file")
        return Job(FACTS._replace(**facts), stored, (due(1),), "a.test")

    def test_streamed(self) -> None:
        """Content in a file goes out piece by piece, one in memory at a time, and arrives whole."""
        pieces = [b"Subject: x\r\n\r\n", *[b".%d\r" % number + b"\n." * (number % 2) + b"x" * 50_000 for number in range(40)], b"\r\n"]
        self.peer({})
        self.assertEqual(self.one(self.spooled(pieces)).result, Result.DELIVERED)
        self.assertEqual(self.dialer.made[0].messages, [re.sub(rb"\r\n|\r", b"\r\n", b"".join(pieces))])
        self.assertLess(self.dialer.transports[0].largest_queue, 120_000)

    def test_peer_stops_reading(self) -> None:
        """A peer that stops taking content is given up after three minutes, and what it has ends without a dot."""
        self.peer({}, {})
        work = self.spooled([b"x" * 60_000 + b"\r\n"] * 50)
        found: list[Any] = []
        self.deliverer.deliver(work).addCallback(found.append)
        self.dialer.transports[0].window = 100_000
        self.dialer.pump()
        self.run_clock(182)
        self.assertEqual(self.words(found[0][1]), (Result.LATER, "timeout", 451))
        self.assertEqual((self.dialer.made[0].messages, len(self.dialer.dialled)), ([], 1))

    def test_refused_midway(self) -> None:
        """A refusal before the content is all out is the answer, and the connection ends."""
        self.peer({})
        work = self.spooled([b"x" * 60_000 + b"\r\n"] * 50)
        found: list[Any] = []
        self.deliverer.deliver(work).addCallback(found.append)
        self.dialer.transports[0].window = 100_000
        self.dialer.pump()
        self.dialer.made[0].transport.write(b"552 5.3.4 enough\r\n")
        self.dialer.pump()
        self.assertEqual(self.words(found[0][1]), (Result.NEVER, "refused", 552))
        self.run_clock(10)
        self.assertEqual(self.pool.stats().connections, 0)

    def test_unreadable(self) -> None:
        """Content that cannot be read, or is not as long as promised, is never ended with a dot."""

        def broken(content: Content) -> Iterator[bytes]:
            yield b"half\r\n"
            raise ContentMissingError("gone")

        for pieces in (broken, lambda content: iter([b"short\r\n"]), lambda content: iter([b"x" * 500])):
            self.setUp()
            self.peer({}, {})
            work = self.spooled([], 100)
            self.pieces = pieces
            self.assertEqual(self.words(self.one(work)), (Result.LATER, "content", 451))
            self.assertEqual((self.dialer.made[0].messages, self.pool.stats().connections), ([], 0))
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_bdat(self) -> None:
        """With the option and CHUNKING offered, BDAT carries the content."""
        self.build(bdat=True)
        self.peer({"EHLO": b"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "BDAT": b"250 taken\r\n"})
        outcome = self.start(job())
        self.assertIn(f"BDAT {len(MESSAGE)} LAST", self.dialer.made[0].lines)
        self.assertEqual(outcome[0][1].result, Result.DELIVERED)

    def test_too_big(self) -> None:
        """A message past the peer's SIZE is not sent at all."""
        self.peer({"EHLO": b"250-x\r\n250 SIZE 10\r\n"})
        outcome = self.one()
        self.assertEqual((*self.words(outcome), outcome.reply.enhanced), (Result.NEVER, "unsupported", 552, "5.3.4"))
        self.assertEqual(self.dialer.made[0].verbs, ["EHLO"])

    def test_8bit(self) -> None:
        """8-bit content is declared where that is understood; where not, it is sent anyway or returned, as the options say."""
        eight = MESSAGE + b"\xc3\xa9\r\n"
        self.peer({})
        self.one(job(content=eight))
        self.assertIn("BODY=8BITMIME", self.dialer.made[0].lines[1])
        self.setUp()
        self.peer({"EHLO": EHLO_BARE})
        self.assertEqual(self.one(job(content=eight)).result, Result.DELIVERED)
        self.setUp()
        self.build(send_8bit_anyway=False)
        self.peer({"EHLO": EHLO_BARE})
        outcome = self.one(job(content=eight))
        self.assertEqual((outcome.result, outcome.reason, outcome.reply.enhanced), (Result.NEVER, "unsupported", "5.6.3"))

    def test_smtputf8(self) -> None:
        """SMTPUTF8 is asked for where needed; without it those who need it are never served and the others are."""
        foreign = [due(1), due(2, "bj\u00f6rn@a.test")]
        self.peer({"EHLO": b"250-x\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n"})
        self.assertTrue(all(outcome.result is Result.DELIVERED for outcome in self.deliver(job(deliveries=foreign)).values()))
        self.assertIn("SMTPUTF8", self.dialer.made[0].lines[1])
        self.setUp()
        self.peer({})
        found = self.deliver(job(deliveries=foreign))
        self.assertEqual((found[1].result, found[2].result, found[2].reply.enhanced), (Result.DELIVERED, Result.NEVER, "5.6.7"))
        for work in (job(sender="bj\u00f6rn@x.test"), job(content="Subject: \u00e9\r\n\r\n".encode(), smtputf8=True), job(deliveries=foreign[1:])):
            self.assertEqual(self.deliver(work).popitem()[1].reply.enhanced, "5.6.7")

    def test_smtputf8_not_needed(self) -> None:
        """Mail flagged SMTPUTF8 whose addresses and header are ASCII goes to anyone."""
        self.peer({})
        self.assertEqual(self.one(job(smtputf8=True, content=b"Subject: x\r\n\r\n\xc3\xa9\r\n")).result, Result.DELIVERED)
        self.assertNotIn("SMTPUTF8", self.dialer.made[0].lines[1])


class SmarthostTests(AttemptCase):
    """AUTH towards a smarthost."""

    rows = ()

    def smarthost(self, tls: TlsMode, answers: dict[str, Any]) -> Outcome:
        """Deliver through one."""
        self.build(route=RouteOptions(smarthost=Smarthost("192.0.2.1", 25, tls, Credentials("user", "secret"))))
        self.peer({"EHLO": b"250-x\r\n250 AUTH PLAIN\r\n", **answers})
        return self.one()

    def test_auth(self) -> None:
        """The password is said once per connection, and in clear only where TLS is switched off."""
        self.assertEqual(self.smarthost(TlsMode.NONE, {}).result, Result.DELIVERED)
        self.assertEqual(self.dialer.made[0].verbs[:3], ["EHLO", "AUTH", "MAIL"])
        self.setUp()
        self.assertEqual(self.words(self.smarthost(TlsMode.OPPORTUNISTIC, {}))[:2], (Result.LATER, "tls"))
        self.assertNotIn("AUTH", self.dialer.made[0].verbs)

    def test_auth_refused(self) -> None:
        """A refused login is ours to mend: later, for the whole destination."""
        outcome = self.smarthost(TlsMode.NONE, {"AUTH": b"535 5.7.8 no\r\n"})
        self.assertEqual((outcome.result, outcome.reason, outcome.is_host_fault), (Result.LATER, "protocol", True))
