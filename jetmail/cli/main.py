"""The command line's front door: `jetmail [--dir DIR] COMMAND ...`.

`main` is the whole of it as a function: arguments in, exit code out, nothing global touched; `console` is what the installed `jetmail` calls.
Exit codes: 0 done, 1 failed (not found, not possible now, store trouble), 2 the command line or the settings make no sense and nothing was done,
3 `check` found problems, 130 interrupted. Errors go to standard error, one a line, as `jetmail: field: reason`.
"""

from __future__ import annotations

import io
import os
import sys
import textwrap
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import TextIO

from twisted.python.runtime import seconds as system_seconds

from jetmail.cli.context import Context
from jetmail.cli.parser import FAILED, OK, USAGE, Commands, Parser
from jetmail.errors import ConfigError, ConflictError, JetmailError, NotFoundError, UsageError

# How `--help` lists them: what somebody has in mind, and the modules with the commands for it.
GROUPS = {
    "the appliance": "setup serve demo stats",
    "domains and their addresses": "domain dkim recipient alias transport mta_sts reports",
    "mail that comes in: rules and filters": "rule filters attachments scan train quarantine",
    "who sends, and as whom": "smtp_user token person sending lockdown",
    "mail on its way, and what became of it": "log message queue hold source suppression returns webhook",
}
FAMILIES = tuple(" ".join(GROUPS.values()).split())
# The server does not carry the other commands through its life: they are 4 MB.
ALONE = {"run": "serve"}

_EPILOG = """\
DIR holds etc/ (settings) and var/ (store). Without --dir it is $JETMAIL_DIR, else ./var/jetmail, else the current directory.
Exit codes: 0 done, 1 failed or not found, 2 usage or settings, 3 `check` found problems.

example:
  jetmail demo
  jetmail init /var/lib/jetmail
  jetmail --dir /var/lib/jetmail domain add example.org --destination mail.example.org:25 --verified"""


def build_parser(families: Sequence[str] = FAMILIES) -> Parser:
    """All commands of these families."""
    parser = Parser(
        prog="jetmail",
        usage="jetmail [-h] [--dir DIR] [--version] COMMAND ...",
        description="A mail appliance: receives, judges, queues durably and delivers.",
    )
    parser.add_argument("--dir", default="", metavar="DIR", help="the jetmail directory to work on")
    parser.add_argument("--version", action="version", version=f"jetmail {_version()}")
    choice = parser.add_subparsers(prog="jetmail", metavar="COMMAND", dest="command_name", required=True, parser_class=Parser, help=SUPPRESS)
    commands = Commands(choice)
    parts = []
    for heading, members in GROUPS.items():
        first = len(commands.listed)
        for family in members.split():
            if family in families:
                import_module(f"jetmail.cli.{family}").register(commands)
        parts.append(f"{heading}:\n" + "\n".join(_entry(name, told) for name, told in commands.listed[first:]))
    parser.epilog = "\n\n".join([*parts, _EPILOG])
    return parser


def _entry(name: str, told: str) -> str:
    return textwrap.fill(told, 100, initial_indent=f"  {name:<16}", subsequent_indent=" " * 18)


def main(
    argv: Sequence[str],
    out: TextIO | None = None,
    err: TextIO | None = None,
    inp: TextIO | None = None,
    seconds: Callable[[], float] = system_seconds,
) -> int:
    """Run one command. -> its exit code. SystemExit comes out only for --help and --version."""
    out, err, inp = out or sys.stdout, err or sys.stderr, inp or sys.stdin
    context = None
    try:
        arguments = build_parser(_families(argv)).parse_args(list(argv))
        context = Context(out, err, inp, seconds, getattr(arguments, "dir", ""), arguments.json, getattr(arguments, "yes", False))
        return arguments.run(context, arguments) or OK
    except ConfigError as error:
        return _failed(err, error.problems, USAGE)
    except UsageError as error:
        return _failed(err, (str(error),), USAGE)
    except (NotFoundError, ConflictError) as error:
        return _failed(err, (str(error),), FAILED)
    except JetmailError as error:
        return _failed(err, (f"store: {error}" if "store" in type(error).__name__.lower() else str(error),), FAILED)
    except BrokenPipeError:  # nobody reads on: for whoever has the stream, see `console`
        raise
    except OSError as error:
        return _failed(err, (f"{error.filename or 'system'}: {error.strerror or error}",), FAILED)
    finally:
        if context is not None:
            context.close()


def _families(argv: Sequence[str]) -> Sequence[str]:
    """Those that the command line needs, as far as its first words tell."""
    words = argv[2:] if argv[:1] == ["--dir"] else argv[1:] if argv and argv[0].startswith("--dir=") else argv
    return (ALONE[words[0]],) if words and words[0] in ALONE else FAMILIES


def _failed(err: TextIO, problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print(f"jetmail: {problem}", file=err)
    return code


def _version() -> str:
    try:
        return metadata.version("jetmail")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def console() -> None:
    """The installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to fail
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `jetmail log | head`: nobody reads on; python must not complain at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    console()
