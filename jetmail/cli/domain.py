"""domain add | list | show | set | remove | verify | dns | spf-include: what jetmail takes mail for, and where it goes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from jetmail.actions import domains
from jetmail.cli import domain_dns, output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.mail.address import display_domain
from jetmail.store.directory.domains import Destination, Domain

SCORES = ("reject_score", "spam_score", "defer_score")
EXAMPLE = "domain add example.org --destination mail.example.org:25 --verified"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("domain", "domains: what mail is taken for, and where it goes", EXAMPLE)
    parser = family.add("add", add, "take mail for a domain", [EXAMPLE, "domain add example.net --alias-of example.org --verified"])
    parser.add_argument("name", metavar="NAME", help="the domain")
    parser.add_argument(
        "--alias-of", default="", metavar="DOMAIN", help="mail for x@NAME is mail for x@DOMAIN; such a domain has no destination of its own"
    )
    parser.add_argument("--verified", action="store_true", help="its owner is known to agree; without it mail for it is refused until proved by DNS")
    parser.add_argument("--account", default="", metavar="ACCOUNT", help="whose it is: the account's name or number (default)")
    _add_settings(parser)
    family.add("list", listing, "list the domains", "domain list --json")
    _name(family.add("show", show, "show one domain with everything set for it", "domain show example.org"))
    parser = family.add(
        "set",
        change,
        "change what is given, keep the rest",
        [
            "domain set example.org --destination mail.example.org:25 --destination backup.example.org:25:20",
            "domain set example.org --recipients listed --spam-score 5",
        ],
    )
    _name(parser)
    parser.add_argument("--alias-of", metavar="DOMAIN", help="the domain this alias stands for")
    parser.add_argument("--verified", choices=("yes", "no"), help="its owner is known to agree")
    parser.add_argument("--inbound", choices=("on", "off"), help="off: mail for it is told to come back later (450)")
    parser.add_argument("--outbound", choices=("on", "off"), help="off: nothing may be sent from it")
    _add_settings(parser)
    parser = family.add(
        "remove",
        remove,
        "take no more mail for it; mail in the queue stays there",
        "domain remove example.org --yes",
        yes=True,
        details="Its known recipients, aliases and rules go with it.",
    )
    _name(parser)
    domain_dns.register(family)


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the domain")


def _add_settings(parser: Parser) -> None:
    parser.add_argument(
        "--destination", action="append", metavar="HOST[:PORT[:PRIORITY]]", help="where its mail goes; may be repeated, lower priority first (25, 10)"
    )
    parser.add_argument("--tls", choices=domains.TLS_MODES, help="TLS towards its destinations (opportunistic)")
    parser.add_argument(
        "--recipients",
        choices=domains.RECIPIENT_MODES,
        help="who exists: any (none is refused), listed (see recipient add), callout (its destination is asked), ldap (see [ldap])",
    )
    parser.add_argument("--spam-action", choices=domains.SPAM_ACTIONS, help="what becomes of mail over the spam score")
    parser.add_argument("--keep-spam", choices=("yes", "no"), help="yes: keep a copy of what is refused for its score, for the owner to release")
    parser.add_argument(
        "--dmarc", choices=domains.DMARC_MODES, help="what an author's domain asks for by DMARC is done (enforce), only weighed (score), or neither"
    )
    for name in SCORES:
        words = {
            "reject_score": "refuse mail from this score on (15)",
            "spam_score": "spam from this score on (6)",
            "defer_score": "ask strangers to come back from this score on (4)",
        }[name]
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=f"{words}; 999 never, 'default' the appliance's own")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new domain."""
    given = {key: value for key, value in _settings(arguments).items() if value is not None}
    destinations = _destinations(arguments.destination or (), arguments.tls or "opportunistic")
    kind = "alias" if arguments.alias_of else "relay"
    saved = settled(
        domains.add(
            context.db,
            context.actor,
            arguments.name,
            now=context.seconds(),
            destinations=destinations,
            kind=kind,
            alias_of=arguments.alias_of,
            verified=arguments.verified,
            account_id=context.account(arguments.account),
            challenge=context.token(),
            **given,
        )
    )
    return _saved(context, saved)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All domains."""
    rows = settled(domains.listing(context.db, context.actor))
    context.show(rows, ("domain", "goes to", "recipients", "tls", "state"), _cells, "no domains; add one with: " + EXAMPLE)
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One domain."""
    saved = settled(domains.show(context.db, context.actor, arguments.name))
    context.show_one(saved.domain, _items(saved.domain))
    _warn(context, saved)
    return OK


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Some settings of one domain."""
    changes: dict[str, Any] = {key: value for key, value in _settings(arguments).items() if value is not None or getattr(arguments, key, None)}
    if arguments.alias_of:
        changes["alias_of"] = arguments.alias_of
    for field, words in (("verified", "yes"), ("inbound", "on"), ("outbound", "on")):
        if (value := getattr(arguments, field)) is not None:
            changes[field] = value == words
    if arguments.destination:
        changes["destinations"] = _destinations(arguments.destination, arguments.tls or "opportunistic")
    elif arguments.tls:
        before = settled(domains.show(context.db, context.actor, arguments.name)).domain
        changes["destinations"] = [replace(destination, tls=arguments.tls) for destination in before.destinations]
    saved = settled(domains.change(context.db, context.actor, arguments.name, changes, now=context.seconds()))
    return _saved(context, saved)


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Forget one domain."""
    domain = settled(domains.show(context.db, context.actor, arguments.name)).domain
    if not context.confirm(f"Remove {domain.name} with its recipients, aliases and rules?"):
        return FAILED
    removed = settled(domains.remove(context.db, context.actor, arguments.name, now=context.seconds()))
    context.changed()
    context.show_one(removed, [("removed", removed.name)])
    return OK


def _saved(context: Context, saved: domains.Saved) -> int:
    context.changed()
    context.show_one(saved.domain, _items(saved.domain))
    _warn(context, saved)
    return OK


def _warn(context: Context, saved: domains.Saved) -> None:
    for warning in saved.warnings:
        print(f"jetmail: warning: {warning}", file=context.err)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {"recipients": arguments.recipients, "spam_action": arguments.spam_action, "dmarc": arguments.dmarc}
    if arguments.keep_spam is not None:
        given["keep_spam"] = arguments.keep_spam == "yes"
    given.update({name: _score(getattr(arguments, name)) for name in SCORES})
    return given


def _score(text: str | None) -> float | str | None:
    if text is None or text == "default":
        return None
    try:
        return float(text)
    except ValueError:
        return text  # the action names the field and the reason


def _destinations(texts: list[str] | tuple[str, ...], tls: str) -> list[Destination]:
    """'HOST', 'HOST:PORT' or 'HOST:PORT:PRIORITY', IPv6 addresses in brackets."""
    result = []
    for text in texts:
        head, colon, priority = text.rpartition(":")
        has_priority = bool(colon) and priority.isdigit() and ":" in head.rpartition("]")[2]
        if has_priority and (text.startswith("[") or text.count(":") == 2):
            result.append(domains.parse_destination(head, priority=int(priority[:9]), tls=tls))
        else:
            result.append(domains.parse_destination(text, tls=tls))
    return result


def _cells(domain: Domain) -> tuple[object, ...]:
    goes = f"= {domain.alias_of}" if domain.kind == "alias" else ", ".join(str(item) for item in domain.destinations) or "by MX"
    tls = ", ".join(sorted({item.tls for item in domain.destinations})) or "-"
    return display_domain(domain.name), goes, domain.recipients, tls, _state(domain)


def _state(domain: Domain) -> str:
    if domain.verified_at is None:
        return "not verified"
    return "active" if domain.inbound else "disabled"


def _items(domain: Domain) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [("domain", display_domain(domain.name))]
    if domain.kind == "alias":
        items.append(("alias of", domain.alias_of))
    items += [("destination", f"{item}  priority {item.priority}  tls {item.tls}") for item in domain.destinations]
    items += [
        ("state", _state(domain)),
        ("verified", output.when(domain.verified_at)),
        ("recipients", domain.recipients),
        ("spam action", domain.spam_action + (", refused spam is kept" if domain.keep_spam else "")),
        ("dmarc", domain.dmarc),
    ]
    for name in SCORES:
        value = getattr(domain, name)
        items.append((name.replace("_", " "), "appliance default" if value is None else f"{value:g}"))
    return items
