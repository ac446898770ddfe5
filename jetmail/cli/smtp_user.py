"""smtp-user add | list | show | set | rename | password | unlock | delete: what apps, mail servers and platforms sign in with."""

from __future__ import annotations

import argparse
from typing import Any

from jetmail.actions import smtp_users
from jetmail.actions.smtp_users import Saved, Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser
from jetmail.cli.secrets import add_password_option, given_password, say_hints, show_saved
from jetmail.errors import UsageError
from jetmail.offload import InlineExecutor, SystemEntropy
from jetmail.store.directory.smtp_users import WINDOWS

EXAMPLE = "smtp-user add wordpress-blog --domain example.org"
NONE = "none"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("smtp-user", "SMTP users: what apps and mail servers sign in with to send", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "make an SMTP user; its password is generated, and shown this once",
        [EXAMPLE, "smtp-user add crm-mailer --all-domains --quota 10000 --quota-window day --network 203.0.113.0/24 --network 2001:db8::/64"],
        details="Without --all-domains or --any-domain it may send from the domains given with --domain and from no others.",
    )
    parser.add_argument("name", metavar="USERNAME", help="1 to 64 of the letters a to z, digits and -; one per appliance")
    parser.add_argument("--account", default="", metavar="ACCOUNT", help="whose it is (default)")
    add_password_option(parser)
    _add_settings(parser)
    family.add("list", listing, "list the SMTP users", "smtp-user list --json")
    _name(family.add("show", show, "show one SMTP user, its quota and what it did in the last 24 hours", "smtp-user show wordpress-blog"))
    parser = family.add(
        "set",
        change,
        "change what is given, keep the rest",
        ["smtp-user set wordpress-blog --domain example.org --domain '*.example.org'", "smtp-user set wordpress-blog --suspended yes"],
        details="Lists (--domain, --network) take the place of what was there; 'none' empties them. It counts at once, for open sessions too.",
    )
    _name(parser)
    parser.add_argument("--default-domains", action="store_true", help="only the domains assigned to it: neither of the two toggles")
    parser.add_argument("--suspended", choices=("yes", "no"), help="yes: it cannot sign in, and its sessions end")
    _add_settings(parser)
    parser = family.add("rename", rename, "give it another name; uuid, password and log stay", "smtp-user rename smtp1 marketing-prod")
    _name(parser)
    parser.add_argument("new", metavar="NEW", help="the new name")
    parser = family.add(
        "password", password, "give it another password; generated and shown this once, or read from a file", "smtp-user password wordpress-blog"
    )
    _name(parser)
    add_password_option(parser)
    _name(family.add("unlock", unlock, "let it send on until the window ends although its quota is used up", "smtp-user unlock wordpress-blog"))
    _name(
        family.add(
            "delete",
            delete,
            "forget it: its password counts no more, its sessions end",
            "smtp-user delete wordpress-blog --yes",
            yes=True,
            details="Mail already queued still goes out, and the log stays.",
        )
    )


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="USERNAME", help="the name, or the uuid")


def _add_settings(parser: Parser) -> None:
    parser.add_argument("--domain", action="append", metavar="DOMAIN", help="a domain it may send from, '*.example.org': all below; repeatable (50)")
    parser.add_argument("--all-domains", action="store_true", help="any verified outbound domain of the account, those added later too")
    parser.add_argument("--any-domain", action="store_true", help="any domain at all; for accounts of plan pro")
    parser.add_argument("--quota", metavar="N", help="messages in one window, 0 for as many as it likes (0)")
    parser.add_argument("--quota-window", choices=WINDOWS, help="what the quota is for, in UTC (month)")
    parser.add_argument("--network", action="append", metavar="NETWORK", help="address or range it may sign in from; repeatable (50); none: anywhere")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new user."""
    account_id = context.account(arguments.account)
    quota = _quota(arguments.quota)
    saved = settled(
        smtp_users.create(
            context.db,
            context.actor,
            arguments.name,
            now=context.seconds(),
            executor=InlineExecutor(),
            entropy=SystemEntropy(),
            password=given_password(context, arguments),
            account_id=account_id,
            allow_all_domains=arguments.all_domains,
            allow_any_domain=arguments.any_domain,
            domains=_list(arguments.domain) or (),
            quota=quota if quota is not None else 0,
            quota_window=arguments.quota_window or "month",
            networks=_list(arguments.network) or (),
        )
    )
    return _saved(context, saved)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    rows = settled(smtp_users.listing(context.db, context.actor, now=context.seconds()))
    context.show(
        rows,
        ("username", "status", "sends from", "used", "last used", "uuid"),
        lambda user: (user.username, _status(user), _from(user), _used(user), context.when(user.last_used), user.uuid),
        "no SMTP users; make one with: " + EXAMPLE,
        keep=("username", "uuid"),
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One of them."""
    saved = settled(smtp_users.show(context.db, context.actor, arguments.name, now=context.seconds()))
    context.show_one(saved.user, _items(saved.user))
    say_hints(context, saved.hints)
    return OK


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Other settings."""
    changes: dict[str, Any] = {
        "domains": _list(arguments.domain), "networks": _list(arguments.network), "quota": _quota(arguments.quota),
        "quota_window": arguments.quota_window,
    }  # fmt: skip
    changes = {field: value for field, value in changes.items() if value is not None}
    if arguments.suspended:
        changes["is_suspended"] = arguments.suspended == "yes"
    if arguments.default_domains:
        if arguments.all_domains or arguments.any_domain:
            raise UsageError("--default-domains", "means neither --all-domains nor --any-domain")
        changes["mode"] = "default"
    if arguments.all_domains:
        changes["allow_all_domains"] = True
    if arguments.any_domain:
        changes["allow_any_domain"] = True
    return _saved(context, settled(smtp_users.change(context.db, context.actor, arguments.name, changes, now=context.seconds())))


def rename(context: Context, arguments: argparse.Namespace) -> int:
    """Another name."""
    return _saved(context, settled(smtp_users.rename(context.db, context.actor, arguments.name, arguments.new, now=context.seconds())))


def password(context: Context, arguments: argparse.Namespace) -> int:
    """Another password."""
    saved = settled(
        smtp_users.set_password(
            context.db,
            context.actor,
            arguments.name,
            now=context.seconds(),
            executor=InlineExecutor(),
            entropy=SystemEntropy(),
            password=given_password(context, arguments),
        )
    )
    return _saved(context, saved)


def unlock(context: Context, arguments: argparse.Namespace) -> int:
    """Over the quota."""
    return _saved(context, settled(smtp_users.unlock(context.db, context.actor, arguments.name, now=context.seconds())))


def delete(context: Context, arguments: argparse.Namespace) -> int:
    """Away with it."""
    user = settled(smtp_users.show(context.db, context.actor, arguments.name, now=context.seconds())).user
    if not context.confirm(f"Delete the SMTP user {user.username}? Whatever signs in with it can send no more."):
        return FAILED
    removed = settled(smtp_users.remove(context.db, context.actor, arguments.name, now=context.seconds()))
    context.changed()
    context.show_one(removed, [("deleted", removed.username), ("uuid", removed.uuid)])
    return OK


def _saved(context: Context, saved: Saved) -> int:
    return show_saved(context, saved.user, _items(saved.user), saved.password, saved.hints)


def _items(user: Shown) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [
        ("username", user.username), ("uuid", user.uuid), ("account", user.account), ("status", _status(user)), ("sends from", _from(user)),
    ]  # fmt: skip
    items += [("domain", domain) for domain in user.domains]
    items += [("sender address", address) for address in user.senders]
    items += [("network", network) for network in user.networks] or [("network", "any")]
    items += [("quota", f"{user.quota} a {user.quota_window}" if user.quota else "none"), ("used", _used(user))]
    items += [("last used", output.when(user.last_used)), ("created", output.when(user.created)), ("modified", output.when(user.modified))]
    figures = "  ".join(f"{name} {number}" for name, number in user.figures.items())
    return [*items, ("last 24 hours", figures)]


def _status(user: Shown) -> str:
    return user.status + (f", {user.blocked} blocked" if user.blocked else "")


def _from(user: Shown) -> str:
    mode = user.effective_mode
    if mode == "default":
        said = ", ".join([*user.domains, *user.senders][:3]) or "nowhere"
        return said + (" ..." if len(user.domains) + len(user.senders) > 3 else "")
    return "all domains of the account" if mode == "all" else "any domain"


def _used(user: Shown) -> str:
    return f"{user.used} of {user.quota} this {user.quota_window}" if user.quota else f"{user.used} this {user.quota_window}"


def _list(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else () if given == [NONE] else tuple(given)


def _quota(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 15):
        raise UsageError("--quota", f"'{text}' is no number of messages; 0 for as many as it likes")
    return int(text)
