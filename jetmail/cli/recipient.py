"""recipient add | list | remove: the addresses that exist at a domain whose `recipients` is 'listed'."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from jetmail.actions import domains, recipients
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.errors import UsageError

EXAMPLE = "recipient add alice@example.org bob@example.org"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("recipient", "known recipients of a domain", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "add known recipients",
        [EXAMPLE, "recipient add --file addresses.txt"],
        details="Only a domain set to --recipients listed refuses everybody else.",
    )
    _addresses(parser)
    parser = family.add("list", listing, "list the known recipients of a domain", "recipient list example.org")
    parser.add_argument("domain", metavar="DOMAIN", help="the domain")
    parser = family.add("remove", remove, "remove known recipients", "recipient remove bob@example.org")
    _addresses(parser)


def _addresses(parser: Parser) -> None:
    parser.add_argument("address", nargs="*", metavar="ADDRESS", help="an address; several of several domains are fine")
    parser.add_argument("--file", metavar="FILE", help="one address a line as well; - is standard input")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """More known recipients."""
    return _change(context, arguments, recipients.add, "added")


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Fewer known recipients."""
    return _change(context, arguments, recipients.remove, "removed")


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of a domain."""
    after = ""
    while True:
        known = settled(recipients.listing(context.db, context.actor, arguments.domain, after=after))
        for address in known.addresses:
            if arguments.json:
                output.json_line(context.out, {"address": address, "domain": known.domain})
            else:
                print(output.clean(address), file=context.out)
        after = known.next
        if not after:
            break
    if known.takes_any and not arguments.json:
        print(
            f"jetmail: warning: {known.domain} takes any recipient; to refuse others: jetmail domain set {known.domain} --recipients listed",
            file=context.err,
        )
    return OK


def _change(context: Context, arguments: argparse.Namespace, action: Callable, word: str) -> int:
    by_domain: dict[str, list[str]] = {}
    for text in _given(context, arguments):
        by_domain.setdefault(text.rpartition("@")[2].lower(), []).append(text)
    if not by_domain:
        raise UsageError("ADDRESS", "none given")
    for name in by_domain:
        settled(domains.show(context.db, context.actor, name))  # all domains must be there before anything changes
    total = 0
    for name, addresses in by_domain.items():
        for start in range(0, len(addresses), recipients.MAX_AT_ONCE):
            part = addresses[start : start + recipients.MAX_AT_ONCE]
            total += settled(action(context.db, context.actor, name, part, now=context.seconds()))
    context.changed()
    context.show_one({word: total}, [(word, total)])
    return OK if total or word == "added" else FAILED


def _given(context: Context, arguments: argparse.Namespace) -> Iterable[str]:
    yield from arguments.address
    if arguments.file:
        lines = context.inp if arguments.file == "-" else Path(arguments.file).read_text("utf-8").splitlines()
        for line in lines:
            if line.strip() and not line.startswith("#"):
                yield line.strip()
