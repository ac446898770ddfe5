"""Which attachments are not taken: set and reset by whoever may, written down, and obeyed by the next message."""

from __future__ import annotations

from jetmail.actions import attachments
from jetmail.errors import NotFoundError, UsageError
from jetmail.mail.address import parse
from jetmail.rules.attachments import AttachmentPolicy
from tests.actions.test_lists import ROOT, Base


class AttachmentTests(Base):
    """Of the appliance and of a domain."""

    def shown(self, domain: str = "") -> attachments.Shown:
        return self.successResultOf(attachments.show(self.db, ROOT, domain))

    def test_levels(self) -> None:
        """A domain's own come in place of the appliance's, and go back to them."""
        self.assertEqual(self.shown("demo.test").source, "default")
        self.successResultOf(attachments.change(self.db, ROOT, {"types": ["program"]}, now=1.0))
        self.assertEqual((self.shown("demo.test").source, self.shown("demo.test").types), ("appliance", ("program",)))
        self.successResultOf(attachments.change(self.db, ROOT, {"extensions": [".EXE"], "action": "quarantine"}, "demo.test", now=1.0))
        self.assertEqual(self.shown("demo.test").extensions, ("exe",))
        policy = self.book.recipient(parse("ann@demo.test")).policy.attachments
        self.assertEqual(policy, AttachmentPolicy("quarantine", frozenset(), frozenset({"exe"})))
        self.successResultOf(attachments.reset(self.db, ROOT, "demo.test", now=1.0))
        self.assertEqual(self.shown("demo.test").types, ("program",))
        self.assertEqual(self.book.recipient(parse("ann@demo.test")).policy.attachments.action, "reject")

    def test_mistakes(self) -> None:
        """Each names its field, and nothing is written."""
        for changes, field in (
            ({"types": ["programme"]}, "types"),
            ({"extensions": ["a b"]}, "extensions"),
            ({"action": "burn"}, "action"),
            ({"archives": 1}, "archives"),
            ({"colour": "red"}, "colour"),
            ({"types": "program"}, "types"),
            ({}, "changes"),
        ):
            self.assertEqual(self.failureResultOf(attachments.change(self.db, ROOT, changes, now=1.0), UsageError).value.field, field)
        self.failureResultOf(attachments.change(self.db, ROOT, {"action": "off"}, "elsewhere.example", now=1.0), NotFoundError)
        self.assertEqual(self.shown().source, "default")
