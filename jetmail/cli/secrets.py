"""Passwords given to a command: from a file or standard input, never as a word that other users of the machine could read. And how one that was
made is told: once, with the row it belongs to.

Raises UsageError where there is no first line, OSError where there is no file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from jetmail.cli import output
from jetmail.cli.context import Context
from jetmail.cli.parser import OK, Parser
from jetmail.errors import UsageError


def add_password_option(parser: Parser) -> None:
    """Declare --password-file."""
    parser.add_argument(
        "--password-file", default="", metavar="FILE", help="take the password from the first line of FILE (- is standard input): 8 to 72 characters"
    )


def given_password(context: Context, arguments: argparse.Namespace) -> str:
    """What the option says; '' where it was not given."""
    name = arguments.password_file
    if not name:
        return ""
    if name == "-":
        line = context.inp.readline()
    else:
        with open(name, encoding="utf-8") as file:
            line = file.readline()
    if not line.rstrip("\r\n"):
        raise UsageError("--password-file", f"{name} has no first line")
    return line.rstrip("\r\n")


def show_saved(context: Context, row: Any, items: Sequence[tuple[str, object]], password: str, hints: Sequence[str]) -> int:
    """What was changed, as it is now; `password` where one was made, and what is allowed and easily overlooked."""
    context.changed()
    shown = [("password", password)] if password else []
    context.show_one({**output.plain(row), "password": password} if password else row, [*items, *shown])
    if password:
        print("jetmail: the password is shown this once; only its hash is kept", file=context.err)
    say_hints(context, hints)
    return OK


def say_hints(context: Context, hints: Sequence[str]) -> None:
    """One line each, beside the answer."""
    for hint in hints:
        print(f"jetmail: note: {hint}", file=context.err)
