"""Passwords given to a command: from a file or standard input, never as a word that other users of the machine could read.

Raises UsageError where there is no first line, OSError where there is no file.
"""

from __future__ import annotations

import argparse

from jetmail.cli.context import Context
from jetmail.cli.parser import Parser
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
