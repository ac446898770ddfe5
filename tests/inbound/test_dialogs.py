"""The dialogues of tests/dialogs that say what the appliance is like, played on a real Receiver: as written, and one octet at a time."""

from __future__ import annotations

import pytest

from tests.dialogs import appliance
from tests.dialogs.script import Dialog, all_dialogs

DIALOGS = [dialog for dialog in all_dialogs() if dialog.given]


@pytest.mark.parametrize("cut", [0, 1], ids=["at once", "octet by octet"])
@pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)
def test_dialog(dialog: Dialog, cut: int) -> None:
    """The appliance says what the dialogue expects, letter by letter where it is so written."""
    appliance.play(dialog, cut)


def test_every_reply_has_a_dialogue() -> None:
    """Each reply of the documents (spec 5.6, 7.1 to 7.12) stands in some dialogue with its whole text."""
    exact = [step.text for dialog in DIALOGS for step in dialog.steps if step.action == "exactly"]
    see = "See https://mx.demo.test/?id=<uid>&auth=<uuid of app>"
    for reply in (
        f"550 [ACL] Blocked. {see}",
        "535 Authentication failed",
        "535 IP not authorized",
        "421 4.7.1 Rate limit exceeded. Try again later.",
        f"550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.com. {see}",
        f"550 [SPAM] Blocked. {see}",
        f"550 [VIRUS] Blocked. {see}",
        f"550 [SPF_INVALID] Blocked. {see}",
        f"550 5.7.1 [ABUSE] Sender blocked: spam or abuse detected. {see.replace('See', 'See:')}",
        "553 5.7.1 Sender address rejected: not owned by user",
    ):
        assert reply in exact, reply
