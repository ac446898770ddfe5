"""queue list | show | reasons | retry | hold | unhold | bounce | delete: what waits for delivery, why, and what people do about it. The commands of
the same family about destinations are destinations.py's."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from jetmail.actions import queue
from jetmail.cli import destinations, output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, age, count
from jetmail.errors import UsageError
from jetmail.store.traffic.administration import Queued, Selection
from jetmail.store.traffic.deliveries import COOLING

HEADINGS = ("id", "from", "to", "waits", "tries", "next", "reason")
VERBS = {  # verb -> (help, done, asks first)
    "retry": ("try to deliver at once", "will be tried at once", False),
    "hold": ("do not deliver and do not return until unhold", "held", False),
    "unhold": ("deliver again what was held; its five days start anew", "released", False),
    "bounce": ("give up: return to the sender with a report", "will be returned", True),
    "delete": ("give up silently: nobody is told", "deleted", True),
}
_ID = re.compile(r"[1-9]\d{0,17}")
_UID = re.compile(r"[0-9a-f]{20}")


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("queue", "the queue: what waits, and why", "queue list --destination example.org")
    parser = family.add(
        "list", listing, "list what waits, newest first", ["queue list", "queue list --destination example.org --older-than 4h --json"]
    )
    _selection(parser)
    parser.add_argument("--held", action="store_true", help="only what is held")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="rows to show (100)")
    parser.add_argument("--wide", action="store_true", help="also uid, subject, size, destination, last reply")
    parser = family.add("show", show, "show one delivery with everything known of it", "queue show 17")
    parser.add_argument("id", nargs="+", metavar="ID", help="a delivery's id, or a message's uid")
    parser = family.add("reasons", reasons, "count what waits by destination and reason", "queue reasons")
    _selection(parser)
    for verb, (text, _, asks) in VERBS.items():
        parser = family.add(
            verb,
            partial(change, verb=verb),
            text,
            [f"queue {verb} 17", f"queue {verb} --destination example.org --older-than 2h"],
            yes=asks,
            details="All that is selected: by ids, or by everything that meets all options given.",
        )
        _selection(parser)
        parser.add_argument("--all", action="store_true", help="the whole queue")
    destinations.declare(family)


def _selection(parser: Parser) -> None:
    parser.add_argument("id", nargs="*", metavar="ID", help="deliveries by id, or messages by uid")
    parser.add_argument("--recipient", default="", metavar="ADDRESS", help="to this address")
    parser.add_argument("--sender", default="", metavar="ADDRESS", help="from this address")
    parser.add_argument("--destination", default="", metavar="DOMAIN", help="that goes to this domain (after aliases)")
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="whose recipient is at this domain")
    parser.add_argument("--older-than", type=age, default=0.0, metavar="AGE", help="in the queue longer than 30m, 2h, 5d")
    parser.add_argument("--reason", default="", metavar="WORD", help="whose last failure has this reason: dns, connect, tls, timeout, deferred, ...")


def _selected(arguments: argparse.Namespace, everything: bool = False, held: bool | None = None) -> Selection:
    ids, uids = [], []
    for text in arguments.id:
        if _UID.fullmatch(text):
            uids.append(text)
        elif _ID.fullmatch(text):
            ids.append(int(text))
        else:
            raise UsageError("ID", f"'{text}' is neither a delivery's id nor a message's uid")
    given: dict[str, Any] = {name: getattr(arguments, name, "") for name in ("recipient", "sender", "destination", "domain", "reason")}
    return Selection(tuple(ids), tuple(uids), older_than=getattr(arguments, "older_than", 0.0), held=held, everything=everything, **given)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """What waits."""
    now = context.seconds()
    rows = _rows(context, _selected(arguments, everything=True, held=True if arguments.held else None), now, arguments.limit)
    headings = (*HEADINGS, "uid", "subject", "size", "destination", "reply") if arguments.wide else HEADINGS
    context.show(rows, headings, partial(_cells, now=now, is_wide=arguments.wide), "nothing waits", ("id", "waits", "tries", "next"))
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """Single deliveries."""
    now = context.seconds()
    rows = list(_rows(context, _selected(arguments), now, queue.MAX_LIMIT))
    for number, row in enumerate(rows):
        if number:
            context.say("")
        context.show_one(row, _items(row, now))
    if not rows:
        print(f"jetmail: ID: nothing in the queue is {', '.join(arguments.id)}", file=context.err)
    return OK if rows else FAILED


def reasons(context: Context, arguments: argparse.Namespace) -> int:
    """Why the queue is as long as it is."""
    found = settled(queue.reasons(context.db, context.actor, _selected(arguments, everything=True), now=context.seconds()))
    rows = [{"destination": destination, "reason": reason, "count": number} for destination, reason, number in found]
    context.show(rows, ("destination", "reason", "count"), lambda row: (row["destination"], row["reason"] or "-", row["count"]), "nothing waits")
    return OK


def change(context: Context, arguments: argparse.Namespace, verb: str) -> int:
    """Do `verb` to what is selected."""
    now = context.seconds()
    selection = _selected(arguments, everything=arguments.all)
    if selection.is_empty and not selection.everything:
        raise UsageError("selection", "says nothing; name IDs or --recipient, --destination, --older-than ..., or say --all")
    if VERBS[verb][2]:
        number = settled(queue.count(context.db, context.actor, selection, now=now))
        if number and not context.confirm(f"{verb.capitalize()} {number} deliver{'y' if number == 1 else 'ies'}?"):
            return FAILED
    done = settled(queue.change(context.db, context.actor, verb, selection, now=now, store=context.spool))
    context.changed()
    context.show_one({"verb": verb, "count": done}, [(VERBS[verb][1], done)])
    if not done:
        print(f"jetmail: selection: nothing in the queue to {verb}", file=context.err)
    return OK if done or not arguments.id else FAILED


def _rows(context: Context, selection: Selection, now: float, limit: int) -> Iterator[Queued]:
    """Page by page, so that a queue of a hundred thousand is never in memory at once."""
    before = 0
    while limit > 0:
        page = settled(queue.listing(context.db, context.actor, selection, now=now, limit=min(limit, queue.MAX_LIMIT), before=before))
        yield from page
        limit -= len(page)
        if len(page) < queue.MAX_LIMIT:
            return
        before = page[-1].id


def _cells(row: Queued, now: float, is_wide: bool) -> tuple[object, ...]:
    cells = (row.id, row.sender or "<>", row.recipient, output.span(now - row.queued), row.attempts, _next(row, now), _reason(row))
    return (*cells, row.uid, row.subject, output.size(row.size), row.destination, _reply(row)) if is_wide else cells


def _next(row: Queued, now: float) -> str:
    if row.held:
        return "held"
    if row.suspended:
        return "suspended"
    return "now" if row.next_attempt <= now else "in " + output.span(row.next_attempt - now)


def _reply(row: Queued) -> str:
    return row.lane_reply if row.lane_reason == COOLING else row.reply or row.lane_reply


def _reason(row: Queued) -> str:
    return COOLING if row.lane_reason == COOLING else row.reason or row.lane_reason or "-"


def _items(row: Queued, now: float) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [
        ("id", row.id),
        ("message", row.uid),
        ("from", row.sender or "<>"),
        ("to", row.recipient),
        ("goes to", row.target),
        ("destination", row.destination),
        ("subject", row.subject),
        ("size", output.size(row.size)),
        ("received", output.when(row.received)),
        ("queued", f"{output.when(row.queued)} ({output.span(now - row.queued)})"),
        ("attempts", row.attempts),
        ("next attempt", "held" if row.held else f"{output.when(row.next_attempt)} ({_next(row, now)})"),
        ("last reason", _reason(row)),
        ("last reply", row.reply or "-"),
    ]
    if row.lane_reason == COOLING:
        items.append(("waits because", row.lane_reply))
    elif row.lane_reason:
        items.append(("destination is down", f"{row.lane_reason}: {row.lane_reply}"))
    return items
