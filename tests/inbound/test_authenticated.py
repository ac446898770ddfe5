"""Authentication on the road: what is written, what is taken off, who is refused, and what a spooled message costs."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.message import Message
from jetmail.mailauth import signing
from tests.inbound.receiving import CONTENT, DELIVERIES, MESSAGE, NOW, House
from tests.mailauth.samples import signer, zone

RULES = """
[[rule]]
name = "domain"
class = "jetmail.rules.checks.domain_state.KnownDomain"
[[rule]]
name = "authentication"
class = "jetmail.rules.checks.authentication.Authentication"
[[rule]]
name = "dmarc"
class = "jetmail.rules.checks.dmarc.Dmarc"
"""
REJECT = {("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject"]}


class AuthenticatedTests(SynchronousTestCase):
    """One house with the rules of authentication alone."""

    def setUp(self) -> None:
        """demo.test takes mail."""
        self.house = House(RULES, inline_limit=65_536)

    def stored(self) -> Message:
        """The message as it goes on."""
        ((data, header, *_),) = self.house.rows(CONTENT)
        return Message(data or header)

    def test_ours_is_written_and_forged_ones_go(self) -> None:
        """One Authentication-Results and one Received-SPF of ours; what came in our name is gone, what others wrote stays."""
        forged = b"Authentication-Results: (x) MX.demo.test; dmarc=pass\r\nReceived-SPF: pass receiver=mx.demo.test\r\n"
        others = b"Authentication-Results: mx.example.org; spf=pass\r\nARC-Authentication-Results: i=1; mx.demo.test; spf=pass\r\n"
        self.assertEqual(self.house.session().send(forged + others + MESSAGE).code, 250)
        message = self.stored()
        values = message.values(b"authentication-results")
        self.assertEqual(len(values), 2)
        self.assertTrue(values[0].startswith(b"mx.demo.test;\r\n\tspf=none"))
        self.assertTrue(values[1].startswith(b"mx.example.org;"))
        self.assertEqual(message.count(b"received-spf"), 1)
        self.assertEqual(message.count(b"arc-authentication-results"), 1)

    def test_nobody_finishes_our_sentence(self) -> None:
        """A message that begins with a continuation line adds nothing to what we write above it."""
        self.assertEqual(self.house.session().send(b" ; dkim=pass header.d=bank.example; x=(\r\n" + MESSAGE).code, 250)
        message = self.stored()
        self.assertEqual([name for name, raw in message.fields if b"bank.example" in raw], [b"x-unnamed"])
        self.assertEqual(message.text(b"from"), "Alice <alice@example.org>")

    def test_policy_refuses_for_those_who_enforce(self) -> None:
        """p=reject refuses for a domain that enforces and delivers for one that does not; SMTP says 250, the log has both."""
        self.house.resolver.zone |= REJECT
        self.house.add_domain("open.test", dmarc="ignore")
        self.assertEqual(self.house.session().send(to=("bob@demo.test", "ann@open.test")).code, 250)
        found: Any = [(row[0], row[3], row[4], row[5]) for row in self.house.rows(DELIVERIES)]
        self.assertIn(("bob@demo.test", "rejected", "dmarc", "550 5.7.1 [DMARC] Refused by the policy of example.org"), found)
        self.assertIn(("ann@open.test", "queued", "", ""), found)

    def test_policy_is_named(self) -> None:
        """A forged message to one recipient is 550 5.7.1 naming whose policy it is."""
        self.house.resolver.zone |= REJECT
        self.assertEqual(str(self.house.session().send()), "550 5.7.1 [DMARC] Refused by the policy of example.org")

    def test_spooled_body_is_verified(self) -> None:
        """The signature of a body that lies in the spool is verified from there."""
        self.house.resolver.zone |= REJECT | zone(signer())
        text = MESSAGE + b"".join(b"line  %06d \r\n" % number for number in range(40_000))
        message = Message(text)
        field = signing.sign(signer(), message.fields, message.body_chunks(), NOW)
        self.assertEqual(self.house.session().send(field + text).code, 250)
        self.assertIn(b"dkim=pass (2048-bit key) header.d=example.org", self.stored().value(b"authentication-results"))
