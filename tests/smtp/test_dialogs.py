"""Every dialogue of tests/dialogs, played against the grammar: as written, and one octet at a time."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.mail.reply import Reply
from tests.dialogs.player import Player
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


def play(dialog: Dialog, cut: int) -> None:
    """With a receiver that answers so."""
    receiver = RecordingReceiver({"rcpt": rcpt, "auth": auth})
    Player(dialog, cut, receiver, lambda: receiver.messages).play()


DIALOGS = [dialog for dialog in all_dialogs() if not dialog.given]  # the others are played by tests/inbound/test_dialogs.py
TOGETHER = {"starttls_injection", "data_rash", "ehlo_rash"}


@pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)
def test_dialog(dialog: Dialog) -> None:
    """The server says what the dialogue expects, step by step."""
    play(dialog, 0)


@pytest.mark.parametrize("dialog", [each for each in DIALOGS if each.name not in TOGETHER], ids=lambda dialog: dialog.name)
def test_dialog_octet_by_octet(dialog: Dialog) -> None:
    """The same when every octet comes alone (but for what some commands tell apart: octets behind them in one segment)."""
    play(dialog, 1)


def test_every_dialog_says_what_it_shows() -> None:
    """No two dialogues describe the same behaviour, and all describe one."""
    descriptions = [dialog.what for dialog in all_dialogs()]
    assert all(descriptions) and len(set(descriptions)) == len(descriptions)
