"""scan: what the filter thinks of a message, without receiving it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetmail.cli import output
from jetmail.cli.context import Context
from jetmail.cli.parser import OK, Commands
from jetmail.errors import UsageError
from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.message import Message
from jetmail.rules.facts import parse_ip

if TYPE_CHECKING:
    from jetmail.cli.scanning import Envelope, Scanned

_FOLD = re.compile(r"\r?\n[ \t]+")
SLOW = 0.000_05  # seconds from which on a rule is worth a line


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add(
        "scan",
        scan,
        "judge a message with the whole chain, without receiving it",
        [
            "scan message.eml",
            "scan message.eml --ip 192.0.2.7 --helo mail.example.net --mail-from a@example.net --rcpt alice@example.org",
        ],
        details=(
            "Prints every finding with its score, what becomes of the message for each recipient, the reply that would be given and the time each\n"
            "rule took. Nothing is stored and nobody is told. Without --rcpt it is judged for nobody in particular, by the appliance's settings;\n"
            "without --mail-from its Return-Path counts, else its From. DNS, scanners and what was learnt are those of the running appliance."
        ),
    )
    parser.add_argument("file", metavar="FILE", help="the message; - is standard input")
    parser.add_argument("--ip", default="", metavar="ADDRESS", help="IP address of the client; without it there is no client to judge")
    parser.add_argument("--helo", default="scan.invalid", metavar="NAME", help="what the client says it is")
    parser.add_argument("--mail-from", metavar="ADDRESS", help="envelope sender; '<>' is the null sender")
    parser.add_argument("--rcpt", action="append", default=[], metavar="ADDRESS", help="recipient; may be repeated")
    parser.add_argument("--no-dns", action="store_true", help="ask no name server: every look-up fails as if it did not answer")


def scan(context: Context, arguments: argparse.Namespace) -> int:
    """Judge it."""
    from jetmail.cli import scanning  # here, not above: the filter with all its libraries takes longer to load than most commands to run

    octets = _read(context, arguments.file)
    envelope = _envelope(arguments, octets)
    seen = scanning.scan(context.config, context.db, octets, envelope, asks_dns=not arguments.no_dns)
    if arguments.json:
        context.show_one(seen, [])
    else:
        _print(context, seen)
    return OK


def _read(context: Context, name: str) -> bytes:
    """The message with CRLF line ends, as a client would have to send it."""
    limit = context.config.smtp.max_message_size
    if name == "-":
        stream: Any = getattr(context.inp, "buffer", None)
        octets = stream.read(limit + 1) if stream is not None else context.inp.read(limit + 1).encode("utf-8", "surrogateescape")
    else:
        with Path(name).open("rb") as file:
            octets = file.read(limit + 1)
    if len(octets) > limit:
        raise UsageError("FILE", f"is larger than {limit} octets, the largest message taken ([smtp] max_message_size)")
    if octets.startswith(b"From "):  # an mbox separator is not part of the message
        octets = octets.partition(b"\n")[2]
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def _envelope(arguments: argparse.Namespace, octets: bytes) -> Envelope:
    from jetmail.cli.scanning import SOMEBODY, Envelope

    if arguments.ip and parse_ip(arguments.ip) is None:
        raise UsageError("--ip", f"'{arguments.ip}' is no IP address")
    recipients = tuple(_address("--rcpt", text) for text in arguments.rcpt)
    sender = _sender(octets) if arguments.mail_from is None else None
    if arguments.mail_from is not None and arguments.mail_from not in ("", "<>"):
        sender = _address("--mail-from", arguments.mail_from)
    return Envelope(arguments.ip, arguments.helo, sender, recipients or (SOMEBODY,))


def _sender(octets: bytes) -> Address | None:
    """By the message's own account: where it was delivered before it has a Return-Path."""
    message = Message(octets)
    path = message.text(b"return-path").strip()
    if path == "<>":
        return None
    try:
        return parse(path.strip("<> ")) if path else message.sender.address
    except AddressError:
        return message.sender.address


def _address(option: str, text: str) -> Address:
    try:
        return parse(text.strip("<> "))
    except AddressError as error:
        raise UsageError(option, f"'{text}': {error}") from None


def _print(context: Context, seen: Scanned) -> None:
    rows = [_finding(each, "") for each in seen.findings] + [_finding(each, fate.recipient) for fate in seen.fates for each in fate.findings]
    if rows:
        output.table(context.out, ("score", "finding", "rule", "for", "what it means", "detail"), rows, keep=("score", "finding"))
    else:
        context.say("nothing was found")
    context.say("")
    fates = [(fate.recipient, fate.action, fate.reason, f"{fate.score:.2f}", fate.reply) for fate in seen.fates]
    output.table(context.out, ("recipient", "ruling", "reason", "score", "reply if alone"), fates, keep=("ruling", "reason", "score"))
    context.say("")
    slow = sorted((rule for rule in seen.rules if rule.seconds >= SLOW), key=lambda rule: -rule.seconds)
    times = [(rule.stage, rule.rule, rule.calls, _span(rule.seconds)) for rule in slow]
    times += [(stage.stage, "(all)", stage.calls, _span(stage.seconds)) for stage in seen.stages]
    output.table(context.out, ("stage", "rule", "asked", "time"), times, keep=("stage", "time"))
    for line in seen.headers:
        context.say("")
        output.pairs(context.out, [("adds", _FOLD.sub(" ", line))])
    context.say("")
    output.pairs(context.out, [("score", f"{seen.score:.2f}"), ("reply", seen.reply)])


def _finding(each: Any, recipient: str) -> tuple[object, ...]:
    return "" if each.is_ruling else f"{each.score:+.2f}", each.symbol, each.rule, recipient or "all", each.text, each.detail


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
