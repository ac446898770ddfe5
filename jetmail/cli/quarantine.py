"""quarantine list | show | release | delete: what was held back, and what people decide about it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Any

from jetmail import host
from jetmail.actions import quarantine
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.log import status_word
from jetmail.cli.parser import FAILED, OK, Commands, Parser, age, count
from jetmail.errors import UsageError
from jetmail.store.traffic.quarantine import Kept, Wanted

HEADINGS = ("id", "uid", "kept", "score", "from", "to", "subject")
_ID = re.compile(r"[1-9]\d{0,17}")
_UID = re.compile(r"[0-9a-f]{20}")


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("quarantine", "mail held back for its score", "quarantine list --recipient alice@example.org")
    parser = family.add(
        "list",
        listing,
        "list what is held back, newest first",
        ["quarantine list", "quarantine list --recipient alice@example.org --older-than 7d --json"],
        details="Refused spam is here too where its domain keeps a copy (domain set --keep-spam yes).",
    )
    _selection(parser)
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="rows to show (100)")
    parser = family.add(
        "show",
        show,
        "show what is known of some of it",
        "quarantine show 17",
        details="`message show UID` has its findings and timeline, `message raw UID` its octets.",
    )
    parser.add_argument("id", nargs="+", metavar="ID", help="a delivery's id, or a message's uid")
    parser = family.add(
        "release",
        release,
        "deliver what was held back, without judging it again",
        ["quarantine release 17", "quarantine release 19f3a1c02b4d5e6f7a8b --train", "quarantine release --sender partner.example"],
        details=(
            "It goes to the queue with its original envelope and five days of its own. An ID releases one recipient, a UID all recipients\n"
            "of the message that are held; nobody can release twice."
        ),
    )
    _selection(parser)
    parser.add_argument("--train", action="store_true", help="also learn that this is no spam, for its recipients")
    parser = family.add(
        "delete",
        delete,
        "give up what was held back: nobody is told",
        ["quarantine delete 17", "quarantine delete --older-than 7d --score-min 10"],
        details="The log keeps its row. Without it, mail is given up after quarantine_days ([store] in jetmail.toml).",
        yes=True,
    )
    _selection(parser)


def _selection(parser: Parser) -> None:
    parser.add_argument("id", nargs="*", metavar="ID", help="deliveries by id, or messages by uid")
    parser.add_argument("--recipient", default="", metavar="ADDRESS", help="to this address, with any tag or by an alias too")
    parser.add_argument("--sender", default="", metavar="TEXT", help="part of the sender's address, in the envelope or the header")
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="whose recipient is at this domain")
    parser.add_argument("--text", default="", metavar="TEXT", help="part of sender, recipient or subject")
    parser.add_argument("--older-than", type=age, default=0.0, metavar="AGE", help="held longer than 2h, 7d")
    parser.add_argument("--score-min", type=float, metavar="N", help="spam score of at least N")
    parser.add_argument("--score-max", type=float, metavar="N", help="spam score of at most N")


def _wanted(arguments: argparse.Namespace) -> Wanted:
    ids, uids = [], []
    for text in arguments.id:
        if _UID.fullmatch(text):
            uids.append(text)
        elif _ID.fullmatch(text):
            ids.append(int(text))
        else:
            raise UsageError("ID", f"'{text}' is neither a delivery's id nor a message's uid")
    if ids and uids:
        raise UsageError("ID", "ids and uids cannot be mixed")
    given: dict[str, Any] = {name: getattr(arguments, name, "") for name in ("recipient", "sender", "domain", "text")}
    score_min, score_max = getattr(arguments, "score_min", None), getattr(arguments, "score_max", None)
    return Wanted(tuple(ids), tuple(uids), older_than=getattr(arguments, "older_than", 0.0), score_min=score_min, score_max=score_max, **given)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """What is held."""
    rows = _rows(context, _wanted(arguments), arguments.limit)
    context.show(rows, HEADINGS, partial(_cells, context), "nothing is held", ("id", "uid", "kept", "score"))
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """Some of it."""
    rows = list(_rows(context, _wanted(arguments), quarantine.MAX_LIMIT))
    for number, row in enumerate(rows):
        if number:
            context.say("")
        context.show_one(row, _items(context, row))
    if not rows:
        print(f"jetmail: ID: nothing in the quarantine is {', '.join(arguments.id)}", file=context.err)
    return OK if rows else FAILED


def release(context: Context, arguments: argparse.Namespace) -> int:
    """Let go."""
    now = context.seconds()
    train = _trainer(context, now) if arguments.train else None
    done = settled(quarantine.release(context.db, context.actor, _wanted(arguments), now=now, train=train))
    context.changed()
    return _done(context, "released", done)


def delete(context: Context, arguments: argparse.Namespace) -> int:
    """Give up."""
    wanted, now = _wanted(arguments), context.seconds()
    number = settled(quarantine.count(context.db, context.actor, wanted, now=now)) if not wanted.is_empty else 0
    if number and not context.confirm(f"Delete {number} held deliver{'y' if number == 1 else 'ies'}?"):
        return FAILED
    done = settled(quarantine.delete(context.db, context.actor, wanted, now=now, store=context.spool))
    context.changed()
    return _done(context, "deleted", done)


def _trainer(context: Context, now: float) -> quarantine.Train:
    from jetmail.actions import training  # here, not above: it brings numpy, which no other command of this family needs

    hostname = context.config.server.hostname or host.full_hostname()

    def train(item: Kept) -> Awaitable[object]:
        return training.train_stored(context.db, context.actor, item.uid, False, item.recipient, now=now, store=context.spool, hostname=hostname)

    return train


def _done(context: Context, verb: str, done: list[Kept]) -> int:
    context.show_one({"verb": verb, "count": len(done), "ids": [item.id for item in done]}, [(verb, len(done))])
    if not done:
        print("jetmail: selection: nothing in the quarantine is selected", file=context.err)
    return OK


def _rows(context: Context, wanted: Wanted, limit: int) -> Iterator[Kept]:
    """Page by page."""
    before = 0
    while limit > 0:
        size = min(limit, quarantine.MAX_LIMIT)
        page = settled(quarantine.listing(context.db, context.actor, wanted, now=context.seconds(), limit=size, before=before))
        yield from page
        limit -= len(page)
        if len(page) < size:
            return
        before = page[-1].id


def _cells(context: Context, row: Kept) -> tuple[object, ...]:
    held = output.span(context.seconds() - row.kept_since)
    return row.id, row.uid, held, _score(row), row.header_from or row.sender or "<>", row.recipient, row.subject


def _items(context: Context, row: Kept) -> list[tuple[str, object]]:
    return [
        ("id", row.id),
        ("message", row.uid),
        ("status", status_word(row.status, row.status == "spam")),
        ("from", row.sender or "<>"),
        ("header from", row.header_from),
        ("to", row.recipient),
        ("goes to", row.target),
        ("subject", row.subject),
        ("score", _score(row)),
        ("reason", row.reason),
        ("size", output.size(row.size)),
        ("held since", f"{output.when(row.kept_since)} ({output.span(context.seconds() - row.kept_since)})"),
    ]


def _score(row: Kept) -> str:
    return "-" if row.score is None else f"{row.score:.1f}"
