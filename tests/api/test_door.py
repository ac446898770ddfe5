"""Who may ask, how often, and what becomes of requests that are too much, too slow or of no use."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from jetmail.actions import smtp_users, tokens
from jetmail.api.site import ApiPort
from jetmail.store.directory import smtp_users as rows
from tests.api.office import ADMIN, ENVELOPE, LETTER, NOW, RAW, ApiTestCase
from tests.fuzz.mutation import mutated

BODY = json.dumps(LETTER).encode()


class TokenTests(ApiTestCase):
    """The token."""

    def test_no_oracle(self) -> None:
        """No token, an unknown, expired or revoked one, one of a suspended or deleted user: the same 401 to the last octet."""
        expired, revoked = self.add_token(life=60.0), self.add_token()
        self.successResultOf(tokens.revoke(self.house.db, ADMIN, 3, now=NOW))
        self.house.add_user("suspended", is_suspended=True)
        self.house.add_user("gone")
        suspended, gone = self.add_token("suspended"), self.add_token("gone")
        self.house.write(rows.remove, self.house.user("gone"))
        self.house.clock.advance(61)
        answers = set()
        for token in (None, "x", "transactional_" + "a" * 43, expired, revoked, suspended, gone):
            seen = self.post(token=token)
            self.check_error(seen, 401, "unauthorized")
            self.assertEqual(seen.headers["www-authenticate"], "Bearer")
            answers.add((seen.body, tuple(sorted(item for item in seen.headers.items() if item[0] != "date"))))
        self.assertEqual(len(answers), 1)
        self.assertEqual(self.count(), 0)

    def test_scheme(self) -> None:
        """Only one Authorization field of the scheme Bearer counts, in any case."""
        for field, code in ((f"Basic {self.token}", 401), (f"bearer {self.token}", 202), (self.token, 401)):
            self.assertEqual(self.post(token=None, Authorization=field).code, code)
        wire = self.wire()
        wire.send(self.head("GET", "/v1/messages/x", Connection="close").replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n"))
        self.check_error(wire.seen(), 401, "unauthorized")
        wire.close()

    def test_revoked_at_once(self) -> None:
        """A token that is revoked, or whose user is suspended, opens nothing from the next request on."""
        self.assertEqual(self.post().code, 202)
        self.successResultOf(smtp_users.change(self.house.db, ADMIN, "app", {"is_suspended": True}, now=NOW))
        self.assertEqual(self.post().code, 401)
        self.successResultOf(smtp_users.change(self.house.db, ADMIN, "app", {"is_suspended": False}, now=NOW))
        self.assertEqual(self.post().code, 202)
        self.successResultOf(tokens.revoke(self.house.db, ADMIN, 1, now=NOW))
        self.assertEqual(self.post().code, 401)

    def test_networks(self) -> None:
        """From where the token or its user may not: 403 in the words of SMTP, and only to who has the token."""
        token = self.add_token(allowed=["192.0.2.0/24"])
        self.check_error(self.post(token=token), 403, "address_not_allowed")
        self.house.change_user(networks=("198.51.100.1",))
        self.assertEqual(self.check_error(self.post(), 403, "address_not_allowed")["message"], "535 IP not authorized")

    def test_before_the_body(self) -> None:
        """A stranger's body is not waited for: a large one, or one that asks first, is answered when its header is there."""
        for more, size in (({}, "10000000"), ({"Expect": "100-continue"}, "300")):
            wire = self.wire()
            wire.send(self.head("POST", "/v1/messages", "x", Content_Type="application/json", Content_Length=size, **more))
            self.check_error(wire.seen(), 401, "unauthorized")
            self.assertEqual(wire.transport.value().count(b"HTTP/1.1"), 1)
            wire.send(b"x" * 1_000)
            self.house.clock.advance(2)
            self.assertTrue(wire.transport.disconnecting)
            wire.close()

    def test_continue(self) -> None:
        """A client that asks first is told to go on when its token is good."""
        wire = self.wire()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY)), Expect="100-continue"))
        self.assertEqual(wire.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.send(BODY)
        self.assertIn(b"HTTP/1.1 202", wire.transport.value())
        wire.close()


class RateTests(ApiTestCase):
    """How often."""

    def test_token_and_address(self) -> None:
        """More requests a second than are allowed are 429 with the time to wait, for each token and each address on its own."""
        self.site, self.messages = self.make(token_rate=2.0)
        other = self.add_token()
        codes = [self.ask("GET", "/v1/messages/x").code for _ in range(6)]
        self.assertEqual(codes, [404] * 4 + [429] * 2)
        seen = self.ask("GET", "/v1/messages/x")
        self.check_error(seen, 429, "rate_limited")
        self.assertEqual(seen.headers["retry-after"], "1")
        self.assertEqual(self.ask("GET", "/v1/messages/x", token=other).code, 404)
        self.house.clock.advance(1)
        self.assertEqual(self.ask("GET", "/v1/messages/x").code, 404)
        self.site, self.messages = self.make(address_rate=1.0)
        self.assertEqual([self.ask("GET", "/v1/openapi.json", token=None).code for _ in range(3)], [200, 200, 429])

    def test_failures(self) -> None:
        """An address that brings many bad tokens is told 429 even with a good one that was never seen there, and its old friends still come in."""
        self.post()
        codes = [self.post(token="x").code for _ in range(25)]
        self.assertEqual((codes.count(401), codes.count(429)), (20, 5))
        self.assertEqual(self.post(token=self.add_token()).code, 429)
        self.assertEqual(self.post().code, 202)
        self.house.clock.advance(60)
        self.assertEqual(self.post(token="x").code, 401)

    def test_connections(self) -> None:
        """Connections of one address past its limit are not taken; one that ends makes room."""
        self.site, self.messages = self.make(max_per_address=2)
        wires = [self.wire("192.0.2.1"), self.wire("192.0.2.1")]
        self.assertIsNone(self.wire("192.0.2.1").protocol)
        wires.append(self.wire("192.0.2.2"))
        wires.pop(0).close()
        wires.append(self.wire("192.0.2.1"))
        self.assertIsNotNone(wires[-1].protocol)
        for wire in wires:
            wire.close()
        self.assertEqual((self.site.connections, self.site._homes, self.site._channels), (0, {}, set()))


class WayTests(ApiTestCase):
    """By which way."""

    def test_in_clear(self) -> None:
        """A token over the net in clear is not looked at; this machine itself may."""
        self.check_error(self.post(peer="192.0.2.7"), 403, "tls_required")
        self.assertEqual(self.post(peer="127.0.0.9").code, 202)

    def test_proxy(self) -> None:
        """A proxy that is named is believed: for whom it asks, and that it was by TLS. What others claim, or those behind it, means nothing."""
        self.site, self.messages = self.make(proxies=("10.0.0.0/8", "192.0.2.1"))
        token = self.add_token(allowed=["203.0.113.7"])
        chain = {"X_Forwarded_For": "198.51.100.1, 203.0.113.7, 192.0.2.1", "X_Forwarded_Proto": "https"}
        self.assertEqual(self.post(token=token, peer="10.1.2.3", **chain).code, 202)
        self.assertEqual(self.house.rows("SELECT client_address, tls FROM messages"), [("203.0.113.7", "TLS")])
        self.check_error(self.post(token=token, peer="198.51.100.9", **chain), 403, "tls_required")
        self.check_error(self.post(peer="10.1.2.3", X_Forwarded_For="203.0.113.7"), 403, "tls_required")
        self.check_error(
            self.post(token=token, peer="10.1.2.3", X_Forwarded_For="203.0.113.7, 198.51.100.1", X_Forwarded_Proto="https"),
            403,
            "address_not_allowed",
        )
        self.check_error(
            self.post(token=token, peer="10.1.2.3", X_Forwarded_For="203.0.113.7, x", X_Forwarded_Proto="https"), 403, "address_not_allowed"
        )

    def test_no_way(self) -> None:
        """What is not there is 404, what is asked otherwise is 405 with the way it is asked, and no page of others gets a CORS answer."""
        self.check_error(self.ask("GET", "/"), 404, "not_found")
        self.check_error(self.ask("GET", "/v1/messages/raw/x"), 404, "not_found")
        seen = self.ask("GET", "/v1/messages")
        self.check_error(seen, 405, "method_not_allowed")
        self.assertEqual(seen.headers["allow"], "POST")
        seen = self.ask("OPTIONS", "/v1/messages", token=None, Origin="https://evil.example", Access_Control_Request_Method="POST")
        self.check_error(seen, 405, "method_not_allowed")
        self.assertNotIn("access-control-allow-origin", seen.headers)
        self.assertEqual((seen.headers["cache-control"], seen.headers["x-content-type-options"]), ("no-store", "nosniff"))

    def test_types(self) -> None:
        """A body of another type, or one that is compressed, is 415."""
        self.check_error(self.ask("POST", "/v1/messages", BODY, kind="text/plain"), 415, "unsupported")
        self.check_error(self.ask("POST", "/v1/messages", BODY), 415, "unsupported")
        self.check_error(self.post(Content_Encoding="gzip"), 415, "unsupported")
        self.check_error(self.ask("POST", ENVELOPE, RAW, kind="application/json"), 415, "unsupported")
        self.assertEqual(self.ask("POST", "/v1/messages", BODY, kind="Application/JSON; charset=utf-8").code, 202)


class BodyTests(ApiTestCase):
    """How much, and how fast."""

    def test_too_large(self) -> None:
        """Over the limit is 413, by its length at once, without one when it gets there; nothing stays held."""
        self.site, self.messages = self.make(json_limit=70_000, raw_limit=70_000)
        for path, kind in (("/v1/messages", "application/json"), (ENVELOPE, "message/rfc822")):
            wire = self.wire()
            wire.send(self.head("POST", path, Content_Type=kind, Content_Length="70001"))
            self.check_error(wire.seen(), 413, "too_large")
            wire.close()
            wire = self.wire()
            wire.send(self.head("POST", path, Content_Type=kind, Transfer_Encoding="chunked"))
            for _ in range(20):
                wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            self.check_error(wire.seen(), 413, "too_large")
            wire.close()
        self.assertEqual((self.messages._budget.held, self.house.spool.files), (0, {}))

    def test_held_together(self) -> None:
        """What all clients may have held at a time is bounded; who comes then is told 503, and when the others are through there is room."""
        self.site, self.messages = self.make(json_limit=70_000, json_memory=100_000)
        wires = [self.wire(), self.wire()]
        for wire in wires:
            wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length="69999") + b"x" * 60_000)
        self.check_error(wires[1].seen(), 503, "unavailable")
        self.assertEqual(self.messages._budget.held, 60_000)
        wires[0].close()
        self.assertEqual(self.messages._budget.held, 0)
        wires[1].close()
        self.assertEqual(self.post().code, 202)

    def test_slow(self) -> None:
        """A body has the time its size needs at a modest speed, and then the connection ends; so does one that falls silent."""
        wire = self.wire()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length="163840"))
        for _ in range(29):
            wire.send(b" ")
            self.house.clock.advance(1)
        self.assertFalse(wire.transport.disconnecting)
        self.house.clock.advance(1)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Transfer_Encoding="chunked"))
        self.house.clock.advance(60)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()

    def test_slow_header(self) -> None:
        """A header that trickles in is given up after twenty seconds."""
        wire = self.wire()
        for _ in range(21):
            wire.send(b"X")
            self.house.clock.advance(1)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()

    def test_one_after_another(self) -> None:
        """A connection serves request after request, small refusals included; after a large one is refused it ends."""
        wire = self.wire()
        request = self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY))) + BODY
        bad = self.head("POST", "/v1/messages", "x", Content_Type="application/json", Content_Length=str(len(BODY))) + BODY
        wire.send(request + bad + request)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", wire.transport.value()), [b"202", b"401", b"202"])
        wire.close()

    def test_answer_takes_long(self) -> None:
        """Who has waited too long is told 503, and the message is sent all the same: asked again with its key, it is known."""
        self.house.db.holds = True
        wire = self.wire()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY)), Idempotency_Key="k") + BODY)
        self.house.clock.advance(300)
        self.check_error(wire.seen(), 503, "unavailable")
        wire.close()
        self.house.db.commit()
        self.house.db.holds = False
        self.assertEqual(self.post(Idempotency_Key="k").headers["idempotent-replayed"], "true")

    def test_fault(self) -> None:
        """What breaks in a handler is 500 with a reference, the rest is in the log."""

        async def fails(order: Any) -> bytes:
            raise KeyError("secret")

        self.messages._composed = fails
        error = self.check_error(self.post(), 500, "internal")
        self.assertEqual(error["reference"], "ref-1")
        self.assertNotIn("secret", json.dumps(error))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        results = self.post({"messages": [LETTER]}, "/v1/messages/batch").json()["results"]
        self.assertEqual((results[0]["status"], results[0]["error"]["code"]), (500, "internal"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class DamagedTests(ApiTestCase):
    """Requests nobody meant well."""

    tokens = (b"\r\n", b"\x00", b"%00", b"?", b"&to=", b"//", b"\xff", b"Content-Length: 5\r\n", b"Host: \xe9..\r\n", b"1000000000000", b"chunked")

    def test_damaged(self) -> None:
        """Whatever is done to requests, in whatever pieces they come: no fault of ours is answered or logged, and nothing is left of them."""
        random = Random(5)
        sizes = {"Content_Type": "application/json", "Content_Length": str(len(BODY))}
        corpus = [
            self.head("POST", "/v1/messages", Idempotency_Key="k", **sizes) + BODY,
            self.head("POST", ENVELOPE, Content_Type="message/rfc822", Transfer_Encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n",
            self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length=str(len(RAW)), Expect="100-continue") + RAW,
            self.head("GET", "/v1/messages/abc", X_Forwarded_For="192.0.2.1"),
        ]
        codes: set[bytes] = set()
        for _ in range(800):
            octets = mutated(random, corpus, self.tokens)[:20_000]
            wire, piece = self.wire(), random.randint(1, len(octets) + 1)
            for start in range(0, len(octets), piece):
                wire.send(octets[start : start + piece])
            self.turn()
            codes |= set(re.findall(rb"HTTP/1.1 (\d+)", wire.transport.value()))
            wire.close()
            self.house.clock.advance(30)
        self.assertLessEqual({b"202", b"400", b"401", b"404"}, codes)
        self.assertEqual([code for code in codes if code >= b"500"], [])
        self.assertEqual((self.site.connections, self.messages._budget.held, len(self.messages.underway), self.house.queue.reserved), (0, 0, 0, 0))
        self.assertEqual(self.flushLoggedErrors(), [])


class PortTests(ApiTestCase):
    """Opening and closing."""

    def test_off(self) -> None:
        """Port 0 opens nothing, and stopping it is nothing."""
        port = ApiPort(MemoryReactorClock(), self.site, self.messages, "127.0.0.1", 0)
        port.listen()
        self.assertEqual(port.url, "")
        self.successResultOf(Deferred.fromCoroutine(port.stop()))

    def test_stop(self) -> None:
        """Stopping takes no more requests, lets go of idle connections and waits for what is complete."""
        reactor = MemoryReactorClock()
        port = ApiPort(reactor, self.site, self.messages, "127.0.0.1", 8081)
        port.listen()
        self.assertEqual(reactor.tcpServers[0][0], 8081)
        self.house.db.holds = True
        busy, idle, late = self.wire(), self.wire(), self.wire()
        busy.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY))) + BODY)
        late.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY)))[:-2])
        stopping = Deferred.fromCoroutine(port.stop())
        self.assertTrue(idle.transport.disconnecting)
        self.assertNoResult(stopping)
        late.send(b"\r\n" + BODY)
        self.check_error(late.seen(), 503, "unavailable")
        self.house.db.commit()
        self.successResultOf(stopping)
        self.assertEqual(busy.seen().code, 202)
        for wire in (busy, idle, late):
            wire.close()

    def test_stop_in_time(self) -> None:
        """What does not come to an end is not waited for longer than the grace."""
        reactor = MemoryReactorClock()
        port = ApiPort(reactor, self.site, self.messages, "::", 8081, None, 5.0)
        port.listen()
        self.assertTrue(port.url.startswith("http://[::]:"))
        self.house.db.holds = True
        busy = self.wire()
        busy.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(BODY))) + BODY)
        stopping = Deferred.fromCoroutine(port.stop())
        reactor.advance(4.9)
        self.assertNoResult(stopping)
        reactor.advance(0.2)
        self.successResultOf(stopping)
        self.house.db.commit()
        self.assertEqual(busy.seen().code, 202)
        busy.close()

    def test_factory(self) -> None:
        """What the port listens with makes channels for peers of any kind."""
        self.assertIsNotNone(self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))
