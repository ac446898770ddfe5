"""Why a message of an SMTP user was refused, for whoever administers the sender (spec 5.6): what the address in the refusal leads to.

The address holds the message's id and the user's uuid, and both must fit together: who has them was told them by us. Told are the reason, what to do
about it, and what was found. The username is not told, and nothing about whom the message was for.

Raises NotFoundError for anything else, a message that was accepted included.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.errors import NotFoundError
from jetmail.interfaces import IDatabase
from jetmail.rules.verdict import REASONS
from jetmail.store.database import Connection
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Message

ADVICE = {
    "acl": "The SMTP user may not send from this domain. Assign the domain to the user, or let the user send from all domains of the account "
    "(they must be verified for outbound), or, on plan pro, from any domain. Both the envelope's sender and every address in From must "
    "be allowed.",
    "not-owned": "A person may send as their own address and as sender addresses granted to them. Grant the address, or send as the person.",
    "abuse": "The sender passed a limit on spam, on refused or returned mail, or on the rate, and is blocked. Other senders are not affected. "
    "Find the cause (a stolen password, a form that is abused, an old list), then let the sender go: the account may do so once, after "
    "that an administrator can.",
    "spam": "The content looks like spam. It is this message that was refused, not the account or the address it came from.",
    "virus": "The message carries malware, or what a scanner takes for it. Look at the machine it came from.",
    "spf-invalid": "The sender's domain has to publish SPF that lets this system send its mail. Add the include to its record and send again.",
    "lockdown": "The domain names in DNS (_jm.<domain>) who may send from it, and this user is not among them. Add auth=<uuid of the user> to that "
    "record.",
    "suppressed": "Mail to this address came back, its reader complained or unsubscribed, or a person put it on the list; the evidence says which, "
    "and when. Find out whether it is right now, then take it off the account's suppression list and send again. What is on the list of the "
    "whole system only its administrator takes off.",
    "size": "The message is larger than is taken here.",
    "blocked": "A rule of the recipient's refuses it.",
    "blocklist": "A list of the recipient's refuses it.",
}
SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was found."""

    symbol: str
    score: float
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """`reason` is a word of rules.verdict.REASONS, `meaning` the same in a sentence, `advice` what the sender's administrator can do."""

    uid: str
    user: str
    at: float
    sender: str
    header_from: str
    message_id: str
    client: str
    reply: str
    reason: str
    meaning: str
    advice: str
    evidence: tuple[Evidence, ...]


def report(db: IDatabase, uid: str, auth: str) -> Deferred[Report]:
    """The report on the refused message `uid` of the user `auth`."""
    return db.search(_report, uid, auth)


def advice(word: str) -> str:
    """What can be done about a refusal for that reason; '' when there is nothing to say."""
    return ADVICE.get(word, "")


def _report(conn: Connection, uid: str, auth: str) -> Report:
    message = messages.by_uid(conn, uid)
    if message is None or not message.user or not hmac.compare_digest(message.user.encode(), auth.lower().encode("utf-8", "replace")):
        raise NotFoundError("no such report")
    is_refused = message.response.startswith("5")
    # The others of a message may have been taken where one recipient was refused: that refusal has its reference too.
    refused = [
        item
        for item in messages.deliveries_of(conn, message.id)
        if (item.reply == message.response if is_refused else item.reason == SUPPRESSED and not item.attempts)
    ]
    if not refused:
        raise NotFoundError("no such report")
    word = refused[0].reason
    meaning = REASONS[word].meaning if word in REASONS else word
    return Report(
        message.uid, message.user, message.received, message.sender, message.header_from, message.message_id, message.client_address,
        refused[0].reply, word, meaning, advice(word), _evidence(message, "" if is_refused else refused[0].recipient),
    )  # fmt: skip


def _evidence(message: Message, recipient: str) -> tuple[Evidence, ...]:
    """Findings about the message itself, or about that recipient alone: the others' are theirs."""
    return tuple(
        Evidence(str(item.get("symbol", "")), float(item.get("score") or 0.0), str(item.get("detail", "")))
        for item in message.findings
        if item.get("recipient", "") == recipient and item.get("symbol") not in ("REJECT", "DEFER", "PASS", "MARK", "QUARANTINE")
    )
