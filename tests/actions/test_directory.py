"""Domains, recipients, aliases and rules as people change them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import aliases, domains, recipients, rules
from jetmail.actions.access import Actor, Grant
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.store.directory import audit
from jetmail.store.directory import domains as stored
from jetmail.store.directory.aliases import Found
from jetmail.store.directory.domains import Destination
from tests.store.samples import memory_store

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
USER = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))
STRANGER = Actor("portal", "eve@other.test", (Grant("owner", "other.test"),))
UUID = "01234567-89ab-cdef-0123-456789abcdef"
SUBJECT = {"subjects": [{"match_type": "contains", "subject_value": "win"}]}


class ActionTests(SynchronousTestCase):
    """With a store and one domain in it."""

    def setUp(self) -> None:
        """demo.test is there and verified."""
        self.db = memory_store()
        self.done(domains.add(self.db, ROOT, "demo.test", now=1.0, destinations=[Destination("192.0.2.1")], verified=True))

    def done(self, deferred: Any) -> Any:
        """What came of it."""
        return self.successResultOf(deferred)

    def refused(self, deferred: Any, field: str) -> str:
        """The reason for which that field was refused; nothing was changed."""
        error = self.failureResultOf(deferred, UsageError).value
        self.assertEqual(error.field, field)
        return str(error.reason)

    def audited(self) -> list[str]:
        """Actions in the audit, oldest first."""
        return [entry.action for entry in reversed(audit.listing(self.db.connection))]


class DomainTests(ActionTests):
    """actions.domains."""

    def test_add(self) -> None:
        """A domain is stored in its one spelling, with its destinations in order, and written down with who did it."""
        saved = self.done(domains.add(
            self.db, ROOT, "Bücher.Test.", now=5.0, destinations=[Destination("B.test", 25, 20), Destination("2001:DB8::1", 26, 10, "required")]
        ))  # fmt: skip
        self.assertEqual(saved.domain.name, "xn--bcher-kva.test")
        self.assertEqual([str(item) for item in saved.domain.destinations], ["[2001:db8::1]:26", "b.test:25"])
        self.assertIn("not verified", " ".join(saved.warnings))
        self.assertEqual(stored.get(self.db.connection, saved.domain.name), saved.domain)
        entry = audit.listing(self.db.connection)[0]
        told = (entry.at, entry.actor, entry.via, entry.action, entry.object)
        self.assertEqual(told, (5.0, "cli:root", "cli", "domain.add", "domain " + saved.domain.name))

    def test_refused(self) -> None:
        """Each wrong field is named with its reason, and nothing is stored or written down."""
        twice = [Destination("a.test"), Destination("A.test", 25, 20)]
        for field, name, other in (
            ("name", "no domain", {}),
            ("name", "[192.0.2.1]", {}),
            ("kind", "a.test", {"kind": "odd"}),
            ("recipients", "a.test", {"recipients": "some"}),
            ("spam_action", "a.test", {"spam_action": "shred"}),
            ("reject_score", "a.test", {"reject_score": 1000}),
            ("defer_score", "a.test", {"defer_score": -1}),
            ("spam_score", "a.test", {"spam_score": float("nan")}),
            ("alias_of", "a.test", {"kind": "alias"}),
            ("alias_of", "a.test", {"alias_of": "demo.test"}),
            ("alias_of", "a.test", {"kind": "alias", "alias_of": "nowhere.test"}),
            ("destination", "a.test", {"kind": "alias", "alias_of": "demo.test", "destinations": [Destination("a.test")]}),
            ("destination", "a.test", {"destinations": twice}),
            ("destination", "a.test", {"destinations": [Destination("a.test", 0)]}),
            ("tls", "a.test", {"destinations": [Destination("a.test", tls="maybe")]}),
            ("priority", "a.test", {"destinations": [Destination("a.test", priority=-1)]}),
        ):
            self.assertTrue(self.refused(domains.add(self.db, ROOT, name, now=2.0, **other), field))
        self.assertEqual(self.audited(), ["domain.add"])
        self.assertEqual([item.name for item in self.done(domains.listing(self.db, ROOT))], ["demo.test"])

    def test_conflict(self) -> None:
        """A domain that is here cannot be added again, in whatever spelling."""
        self.failureResultOf(domains.add(self.db, ROOT, "DEMO.test", now=2.0), ConflictError)

    def test_set(self) -> None:
        """Fields are changed one by one, the others stay, and the audit says from what to what."""
        saved = self.done(domains.change(self.db, ROOT, "demo.test", {"recipients": "listed", "reject_score": 5, "inbound": False}, now=3.0))
        domain = saved.domain
        self.assertEqual((domain.recipients, domain.reject_score, domain.inbound, domain.outbound), ("listed", 5.0, False, True))
        self.assertEqual([str(item) for item in saved.domain.destinations], ["192.0.2.1:25"])
        self.assertEqual(saved.warnings, ("thresholds: spam (6) is not below reject (5)",))
        self.assertEqual(audit.listing(self.db.connection)[0].detail["recipients"], {"from": "any", "to": "listed"})
        self.assertIsNone(self.done(domains.change(self.db, ROOT, "demo.test", {"verified": False}, now=4.0)).domain.verified_at)
        self.refused(domains.change(self.db, ROOT, "demo.test", {"name": "x.test"}, now=4.0), "name")
        self.refused(domains.change(self.db, ROOT, "demo.test", {"inbound": "maybe"}, now=4.0), "inbound")
        self.refused(domains.change(self.db, ROOT, "demo.test", {}, now=4.0), "changes")

    def test_thresholds(self) -> None:
        """Thresholds out of order are saved with a warning each; 999 switches one off."""
        warned = self.done(domains.change(self.db, ROOT, "demo.test", {"defer_score": 7, "spam_score": 6, "reject_score": 999}, now=3.0)).warnings
        self.assertEqual(warned, ("thresholds: defer (7) is not below spam (6)",))

    def test_remove(self) -> None:
        """A domain that others stand for stays until they are gone."""
        self.done(domains.add(self.db, ROOT, "also.test", now=2.0, kind="alias", alias_of="demo.test", verified=True))
        self.refused(domains.add(self.db, ROOT, "third.test", now=2.0, kind="alias", alias_of="also.test"), "alias_of")
        self.failureResultOf(domains.remove(self.db, ROOT, "demo.test", now=3.0), ConflictError)
        self.done(domains.remove(self.db, ROOT, "also.test", now=3.0))
        self.assertEqual(self.done(domains.remove(self.db, ROOT, "Demo.Test", now=3.0)).name, "demo.test")
        self.failureResultOf(domains.remove(self.db, ROOT, "demo.test", now=3.0), NotFoundError)
        self.assertEqual(self.audited(), ["domain.add", "domain.add", "domain.remove", "domain.remove"])

    def test_scope(self) -> None:
        """Out of scope and not there look the same; an owner sees their domain and does not change its destinations."""
        texts = {str(self.failureResultOf(domains.show(self.db, actor, name), NotFoundError).value).replace(name, "X")
                 for actor, name in ((STRANGER, "demo.test"), (STRANGER, "nowhere.test"), (USER, "demo.test"), (ROOT, "no domain"))}  # fmt: skip
        self.assertEqual(texts, {"no such domain: X"})
        self.assertEqual(self.done(domains.show(self.db, OWNER, "demo.test")).domain.name, "demo.test")
        self.assertEqual([item.name for item in self.done(domains.listing(self.db, OWNER))], ["demo.test"])
        self.assertEqual(self.done(domains.listing(self.db, STRANGER)), ())
        self.failureResultOf(domains.change(self.db, OWNER, "demo.test", {"inbound": False}, now=2.0), NotFoundError)
        self.failureResultOf(domains.add(self.db, OWNER, "new.test", now=2.0), NotFoundError)

    def test_verified(self) -> None:
        """Only an administrator may vouch for a domain."""
        holder = Actor("portal", "h", (Grant("account", "1"),))
        self.refused(domains.add(self.db, holder, "new.test", now=2.0, verified=True), "verified")
        self.done(domains.add(self.db, holder, "new.test", now=2.0))
        self.refused(domains.change(self.db, holder, "new.test", {"verified": True}, now=2.0), "verified")


class DestinationTests(SynchronousTestCase):
    """HOST:PORT."""

    def test_forms(self) -> None:
        """Names, IPv4, IPv6 with and without port."""
        for text, told in (
            ("Mx.Example.org", "mx.example.org:25"),
            ("mx.example.org.:2525", "mx.example.org:2525"),
            ("192.0.2.1:26", "192.0.2.1:26"),
            ("[2001:db8:0::1]:26", "[2001:db8::1]:26"),
            ("[192.0.2.1]", "192.0.2.1:25"),
            ("2001:DB8::1", "[2001:db8::1]:25"),
            ("localhost:10025", "localhost:10025"),
        ):
            self.assertEqual(str(domains.parse_destination(text)), told)

    def test_refused(self) -> None:
        """Everything else says why."""
        for text in (
            "", "host:", "host:x", "host:0", "host:65536", "a b:25", "[::1", "1.2.3", "1.2.3.4.5:25", "2001:db8::1:zz", "[x]:25:1", "-a.test", "²:25",
        ):  # fmt: skip
            error = self.assertRaises(UsageError, domains.parse_destination, text)
            self.assertEqual(error.field, "destination")


@given(st.text(max_size=40))
def test_destination_any_text(text: str) -> None:
    """Any text is a destination that reads back as itself, or a UsageError."""
    try:
        found = domains.parse_destination(text)
    except UsageError:
        return
    assert domains.parse_destination(str(found)) == found


class PeopleTests(ActionTests):
    """actions.recipients and actions.aliases."""

    def test_recipients(self) -> None:
        """Addresses of the domain are put on its list and taken off, each change written down once."""
        self.assertEqual(self.done(recipients.add(self.db, OWNER, "demo.test", ["ann@demo.test", "Bob@Demo.test"], now=2.0)), 2)
        self.assertEqual(self.done(recipients.add(self.db, OWNER, "demo.test", ["ann@demo.test"], now=2.0)), 0)
        known = self.done(recipients.listing(self.db, OWNER, "demo.test", limit=1))
        self.assertEqual((known.addresses, known.total, known.takes_any, known.next), (("ann@demo.test",), 2, True, "ann@demo.test"))
        self.assertEqual(self.done(recipients.remove(self.db, ROOT, "demo.test", ["ann@demo.test"], now=3.0)), 1)
        self.assertEqual(self.audited(), ["domain.add", "recipient.add", "recipient.remove"])

    def test_recipients_refused(self) -> None:
        """An address of another domain, of no form, or nobody's business changes nothing."""
        for addresses in (["ok@demo.test", "ann@other.test"], ["ok@demo.test", "nonsense"], []):
            self.refused(recipients.add(self.db, ROOT, "demo.test", addresses, now=2.0), "address")
        self.failureResultOf(recipients.add(self.db, STRANGER, "demo.test", ["ann@demo.test"], now=2.0), NotFoundError)
        self.failureResultOf(recipients.add(self.db, USER, "demo.test", ["ann@demo.test"], now=2.0), NotFoundError)
        self.assertEqual(self.done(recipients.listing(self.db, ROOT, "demo.test")).total, 0)

    def test_aliases(self) -> None:
        """An alias is set, replaced, traced and removed."""
        self.done(aliases.put(self.db, OWNER, "Sales@demo.test", ["ann@demo.test", "ANN@demo.test", "x@other.test"], now=2.0))
        self.done(aliases.put(self.db, OWNER, "@demo.test", ["ann@demo.test"], now=2.0))
        found = self.done(aliases.listing(self.db, OWNER, "demo.test"))
        self.assertEqual([(item.address, item.targets) for item in found],
                         [("@demo.test", ("ann@demo.test",)), ("sales@demo.test", ("ann@demo.test", "x@other.test"))])  # fmt: skip
        traced = self.done(aliases.trace(self.db, OWNER, "sales+1@demo.test"))
        self.assertEqual((traced.found, len(traced.targets)), (Found.TARGETS, 2))
        self.done(aliases.remove(self.db, OWNER, "sales@demo.test", now=3.0))
        self.failureResultOf(aliases.remove(self.db, OWNER, "sales@demo.test", now=3.0), NotFoundError)
        self.failureResultOf(aliases.trace(self.db, STRANGER, "sales@demo.test"), NotFoundError)

    def test_alias_loop(self) -> None:
        """An alias that would lead in a circle is refused and what was there stays."""
        self.done(aliases.put(self.db, ROOT, "a@demo.test", ["b@demo.test"], now=2.0))
        self.refused(aliases.put(self.db, ROOT, "b@demo.test", ["a@demo.test"], now=2.0), "targets")
        self.assertEqual(len(self.done(aliases.listing(self.db, ROOT, "demo.test"))), 1)
        self.assertEqual(self.audited(), ["domain.add", "alias.set"])
        self.done(aliases.put(self.db, ROOT, "b@demo.test", ["a@demo.test", "b@demo.test"], now=2.0))

    def test_alias_refused(self) -> None:
        """No targets, no address, no domain of theirs."""
        self.refused(aliases.put(self.db, ROOT, "a@demo.test", [], now=2.0), "targets")
        self.refused(aliases.put(self.db, ROOT, "a@demo.test", ["nonsense"], now=2.0), "targets")
        self.refused(aliases.put(self.db, ROOT, "nonsense", ["a@b.test"], now=2.0), "address")
        self.refused(aliases.put(self.db, ROOT, "@", ["a@b.test"], now=2.0), "address")
        self.failureResultOf(aliases.put(self.db, STRANGER, "a@demo.test", ["a@b.test"], now=2.0), NotFoundError)


class RuleTests(ActionTests):
    """actions.rules."""

    def add(self, actor: Actor = ROOT, uuid: str = UUID, scope: str = "domain", key: str = "demo.test", **other: Any) -> Any:
        """A block rule for 'win' in the subject."""
        values: dict[str, Any] = {"action": "block", "name": "no wins", "conditions": SUBJECT} | other
        return rules.add(self.db, actor, uuid, scope, key, values.pop("action"), values.pop("name"), values.pop("conditions"), now=2.0, **values)

    def test_life(self) -> None:
        """A rule is added, changed, listed in order and removed, each written down."""
        self.done(self.add(OWNER))
        self.done(self.add(OWNER, UUID.replace("0", "1"), priority=1, action="allow"))
        changed = self.done(rules.change(self.db, OWNER, UUID, {"enabled": False, "conditions": {"size": {"max_size": 10}}}, now=3.0))
        self.assertEqual((changed.enabled, changed.parsed, changed.created, changed.modified), (False, {"size": {"max_size": 10}}, 2.0, 3.0))
        self.assertEqual([rule.action for rule in self.done(rules.listing(self.db, OWNER, "domain", "Demo.test"))], ["allow", "block"])
        self.done(rules.remove(self.db, OWNER, UUID, now=4.0))
        self.failureResultOf(rules.show(self.db, ROOT, UUID), NotFoundError)
        self.assertEqual(self.audited(), ["domain.add", "rule.add", "rule.add", "rule.set", "rule.remove"])

    def test_refused(self) -> None:
        """Each wrong field is named."""
        bad_regex = {"subjects": [{"match_type": "regex", "subject_value": "("}]}
        for field, given_values in (
            ("uuid", {"uuid": "x"}),
            ("scope", {"scope": "planet"}),
            ("scope_key", {"key": "no domain"}),
            ("scope_key", {"scope": "account", "key": "x"}),
            ("scope_key", {"scope": "appliance", "key": "x"}),
            ("action", {"action": "quarantine"}),
            ("name", {"name": ""}),
            ("name", {"name": "a" * 101}),
            ("name", {"name": "a<b"}),
            ("description", {"description": "a" * 501}),
            ("priority", {"priority": -1}),
            ("conditions", {"conditions": {}}),
            ("conditions", {"conditions": []}),
            ("subjects[0].subject_value", {"conditions": bad_regex}),
        ):
            self.refused(self.add(**given_values), field)
        self.assertEqual(self.done(rules.listing(self.db, ROOT, "domain", "demo.test")), ())

    def test_own_mailbox(self) -> None:
        """A person's rule means their own mailbox whatever they wrote, and needs a condition besides."""
        everybody = {"recipients": [{"recipient_type": "domain", "recipient_value": "demo.test"}]}
        rule = self.done(self.add(USER, scope="address", key="Ann@demo.test", conditions=SUBJECT | everybody))
        self.assertEqual(rule.parsed["recipients"], [{"recipient_type": "email", "recipient_value": "ann@demo.test"}])
        self.refused(self.add(USER, scope="address", key="ann@demo.test", conditions=everybody), "conditions")

    def test_scope(self) -> None:
        """Nobody writes or sees rules above or beside themselves."""
        self.done(self.add(ROOT))
        for actor, scope, key in (
            (USER, "domain", "demo.test"),
            (USER, "address", "bob@demo.test"),
            (OWNER, "account", "1"),
            (OWNER, "appliance", ""),
            (STRANGER, "domain", "demo.test"),
            (ROOT, "domain", "nowhere.test"),
            (ROOT, "account", "99"),
        ):
            self.failureResultOf(self.add(actor, UUID.replace("0", "2"), scope, key), NotFoundError)
            self.failureResultOf(rules.listing(self.db, actor, scope, key), NotFoundError)
        self.failureResultOf(rules.change(self.db, USER, UUID, {"enabled": False}, now=3.0), NotFoundError)
        self.failureResultOf(rules.remove(self.db, STRANGER, UUID, now=3.0), NotFoundError)
        self.done(self.add(OWNER, UUID.replace("0", "3"), "address", "bob@demo.test"))
        self.done(self.add(ROOT, UUID.replace("0", "4"), "appliance", ""))

    def test_limit(self) -> None:
        """A scope has so many rules and no more; a uuid is given once."""
        self.patch(rules, "MAX_PER_DOMAIN", 1)
        self.done(self.add())
        self.failureResultOf(self.add(), ConflictError)
        self.failureResultOf(self.add(uuid=UUID.replace("0", "5")), ConflictError)
