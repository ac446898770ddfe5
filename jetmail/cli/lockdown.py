"""lockdown check | record: which users a domain lets send, and the DNS record that says so."""

from __future__ import annotations

import argparse

from jetmail.actions import lockdown
from jetmail.actions.lockdown import Explained, Stated
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands
from jetmail.mailauth.suffixes import PublicSuffixes


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("lockdown", "Domain Lockdown: whom the owner of a domain lets send, in DNS", "lockdown check example.com --user app")
    parser = family.add(
        "check",
        check,
        "explain a domain's record and whom it admits",
        ["lockdown check example.com", "lockdown check example.com --user app --ip 192.0.2.7"],
        details="Looks at _jm.DOMAIN and the names above it, as a message would be judged. With --user the exit code is 1 for one who may not send.",
    )
    parser.add_argument("domain", metavar="DOMAIN", help="the domain mail is to be from")
    parser.add_argument("--user", default="", metavar="USER", help="judge this SMTP user or person, by name, address or uuid")
    parser.add_argument("--ip", default="", metavar="ADDRESS", help="coming from this IP address")
    parser = family.add(
        "record",
        record,
        "print the record that admits these users",
        ["lockdown record example.com --user app", "lockdown record example.com --user app --user crm --net 192.0.2.0/24"],
        details="Users are printed by uuid: it stays when the name changes, and it tells nobody the name.",
    )
    parser.add_argument("domain", metavar="DOMAIN", help="the domain to lock down")
    parser.add_argument("--user", action="append", default=[], metavar="USER", help="an SMTP user or a person; may be repeated; none: nobody")
    parser.add_argument("--net", action="append", default=[], metavar="NETWORK", help="and only from this address or network; may be repeated")


def check(context: Context, arguments: argparse.Namespace) -> int:
    """What a domain says."""
    told: Explained = settled(
        lockdown.explain(context.db, context.actor, context.resolver, PublicSuffixes(), arguments.domain, user=arguments.user, address=arguments.ip)
    )
    items: list[tuple[str, object]] = [("domain", told.domain), ("standing", told.standing), ("why", told.why)]
    for stated in told.records:
        items += _items(stated)
    items.append(("asked", ", ".join(told.asked)))
    context.show_one(told, items)
    return FAILED if arguments.user and told.standing in ("refused", "unknown") else OK


def record(context: Context, arguments: argparse.Namespace) -> int:
    """What to publish."""
    found = settled(lockdown.record(context.db, context.actor, arguments.domain, arguments.user, networks=arguments.net))
    if not arguments.user:
        print("jetmail: warning: without --user this record lets nobody send from the domain", file=context.err)
    context.show_one(found, [("name", found.name), ("type", "TXT"), ("ttl", found.ttl), ("value", found.value)])
    return OK


def _items(stated: Stated) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [("record", stated.text)]
    for admitted in stated.admits:
        who = f"SMTP user {admitted.username} ({admitted.uuid})" if admitted.uuid else "no SMTP user here"
        items.append(("  admits", f"{admitted.auth}  = {who}"))
    if not stated.admits:
        items.append(("  admits", "nobody"))
    items.append(("  from", "anywhere" if stated.networks is None else ", ".join(stated.networks) or "nowhere"))
    items += [("  problem", problem) for problem in stated.problems]
    return items
