"""The demo's inbox: the place where mail for demo.test ends, so that the whole road can be seen with no other software.

`Receiver` answers one SMTP session through the same protocol as the real listeners: it takes everything and files each message as
DIR/inbox/NNNNNN.eml with Return-Path and Delivered-To on top, whole or not at all (written beside and renamed). `Inbox` keeps the newest `SHOWN`
in mind for the page. Not for mail that matters: nothing is synced to disk.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zope.interface import implementer

from jetmail.interfaces import IReceiver
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply

SHOWN = 200  # messages on the page
HEADER_READ = 64 * 1024  # octets of a file looked at for its header

_FILE_NAME = re.compile(r"\d{6,}\.eml")


@dataclass(frozen=True, slots=True)
class Filed:
    """One message in the inbox. `name` is its file's; `at` epoch seconds."""

    name: str
    at: float
    size: int
    sender: str
    recipients: tuple[str, ...]
    subject: str


class Inbox:
    """The folder and what is known of its newest messages. `on_filed` hears of each as it comes."""

    def __init__(self, folder: Path, on_filed: Callable[[Filed], None] = lambda filed: None) -> None:
        self.folder = folder
        self.newest: deque[Filed] = deque(maxlen=SHOWN)
        self._on_filed = on_filed
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):
            part.unlink(missing_ok=True)
        names = sorted((path.name for path in folder.glob("*.eml") if _FILE_NAME.fullmatch(path.name)), key=lambda name: int(name[:-4]))
        self._last = int(names[-1][:-4]) if names else 0
        for name in names[-SHOWN:]:
            self.newest.append(self._read(name))

    def create(self) -> tuple[str, BinaryIO]:
        """A number of its own and a file to write to; `file` or `abandon` must follow."""
        self._last += 1
        name = f"{self._last:06d}.eml"
        return name, open(self.folder / f"{name}.part", "wb")

    def file(self, name: str) -> Filed:
        """The message is complete."""
        (self.folder / f"{name}.part").rename(self.folder / name)
        filed = self._read(name)
        self.newest.append(filed)
        self._on_filed(filed)
        return filed

    def abandon(self, name: str) -> None:
        """The message never became complete."""
        (self.folder / f"{name}.part").unlink(missing_ok=True)

    def content(self, name: str) -> Path | None:
        """The file of that name, None when there is none."""
        path = self.folder / name
        return path if _FILE_NAME.fullmatch(name) and path.is_file() else None

    def _read(self, name: str) -> Filed:
        path = self.folder / name
        with open(path, "rb") as stream:
            message = Message(stream.read(HEADER_READ))
        status = path.stat()
        sender = message.text(b"return-path").strip("<>")
        return Filed(name, status.st_mtime, status.st_size, sender, tuple(message.texts(b"delivered-to")), message.subject)


@implementer(IReceiver)
class Receiver:
    """One session with the inbox: yes to everything that makes sense."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._sender = ""
        self._recipients: list[str] = []
        self._name = ""
        self._stream: BinaryIO | None = None

    def connected(self) -> Reply:
        """See IReceiver."""
        return Reply(220, "", "demo inbox")

    def helo(self, name: str, extended: bool) -> Reply:
        """See IReceiver."""
        return Reply(250, "", "demo inbox")

    def mail(self, sender: Sender) -> Reply:
        """See IReceiver."""
        self._sender = str(sender)
        self._recipients = []
        return Reply(250, "2.1.0", "ok")

    def rcpt(self, recipient: Recipient) -> Reply:
        """See IReceiver."""
        self._recipients.append(str(recipient))
        return Reply(250, "2.1.5", "ok")

    def data(self) -> Reply:
        """See IReceiver."""
        try:
            self._name, self._stream = self._inbox.create()
            top = f"Return-Path: <{self._sender}>\r\n" + "".join(f"Delivered-To: {recipient}\r\n" for recipient in self._recipients)
            self._stream.write(top.encode())
        except OSError:
            self.abort()
            return Reply(452, "4.3.1", "no room in the demo inbox")
        return Reply(354, "", "go on")

    def chunk(self, octets: bytes) -> None:
        """See IReceiver."""
        if self._stream is not None:
            try:
                self._stream.write(octets)
            except OSError:
                self.abort()

    def end(self) -> Reply:
        """See IReceiver."""
        stream, self._stream = self._stream, None
        if stream is None:
            return Reply(452, "4.3.1", "no room in the demo inbox")
        try:
            stream.close()
            filed = self._inbox.file(self._name)
        except OSError:
            self._inbox.abandon(self._name)
            return Reply(452, "4.3.1", "no room in the demo inbox")
        return Reply(250, "2.0.0", f"filed as {filed.name}")

    def abort(self, refusal: Reply | None = None) -> None:
        """See IReceiver."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass  # the disk is full; the file goes anyway
            self._inbox.abandon(self._name)

    def auth(self, mechanism: str, username: str, password: str) -> Reply:
        """See IReceiver."""
        return Reply(535, "5.7.8", "Authentication failed")

    def idle(self) -> None:
        """Nobody signs in here."""

    def tls_started(self, version: str, cipher: str) -> None:
        """See IReceiver."""
        self.abort()

    def lost(self) -> None:
        """See IReceiver."""
        self.abort()
