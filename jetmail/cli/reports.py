"""reports list | show | sources: what others report about our domains, DMARC and TLS (docs/reports.md)."""

from __future__ import annotations

import argparse

from jetmail.actions import aggregates
from jetmail.actions.aggregates import Opened, rate
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands, Parser, count, moment
from jetmail.store.traffic.aggregates import Report


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("reports", "what others report about our domains: DMARC and TLS", "reports sources --domain example.org --since 7d")
    parser = family.add("list", listing, "list reports, newest first", ["reports list", "reports list --kind tls --since 2d --json"])
    _filters(parser, aggregates.KINDS)
    parser.add_argument("--after", type=int, default=0, metavar="ID", help="go on behind this id")
    parser = family.add("show", show, "show one report with all it counts", "reports show 17")
    parser.add_argument("id", type=int, metavar="ID", help="its number in the list")
    parser = family.add(
        "sources",
        sources,
        "sum what reports count by source, those with the most failures first",
        ["reports sources --domain example.org", "reports sources --kind dmarc --since 30d --json"],
        details="A source is the address mail came from. Sessions that reports count without one have none.",
    )
    _filters(parser, aggregates.KINDS[:2])


def _filters(parser: Parser, kinds: tuple[str, ...]) -> None:
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="about this domain of ours, or a name below one")
    parser.add_argument("--kind", choices=kinds, default="", help="only those")
    parser.add_argument("--since", type=moment, metavar="WHEN", help="taken in from this time on: 2026-11-20, '2026-11-20 07:30' or 2h (ago)")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="at most that many (100)")


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """Many."""
    rows = settled(
        aggregates.listing(
            context.db, context.actor, domain=arguments.domain, kind=arguments.kind, since=_since(context, arguments), after=arguments.after,
            limit=arguments.limit,
        )
    )  # fmt: skip
    context.show(
        rows,
        ("id", "came", "kind", "about", "by", "passed", "failed", "rate"),
        lambda row: (
            row.id, context.when(row.at), row.kind, row.domain or "-", row.organization or row.author or row.client,
            *((row.passed, row.failed, _percent(row.passed, row.failed)) if row.kind != "fault" else ("-", "-", row.reason)),
        ),
        "no reports",
        keep=("about",),
    )  # fmt: skip
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One."""
    opened: Opened = settled(aggregates.show(context.db, context.actor, arguments.id))
    items = _items(context, opened.report)
    items += [
        ("passed" if row.passed else "FAILED", "  ".join(str(part) for part in (row.amount, row.source, row.host, row.policy, row.result) if part))
        for row in opened.rows
    ]
    context.show_one(opened, items)
    return OK


def sources(context: Context, arguments: argparse.Namespace) -> int:
    """Summed."""
    rows = settled(
        aggregates.sources(
            context.db, context.actor, domain=arguments.domain, kind=arguments.kind, since=_since(context, arguments), limit=arguments.limit
        )
    )
    context.show(
        rows,
        ("kind", "domain", "source", "passed", "failed", "rate", "reports", "what failed"),
        lambda row: (
            row.kind, row.domain, row.source or "-", row.passed, row.failed, _percent(row.passed, row.failed), row.reports,
            "; ".join(row.results) or "-",
        ),
        "no reports",
        keep=("source",),
    )  # fmt: skip
    return OK


def _items(context: Context, report: Report) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [("id", report.id), ("kind", report.kind), ("came", context.when(report.at)), ("message", report.message)]
    items += [("from", f"{report.author or '-'} at {report.client or '-'}")]
    if report.kind == "fault":
        return [*items, ("reason", report.reason)]
    return [
        *items, ("about", report.domain), ("reporter", f"{report.organization} {report.contact}".strip()), ("report id", report.report_id),
        ("period", f"{context.when(report.begins)} to {context.when(report.ends)}"), ("policy", report.policy or "-"),
        ("rate", f"{_percent(report.passed, report.failed)} of {report.passed + report.failed}"),
    ]  # fmt: skip


def _percent(passed: int, failed: int) -> str:
    found = rate(passed, failed)
    return "-" if found is None else f"{found:g}%"


def _since(context: Context, arguments: argparse.Namespace) -> float:
    if arguments.since is None:
        return 0.0
    kind, value = arguments.since
    return float(context.seconds() - value if kind == "ago" else value)
