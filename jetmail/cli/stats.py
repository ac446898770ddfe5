"""stats: the queue, its destinations, what became of recent mail, the size of the store, in figures."""

from __future__ import annotations

import argparse

from jetmail.actions import stats
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands, age
from jetmail.mail.status import Status


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add("stats", show, "the appliance in figures", ["stats", "stats --period 7d --json"])
    parser.add_argument("--period", type=age, default=stats.DAY, metavar="AGE", help="count mail that came within it (1d)")


def show(context: Context, arguments: argparse.Namespace) -> int:
    """Figures."""
    now = context.seconds()
    seen = settled(stats.overview(context.db, context.actor, now=now, period=arguments.period))
    if arguments.json:
        output.json_line(context.out, seen)
        return OK
    items: list[tuple[str, object]] = [
        (f"{Status(word).label.lower()}, last {output.span(seen.period)}", count) for word, count in seen.status.items()
    ]
    if seen.queue is not None:
        items += [("in the queue", seen.queue.queued), ("held", seen.queue.held)]
        items.append(("oldest waits", output.span(now - seen.queue.oldest) if seen.queue.oldest is not None else "-"))
    if seen.sizes is not None:
        items.append(("store", f"{output.size(seen.sizes.file)}, {output.size(seen.sizes.free)} of it free"))
        items.append(("contents", f"{seen.sizes.contents}, {output.size(seen.sizes.content)}"))
    output.pairs(context.out, items)
    if seen.lanes:
        print(file=context.out)
        output.table(
            context.out,
            ("destination", "waiting", "held", "oldest", "next", "down since", "reason"),
            [
                (
                    lane.destination,
                    lane.queued,
                    lane.held,
                    output.span(now - lane.oldest),
                    context.when(lane.next_attempt),
                    context.when(lane.down_since),
                    lane.reason,
                )
                for lane in seen.lanes
            ],
        )
    return OK
