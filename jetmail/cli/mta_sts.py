"""mta-sts set | show | list | remove: the policies our own domains publish (docs/transport.md)."""

from __future__ import annotations

import argparse

from jetmail.actions import mta_sts
from jetmail.actions.mta_sts import Shown
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("mta-sts", "MTA-STS: what others must see before they send to our domains", "mta-sts set example.org --mode testing")
    parser = family.add(
        "set",
        choose,
        "choose a domain's policy, or change what is given of it",
        ["mta-sts set example.org", "mta-sts set example.org --mode enforce --mx mx1.example.net --mx mx2.example.net"],
        details="Prints the records to publish. Begin with testing, read the reports, then enforce. [web] policy_port serves the policy; the "
        "certificate for mta-sts.NAME is the file mta-sts.NAME.pem in web.policy_certificates.",
    )
    _name(parser)
    parser.add_argument("--mode", choices=("none", "testing", "enforce"), help="what senders are to do (testing at first); none withdraws a policy")
    parser.add_argument("--mx", action="append", metavar="HOST", help="a host that takes its mail, or *.NAME; may be repeated (our own name)")
    parser.add_argument("--own-mx", action="store_true", help="our own name again, in place of hosts that were named")
    parser.add_argument("--max-age", type=int, metavar="SECONDS", help="how long senders hold on to the policy (604800 at first)")
    _name(family.add("show", show, "show a domain's policy, its file and the records to publish", "mta-sts show example.org"))
    family.add("list", listing, "list the domains that have a policy", "mta-sts list --json")
    parser = family.add(
        "remove",
        remove,
        "serve a domain's policy no more",
        "mta-sts remove example.org --yes",
        yes=True,
        details="Senders that know the policy hold on to it for its max_age: set mode none first, and remove it when that time is over.",
    )
    _name(parser)


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the domain")


def choose(context: Context, arguments: argparse.Namespace) -> int:
    """A policy."""
    hosts = () if arguments.own_mx else arguments.mx
    return _show(
        context,
        settled(
            mta_sts.choose(
                context.db, context.actor, context.workshop.options, arguments.name, now=context.seconds(), mode=arguments.mode, hosts=hosts,
                max_age=arguments.max_age,
            )
        ),
        True,
    )  # fmt: skip


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One."""
    return _show(context, settled(mta_sts.show(context.db, context.actor, context.workshop.options, arguments.name)))


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All."""
    context.show(
        settled(mta_sts.listing(context.db, context.actor, context.workshop.options)),
        ("domain", "mode", "hosts", "max age", "changed"),
        lambda row: (row.domain, row.mode, " ".join(row.hosts), row.max_age, context.when(row.changed)),
        "no domain has a policy; choose one with: mta-sts set NAME",
    )
    return OK


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """No more."""
    shown = settled(mta_sts.show(context.db, context.actor, context.workshop.options, arguments.name))
    question = f"{shown.domain} is in mode {shown.mode}: senders hold on to it for {shown.max_age} s. Remove it?"
    if shown.mode != "none" and not context.confirm(question):
        return FAILED
    removed = settled(mta_sts.remove(context.db, context.actor, context.workshop.options, arguments.name, now=context.seconds()))
    context.changed()
    context.show_one(removed, [("removed", removed.domain)])
    return OK


def _show(context: Context, shown: Shown, is_new: bool = False) -> int:
    if is_new:
        context.changed()
    items: list[tuple[str, object]] = [("domain", shown.domain), ("mode", shown.mode), ("hosts", " ".join(shown.hosts)), ("file", shown.url)]
    items += [("", line) for line in shown.file.split("\r\n") if line]
    items += [("publish", line) for line in shown.records]
    if not context.config.web.policy_port:
        items.append(("note", "web.policy_port is 0: the policy is not served here"))
    context.show_one(shown, items)
    for warning in shown.warnings:
        print(f"jetmail: warning: {warning}", file=context.err)
    return OK
