"""rules: the chain in its effective order. rule add | list | show | set | remove: the people's own allow and block rules (spec 1.5)."""

from __future__ import annotations

import argparse
import json
import re
import uuid
from pathlib import Path
from typing import Any

from jetmail.actions import dryrun, rules
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.log import status_word
from jetmail.cli.parser import FAILED, OK, Commands, Parser, count, moment
from jetmail.errors import UsageError
from jetmail.rules import registry
from jetmail.store.directory.rules import StoredRule
from jetmail.store.traffic.search import LogRow

TEXT_TYPES = ("exact", "contains", "starts_with", "ends_with", "regex")
ATTACHMENT_TYPES = ("filename", "extension", "mime_type")
EXAMPLE = "rule add block --domain example.org --sender spam.example --subject starts_with:Re:"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 \-_.]+")
_CONDITIONS = {
    "sender": "address, domain (*.domain: those below too) or regex:PATTERN; envelope or header",
    "recipient": "address, domain or regex:PATTERN",
    "subject": "[exact:|contains:|starts_with:|ends_with:|regex:]TEXT; contains when not said",
    "body": "the same for the text of the body",
    "header": "NAME:[exact:|contains:|...]TEXT",
    "ip": "address, network (192.0.2.0/24) or range (192.0.2.1-192.0.2.9) of the client",
    "attachment": "any, [filename:|extension:|mime_type:]TEXT; filename when not said",
}


def register(commands: Commands) -> None:
    """Declare the commands."""
    commands.add(
        "rules",
        chain,
        "print the rule chain in its effective order, stage by stage",
        "rules --json",
        details="The chain is etc/rules.toml. What people allow and block is under `jetmail rule`.",
    )
    family = commands.family("rule", "allow and block rules", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "add an allow or block rule",
        [EXAMPLE, "rule add allow --sender partner.example"],
        details=(
            "Several values of one kind are alternatives; different kinds must all hold. Without --domain, --address or --account it\n"
            "holds for the whole appliance."
        ),
    )
    parser.add_argument("action", choices=("allow", "block"), help="allow: skip spam filtering; block: refuse")
    _scope(parser)
    parser.add_argument("--name", default="", metavar="TEXT", help="what to call it")
    _settings(parser)
    _scope(family.add("list", listing, "list rules in the order they are asked", "rule list --domain example.org"))
    parser = family.add("show", show, "show a rule with its conditions", "rule show 5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a")
    parser.add_argument("uuid", metavar="UUID", help="as `rule list` prints it")
    parser = family.add(
        "set",
        change,
        "change what is given, keep the rest",
        "rule set 5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a --enabled no",
        details="Conditions given replace all conditions of the rule.",
    )
    parser.add_argument("uuid", metavar="UUID", help="as `rule list` prints it")
    parser.add_argument("--action", choices=("allow", "block"), help="what it does")
    parser.add_argument("--enabled", choices=("yes", "no"), help="no: keep it, do not ask it")
    parser.add_argument("--name", metavar="TEXT", help="what to call it")
    _settings(parser)
    parser = family.add("remove", remove, "remove a rule", "rule remove 5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a", yes=True)
    parser.add_argument("uuid", metavar="UUID", help="as `rule list` prints it")
    parser = family.add(
        "test",
        test,
        "try a rule on logged and quarantined mail, without letting it loose",
        ["rule test 5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a --since 7d", "rule test --domain example.org --sender spam.example --subject invoice"],
        details=(
            "A rule that is there, or conditions nobody has saved. Conditions on body, headers and attachments need content, which is kept while\n"
            "mail is queued or held: for other messages they cannot be told, and those are listed with '?'."
        ),
    )
    parser.add_argument("uuid", nargs="?", default="", metavar="UUID", help="a rule, as `rule list` prints it")
    parser.add_argument("--action", choices=("allow", "block"), default="block", help="as which the conditions are tried (block)")
    _scope(parser)
    _add_conditions(parser)
    parser.add_argument("--since", type=moment, metavar="WHEN", help="mail from this time on: 2026-11-20 or 7d (ago)")
    parser.add_argument("--look-at", type=count, default=dryrun.MAX_ROWS, metavar="N", help=f"rows of the log to look at ({dryrun.MAX_ROWS})")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="rows to show (50)")


def _scope(parser: Parser) -> None:
    scopes = parser.add_mutually_exclusive_group()
    scopes.add_argument("--domain", metavar="DOMAIN", help="for mail to one domain")
    scopes.add_argument("--address", metavar="ADDRESS", help="for mail to one address")
    scopes.add_argument("--account", metavar="ACCOUNT", help="for mail to all domains of one account: its name or number")


def _settings(parser: Parser) -> None:
    parser.add_argument("--description", metavar="TEXT", help="why it is there")
    parser.add_argument("--priority", type=int, metavar="N", help="lower is asked first (100)")
    _add_conditions(parser)


def _add_conditions(parser: Parser) -> None:
    for name, text in _CONDITIONS.items():
        parser.add_argument(f"--{name}", action="append", default=[], metavar="VALUE", help=text)
    parser.add_argument("--min-size", type=int, metavar="OCTETS", help="messages of at least this size")
    parser.add_argument("--max-size", type=int, metavar="OCTETS", help="messages of at most this size")
    parser.add_argument("--conditions", metavar="JSON", help="the API's object instead of the options above; @FILE reads it from a file")


def chain(context: Context, arguments: argparse.Namespace) -> int:
    """The chain."""
    described = registry.load(context.config.rules_file).describe()
    context.show(
        described,
        ("stage", "name", "kind", "asked for", "level", "on error", "class"),
        lambda row: (
            row["stage"],
            row["name"],
            row["kind"],
            "each" if row["scope"] == "recipient" else "all",
            row["level"] or "-",
            row["on_error"],
            row["class"].removeprefix("jetmail.rules.checks."),
        ),
        keep=("stage", "name", "kind", "asked for", "level", "on error"),
    )
    return OK


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new rule."""
    conditions = _conditions(arguments)
    scope, key = _scope_of(context, arguments)
    name = arguments.name or _NOT_IN_NAMES.sub(" ", f"{arguments.action} {' '.join(_values(conditions))}").strip()[:100].strip()
    given = {field: value for field in ("description", "priority") if (value := getattr(arguments, field)) is not None}
    rule = settled(
        rules.add(context.db, context.actor, str(uuid.uuid4()), scope, key, arguments.action, name, conditions, now=context.seconds(), **given)
    )
    context.changed()
    _show(context, rule)
    return OK


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """The rules of one scope."""
    found = settled(rules.listing(context.db, context.actor, *_scope_of(context, arguments)))
    context.show(
        [_plain(rule) for rule in found],
        ("uuid", "action", "enabled", "priority", "name", "conditions"),
        lambda row: (
            row["uuid"],
            row["action"],
            "yes" if row["enabled"] else "no",
            row["priority"],
            row["name"],
            " ".join(_values(row["conditions"])),
        ),
        "no rules here; add one with: " + EXAMPLE,
        ("uuid", "action"),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One rule."""
    _show(context, settled(rules.show(context.db, context.actor, arguments.uuid)))
    return OK


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Some of one rule."""
    changes: dict[str, Any] = {
        field: value for field in ("action", "name", "description", "priority") if (value := getattr(arguments, field)) is not None
    }
    if arguments.enabled is not None:
        changes["enabled"] = arguments.enabled == "yes"
    if conditions := _conditions(arguments):
        changes["conditions"] = conditions
    rule = settled(rules.change(context.db, context.actor, arguments.uuid, changes, now=context.seconds()))
    context.changed()
    _show(context, rule)
    return OK


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Forget one rule."""
    rule = settled(rules.show(context.db, context.actor, arguments.uuid))
    if not context.confirm(f"Remove the rule '{rule.name}'?"):
        return FAILED
    removed = settled(rules.remove(context.db, context.actor, arguments.uuid, now=context.seconds()))
    context.changed()
    context.show_one(_plain(removed), [("removed", removed.uuid)])
    return OK


def test(context: Context, arguments: argparse.Namespace) -> int:
    """What a rule would have done."""
    since = arguments.since and (arguments.since[1] if arguments.since[0] == "at" else context.seconds() - arguments.since[1])
    conditions = _conditions(arguments)
    if bool(arguments.uuid) == bool(conditions):
        raise UsageError("UUID", "name a rule, or give conditions: one of the two")
    if arguments.uuid:
        trying = dryrun.try_stored(context.db, context.actor, arguments.uuid, context.spool, date_from=since, limit=arguments.look_at)
    else:
        trying = dryrun.try_conditions(
            context.db,
            context.actor,
            *_scope_of(context, arguments),
            arguments.action,
            conditions,
            context.spool,
            date_from=since,
            limit=arguments.look_at,
        )
    tried = settled(trying)
    rows = sorted([(row, True) for row in tried.matched] + [(row, False) for row in tried.unknown], key=lambda pair: -pair[0].message_id)
    if arguments.json:
        figures = {"looked_at": tried.looked_at, "matched": tried.matches, "cannot_tell": tried.unknowns, "is_complete": tried.is_complete}
        context.show_one(figures | {"rows": [_tried(row, is_match) for row, is_match in rows[: arguments.limit]]}, [])
        return OK
    if rows:
        output.table(
            context.out,
            ("match", "received", "uid", "status", "from", "to", "subject"),
            [("yes" if is_match else "?", context.when(row.received), row.uid, status_word(row.status, row.held), row.sender or "<>", row.recipient,
              row.subject) for row, is_match in rows[: arguments.limit]],
            keep=("match", "received", "uid"),
        )  # fmt: skip
        context.say("")
    more = "" if tried.is_complete else " (the newest; look at more with --look-at or --since)"
    context.say(f"{tried.matches} of {tried.looked_at} looked at would have matched{more}")
    if tried.unknowns:
        context.say(f"{tried.unknowns} cannot be told: their content is not kept")
    return OK


def _tried(row: LogRow, is_match: bool) -> dict[str, Any]:
    return {"match": True if is_match else None} | {
        field: getattr(row, field) for field in ("uid", "delivery_id", "received", "sender", "header_from", "recipient", "subject", "status", "size")
    }


def _scope_of(context: Context, arguments: argparse.Namespace) -> tuple[str, str]:
    if arguments.account:
        return "account", str(context.account(arguments.account))
    for scope in ("domain", "address"):
        if getattr(arguments, scope):
            return scope, getattr(arguments, scope)
    return "appliance", ""


def _plain(rule: StoredRule) -> dict[str, Any]:
    return {**output.plain(rule), "conditions": rule.parsed}


def _show(context: Context, rule: StoredRule) -> None:
    items: list[tuple[str, object]] = [
        ("uuid", rule.uuid),
        ("name", rule.name),
        ("action", rule.action + ("" if rule.enabled else " (disabled)")),
        ("scope", f"{rule.scope} {rule.scope_key}".strip()),
        ("priority", rule.priority),
        ("description", rule.description),
    ]
    items += [(kind, json.dumps(value, ensure_ascii=False)) for kind, value in rule.parsed.items()]
    items.append(("modified", output.when(rule.modified)))
    context.show_one(_plain(rule), items)


def _conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """The API's object out of options, or as given."""
    if arguments.conditions is not None:
        text = Path(arguments.conditions[1:]).read_text("utf-8") if arguments.conditions.startswith("@") else arguments.conditions
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise UsageError("--conditions", f"is no JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise UsageError("--conditions", "must be a JSON object")
        return parsed
    conditions: dict[str, Any] = {
        "senders": [_address(text, "sender") for text in arguments.sender],
        "recipients": [_address(text, "recipient") for text in arguments.recipient],
        "subjects": [_text(text, "subject_value") for text in arguments.subject],
        "body": [_text(text, "body_value") for text in arguments.body],
        "headers": [_header(text) for text in arguments.header],
        "ips": [{"ip_type": "range" if "-" in text else "cidr" if "/" in text else "single", "ip_value": text} for text in arguments.ip],
        "attachments": [_attachment(text) for text in arguments.attachment],
        "size": {name: value for name in ("min_size", "max_size") if (value := getattr(arguments, name)) is not None},
    }
    return {kind: value for kind, value in conditions.items() if value}


def _address(text: str, side: str) -> dict[str, str]:
    kind, value = _typed(text, ("regex", "email", "domain"), "email" if "@" in text else "domain")
    return {f"{side}_type": kind, f"{side}_value": value.removeprefix("@") if kind == "domain" else value}


def _text(text: str, value_name: str) -> dict[str, str]:
    kind, value = _typed(text, TEXT_TYPES, "contains")
    return {"match_type": kind, value_name: value}


def _header(text: str) -> dict[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError("--header", f"'{text}' is not NAME:TEXT")
    return {"header_name": name.strip(), **_text(value.strip(), "header_value")}


def _attachment(text: str) -> dict[str, str]:
    if text == "any":
        return {"match_type": "any"}
    kind, value = _typed(text, ATTACHMENT_TYPES, "filename")
    return {"match_type": kind, "match_value": value}


def _typed(text: str, kinds: tuple[str, ...], default: str) -> tuple[str, str]:
    head, colon, rest = text.partition(":")
    return (head, rest) if colon and head in kinds else (default, text)


def _values(conditions: dict[str, Any]) -> list[str]:
    """What a rule is about, in a few words."""
    words = []
    for kind, entries in conditions.items():
        for entry in entries if isinstance(entries, list) else [entries]:
            values = [str(value) for name, value in entry.items() if name.endswith(("_value", "_size", "_name"))] if isinstance(entry, dict) else []
            words.append(f"{kind} {' '.join(values) or 'any'}")
    return words
