"""Recipients a user is not to write to: refused at RCPT, and the record says why (spec 5.7).

Asked is for mail of who has signed in alone, and by one indexed read. The address is looked for as it was given and as our aliases lead it: where
some of an alias's targets are suppressed and others are not, the message is taken, and those that are come back as a report (outbound.suppressed).

The reply names the address as the client gave it, the word of the reason, who can lift it, and the reference of the refusal. Notes that people or
other hosts wrote go into the record of the account whose list it is, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jetmail.inbound.principal import Principal
from jetmail.mail.address import Address
from jetmail.mail.reply import Reply
from jetmail.rules.verdict import Action, Finding, Ruling, Verdict
from jetmail.store.traffic.suppressions import APPLIANCE, Suppression
from jetmail.suppressing import Suppressing, words

SUPPRESSED = "suppressed"


def judge(suppressing: Suppressing, principal: Principal, recipient: Address, targets: Sequence[Address], now: float) -> Verdict | None:
    """The refusal of a recipient, None for one that is not suppressed."""
    keys = {recipient.key, *(target.key for target in targets)}
    found = suppressing.find(principal.account_id, list(keys), now)
    if not found:
        return None
    hit = found.get(recipient.key)
    if hit is None:
        if any(target.key not in found for target in targets):
            return None
        hit = found[targets[0].key]
    text = words(hit, str(recipient))
    return Verdict((Finding("RECIPIENT_SUPPRESSED", 0.0, _told(hit, recipient)),), Ruling(Action.REJECT, SUPPRESSED, Reply(550, "5.7.1", text)))


def _told(hit: Suppression, recipient: Address) -> str:
    until = f"until {_day(hit.expires)}" if hit.expires is not None else "until it is lifted"
    note = f"; {hit.detail}" if hit.detail and hit.account_id != APPLIANCE and hit.address == recipient.key else ""
    return f"{recipient}: {hit.reason}, since {_day(hit.created)}, {until}{note}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
