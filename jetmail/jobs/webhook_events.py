"""From what happened to what a webhook is told: pure but for the directory's word on whose a user or a domain is.

| row | event |
|---|---|
| a delivery as it came: queued | `outbound.queued`, `inbound.received` |
| as it came: quarantined | `inbound.received` and `inbound.quarantined` (of users' mail: `outbound.queued`) |
| as it came: spam | `outbound.spam`, `inbound.spam` |
| as it came: rejected or blocked, reason virus | `outbound.virus`, `inbound.blocked` |
| as it came: rejected or blocked, a suppressed recipient | `outbound.dropped` |
| as it came: rejected or blocked, any other reason | `outbound.rejected`, `inbound.blocked` |
| as it came: delivered (an address that takes and drops) | `.delivered` |
| event `attempt`, result delivered / later / never | `.delivered` / `.deferred` / `.bounced` |
| the same, result never, reason suppressed | `outbound.dropped` |
| event `expired` (waited too long), `returned` (sent back by an administrator) | `.bounced` |
| event `bounced-later` (a report that came back) | `outbound.bounced` |
| event `complaint` | `outbound.complaint` |
| event `deleted`, `delete`, `dropped` | `outbound.dropped` (nothing for inbound: its owner did it) |
| any other event whose kind is one of the words | that one |

A webhook is told of an event that is one of its events, is of its users and domains where it names some, and happened since it was made or last
enabled. An account's webhook sees what its own users sent (those it has deleted since, too), and what came for its own domains, and nothing else: a
domain that is nobody's any more is nobody's event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jetmail.mail import webhook
from jetmail.mail.webhook import INBOUND, OUTBOUND
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic.happenings import Happening
from jetmail.store.traffic.webhook_queue import NewEvent

MAX_TEXT = 500  # of a field strangers wrote
SUPPRESSED = "suppressed"
_DROPPED = frozenset({"deleted", "delete", "dropped"})
_RESULTS = {"delivered": "delivered", "later": "deferred", "never": "bounced"}
_ENDED = frozenset({"expired", "returned", "bounced-later"})


def types_of(found: Happening) -> tuple[str, ...]:
    """The words for what happened, without the direction; () for what nobody is told."""
    known = OUTBOUND if found.direction == "outbound" else INBOUND
    words = _came(found) if not found.kind else _happened(found)
    return tuple(word for word in words if word in known)


def _came(found: Happening) -> tuple[str, ...]:
    is_outbound = found.direction == "outbound"
    match found.status:
        case "queued":
            return ("queued",) if is_outbound else ("received",)
        case "quarantined":
            return ("queued",) if is_outbound else ("received", "quarantined")
        case "spam" | "delivered":
            return (found.status,)
        case "rejected" | "blocked":
            if not is_outbound:
                return ("blocked",)
            return ("virus",) if found.reason == "virus" else ("dropped",) if found.reason == SUPPRESSED else ("rejected",)
    return ()


def _happened(found: Happening) -> tuple[str, ...]:
    if found.kind == "attempt":
        word = _RESULTS.get(str(found.detail.get("result", "")), "")
        return ("dropped",) if word == "bounced" and found.detail.get("reason") == SUPPRESSED else (word,)
    if found.kind in _ENDED:
        return ("bounced",)
    if found.kind in _DROPPED:
        return ("dropped",)
    return (found.kind,)


def data(found: Happening) -> dict[str, Any]:
    """What is told of it: nothing of the content, nothing secret."""
    detail = found.detail
    said = detail if found.kind == "attempt" else {}
    told: dict[str, Any] = {
        "message": found.uid,
        "direction": found.direction,
        "sender": found.sender,
        "from": found.header_from,
        "recipient": found.recipient or str(detail.get("recipient", "")),
        "subject": found.subject,
        "message_id": found.message_id,
        "domain": next(iter(domains_of(found)), ""),
        "user": found.user or None,
        "status": found.status,
        "reason": str(said.get("reason") or detail.get("reason") or found.reason),
        "reply": str(said.get("reply") or detail.get("reply") or found.reply),
        "received_at": found.received,
        "at": found.at,
    }
    for name in ("host", "tls", "word", "hard", "type", "reporter"):
        if isinstance(detail.get(name), str | bool) and detail[name]:
            told[name] = detail[name]
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in told.items()}


def domains_of(found: Happening) -> tuple[str, ...]:
    """What a filter for domains compares: the recipient's of inbound mail; the author's and the envelope sender's of outbound."""
    if found.direction != "outbound":
        return (found.domain,)
    both = (address.rpartition("@")[2].strip("> ").lower() for address in (found.header_from, found.sender))
    return tuple(dict.fromkeys(domain for domain in both if domain))


def news(
    happened: Iterable[Happening], hooks: Iterable[Webhook], account_of_user: Callable[[str], int], account_of_domain: Callable[[str], int]
) -> list[NewEvent]:
    """What is to be queued. `account_of_...`: 0 for nobody's."""
    made: list[NewEvent] = []
    of_account: dict[int | None, list[Webhook]] = {}
    for hook in hooks:
        of_account.setdefault(hook.account_id, []).append(hook)
    for found in happened:
        words = types_of(found)
        if not words:
            continue
        domains = domains_of(found)
        is_outbound = found.direction == "outbound"
        owner = (account_of_user(found.user) if found.user else 0) if is_outbound else account_of_domain(found.domain)
        listening = (*of_account.get(None, ()), *(of_account.get(owner, ()) if owner > 0 else ()))
        told: dict[str, Any] | None = None
        for word in words:
            event = f"{found.direction}.{word}"
            octets = b""
            for hook in listening:
                if not _is_for(hook, event, found, domains):
                    continue
                told = told if told is not None else data(found)
                identity = webhook.event_id(found.uid, found.kind, found.row, event, found.received)
                octets = octets or webhook.body(identity, event, found.at, told)
                made.append(NewEvent(hook.uuid, identity, event, octets))
    return made


def _is_for(hook: Webhook, event: str, found: Happening, domains: tuple[str, ...]) -> bool:
    return (
        found.at >= hook.since
        and webhook.matches(hook.events, event)
        and (not hook.smtp_users or found.user in hook.smtp_users)
        and (not hook.domains or any(domain in hook.domains for domain in domains))
    )
