"""alias add | list | remove | trace: addresses that stand for others."""

from __future__ import annotations

import argparse

from jetmail.actions import aliases
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands
from jetmail.store.directory.aliases import Found

EXAMPLE = "alias add sales@example.org alice@example.org bob@example.net"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("alias", "addresses that stand for others", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "let an address stand for others, in place of what it stood for",
        [EXAMPLE, "alias add @example.org alice@example.org"],
        details="@DOMAIN is the catch-all: it gets what no other address of the domain gets.",
    )
    parser.add_argument("address", metavar="ADDRESS", help="local@domain, or @domain")
    parser.add_argument("target", nargs="+", metavar="TARGET", help="where its mail goes; naming ADDRESS itself keeps a copy there")
    parser = family.add("list", listing, "list the aliases of a domain", "alias list example.org")
    parser.add_argument("domain", metavar="DOMAIN", help="the domain")
    parser = family.add("remove", remove, "let an address stand for itself again", "alias remove sales@example.org")
    parser.add_argument("address", metavar="ADDRESS", help="local@domain, or @domain")
    parser = family.add("trace", trace, "show where mail for an address would go", "alias trace sales@example.org")
    parser.add_argument("address", metavar="ADDRESS", help="an address of a domain here")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """Set an alias."""
    alias = settled(aliases.put(context.db, context.actor, arguments.address, arguments.target, now=context.seconds()))
    context.changed()
    context.show_one(alias, [(alias.address, ", ".join(alias.targets))])
    return OK


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of a domain."""
    rows = settled(aliases.listing(context.db, context.actor, arguments.domain))
    context.show(rows, ("address", "stands for"), lambda alias: (alias.address, ", ".join(alias.targets)), "no aliases; add one with: " + EXAMPLE)
    return OK


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Forget an alias."""
    alias = settled(aliases.remove(context.db, context.actor, arguments.address, now=context.seconds()))
    context.changed()
    context.show_one(alias, [("removed", alias.address)])
    return OK


def trace(context: Context, arguments: argparse.Namespace) -> int:
    """Where it leads."""
    expansion = settled(aliases.trace(context.db, context.actor, arguments.address))
    targets = [str(target) for target in expansion.targets]
    context.show_one(
        {"address": arguments.address, "found": expansion.found, "targets": targets, "via_alias": expansion.via_alias},
        [(arguments.address, ", ".join(targets) or expansion.found.value)],
    )
    return OK if expansion.found is Found.TARGETS else FAILED
