"""Sending by HTTP: one message, one as it is, many, each with the answers of SMTP; and what became of one."""

from __future__ import annotations

import email
import json
from email import policy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from jetmail.inbound.lockdown import LockdownCheck
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.store.traffic import suppressions
from tests.api.office import ANY, ENVELOPE, LETTER, RAW, ApiTestCase
from tests.inbound.receiving import DELIVERIES, GTUBE, NOW


class SendTests(ApiTestCase):
    """POST /v1/messages"""

    def test_accepted(self) -> None:
        """202 after the commit and not before, with the id, and the message is on its way as one of HTTP."""
        self.house.db.holds = True
        wire = self.wire()
        body = json.dumps(LETTER).encode()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(body)), Connection="close") + body)
        self.assertEqual(wire.transport.value(), b"")
        self.house.db.commit()
        seen = wire.seen()
        wire.close()
        answer = seen.json()
        self.assertEqual((seen.code, answer["refused"]), (202, []))
        self.assertEqual(answer["reply"], f"250 2.0.0 OK queued as {answer['id']}")
        self.assertEqual(
            self.house.rows("SELECT uid, listener, user, sender FROM messages"), [(answer["id"], "http", "uuid-of-app", "alice@example.org")]
        )
        self.assertEqual(len(self.house.queue.messages), 1)

    def test_content(self) -> None:
        """Everything that can be asked for arrives; hidden recipients get it and stand nowhere in it."""
        letter = {
            "from": {"email": "alice@example.org", "name": "Älice"}, "to": "Bob <bob@far.test>", "cc": ["carl@far.test"], "bcc": ["eve@far.test"],
            "reply_to": "desk@example.org", "subject": "Grüße", "text": "text", "html": "<img src='cid:logo'>",
            "headers": {"X-Campaign": "ü", "List-Unsubscribe": "<https://example.org/u>"},
            "attachments": [
                {"name": "ä.txt", "type": "text/plain; charset=utf-8", "content": "aGVsbG8="},
                {"name": "logo.png", "type": "image/png", "content": "iVBORw==", "cid": "logo"},
            ],
            "envelope_from": "bounces@example.org",
        }  # fmt: skip
        self.assertEqual(self.post(letter).code, 202)
        self.assertEqual([row[0] for row in self.house.rows(DELIVERIES)], ["bob@far.test", "carl@far.test", "eve@far.test"])
        self.assertEqual(self.house.rows("SELECT sender FROM messages"), [("bounces@example.org",)])
        self.assertNotIn(b"eve", self.content())
        found = email.message_from_bytes(self.content(), policy=policy.default)
        self.assertEqual((str(found["From"]), str(found["Subject"]), found["X-Campaign"]), ("Älice <alice@example.org>", "Grüße", "ü"))
        self.assertEqual((found["Reply-To"], found["X-JetEmail-User"]), ("desk@example.org", "uuid-of-app"))
        self.assertRegex(found["Message-ID"], r"\A<[0-9a-f]{32}@mx.demo.test>\Z")
        self.assertEqual((found["Date"], len(found.get_all("Date", []))), ("Tue, 14 Nov 2023 22:13:20 +0000", 1))
        self.assertIn("from [127.0.0.1] ([127.0.0.1])", found["Received"])
        self.post(LETTER | {"headers": {"message-id": "<mine@example.org>"}})
        self.assertEqual(self.content().lower().count(b"message-id:"), 1)
        self.assertEqual([part.get_filename() for part in found.walk() if part.get_filename()], ["logo.png", "ä.txt"])

    def test_utf8(self) -> None:
        """A recipient outside ASCII makes it SMTPUTF8; a domain outside ASCII does not."""
        self.post(LETTER | {"to": ["joe@bücher.example"]})
        self.post(LETTER | {"to": ["jörg@far.test"]})
        self.assertEqual(self.house.rows("SELECT smtputf8 FROM messages ORDER BY id"), [(0,), (1,)])

    def test_replies_of_smtp(self) -> None:
        """What the road refuses is told in SMTP's words, with the status that fits and the id that explains it."""
        error = self.check_error(self.post(LETTER | {"from": "x@other.test"}), 403, "acl")
        self.assertEqual(error["message"], f"550 [ACL] Blocked. See https://mx.demo.test/?id={error['reference']}&auth=uuid-of-app")
        self.assertEqual(self.house.rows("SELECT uid FROM messages"), [(error["reference"],)])
        error = self.check_error(self.post(LETTER | {"text": "X" + GTUBE.decode()}), 422, "spam")
        self.assertTrue(error["message"].startswith("550 [SPAM] Blocked. See https://"))
        self.house.submissions.lockdown = LockdownCheck(self.house.resolver, PublicSuffixes(), self.house.clock)
        self.house.resolver.zone["_jm.example.org", "TXT"] = [b"v=jm1 auth=somebody-else"]
        error = self.check_error(self.post(), 403, "lockdown")
        self.assertIn("550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.org. See", error["message"])
        self.assertEqual(self.count(), 0)

    def test_quota(self) -> None:
        """A quota that is used up is 429 with the time until its window ends, and is the one that SMTP draws on."""
        self.house.change_user(quota=1, quota_window="day")
        self.assertEqual(self.post().code, 202)
        seen = self.post()
        self.assertEqual(self.check_error(seen, 429, "rate_limited")["message"], "421 4.7.1 Rate limit exceeded. Try again later.")
        self.assertGreater(int(seen.headers["retry-after"]), 3_600)
        self.assertEqual(str(self.house.submission().mail()), "421 4.7.1 Rate limit exceeded. Try again later.")

    def test_faults_of_ours(self) -> None:
        """A store that fails is 503 with a reference and nothing else; so is a full disk."""
        self.house.db.holds = True
        wire = self.wire()
        body = json.dumps(LETTER).encode()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(body)), Connection="close") + body)
        self.house.db.fail()
        seen = wire.seen()
        wire.close()
        error = self.check_error(seen, 503, "unavailable")
        self.assertIn(error["reference"], error["message"])
        self.assertIn("retry-after", seen.headers)
        self.house.db.holds = False
        self.house.has_room = False
        self.assertTrue(self.check_error(self.post(), 503, "unavailable")["message"].startswith("452 "))
        self.flushLoggedErrors()

    def test_one_recipient_refused(self) -> None:
        """The others get it, and the answer says who does not and why; nobody left is an error."""
        self.house.add_domain("listed.test", recipients="listed")
        answer = self.post(LETTER | {"to": ["no@listed.test", "bob@far.test"]}).json()
        self.assertEqual(answer["refused"], [{"recipient": "no@listed.test", "code": "refused", "message": "550 5.1.1 No such recipient here"}])
        self.check_error(self.post(LETTER | {"to": ["no@listed.test"]}), 422, "refused", "to")
        self.assertEqual(self.count(), 1)

    def test_suppressed(self) -> None:
        """A recipient on the suppression list is named with the reply of SMTP, alone as the error."""
        self.house.write(suppressions.add, 1, "ann@far.test", "bounce", "550 no such user", NOW, None)
        (refused,) = self.post(LETTER | {"to": ["ann@far.test", "bob@far.test"]}).json()["refused"]
        self.assertEqual((refused["recipient"], refused["code"]), ("ann@far.test", "suppressed"))
        self.assertTrue(refused["message"].startswith("550 5.7.1 [SUPPRESSED] ann@far.test is on your suppression list"), refused)
        error = self.check_error(self.post(LETTER | {"to": "ann@far.test"}), 422, "suppressed", "to")
        self.assertRegex(error["reference"], r"\A[0-9a-f]{20}\Z")

    def test_too_large(self) -> None:
        """A message that comes out larger than is taken is 413, in SMTP's words."""
        seen = self.post(LETTER | {"text": "x\n" * 110_000})
        self.assertTrue(self.check_error(seen, 413, "too_large")["message"].startswith("552 "))

    def test_leaving(self) -> None:
        """A client that leaves once its request is complete changes nothing: it is sent, once, and nobody's key stays taken."""
        self.house.db.holds = True
        wire = self.wire()
        body = json.dumps(LETTER).encode()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(body)), Idempotency_Key="k") + body)
        wire.close()
        self.check_error(self.post(Idempotency_Key="k"), 409, "conflict")
        drained = self.messages.underway.drain()
        self.assertNoResult(drained)
        self.house.db.commit()
        self.successResultOf(drained)
        self.house.db.holds = False
        self.assertEqual(self.post(Idempotency_Key="k").headers["idempotent-replayed"], "true")
        self.assertEqual(self.count(), 1)


class AnyJsonTests(ApiTestCase):
    """Whatever is asked"""

    @given(value=ANY, changes=st.dictionaries(st.sampled_from(sorted(LETTER)), ANY, max_size=2))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def test_never_5xx(self, value: Any, changes: dict[str, Any]) -> None:
        """No JSON, and no value in any field, makes it stumble: it is accepted or refused."""
        for path, asked in (
            ("/v1/messages", value),
            ("/v1/messages", LETTER | changes),
            ("/v1/messages/batch", value),
            ("/v1/messages/batch", {"messages": [LETTER | changes, value]}),
        ):
            seen = self.post(asked, path)
            self.assertLess(seen.code, 500, asked)
            for result in seen.json().get("results", []):
                self.assertLess(result["status"], 500, asked)
            self.house.clock.advance(10)


class IdempotencyTests(ApiTestCase):
    """Idempotency-Key"""

    def test_again(self) -> None:
        """The same request gets the same answer and sends nothing; a day later, or with another token, it is another request."""
        first = self.post(Idempotency_Key="order-1")
        again = self.post(Idempotency_Key="order-1")
        self.assertEqual((again.code, again.json(), again.headers["idempotent-replayed"]), (202, first.json(), "true"))
        self.assertNotIn("idempotent-replayed", first.headers)
        self.assertEqual(self.count(), 1)
        self.assertNotEqual(self.post(Idempotency_Key="order-1", token=self.add_token()).json(), first.json())
        self.house.clock.advance(86_401)
        self.assertNotEqual(self.post(Idempotency_Key="order-1").json()["id"], first.json()["id"])

    def test_another_request(self) -> None:
        """One key for another body, or at another address, is 422."""
        self.post(Idempotency_Key="k")
        self.check_error(self.post(LETTER | {"subject": "other"}, Idempotency_Key="k"), 422, "key_reused", "Idempotency-Key")
        self.check_error(self.post({"messages": [LETTER]}, "/v1/messages/batch", Idempotency_Key="k"), 422, "key_reused", "Idempotency-Key")
        self.check_error(self.post_raw(Idempotency_Key="k"), 422, "key_reused", "Idempotency-Key")
        self.check_error(self.post(Idempotency_Key=""), 422, "invalid", "Idempotency-Key")
        self.assertEqual(self.count(), 1)

    def test_crash(self) -> None:
        """The answer is kept by the transaction that accepts: before it there is neither, after it there are both, whoever was told."""
        self.house.db.holds = True
        wire = self.wire()
        body = json.dumps(LETTER).encode()
        wire.send(self.head("POST", "/v1/messages", Content_Type="application/json", Content_Length=str(len(body)), Idempotency_Key="k") + body)
        self.assertEqual(self.house.rows("SELECT count(*) FROM idempotency"), [(0,)])
        self.assertEqual(self.count(), 0)
        ((waiting, write, arguments),) = [each for each in self.house.db.waiting if each[1].__name__ == "_accept_sent"]
        self.house.db.waiting = []
        self.house.db.inner.run(write, *arguments)  # the commit; nobody in the process hears of it, as after a crash
        self.assertEqual(self.house.rows("SELECT count(*) FROM idempotency"), [(1,)])
        wire.close()
        self.site, self.messages = self.make()  # the next process
        self.house.db.holds = False
        answer = self.post(Idempotency_Key="k")
        self.assertEqual((answer.code, answer.headers["idempotent-replayed"]), (202, "true"))
        self.assertEqual(self.house.rows("SELECT uid FROM messages"), [(answer.json()["id"],)])
        waiting.addErrback(lambda failure: None)

    def test_refused_is_not_remembered(self) -> None:
        """What was refused may be tried again with the same key."""
        self.house.has_room = False
        self.assertEqual(self.post(Idempotency_Key="k").code, 503)
        self.house.has_room = True
        self.assertEqual(self.post(Idempotency_Key="k").code, 202)

    def test_raw(self) -> None:
        """For messages as they are too: compared with what was sent, octet by octet and with the envelope."""
        first = self.post_raw(Idempotency_Key="k")
        again = self.post_raw(Idempotency_Key="k")
        self.assertEqual((again.json(), again.headers["idempotent-replayed"]), (first.json(), "true"))
        self.check_error(self.post_raw(RAW + b"x", Idempotency_Key="k"), 422, "key_reused", "Idempotency-Key")
        self.check_error(self.post_raw(path=ENVELOPE + "&to=x%40far.test", Idempotency_Key="k"), 422, "key_reused", "Idempotency-Key")
        self.assertEqual(self.count(), 1)

    def test_raw_refused(self) -> None:
        """A refusal of the envelope frees the key, whether the body was heard to its end or not."""
        self.house.change_user(quota=1)
        self.post_raw()
        self.assertEqual([self.post_raw(Idempotency_Key="k").code for _ in range(2)], [429, 429])
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length="150000", Idempotency_Key="k") + RAW)
        self.check_error(wire.seen(), 429, "rate_limited")
        self.house.clock.advance(3)
        wire.close()
        self.house.change_user(quota=0)
        self.assertEqual(self.post_raw(Idempotency_Key="k").code, 202)

    def test_raw_at_once(self) -> None:
        """While one is on its way a second with the same key is told 409; one that is given up gives the key back."""
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length="1000", Idempotency_Key="k") + RAW)
        self.check_error(self.post_raw(Idempotency_Key="k"), 409, "conflict")
        wire.close()
        self.assertEqual(self.post_raw(Idempotency_Key="k").code, 202)


class RawTests(ApiTestCase):
    """POST /v1/messages/raw"""

    def test_accepted(self) -> None:
        """It goes as it is, but for the fields that every message of a user gets, and Bcc."""
        answer = self.post_raw(RAW.replace(b"\r\n", b"\n")).json()
        self.assertEqual(self.house.rows("SELECT uid, sender, listener, body FROM messages"), [(answer["id"], "alice@example.org", "http", "7BIT")])
        self.assertTrue(self.content().endswith(b"From: alice@example.org\r\nTo: bob@far.test\r\nSubject: Hello\r\n\r\nHi.\r\n"))
        self.assertIn(b"X-JetEmail-User: uuid-of-app", self.content())

    def test_envelope(self) -> None:
        """From fields where the query says nothing; wrong, missing and unknown ones are named."""
        seen = self.post_raw(path="/v1/messages/raw", X_Envelope_From="alice@example.org", X_Envelope_To="bob@far.test, carl@far.test")
        self.assertEqual(seen.code, 202)
        self.assertEqual([row[0] for row in self.house.rows(DELIVERIES)], ["bob@far.test", "carl@far.test"])
        for query, field in (
            ("?to=b%40c.test", "from"),
            ("?from=a%40b.test", "to"),
            ("?from=a&to=b", "from"),
            ("?from=a%40b.test&to=b", "to"),
            ("?x=1", "x"),
        ):
            self.check_error(self.post_raw(path="/v1/messages/raw" + query), 422, "invalid", field)

    def test_streamed(self) -> None:
        """A large one goes to its spool file as it comes, in any pieces, with or without a length."""
        body = RAW + b"line\r\n" * 20_000
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Transfer_Encoding="chunked", Connection="close"))
        for start in range(0, len(body), 10_000):
            piece = body[start : start + 10_000]
            wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        self.assertEqual(wire.seen().code, 202)
        wire.close()
        (content,) = self.house.spool.files.values()
        self.assertEqual(content, body)

    def test_refused_early(self) -> None:
        """A quota that is used up is told without waiting for the rest of a large body; a small one is heard to its end."""
        self.house.change_user(quota=1)
        self.assertEqual(self.post_raw().code, 202)
        self.check_error(self.post_raw(), 429, "rate_limited")
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length="150000") + RAW)
        self.check_error(wire.seen(), 429, "rate_limited")
        self.assertFalse(wire.transport.disconnecting)
        self.house.clock.advance(3)
        self.assertTrue(wire.transport.disconnecting)
        wire.close()

    def test_waiting_for_the_envelope(self) -> None:
        """While the envelope is being judged the connection is paused, and what had come is not lost."""
        waiting: Any = []
        judge = self.house.services.judge

        class Slow:
            def ask(self, stage: Any, *arguments: Any) -> Any:
                if stage.name == "SENDER":
                    waiting.append(Deferred())
                    return waiting[-1]
                return judge.ask(stage, *arguments)

        object.__setattr__(self.house.services, "judge", Slow())
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length=str(len(RAW)), Connection="close") + RAW[:40])
        self.assertEqual(wire.transport.producerState, "paused")
        waiting[0].callback(())
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(RAW[40:])
        self.assertEqual(wire.seen().code, 202)
        wire.close()

    def test_given_up(self) -> None:
        """A client that leaves in the middle leaves nothing behind."""
        wire = self.wire()
        wire.send(self.head("POST", ENVELOPE, Content_Type="message/rfc822", Content_Length="190000") + RAW + b"x\r\n" * 10_000)
        wire.close()
        self.assertEqual((self.count(), self.house.spool.files), (0, {}))


class BatchTests(ApiTestCase):
    """POST /v1/messages/batch"""

    def batch(self, *letters: Any, **more: Any) -> Any:
        """Many."""
        return self.post({"messages": list(letters)}, "/v1/messages/batch", **more)

    def test_each_on_its_own(self) -> None:
        """Every message has its own result, in order, and one that is wrong or refused holds up no other."""
        answer = self.batch(LETTER, {"from": 3}, LETTER | {"from": "x@other.test"}, LETTER | {"to": ["carl@far.test"]}).json()
        self.assertEqual((answer["accepted"], answer["refused"]), (2, 2))
        self.assertEqual([result["status"] for result in answer["results"]], [202, 422, 403, 202])
        self.assertEqual([result["error"]["code"] for result in answer["results"][1:3]], ["invalid", "acl"])
        ids = [result["id"] for result in answer["results"] if result["status"] == 202]
        self.assertEqual(set(self.house.rows("SELECT uid FROM messages WHERE content_id IS NOT NULL")), {(uid,) for uid in ids})

    def test_quota(self) -> None:
        """A quota takes what it has places for, whatever runs at once."""
        self.house.change_user(quota=7)
        statuses = [result["status"] for result in self.batch(*[LETTER] * 40).json()["results"]]
        self.assertEqual((statuses.count(202), statuses.count(429)), (7, 33))
        self.assertEqual(self.count(), 7)

    def test_again(self) -> None:
        """With a key, what was accepted is not sent again and what was not is: so is what a crash cut off."""
        self.house.change_user(quota=3)
        first = self.batch(*[LETTER] * 5, Idempotency_Key="k").json()
        self.house.change_user(quota=0)
        again = self.batch(*[LETTER] * 5, Idempotency_Key="k").json()
        self.assertEqual((first["accepted"], again["accepted"], self.count()), (3, 5, 5))
        kept = [result.get("id") for result in first["results"] if result["status"] == 202]
        self.assertTrue(set(kept) < {result["id"] for result in again["results"]})

    def test_size(self) -> None:
        """Nothing, too many, or something else than messages is refused as a whole."""
        for value in ({"messages": []}, {"messages": [LETTER] * 501}, {"messages": 3}, [LETTER], {"messages": [LETTER], "x": 1}):
            self.check_error(self.post(value, "/v1/messages/batch"), 422, "invalid", "messages")
        self.assertEqual(self.count(), 0)


class ShowTests(ApiTestCase):
    """GET /v1/messages/{uid}"""

    def test_status(self) -> None:
        """Its own user's messages with every delivery, those refused too."""
        uid = self.post(LETTER | {"to": ["bob@far.test", "carl@far.test"]}).json()["id"]
        told = self.ask("GET", f"/v1/messages/{uid}").json()
        self.assertEqual((told["id"], told["transtype"], told["sender"], told["subject"]), (uid, "HTTP", "alice@example.org", "Hello"))
        self.assertEqual(
            [(item["recipient"], item["status"]) for item in told["deliveries"]], [("bob@far.test", "queued"), ("carl@far.test", "queued")]
        )
        refused = self.post(LETTER | {"from": "x@other.test"}).json()["error"]["reference"]
        self.assertEqual(self.ask("GET", f"/v1/messages/{refused}").json()["deliveries"][0]["status"], "rejected")

    def test_status_of_held(self) -> None:
        """What is held says so, and is not tried at any time."""
        uid = self.post().json()["id"]
        self.house.db.run(lambda conn: conn.execute("UPDATE deliveries SET held = 1"))
        (told,) = self.ask("GET", f"/v1/messages/{uid}").json()["deliveries"]
        self.assertEqual((told["status"], told["held"], told["next_attempt"]), ("queued", True, None))

    def test_of_others(self) -> None:
        """Messages of another user of the same account do not exist, nor does mail that came in."""
        uid = self.post().json()["id"]
        self.house.add_user("other")
        self.house.session().send()
        (inbound,) = self.house.rows("SELECT uid FROM messages WHERE direction = 'inbound'")[0]
        for path, token in ((uid, self.add_token("other")), (inbound, self.token), ("0" * 20, self.token), ("x", self.token)):
            self.check_error(self.ask("GET", f"/v1/messages/{path}", token=token), 404, "not_found")
