"""Hold rules as people make them: checked, scoped, tried out."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import holds
from jetmail.actions.access import Actor, Grant
from jetmail.actions.holds import Trial
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.mail.holdrule import HoldRule
from jetmail.store.directory import accounts, domains, smtp_users
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.smtp_users import SmtpUser
from tests.store.samples import memory_store

NOW = 1_795_159_800.0
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna", (Grant("account", "1"),))
OWNER = Actor("portal", "bert", (Grant("owner", "two.test"),))
USER = "00000000-0000-4000-8000-000000000001"


class HoldTests(SynchronousTestCase):
    """one.test and the user 'app' are of account 1, two.test of account 2."""

    def setUp(self) -> None:
        """The directory."""
        self.db = memory_store()
        conn = self.db.connection
        accounts.add(conn, "second")
        domains.add(conn, Domain("one.test", verified_at=1.0))
        domains.add(conn, Domain("two.test", verified_at=1.0, account_id=2))
        smtp_users.add(conn, SmtpUser(USER, 1, "app", "x"))
        self.number = 0

    def add(self, scope: str = "appliance", key: str = "", actor: Actor = ROOT, **settings: Any) -> HoldRule:
        """A rule."""
        return self.successResultOf(self.adding(scope, key, actor, **settings))

    def adding(self, scope: str = "appliance", key: str = "", actor: Actor = ROOT, **settings: Any) -> Any:
        """The same, whatever comes of it."""
        self.number += 1
        return holds.add(self.db, actor, f"00000000-0000-4000-9000-{self.number:012}", scope, key, settings, now=NOW)

    def field(self, **settings: Any) -> str:
        """Which field is refused."""
        return self.failureResultOf(self.adding(**settings), UsageError).value.field

    def tried(self, trial: Trial, actor: Actor = ROOT, now: float = NOW) -> list[str]:
        """The reasons of the rules that would hold it."""
        return [rule.reason for rule in self.successResultOf(holds.test(self.db, actor, trial, now=now))]

    def test_spelled_as_addresses_are(self) -> None:
        """What is stored compares with what mail says."""
        rule = self.add(sender="News@EXAMPLE.org", recipient="*.Bücher.example", user="APP")
        self.assertEqual((rule.sender, rule.recipient, rule.user), ("news@example.org", "*.xn--bcher-kva.example", USER))
        self.assertEqual(self.add("domain", "ONE.test", sender="@Example.org").sender, "example.org")

    def test_faults_name_the_field(self) -> None:
        """Every field has bounds."""
        self.assertEqual(self.field(direction="sideways"), "direction")
        self.assertEqual(self.field(sender="a b@c"), "sender")
        self.assertEqual(self.field(recipient="*."), "recipient")
        self.assertEqual(self.field(size_over=-1), "size_over")
        self.assertEqual(self.field(score_over=float("nan")), "score_over")
        self.assertEqual(self.field(reason="x" * 201), "reason")
        self.assertEqual(self.field(reason="a\nb"), "reason")
        self.assertEqual(self.field(expires=NOW - 1), "expires")
        self.assertEqual(self.field(user="app", direction="inbound"), "user")
        self.assertEqual(self.field(colour="red"), "colour")
        self.failureResultOf(self.adding(user="nobody"), NotFoundError)
        self.failureResultOf(self.adding("planet"), UsageError)
        self.failureResultOf(self.adding("user", "app", direction="inbound"), UsageError)
        self.failureResultOf(holds.add(self.db, ROOT, "x", "appliance", "", {}, now=NOW), UsageError)

    def test_scopes_are_found_and_are_the_actors(self) -> None:
        """An account rules over its account, domains and users, an owner over the domain, and the appliance is the administrator's."""
        self.assertEqual(
            [self.add(*scope, actor=ANNA).scope_key for scope in (("account", "default"), ("domain", "one.test"), ("user", "app"))][1:],
            ["one.test", USER],
        )
        self.add("domain", "two.test", actor=OWNER)
        for actor, scope in ((ANNA, ("appliance", "")), (ANNA, ("domain", "two.test")), (ANNA, ("account", "second")), (OWNER, ("user", "app"))):
            self.failureResultOf(self.adding(*scope, actor=actor), NotFoundError)
        self.assertEqual(len(self.successResultOf(holds.listing(self.db, ANNA))), 3)
        self.assertEqual(len(self.successResultOf(holds.listing(self.db, OWNER))), 1)
        self.assertEqual(len(self.successResultOf(holds.listing(self.db, ROOT))), 4)
        theirs = self.successResultOf(holds.listing(self.db, OWNER))[0]
        self.failureResultOf(holds.show(self.db, ANNA, theirs.uuid), NotFoundError)
        self.failureResultOf(holds.remove(self.db, ANNA, theirs.uuid, now=NOW), NotFoundError)

    def test_changed_and_removed(self) -> None:
        """What is not named stays; an expiry of the past does not keep a rule from being changed; each change is in the audit."""
        rule = self.add(sender="a.test", reason="look at it", expires=NOW + 10)
        changed = self.successResultOf(holds.change(self.db, ROOT, rule.uuid, {"enabled": False}, now=NOW + 20))
        self.assertEqual((changed.sender, changed.enabled), ("a.test", False))
        self.failureResultOf(holds.change(self.db, ROOT, rule.uuid, {"expires": NOW}, now=NOW), UsageError)
        self.failureResultOf(holds.change(self.db, ROOT, rule.uuid, {}, now=NOW), UsageError)
        self.successResultOf(holds.remove(self.db, ROOT, rule.uuid, now=NOW))
        self.failureResultOf(holds.show(self.db, ROOT, rule.uuid), NotFoundError)
        found = self.db.connection.execute("SELECT action FROM audit ORDER BY id").fetchall()
        self.assertEqual([row[0] for row in found], ["hold.add", "hold.set", "hold.remove"])

    def test_a_limited_number(self) -> None:
        """Each is asked about every message, so there are so many and no more."""
        self.patch(holds.hold_rules, "MAX_RULES", 2)
        self.add()
        self.add()
        self.failureResultOf(self.adding(), ConflictError)

    def test_tried_on_a_message_nobody_sent(self) -> None:
        """The rules that would hold it, of those the actor may see; disabled and expired ones hold nothing."""
        self.add(reason="all in", direction="inbound")
        self.add("user", "app", reason="user")
        self.add("account", "second", reason="second")
        self.add(reason="large", size_over=1000)
        self.add(reason="off", enabled=False)
        self.add(reason="short", expires=NOW + 10)
        self.assertEqual(self.tried(Trial("x@far.test", "ann@two.test")), ["all in", "second", "short"])
        self.assertEqual(self.tried(Trial("a@one.test", "x@far.test", "outbound", "app", 2000), now=NOW + 10), ["user", "large"])
        self.assertEqual(self.tried(Trial("a@one.test", "x@far.test", "outbound", "app"), ANNA), ["user"])
        self.failureResultOf(holds.test(self.db, ROOT, Trial("", "x@far.test", "both"), now=NOW), UsageError)

    def test_the_receiving_side_sees_them_at_once(self) -> None:
        """What is switched on is in the cache after the change, and nothing when there is nothing."""
        directory = Directory(self.db)
        self.assertEqual(directory.hold_rules(), ())
        rule = self.add()
        self.assertEqual(directory.hold_rules(), (rule,))
        self.successResultOf(holds.change(self.db, ROOT, rule.uuid, {"enabled": False}, now=NOW))
        self.assertEqual(directory.hold_rules(), ())
