"""queue destinations | suspend | resume: what is down, cooling, recovering or suspended, and people's say in it."""

from __future__ import annotations

import argparse
from functools import partial

from jetmail.actions import destinations
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands
from jetmail.errors import UsageError
from jetmail.outbound import providers
from jetmail.store.traffic.sites import Trouble

HEADINGS = ("name", "state", "waiting", "since", "next", "why")


def declare(family: Commands) -> None:
    """Declare the commands, in the family of the queue."""
    family.add("destinations", listing, "list destinations and sites that are down, cooling, recovering or suspended", "queue destinations")
    parser = family.add(
        "suspend",
        suspend,
        "send nothing to a destination until it is resumed; its mail waits and does not expire",
        ["queue suspend example.org --reason 'moving to new servers'", "queue suspend gmail --site"],
    )
    _name(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for whoever looks at the queue")
    parser = family.add(
        "resume",
        resume,
        "send to a suspended destination again",
        ["queue resume example.org", "queue resume gmail --site"],
        details="Also ends the pause of a site that is cooling (it stays slow until it recovers), and the wait for a probe of one that is down.",
    )
    _name(parser)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="DESTINATION", help="the domain that mail goes to (after aliases)")
    parser.add_argument("--site", action="store_true", help="DESTINATION is a site: a provider of etc/providers.toml, a registered domain, HOST:PORT")


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """What is in trouble."""
    now = context.seconds()
    rows = settled(destinations.listing(context.db, context.actor, now=now))
    context.show(rows, HEADINGS, partial(_cells, now=now), "every destination is well", ("name", "state"))
    return OK


def suspend(context: Context, arguments: argparse.Namespace) -> int:
    """Stop sending there."""
    _known(context, arguments)
    name = settled(
        destinations.suspend(context.db, context.actor, arguments.name, now=context.seconds(), note=arguments.reason, is_site=arguments.site)
    )
    context.changed()
    context.show_one({"name": name, "state": "suspended"}, [("suspended", name)])
    return OK


def resume(context: Context, arguments: argparse.Namespace) -> int:
    """Send there again."""
    name = settled(destinations.resume(context.db, context.actor, arguments.name, now=context.seconds(), is_site=arguments.site))
    context.changed()
    context.show_one({"name": name, "state": "resumed"}, [("resumed", name)])
    return OK


def _known(context: Context, arguments: argparse.Namespace) -> None:
    """A slip of the pen in a provider's name would suspend nothing at all."""
    name = arguments.name.lower()
    if not arguments.site or "." in name or ":" in name:
        return
    known = providers.load(context.config.file.parent / providers.FILE_NAME).named
    if name not in known:
        raise UsageError("DESTINATION", f"'{name}' is no provider of etc/{providers.FILE_NAME} (known: {', '.join(sorted(known)) or 'none'})")


def _cells(row: Trouble, now: float) -> tuple[object, ...]:
    since = output.span(now - row.since) if row.since is not None else "-"
    left = "-" if row.state == "suspended" else "now" if row.until <= now else "in " + output.span(row.until - now)
    return (f"{row.name} (site)" if row.kind == "site" else row.name, row.state, row.waiting, since, left, _why(row))


def _why(row: Trouble) -> str:
    if row.state == "suspended":
        by = f"by {row.by}" if row.by else ""
        return ": ".join(filter(None, (by, row.note))) or "-"
    said = row.reply if row.reason in ("", "cooling") else f"{row.reason}: {row.reply}"
    return f"waits for {row.site}: {said}" if row.site else said or "-"
