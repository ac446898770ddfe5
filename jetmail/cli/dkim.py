"""dkim list | show | rotate | records: the keys mail is signed with."""

from __future__ import annotations

import argparse

from jetmail.actions import dkim, domain_checks, publishing
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands
from jetmail.store.directory.dkim_keys import DkimKey

SHOWN = {True: "there", False: "not there", None: "no answer"}


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("dkim", "DKIM: the keys mail of each domain is signed with", "dkim show example.org")
    family.add("list", listing, "list the keys of all domains", "dkim list")
    parser = family.add("show", show, "show a domain's keys, and whether DNS has them", "dkim show example.org")
    parser.add_argument("domain", metavar="DOMAIN", help="the domain")
    parser = family.add(
        "rotate",
        rotate,
        "make the next keys of a domain now",
        "dkim rotate example.org",
        details="They sign once DNS shows them; until then the old ones do. A running jetmail does the rest by itself.",
    )
    parser.add_argument("domain", metavar="DOMAIN", help="the domain")
    parser = family.add(
        "records",
        records,
        "print the DNS records of keys, as lines of a zone file",
        ["dkim records example.org", "dkim records --zone > keys.zone"],
        details="For a domain: what its owner publishes. With --zone: what our own zone holds, as in the file dkim/zone of the state directory.",
    )
    parser.add_argument("domain", metavar="DOMAIN", nargs="?", default="", help="the domain")
    parser.add_argument("--zone", action="store_true", help="the records of our own zone, of all domains")


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All keys."""
    rows = settled(dkim.listing(context.db, context.actor))
    empty = "no keys; they are made by: domain verify NAME"
    context.show(rows, ("domain", "selector", "algorithm", "state", "since"), lambda key: _cells(context, key), empty)
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One domain's keys."""
    keys = settled(dkim.listing(context.db, context.actor, arguments.domain))
    items: list[tuple[str, object]] = []
    for key in keys:
        items += [
            ("selector", f"{key.selector}  {key.algorithm}  {key.state}"),
            ("  made", output.when(key.created)),
            ("  seen since", output.when(key.seen)),
            ("  signs since", output.when(key.activated)),
            ("  retired", output.when(key.retired)),
            ("  in DNS", SHOWN[settled_awaitable(dkim.in_dns(context.resolver, key))]),
            ("  record", key.record),
        ]
    if arguments.json:
        for key in keys:
            output.json_line(context.out, key)
        return OK
    context.show_one(keys, items or [("keys", "none; they are made by: domain verify " + arguments.domain)])
    return OK


def rotate(context: Context, arguments: argparse.Namespace) -> int:
    """Now, please."""
    done = settled(dkim.rotate(context.workshop, context.actor, arguments.domain))
    context.changed()
    context.show_one({"domain": arguments.domain, "done": done}, [("done", each) for each in done])
    return OK


def records(context: Context, arguments: argparse.Namespace) -> int:
    """Lines for a zone file."""
    if arguments.zone or not arguments.domain:
        keys = settled(dkim.listing(context.db, context.actor))
        print(publishing.zone(context.workshop.options, keys), end="", file=context.out)
        return OK
    report = settled(domain_checks.told(context.workshop, context.actor, arguments.domain, token=context.token()))
    rows = [record for record in report.records if record.subject == "dkim"]
    if arguments.json:
        context.show(rows, (), lambda row: ())
        return OK
    for record in rows:
        print(record.line, file=context.out)
    return OK


def settled_awaitable(asking: object) -> bool | None:
    """The result of a question to a resolver that answers at once."""
    from twisted.internet.defer import Deferred

    found: bool | None = settled(Deferred.fromCoroutine(asking))  # type: ignore[arg-type]
    return found


def _cells(context: Context, key: DkimKey) -> tuple[object, ...]:
    since = {"next": key.created, "active": key.activated, "retired": key.retired}[key.state]
    return key.domain, key.selector, key.algorithm, key.state, context.when(since)
