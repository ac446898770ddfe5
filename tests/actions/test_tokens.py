"""API tokens as people manage them, who comes with one, and what was answered under a key."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import accounts, messages, smtp_users, tokens
from jetmail.actions.access import Actor, Grant
from jetmail.actions.tokens import Bearers
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.inbound.login import is_allowed_from
from jetmail.offload import InlineExecutor, SeededEntropy
from jetmail.store.directory import api_tokens, audit
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic import messages as traffic
from tests.store.samples import memory_store, message

NOW = 1_700_000_000.0
ADMIN = Actor.sysadmin("root")
OWNER = Actor("portal", "owner", (Grant("account", "1"),))
OTHER = Actor("portal", "other", (Grant("account", "2"),))


class Case(SynchronousTestCase):
    """A store with the SMTP user 'app' of account 1."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.entropy = SeededEntropy()
        self.now = NOW
        self.successResultOf(accounts.add(self.db, ADMIN, "second", now=NOW))
        made = smtp_users.create(self.db, ADMIN, "app", now=NOW, executor=InlineExecutor(), entropy=self.entropy, domains=["example.org"])
        self.uuid = self.successResultOf(made).user.uuid
        self.bearers = Bearers(self.db, Directory(self.db), lambda: self.now, is_allowed_from)

    def create(self, actor: Actor = ADMIN, **more: Any) -> Any:
        """A new token of app."""
        return tokens.create(self.db, actor, "app", name="shop", now=NOW, entropy=self.entropy, **more)

    def made(self, **more: Any) -> tokens.Made:
        """The same, done."""
        made: tokens.Made = self.successResultOf(self.create(**more))
        return made

    def come(self, token: str, address: str = "192.0.2.7") -> Any:
        """Somebody brings it."""
        return self.bearers.authenticate(token, address)


class ManageTests(Case):
    """Making, listing, showing, revoking."""

    def test_create(self) -> None:
        """A token has 256 random bits, is told once, and the store and the audit know its SHA-256 and its beginning at most."""
        first, second = self.made(), self.made()
        self.assertNotEqual(first.token, second.token)
        self.assertRegex(first.token, r"\Atransactional_[0-9A-Za-z]{43}\Z")
        self.assertTrue(first.token.startswith(first.shown.prefix))
        self.assertEqual((first.shown.status, first.shown.username, first.shown.scopes), ("active", "app", ("send",)))
        dump = "\n".join(self.db.connection.iterdump())
        self.assertNotIn(first.token, dump)
        self.assertNotIn(first.token[len("transactional_") :][:10], dump)
        entry = self.db.read(audit.listing)[0]
        self.assertEqual((entry.action, entry.object, entry.detail["prefix"]), ("token.create", "token 2", second.shown.prefix))

    def test_faults(self) -> None:
        """A fault names the field, and nothing is made."""
        for field, more in (
            ("networks", {"allowed": ["300.1.1.1"]}),
            ("networks", {"allowed": [f"10.0.{number}.0/24" for number in range(51)]}),
            ("expires", {"life": 1.0}),
            ("expires", {"life": 1e12}),
        ):
            self.assertEqual(self.failureResultOf(self.create(**more), UsageError).value.field, field)
        for name in ("", " ", "x" * 65, "a\nb"):
            failed = tokens.create(self.db, ADMIN, "app", name=name, now=NOW, entropy=self.entropy)
            self.assertEqual(self.failureResultOf(failed, UsageError).value.field, "name")
        self.failureResultOf(tokens.create(self.db, ADMIN, "nobody", name="x", now=NOW, entropy=self.entropy), NotFoundError)
        self.assertEqual(self.db.read(api_tokens.listing), ())

    def test_number(self) -> None:
        """A user has a hundred at most; revoked ones do not count."""
        for _ in range(tokens.MAX_TOKENS):
            self.made()
        self.failureResultOf(self.create(), UsageError)
        self.successResultOf(tokens.revoke(self.db, ADMIN, 1, now=NOW))
        self.made()

    def test_who_may(self) -> None:
        """An account's own people may; for another account neither user nor token exists."""
        self.successResultOf(self.create(OWNER))
        self.failureResultOf(self.create(OTHER), NotFoundError)
        for call in (tokens.show(self.db, OTHER, 1, now=NOW), tokens.revoke(self.db, OTHER, 1, now=NOW)):
            self.failureResultOf(call, NotFoundError)
        self.assertEqual(self.successResultOf(tokens.listing(self.db, OTHER, now=NOW)), ())
        self.assertEqual(len(self.successResultOf(tokens.listing(self.db, OWNER, now=NOW, user="app"))), 1)

    def test_revoke(self) -> None:
        """Once, audited, and shown from then on; its row stays."""
        self.made()
        shown = self.successResultOf(tokens.revoke(self.db, ADMIN, 1, now=NOW + 5))
        self.assertEqual((shown.status, shown.revoked), ("revoked", NOW + 5))
        self.failureResultOf(tokens.revoke(self.db, ADMIN, 1, now=NOW), ConflictError)
        self.assertEqual(self.db.read(audit.listing)[0].action, "token.revoke")


class BearerTests(Case):
    """Coming with one."""

    def test_good(self) -> None:
        """It stands for its user, who sees what it has sent and nothing else."""
        bearer = self.come(self.made().token)
        self.assertEqual((bearer.smtp_user, bearer.is_allowed), (self.uuid, True))
        self.successResultOf(self.db.run(traffic.accept, message(1, user=self.uuid, direction="outbound")))
        self.successResultOf(self.db.run(traffic.accept, message(2, user="other", direction="outbound")))
        self.assertEqual(self.successResultOf(messages.show(self.db, bearer.actor, f"{1:020x}")).message.user, self.uuid)
        self.failureResultOf(messages.show(self.db, bearer.actor, f"{2:020x}"), NotFoundError)
        self.failureResultOf(self.create(bearer.actor), NotFoundError)

    def test_bad(self) -> None:
        """Unknown, cut, of another kind, expired, revoked, of a user who is suspended or gone: all the same nobody."""
        token = self.made(life=100.0).token
        self.assertIsNotNone(self.come(token))
        for wrong in ("", "x", token[:-1], token + "a", token.swapcase(), "api_" + token[14:], "transactional_" + "a" * 43, "\ud800", token + "\n"):
            self.assertIsNone(self.come(wrong), wrong)
        self.now = NOW + 100.0
        self.assertIsNone(self.come(token))
        token = self.made().token
        self.successResultOf(smtp_users.change(self.db, ADMIN, "app", {"is_suspended": True}, now=NOW))
        self.assertIsNone(self.come(token))
        self.successResultOf(smtp_users.change(self.db, ADMIN, "app", {"is_suspended": False}, now=NOW))
        self.assertIsNotNone(self.come(token))
        self.successResultOf(tokens.revoke(self.db, ADMIN, 2, now=NOW))
        self.assertIsNone(self.come(token))
        token = self.made().token
        self.successResultOf(smtp_users.remove(self.db, ADMIN, "app", now=NOW))
        self.assertIsNone(self.come(token))
        self.assertEqual(self.successResultOf(tokens.show(self.db, ADMIN, 3, now=NOW)).status, "revoked")

    def test_networks(self) -> None:
        """The token's networks and its user's both count, and a good token from elsewhere is known as such."""
        token = self.made(allowed=["192.0.2.0/24", "::ffff:198.51.100.7"]).token
        self.assertTrue(self.come(token).is_allowed)
        self.assertTrue(self.come(token, "198.51.100.7").is_allowed)
        self.assertFalse(self.come(token, "203.0.113.1").is_allowed)
        self.successResultOf(smtp_users.change(self.db, ADMIN, "app", {"networks": ["192.0.2.128/25"]}, now=NOW))
        self.assertFalse(self.come(token).is_allowed)
        self.assertTrue(self.come(token, "192.0.2.200").is_allowed)

    def test_last_used(self) -> None:
        """It is noted when it was used, once a minute at most and never for a use that was turned away."""
        token = self.made(allowed=["192.0.2.7"]).token
        self.come(token, "192.0.2.8")
        self.assertEqual(self.db.read(api_tokens.last_used), {})
        version = Directory(self.db).version
        for self.now in (NOW, NOW + 59.0, NOW + 61.0):
            self.come(token)
        self.assertEqual(self.db.read(api_tokens.last_used), {1: NOW + 61.0})
        self.assertEqual(Directory(self.db).version, version, "what is written at every use must not empty the caches")
