"""Mail to postmaster (RFC 5321 4.5.1): where it goes with [server] postmaster, and that nothing changes without."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.address import parse
from tests.inbound.receiving import DELIVERIES, House

OWN = "Postmaster@mx.demo.test"


class PostmasterTests(SynchronousTestCase):
    """A house whose name is mx.demo.test, with a domain that lists its recipients."""

    def setUp(self) -> None:
        self.house = House()
        self.house.add_domain("listed.test", recipients="listed")
        self.house.add_recipient("ann@listed.test")

    def said(self, address: str) -> str:
        """The answer to RCPT on a connection of its own."""
        visit = self.house.session()
        visit.mail("")
        return str(visit.rcpt(address))

    def targets(self, address: str) -> tuple[str, ...]:
        """Where its mail would go."""
        return tuple(str(target) for target in self.house.services.book.recipient(parse(address)).targets)

    def test_without(self) -> None:
        """Nobody is postmaster: our own name is no domain of ours, and a list without one knows nobody."""
        self.assertEqual(self.said(OWN), "550 5.1.2 Relaying denied")
        self.assertEqual(self.said("postmaster@listed.test"), "550 5.1.1 No such recipient here")

    def test_of_ours(self) -> None:
        """It is delivered where the address leads, aliases followed, under the policy of that domain."""
        self.house.add_alias("admin@listed.test", "ann@listed.test", "bob@far.test")
        self.house.set_postmaster("admin@listed.test")
        self.assertEqual(self.house.services.book.recipient(parse(OWN)).policy.domain, "listed.test")
        self.assertEqual(self.sent(OWN), 250)
        self.assertEqual(sorted(row[1] for row in self.house.rows(DELIVERIES)), ["ann@listed.test", "bob@far.test"])
        self.assertEqual(self.targets("POSTMASTER@listed.test"), ("ann@listed.test", "bob@far.test"))

    def sent(self, *to: str) -> Any:
        """The code a whole message is answered with."""
        visit = self.house.session()
        visit.mail()
        for address in to:
            self.assertEqual(visit.rcpt(address).code, 250)
        return self.successResultOf(visit.content()).code

    def test_elsewhere(self) -> None:
        """An address elsewhere is relayed to, as an alias's target is; a claim nobody has proved does not make it ours."""
        self.house.add_domain("claimed.test", verified_at=None, recipients="listed")
        for address in ("op@far.test", "op@claimed.test"):
            self.house.set_postmaster(address)
            self.assertEqual((self.targets(OWN), self.targets("postmaster@listed.test")), ((address,), (address,)))
        self.assertEqual(self.sent(OWN), 250)
        self.assertEqual([row[1] for row in self.house.rows(DELIVERIES)], ["op@claimed.test"])

    def test_who_has_one(self) -> None:
        """A domain's own postmaster keeps its mail: listed, by alias, by catch-all, or where recipients need not be listed."""
        self.house.set_postmaster("op@far.test")
        self.house.add_recipient("postmaster@listed.test")
        self.house.add_domain("caught.test", recipients="listed")
        self.house.add_alias("@caught.test", "ann@listed.test")
        self.assertEqual(self.targets("postmaster@listed.test"), ("postmaster@listed.test",))
        self.assertEqual(self.targets("postmaster@caught.test"), ("ann@listed.test",))
        self.assertEqual(self.targets("postmaster@demo.test"), ("postmaster@demo.test",))

    def test_our_name_is_a_domain(self) -> None:
        """With our own name as a domain its own list counts first; while it is only claimed, the claim changes nothing."""
        self.house.set_postmaster("op@far.test")
        self.house.add_domain("mx.demo.test", recipients="listed", verified_at=None)
        self.house.add_recipient("postmaster@mx.demo.test")
        self.assertEqual(self.targets(OWN), ("op@far.test",))
        self.house.write(lambda conn: conn.execute("UPDATE domains SET verified_at = 1 WHERE name = 'mx.demo.test'"))
        self.assertEqual(self.targets(OWN), ("Postmaster@mx.demo.test",))

    def test_where_nobody_is_served(self) -> None:
        """A domain that is switched off, only claimed or not ours answers for postmaster as for anybody."""
        self.house.set_postmaster("op@far.test")
        self.house.add_domain("off.test", recipients="listed", inbound=False)
        self.house.add_domain("claimed.test", recipients="listed", verified_at=None)
        said = [self.said(f"postmaster@{name}")[:9] for name in ("off.test", "claimed.test", "elsewhere.test")]
        self.assertEqual(said, ["450 4.2.1", "550 5.1.2", "550 5.1.2"])

    def test_an_address_that_leads_nowhere(self) -> None:
        """Where nobody has the address, or it is at our own name, mail to postmaster is refused and goes round in no circle."""
        for address, own in (("nobody@listed.test", "550 5.1.1"), ("postmaster@listed.test", "550 5.1.1"), (OWN, "550 5.1.2")):
            self.house.set_postmaster(address)
            self.assertEqual((self.said(OWN)[:9], self.said("postmaster@listed.test")[:9]), (own, "550 5.1.1"), address)

    def test_a_change_of_the_directory_counts_at_once(self) -> None:
        """An alias made later is followed by the next message."""
        self.house.set_postmaster("admin@listed.test")
        self.assertEqual(self.targets(OWN), ())
        self.house.add_alias("admin@listed.test", "ann@listed.test")
        self.assertEqual(self.targets(OWN), ("ann@listed.test",))
