"""list add | remove | show: allow lists and block lists. thresholds show | set | reset: from which score on what happens (spec 6.7, 6.8)."""

from __future__ import annotations

import argparse

from jetmail.actions import lists, thresholds
from jetmail.actions.domains import DEFAULT_SCORES
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.errors import UsageError
from jetmail.rules import registry
from jetmail.rules.checks.thresholds import Thresholds

EXAMPLE = "list add --scope domain:example.org allow 192.0.2.0/24"
_LEVELS = """\
The appliance's lists come before an account's, those before an address's, those before a domain's; a list of any level comes before the
score. Within a level allow beats block. The appliance's match the envelope sender, all others the From header; all of them the client."""
_MEANS = {"reject": "refused from here on", "spam": "held or marked from here on", "defer": "strangers come back later from here on"}


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("list", "allow lists and block lists of senders and networks", EXAMPLE)
    parser = family.add("add", add, "put an entry on a list", [EXAMPLE, "list add --scope domain:example.org block 0.0.0.0/0"], details=_LEVELS)
    _entry(parser)
    parser = family.add(
        "remove", remove, "take an entry off a list", "list remove --scope domain:example.org allow 192.0.2.0/24", yes=True
    )
    _entry(parser)
    parser = family.add("show", show, "show the lists of one scope", "list show --scope address:alice@example.org", details=_LEVELS)
    _scope(parser)

    family = commands.family("thresholds", "the scores at which mail is deferred, held or refused", "thresholds set --domain example.org --spam 5")
    parser = family.add("show", show_thresholds, "show what is in force and where it comes from", "thresholds show --domain example.org")
    _domain(parser)
    parser = family.add(
        "set",
        set_thresholds,
        "set what is given, keep the rest",
        ["thresholds set --reject 12 --spam 5 --defer 3", "thresholds set --domain example.org --reject 999"],
        details="Scores are 0 to 999; 999 switches one off. A higher score lets more through. A domain's own come before the appliance's.",
    )
    _domain(parser)
    for name in thresholds.NAMES:
        parser.add_argument(f"--{name}", type=float, metavar="SCORE", help=f"{_MEANS[name]} ({DEFAULT_SCORES[name + '_score']:g})")
    parser = family.add(
        "reset",
        reset_thresholds,
        "go back to what the level above says",
        "thresholds reset --domain example.org",
        details="A domain goes back to the appliance's, the appliance to those of etc/rules.toml.",
        yes=True,
    )
    _domain(parser)


def _scope(parser: Parser) -> None:
    parser.add_argument("--scope", default="appliance", metavar="SCOPE", help="appliance (when not said), account:ID, domain:NAME, address:ADDRESS")


def _entry(parser: Parser) -> None:
    _scope(parser)
    parser.add_argument("side", choices=lists.SIDES, help="allow: skip spam filtering; block: refuse")
    parser.add_argument("entry", metavar="ENTRY", help="address, domain (with those below it), IP address, network or range of the client")


def _domain(parser: Parser) -> None:
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="a domain's own; without it the appliance's")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """One more entry."""
    shown = settled(lists.add(context.db, context.actor, *_scope_of(arguments), arguments.side, arguments.entry, now=context.seconds()))
    return _changed(context, shown)


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """One entry less."""
    if not context.confirm(f"Take {arguments.entry} off the {arguments.side} list?"):
        return FAILED
    shown = settled(lists.remove(context.db, context.actor, *_scope_of(arguments), arguments.side, arguments.entry, now=context.seconds()))
    return _changed(context, shown)


def show(context: Context, arguments: argparse.Namespace) -> int:
    """Both lists of a scope."""
    _show(context, settled(lists.show(context.db, context.actor, *_scope_of(arguments))))
    return OK


def show_thresholds(context: Context, arguments: argparse.Namespace) -> int:
    """What is in force."""
    return _thresholds(context, settled(thresholds.show(context.db, context.actor, arguments.domain, defaults=_defaults(context))))


def set_thresholds(context: Context, arguments: argparse.Namespace) -> int:
    """Some of them."""
    changes = {name: value for name in thresholds.NAMES if (value := getattr(arguments, name)) is not None}
    if not changes:
        raise UsageError("changes", "nothing to set; give --reject, --spam or --defer")
    shown = settled(
        thresholds.change(context.db, context.actor, changes, arguments.domain, now=context.seconds(), defaults=_defaults(context))
    )
    context.changed()
    return _thresholds(context, shown)


def reset_thresholds(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    if not context.confirm(f"Reset the thresholds of {arguments.domain or 'the appliance'}?"):
        return FAILED
    shown = settled(thresholds.reset(context.db, context.actor, arguments.domain, now=context.seconds(), defaults=_defaults(context)))
    context.changed()
    return _thresholds(context, shown)


def _scope_of(arguments: argparse.Namespace) -> tuple[str, str]:
    scope, _, key = arguments.scope.partition(":")
    if scope not in ("appliance", "account", "domain", "address"):
        raise UsageError("--scope", f"'{arguments.scope}' is not appliance, account:ID, domain:NAME or address:ADDRESS")
    return scope, key


def _changed(context: Context, shown: lists.Shown) -> int:
    context.changed()
    _show(context, shown)
    for warning in shown.warnings:
        print(f"jetmail: warning: {warning}", file=context.err)
    return OK


def _show(context: Context, shown: lists.Shown) -> None:
    items: list[tuple[str, object]] = [("scope", f"{shown.scope} {shown.scope_key}".strip())]
    items += [(side, entry) for side in lists.SIDES for entry in getattr(shown, side)]
    if not shown.allow and not shown.block:
        items.append(("lists", "empty"))
    context.show_one(shown, items)


def _thresholds(context: Context, shown: thresholds.Shown) -> int:
    context.show_one(shown, [("scope", f"domain {shown.domain}" if shown.domain else "appliance"), *map(_line, shown.thresholds)])
    for warning in shown.warnings:
        print(f"jetmail: warning: {warning}", file=context.err)
    return OK


def _line(threshold: thresholds.Threshold) -> tuple[str, object]:
    means = "never" if threshold.score >= 999 else f"{threshold.score:g}  {_MEANS[threshold.name]}"
    source = {"domain": "", "appliance": "  (the appliance's)", "default": "  (default)"}[threshold.source]
    return threshold.name, means + source


def _defaults(context: Context) -> dict[str, float]:
    """What the chain says where nobody set anything."""
    for entry in registry.load(context.config.rules_file).entries:
        if isinstance(entry.rule, Thresholds):
            return {f"{name}_score": getattr(entry.rule.options, name) for name in thresholds.NAMES}
    return DEFAULT_SCORES

