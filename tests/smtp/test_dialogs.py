"""Every dialogue of tests/dialogs, played against the grammar: as written, and one octet at a time."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.mail.reply import Reply
from jetmail.smtp.events import CLOSE, STARTTLS
from jetmail.smtp.options import SessionOptions
from jetmail.smtp.server import Session
from tests.dialogs.script import Dialog, all_dialogs
from tests.fakes import RecordingReceiver


def rcpt(recipient: Any) -> Reply:
    """As README.md says."""
    if recipient.address.local.startswith("unknown"):
        return Reply(550, "5.1.1", "No such user")
    return Reply(450, "4.2.0", "Later") if recipient.address.local.startswith("later") else Reply(250, "2.1.5", "OK")


def auth(mechanism: str, username: str, password: str) -> Reply:
    """As README.md says."""
    return Reply(235, "2.7.0", "Welcome") if password == "right" else Reply(535, "5.7.8", "Authentication failed")


class Player:
    """Plays one dialogue. `cut` octets are given to the session at a time; 0: everything between two server steps at once."""

    def __init__(self, dialog: Dialog, cut: int) -> None:
        self.dialog = dialog
        self.cut = cut
        self.session = Session(SessionOptions("mx.test", dialog.kind, **dialog.limits))  # type: ignore[arg-type]
        self.receiver = RecordingReceiver({"rcpt": rcpt, "auth": auth})
        self.said = b""
        self.last: list[str] = []
        self.is_closed = False
        self.wants_tls = dialog.kind == "submissions"
        self.drive(self.session.start())

    def drive(self, event: Any) -> None:
        while event is not None:
            if event is CLOSE:
                self.is_closed = True
                break
            if event is STARTTLS:
                self.wants_tls = True
                event = self.session.reply(None)
            else:
                event = self.session.reply(event.ask(self.receiver))
        self.said += self.session.take()

    def send(self, octets: bytes) -> None:
        step = self.cut or len(octets) or 1
        for start in range(0, len(octets), step):
            self.drive(self.session.receive(octets[start : start + step]))

    def line(self) -> str:
        line, end, self.said = self.said.partition(b"\r\n")
        assert end, f"nothing said, only {line!r}"
        return line.decode("ascii")

    def play(self) -> None:
        waiting = b""
        for step in self.dialog.steps:
            where = f"{self.dialog.name}.txt:{step.number}"
            if step.action == "send":
                waiting += step.octets
                continue
            self.send(waiting)
            waiting = b""
            if step.action == "line":
                self.last = [self.line()]
                assert self.last[0].startswith(step.text), f"{where}: said {self.last[0]!r}"
            elif step.action == "reply":
                self.last = [self.line()]
                while self.last[-1][3] == "-":
                    self.last.append(self.line())
                assert {line[:3] for line in self.last} == {step.text}, f"{where}: said {self.last}"
            elif step.action == "has":
                assert step.text in self.last, f"{where}: said {self.last}"
            elif step.action == "lacks":
                assert not any(line.startswith(step.text) for line in self.last), f"{where}: said {self.last}"
            elif step.action == "tls":
                assert self.wants_tls, where
                self.wants_tls = False
            elif step.action == "message":
                assert any(step.octets in message for message in self.receiver.messages), f"{where}: got {self.receiver.messages}"
            else:
                assert self.is_closed and not self.said, f"{where}: closed {self.is_closed}, said {self.said!r}"
        assert not waiting and not self.said, f"{self.dialog.name}.txt: left {waiting!r} {self.said!r}"


@pytest.mark.parametrize("dialog", all_dialogs(), ids=lambda dialog: dialog.name)
def test_dialog(dialog: Dialog) -> None:
    """The server says what the dialogue expects, step by step."""
    Player(dialog, 0).play()


@pytest.mark.parametrize("dialog", [each for each in all_dialogs() if each.name != "starttls_injection"], ids=lambda dialog: dialog.name)
def test_dialog_octet_by_octet(dialog: Dialog) -> None:
    """The same when every octet comes alone (but for what STARTTLS tells apart: octets behind it in one segment)."""
    Player(dialog, 1).play()


def test_every_dialog_says_what_it_shows() -> None:
    """No two dialogues describe the same behaviour, and all describe one."""
    descriptions = [dialog.what for dialog in all_dialogs()]
    assert all(descriptions) and len(set(descriptions)) == len(descriptions)
