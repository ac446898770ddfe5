"""webhook add | list | show | set | remove | test | rotate | deliveries | dead | resend: who is told by HTTP what happens to mail."""

from __future__ import annotations

import argparse
import time
from typing import Any

from jetmail.actions import webhooks
from jetmail.actions.webhooks import Saved, Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, age, count
from jetmail.cli.wake import wake
from jetmail.errors import ConflictError, UsageError
from jetmail.mail.webhook import PATTERNS
from jetmail.offload import SystemEntropy
from jetmail.store.traffic.webhook_queue import DEAD, DELIVERED, STATES, QueuedEvent

EXAMPLE = "webhook add crm https://crm.example.org/mail-events --event 'outbound.*'"
NONE = "none"
LOOK_SECONDS = 0.1
WAIT = 15.0


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("webhook", "webhooks: who is told by HTTP what happens to mail", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "make a webhook; the secret that signs is generated, and shown this once",
        [EXAMPLE, "webhook add watch https://ops.example.org/hook --appliance --event inbound.spam --event inbound.blocked"],
        details="It is told what happens from now on to mail that the account's users send and that comes for its domains.",
    )
    parser.add_argument("name", metavar="NAME", help="what you call it; one per account")
    parser.add_argument("url", metavar="URL", help="where events are posted to: https://...")
    parser.add_argument("--account", default="", metavar="ACCOUNT", help="whose it is (default)")
    parser.add_argument("--appliance", action="store_true", help="the appliance's own: told of everybody's mail")
    _settings(parser)
    family.add("list", listing, "list the webhooks and how their events stand", "webhook list --json")
    _name(family.add("show", show, "show one webhook", "webhook show crm"))
    parser = family.add(
        "set",
        change,
        "change what is given, keep the rest",
        ["webhook set crm --event outbound.bounced --event outbound.complaint", "webhook set crm --enabled no"],
        details="Lists (--event, --user, --domain) take the place of what was there; 'none' empties --user and --domain.",
    )
    _name(parser)
    parser.add_argument("--name", dest="new_name", metavar="NAME", help="another name")
    parser.add_argument("--url", metavar="URL", help="another place; what waits goes there too")
    parser.add_argument("--enabled", choices=("yes", "no"), help="no: it is told nothing, and what happens meanwhile neither")
    _settings(parser, is_new=False)
    parser = family.add("remove", remove, "forget it, with what is on its way to it", "webhook remove crm --yes", yes=True)
    _name(parser)
    parser = family.add(
        "test",
        test,
        "send it a sample, and say what came back",
        "webhook test crm",
        details="jetmail must be running: it sends as it sends any event, from where it runs. Exit code 0: it was taken.",
    )
    _name(parser)
    parser.add_argument("--wait", type=age, default=WAIT, metavar="TIME", help="how long to wait for what becomes of it (15s)")
    parser = family.add(
        "rotate", rotate, "give it another secret, shown this once; the old one signs too for a while", "webhook rotate crm --overlap 2d"
    )
    _name(parser)
    parser.add_argument("--overlap", type=age, default=webhooks.OVERLAP, metavar="TIME", help="how long both secrets sign, 0s for not at all (1d)")
    parser = family.add(
        "deliveries", deliveries, "list its events: on their way, taken, dead letters; newest first", "webhook deliveries crm --limit 20"
    )
    _name(parser)
    parser.add_argument("--state", choices=STATES, help="only those")
    parser.add_argument("--event", default="", metavar="EVENT", help="show one event (evt_...) with what is sent")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    parser = family.add("dead", dead, "list its dead letters: what was not taken, and why", "webhook dead crm")
    _name(parser)
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    parser = family.add(
        "resend",
        resend,
        "send dead letters again, those named or all",
        ["webhook resend crm evt_0123456789abcdef0123456789abcdef", "webhook resend crm --all"],
    )
    _name(parser)
    parser.add_argument("events", nargs="*", metavar="EVENT", help="events by their ids (evt_...)")
    parser.add_argument("--all", action="store_true", help="every dead letter of this webhook")


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="WEBHOOK", help="the name, or the uuid")


def _settings(parser: Parser, is_new: bool = True) -> None:
    words = ", ".join(PATTERNS).replace("%", "%%")
    parser.add_argument("--event", action="append", metavar="EVENT", help=f"an event to tell it of, repeatable{' (all)' if is_new else ''}: {words}")
    parser.add_argument("--user", action="append", metavar="USER", help="only what this SMTP user or person sends; repeatable (50)")
    parser.add_argument("--domain", action="append", metavar="DOMAIN", help="only mail from (outbound) or to (inbound) this domain; repeatable (50)")
    private = "it may be at a private address, and http:// will do"
    if is_new:
        parser.add_argument("--allow-private", action="store_true", help=private)
    else:
        parser.add_argument("--allow-private", choices=("yes", "no"), help=private)


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new one."""
    if arguments.appliance and arguments.account:
        raise UsageError("--appliance", "is told of everybody's mail and belongs to no --account")
    account_id = None if arguments.appliance else context.account(arguments.account)
    saved = settled(
        webhooks.add(
            context.db,
            context.actor,
            arguments.name,
            arguments.url,
            now=context.seconds(),
            entropy=SystemEntropy(),
            account_id=account_id,
            events=arguments.event or ("*",),
            smtp_users=_list(arguments.user) or (),
            domains=_list(arguments.domain) or (),
            allow_private=arguments.allow_private,
        )
    )
    return _saved(context, saved)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    context.show(
        settled(webhooks.listing(context.db, context.actor)),
        ("name", "account", "status", "events", "waiting", "dead", "url", "uuid"),
        lambda hook: (
            hook.name,
            hook.account or "(appliance)",
            "on" if hook.is_enabled else "off",
            " ".join(hook.events),
            hook.queue.waiting,
            hook.queue.dead,
            hook.url,
            hook.uuid,
        ),  # fmt: skip
        "no webhooks; make one with: " + EXAMPLE,
        keep=("name", "uuid"),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One of them."""
    saved = settled(webhooks.show(context.db, context.actor, arguments.name))
    context.show_one(saved.webhook, _items(saved.webhook))
    _hint(context, saved)
    return OK


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Other settings."""
    changes: dict[str, Any] = {
        "name": arguments.new_name, "url": arguments.url, "events": arguments.event, "smtp_users": _list(arguments.user),
        "domains": _list(arguments.domain),
    }  # fmt: skip
    changes = {field: value for field, value in changes.items() if value is not None}
    if arguments.enabled:
        changes["is_enabled"] = arguments.enabled == "yes"
    if arguments.allow_private:
        changes["allow_private"] = arguments.allow_private == "yes"
    return _saved(context, settled(webhooks.change(context.db, context.actor, arguments.name, changes, now=context.seconds())))


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Away with it."""
    hook = settled(webhooks.show(context.db, context.actor, arguments.name)).webhook
    if not context.confirm(f"Remove the webhook {hook.name}? {hook.queue.waiting} events on their way to it are forgotten."):
        return FAILED
    removed = settled(webhooks.remove(context.db, context.actor, hook.uuid, now=context.seconds()))
    context.changed()
    context.show_one(removed, [("removed", removed.name), ("uuid", removed.uuid)])
    return OK


def test(context: Context, arguments: argparse.Namespace) -> int:
    """A sample, sent by the running process."""
    if not wake(context.config.socket):
        raise ConflictError("jetmail does not run here, and it is what sends; start it with: jetmail run")
    event = settled(webhooks.test(context.db, context.actor, arguments.name, now=context.seconds(), entropy=SystemEntropy()))
    until = context.seconds() + arguments.wait
    while True:
        context.changed()
        queued = webhooks.outcome(context.db, context.actor, arguments.name, event.event)
        is_tried = queued.state in (DELIVERED, DEAD) or queued.error
        if is_tried or context.seconds() >= until:
            break
        time.sleep(LOOK_SECONDS)
    context.show_one(queued, _event_items(context, queued))
    if queued.state != DELIVERED:
        print(f"jetmail: not taken: {queued.error or f'no answer within {arguments.wait:g} seconds'}", file=context.err)
    return OK if queued.state == DELIVERED else FAILED


def rotate(context: Context, arguments: argparse.Namespace) -> int:
    """Another secret."""
    saved = settled(
        webhooks.rotate(context.db, context.actor, arguments.name, now=context.seconds(), entropy=SystemEntropy(), overlap=arguments.overlap)
    )
    return _saved(context, saved)


def deliveries(context: Context, arguments: argparse.Namespace) -> int:
    """What became of events."""
    if arguments.event:
        letter = settled(webhooks.letter(context.db, context.actor, arguments.name, arguments.event))
        context.show_one(letter, [*_event_items(context, letter.event), ("body", letter.body)])
        return OK
    return _events(context, arguments.name, (arguments.state,) if arguments.state else STATES, arguments.limit, "no events")


def dead(context: Context, arguments: argparse.Namespace) -> int:
    """What was not taken."""
    return _events(context, arguments.name, (DEAD,), arguments.limit, "no dead letters")


def resend(context: Context, arguments: argparse.Namespace) -> int:
    """Dead letters, once more."""
    if bool(arguments.events) == arguments.all:
        raise UsageError("EVENT", "name the events, or say --all")
    ids = arguments.events or None
    sent = settled(webhooks.resend(context.db, context.actor, arguments.name, now=context.seconds(), ids=ids))
    context.changed()
    context.show_one({"resent": sent}, [("to be sent again", sent)])
    return OK


def _events(context: Context, name: str, states: tuple[str, ...], limit: int, empty: str) -> int:
    context.show(
        settled(webhooks.events(context.db, context.actor, name, states=states, limit=limit)),
        ("event", "type", "created", "state", "attempts", "next", "status", "reason"),
        lambda row: (
            row.event,
            row.type,
            context.when(row.created),
            row.state,
            row.attempts,
            context.when(row.next_attempt) if row.state == "waiting" else "",
            row.status or "",
            row.error,
        ),  # fmt: skip
        empty,
        keep=("event",),
    )
    return OK


def _saved(context: Context, saved: Saved) -> int:
    context.changed()
    shown = [("secret", saved.secret)] if saved.secret else []
    value = {**output.plain(saved.webhook), "secret": saved.secret} if saved.secret else saved.webhook
    context.show_one(value, [*_items(saved.webhook), *shown])
    if saved.secret:
        print("jetmail: the secret is shown this once; whoever receives events checks their signature with it", file=context.err)
    _hint(context, saved)
    return OK


def _hint(context: Context, saved: Saved) -> None:
    for hint in saved.hints:
        print(f"jetmail: note: {hint}", file=context.err)


def _items(hook: Shown) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [
        ("name", hook.name), ("uuid", hook.uuid), ("account", hook.account or "the appliance's own"), ("url", hook.url),
        ("status", "on" if hook.is_enabled else "off"),
    ]  # fmt: skip
    items += [("event", event) for event in hook.events]
    items += [("user", user) for user in hook.smtp_users] or [("user", "all")]
    items += [("domain", domain) for domain in hook.domains] or [("domain", "all")]
    items.append(("private addresses", "allowed, and http" if hook.allow_private else "refused"))
    if hook.old_secret_until:
        items.append(("old secret until", output.when(hook.old_secret_until)))
    items += [("waiting", hook.queue.waiting), ("dead letters", hook.queue.dead), ("taken lately", hook.queue.delivered)]
    if hook.queue.oldest is not None:
        items.append(("oldest waits since", output.when(hook.queue.oldest)))
    return [*items, ("told since", output.when(hook.since)), ("created", output.when(hook.created)), ("modified", output.when(hook.modified))]


def _event_items(context: Context, queued: QueuedEvent) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [
        ("event", queued.event), ("type", queued.type), ("state", queued.state), ("attempts", queued.attempts),
        ("status", queued.status or "no answer"), ("created", output.when(queued.created)),
    ]  # fmt: skip
    items += [("reason", queued.error)] if queued.error else []
    items += [("next attempt", output.when(queued.next_attempt))] if queued.state == "waiting" else []
    return [*items, *([("finished", output.when(queued.finished))] if queued.finished is not None else [])]


def _list(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else () if given == [NONE] else tuple(given)
