"""Webhooks as people make, change and look at them: fields, reach, secrets, dead letters."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import webhooks as subject
from jetmail.actions.access import Actor, Grant
from jetmail.actions.webhooks import Saved
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IEntropy
from jetmail.mail.webhook import EVENTS
from jetmail.offload import SystemEntropy
from jetmail.store.directory import accounts, smtp_users, webhooks
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.store.traffic import webhook_queue
from jetmail.store.traffic.happenings import Position
from jetmail.store.traffic.webhook_queue import Bounds, NewEvent, Told
from tests.store.samples import memory_store

NOW = 1_795_159_800.0
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna@one.test", (Grant("account", "1"),))
BERT = Actor("portal", "bert@two.test", (Grant("account", "2"),))
CARL = Actor("portal", "carl@one.test", (Grant("owner", "one.test"), Grant("user", "carl@one.test")))
URL = "https://hook.test/in"


class WebhooksTests(SynchronousTestCase):
    """Two accounts, each with an SMTP user."""

    def setUp(self) -> None:
        self.db = memory_store()
        self.conn = self.db.connection
        self.db.run(accounts.add, "second")
        smtp_users.add(self.conn, SmtpUser("uuid-one", 1, "one", "hash"))
        smtp_users.add(self.conn, SmtpUser("uuid-two", 2, "two", "hash"))
        self.entropy = IEntropy(SystemEntropy())

    def settled(self, waiting: Any) -> Any:
        """Its result, or what it failed with."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def add(self, name: str = "crm", url: str = URL, actor: Actor = ANNA, **fields: Any) -> Saved:
        """A new one of account 1."""
        saved: Saved = self.settled(subject.add(self.db, actor, name, url, now=NOW, entropy=self.entropy, **fields))
        return saved

    def change(self, name: str = "crm", actor: Actor = ANNA, **changes: Any) -> Saved:
        """Other settings, an hour later."""
        saved: Saved = self.settled(subject.change(self.db, actor, name, changes, now=NOW + 3_600))
        return saved

    def audited(self) -> list[tuple[str, str]]:
        """(action, detail) of the audit."""
        return self.conn.execute("SELECT action, detail FROM audit ORDER BY id").fetchall()

    def test_add(self) -> None:
        """It has a secret of its own, told this once, and counts from now on; the audit says what it is, and neither secret nor query."""
        saved = self.add(url=URL + "?token=hidden", events=["Outbound.*", "inbound.spam"], smtp_users=["ONE", "uuid-one"], domains=["Exämple.org"])
        self.assertTrue(saved.secret.startswith("whsec_") and len(saved.secret) == 49)
        shown = saved.webhook
        self.assertEqual((shown.name, shown.account, shown.events, shown.smtp_users), ("crm", "default", ("outbound.*", "inbound.spam"), ("one",)))
        self.assertEqual((shown.domains, shown.is_enabled, shown.allow_private, shown.since), (("xn--exmple-cua.org",), True, False, NOW))
        self.assertIn("inbound mail has no user", saved.hints[0])
        ((action, detail),) = self.audited()
        self.assertEqual(action, "webhook.add")
        self.assertNotIn("hidden", detail)
        self.assertNotIn(saved.secret, detail)
        self.assertEqual(self.settled(subject.show(self.db, ANNA, shown.uuid)).secret, "")
        self.assertNotIn(saved.secret, repr(self.settled(subject.show(self.db, ANNA, "crm"))))

    def test_fields(self) -> None:
        """A field that is wrong is named with the reason, and nothing is made."""
        many = [f"d{number}.test" for number in range(51)]
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({"name": ""}, "name", "1 to 64"),
            ({"name": "a\nb"}, "name", "printable"),
            ({"url": ""}, "url", "https://"),
            ({"url": "ftp://a.test/"}, "url", "https://"),
            ({"url": "http://a.test/"}, "url", "http is only"),
            ({"url": "https://user:pw@a.test/"}, "url", "user name or password"),
            ({"url": "https://a.test/#x"}, "url", "fragment"),
            ({"url": "https://a.test/ b"}, "url", "%xx"),
            ({"url": "https://ä.test/"}, "url", "xn--"),
            ({"url": "https://a.test:99999/"}, "url", "ort"),
            ({"url": "https://a.test:0/"}, "url", "port 0"),
            ({"url": "https://"}, "url", "host"),
            ({"url": "https://127.0.0.1/"}, "url", "no public address"),
            ({"url": "https://[fd00::1]/"}, "url", "no public address"),
            ({"url": "https://a.test/" + "x" * 2_000}, "url", "2000"),
            ({"events": []}, "events", "outbound.queued"),
            ({"events": ["outbound.opened"]}, "events", "'outbound.opened' is none of: *, outbound.*"),
            ({"smtp_users": ["nobody"]}, "smtp_users", "nobody"),
            ({"smtp_users": ["two"]}, "smtp_users", "no such user of this account"),
            ({"domains": ["no domain"]}, "domains", "no domain"),
            ({"domains": many}, "domains", "too many"),
            ({"allow_private": True}, "allow_private", "administrator"),
            ({"is_enabled": "yes"}, "is_enabled", "true or false"),
        ]
        for fields, field, reason in cases:
            with self.assertRaises(UsageError) as caught:
                self.add(**fields)
            self.assertEqual(caught.exception.field, field, fields)
            self.assertIn(reason, caught.exception.reason)
        self.assertEqual((webhooks.listing(self.conn), self.audited()), ((), []))
        with self.assertRaises(UsageError):
            self.settled(subject.change(self.db, ANNA, "crm", {"secret": "mine"}, now=NOW))
        self.assertEqual(len(EVENTS), 16)

    def test_private(self) -> None:
        """Private addresses and http are an administrator's word, and end with the URL they were said of."""
        self.add("inside", "http://10.0.0.1:8080/x", ROOT, account_id=1, allow_private=True)
        self.assertTrue(self.change("inside", events=["*"]).webhook.allow_private)
        with self.assertRaises(UsageError) as caught:
            self.change("inside", url="http://127.0.0.1/admin")
        self.assertEqual(caught.exception.field, "url")
        with self.assertRaises(UsageError):
            self.change("inside", url="https://new.test/", allow_private=True)
        self.assertFalse(self.change("inside", url="https://new.test/").webhook.allow_private)
        self.assertTrue(self.change("inside", ROOT, url="http://10.0.0.2/", allow_private=True).webhook.allow_private)
        with self.assertRaises(UsageError):
            self.change("inside", ROOT, allow_private=False)
        with self.assertRaises(UsageError) as caught:
            self.add("local", "http://localhost/", ROOT, allow_private=True)
        self.assertIn("127.0.0.1", caught.exception.reason)

    def test_reach(self) -> None:
        """What is not one's own does not exist; the appliance's own are an administrator's."""
        self.add()
        self.add("all", actor=ROOT, account_id=None)
        self.add("crm", actor=BERT, account_id=2)
        for actor in (ANNA, BERT, CARL):
            with self.assertRaises(NotFoundError):
                self.settled(subject.show(self.db, actor, "all"))
        for actor, account_id in ((ANNA, 2), (ANNA, None), (CARL, 1)):
            with self.assertRaises(NotFoundError):
                self.add("x", actor=actor, account_id=account_id)
        self.assertEqual([hook.account for hook in self.settled(subject.listing(self.db, BERT))], ["second"])
        self.assertEqual(len(self.settled(subject.listing(self.db, ROOT))), 3)
        self.assertEqual(self.settled(subject.listing(self.db, CARL)), ())
        self.assertEqual(self.settled(subject.show(self.db, ANNA, "crm")).webhook.account, "default")
        with self.assertRaises(ConflictError) as caught:
            self.settled(subject.show(self.db, ROOT, "crm"))
        self.assertIn("uuid", str(caught.exception))
        other = self.settled(subject.listing(self.db, BERT))[0].uuid
        for call in (
            lambda: subject.change(self.db, ANNA, other, {"name": "x"}, now=NOW),
            lambda: subject.rotate(self.db, ANNA, other, now=NOW, entropy=self.entropy),
            lambda: subject.remove(self.db, ANNA, other, now=NOW),
            lambda: subject.test(self.db, ANNA, other, now=NOW, entropy=self.entropy),
            lambda: subject.events(self.db, ANNA, other),
            lambda: subject.resend(self.db, ANNA, other, now=NOW),
            lambda: subject.letter(self.db, ANNA, other, "evt_1"),
        ):
            with self.assertRaises(NotFoundError):
                self.settled(call())

    def test_names(self) -> None:
        """One name, one webhook of the account; so many of them and no more."""
        self.add()
        with self.assertRaises(ConflictError):
            self.add()
        self.add("other")
        with self.assertRaises(ConflictError):
            self.settled(subject.change(self.db, ANNA, "other", {"name": "crm"}, now=NOW))
        for number in range(48):
            self.add(f"n{number}")
        with self.assertRaises(ConflictError) as caught:
            self.add("one too many")
        self.assertIn("50", str(caught.exception))

    def test_change(self) -> None:
        """What is given changes, the rest stays; switched on again it counts from then; the audit has from and to."""
        self.add()
        shown = self.change(events=["inbound.*"], is_enabled=False).webhook
        self.assertEqual((shown.events, shown.url, shown.is_enabled, shown.since, shown.modified), (("inbound.*",), URL, False, NOW, NOW + 3_600))
        self.assertEqual(self.change(is_enabled=True).webhook.since, NOW + 3_600)
        self.assertIn('"from"', self.audited()[1][1])
        with self.assertRaises(UsageError):
            self.change()

    def test_rotate(self) -> None:
        """A new secret signs beside the old one for a while, or alone."""
        first = self.add().secret
        saved = self.settled(subject.rotate(self.db, ANNA, "crm", now=NOW, entropy=self.entropy, overlap=600.0))
        self.assertNotEqual(saved.secret, first)
        hook = webhooks.named(self.conn, "crm")[0]
        self.assertEqual((hook.secrets(NOW + 599), hook.secrets(NOW + 600)), ((saved.secret, first), (saved.secret,)))
        self.assertEqual(saved.webhook.old_secret_until, NOW + 600)
        alone = self.settled(subject.rotate(self.db, ANNA, "crm", now=NOW, entropy=self.entropy, overlap=0.0))
        self.assertEqual(webhooks.named(self.conn, "crm")[0].secrets(NOW), (alone.secret,))
        with self.assertRaises(UsageError):
            self.settled(subject.rotate(self.db, ANNA, "crm", now=NOW, entropy=self.entropy, overlap=-1.0))
        self.assertFalse(any(secret in detail for secret in (first, saved.secret, alone.secret) for _, detail in self.audited()))

    def test_test(self) -> None:
        """A sample waits to be sent, and its outcome can be asked; a webhook that is off is sent none."""
        self.add()
        event = self.settled(subject.test(self.db, ANNA, "crm", now=NOW, entropy=self.entropy))
        self.assertEqual((event.type, event.state, event.next_attempt), ("webhook.test", "waiting", NOW))
        webhook_queue.record(self.conn, Told(event.id, "delivered", 204, "", NOW + 1))
        self.assertEqual(subject.outcome(self.db, ANNA, "crm", event.event).status, 204)
        self.assertIn("This is a test", self.settled(subject.letter(self.db, ANNA, "crm", event.event)).body)
        self.change(is_enabled=False)
        with self.assertRaises(ConflictError):
            self.settled(subject.test(self.db, ANNA, "crm", now=NOW, entropy=self.entropy))

    def test_resend(self) -> None:
        """Dead letters go again: those named, or all however many; what is none is refused by name."""
        uuid = self.add().webhook.uuid
        news = [NewEvent(uuid, f"evt_{number}", "inbound.spam", b"{}") for number in range(1_203)]
        webhook_queue.add(self.conn, news, Position(), NOW, Bounds())
        self.conn.execute("UPDATE webhook_queue SET state = 'dead', finished = 1 WHERE event NOT IN ('evt_0', 'evt_1')")
        self.assertEqual(self.settled(subject.resend(self.db, ANNA, "crm", now=NOW, ids=["evt_7", "evt_8"])), 2)
        for event, error in (("evt_0", ConflictError), ("evt_none", NotFoundError)):
            with self.assertRaises(error):
                self.settled(subject.resend(self.db, ANNA, "crm", now=NOW, ids=[event]))
        self.assertEqual(self.settled(subject.resend(self.db, ANNA, "crm", now=NOW)), 1_199)
        self.assertEqual(self.settled(subject.show(self.db, ANNA, "crm")).webhook.queue.dead, 0)
        self.assertEqual(self.settled(subject.resend(self.db, ANNA, "crm", now=NOW)), 0)
        self.assertEqual(len(self.settled(subject.events(self.db, ANNA, "crm", states=["waiting"], limit=10))), 10)

    def test_remove(self) -> None:
        """It is gone, and the audit knows what it was."""
        uuid = self.add().webhook.uuid
        self.assertEqual(self.settled(subject.remove(self.db, ANNA, "crm", now=NOW)).uuid, uuid)
        self.assertEqual(webhooks.listing(self.conn), ())
        self.assertEqual(self.audited()[-1][0], "webhook.remove")
