"""Who is refused, held, marked or deferred, and what is written down about it."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.mail.address import parse
from jetmail.smtp import answers
from tests.inbound.receiving import CONTENT, DELIVERIES, GTUBE, MESSAGE, MESSAGES, House

TAGGED = "X-Spam: Yes"


class RefuseTests(SynchronousTestCase):
    """Mail that is not."""

    def setUp(self) -> None:
        self.house = House()

    def test_recipients(self) -> None:
        """Relay denied, unknown, disabled, unverified: each with its own reply, and the good one is still served."""
        self.house.add_domain("off.test", inbound=False)
        self.house.add_domain("claimed.test", verified_at=None)
        self.house.add_domain("listed.test", recipients="listed")
        self.house.add_recipient("ann@listed.test")
        visit = self.house.session()
        visit.mail()
        said = {address: str(visit.rcpt(address)) for address in
                ("x@elsewhere.test", "x@listed.test", "Ann@Listed.test", "x@off.test", "x@claimed.test", "bob@demo.test")}  # fmt: skip
        self.assertEqual(
            said,
            {
                "x@elsewhere.test": "550 5.1.2 Relaying denied",
                "x@listed.test": "550 5.1.1 No such recipient here",
                "Ann@Listed.test": "250 2.1.5 OK",
                "x@off.test": "450 4.2.1 Mail for this domain is not accepted at the moment",
                "x@claimed.test": "550 5.1.2 Relaying denied",
                "bob@demo.test": "250 2.1.5 OK",
            },
        )
        self.assertEqual(self.successResultOf(visit.content()).code, 250)
        rows = [(row[0], row[3], row[4]) for row in self.house.rows(DELIVERIES)]
        self.assertEqual(
            rows, [("Ann@listed.test", "queued", ""), ("bob@demo.test", "queued", ""), ("x@listed.test", "rejected", "unknown-recipient")]
        )

    def test_change_of_the_directory_counts_at_once(self) -> None:
        """A domain added while a session is open is served by its next RCPT."""
        visit = self.house.session()
        visit.mail()
        self.assertEqual(visit.rcpt("x@new.test").code, 550)
        self.house.add_domain("new.test")
        self.assertEqual(visit.rcpt("x@new.test").code, 250)

    def test_refused_at_rcpt_is_written_down(self) -> None:
        """A transaction that reaches nobody at a domain of ours is in its log; one at a foreign domain is not."""
        self.house.add_domain("listed.test", recipients="listed")
        visit = self.house.session()
        visit.mail()
        visit.rcpt("x@elsewhere.test")
        visit.receiver.abort()
        self.assertEqual(self.house.rows(MESSAGES), [])
        visit.mail()
        visit.rcpt("x@listed.test")
        visit.receiver.lost()
        self.assertEqual(
            [(row[1], row[5], row[7]) for row in self.house.rows(MESSAGES)], [("alice@example.org", "550 5.1.1 No such recipient here", 0)]
        )
        self.assertEqual([(row[0], row[3]) for row in self.house.rows(DELIVERIES)], [("x@listed.test", "rejected")])

    def test_content_that_is_none_is_written_down(self) -> None:
        """What the session cannot take, such as bare line feeds, is in the log of those it was for; a sender that just leaves is not."""
        visit = self.house.session()
        visit.mail()
        visit.rcpt("ann@demo.test")
        visit.rcpt("bob@demo.test")
        visit.receiver.data()
        visit.receiver.abort(answers.BARE_CONTENT)
        said = str(answers.BARE_CONTENT)
        self.assertEqual([(row[1], row[5], row[7]) for row in self.house.rows(MESSAGES)], [("alice@example.org", said, 0)])
        self.assertEqual(
            [(row[0], row[3], row[4], row[5]) for row in self.house.rows(DELIVERIES)],
            [("ann@demo.test", "rejected", "line-ends", said), ("bob@demo.test", "rejected", "line-ends", said)],
        )
        self.assertEqual(self.house.refused, ["line-ends"])
        visit.mail()
        visit.rcpt("bob@demo.test")
        visit.receiver.data()
        visit.receiver.abort()
        self.assertEqual(len(self.house.rows(MESSAGES)), 1)

    def test_each_kind_of_faulty_content_has_a_reason(self) -> None:
        """Everything the session refuses content for is a word of the closed list, whose own reply it is (the size names the listener's limit)."""
        for refusal, reason in (
            (answers.BARE_CHUNK, "line-ends"),
            (answers.OUT_OF_STEP, "synchronization"),
            (answers.TEXT_LINE_TOO_LONG, "line-length"),
            (answers.TOO_BIG, "size"),
        ):
            visit = self.house.session()
            visit.mail()
            visit.rcpt("bob@demo.test")
            visit.receiver.data()
            visit.receiver.abort(refusal)
            self.assertEqual(self.house.rows(DELIVERIES)[-1][3:6], ("rejected", reason, str(refusal)))

    def test_what_is_not_written_down_is_told(self) -> None:
        """A recipient at a foreign domain, and a deferral, are lines of the process's own log."""
        self.house.add_domain("off.test", inbound=False)
        visit = self.house.session()
        visit.mail()
        with capturedLogs() as captured:
            visit.rcpt("x@elsewhere.test")
            visit.rcpt("x@off.test")
        told = [(line["what"], line["reason"], line["recipient"], line["reply"][:3]) for line in captured if "reason" in line]
        self.assertEqual(told, [("refused", "relay-denied", "x@elsewhere.test", "550"), ("deferred", "domain-disabled", "x@off.test", "450")])

    def test_refusals_fill_no_disk(self) -> None:
        """Per connection and per minute only so many are written; the rest is counted."""
        self.house = House(refusals_per_connection=3, refusals_per_minute=2)
        self.house.add_domain("listed.test", recipients="listed")
        for _ in range(2):
            visit = self.house.session()
            for number in range(5):
                visit.mail()
                visit.rcpt(f"x{number}@listed.test")
        visit.receiver.lost()
        self.assertEqual(len(self.house.rows(MESSAGES)), 2)
        self.assertEqual(self.house.refused, ["unknown-recipient"] * 10)
        self.house.clock.advance(60)
        visit = self.house.session()
        visit.mail()
        visit.rcpt("y@listed.test")
        visit.receiver.lost()
        self.assertEqual(len(self.house.rows(MESSAGES)), 3)

    def test_spam_is_refused_and_written_down(self) -> None:
        """GTUBE: 554, no content kept, status Spam, and why."""
        reply = self.house.session().send(MESSAGE + b"X" + GTUBE)
        self.assertEqual(str(reply), "554 5.7.1 [SPAM] Message refused for its content")
        ((_, _, subject, _, _, response, score, has_content),) = self.house.rows(MESSAGES)
        self.assertEqual((subject, response, score, has_content), ("Hello", str(reply), 100.0, 0))
        self.assertEqual([row[3:6] for row in self.house.rows(DELIVERIES)], [("spam", "spam", str(reply))])
        findings = json.loads(self.house.rows("SELECT findings FROM messages")[0][0])
        self.assertEqual(
            [(item["symbol"], item["score"], item["rule"]) for item in findings], [("GTUBE", 100.0, "gtube"), ("REJECT", 0.0, "thresholds")]
        )
        self.assertEqual(self.house.queue.reserved, 0)

    def test_refused_large_message_leaves_no_file(self) -> None:
        """The spool keeps nothing of what was refused."""
        self.house.session().send(MESSAGE + b"X" + GTUBE + b"x\r\n" * 100_000)
        self.assertEqual(self.house.spool.files, {})

    def test_reply_does_not_wait_for_the_record(self) -> None:
        """A refusal is said while the store is still busy; a record that fails is only logged."""
        self.house.db.holds = True
        self.assertEqual(self.house.session().send(MESSAGE + b"X" + GTUBE).code, 554)
        self.house.db.fail()
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_null_sender_has_one_recipient(self) -> None:
        """A bounce for two is two transactions."""
        visit = self.house.session()
        visit.mail("")
        self.assertEqual(visit.rcpt("bob@demo.test").code, 250)
        self.assertEqual(str(visit.rcpt("ann@demo.test")), "452 4.5.3 One recipient at a time for the null sender")

    def test_loop(self) -> None:
        """Fifty-one hops are too many."""
        self.assertEqual(str(self.house.session().send(b"Received: x\r\n" * 51 + MESSAGE)), "554 5.4.6 Mail loop: too many hops")

    def test_refused_client(self) -> None:
        """A refused address hears 554 instead of a banner."""
        house = House('[[rule]]\nname = "client"\nclass = "jetmail.rules.checks.client.RefusedClients"\noptions = { refuse = ["192.0.2.0/24"] }\n')
        self.assertEqual(house.session().greeting.code, 554)
        self.assertEqual(house.session("198.51.100.1").greeting.code, 220)


class PeopleTests(SynchronousTestCase):
    """What people decided."""

    def setUp(self) -> None:
        self.house = House()

    SENDER = '{"senders": [{"sender_type": "email", "sender_value": "alice@example.org"}]}'
    SUBJECT = '{"subjects": [{"match_type": "contains", "subject_value": "hello"}]}'
    FOR_BOB = SUBJECT[:-1] + ', "recipients": [{"recipient_type": "email", "recipient_value": "bob@demo.test"}]}'

    def test_block_by_sender_is_said_at_rcpt(self) -> None:
        """Before the content is sent, and logged as blocked."""
        self.house.add_rule("block", conditions=self.SENDER)
        visit = self.house.session()
        visit.mail()
        self.assertEqual(str(visit.rcpt()), "550 5.7.1 [RULE] Blocked by recipient policy")
        visit.receiver.lost()
        self.assertEqual([row[3:5] for row in self.house.rows(DELIVERIES)], [("blocked", "blocked")])

    def test_block_by_subject_is_said_at_the_end(self) -> None:
        """Once the subject is known."""
        self.house.add_rule("block", conditions=self.SUBJECT)
        self.assertEqual(self.house.session().send().code, 550)
        self.assertEqual([row[3:5] for row in self.house.rows(DELIVERIES)], [("blocked", "blocked")])

    def test_block_for_one_of_two(self) -> None:
        """250: one gets it, one is logged as blocked, and no bounce can come of it."""
        self.house.add_rule("block", conditions=self.FOR_BOB)
        self.assertEqual(self.house.session().send(to=("ann@demo.test", "bob@demo.test")).code, 250)
        rows = [(row[0], row[3], row[5]) for row in self.house.rows(DELIVERIES)]
        self.assertEqual(rows, [("ann@demo.test", "queued", ""), ("bob@demo.test", "blocked", "550 5.7.1 [RULE] Blocked by recipient policy")])
        self.assertEqual(len(self.house.queue.messages[0][0].deliveries), 1)
        self.assertEqual(self.house.queue.reserved, 0)

    def test_allow_lets_spam_through(self) -> None:
        """A person's allow rule beats the score, and the log says so."""
        self.house.add_rule("allow", "address", "bob@demo.test", self.SENDER)
        self.assertEqual(self.house.session().send(MESSAGE + b"X" + GTUBE).code, 250)
        findings = json.loads(self.house.rows("SELECT findings FROM messages")[0][0])
        self.assertIn("ALLOW_RULE", [item["symbol"] for item in findings])
        self.assertIn("address rule allow it", findings[0]["detail"])

    def test_address_rule_follows_tag_and_alias_domain(self) -> None:
        """A person's rules hold for their address with a tag and under an alias domain, and for nobody else's."""
        self.house.add_domain("alias.test", kind="alias", alias_of="demo.test")
        own = self.SENDER[:-1] + ', "recipients": [{"recipient_type": "email", "recipient_value": "bob@demo.test"}]}'  # as actions.rules stores it
        self.house.add_rule("block", "address", "bob@demo.test", own)
        visit = self.house.session()
        visit.mail()
        codes = [visit.rcpt(address).code for address in ("bob@demo.test", "bob+shop@demo.test", "BOB@alias.test", "ann@demo.test")]
        self.assertEqual(codes, [550, 550, 550, 250])

    def test_levels(self) -> None:
        """Appliance over account over address over domain."""
        order = [("domain", "demo.test"), ("address", "bob@demo.test"), ("account", "1"), ("appliance", "")]
        for number, (scope, key) in enumerate(order):
            action = "block" if number % 2 == 0 else "allow"
            self.house.add_rule(action, scope, key, self.SENDER)
            visit = self.house.session()
            visit.mail()
            self.assertEqual(visit.rcpt().code, 550 if action == "block" else 250, scope)

    def test_lists(self) -> None:
        """The appliance's list at RCPT by envelope, the domain's at the end by header From; allow first."""
        self.house.set("lists", {"allow": [], "block": ["example.org"]})
        visit = self.house.session()
        visit.mail()
        self.assertEqual(str(visit.rcpt()), "550 5.7.1 [LIST] Blocked by recipient policy")
        self.house.set("lists", {"allow": ["192.0.2.7"], "block": ["example.org"]})
        self.assertEqual(self.house.session().send().code, 250)
        self.house.set("lists", None)
        self.house.set("lists:demo.test", {"block": ["example.org"]})
        self.assertEqual(self.house.session().send(sender="x@other.test").code, 550)
        self.assertEqual(self.house.session().send(sender="x@other.test", to=("bob@demo.test",), octets=MESSAGE.replace(b"org>", b"net>")).code, 250)

    def test_rule_that_does_not_work(self) -> None:
        """A stored rule that makes no sense matches nothing and is logged, and mail goes on."""
        self.house.add_rule("block", conditions='{"subjects": [{"match_type": "regex", "subject_value": "("}]}', uuid="bad")
        self.house.add_rule("block", conditions=self.SENDER, uuid="good")
        visit = self.house.session()
        visit.mail()
        self.assertEqual(visit.rcpt().code, 550)
        self.assertIn("bad", self.house.services.book.recipient(parse("bob@demo.test")).policy.faults[0])


class ScoreTests(SynchronousTestCase):
    """Thresholds at work, with the test string's variants."""

    CHAIN = """
[[rule]]
name = "domain"
class = "jetmail.rules.checks.domain_state.KnownDomain"
[[rule]]
name = "gtube"
class = "jetmail.rules.checks.gtube.Gtube"
options = { variants = true }
[[rule]]
name = "thresholds"
class = "jetmail.rules.checks.thresholds.Thresholds"
"""

    def setUp(self) -> None:
        self.house = House(self.CHAIN)
        self.house.add_domain("tag.test", spam_action="tag")
        self.house.add_domain("strict.test", spam_score=4.0, reject_score=7.0)
        self.house.add_domain("lax.test", spam_score=999.0, reject_score=999.0, defer_score=999.0)

    def send(self, letter: bytes, *to: str, size: int = 0) -> Any:
        return self.house.session().send(MESSAGE + letter + GTUBE + b"x\r\n" * size, to=to)

    def test_quarantine(self) -> None:
        """A relay domain keeps it: 250, nothing in the queue, the content there to be released."""
        self.assertEqual(self.send(b"Y", "bob@demo.test").code, 250)
        self.assertEqual([row[3:5] for row in self.house.rows(DELIVERIES)], [("quarantined", "suspect")])
        ((data, *_),) = self.house.rows(CONTENT)
        self.assertIn(b"X-Spam-Score: 8.00\r\nX-Spam-Symbols: GTUBE\r\n", data)
        self.assertNotIn(TAGGED.encode(), data)
        self.assertEqual((self.house.queue.messages, self.house.queue.woken), ([], 0))

    def test_tag(self) -> None:
        """A domain that wants it marked gets it marked."""
        self.assertEqual(self.send(b"Y", "bob@tag.test").code, 250)
        self.assertIn(TAGGED.encode(), self.house.rows(CONTENT)[0][0])
        self.assertEqual([row[3:5] for row in self.house.rows(DELIVERIES)], [("queued", "suspect")])

    def test_mixed_outcomes(self) -> None:
        """Four domains, four fates, one 250: held, marked, refused, delivered; the marked copy is a message of its own."""
        reply = self.send(b"Y", "a@demo.test", "b@tag.test", "c@strict.test", "d@lax.test")
        self.assertEqual(reply.code, 250)
        rows = {row[0]: row[3] for row in self.house.rows(DELIVERIES)}
        self.assertEqual(rows, {"a@demo.test": "quarantined", "b@tag.test": "queued", "c@strict.test": "spam", "d@lax.test": "queued"})
        marked = [TAGGED.encode() in row[0] for row in self.house.rows(CONTENT)]
        self.assertEqual(sorted(marked), [False, True])
        self.assertEqual(len({row[0] for row in self.house.rows(MESSAGES)}), 2)
        self.assertEqual(len(self.house.queue.messages), 2)
        self.assertEqual(self.house.queue.reserved, 0)

    def test_mixed_outcomes_of_a_large_message(self) -> None:
        """Each copy has a file of its own, because each is freed when its own deliveries are done."""
        visit = self.house.session()
        visit.mail()
        visit.rcpt("a@tag.test")
        visit.rcpt("b@lax.test")
        answer = visit.content(MESSAGE + b"Y" + GTUBE + b"x\r\n" * 1_000_000)
        for _ in range(10):
            self.house.clock.advance(0)
        self.assertEqual(self.successResultOf(answer).code, 250)
        rows = self.house.rows(CONTENT)
        self.assertEqual(len({row[2] for row in rows}), 2)
        bodies = {self.house.spool.files[spool][offset:] for _, _, spool, offset, _ in rows}
        self.assertEqual(len(bodies), 1)
        self.assertEqual([TAGGED.encode() in row[1] for row in rows], [True, False])

    def test_greylisting(self) -> None:
        """First contact is deferred and not stored; after five minutes the same message from a neighbour of the client is taken."""
        reply = self.send(b"Z", "bob@demo.test")
        self.assertEqual(str(reply), "451 4.7.1 Greylisted, please try again in five minutes")
        self.assertEqual(self.house.rows(MESSAGES), [])
        self.assertEqual(self.send(b"Z", "bob@demo.test").code, 451)
        self.house.clock.advance(300)
        self.assertEqual(self.send(b"Z", "ann@demo.test").code, 451)
        self.assertEqual(self.house.session("192.0.2.99").send(MESSAGE + b"Z" + GTUBE).code, 250)
        self.assertEqual(self.house.refused, ["greylist"] * 3)

    def test_greylisting_of_one_of_two_is_a_mark(self) -> None:
        """What cannot be said to both is written in the header for one."""
        self.assertEqual(self.send(b"Z", "a@demo.test", "b@lax.test").code, 250)
        self.assertEqual([(row[0], row[4]) for row in self.house.rows(DELIVERIES)], [("a@demo.test", "suspect"), ("b@lax.test", "")])
        self.assertEqual([TAGGED.encode() in row[0] for row in self.house.rows(CONTENT)], [True, False])

    def test_setting_of_the_appliance(self) -> None:
        """The appliance's thresholds over the defaults, a domain's own over the appliance's."""
        self.house.set("thresholds", {"reject_score": 5})
        self.assertEqual(self.send(b"Y", "bob@demo.test").code, 554)
        self.assertEqual(self.send(b"Y", "bob@lax.test").code, 250)
