"""source add | list | show | set | remove | assign | unassign | warmup: the addresses mail leaves from, and how much a day while they are new."""

from __future__ import annotations

import argparse
from typing import Any

from jetmail.actions import sources
from jetmail.actions.sources import Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, count
from jetmail.mail import warmup
from jetmail.store.directory.sources import OVERFLOWS

_ORDER = "The source of a sender's domain (or the nearest above it) comes before that of its account, and that before source_ipv4 in [delivery]."


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("source", "source addresses: where mail leaves from, for whom, and how much a day", "source list")
    parser = family.add(
        "add",
        add,
        "make a source",
        [
            "source add out1 --ipv4 192.0.2.10 --hostname out1.example.org",
            "source add out2 --ipv4 192.0.2.11 --warm-up 2026-11-20 --overflow wait",
        ],
        details=f"Nothing leaves from it before it is assigned (`source assign`).\n{_ORDER}",
    )
    parser.add_argument("name", metavar="NAME", help="what to call it")
    _settings(parser)
    family.add("list", listing, "list the sources with today's counts", "source list --json")
    parser = family.add("show", show, "show a source", "source show out1")
    parser.add_argument("name", metavar="NAME", help="which")
    parser = family.add("set", change, "change what is given, keep the rest", ["source set out1 --warm-up no", "source set out2 --enabled no"])
    parser.add_argument("name", metavar="NAME", help="which")
    _settings(parser)
    parser.add_argument("--enabled", choices=("yes", "no"), help="no: as if it were assigned to nobody")
    parser = family.add("remove", remove, "remove a source; its mail leaves from the default then", "source remove out1", yes=True)
    parser.add_argument("name", metavar="NAME", help="which")
    examples = ["source assign out1 --domain example.org", "source assign out2 --account acme"]
    parser = family.add("assign", assign, "let mail leave from a source", examples, details=_ORDER)
    parser.add_argument("name", metavar="NAME", help="which")
    _whose(parser)
    parser = family.add("unassign", unassign, "take that back", "source unassign --domain example.org")
    _whose(parser)
    parser = family.add(
        "warmup",
        days,
        "what left from a source by UTC day, and what might",
        "source warmup out2",
        details="Curves: " + "; ".join(f"{name} {' '.join(map(str, counts))}" for name, counts in warmup.CURVES.items()) + ".",
    )
    parser.add_argument("name", metavar="NAME", help="which")
    parser.add_argument("--limit", type=count, default=30, metavar="N", help="days to show (30)")


def _settings(parser: Parser) -> None:
    parser.add_argument("--ipv4", metavar="ADDRESS", help="IPv4 address of this machine; '' for none")
    parser.add_argument("--ipv6", metavar="ADDRESS", help="IPv6 address of this machine; '' for none")
    parser.add_argument("--hostname", metavar="NAME", help="what EHLO says, best the address's reverse name; '' for server.hostname")
    parser.add_argument("--warm-up", metavar="DAY", dest="started", help="day 1 of its warm-up in UTC, such as 2026-11-20; no: none")
    parser.add_argument("--curve", metavar="CURVE", help=f"messages a day: {', '.join(warmup.CURVES)}, or a list such as 50,100,200 (default)")
    parser.add_argument("--overflow", choices=OVERFLOWS, help="what is over the limit leaves from the default, or waits for the next day (default)")


def _whose(parser: Parser) -> None:
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--domain", default="", metavar="DOMAIN", help="mail whose sender is of that domain")
    whose.add_argument("--account", default="", metavar="ACCOUNT", help="mail of the users of that account, by name or number")


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {field: value for field in sources.FIELDS if (value := getattr(arguments, field, None)) is not None}
    if given.get("started") == "no":
        given["started"] = ""
    if "enabled" in given:
        given["enabled"] = given["enabled"] == "yes"
    return given


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new source."""
    return _changed(context, settled(sources.add(context.db, context.actor, arguments.name, _given(arguments), now=context.seconds())))


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Other settings."""
    return _changed(context, settled(sources.change(context.db, context.actor, arguments.name, _given(arguments), now=context.seconds())))


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    rows = settled(sources.listing(context.db, context.actor, now=context.seconds()))
    context.show(
        rows,
        ("source", "ipv4", "ipv6", "ehlo", "enabled", "day", "today", "limit", "for"),
        lambda shown: (
            shown.name, shown.ipv4 or "-", shown.ipv6 or "-", shown.hostname or "-", "yes" if shown.enabled else "no", shown.day or "-", shown.sent,
            _limit(shown.limit), ", ".join(_for(shown)) or "-",
        ),
        "all mail leaves from the default",
        keep=("source", "day", "today", "limit"),
    )  # fmt: skip
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One source."""
    return _shown(context, settled(sources.show(context.db, context.actor, arguments.name, now=context.seconds())))


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Forget it."""
    if not context.confirm(f"Remove the source {arguments.name}?"):
        return FAILED
    gone = settled(sources.remove(context.db, context.actor, arguments.name, now=context.seconds()))
    context.changed()
    context.show_one(gone, [("removed", gone.name)])
    return OK


def assign(context: Context, arguments: argparse.Namespace) -> int:
    """Whose mail leaves from it."""
    made = settled(
        sources.assign(context.db, context.actor, arguments.name, now=context.seconds(), domain=arguments.domain, account=arguments.account)
    )
    context.changed()
    context.show_one(made._asdict(), [("source", made.source), (made.scope, arguments.domain or arguments.account)])
    return OK


def unassign(context: Context, arguments: argparse.Namespace) -> int:
    """And no longer."""
    gone = settled(sources.unassign(context.db, context.actor, now=context.seconds(), domain=arguments.domain, account=arguments.account))
    context.changed()
    context.show_one(gone._asdict(), [("no longer from", gone.source), (gone.scope, arguments.domain or arguments.account)])
    return OK


def days(context: Context, arguments: argparse.Namespace) -> int:
    """By day."""
    rows = settled(sources.warmup_days(context.db, context.actor, arguments.name, now=context.seconds(), limit=arguments.limit))
    context.show(rows, ("day", "number", "sent", "limit"), lambda day: (day.day, day.number or "-", day.sent, _limit(day.limit)))
    return OK


def _changed(context: Context, shown: Shown) -> int:
    context.changed()
    return _shown(context, shown)


def _shown(context: Context, shown: Shown) -> int:
    context.show_one(
        shown,
        [
            ("source", shown.name),
            ("ipv4", shown.ipv4 or "-"),
            ("ipv6", shown.ipv6 or "-"),
            ("ehlo", shown.hostname or "(server.hostname)"),
            ("enabled", "yes" if shown.enabled else "no"),
            ("warm-up", f"from {shown.started}, curve {shown.curve}; over the limit: {shown.overflow}" if shown.started else "none"),
            ("day", shown.day or "-"),
            ("sent today", shown.sent),
            ("limit today", _limit(shown.limit)),
            ("for", ", ".join(_for(shown)) or "nobody: see source assign"),
            ("made", output.when(shown.created)),
        ],
    )
    return OK


def _limit(limit: int | None) -> object:
    return "none" if limit is None else limit


def _for(shown: Shown) -> list[str]:
    return [*shown.domains, *(f"account {name}" for name in shown.accounts)]
