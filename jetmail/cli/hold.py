"""hold add | list | show | set | remove | test: rules for mail that is taken and then waits for people."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from jetmail.actions import accounts, holds, people
from jetmail.actions.holds import Trial
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, moment
from jetmail.errors import NotFoundError, UsageError
from jetmail.mail.holdrule import DIRECTIONS, HoldRule

_UUID = "5a1f8c1e-8f8e-4f2a-9a51-3f0d6f3c2b1a"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("hold", "hold rules: mail that is taken and then waits for people", "hold list")
    parser = family.add(
        "add",
        add,
        "add a hold rule",
        ["hold add --user crm-mailer --reason 'waits for a second look'", "hold add --for-domain example.org --direction inbound --score-over 3"],
        details=(
            "A rule holds mail that meets all it names. The sender hears 250; the mail is stored and not tried before `queue unhold`, which\n"
            "`queue list --held` helps with. Without a scope (--for-...) it is about all mail of the appliance."
        ),
    )
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--for-account", metavar="ACCOUNT", help="what the account's users send, what comes for its domains")
    scope.add_argument("--for-domain", metavar="DOMAIN", help="what is sent from the domain, what comes for it")
    scope.add_argument("--for-user", metavar="USER", help="what the SMTP user, or person, sends")
    _settings(parser)
    family.add("list", listing, "list hold rules in the order they are asked", "hold list --json")
    parser = family.add("show", show, "show a hold rule", f"hold show {_UUID}")
    parser.add_argument("uuid", metavar="UUID", help="as `hold list` prints it")
    parser = family.add("set", change, "change what is given, keep the rest", f"hold set {_UUID} --enabled no", details="'' takes a condition away.")
    parser.add_argument("uuid", metavar="UUID", help="as `hold list` prints it")
    _settings(parser)
    parser.add_argument("--enabled", choices=("yes", "no"), help="no: keep it, do not ask it")
    parser = family.add("remove", remove, "remove a hold rule; what it holds stays held", f"hold remove {_UUID}", yes=True)
    parser.add_argument("uuid", metavar="UUID", help="as `hold list` prints it")
    parser = family.add(
        "test",
        test,
        "say which rules would hold a message, without sending one",
        "hold test --sender a@example.org --recipient ann@far.example --user crm-mailer",
        details="The first one listed would. Exit code 0, whether or not there is one.",
    )
    parser.add_argument("--sender", default="", metavar="ADDRESS", help="who sends it; none: the null sender")
    parser.add_argument("--recipient", required=True, metavar="ADDRESS", help="who is to get it")
    parser.add_argument("--direction", choices=DIRECTIONS[:2], help="outbound with --user, else inbound")
    parser.add_argument("--user", default="", metavar="USER", help="who signed in")
    parser.add_argument("--size", type=int, default=0, metavar="OCTETS", help="its size (0)")
    parser.add_argument("--score", type=float, default=0.0, metavar="SCORE", help="its score (0)")


def _settings(parser: Parser) -> None:
    parser.add_argument("--direction", choices=DIRECTIONS, help="inbound: of strangers; outbound: of users who signed in (both)")
    parser.add_argument("--sender", metavar="WHO", help="address, domain, or *.domain for those below it; envelope or From")
    parser.add_argument("--recipient", metavar="WHO", help="address, domain, or *.domain for those below it; behind an alias too")
    parser.add_argument("--user", metavar="USER", help="SMTP user or person who sends it")
    parser.add_argument("--size-over", metavar="OCTETS", help="larger than that")
    parser.add_argument("--score-over", metavar="SCORE", help="found worse than that")
    parser.add_argument("--reason", metavar="TEXT", help="why, for those who look")
    parser.add_argument("--expires", metavar="WHEN", help="end of the rule: 2026-11-30, '2026-11-30 18:00' or 7d (from now); never")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new rule."""
    scopes = (("account", arguments.for_account), ("domain", arguments.for_domain), ("user", arguments.for_user))
    scope, key = next(((scope, key) for scope, key in scopes if key is not None), ("appliance", ""))
    settings = _given(context, arguments)
    return _changed(context, settled(holds.add(context.db, context.actor, str(uuid.uuid4()), scope, key, settings, now=context.seconds())))


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Other settings."""
    return _changed(context, settled(holds.change(context.db, context.actor, arguments.uuid, _given(context, arguments), now=context.seconds())))


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All the actor may change."""
    now = context.seconds()
    context.show(
        settled(holds.listing(context.db, context.actor)),
        ("uuid", "for", "direction", "holds", "reason", "state"),
        lambda rule: (rule.uuid, _scope(context, rule), rule.direction, _asks(rule), rule.reason or "-", _state(rule, now)),
        "no hold rules",
        keep=("uuid", "state"),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One rule."""
    return _shown(context, settled(holds.show(context.db, context.actor, arguments.uuid)))


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Forget it."""
    if not context.confirm(f"Remove the hold rule {arguments.uuid}?"):
        return FAILED
    gone = settled(holds.remove(context.db, context.actor, arguments.uuid, now=context.seconds()))
    context.changed()
    context.show_one(gone, [("removed", gone.uuid)])
    return OK


def test(context: Context, arguments: argparse.Namespace) -> int:
    """What would hold it."""
    direction = arguments.direction or ("outbound" if arguments.user else "inbound")
    trial = Trial(arguments.sender, arguments.recipient, direction, arguments.user, arguments.size, arguments.score)
    rows = settled(holds.test(context.db, context.actor, trial, now=context.seconds()))
    context.show(
        rows,
        ("uuid", "for", "holds", "reason"),
        lambda rule: (rule.uuid, _scope(context, rule), _asks(rule), rule.reason or "-"),
        "no rule holds it",
        keep=("uuid",),
    )
    return OK


def _given(context: Context, arguments: argparse.Namespace) -> dict[str, Any]:
    given = {field: value for field in holds.FIELDS if (value := getattr(arguments, field, None)) is not None}
    for field, kind in (("size_over", int), ("score_over", float)):
        if field in given:
            given[field] = _number(field, given[field], kind)
    if "enabled" in given:
        given["enabled"] = given["enabled"] == "yes"
    if "expires" in given:
        given["expires"] = _expiry(given["expires"], context.seconds())
    return given


def _number(field: str, text: str, kind: type[int] | type[float]) -> float | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"--{field.replace('_', '-')}", f"'{text}' is no number") from None


def _expiry(text: str, now: float) -> float | None:
    if text in ("", "never"):
        return None
    try:
        how, seconds = moment(text)
    except argparse.ArgumentTypeError:
        raise UsageError("--expires", f"'{text}' is no date; write 2026-11-30, '2026-11-30 18:00', 7d (from now) or never") from None
    return seconds if how == "at" else now + seconds


def _changed(context: Context, rule: HoldRule) -> int:
    context.changed()
    return _shown(context, rule)


def _shown(context: Context, rule: HoldRule) -> int:
    context.show_one(
        rule,
        [
            ("uuid", rule.uuid),
            ("for", _scope(context, rule)),
            ("direction", rule.direction),
            ("holds", _asks(rule)),
            ("reason", rule.reason or "-"),
            ("state", _state(rule, context.seconds())),
            ("made", output.when(rule.created)),
            ("expires", output.when(rule.expires) if rule.expires is not None else "never"),
        ],
    )
    return OK


def _scope(context: Context, rule: HoldRule) -> str:
    name = rule.scope_key
    try:
        if rule.scope == "account":
            name = context.db.read(accounts.found, context.actor, rule.scope_key).name
        elif rule.scope == "user":
            name = settled(people.name_of(context.db, context.actor, rule.scope_key))
    except NotFoundError:
        name = f"(deleted) {rule.scope_key}"
    return "all mail" if rule.scope == "appliance" else f"{rule.scope} {name}"


def _asks(rule: HoldRule) -> str:
    asks = [
        f"sender {rule.sender}" if rule.sender else "",
        f"recipient {rule.recipient}" if rule.recipient else "",
        f"user {rule.user}" if rule.user else "",
        f"over {output.size(rule.size_over)}" if rule.size_over is not None else "",
        f"score over {rule.score_over:g}" if rule.score_over is not None else "",
    ]
    return ", ".join(filter(None, asks)) or "everything"


def _state(rule: HoldRule, now: float) -> str:
    return "live" if rule.is_live(now) else "expired" if rule.enabled else "off"
