"""The shell: order, back-pressure, faults of ours, deadlines, limits and the ways a connection ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.reply import Reply
from jetmail.smtp.server import REST_AT
from tests.inbound.wire import House, Wire

OK = Reply(250, "2.0.0", "OK")
READY = (b"EHLO c", b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>")


class ProtocolTestCase(SynchronousTestCase):
    """Makes houses, and closes them so that a timer left behind fails the test."""

    def house(self, *arguments: Any, **options: Any) -> House:
        house = House(*arguments, **options)
        self.addCleanup(house.end)
        return house

    def connect(self, **options: Any) -> tuple[House, Wire]:
        house = self.house(**options)
        return house, house.connect()


class Conversing(ProtocolTestCase):
    """A conversation over a transport."""

    def test_message(self) -> None:
        """A message goes from banner to QUIT, with one write for each segment read."""
        house, wire = self.connect()
        self.assertEqual(wire.read(), b"220 mx.test ESMTP jetmail\r\n")
        self.assertTrue(wire.say(*READY, b"DATA").endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n"))
        self.assertEqual(wire.say(b"a: b", b"", b"..c", b"."), b"250 2.0.0 OK\r\n")
        self.assertEqual(wire.say(b"QUIT"), b"221 2.0.0 Bye\r\n")
        self.assertEqual((wire.closed, wire.writes, wire.has_no_delay), ("lose", 5, True))
        self.assertEqual(house.receiver.messages, [b"a: b\r\n\r\n.c\r\n"])
        self.assertEqual(house.peers[0].address, "192.0.2.1")
        wire.lose()
        self.assertEqual(house.receiver.methods[-2:], ["end", "lost"])

    def test_awaited_answers_stay_in_order(self) -> None:
        """While an answer is awaited nothing that came behind it is answered; then everything is, in order."""
        answer: Deferred[Reply] = Deferred()
        house, wire = self.connect(answers={"mail": answer})
        wire.read()
        self.assertEqual(wire.say(*READY, b"NOOP"), house.factory.session_options.ehlo_in_clear)
        self.assertEqual(wire.say(b"VRFY x"), b"")
        answer.callback(Reply(250, "2.1.0", "sender"))
        self.assertEqual([line[:9] for line in wire.read().splitlines()], [b"250 2.1.0", b"250 2.0.0", b"250 2.0.0", b"252 2.5.2"])

    def test_answers_that_are_there_are_not_recursed_into(self) -> None:
        """Thousands of Deferreds that have fired already are worked off in one segment without deep recursion."""
        _, wire = self.connect(answers={"rcpt": lambda recipient: succeed(OK)}, session={"max_recipients": 5_000})
        wire.read()
        said = wire.say(*READY[:2], *[b"RCPT TO:<c@d.test>"] * 3_000)
        self.assertEqual(said.count(b"250 2.0.0 OK\r\n"), 3_001)

    def test_rests_while_too_much_waits(self) -> None:
        """The transport is paused when more than enough waits for an answer, not before, and goes on after it."""
        answer: Deferred[Reply] = Deferred()
        house, wire = self.connect(answers={"data": answer})
        wire.say(*READY, b"BDAT 240000 LAST")
        content = b"text\r\n" * 40_000
        wire.deliver(content[:1000])
        self.assertFalse(wire.is_paused)
        wire.deliver(content[1000 : REST_AT + 1000])
        self.assertTrue(wire.is_paused)
        answer.callback(OK)
        self.assertFalse(wire.is_paused)
        wire.deliver(content[REST_AT + 1000 :])
        self.assertEqual(wire.read(), b"250 2.0.0 OK\r\n")
        self.assertEqual(house.receiver.messages, [content])

    def test_chunk_pauses(self) -> None:
        """Content that cannot be taken yet holds the rest back, octet for octet."""
        taken: list[Deferred[None]] = [Deferred(), Deferred()]
        house, wire = self.connect(answers={"chunk": list(taken)})
        wire.say(*READY, b"DATA")
        wire.deliver(b"one\r\n")
        more = b"text\r\n" * (REST_AT // 6 + 1)
        wire.deliver(more)
        self.assertTrue(wire.is_paused)
        self.assertEqual(house.receiver.methods.count("chunk"), 1)
        taken[0].callback(None)
        self.assertEqual(house.receiver.methods.count("chunk"), 2)
        self.assertTrue(wire.is_paused)
        wire.deliver(b".\r\n")
        house.receiver.answers["chunk"] = lambda octets: None
        taken[1].callback(None)
        self.assertFalse(wire.is_paused)
        self.assertEqual(house.receiver.messages, [b"one\r\n" + more])

    def test_client_that_does_not_read(self) -> None:
        """A transport whose buffer is full is not read from until it drains, also when an answer comes meanwhile."""
        answer: Deferred[Reply] = Deferred()
        _, wire = self.connect(answers={"data": answer})
        wire.producer.pauseProducing()
        self.assertTrue(wire.is_paused)
        wire.say(*READY, b"BDAT 200000")
        wire.deliver(b"x" * REST_AT)
        answer.callback(OK)
        self.assertTrue(wire.is_paused)
        wire.producer.resumeProducing()
        self.assertFalse(wire.is_paused)


class Faults(ProtocolTestCase):
    """A part of ours fails."""

    def refused(self, method: str, answer: Any, *lines: bytes) -> bytes:
        house, wire = self.connect(answers={method: answer})
        wire.read()
        said = wire.say(*lines)
        self.assertFalse(wire.closed, said)
        return said.splitlines()[-1]

    def test_every_question(self) -> None:
        """A receiver that raises, fails its Deferred or answers nothing is a 451 with a reference, and the log has the rest."""
        ref = b"451 4.3.0 Internal error, try again later, ref r3f"
        for method, lines in (
            ("helo", READY[:1]),
            ("mail", READY[:2]),
            ("rcpt", READY),
            ("data", (*READY, b"DATA")),
            ("end", (*READY, b"BDAT 3 LAST\r\na")),
        ):
            for answer in (KeyError("disk"), fail(KeyError("disk"))):
                self.assertEqual(self.refused(method, answer, *lines), ref, method)
                self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            self.assertEqual(self.refused(method, succeed(None), *lines), ref, method)
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_chunk(self) -> None:
        """A spool that fails within the content is a 451 at its end, and the transaction is given up."""
        house, wire = self.connect(answers={"chunk": OSError("disk")})
        wire.say(*READY, b"DATA")
        self.assertEqual(wire.say(b"one"), b"")
        self.assertEqual(house.receiver.methods[-1], "abort")
        self.assertIn(b"451 4.3.0", wire.say(b"two", b"."))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(wire.say(b"MAIL FROM:<a@b.test>"), b"250 2.0.0 OK\r\n")

    def test_at_the_door(self) -> None:
        """Before the banner a fault is 421, and the connection ends."""
        _, wire = self.connect(answers={"connected": KeyError("rules")})
        self.assertEqual(wire.read(), b"421 4.3.0 Internal error, try again later, ref r3f\r\n")
        self.assertEqual(wire.closed, "lose")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_no_receiver(self) -> None:
        """So is a receiver that cannot be made."""
        house = self.house()
        house.factory.make_receiver = lambda peer: 1 / 0
        self.assertIn(b"421 4.3.0", house.connect().read())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_notices(self) -> None:
        """A receiver that fails where it has no say (abort, lost) is logged and changes nothing."""
        _, wire = self.connect(answers={"abort": KeyError(), "lost": KeyError()})
        wire.say(*READY)
        wire.lose()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_late_failure_after_the_connection_is_gone(self) -> None:
        """An answer that fails when nobody waits for it any more is logged, nothing else."""
        answer: Deferred[Reply] = Deferred()
        _, wire = self.connect(answers={"end": answer})
        wire.say(
            *READY,
            b"DATA",
        )
        wire.say(b"x", b".")
        wire.lose()
        answer.errback(KeyError("commit"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class Losing(ProtocolTestCase):
    """The client goes."""

    def test_open_transaction(self) -> None:
        """A transaction without its content is aborted, then the loss is told."""
        house, wire = self.connect()
        wire.say(*READY, b"DATA")
        wire.deliver(b"half")
        wire.lose()
        self.assertEqual(house.receiver.methods[-2:], ["abort", "lost"])

    def test_content_that_is_being_decided_on(self) -> None:
        """Complete content is not aborted: it may be committed already."""
        house, wire = self.connect(answers={"end": Deferred()})
        wire.say(*READY, b"DATA")
        wire.say(b"x", b".")
        wire.lose()
        self.assertEqual(house.receiver.methods[-2:], ["end", "lost"])

    def test_answer_after_the_loss(self) -> None:
        """An answer that comes too late is dropped."""
        answer: Deferred[Reply] = Deferred()
        house, wire = self.connect(answers={"rcpt": answer})
        wire.say(*READY)
        wire.lose()
        writes = wire.writes
        answer.callback(OK)
        self.assertEqual(wire.writes, writes)
        self.assertEqual(house.receiver.methods[-2:], ["abort", "lost"])


class Ending(ProtocolTestCase):
    """We go."""

    def test_refused_in_the_middle_of_content(self) -> None:
        """After a bare LF we stop speaking but go on reading for a while, so that the reply is not lost to a reset."""
        house, wire = self.connect()
        wire.say(*READY, b"DATA")
        wire.deliver(b"a\nb\r\n")
        self.assertIn(b"550 5.6.0", wire.read())
        self.assertEqual((wire.closed, wire.producer), ("half", None))
        self.assertEqual(house.receiver.methods[-1], "abort")
        wire.deliver(b"MAIL FROM:<smuggled@b.test>\r\n" * 1000)
        self.assertEqual(house.receiver.methods.count("mail"), 1)
        house.pass_time(25)
        self.assertEqual(wire.closed, "abort")

    def test_only_so_much_is_thrown_away(self) -> None:
        """A peer that never stops is cut off."""
        _, wire = self.connect(limits={"close_octets": 1000})
        wire.say(*READY, b"DATA")
        wire.deliver(b"a\nb\r\n")
        wire.deliver(b"x" * 1001)
        self.assertEqual(wire.closed, "abort")

    def test_drain(self) -> None:
        """Stopping: the idle hear 421 at once, a running transaction ends first, who does not end is cut off after the grace."""
        house = self.house(limits={"stop_grace": 30.0})
        idle, busy, stuck = house.connect(), house.connect(), house.connect()
        busy.say(*READY, b"DATA")
        stuck.say(*READY)
        idle.read()
        done = house.connections.drain()
        self.assertEqual((idle.read(), idle.closed), (b"421 4.3.2 Service shutting down, try again later\r\n", "lose"))
        self.assertEqual((busy.closed, stuck.closed), ("", ""))
        self.assertEqual(busy.say(b"x", b"."), b"250 2.0.0 OK\r\n421 4.3.2 Service shutting down, try again later\r\n")
        self.assertEqual(house.connect().read(), b"421 4.3.2 Service shutting down, try again later\r\n")
        house.pass_time(31)
        self.assertEqual(stuck.closed, "abort")
        self.assertNoResult(done)
        for wire in house.wires:
            wire.lose()
        self.successResultOf(done)

    def test_drain_of_nobody(self) -> None:
        """With no connection there is nothing to wait for."""
        self.successResultOf(self.house().connections.drain())


class Deadlines(ProtocolTestCase):
    """Nobody holds a slot for ever."""

    def test_one_timer_for_all(self) -> None:
        """However many connections there are, one timer runs; an idle one has no dictionary."""
        house = self.house()
        for _ in range(20):
            wire = house.connect()
            wire.say(b"EHLO c")
        self.assertEqual(len(house.clock.getDelayedCalls()), 1)
        self.assertFalse(hasattr(wire.smtp, "__dict__"))

    def test_idle(self) -> None:
        """Five minutes of silence between commands end with 421; octets that drip in do not count as speech."""
        house, wire = self.connect()
        wire.say(b"EHLO c")
        for _ in range(31):
            house.pass_time(10)
            wire.deliver(b"N")
        self.assertEqual(wire.read(), b"421 4.4.2 Timeout, closing connection\r\n")
        self.assertTrue(wire.closed)

    def test_speaking_keeps_it_open(self) -> None:
        """A command every four minutes is fine."""
        house, wire = self.connect()
        for _ in range(4):
            house.pass_time(240)
            self.assertEqual(wire.say(b"NOOP")[-14:], b"250 2.0.0 OK\r\n")

    def test_content_stalls(self) -> None:
        """Three minutes without a piece of content end the transaction."""
        house, wire = self.connect()
        wire.say(*READY, b"DATA")
        for _ in range(3):
            house.pass_time(170)
            wire.deliver(b"x\r\n")
        self.assertEqual(wire.closed, "")
        house.pass_time(190)
        self.assertIn(b"421 4.4.2", wire.read())
        self.assertEqual(house.receiver.methods[-1], "abort")

    def test_content_drips(self) -> None:
        """Content that only drips ends with the time of a whole message; content at a fair rate does not."""
        for octets, ended in ((10, True), (200_000, False)):
            house, wire = self.connect()
            wire.say(*READY, b"DATA")
            wire.read()
            for _ in range(15):
                house.pass_time(150)
                wire.deliver(b"x" * octets + b"\r\n")
            self.assertEqual(b"421" in wire.read(), ended)

    def test_commands_without_mail(self) -> None:
        """Commands now and then that never become a message end too; a message starts the time anew."""
        house, wire = self.connect(session={"max_junk": 10_000})
        for _ in range(8):
            house.pass_time(200)
            wire.say(b"NOOP")
        wire.say(*READY, b"BDAT 3 LAST\r\na")
        for _ in range(8):
            house.pass_time(200)
            wire.say(b"NOOP")
        self.assertEqual(wire.closed, "")
        for _ in range(3):
            house.pass_time(200)
            wire.say(b"NOOP")
        self.assertTrue(wire.closed)

    def test_our_own_slowness(self) -> None:
        """While we owe an answer the client is not to blame; a receiver that never answers is given up in the end."""
        house, wire = self.connect(answers={"mail": Deferred()})
        wire.say(*READY[:2])
        house.pass_time(800)
        self.assertEqual(wire.closed, "")
        house.pass_time(200)
        self.assertEqual(wire.closed, "abort")

    def test_clock_that_jumps(self) -> None:
        """A system clock that leaps a day ahead does not end connections."""
        house, wire = self.connect()
        wire.say(b"EHLO c")
        house.clock.advance(86_400)
        self.assertEqual(wire.closed, "")
        house.pass_time(310)
        self.assertEqual(wire.closed, "lose")

    def test_greeting_delay(self) -> None:
        """With a delay the banner comes late, and who speaks before it is refused."""
        house = self.house(greeting_delay=3.0)
        patient, hasty = house.connect(), house.connect()
        self.assertEqual(patient.read(), b"")
        hasty.deliver(b"EHLO c\r\n")
        self.assertEqual(hasty.read(), b"554 5.5.1 You spoke before the greeting\r\n")
        self.assertTrue(hasty.closed)
        house.clock.advance(3)
        self.assertEqual(patient.read()[:4], b"220 ")

    def test_lost_in_the_delay(self) -> None:
        """A client that goes before the banner leaves no timer."""
        house = self.house(greeting_delay=3.0)
        house.connect().lose()
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_drained_in_the_delay(self) -> None:
        """Stopping tells those who wait for the banner too."""
        house = self.house(greeting_delay=3.0)
        wire = house.connect()
        house.connections.drain()
        self.assertEqual(wire.read()[:4], b"421 ")


class Limits(ProtocolTestCase):
    """How many connections there may be."""

    def test_in_all(self) -> None:
        """One above the limit is told 421; a place that is free again is given away."""
        house = self.house(limits={"max_connections": 2})
        first, _ = house.connect("192.0.2.1"), house.connect("192.0.2.2")
        third = house.connect("192.0.2.3")
        self.assertEqual((third.read(), third.closed), (b"421 4.3.2 Too many connections, try again later\r\n", "lose"))
        self.assertEqual(len(house.receivers), 2)
        third.lose()
        first.lose()
        self.assertEqual(house.connect("192.0.2.4").read()[:4], b"220 ")

    def test_per_address(self) -> None:
        """IPv4 counts by address, IPv6 by /64, and IPv4 that came over IPv6 is IPv4."""
        for same, other in ((("192.0.2.1", "::ffff:192.0.2.1"), "192.0.2.2"), (("2001:db8::1", "2001:db8::2:1"), "2001:db8:0:1::1")):
            house = self.house(limits={"max_per_address": 1})
            first = house.connect(same[0])
            self.assertEqual(house.connect(same[1]).read()[:9], b"421 4.7.0")
            self.assertEqual(house.connect(other).read()[:4], b"220 ")
            first.lose()
            self.assertEqual(house.connect(same[1]).read()[:4], b"220 ")

    def test_unwelcome(self) -> None:
        """Whoever comes in vain is told so before the first word, and before TLS, where nobody could read it; it is counted like others."""
        house = self.house(limits={"max_per_address": 1})
        house.unwelcome.add("192.0.2.1")
        wire = house.connect("192.0.2.1")
        words = b"421 4.7.0 Too many sign-ins from your address that came to nothing, try again later\r\n"
        self.assertEqual((wire.read(), wire.closed, house.receivers), (words, "lose", []))
        wire.lose()
        house.unwelcome.clear()
        self.assertEqual(house.connect("192.0.2.1").read()[:4], b"220 ")

    def test_own_programs(self) -> None:
        """Loopback is only counted in all."""
        house = self.house(limits={"max_per_address": 1})
        house.connect("127.0.0.1")
        self.assertEqual(house.connect("127.0.0.1").read()[:4], b"220 ")
