"""log: every message that came, searched by what people know of it (spec 1.3)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

from jetmail.actions import logsearch
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands, count, moment
from jetmail.errors import UsageError
from jetmail.mail.status import Status
from jetmail.store.traffic.search import Criteria, LogRow

HEADINGS = ("received", "uid", "status", "from", "to", "subject")
KEEP = ("received", "uid", "status")
FOLLOW_SECONDS = 1.0
_TEXTS = {  # option -> (Criteria field, help)
    "--subject": ("subject", "part of the subject"),
    "--from": ("sender", "part of the sender's address, in the envelope or the header"),
    "--to": ("recipient", "part of a recipient's address"),
    "--uid": ("uid", "the message's uid, exactly"),
    "--domain": ("domain", "the recipient's domain, exactly"),
    "--response": ("response", "part of what jetmail answered to the client (inbound response)"),
    "--reply": ("reply", "part of what the destination answered (outbound, delivery response)"),
    "--user": ("user", "the SMTP user who submitted it, exactly"),
    "--host": ("host", "part of the host's name at either end: what the client said, where it was delivered"),
    "--ip": ("address", "the IP address at either end, exactly"),
}


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add(
        "log",
        log,
        "search the messages that came, newest first: every one, refused ones too",
        ["log --to alice@example.org --since 2d", 'log --status rejected --status blocked --reply "mailbox full" --json'],
        details="Text is matched as a part, upper and lower case alike; all fields must match; --status may be repeated.",
    )
    for option, (field, text) in _TEXTS.items():
        parser.add_argument(option, dest=field, default="", metavar="TEXT", help=text)
    parser.add_argument(
        "--status", action="append", default=[], choices=[status.value for status in Status], type=str.lower, help="one of the seven statuses"
    )
    parser.add_argument("--direction", default="", choices=["inbound", "outbound"], help="mail for our domains, or mail our users send")
    parser.add_argument("--since", type=moment, metavar="WHEN", help="from this time on: 2026-11-20, '2026-11-20 07:30' or 2h (ago)")
    parser.add_argument("--until", type=moment, metavar="WHEN", help="before this time")
    parser.add_argument("--score-min", type=float, metavar="N", help="spam score of at least N")
    parser.add_argument("--score-max", type=float, metavar="N", help="spam score of at most N")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="rows to show (100)")
    parser.add_argument("--after", default="", metavar="CURSOR", help="go on behind the cursor an earlier page ended with")
    parser.add_argument("--follow", action="store_true", help="then go on and show new messages as they come, until interrupted")
    parser.add_argument("--wide", action="store_true", help="also size, score, attempts, next attempt, reason and the last reply")


def log(context: Context, arguments: argparse.Namespace) -> int:
    """Search."""
    now = context.seconds()
    since, until = _at(arguments.since, now), _at(arguments.until, now)
    if since is not None and until is not None and since > until:
        raise UsageError("--since", "is later than --until")
    texts = {field: getattr(arguments, field) for field, _ in _TEXTS.values()}
    criteria = Criteria(
        **texts,
        status=tuple(arguments.status),
        direction=arguments.direction,
        date_from=since,
        date_to=until,
        score_min=arguments.score_min,
        score_max=arguments.score_max,
    )
    rows, following = _rows(context, criteria, arguments.limit, arguments.after)
    if arguments.follow:
        rows.reverse()
    context.show(
        rows,
        (*HEADINGS, *_WIDE) if arguments.wide else HEADINGS,
        partial(_wide_cells if arguments.wide else cells, when=context.when),
        "no message matches",
        KEEP,
    )
    if following and not arguments.json and not arguments.follow:
        print(f"jetmail: more: --after {following}", file=context.err)
    if arguments.follow:
        seen = max((row.message_id for row in rows), default=0)
        for row in _new_rows(context, criteria, seen):
            if arguments.json:
                output.json_line(context.out, row)
            else:
                print("  ".join(output.clean(cell) for cell in cells(row, context.when)), file=context.out)
            context.out.flush()
    return OK


def cells(row: LogRow, when: Callable[[float | None], str]) -> tuple[object, ...]:
    """A row of the table."""
    return when(row.received), row.uid, status_word(row.status, row.held), row.sender or "<>", row.recipient or "-", row.subject


_WIDE = ("size", "score", "attempts", "next attempt", "reason", "reply")


def _wide_cells(row: LogRow, when: Callable[[float | None], str]) -> tuple[object, ...]:
    score = "-" if row.score is None else f"{row.score:.1f}"
    following = when(row.next_attempt) if row.status == Status.QUEUED else "-"
    return (*cells(row, when), output.size(row.size), score, row.attempts, following, row.reason or "-", row.last_word)


def status_word(status: str, held: bool) -> str:
    """The status as people read it; a held delivery says so, and one refused as spam of which a copy is kept."""
    return Status(status).label + ((" (kept)" if status == Status.SPAM else " (held)") if held else "")


def _at(given: tuple[str, float] | None, now: float) -> float | None:
    if given is None:
        return None
    kind, value = given
    return now - value if kind == "ago" else value


def _rows(context: Context, criteria: Criteria, limit: int, after: str = "") -> tuple[list[LogRow], str]:
    """Up to `limit` rows over as many pages as that takes, and where to go on."""
    rows: list[LogRow] = []
    while len(rows) < limit:
        page = settled(logsearch.search(context.db, context.actor, criteria, limit=min(limit - len(rows), logsearch.MAX_LIMIT), after=after))
        rows += page.rows
        after = page.next
        if not after:
            break
    return rows, after


def _new_rows(context: Context, criteria: Criteria, seen: int) -> Iterator[LogRow]:
    while True:
        time.sleep(FOLLOW_SECONDS)
        rows, _ = _rows(context, criteria, logsearch.MAX_LIMIT)
        fresh = sorted((row for row in rows if row.message_id > seen), key=lambda row: (row.message_id, row.delivery_id))
        yield from fresh
        seen = max([seen, *(row.message_id for row in fresh)])
