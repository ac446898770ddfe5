"""Mail that a hold rule sets aside: taken, stored, not handed to the queue, and told why."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import StoreError
from jetmail.mail.holdrule import HoldRule
from jetmail.store.directory import hold_rules
from jetmail.store.traffic import administration
from jetmail.store.traffic.administration import Selection
from tests.inbound.receiving import House

ROWS = "SELECT recipient, status, held, reason, reply, attempts FROM deliveries ORDER BY id"


class HoldingTests(SynchronousTestCase):
    """demo.test takes mail; 'app' sends from example.org."""

    def setUp(self) -> None:
        """The house."""
        self.house = House()

    def rule(self, uuid: str = "one", **asked: Any) -> None:
        """A rule that is there from now on."""
        self.house.write(hold_rules.put, HoldRule(uuid, **asked))

    def test_taken_and_set_aside(self) -> None:
        """The client hears 250; the delivery is queued and held with the rule's reason; the queue hears nothing; the event names the rule."""
        self.rule(sender="example.org", reason="look first")
        reply = self.house.session().send()
        self.assertEqual(reply.code, 250)
        self.assertEqual(self.house.rows(ROWS), [("bob@demo.test", "queued", 1, "hold-rule", "held by rule one: look first", 0)])
        kind, detail = self.house.rows("SELECT kind, detail FROM events")[0]
        self.assertEqual((kind, json.loads(detail)), ("hold", {"by": "rule", "reason": "hold-rule", "rule": "one", "why": "look first"}))
        self.assertEqual((self.house.queue.reserved, self.house.queue.messages, self.house.queue.woken), (0, [], 0))

    def test_let_go(self) -> None:
        """`queue unhold` is all it takes."""
        self.rule()
        self.house.session().send()
        self.house.write(administration.unhold, 1.0, Selection(everything=True), "ann")
        self.assertEqual(self.house.rows("SELECT status, held, next_attempt FROM deliveries"), [("queued", 0, 1.0)])

    def test_some_recipients_of_a_message(self) -> None:
        """The others go on at once; the window is asked for those alone."""
        self.rule(recipient="ann@demo.test")
        self.house.session().send(to=("ann@demo.test", "bob@demo.test"))
        self.assertEqual([row[:3] for row in self.house.rows(ROWS)], [("ann@demo.test", "queued", 1), ("bob@demo.test", "queued", 0)])
        self.assertEqual(len(self.house.queue.messages), 1)
        accepted = self.house.queue.messages[0][0]
        self.assertEqual([due.recipient for due in accepted.deliveries], ["bob@demo.test"])

    def test_behind_an_alias(self) -> None:
        """A rule for the mailbox holds what comes for its alias."""
        self.house.add_alias("sales@demo.test", "bob@demo.test")
        self.rule(recipient="bob@demo.test")
        self.house.session().send(to=("sales@demo.test",))
        self.assertEqual(self.house.rows(ROWS)[0][2], 1)

    def test_what_users_send(self) -> None:
        """By the user, the account and the domain they send from; counted, and not what others send."""
        self.house.add_domain("example.org")
        user = self.house.add_user(mode="all")
        self.rule("one", scope="user", scope_key=user.uuid, direction="outbound")
        self.assertEqual(self.house.submission().send(to=("x@far.test",)).code, 250)
        self.house.session().send()
        self.assertEqual([row[2] for row in self.house.rows(ROWS)], [1, 0])
        self.house.write(hold_rules.remove, "one")
        self.rule("two", scope="account", scope_key="1", direction="outbound")
        self.house.submission().send(to=("x@far.test",))
        self.house.write(hold_rules.remove, "two")
        self.rule("three", scope="domain", scope_key="example.org", direction="outbound")
        self.house.submission().send(to=("x@far.test",))
        self.assertEqual([row[2] for row in self.house.rows(ROWS)], [1, 0, 1, 1])

    def test_scope_of_the_recipient(self) -> None:
        """Inbound, a domain's rule is about its own mail, under alias domains too."""
        self.house.add_domain("also.test", kind="alias", alias_of="demo.test")
        self.house.add_domain("other.test", account_id=2)
        self.rule(scope="domain", scope_key="demo.test")
        self.rule("two", scope="account", scope_key="2")
        for recipient in ("bob@demo.test", "bob@also.test", "bob@other.test"):
            self.house.session().send(to=(recipient,))
        self.assertEqual([row[4] for row in self.house.rows(ROWS)], ["held by rule one", "held by rule one", "held by rule two"])

    def test_rules_that_do_not_count(self) -> None:
        """Disabled, expired, and not met: all goes on."""
        self.rule("one", enabled=False)
        self.rule("two", expires=self.house.clock.seconds())
        self.rule("three", size_over=10**6)
        self.rule("four", score_over=1.0)
        self.house.session().send()
        self.assertEqual(self.house.rows(ROWS)[0][2:4], (0, ""))
        self.assertEqual(len(self.house.queue.messages), 1)

    def test_one_transaction(self) -> None:
        """A commit that fails leaves nothing behind and is answered 451."""
        self.rule()
        self.house.db.holds = True
        session = self.house.session()
        session.mail()
        session.rcpt()
        waiting = session.content()
        self.house.db.fail()
        self.assertEqual(self.successResultOf(waiting).code, 451)
        self.flushLoggedErrors(StoreError)
        self.assertEqual((self.house.rows("SELECT 1 FROM messages"), self.house.rows("SELECT 1 FROM events")), ([], []))

    def test_without_rules_nothing_is_asked(self) -> None:
        """One statement accepts, as ever."""
        self.house.session().send()
        self.assertEqual(self.house.rows("SELECT 1 FROM events"), [])
