"""token add | list | show | revoke: what programs send with over HTTP."""

from __future__ import annotations

import argparse

from jetmail.actions import tokens
from jetmail.actions.tokens import Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, age
from jetmail.errors import UsageError
from jetmail.offload import SystemEntropy

EXAMPLE = "token add wordpress-blog --name 'shop, order mail'"


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("token", "API tokens: what programs send with over HTTP (docs/api.md)", EXAMPLE)
    parser = family.add(
        "add",
        add,
        "make a token that sends as an SMTP user; it is shown this once",
        [EXAMPLE, "token add crm-mailer --name crm --network 203.0.113.0/24 --expires 90d"],
        details="All that holds for the user holds for the token: permissions, quota, networks, lockdown, suspension.",
    )
    parser.add_argument("user", metavar="USERNAME", help="the SMTP user it sends as, by name or uuid")
    parser.add_argument("--name", required=True, metavar="NAME", help="what it is for, in up to 64 characters")
    parser.add_argument(
        "--network", action="append", default=[], metavar="NETWORK", help="address or range it may be used from; repeatable (50); none: as its user"
    )
    parser.add_argument("--expires", type=age, metavar="AGE", help="how long it counts: 12h, 90d; not given: until it is revoked")
    parser = family.add("list", listing, "list the tokens", ["token list", "token list --user crm-mailer --json"])
    parser.add_argument("--user", default="", metavar="USERNAME", help="only those of this SMTP user")
    parser = family.add("show", show, "show one token", "token show 3")
    parser.add_argument("id", metavar="ID", help="its number, as listed")
    parser = family.add("revoke", revoke, "it opens nothing from now on", "token revoke 3 --yes", yes=True)
    parser.add_argument("id", metavar="ID", help="its number, as listed")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """A new token."""
    made = settled(
        tokens.create(
            context.db, context.actor, arguments.user, name=arguments.name, now=context.seconds(), entropy=SystemEntropy(),
            allowed=arguments.network, life=arguments.expires,
        )
    )  # fmt: skip
    context.changed()
    context.show_one({**output.plain(made.shown), "token": made.token}, [*_items(made.shown), ("token", made.token)])
    print("jetmail: the token is shown this once; only its hash is kept", file=context.err)
    return OK


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    rows = settled(tokens.listing(context.db, context.actor, now=context.seconds(), user=arguments.user))
    context.show(
        rows,
        ("id", "name", "token", "user", "status", "last used", "expires"),
        lambda row: (
            row.id, row.name, row.prefix + "...", row.username, row.status, context.when(row.last_used),
            context.when(row.expires) if row.expires else "never",
        ),
        "no tokens; make one with: " + EXAMPLE,
        keep=("id", "token"),
    )  # fmt: skip
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One of them."""
    found = settled(tokens.show(context.db, context.actor, _id(arguments.id), now=context.seconds()))
    context.show_one(found, _items(found))
    return OK


def revoke(context: Context, arguments: argparse.Namespace) -> int:
    """Away with it."""
    found = settled(tokens.show(context.db, context.actor, _id(arguments.id), now=context.seconds()))
    if not context.confirm(f"Revoke the token {found.prefix}... ({found.name})? Whatever uses it can send no more."):
        return FAILED
    revoked = settled(tokens.revoke(context.db, context.actor, found.id, now=context.seconds()))
    context.changed()
    context.show_one(revoked, _items(revoked))
    return OK


def _items(token: Shown) -> list[tuple[str, object]]:
    items: list[tuple[str, object]] = [("id", token.id), ("name", token.name), ("begins with", token.prefix), ("status", token.status)]
    items += [("sends as", token.username), ("uuid", token.smtp_user), ("account", token.account), ("may", ", ".join(token.scopes))]
    items += [("network", network) for network in token.networks] or [("network", "as its user")]
    items += [("created", output.when(token.created)), ("expires", output.when(token.expires) if token.expires else "never")]
    return [*items, *([("revoked", output.when(token.revoked))] if token.revoked else []), ("last used", output.when(token.last_used))]


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError("id", f"'{text}' is no number of a token; see: token list")
    return int(text)
