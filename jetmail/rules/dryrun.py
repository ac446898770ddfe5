"""A rule tried on mail of the past: what the log still holds of a message decides, and where its content would decide and is gone, that is said.

The log holds envelope, client, the first address of the header From, subject and size; body, other header fields and attachments only as long as the
content is kept. Three answers: it would have matched, it would not, it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jetmail.mail.address import Address
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.rules.conditions import Conditions
from jetmail.rules.facts import Client, Facts, RecipientFacts


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the log. Addresses None: the null sender, or what is no address. `header_from` is the first of the From field."""

    client: str
    sender: Address | None
    recipient: Address | None
    header_from: Address | None
    subject: str
    size: int


def match(conditions: Conditions, row: Logged, content: Callable[[], Message | None], *, is_allow: bool) -> bool | None:
    """Whether the conditions hold for that row; None when its content would tell and `content()` has none (it is called only then)."""
    if row.recipient is None:
        return False
    recipient = RecipientFacts(0, Recipient(row.recipient), (row.recipient,))
    facts = Facts(0.0, Client(row.client), Sender(row.sender), recipient, (recipient,))
    by_envelope = conditions.match(facts, is_allow=is_allow)
    if by_envelope is not None:
        return by_envelope
    # The cheap kinds first, as the log has them: one that fails spares the reading of content, and content that is gone the doubt.
    if conditions.size is not None and not conditions.size[0] <= row.size <= conditions.size[1]:
        return False
    if conditions.subjects and not any(test(row.subject) for test in conditions.subjects):
        return False
    is_sender = not conditions.senders or any(test(each) for each in (row.sender, row.header_from) if each is not None for test in conditions.senders)
    needs_content = bool(conditions.body or conditions.headers or conditions.attachments)
    if not needs_content:
        return is_sender
    message = content()
    if message is None:
        return None if is_sender else False
    return conditions.match(facts._replace(message=message), is_allow=is_allow)
