"""Attempts to deliver: the straight road, and which host is tried next."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError

from jetmail.interfaces import AnswerKind
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound.pool import PoolOptions
from jetmail.outbound.route import Destination
from jetmail.smtp.client import ClientSession
from tests.fakes import CLOSE, STALL
from tests.outbound.delivering import EHLO_BARE, MESSAGE, AttemptCase, due, job


class DeliveryTests(AttemptCase):
    """The straight road."""

    def test_delivered(self) -> None:
        """A message goes out as it is, and the outcome says who took it."""
        self.peer({})
        outcome = self.one()
        self.assertEqual(self.words(outcome), (Result.DELIVERED, "accepted", 250))
        self.assertEqual((outcome.host, outcome.address, outcome.port, outcome.tls), ("192.0.2.1", "192.0.2.1", 25, ""))
        peer = self.dialer.made[0]
        self.assertEqual(peer.messages, [MESSAGE])
        self.assertEqual(peer.lines, ["EHLO us.test", f"MAIL FROM:<a@sender.test> SIZE={len(MESSAGE)}", "RCPT TO:<r1@a.test>", "DATA"])

    def test_reused(self) -> None:
        """The next message uses the connection, and costs two writes."""
        self.peer({})
        self.one()
        before = len(self.dialer.transports[0].writes)
        self.one()
        self.assertEqual(len(self.dialer.transports[0].writes) - before, 2)
        self.assertEqual(len(self.dialer.dialled), 1)
        self.assertEqual(len(self.dialer.made[0].messages), 2)

    def test_idle_says_quit(self) -> None:
        """A connection nobody used for a while says QUIT, and no timer stays behind."""
        self.peer({})
        self.one()
        self.run_clock(15)
        self.assertEqual(self.dialer.made[0].verbs[-1], "QUIT")
        self.assertEqual((self.pool.stats().connections, self.clock.getDelayedCalls()), (0, []))

    def test_results_one_by_one(self) -> None:
        """Every recipient has the answer that is theirs."""
        self.rows = self.rows[:1]
        self.peer({"RCPT": [b"250 ok\r\n", b"550 5.1.1 unknown\r\n", b"451 4.2.0 busy\r\n"]})
        found = self.deliver(job(3))
        self.assertEqual([found[key].result for key in (1, 2, 3)], [Result.DELIVERED, Result.NEVER, Result.LATER])
        self.assertEqual((found[2].reason, found[2].reply.enhanced, found[3].reason), ("refused", "5.1.1", "deferred"))

    def test_transactions(self) -> None:
        """Recipients beyond the limit, ours or the peer's, go in further transactions of the same connection."""
        self.build(recipients_per_transaction=3)
        self.peer({})
        self.assertEqual(len(self.deliver(job(7))), 7)
        self.assertEqual(self.dialer.made[0].verbs.count("MAIL"), 3)
        self.setUp()
        self.peer({"EHLO": b"250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n"})
        self.assertTrue(all(outcome.result is Result.DELIVERED for outcome in self.deliver(job(5)).values()))
        self.assertEqual((self.dialer.made[0].verbs.count("MAIL"), len(self.dialer.dialled)), (3, 1))

    def test_too_many_recipients(self) -> None:
        """452 after others were accepted means the next transaction, at once; alone it is an answer."""
        self.peer({"RCPT": [b"250 ok\r\n", b"452 4.5.3 too many\r\n", b"250 ok\r\n"]})
        self.assertTrue(all(outcome.result is Result.DELIVERED for outcome in self.deliver(job(2)).values()))
        self.rows = self.rows[:1]
        self.setUp()
        self.peer({"RCPT": b"452 4.2.2 full\r\n"})
        self.assertEqual({outcome.result for outcome in self.deliver(job(2)).values()}, {Result.LATER})

    def test_dsn(self) -> None:
        """NOTIFY, ORCPT, RET and ENVID go to a peer that offers DSN; an alias leaves its first name; without DSN the outcome says so."""
        deliveries = [due(1, "real@a.test", "ali+as@a.test", "SUCCESS"), due(2, orcpt="rfc822;o@x.test")]
        self.peer({})
        found = self.deliver(job(deliveries=deliveries, ret="HDRS", envid="e1"))
        lines = self.dialer.made[0].lines
        self.assertIn(f"MAIL FROM:<a@sender.test> SIZE={len(MESSAGE)} RET=HDRS ENVID=e1", lines)
        self.assertIn("RCPT TO:<real@a.test> NOTIFY=SUCCESS ORCPT=rfc822;ali+2Bas@a.test", lines)
        self.assertIn("RCPT TO:<r2@a.test> ORCPT=rfc822;o@x.test", lines)
        self.assertFalse(found[1].relayed_without_dsn)
        self.setUp()
        self.peer({"EHLO": EHLO_BARE})
        self.assertTrue(self.one().relayed_without_dsn)

    def test_source_address(self) -> None:
        """The configured source address is bound, by family."""
        self.build(source="198.51.100.1", source6="2001:db8::9")
        self.peer({})
        self.one()
        self.assertEqual(self.dialer.sources, ["198.51.100.1"])

    def test_damaged_envelope(self) -> None:
        """An address that would break out of its line is a fault of ours: later, and the connection stays good."""
        self.peer({})
        self.assertEqual(self.words(self.one(job(sender="a@b\r\nRSET"))), (Result.LATER, "content", 451))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(self.one().result, Result.DELIVERED)

    def test_something_of_ours_breaks(self) -> None:
        """Before the dialling or in the middle of a conversation: logged, and tried again, not set aside as bad content is."""
        self.peer({})
        self.deliverer.router.known = lambda destination: None  # type: ignore[method-assign]
        self.deliverer.router.route = lambda destination: fail(PermissionError("publicsuffixlist"))  # type: ignore[method-assign]
        self.assertEqual(self.words(self.one()), (Result.LATER, "deferred", 451))
        self.setUp()
        self.peer({})
        self.patch(ClientSession, "receive", lambda session, data: 1 // 0)
        self.assertEqual(self.words(self.one()), (Result.LATER, "deferred", 451))
        self.assertEqual(len(self.flushLoggedErrors(PermissionError, ZeroDivisionError)), 2)

    def test_routing_outcome(self) -> None:
        """Where there is no route its outcome is everyone's."""
        self.rows = ()
        self.build(zone={("a.test", "MX"): AnswerKind.SERVFAIL})
        self.assertEqual({outcome.reason for outcome in self.deliver(job(2)).values()}, {"dns"})


class HostTests(AttemptCase):
    """Which host is tried next."""

    def test_refused_connection(self) -> None:
        """An address that refuses is passed over, now and for the next message."""
        self.peer(ConnectionRefusedError(), {})
        self.assertEqual(self.one().address, "192.0.2.2")
        self.assertEqual(self.one().address, "192.0.2.2")
        self.assertEqual(self.dialer.dialled, [("192.0.2.1", 25), ("192.0.2.2", 25)])

    def test_all_dead(self) -> None:
        """With every address dead the last failure is the answer, to those who did not dial too."""
        self.peer(ConnectionRefusedError(), ConnectionRefusedError())
        for _ in range(2):
            outcome = self.one()
            self.assertEqual(self.words(outcome), (Result.LATER, "connect", 451))
            self.assertIn("refused", outcome.reply.text)
        self.assertEqual(len(self.dialer.dialled), 2)

    def test_greeting_later(self) -> None:
        """4xx in the banner or to EHLO: the next host; nobody left: later, and the destination is at fault."""
        for answers in ({"banner": b"421 busy\r\n"}, {"banner": b"450 busy\r\n"}, {"EHLO": b"451 busy\r\n"}, {"EHLO": b"421 busy\r\n"}):
            self.setUp()
            self.peer(answers, {})
            self.assertEqual(self.one().address, "192.0.2.2")
            self.setUp()
            self.peer(answers, answers)
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.reason, outcome.is_host_fault), (Result.LATER, "connect", True))

    def test_greeting_never(self) -> None:
        """5xx in greeting: the next host; never only when every host said so."""
        no = {"banner": b"554 5.7.1 go away\r\n"}
        self.peer(no, {})
        self.assertEqual(self.one().result, Result.DELIVERED)
        self.setUp()
        self.peer(no, no)
        self.assertEqual(self.words(self.one()), (Result.NEVER, "refused", 554))
        self.setUp()
        self.peer(no, {"banner": b"421 busy\r\n"})
        self.assertEqual(self.one().result, Result.LATER)

    def test_closing_in_the_envelope(self) -> None:
        """421 before the content: the next host takes those not yet answered for."""
        self.peer({"RCPT": [b"550 5.1.1 no\r\n", b"421 bye\r\n"], "EHLO": EHLO_BARE}, {})
        found = self.deliver(job(2))
        self.assertEqual((found[1].result, found[1].address), (Result.NEVER, "192.0.2.1"))
        self.assertEqual((found[2].result, found[2].address), (Result.DELIVERED, "192.0.2.2"))
        self.assertEqual(self.dialer.made[1].verbs.count("RCPT"), 1)

    def test_lost_before_content(self) -> None:
        """A connection lost before the content: the next host."""
        for verb in ("banner", "EHLO", "MAIL", "RCPT", "DATA"):
            self.setUp()
            self.peer({verb: CLOSE, **({} if verb == "EHLO" else {"EHLO": EHLO_BARE})}, {})
            self.assertEqual(self.one().address, "192.0.2.2", verb)

    def test_lost_after_content(self) -> None:
        """A connection lost after the content: later, and no other host, who might get it twice."""
        self.peer({"dot": CLOSE}, {})
        self.assertEqual(self.words(self.one()), (Result.LATER, "connect", 451))
        self.assertEqual(len(self.dialer.dialled), 1)

    def test_garbage(self) -> None:
        """A peer that speaks no SMTP is passed over, and with nobody left it is the protocol's fault."""
        self.peer({"banner": b"SSH-2.0-OpenSSH\r\n"}, {"banner": b"HTTP/1.1 400\r\n"})
        self.assertEqual(self.words(self.one())[:2], (Result.LATER, "protocol"))

    def test_stall(self) -> None:
        """A peer silent in any phase is given up in time: before the content for the next host, after it for later."""
        limits = {"banner": 300, "EHLO": 300, "MAIL": 300, "RCPT": 300, "DATA": 120, "dot": 600}
        for verb, limit in limits.items():
            self.setUp()
            stalled = {verb: STALL, **({} if verb == "EHLO" else {"EHLO": EHLO_BARE})}
            self.peer(stalled, ConnectionRefusedError())
            self.rows = self.rows[:1]
            found = self.start(job())
            self.run_clock(limit - 1)
            self.assertEqual(found, [], verb)
            self.run_clock(3)
            self.assertEqual(self.words(found[0][1]), (Result.LATER, "timeout", 451), verb)
            self.assertTrue(self.dialer.transports[0].is_lost)
            self.assertEqual((self.pool.stats().connections, self.clock.getDelayedCalls()), (0, []))

    def test_dial_timeout(self) -> None:
        """An address that never answers is given up after 30 s."""
        self.peer(None, {})
        found = self.start(job())
        self.run_clock(29)
        self.assertEqual(found, [])
        self.run_clock(1)
        self.assertEqual(found[0][1].address, "192.0.2.2")

    def test_stale_connection(self) -> None:
        """A kept connection that ends before it answered is nobody's fault: a fresh one carries the message."""
        for answer in (CLOSE, b"421 4.4.2 idle too long\r\n"):
            self.setUp()
            self.peer({"MAIL": [b"250 ok\r\n", answer, b"250 ok\r\n"]}, ConnectionRefusedError())
            self.one()
            script = self.dialer.made[0].answers["MAIL"]
            self.peer({"MAIL": script}, ConnectionRefusedError())
            self.assertEqual(self.one().result, Result.DELIVERED)
            self.assertEqual(self.dialer.dialled, [("192.0.2.1", 25)] * 2)

    def test_idle_peer_leaves(self) -> None:
        """A peer that closes an idle connection, with or without 421, leaves nothing behind."""
        for last_words in (b"", b"421 4.4.2 idle too long\r\n"):
            self.setUp()
            self.peer({})
            self.one()
            self.dialer.made[0].transport.write(last_words)
            self.dialer.made[0].transport.loseConnection()
            self.dialer.pump()
            self.assertEqual(self.pool.stats().connections, 0)
            self.assertEqual(self.one().result, Result.DELIVERED)

    def test_crowd(self) -> None:
        """More messages than connections to an address wait in line and use the ones there are."""
        self.build(PoolOptions(max_per_address=2))
        self.peer({})
        found: list[dict[int, Outcome]] = []
        for _ in range(10):
            self.deliverer.deliver(job()).addCallback(found.append)
        self.dialer.pump()
        self.assertEqual((len(found), len(self.dialer.dialled)), (10, 2))

    def test_closing_down(self) -> None:
        """Closing the pool gives everyone an outcome."""
        self.peer({"EHLO": EHLO_BARE, "MAIL": STALL}, {})
        found = self.start(job())
        self.pool.close()
        self.dialer.pump()
        self.assertEqual(self.words(found[0][1]), (Result.LATER, "operator", 451))


class PutOffTests(AttemptCase):
    """4xx answers about mail: the next host is asked in the same attempt."""

    rows = tuple(Destination(f"192.0.2.{number}", 25, number) for number in range(1, 9))

    def test_next_host(self) -> None:
        """4xx to MAIL, RCPT, DATA or the content: the next host gets the message, and the event knows what the first one said."""
        for answers in ({"MAIL": b"451 later\r\n"}, {"RCPT": b"450 4.7.1 later\r\n"}, {"DATA": b"451 later\r\n"}, {"dot": b"451 later\r\n"}):
            self.setUp()
            self.peer(answers, {})
            outcome = self.one()
            self.assertEqual((outcome.result, outcome.address), (Result.DELIVERED, "192.0.2.2"))
            self.assertEqual([host for host, _ in outcome.earlier], ["192.0.2.1"])
            self.assertTrue(outcome.earlier[0][1].startswith("45"))
            self.assertEqual(self.dialer.made[1].messages, [MESSAGE])

    def test_only_those_put_off(self) -> None:
        """Who was taken or refused for good is done; the next host is given the others alone."""
        self.peer({"RCPT": [b"250 ok\r\n", b"550 5.1.1 no\r\n", b"451 4.2.0 busy\r\n"]}, {"RCPT": b"550 5.1.1 no\r\n"})
        found = self.deliver(job(3))
        self.assertEqual(
            [(found[key].result, found[key].address) for key in (1, 2, 3)],
            [(Result.DELIVERED, "192.0.2.1"), (Result.NEVER, "192.0.2.1"), (Result.NEVER, "192.0.2.2")],
        )
        self.assertEqual([line for line in self.dialer.made[1].lines if line.startswith("RCPT")], ["RCPT TO:<r3@a.test>"])
        self.assertEqual((found[1].earlier, found[3].earlier), ((), (("192.0.2.1", "451 4.2.0 busy"),)))

    def test_last_answer_stands(self) -> None:
        """With nobody left the last host's reply is the outcome, and the others' are with it."""
        self.rows = self.rows[:2]
        self.peer({"RCPT": b"450 4.2.0 one\r\n"}, {"MAIL": b"451 4.3.0 two\r\n"})
        outcome = self.one()
        self.assertEqual((outcome.result, outcome.reason, str(outcome.reply)), (Result.LATER, "deferred", "451 4.3.0 two"))
        self.assertEqual(outcome.earlier, (("192.0.2.1", "450 4.2.0 one"),))

    def test_hosts_that_do_not_answer(self) -> None:
        """An answer about the mail is worth more than a host behind it that is down, turns us away or cannot take the message: neither puts the
        destination down or ends the delivery."""
        put_off = {"RCPT": b"450 4.2.0 one\r\n"}
        small = {"EHLO": b"250-x\r\n250 SIZE 10\r\n"}
        self.rows = self.rows[:2]
        for other in (ConnectionRefusedError(), {"banner": b"554 5.7.1 no\r\n"}, {"banner": b"421 busy\r\n"}, {"MAIL": CLOSE}, small):
            self.setUp()
            self.peer(put_off, other)
            outcome = self.one()
            self.assertEqual((*self.words(outcome), outcome.address, outcome.is_host_fault), (Result.LATER, "deferred", 450, "192.0.2.1", False))
        self.rows = PutOffTests.rows
        self.setUp()
        self.peer(put_off, small, {})
        self.assertEqual(self.one().address, "192.0.2.3")

    def test_bounded(self) -> None:
        """At most five hosts are asked about a message in one attempt."""
        self.peer(*[{"RCPT": b"450 4.2.0 later\r\n"}] * 8)
        outcome = self.one()
        self.assertEqual((len(self.dialer.dialled), outcome.address, len(outcome.earlier)), (5, "192.0.2.5", 4))
        self.assertEqual(self.pool.stats().idle, 5)

    def test_lost_after_content(self) -> None:
        """Who may have been delivered is given to no other host, and neither is anybody else of that transaction."""
        self.peer({"RCPT": [b"451 4.2.0 busy\r\n", b"250 ok\r\n"], "dot": CLOSE}, {})
        found = self.deliver(job(2))
        self.assertEqual([self.words(found[key])[:2] for key in (1, 2)], [(Result.LATER, "deferred"), (Result.LATER, "connect")])
        self.assertEqual((found[1].is_doubtful, found[2].is_doubtful, len(self.dialer.dialled)), (False, True, 1))

    def test_lost_at_the_second(self) -> None:
        """The same at a later host: doubtful is what it is then, not what an earlier host said."""
        self.peer({"RCPT": b"451 4.2.0 busy\r\n"}, {"dot": CLOSE}, {})
        outcome = self.one()
        self.assertEqual((self.words(outcome), outcome.is_doubtful), ((Result.LATER, "connect", 451), True))
        self.assertEqual(len(self.dialer.dialled), 2)

    def test_lost_after_a_refused_sender(self) -> None:
        """What a peer says to RCPT after it refused the sender is no answer about the recipient, also when it goes away then."""
        self.peer({"MAIL": b"451 4.3.0 later\r\n", "RCPT": b"503 5.5.1 MAIL first\r\n", "DATA": CLOSE}, {})
        self.assertEqual(self.one().address, "192.0.2.2")

    def test_too_many_recipients(self) -> None:
        """452 behind accepted ones is the same host's, in the next transaction; alone it is an answer, and the next host is asked."""
        self.peer({"RCPT": [b"250 ok\r\n", b"452 4.5.3 too many\r\n", b"452 4.5.3 too many\r\n", b"250 ok\r\n"]}, {})
        found = self.deliver(job(2))
        self.assertEqual([found[key].address for key in (1, 2)], ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.dialer.made[0].verbs.count("MAIL"), 2)

    def test_about_whom(self) -> None:
        """An outcome says when a reply was about one recipient, and not about the sender or the content."""
        self.rows = self.rows[:1]
        for answers, about in (
            ({"MAIL": b"451 x\r\n"}, ""),
            ({"RCPT": b"451 x\r\n"}, "r1@a.test"),
            ({"DATA": b"451 x\r\n"}, ""),
            ({"dot": b"451 x\r\n"}, ""),
        ):
            self.setUp()
            self.peer(answers)
            self.assertEqual(self.one().about, about)
