"""domain verify | dns | spf-include: what a domain's owner publishes, and whether it is there."""

from __future__ import annotations

import argparse

from jetmail.actions import domain_checks
from jetmail.actions.domain_checks import Record, Report
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.mail.address import display_domain

MARKS = {"ok": "ok", "missing": "MISSING", "wrong": "WRONG", "unknown": "?"}


def register(family: Commands) -> None:
    """Declare the commands, in the family domain."""
    parser = family.add(
        "verify",
        verify,
        "look at a domain's DNS now: prove it, make its keys, check its records",
        ["domain verify example.org", "domain verify example.org --json"],
        details="The exit code is 1 until the domain is proved. A running jetmail looks every hour by itself.",
    )
    _arguments(parser)
    parser = family.add(
        "dns",
        dns,
        "print the records to publish, with what was last found",
        ["domain dns example.org", "domain dns example.org --zone"],
    )
    _arguments(parser)
    parser.add_argument("--zone", action="store_true", help="only the records, as lines of a zone file")
    parser = family.add(
        "spf-include",
        spf_include,
        "an account's own name for SPF, in place of ours (whitelabel)",
        ["domain spf-include spf.brand.example", "domain spf-include", "domain spf-include --clear"],
        details="Its customers then publish include:NAME; NAME itself includes ours, and the check follows it there.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the account's own name; without one, what is set is shown and checked")
    parser.add_argument("--clear", action="store_true", help="use our name again")
    parser.add_argument("--account", default="", metavar="ACCOUNT", help="whose: the account's name or number (default)")


def verify(context: Context, arguments: argparse.Namespace) -> int:
    """Look now."""
    report = settled(
        domain_checks.verify(context.workshop, context.actor, arguments.name, token=context.token(), account_id=_account(context, arguments))
    )
    context.changed()
    _show(context, report)
    return OK if report.verified_at is not None else FAILED


def dns(context: Context, arguments: argparse.Namespace) -> int:
    """What to publish."""
    report = settled(
        domain_checks.told(context.workshop, context.actor, arguments.name, token=context.token(), account_id=_account(context, arguments))
    )
    if arguments.zone:
        for record in report.records:
            print(record.line, file=context.out)
    else:
        _show(context, report)
    return OK


def spf_include(context: Context, arguments: argparse.Namespace) -> int:
    """Whitelabel."""
    if arguments.name or arguments.clear:
        settled(domain_checks.set_include(context.db, context.actor, context.account(arguments.account), arguments.name, now=context.seconds()))
        context.changed()
    told = settled(domain_checks.include(context.workshop, context.actor, context.account(arguments.account)))
    items: list[tuple[str, object]] = [("account", told.account_id), ("name", told.name or "ours")]
    if told.name:
        items += [("publish", f'{told.name}. IN TXT "{told.value}"'), ("status", MARKS[told.status]), ("found", told.found or "-")]
    context.show_one(told, items)
    return OK


def _arguments(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the domain")
    parser.add_argument("--account", default="", metavar="ACCOUNT", help="of this account (its name or number), where several say it is theirs")


def _show(context: Context, report: Report) -> None:
    items: list[tuple[str, object]] = [
        ("domain", display_domain(report.domain)),
        ("proved", output.when(report.verified_at)),
        ("ready", "yes" if report.is_ready else "no"),
    ]
    items += [("done", each) for each in report.done]
    for record in report.records:
        items += _items(record)
    context.show_one(report, items)


def _items(record: Record) -> list[tuple[str, object]]:
    optional = " (optional)" if record.optional else ""
    items: list[tuple[str, object]] = [("", ""), (record.subject, f"{MARKS[record.status]}{optional}"), ("  publish", record.line)]
    if record.found:
        items.append(("  found", record.found))
    if record.note and record.status != "ok":
        items.append(("  note", record.note))
    return items


def _account(context: Context, arguments: argparse.Namespace) -> int:
    return context.account(arguments.account) if arguments.account else 0
