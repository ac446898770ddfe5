"""demo, demo-mail: the whole road on one machine, with an inbox at its end and something to send along it.

`demo` makes a directory of its own (etc/ and store, like any other: `jetmail --dir var/demo log` works on it), with the domain demo.test whose
destination is an inbox inside the process, and starts the same server as `run`. A port that is taken is named, with the option to choose
another, before anything starts. Run again it goes on with the same directory; other ports may be given.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from jetmail import config as settings
from jetmail.actions import aliases, domains, recipients
from jetmail.cli import demo_mail, output
from jetmail.cli.checks import port_problem
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, port, program
from jetmail.cli.serve import twistd
from jetmail.cli.setup import make_directory
from jetmail.errors import NotFoundError

DOMAIN = "demo.test"
PEOPLE = ("alice", "bob", "carol", "zoë", "postmaster", "abuse")
ALIASES = {"team": ("alice", "bob")}
LOOPBACK = "127.0.0.1"
DIRECTORY = Path("var") / "demo"
PORTS = {"smtp": (2525, "mail to demo.test (MX)"), "submission": (2587, "submission"), "http": (8080, "the pages"), "inbox": (2526, "the demo inbox")}

_SETTINGS = """\
# Made by `jetmail demo`, for this machine only; made again when the demo is started with other ports. docs/configuration.md explains every setting.
# The demo inbox listens on port {inbox}.

[server]
hostname = "mx.demo.test"
postmaster = "postmaster@demo.test"

[[listener]]
kind = "mx"
address = "127.0.0.1"
port = {smtp}

[[listener]]
kind = "submission"
address = "127.0.0.1"
port = {submission}

[queue]
# So that a demo shows retries while one watches.
retries = [5, 15, 30, 60, 300]
probe_first = 5

[web]
address = "127.0.0.1"
port = {http}

[log]
level = "warn"
"""

_INBOX = re.compile(r"^# The demo inbox listens on port (\d+)\.$", re.MULTILINE)


def register(commands: Commands) -> None:
    """Declare the commands."""
    parser = commands.add(
        "demo",
        demo,
        "show everything on this machine: MX, submission, pages, and an inbox that receives",
        "demo",
        json=False,
        details=f"Works in {DIRECTORY} unless --dir says otherwise; nothing leaves the machine. Prints a line for each message.",
    )
    _ports(parser, PORTS)
    _directory(parser)
    parser = commands.add(
        "demo-mail",
        send,
        "send a varied dozen to a running demo, good and bad",
        "demo-mail",
        details="Exit code 0 when each was answered as it should be.",
    )
    _ports(parser, {"smtp": PORTS["smtp"]})
    parser.add_argument("--host", default=LOOPBACK, metavar="HOST", help=f"where to send it ({LOOPBACK})")
    _directory(parser)


def _ports(parser: Parser, wanted: dict[str, tuple[int, str]]) -> None:
    for name, (number, text) in wanted.items():
        parser.add_argument(f"--{name}-port", type=port, metavar="N", help=f"port of {text} ({number})")


def _directory(parser: Parser) -> None:
    # The same option as before the command, where a newcomer would look for it; SUPPRESS: not given here leaves the other one alone.
    parser.add_argument("--dir", default=argparse.SUPPRESS, metavar="DIR", help=f"the demo's own directory ({DIRECTORY})")


def demo(context: Context, arguments: argparse.Namespace) -> int:
    """Make ready, then become the server."""
    directory = Path(arguments.dir or DIRECTORY).absolute()
    before = _configured_ports(directory)
    ports = {name: given if (given := getattr(arguments, f"{name}_port")) is not None else before[name] for name in PORTS}
    taken = False
    for name, number in ports.items():
        if reason := port_problem(LOOPBACK, number):
            print(f"jetmail: --{name}-port: {reason}; choose another for {PORTS[name][1]} with --{name}-port N", file=context.err)
            taken = True
    twice = {number for number in ports.values() if number and list(ports.values()).count(number) > 1}
    if twice:
        print(f"jetmail: ports: {min(twice)} is given twice", file=context.err)
    if taken or twice:
        return FAILED
    prepare(context, directory, ports)
    context.close()
    file = directory / "etc" / settings.FILE_NAME
    return twistd(file, [f"--demo-inbox-port={ports['inbox']}"])


def prepare(context: Context, directory: Path, ports: dict[str, int]) -> None:
    """Settings, store, domain, people. What is there stays, except ports."""
    file = directory / "etc" / settings.FILE_NAME
    if not file.exists() or _configured_ports(directory) != ports:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_SETTINGS.format(**ports), "utf-8")
    make_directory(directory)
    inner = Context(context.out, context.err, context.inp, context.seconds, str(directory))
    try:
        _people(inner, ports["inbox"])
    finally:
        inner.close()


def _people(context: Context, inbox_port: int) -> None:
    db, actor, now = context.db, context.actor, context.seconds()
    destinations = [domains.parse_destination(f"{LOOPBACK}:{inbox_port}", tls="none")]
    try:
        settled(domains.show(db, actor, DOMAIN))
    except NotFoundError:
        settled(domains.add(db, actor, DOMAIN, now=now, destinations=destinations, verified=True, recipients="listed"))
        settled(recipients.add(db, actor, DOMAIN, [f"{name}@{DOMAIN}" for name in PEOPLE], now=now))
        for name, targets in ALIASES.items():
            settled(aliases.put(db, actor, f"{name}@{DOMAIN}", [f"{target}@{DOMAIN}" for target in targets], now=now))
    else:
        settled(domains.change(db, actor, DOMAIN, {"destinations": destinations}, now=now))


def send(context: Context, arguments: argparse.Namespace) -> int:
    """The dozen."""
    configured = _configured_ports(Path(arguments.dir or DIRECTORY))
    number = arguments.smtp_port if arguments.smtp_port is not None else configured["smtp"]
    if not demo_mail.answers(arguments.host, number):
        print(f"jetmail: --smtp-port: nobody answers at {arguments.host}:{number}; start the demo first: {program()} demo", file=context.err)
        return FAILED
    results = demo_mail.send_all(arguments.host, number, DOMAIN)
    context.show(
        results,
        ("", "what", "to", "size", "should be", "reply"),
        lambda sent: (
            "ok" if sent.is_right else "WRONG",
            sent.name,
            ", ".join(name.partition("@")[0] for name in sent.recipients),
            output.size(sent.size) if sent.size else "-",
            sent.expected,
            sent.reply,
        ),
    )
    wrong = [sent.name for sent in results if not sent.is_right]
    context.say(f"{len(results)} sent, " + (f"answered wrongly: {', '.join(wrong)}" if wrong else "each answered as it should be"))
    return FAILED if wrong else OK


def _configured_ports(directory: Path) -> dict[str, int]:
    """The ports of the demo in that directory, or those of a first one."""
    ports = {name: number for name, (number, _) in PORTS.items()}
    file = directory / "etc" / settings.FILE_NAME
    if file.is_file():
        config = settings.load(file)
        kinds = {"mx": "smtp", "submission": "submission"}
        ports.update({kinds[listener.kind]: listener.port for listener in config.listeners if listener.kind in kinds})
        ports["http"] = config.web.port
        found = _INBOX.search(file.read_text("utf-8"))
        ports["inbox"] = int(found[1]) if found else ports["inbox"]
    return ports
