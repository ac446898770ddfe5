"""The resolver's four answers, its cache, its sharing of queries and its breaker."""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.dns import DnsOptions, Resolver, server_addresses
from jetmail.interfaces import AnswerKind
from jetmail.offload import SeededEntropy


class Server:
    """Scripted exchanges: each question gets what `script` says, or waits in `waiting`."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[tuple[str, int]] = []
        self.waiting: list[Deferred] = []

    async def __call__(self, question: dns.message.Message, server: tuple[str, int]) -> dns.message.Message:
        self.asked.append(server)
        step = self.script.pop(0) if self.script else None
        if step is None:
            self.waiting.append(Deferred())
            return await self.waiting[-1]
        if isinstance(step, Exception):
            raise step
        return step(question)


def answer(*rrs: str, code: int = dns.rcode.NOERROR, flags: int = 0, authority: tuple[str, ...] = ()) -> Any:
    """A responder: records given as zone-file lines."""

    def respond(question: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(question)
        response.set_rcode(code)
        response.flags |= flags
        for section, lines in ((response.answer, rrs), (response.authority, authority)):
            for line in lines:
                name, ttl, rdtype, text = line.split(" ", 3)
                section.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, text))
        return dns.message.from_wire(response.to_wire())

    return respond


SOA = "test. 3600 SOA ns.test. root.test. 1 2 3 4 3600"


class ResolverTests(SynchronousTestCase):
    """Resolver.query."""

    def make(self, *script: Any, **options: Any) -> Resolver:
        self.clock = Clock()
        self.server = Server(*script)
        return Resolver(self.clock, DnsOptions(servers=("192.0.2.1", "192.0.2.2"), **options), SeededEntropy(), self.server)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_found(self) -> None:
        """MX comes as (preference, host) in lower case without the last dot."""
        resolver = self.make(answer("example.test. 60 MX 10 Mail.Example.TEST."))
        got = self.successResultOf(resolver.query("Example.test.", "MX"))
        self.assertEqual((got.kind, got.records, got.ttl), (AnswerKind.FOUND, ((10, "mail.example.test"),), 60))

    def test_txt_strings_are_joined(self) -> None:
        """One TXT record of several strings is one value in octets."""
        resolver = self.make(answer('example.test. 60 TXT "v=spf1 " "-all"'))
        self.assertEqual(self.successResultOf(resolver.query("example.test", "TXT")).records, (b"v=spf1 -all",))

    def test_cname_is_followed(self) -> None:
        """An alias leads to the records of its target, with the smaller TTL."""
        resolver = self.make(answer("a.test. 60 CNAME b.test.", "b.test. 30 A 192.0.2.9"))
        got = self.successResultOf(resolver.query("a.test", "A"))
        self.assertEqual((got.records, got.ttl), (("192.0.2.9",), 30))

    def test_four_kinds(self) -> None:
        """NXDOMAIN, no data, SERVFAIL and silence are four different answers."""
        soa = "test. 300 SOA a.test. b.test. 1 2 3 4 300"
        for script, kind in (
            ([answer(code=dns.rcode.NXDOMAIN, authority=(soa,))], AnswerKind.NXDOMAIN),
            ([answer(authority=(soa,))], AnswerKind.NODATA),
            ([answer(code=dns.rcode.SERVFAIL)] * 4, AnswerKind.SERVFAIL),
            ([answer(code=dns.rcode.REFUSED)] * 4, AnswerKind.SERVFAIL),
            ([ConnectionRefusedError()] * 4, AnswerKind.SERVFAIL),
            ([dns.exception.Timeout()] * 4, AnswerKind.TIMEOUT),
        ):
            resolver = self.make(*script)
            self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).kind, kind)

    def test_second_server_is_asked(self) -> None:
        """A fault of one server is not the answer while another one knows."""
        resolver = self.make(answer(code=dns.rcode.SERVFAIL), answer("x.test. 60 A 192.0.2.7"))
        self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).kind, AnswerKind.FOUND)
        self.assertEqual(len(set(self.server.asked)), 2)

    def test_total_timeout(self) -> None:
        """Of servers that are alive, silence about one question ends after the budget even when the exchange never ends by itself."""
        resolver = self.make(timeout=5.0, try_timeout=9.0)
        waiting = resolver.query("x.test", "A")
        for _ in range(6):
            self.clock.advance(0.8)
            for probe in self.server.waiting[1:]:
                if not probe.called:
                    probe.callback(answer()(dns.message.make_query("x.test", "A")))
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(waiting).kind, AnswerKind.TIMEOUT)
        self.assertFalse(resolver.is_broken)

    def test_cache_lives_as_long_as_the_ttl(self) -> None:
        """The second question is free until the TTL is over."""
        resolver = self.make(answer("x.test. 60 A 192.0.2.7"), answer("x.test. 60 A 192.0.2.8"))
        self.successResultOf(resolver.query("x.test", "A"))
        self.clock.advance(59)
        self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).records, ("192.0.2.7",))
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).records, ("192.0.2.8",))

    def test_some_names_are_kept_shortly(self) -> None:
        """An answer about a _jm name is asked for again after five minutes, whatever its TTL; so is its absence."""
        record = answer("_jm.example.test. 14400 TXT v=jm1")
        resolver = self.make(record, record, answer("_jm.example.test. 60 TXT v=jm1"), answer(code=dns.rcode.NXDOMAIN, authority=(SOA,)))
        for pause, asked in ((0, 1), (299, 1), (2, 2), (301, 3), (61, 4), (299, 4)):
            self.clock.advance(pause)
            self.successResultOf(resolver.query("_jm.example.test", "TXT"))
            self.assertEqual(len(self.server.asked), asked)

    def test_cache_is_bounded(self) -> None:
        """The oldest answers leave first."""
        resolver = self.make(*[answer(f"x{n}.test. 60 A 192.0.2.7") for n in range(10)], cache_entries=4)
        for number in range(10):
            self.successResultOf(resolver.query(f"x{number}.test", "A"))
        self.assertEqual(len(resolver._cache), 4)

    def test_same_question_is_asked_once(self) -> None:
        """Two who ask the same share the query; one who leaves does not take it from the other."""
        resolver = self.make()
        first, second = resolver.query("x.test", "A"), resolver.query("x.test", "A")
        self.assertEqual(len(self.server.asked), 1)
        first.addErrback(lambda _: "gone")
        first.cancel()
        self.server.waiting[0].callback(answer("x.test. 60 A 192.0.2.7")(dns.message.make_query("x.test", "A")))
        self.assertEqual(self.successResultOf(first), "gone")
        self.assertEqual(self.successResultOf(second).kind, AnswerKind.FOUND)

    def test_dead_servers(self) -> None:
        """Whoever asks while nobody answers waits two seconds at most, in whatever second of these they came; then nobody waits at all."""
        resolver = self.make()
        waiting = []
        for turn in range(7):
            waiting.append((self.clock.seconds(), resolver.query(f"x{turn}.test", "A")))
            self.clock.advance(0.25)
        self.assertTrue(resolver.is_broken)
        for began, each in waiting:
            self.assertEqual(self.successResultOf(each).kind, AnswerKind.TIMEOUT)
            self.assertLessEqual(self.clock.seconds() - began, 2.0)
        asked = len(self.server.asked)
        self.assertEqual(self.successResultOf(resolver.query("y.test", "A")).kind, AnswerKind.TIMEOUT)
        self.assertEqual(len(self.server.asked), asked)
        self.come_back(resolver)

    def come_back(self, resolver: Resolver) -> None:
        """The servers answer everything from now on; the next probe finds out."""
        self.server.script += [answer("x.test. 60 A 192.0.2.7")] * 4
        self.clock.advance(DnsOptions().breaker_seconds)
        self.assertFalse(resolver.is_broken)

    def test_probe_costs_nobody(self) -> None:
        """While the breaker is open servers are asked again and again, by nobody's mail; once they answer so do queries, of the same name too."""
        resolver = self.make()
        self.assertEqual(self.ended(resolver.query("x.test", "A")).kind, AnswerKind.TIMEOUT)
        for _ in range(3):
            asked = len(self.server.asked)
            self.clock.advance(DnsOptions().breaker_seconds)
            self.assertEqual(len(self.server.asked), asked + 2)
            self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).kind, AnswerKind.TIMEOUT)
            self.clock.advance(1.0)
            self.assertTrue(resolver.is_broken)
        self.come_back(resolver)
        self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).kind, AnswerKind.FOUND)

    def ended(self, waiting: Deferred) -> Any:
        """The answer, in two seconds."""
        self.clock.pump([0.25] * 8)
        return self.successResultOf(waiting)

    def test_a_slow_answer_is_not_a_dead_server(self) -> None:
        """A question that takes three seconds is answered, and holds up nobody else, when the server answers what every server knows."""
        resolver = self.make(try_timeout=9.0)
        waiting = resolver.query("slow.test", "A")
        for _ in range(3):
            self.server.script += [answer()] * 2
            self.clock.advance(1.0)
        self.assertNoResult(waiting)
        self.server.script = [answer("x.test. 60 A 192.0.2.7")]
        self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).kind, AnswerKind.FOUND)
        self.server.waiting[0].callback(answer("slow.test. 60 A 192.0.2.8")(dns.message.make_query("slow.test", "A")))
        self.assertEqual(self.successResultOf(waiting).kind, AnswerKind.FOUND)

    def test_one_dead_server_of_two(self) -> None:
        """One that answers is enough, and a refusal is an answer."""
        for second in (answer("x.test. 60 A 192.0.2.7"), ConnectionRefusedError()):
            resolver = self.make()
            self.server.script = [None, None, second, None]
            waiting = resolver.query("x.test", "A")
            self.clock.advance(1.0)
            self.clock.advance(1.0)
            self.assertFalse(resolver.is_broken)
            self.assertNoResult(waiting)
            self.server.waiting[0].errback(dns.exception.Timeout())
            self.server.waiting[-1].callback(answer("x.test. 60 A 192.0.2.7")(dns.message.make_query("x.test", "A")))
            self.assertEqual(self.successResultOf(waiting).kind, AnswerKind.FOUND)
            self.clock.advance(9)

    def test_impossible_name(self) -> None:
        """A name with an empty or endless label does not exist, and nobody is asked."""
        resolver = self.make()
        for name in ("a..b", "x" * 64 + ".test", ".".join(["abcdefgh"] * 40)):
            self.assertEqual(self.successResultOf(resolver.query(name, "A")).kind, AnswerKind.NXDOMAIN)
        self.assertEqual(self.server.asked, [])

    def test_authentic_needs_a_validating_server(self) -> None:
        """The AD bit counts only when the configuration trusts the servers."""
        for validating in (False, True):
            resolver = self.make(answer("x.test. 60 A 192.0.2.7", flags=dns.flags.AD), validating=validating)
            self.assertEqual(self.successResultOf(resolver.query("x.test", "A")).authentic, validating)


class ServerAddressTests(SynchronousTestCase):
    """server_addresses."""

    def test_forms(self) -> None:
        """Address, address with port, IPv6 in brackets."""
        options = DnsOptions(servers=("192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:54", "2001:db8::2"))
        self.assertEqual(server_addresses(options), (("192.0.2.1", 53), ("192.0.2.1", 5353), ("2001:db8::1", 54), ("2001:db8::2", 53)))

    def test_name_is_refused(self) -> None:
        """A name, or a port out of range, is named in the error."""
        self.assertRaisesRegex(ValueError, "dns.example", server_addresses, DnsOptions(servers=("dns.example",)))
        self.assertRaisesRegex(ValueError, "70000", server_addresses, DnsOptions(servers=("192.0.2.1:70000",)))

    def test_resolv_conf(self) -> None:
        """Without configuration the system's servers are used, without a file the loopback."""
        path = self.mktemp()
        self.assertEqual(server_addresses(DnsOptions(), path), (("127.0.0.1", 53),))
        with open(path, "w") as file:
            file.write("search x\nnameserver 192.0.2.53\n")
        self.assertEqual(server_addresses(DnsOptions(), path), (("192.0.2.53", 53),))
