"""How commands are declared: argparse, with the house's manners.

Every command has a help line, an example and, where it answers with data, `--json`; a mistake is told as `jetmail: field: reason` with exit
code 2 and never with a page of usage. A family module offers `register(commands)` and declares each command through `Commands.add`.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NoReturn

from jetmail.errors import UsageError

OK = 0  # done
FAILED = 1  # not found, not allowed in this state, the store or a peer refused
USAGE = 2  # the command line makes no sense; nothing was done
PROBLEMS = 3  # `check` found something that must be mended

_AGE = re.compile(r"(\d+)\s*([smhdw])")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def program() -> str:
    """What people type to run this: bin/jetmail in a checkout says so."""
    return os.environ.get("JETMAIL_COMMAND", "jetmail")


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print usage and leave; no abbreviated options, so that scripts survive new ones."""

    def __init__(self, **options) -> None:  # type: ignore[no-untyped-def]
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """See the class."""
        if message.startswith("argument "):
            field, _, reason = message.removeprefix("argument ").partition(": ")
            raise UsageError(field, reason or "is wrong")
        if message.startswith("the following arguments are required: "):
            raise UsageError(message.partition(": ")[2], f"missing; see {self.prog} --help")
        if message.startswith("unrecognized arguments: "):
            raise UsageError(message.split()[2], f"not known here; see {self.prog} --help")
        raise UsageError(self.prog.partition(" ")[2] or "command", f"{message}; see {self.prog} --help")


class Commands:
    """The place a family adds its commands to. `listed`: name and help line of each, in order."""

    def __init__(self, subparsers: argparse._SubParsersAction[Parser], names: tuple[str, ...] = ()) -> None:
        self._subparsers = subparsers
        self._names = names
        self.listed: list[tuple[str, str]] = []

    def add(
        self, name: str, run: Callable, help: str, example: str | Sequence[str], *, details: str = "", json: bool = True, yes: bool = False
    ) -> Parser:
        """One command. `run(context, arguments)` returns an exit code (None is OK). `yes`: it asks first, and `--yes` is how not to be asked."""
        examples = [example] if isinstance(example, str) else example
        epilog = "example:\n" + "\n".join(f"  jetmail {line}" for line in examples)
        parser = self._subparsers.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.\n{details}".rstrip(), epilog=epilog)
        self.listed.append((name, help))
        parser.set_defaults(run=run, command=" ".join([*self._names, name]), json=False)
        if json:
            parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
        if yes:
            parser.add_argument("--yes", action="store_true", help="do not ask first (without a terminal it never asks)")
        return parser

    def family(self, name: str, help: str, example: str) -> Commands:
        """A command that only groups others: `jetmail domain add`."""
        parser = self._subparsers.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.", epilog=f"example:\n  jetmail {example}")
        self.listed.append((name, help))
        group = parser.add_subparsers(title="commands", metavar="COMMAND", dest=f"{name}_command", required=True, parser_class=Parser)
        return Commands(group, (*self._names, name))


def age(text: str) -> float:
    """'90s', '30m', '2h', '1d 12h', '5d' -> seconds."""
    parts = _AGE.findall(text.lower())
    if not parts or _AGE.sub("", text.lower()).strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; write 30m, 2h or 5d")
    return float(sum(int(amount) * _UNIT[unit] for amount, unit in parts))


def moment(text: str) -> tuple[str, float]:
    """'2026-11-20', '2026-11-20 07:30' (local zone unless one is given) or '2h' (ago) -> ('at', epoch) or ('ago', seconds)."""
    if _AGE.match(text.lower()):
        return "ago", age(text)
    try:
        return "at", datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write 2026-11-20, '2026-11-20 07:30' or 2h (ago)") from error


def port(text: str) -> int:
    """A port number; 0 lets the system choose one."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 0 to 65535")
    return int(text)


def count(text: str) -> int:
    """A positive number of things to show."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; 1 to 1000000")
    return int(text)
