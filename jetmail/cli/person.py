"""person add | list | show | set | password | remove: people, who sign in with their address."""

from __future__ import annotations

import argparse

from jetmail.actions import people
from jetmail.actions.people import Saved, Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.cli.secrets import add_password_option, given_password, say_hints, show_saved
from jetmail.offload import InlineExecutor, SystemEntropy

EXAMPLE = "person add ann@example.org --name Ann"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("person", "people: who signs in with an address of a domain", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "make a person of an address; its password is generated, and shown this once",
        EXAMPLE,
        details="The domain must be verified. A person may send as itself; other addresses are granted with `sender-address add`.",
    )
    parser.add_argument("address", metavar="ADDRESS", help="what they sign in with, and send as")
    parser.add_argument("--name", default="", help="what people call them")
    add_password_option(parser)
    parser = family.add("list", listing, "list people", ["person list", "person list --domain example.org --json"])
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="of this domain only")
    _who(family.add("show", show, "show one person, and what it did in the last 24 hours", "person show ann@example.org"))
    parser = family.add(
        "set",
        change,
        "change what is given, keep the rest",
        ["person set ann@example.org --suspended yes", "person set ann@example.org --name Anna"],
        details="It counts at once, for open sessions too.",
    )
    _who(parser)
    parser.add_argument("--name", help="what people call them")
    parser.add_argument("--suspended", choices=("yes", "no"), help="yes: it cannot sign in, and its sessions end")
    parser = family.add(
        "password", password, "give it another password; generated and shown this once, or read from a file", "person password ann@example.org"
    )
    _who(parser)
    add_password_option(parser)
    _who(
        family.add(
            "remove",
            remove,
            "forget it and what was granted to it: its password counts no more, its sessions end",
            "person remove ann@example.org --yes",
            yes=True,
            details="Mail already queued still goes out, and the log stays.",
        )
    )


def _who(parser: Parser) -> None:
    parser.add_argument("person", metavar="PERSON", help="the address, or the uuid")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new person."""
    adding = people.add(
        context.db,
        context.actor,
        arguments.address,
        now=context.seconds(),
        executor=InlineExecutor(),
        entropy=SystemEntropy(),
        password=given_password(context, arguments),
        name=arguments.name,
    )
    return _saved(context, settled(adding))


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    rows = settled(people.listing(context.db, context.actor, arguments.domain, now=context.seconds()))
    context.show(
        rows,
        ("address", "name", "status", "last used", "uuid"),
        lambda person: (person.address, person.name or "-", _status(person), context.when(person.last_used), person.uuid),
        "no people; add one with: " + EXAMPLE,
        keep=("address", "uuid"),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One of them."""
    saved = settled(people.show(context.db, context.actor, arguments.person, now=context.seconds()))
    context.show_one(saved.person, _items(saved.person))
    say_hints(context, saved.hints)
    return OK


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Another name, or whether it may sign in."""
    changes = {} if arguments.name is None else {"name": arguments.name}
    if arguments.suspended:
        changes["status"] = "suspended" if arguments.suspended == "yes" else "active"
    return _saved(context, settled(people.change(context.db, context.actor, arguments.person, changes, now=context.seconds())))


def password(context: Context, arguments: argparse.Namespace) -> int:
    """Another password."""
    setting = people.set_password(
        context.db,
        context.actor,
        arguments.person,
        now=context.seconds(),
        executor=InlineExecutor(),
        entropy=SystemEntropy(),
        password=given_password(context, arguments),
    )
    return _saved(context, settled(setting))


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Away with it."""
    person = settled(people.show(context.db, context.actor, arguments.person, now=context.seconds())).person
    if not context.confirm(f"Remove the person {person.address}? It can sign in no more."):
        return FAILED
    removed = settled(people.remove(context.db, context.actor, arguments.person, now=context.seconds()))
    context.changed()
    context.show_one(removed, [("removed", removed.address), ("uuid", removed.uuid)])
    return OK


def _saved(context: Context, saved: Saved) -> int:
    return show_saved(context, saved.person, _items(saved.person), saved.password, saved.hints)


def _items(person: Shown) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [
        ("address", person.address), ("name", person.name or "-"), ("uuid", person.uuid), ("account", person.account), ("status", _status(person)),
    ]  # fmt: skip
    items += [("sender address", address) for address in person.senders]
    items += [("last used", output.when(person.last_used)), ("created", output.when(person.created)), ("modified", output.when(person.modified))]
    return [*items, ("last 24 hours", "  ".join(f"{name} {number}" for name, number in person.figures.items()))]


def _status(person: Shown) -> str:
    return person.status + (f", {person.blocked} blocked" if person.blocked else "")
