"""Who may do what, and that what is out of scope does not exist."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import access
from jetmail.actions.access import APPLIANCE, DOMAIN, PEOPLE, QUEUE, RULES, SEE, Actor, Grant, Object, Reach, may, reach, require
from jetmail.errors import NotFoundError
from jetmail.store.directory import accounts, domains
from jetmail.store.directory.domains import Domain
from tests.store.samples import memory_store

VERBS = (SEE, QUEUE, RULES, PEOPLE, DOMAIN, APPLIANCE)


class AccessTests(SynchronousTestCase):
    """Roles of spec 10.1."""

    def test_table(self) -> None:
        """Each role may do its own within its scope, and nothing at all outside of it."""
        mine = Object(7, "demo.test", "ann@demo.test")
        others = (Object(), Object(8, "other.test", "eve@other.test"), Object(0, "", ""))
        for grant, allowed in (
            (Grant("account", "7"), {SEE, QUEUE, RULES, PEOPLE, DOMAIN}),
            (Grant("owner", "demo.test"), {SEE, QUEUE, RULES, PEOPLE}),
            (Grant("user", "Ann@demo.test"), {SEE, RULES}),
        ):
            actor = Actor("portal", "p", (grant,))
            self.assertEqual({verb for verb in VERBS if may(actor, verb, mine)}, allowed)
            self.assertEqual([(verb, obj) for verb in VERBS for obj in others if may(actor, verb, obj)], [])
        root = Actor.sysadmin("cli:root")
        self.assertTrue(all(may(root, verb, obj) for verb in VERBS for obj in (mine, *others)))
        self.assertFalse(any(may(Actor("portal", "nobody"), verb, mine) for verb in VERBS))

    def test_user_is_not_owner(self) -> None:
        """A user sees their own address and not the domain around it."""
        actor = Actor("portal", "p", (Grant("user", "ann@demo.test"),))
        self.assertFalse(may(actor, SEE, Object(7, "demo.test")))
        self.assertFalse(may(actor, SEE, Object(7, "demo.test", "bob@demo.test")))

    def test_require(self) -> None:
        """What may not be is not there."""
        error = self.assertRaises(NotFoundError, require, Actor("portal", "p"), SEE, Object(), "domain: demo.test")
        self.assertEqual(str(error), "no such domain: demo.test")

    def test_unknown_role(self) -> None:
        """A role nobody has defined is refused when it is given, not when it is used."""
        self.assertRaises(ValueError, Grant, "root")

    def test_reach(self) -> None:
        """An account reaches its domains, an owner their alias domains too, each verb as far as the role allows."""
        conn = memory_store().connection
        account = accounts.add(conn, "second")
        domains.add(conn, Domain("demo.test"))
        domains.add(conn, Domain("also.test", kind="alias", alias_of="demo.test"))
        domains.add(conn, Domain("theirs.test", account_id=account))
        owner = Actor("portal", "p", (Grant("owner", "demo.test"), Grant("user", "Eve@theirs.test")))
        self.assertEqual(reach(conn, owner), Reach(False, frozenset({"demo.test", "also.test"}), frozenset({"eve@theirs.test"})))
        self.assertEqual(reach(conn, owner, QUEUE).addresses, frozenset())
        self.assertEqual(reach(conn, owner, DOMAIN), Reach())
        self.assertEqual(reach(conn, Actor("portal", "p", (Grant("account", str(account)),))).domains, {"theirs.test"})
        self.assertTrue(reach(conn, Actor.sysadmin("root")).everything)
        self.assertTrue(access.reach(conn, owner).covers("elsewhere.test", "EVE@theirs.test"))
        self.assertTrue(access.reach(conn, owner).covers("elsewhere.test", "eve+shop@theirs.test"))
        ann = reach(conn, Actor("portal", "p", (Grant("user", "Ann@demo.test"),)))
        self.assertEqual(ann.addresses, {"ann@demo.test", "ann@also.test"})
        self.assertTrue(ann.covers("also.test", "ann+x@also.test"))
        self.assertFalse(ann.covers("also.test", "anna@also.test"))
