"""message show | raw: one message, what became of it for each recipient, and its octets while they are kept."""

from __future__ import annotations

import argparse
from typing import Any

from jetmail.actions import messages, people, reports
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.log import status_word
from jetmail.cli.parser import OK, Commands
from jetmail.errors import NotFoundError
from jetmail.mail.status import Status
from jetmail.store.traffic.messages import DeliveryRow, Event

_HIDDEN = frozenset({"text", "delivery_id"})


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("message", "one message", "message show 19f3a1c02b4d5e6f7a8b")
    parser = family.add("show", show, "show a message: envelope, findings, every recipient, every step", "message show 19f3a1c02b4d5e6f7a8b")
    parser.add_argument("uid", metavar="UID", help="as `log` and `queue list` print it")
    parser = family.add(
        "raw",
        raw,
        "write the message as a destination gets it to standard output",
        "message raw 19f3a1c02b4d5e6f7a8b > message.eml",
        json=False,
        details="Its content is kept as long as a recipient waits or is quarantined, not longer.",
    )
    parser.add_argument("uid", metavar="UID", help="as `log` and `queue list` print it")


def show(context: Context, arguments: argparse.Namespace) -> int:
    """Everything but the content."""
    shown = settled(messages.show(context.db, context.actor, arguments.uid))
    if arguments.json:
        output.json_line(
            context.out, {**output.plain(shown.message), "deliveries": shown.deliveries, "timeline": shown.timeline, "has_content": shown.has_content}
        )
        return OK
    message = shown.message
    output.pairs(
        context.out,
        [
            ("uid", message.uid),
            ("received", output.when(message.received)),
            ("direction", message.direction),
            *([("user", _user(context, message.user))] if message.user else []),
            ("from", message.sender or "<>"),
            ("header from", message.header_from),
            ("subject", message.subject),
            ("message-id", message.message_id),
            ("size", output.size(message.size) + ("" if shown.has_content else " (content no longer kept)")),
            ("client", f"{message.client_address}:{message.client_port} {message.helo} {message.tls or 'no TLS'}"),
            ("score", "-" if message.score is None else f"{message.score:.1f}"),
            ("response", message.response),
        ],
    )
    if message.user:
        # Recipients refused at RCPT, and the message itself.
        words = [row.reason for row in shown.deliveries if row.status not in (Status.QUEUED, Status.DELIVERED) and not row.attempts]
        output.pairs(context.out, [("advice", advice) for advice in dict.fromkeys(map(reports.advice, words)) if advice])
    for finding in shown.findings:
        output.pairs(context.out, [("finding", " ".join(f"{key}={value}" for key, value in finding.items() if value != ""))])
    print(file=context.out)
    output.table(
        context.out, ("to", "status", "tries", "next", "reason", "reply"), [_cells(row, context) for row in shown.deliveries], keep=("status", "next")
    )
    print(file=context.out)
    recipients = {row.id: row.recipient for row in shown.deliveries}
    output.table(
        context.out, ("time", "step", "recipient", "detail"), [_step(event, recipients, context) for event in shown.timeline], keep=("time", "step")
    )
    return OK


def _user(context: Context, uuid: str) -> str:
    try:
        return f"{settled(people.name_of(context.db, context.actor, uuid))} {uuid}"
    except NotFoundError:
        return f"(deleted) {uuid}"


def raw(context: Context, arguments: argparse.Namespace) -> int:
    """The octets."""
    pieces = settled(messages.raw(context.db, context.actor, arguments.uid, context.spool))
    binary: Any = getattr(context.out, "buffer", None)
    for piece in pieces:
        if binary is not None:
            binary.write(piece)
        else:
            context.out.write(piece.decode("utf-8", "surrogateescape"))
    return OK


def _cells(row: DeliveryRow, context: Context) -> tuple[object, ...]:
    following = context.when(row.next_attempt) if row.status == Status.QUEUED and not row.held else "-"
    return row.recipient, status_word(row.status, row.held), row.attempts, following, row.reason or "-", row.reply


def _step(event: Event, recipients: dict[int, str], context: Context) -> tuple[object, ...]:
    given: dict[str, object] = {}
    for key, value in event.detail.items():
        given.update(value if isinstance(value, dict) else {key: value})
    detail = "  ".join(f"{key}={value}" for key, value in given.items() if value not in ("", None, False) and key not in _HIDDEN)
    return context.when(event.at), event.kind, recipients.get(event.delivery_id or 0, "-"), detail
