"""A rule tried on the past: on what the log holds, on content while there is any, and "cannot tell" where that is gone."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import dryrun, rules
from jetmail.actions.access import Actor, Grant
from jetmail.errors import NotFoundError, UsageError
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic.messages import Content, accept
from tests.store.samples import delivery, memory_store, message

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
UUID = "5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a"
HELD = b"From: Lottery <x@lottery.example>\r\nSubject: Prize\r\nX-Mailer: Blaster\r\n\r\nClaim your prize now\r\n"


class DryRunTests(SynchronousTestCase):
    """Three messages to demo.test (one held, with content), one to alias.test that stands for it, one to other.test."""

    def setUp(self) -> None:
        """The log."""
        self.db = memory_store()
        conn = self.db.connection
        domains.add(conn, Domain("demo.test"))
        domains.add(conn, Domain("other.test"))
        domains.add(conn, Domain("alias.test", kind="alias", alias_of="demo.test"))
        self.store = MemoryStore(lambda: "x")
        lottery: dict[str, Any] = {"sender": "bounce@mailer.example", "header_from": "x@lottery.example", "client_address": "192.0.2.7"}
        held = Content(len(HELD), HELD)
        accept(conn, message(1, delivery("ann@demo.test", "quarantined"), content=held, subject="Prize", size=len(HELD), **lottery))
        accept(conn, message(2, delivery("ann@demo.test", "delivered"), content=None, subject="Prize again", size=5_000, **lottery))
        accept(conn, message(3, delivery("bob@demo.test", "delivered"), content=None, subject="Invoice", size=9_000))
        accept(conn, message(4, delivery("ann@alias.test", "delivered"), content=None, subject="Prize", **lottery))
        accept(conn, message(5, delivery("eve@other.test", "delivered"), content=None, subject="Prize", **lottery))

    def tried(self, scope: str = "domain", key: str = "demo.test", actor: Actor = ROOT, limit: int = 100, **conditions: Any) -> Any:
        """What would have matched, and what cannot be told, by message."""
        done = self.successResultOf(dryrun.try_conditions(self.db, actor, scope, key, "block", conditions, self.store, limit=limit))
        return [row.message_id for row in done.matched], [row.message_id for row in done.unknown]

    def test_by_what_the_log_holds(self) -> None:
        """Senders of envelope and header, recipients, subject, client, size: told for every message, of the rule's own scope alone."""
        ann = [{"recipient_type": "email", "recipient_value": "ann@demo.test"}]
        for conditions, found in (
            ({"senders": [{"sender_type": "domain", "sender_value": "lottery.example"}]}, [4, 2, 1]),
            ({"senders": [{"sender_type": "domain", "sender_value": "mailer.example"}]}, [4, 2, 1]),
            ({"senders": [{"sender_type": "email", "sender_value": "bob@example.org"}]}, [3]),
            ({"subjects": [{"match_type": "contains", "subject_value": "prize"}], "size": {"max_size": 1_000}}, [4, 1]),
            ({"ips": [{"ip_type": "cidr", "ip_value": "192.0.2.0/24"}], "recipients": ann}, [2, 1]),
        ):  # fmt: skip
            self.assertEqual(self.tried(**conditions), (found, []), conditions)
        everybody = {"senders": [{"sender_type": "domain", "sender_value": "lottery.example"}]}
        self.assertEqual(self.tried("appliance", "", **everybody)[0], [5, 4, 2, 1])
        self.assertEqual(self.tried("account", "1", **everybody)[0], [5, 4, 2, 1])
        self.assertEqual(self.tried("address", "Ann@demo.test", **everybody)[0], [4, 2, 1], "at the alias domain too, as the chain has it")

    def test_by_whose_mail_it_is(self) -> None:
        """An address's rule is tried on what comes to its mailbox: by tag, at an alias domain, by an alias of it alone; one of a tag on it alone."""
        conn, size = self.db.connection, {"size": {"min_size": 1}}
        ann = {"target": "ann@demo.test", "destination": "demo.test"}
        accept(conn, message(6, delivery("Ann+news@demo.test", "delivered"), content=None, subject="News"))
        accept(conn, message(7, delivery("info@demo.test", "quarantined")._replace(**ann), content=Content(len(HELD), HELD), subject="Info"))
        team = delivery("team@demo.test", "quarantined")
        accept(conn, message(8, team._replace(**ann), team._replace(target="bob@demo.test"), content=Content(len(HELD), HELD), subject="All"))
        self.assertEqual(self.tried("address", "ann@demo.test", **size)[0], [7, 6, 4, 2, 1])
        self.assertEqual(self.tried("address", "ann+news@demo.test", **size)[0], [6])
        self.assertEqual(self.tried("address", "info@demo.test", **size)[0], [7])
        self.assertEqual(self.tried("address", "team@demo.test", **size)[0], [8, 8])

    def test_by_content(self) -> None:
        """Body, other fields and attachments are told of held mail; where content is gone they cannot be, unless something else already fails."""
        body = {"body": [{"match_type": "contains", "body_value": "claim your"}]}
        self.assertEqual(self.tried(**body), ([1], [4, 3, 2]))
        self.assertEqual(self.tried(**body, subjects=[{"match_type": "exact", "subject_value": "Prize"}]), ([1], [4]))
        self.assertEqual(self.tried(headers=[{"header_name": "X-Mailer", "match_type": "exact", "header_value": "blaster"}])[0], [1])
        self.assertEqual(self.tried(attachments=[{"match_type": "any"}]), ([], [4, 3, 2]))

    def test_stored_rule(self) -> None:
        """A rule that is there, on its own scope, also while it is disabled."""
        conditions = {"subjects": [{"match_type": "exact", "subject_value": "invoice"}]}
        self.successResultOf(rules.add(self.db, OWNER, UUID, "domain", "demo.test", "block", "x", conditions, now=1.0, enabled=False))
        done = self.successResultOf(dryrun.try_stored(self.db, OWNER, UUID, self.store))
        self.assertEqual(([row.message_id for row in done.matched], done.matches, done.is_complete), ([3], 1, True))
        self.failureResultOf(dryrun.try_stored(self.db, OWNER, UUID.replace("5", "6"), self.store), NotFoundError)

    def test_scope_and_bounds(self) -> None:
        """An owner sees their domain's mail, other scopes do not exist for them; nonsense is refused; looking ends at its limit."""
        prize = {"subjects": [{"match_type": "contains", "subject_value": "prize"}]}
        self.assertEqual(self.tried(actor=OWNER, **prize)[0], [4, 2, 1])
        for scope, key in (("appliance", ""), ("domain", "other.test")):
            self.failureResultOf(dryrun.try_conditions(self.db, OWNER, scope, key, "block", prize, self.store), NotFoundError)
        self.failureResultOf(dryrun.try_conditions(self.db, ROOT, "domain", "demo.test", "block", {}, self.store), UsageError)
        self.failureResultOf(dryrun.try_conditions(self.db, ROOT, "address", "ann@demo.test", "block", {"recipients": []}, self.store), UsageError)
        self.assertEqual(self.tried("appliance", "", limit=2, **prize)[0], [5, 4])
