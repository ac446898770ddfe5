"""returns list | show | token | read: what came back for messages, and what the addresses it came to mean (docs/returns.md)."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from jetmail.actions import returns
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, count
from jetmail.mail import returned
from jetmail.mail.message import Message
from jetmail.store.returnkeys import ReturnKeys

MAX_OCTETS = 64 << 20


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("returns", "bounces after delivery, complaints and auto-replies", "returns list --hard")
    parser = family.add("list", listing, "list what came back, newest first", ["returns list", "returns list --kind feedback --json"])
    parser.add_argument("--kind", choices=returned.KINDS, default="", help="only those")
    parser.add_argument("--message", default="", metavar="UID", help="only what speaks of this message")
    parser.add_argument("--recipient", default="", metavar="TEXT", help="a part of the address")
    parser.add_argument("--hard", action="store_true", help="only addresses it is of no use to write to again")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="at most that many (100)")
    parser.add_argument("--after", type=int, default=0, metavar="ID", help="go on behind this id")
    parser = family.add("show", show, "show one with all it says", "returns show 17")
    parser.add_argument("id", type=int, metavar="ID", help="its number in the list")
    parser = family.add(
        "token", token, "explain a return path or a rewritten sender", "returns token b+aab...@bounces.example.com",
        details="Exit code 1 when it is forged or has expired.",
    )  # fmt: skip
    parser.add_argument("address", metavar="ADDRESS", help="the address, as it stands in MAIL FROM or Return-Path")
    parser = family.add(
        "read", read, "say how a message that came back is understood", "returns read bounce.eml",
        details="Nothing is stored. Exit code 1 for mail of people.",
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="the message; - is standard input")


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """Many."""
    rows = settled(
        returns.listing(
            context.db, context.actor, kind=arguments.kind, about=arguments.message, recipient=arguments.recipient, hard=arguments.hard,
            after=arguments.after, limit=arguments.limit,
        )
    )  # fmt: skip
    context.show(
        rows,
        ("id", "when", "kind", "recipient", "status", "why", "message"),
        lambda row: (
            row.id,
            context.when(row.at),
            row.kind,
            row.recipient or "-",
            row.status or "-",
            row.word or row.feedback_type or "-",
            row.about,
        ),
        "nothing came back",
        keep=("recipient",),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One."""
    row = settled(returns.show(context.db, context.actor, arguments.id))
    pairs = [
        ("id", str(row.id)), ("when", context.when(row.at)), ("kind", row.kind), ("message", row.about), ("sent by", row.sender),
        ("recipient", row.recipient), ("final recipient", row.final), ("action", row.action), ("status", row.status), ("why", row.word),
        ("hard", "yes" if row.is_hard else "no"), ("said", row.diagnostic), ("by", row.remote_mta), ("complaint", row.feedback_type),
        ("from address", row.source_ip), ("reported by", row.reporter), ("text", row.text), ("came as", row.report),
        ("passed on", "to the sender" if row.passed_on else "no"),
    ]  # fmt: skip
    context.show_one(row, [(name, value) for name, value in pairs if value])
    return OK


def token(context: Context, arguments: argparse.Namespace) -> int:
    """What an address means."""
    config = context.config
    keys = ReturnKeys(config.state, lambda octets: b"")
    found = settled(returns.explain(context.db, context.actor, keys.load(), arguments.address, now=context.seconds(), days=config.returns.days))
    pairs = [
        ("address", found.address), ("kind", found.kind), ("status", found.status), ("message", found.about), ("recipient", found.recipient),
        ("goes to", found.sender), ("made", context.when(found.made) if found.made is not None else ""),
        ("expires", context.when(found.expires) if found.expires is not None else ""),
    ]  # fmt: skip
    context.show_one(found, [(name, value) for name, value in pairs if value])
    return OK if found.status == "ok" else FAILED


def read(context: Context, arguments: argparse.Namespace) -> int:
    """How a message is understood."""
    if arguments.file == "-":
        octets = getattr(context.inp, "buffer", context.inp).read(MAX_OCTETS)
        octets = octets if isinstance(octets, bytes) else octets.encode("utf-8", "surrogateescape")
    else:
        with Path(arguments.file).open("rb") as file:
            octets = file.read(MAX_OCTETS)
    message = Message(octets)
    found = returned.read(message, message.text(b"return-path").strip() == "<>")
    pairs = [
        ("kind", found.kind), ("message-id", found.message_id), ("envelope id", found.envid), ("return path", found.return_path),
        ("complaint", found.feedback_type), ("from address", found.source_ip), ("reported by", found.reporter),
    ]  # fmt: skip
    for item in found.recipients:
        said = " ".join(part for part in (item.action, item.status, item.word) if part)
        pairs.append(("recipient", f"{item.address}  {said}".strip()))
        pairs.append(("said", item.diagnostic))
    plain = {**asdict(found), "recipients": [item._asdict() for item in found.recipients]}
    context.show_one(plain, [(name, value) for name, value in pairs if value])
    return OK if found.kind != "other" else FAILED
