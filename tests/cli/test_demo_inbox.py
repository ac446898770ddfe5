"""The demo's inbox."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jetmail.cli.demo_inbox import Filed, Inbox, Receiver
from jetmail.mail import address
from jetmail.mail.envelope import Recipient, Sender


class InboxTests(SynchronousTestCase):
    """Filing messages."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name) / "inbox"
        self.heard: list[Filed] = []
        self.inbox = Inbox(self.folder, self.heard.append)

    def send(self, content: bytes, sender: Sender, *recipients: str) -> Receiver:
        """One transaction up to its end."""
        receiver = Receiver(self.inbox)
        receiver.mail(sender)
        for text in recipients:
            receiver.rcpt(Recipient(address.parse(text)))
        self.assertEqual(receiver.data().code, 354)
        for octet in range(0, len(content), 7):
            receiver.chunk(content[octet : octet + 7])
        return receiver

    def test_files_a_message(self) -> None:
        """A message becomes a numbered file with its envelope on top, and is heard of."""
        receiver = self.send(
            b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\ntext\r\n", Sender(address.parse("a@sender.example")), "bob@demo.test", "carol@demo.test"
        )
        self.assertEqual(receiver.end().code, 250)
        expected = b"Return-Path: <a@sender.example>\r\nDelivered-To: bob@demo.test\r\nDelivered-To: carol@demo.test\r\nSubject:"
        self.assertTrue((self.folder / "000001.eml").read_bytes().startswith(expected))
        (filed,) = self.heard
        self.assertEqual((filed.sender, filed.recipients, filed.subject), ("a@sender.example", ("bob@demo.test", "carol@demo.test"), "Grüße"))

    def test_null_sender(self) -> None:
        """A report has an empty return path."""
        self.send(b"\r\n", Sender(None), "bob@demo.test").end()
        self.assertEqual(self.heard[0].sender, "")

    def test_nothing_half_is_left(self) -> None:
        """A message that breaks off leaves no file."""
        self.send(b"Subject: half", Sender(None), "bob@demo.test").lost()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_goes_on_counting(self) -> None:
        """After a restart old messages are shown and numbers are not given twice; leftovers are swept."""
        self.send(b"Subject: one\r\n\r\n", Sender(None), "bob@demo.test").end()
        (self.folder / "000009.eml.part").write_bytes(b"left")
        self.inbox = Inbox(self.folder)
        self.assertEqual([filed.subject for filed in self.inbox.newest], ["one"])
        self.send(b"Subject: two\r\n\r\n", Sender(None), "bob@demo.test").end()
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["000001.eml", "000002.eml"])

    def test_only_its_own_files(self) -> None:
        """A name from a page reaches messages and nothing else."""
        self.send(b"\r\n", Sender(None), "bob@demo.test").end()
        self.assertIsNotNone(self.inbox.content("000001.eml"))
        for name in ("../000001.eml", "000002.eml", "", "000001.eml.part", "/etc/passwd"):
            self.assertIsNone(self.inbox.content(name))

    def test_any_subject_can_be_shown(self) -> None:
        """Broken encodings and raw octets in a subject do not stop the filing."""
        for subject in (b"=?nope?b?////?=", b"\xff\xfe\x80", b"=?utf-8?q?=C3?=", b"x" * 5000):
            self.assertEqual(self.send(b"Subject: " + subject + b"\r\n\r\n", Sender(None), "bob@demo.test").end().code, 250)
        self.assertEqual(len(self.heard), 4)
