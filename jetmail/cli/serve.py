"""run: the appliance in the foreground, the same process as `twistd -n jetmail --config DIR/etc/jetmail.toml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jetmail.cli.context import Context
from jetmail.cli.parser import Commands, Parser, port

PORTS = ("smtp", "submission", "submissions", "http")


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add(
        "run",
        run,
        "run in the foreground until SIGTERM or Ctrl-C",
        "--dir /var/lib/jetmail run --smtp-port 2525",
        json=False,
        details="Says 'jetmail ready' once every port is open. A port given here replaces the configured one; 0 lets the\n"
        "system choose, and the ready line tells. When no listener is configured, only the given ones are opened.",
    )
    add_ports(parser)


def add_ports(parser: Parser) -> None:
    """The options that `run` shares with twistd."""
    for name, text in zip(PORTS, ("mail to our domains", "users, STARTTLS first", "users, TLS at once", "the pages"), strict=True):
        parser.add_argument(f"--{name}-port", type=port, metavar="N", help=f"port for {text}")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Become the server."""
    config = context.config
    given = [f"--{name}-port={value}" for name in PORTS if (value := getattr(arguments, f"{name}_port")) is not None]
    return twistd(config.file, given)


def twistd(file: Path | str, options: Sequence[str]) -> int:
    """Run the plugin the way twistd does, in this process. Returns when it was told to stop; raises SystemExit when it could not start.

    Told to stop by a signal, twistd itself ends by that signal once everything is closed; a command that did what it should exits with 0."""
    from twisted.application.app import run as run_application
    from twisted.scripts.twistd import ServerOptions, _SomeApplicationRunner

    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "jetmail", "--config", str(file), *options]
    run_application(lambda config: _SomeApplicationRunner(config).run(), ServerOptions)
    return 0
