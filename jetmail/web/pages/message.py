"""One message: what it is, what became of each recipient, and everything that happened to it in order (spec 1.3, 3).

An event of a kind this page does not know is still shown, with all it says: what happened must never be hidden because a page is older than the
part that wrote it. Private detail of findings is shown here, to the people who may see the message, and nowhere else.

Its content, where it is kept, is shown in a frame (pages.preview); this page may frame itself and nobody else.

An unknown uid, and one out of the actor's scope, is 404.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.web.iweb import IRequest

from jetmail.actions.access import Actor
from jetmail.actions.findings import Explained, unexplained
from jetmail.actions.messages import show
from jetmail.interfaces import IDatabase
from jetmail.mail.status import Status
from jetmail.web.answer import Answer
from jetmail.web.door import framing
from jetmail.web.render import Renderer, reason, size, span, stamp

REFUSED = (Status.REJECTED, Status.BLOCKED, Status.SPAM, Status.QUARANTINED)
# kind of event -> (title, icon, tone)
KINDS = {
    "expired": ("Given up: its time in the queue was over", "rejected", "rejected"),
    "returned": ("Returned to the sender", "rejected", "rejected"),
    "cooled": ("Waits: its provider asked to slow down", "hold", "queued"),
    "eased": ("Its provider is given more again", "note", ""),
    "hold": ("Held", "hold", "quarantined"),
    "unhold": ("Let go", "queued", "queued"),
    "retry": ("To be tried at once", "attempt", ""),
    "bounce": ("To be returned to the sender", "attempt", ""),
    "delete": ("Deleted without telling the sender", "rejected", "rejected"),
    "released": ("Released from the quarantine", "queued", "queued"),
    "deleted": ("Deleted from the quarantine", "rejected", "rejected"),
    "dropped": ("No longer kept: its time in the quarantine was over", "note", ""),
    "bounced-later": ("Came back after all", "rejected", "rejected"),
    "delayed-later": ("The destination says that it is late", "hold", "queued"),
    "confirmed-later": ("Confirmed by the destination", "delivered", "delivered"),
    "complaint": ("The recipient complained", "rejected", "rejected"),
    "auto-reply": ("A machine answered", "note", ""),
    "returned-mail": ("Something came back", "note", ""),
    "suppressed": ("The recipient was put on the suppression list", "note", ""),
    "taken-in": ("Taken in as a report about our domains", "note", ""),
    "ruling": ("Judged", "ruling", ""),
    "tls-downgrade": ("No TLS at a domain that used to have it", "note", ""),
}
REPORTS = {
    "failed": "Sender told that it failed",
    "delayed": "Sender told of the delay",
    "relayed": "Sender told that it was passed on",
}
RESULTS = {
    "delivered": ("Delivered to {host}", "delivered", "delivered"),
    "later": ("Not delivered yet: {reason}", "queued", "queued"),
    "never": ("Refused for good by {host}", "rejected", "rejected"),
}
UNSPOKEN = frozenset({"connect", "dns", "timeout", "tls"})
# What a step says in words of its own; all else its event holds becomes a tag.
ROUTE = frozenset({"address", "port", "tls", "verified", "duration"})
SAID_ON_ARRIVAL = frozenset({"client", "helo", "tls", "listener", "response"})
SAID_OF_ATTEMPT = ROUTE | {"result", "reason", "reply", "host"}
SAID_OF_REPORT = frozenset({"action", "uid", "to"})
SAID = ROUTE | {"reason", "reply", "findings"}


Explain = Callable[[Sequence[Any], Sequence[str] | None], tuple[Explained, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table of findings; `text` is the public sentence, `score` with its sign, `recipient` where it is about one of several."""

    symbol: str
    text: str
    detail: str
    score: str
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One knot of the timeline. `tone` a status whose colour it takes, or ''. `bits` short facts, `reply` what was said on the wire,
    `link` the uid of another message it is about."""

    at: float
    title: str
    icon: str
    tone: str = ""
    recipient: str = ""
    text: str = ""
    bits: tuple[str, ...] = ()
    reply: str = ""
    findings: tuple[Finding, ...] = ()
    link: str = ""


class MessagePage:
    """The page, for one actor."""

    def __init__(self, db: IDatabase, actor: Actor, renderer: Renderer, explain: Explain) -> None:
        self._db = db
        self._actor = actor
        self._renderer = renderer
        self._explain = explain

    async def page(self, request: IRequest, uid: str) -> Answer:
        """The message of that uid. Raises NotFoundError."""
        shown = await show(self._db, self._actor, uid)
        message, deliveries = shown.message, shown.deliveries
        body = self._renderer.page(
            "message.html",
            here="logs",
            message=message,
            deliveries=deliveries,
            summary=list(dict.fromkeys(item.status for item in deliveries)) or ["rejected" if message.response.startswith("5") else "received"],
            steps=list(timeline(message, deliveries, shown.timeline, self._explain)),
            has_content=shown.has_content,
            facts=facts(message),
        )
        return Answer(body, headers=(framing("'self'"),))


def facts(message: Any) -> list[tuple[str, object]]:
    """Name and value of what is known of the message, without what is not."""
    client = f"{message.client_address} port {message.client_port}" if message.client_address else ""
    given: tuple[tuple[str, object], ...] = (
        ("Envelope sender", message.sender or "<> (a bounce, or another automatic message)"),
        ("From header", message.header_from),
        ("Received", stamp(message.received, "full")),
        ("Size", size(message.size)),
        ("Direction", message.direction.capitalize()),
        ("Client", client),
        ("Greeted as", message.helo),
        ("Encryption on the way in", message.tls or ("none" if client else "")),
        ("Listener", message.listener),
        ("Signed in as", message.user),
        ("Spam score", f"{message.score:g}" if message.score is not None else ""),
        ("Asked of us", _asked(message)),
        ("Message-ID", message.message_id),
        ("UID", message.uid),
    )
    return [(name, value) for name, value in given if value]


def timeline(message: Any, deliveries: Sequence[Any], events: Sequence[Any], explain: Explain = unexplained) -> Iterator[Step]:
    """The steps, oldest first. A recipient is named only where there is more than one."""
    names = {item.id: item.recipient for item in deliveries} if len(deliveries) > 1 else {}
    for event in events:
        yield _step(event, names.get(event.delivery_id, ""), message, explain)
        if event.kind == "received":
            yield from _judgement(message, deliveries, {other.kind for other in events}, explain)


def _step(event: Any, recipient: str, message: Any, explain: Explain) -> Step:
    detail: Mapping[str, Any] = event.detail
    if event.kind == "received":
        client, helo, listener = detail.get("client"), detail.get("helo"), detail.get("listener")
        encryption = detail.get("tls") or ("no encryption" if client else "")
        given = (f"greeted as {helo}" if helo else "", str(encryption), f"listener {listener}" if listener else "", size(message.size))
        title = f"Received from {client}" if client else "Created here"
        bits = (*filter(None, given), *_rest(detail, SAID_ON_ARRIVAL))
        return Step(event.at, title, "received", "received", bits=bits, reply=str(detail.get("response") or ""))
    result, action = str(detail.get("result")), str(detail.get("action"))
    if event.kind == "attempt" and result in RESULTS:
        title, icon, tone = RESULTS[result]
        where = str(detail.get("host") or detail.get("address") or "the destination")
        if detail.get("reason") == "suppressed":
            title = "Not sent: the recipient is on the suppression list"
        title = title.format(host=where, reason=reason(str(detail.get("reason", ""))))
        host = (where,) if result == "later" and detail.get("host") not in ("", None, detail.get("address")) else ()
        bits = (*host, *_route(detail), *_rest(detail, SAID_OF_ATTEMPT))
        return Step(event.at, title, icon, tone, recipient, bits=bits, reply=str(detail.get("reply") or ""))
    if event.kind == "report" and action in REPORTS:
        to, uid = str(detail.get("to", "")), str(detail.get("uid", ""))
        return Step(event.at, REPORTS[action], "attempt", "", "", to, tuple(_rest(detail, SAID_OF_REPORT)), link=uid)
    title, icon, tone = KINDS.get(event.kind, (event.kind.replace("-", " ").replace("_", " ").capitalize(), "note", ""))
    return Step(
        event.at,
        title,
        icon,
        tone,
        recipient,
        reason(str(detail["reason"])) if detail.get("reason") else "",
        (*_route(detail), *_rest(detail, SAID)),
        str(detail.get("reply") or ""),
        _findings(detail.get("findings"), explain, None),
    )


def _rest(detail: Mapping[str, Any], said: frozenset[str]) -> Iterator[str]:
    for name, value in detail.items():
        if isinstance(value, Mapping):
            yield from _rest(value, frozenset())
        elif name not in said and value not in ("", None, []):
            yield f"{name.replace('_', ' ')}: {value}"


def _judgement(message: Any, deliveries: Sequence[Any], kinds: set[str], explain: Explain) -> Iterator[Step]:
    """What the rules said, which is kept with the message and not as an event."""
    rulings = {} if "ruling" in kinds else {item.recipient: item for item in deliveries if item.status in REFUSED and not item.attempts}
    if message.score is None and not message.findings and not rulings:
        return
    title = "Judged" if message.score is None else f"Judged: score {message.score:g}"
    first = next(iter(rulings.values()), None)
    tone = first.status if first else ""
    several = len(deliveries) > 1
    texts = [f"{Status(item.status).label}: {reason(item.reason)}" + (f", {item.recipient}" if several else "") for item in rulings.values()]
    if not texts and not message.findings:
        texts = ["Nothing was found against it"]
    yield Step(message.received, title, "ruling", tone, "", "; ".join(texts[:10]), (), "", _findings(message.findings, explain, deliveries))


def _findings(found: Any, explain: Explain, deliveries: Sequence[Any] | None) -> tuple[Finding, ...]:
    """Findings, the heaviest first, of the recipients seen here. One that is damaged is shown as it is."""
    recipients = None if deliveries is None else [item.recipient for item in deliveries]
    is_one = recipients is None or len(set(recipients)) < 2
    explained = explain(found if isinstance(found, (list, tuple)) else (), recipients)
    scores = ["" if each.is_ruling or each.symbol == "?" else f"{each.score:+g}" for each in explained]
    pairs = zip(explained, scores, strict=True)
    return tuple(Finding(each.symbol, each.text, each.detail, score, "" if is_one else each.recipient) for each, score in pairs)


def _route(detail: Mapping[str, Any]) -> Iterator[str]:
    address, port = detail.get("address"), detail.get("port")
    if address:
        yield f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}" if port else str(address)
    if "tls" in detail and address:
        if not detail["tls"]:
            # Before there was a conversation, that it was not encrypted says nothing.
            if str(detail.get("reason")) not in UNSPOKEN:
                yield "no encryption"
        else:
            yield f"{detail['tls']}, certificate {'verified' if detail.get('verified') else 'not verified'}"
    if address and isinstance(detail.get("duration"), (int, float)):
        yield span(detail["duration"])


def _asked(message: Any) -> str:
    """The SMTP extensions the sender used (RFC 6531, 6152, 3461, 8689)."""
    extensions = (("SMTPUTF8", message.smtputf8), ("8BITMIME", message.body == "8BITMIME"), ("REQUIRETLS", message.requiretls))
    asked = [name for name, wanted in extensions if wanted]
    return ", ".join(asked + ([f"RET={message.ret}"] if message.ret else []) + ([f"ENVID={message.envid}"] if message.envid else []))
