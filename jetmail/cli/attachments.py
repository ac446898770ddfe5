"""attachments show | set | reset: which attachments are not taken."""

from __future__ import annotations

import argparse
from typing import Any

from jetmail.actions import attachments
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.errors import UsageError
from jetmail.rules.attachments import ACTIONS, DANGEROUS, TYPES

EXAMPLE = "attachments set --domain example.org --types dangerous,macro --locked yes"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("attachments", "attachments that are not taken", EXAMPLE)
    parser = family.add("show", show, "show what is in force and where it comes from", "attachments show --domain example.org")
    _domain(parser)
    parser = family.add(
        "set",
        change,
        "set what is given, keep the rest",
        [EXAMPLE, "attachments set --types program,script --extensions exe,js --action quarantine"],
        details=f"Types go by what a file is, whatever its name: {', '.join(TYPES)}; dangerous stands for {', '.join(DANGEROUS)}. "
        "A domain's own come in place of the appliance's.",
    )
    _domain(parser)
    parser.add_argument("--action", choices=ACTIONS, help="refuse such a message (reject), hold it (quarantine), or take it after all (off)")
    parser.add_argument("--types", metavar="TYPE,...", help="what is not taken, by what it is; '' for nothing")
    parser.add_argument("--extensions", metavar="EXT,...", help="what is not taken, by extension; '' for nothing")
    parser.add_argument("--archives", choices=("yes", "no"), help="yes: nor within archives (yes)")
    parser.add_argument("--locked", choices=("yes", "no"), help="yes: nor archives and documents that need a password (no)")
    parser = family.add("reset", reset, "go back to what the level above says", "attachments reset --domain example.org", yes=True)
    _domain(parser)


def _domain(parser: Parser) -> None:
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="a domain's own; without it the appliance's")


def show(context: Context, arguments: argparse.Namespace) -> int:
    """What is in force."""
    return _show(context, settled(attachments.show(context.db, context.actor, arguments.domain)))


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Some of it."""
    changes: dict[str, Any] = {}
    if arguments.action is not None:
        changes["action"] = arguments.action
    for name in ("types", "extensions"):
        if (given := getattr(arguments, name)) is not None:
            words = [word.strip() for word in given.split(",") if word.strip()]
            changes[name] = [each for word in words for each in (DANGEROUS if name == "types" and word == "dangerous" else (word,))]
    for name in ("archives", "locked"):
        if (given := getattr(arguments, name)) is not None:
            changes[name] = given == "yes"
    if not changes:
        raise UsageError("changes", "nothing to set; give --action, --types, --extensions, --archives or --locked")
    shown = settled(attachments.change(context.db, context.actor, changes, arguments.domain, now=context.seconds()))
    context.changed()
    return _show(context, shown)


def reset(context: Context, arguments: argparse.Namespace) -> int:
    """All of it."""
    if not context.confirm(f"Reset what {arguments.domain or 'the appliance'} says of attachments?"):
        return FAILED
    shown = settled(attachments.reset(context.db, context.actor, arguments.domain, now=context.seconds()))
    context.changed()
    return _show(context, shown)


def _show(context: Context, shown: attachments.Shown) -> int:
    items: list[tuple[str, object]] = [
        ("domain", shown.domain or "(appliance)"),
        ("set by", shown.source),
        ("action", shown.action),
        ("types", ", ".join(shown.types) or "-"),
        ("extensions", ", ".join(shown.extensions) or "-"),
        ("archives", "looked into" if shown.archives else "not looked into"),
        ("locked", "not taken" if shown.locked else "taken"),
    ]
    context.show_one(shown, items)
    return OK
