"""account add | list | set, sender-address add | list | remove, blocked list | show | unblock: what stands around SMTP users."""

from __future__ import annotations

import argparse

from jetmail.actions import accounts, blocked, sender_addresses
from jetmail.actions.blocked import Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands
from jetmail.errors import UsageError
from jetmail.store.directory.accounts import Account


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("account", "accounts: whose domains and users are whose", "account list")
    parser = family.add("add", add_account, "make an account", "account add acme --plan pro --contact postmaster@acme.example")
    parser.add_argument("name", metavar="NAME", help="its name")
    _account_settings(parser)
    family.add("list", list_accounts, "list the accounts", "account list --json")
    parser = family.add(
        "set",
        set_account,
        "change what is given, keep the rest",
        "account set default --plan pro",
        details="SMTP users that may send from any domain need plan pro; after a downgrade they may send from the domains assigned to them.",
    )
    parser.add_argument("account", metavar="ACCOUNT", help="its name, or its number")
    parser.add_argument("--name", metavar="NEW", help="another name")
    _account_settings(parser)
    family = commands.family("sender-address", "sender addresses: who may send as an address besides their own", "sender-address list")
    for name, run, text in (
        ("add", add_sender, "let an SMTP user, or a person, send as an address"),
        ("remove", remove_sender, "take that back"),
    ):
        parser = family.add(name, run, text, f"sender-address {name} sales@example.org crm-mailer")
        parser.add_argument("address", metavar="ADDRESS", help="the address to send as")
        parser.add_argument("person", metavar="PERSON", help="an SMTP user's name or uuid, or a person's address")
    family.add("list", list_senders, "list who may send as whom", "sender-address list")
    family = commands.family("blocked", "senders that were stopped for abuse", "blocked list")
    parser = family.add("list", list_blocked, "list who is blocked", ["blocked list", "blocked list --past --json"])
    parser.add_argument("--past", action="store_true", help="those that were let go, too")
    parser = family.add("show", show_blocked, "show why one is blocked", "blocked show 7")
    parser.add_argument("id", metavar="ID", help="as `blocked list` prints it")
    parser = family.add(
        "unblock", unblock, "let one send again; what was counted before counts no more", "blocked unblock 7", details="Find the cause first."
    )
    parser.add_argument("id", metavar="ID", help="as `blocked list` prints it")


def _account_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", choices=accounts.PLANS, help="pro: its SMTP users may be let send from any domain (standard)")
    parser.add_argument("--contact", metavar="ADDRESS", help="where notices go; '' for nowhere")


def add_account(context: Context, arguments: argparse.Namespace) -> int:
    """A new account."""
    made = settled(
        accounts.add(
            context.db, context.actor, arguments.name, now=context.seconds(), plan=arguments.plan or "standard", contact=arguments.contact or ""
        )
    )
    return _account(context, made)


def list_accounts(context: Context, arguments: argparse.Namespace) -> int:
    """All of them."""
    rows = settled(accounts.listing(context.db, context.actor))
    context.show(rows, ("account", "number", "plan", "contact"), lambda account: (account.name, account.id, account.plan, account.contact or "-"))
    return OK


def set_account(context: Context, arguments: argparse.Namespace) -> int:
    """Other settings."""
    changes = {field: value for field in accounts.FIELDS if (value := getattr(arguments, field)) is not None}
    return _account(context, settled(accounts.change(context.db, context.actor, arguments.account, changes, now=context.seconds())))


def _account(context: Context, account: Account) -> int:
    context.changed()
    context.show_one(account, [("account", account.name), ("number", account.id), ("plan", account.plan), ("contact", account.contact or "-")])
    return OK


def add_sender(context: Context, arguments: argparse.Namespace) -> int:
    """A grant."""
    made = settled(sender_addresses.add(context.db, context.actor, arguments.address, arguments.person, now=context.seconds()))
    context.changed()
    context.show_one(made, [("address", made.address), ("person", made.name)])
    return OK


def remove_sender(context: Context, arguments: argparse.Namespace) -> int:
    """A grant taken back."""
    gone = settled(sender_addresses.remove(context.db, context.actor, arguments.address, arguments.person, now=context.seconds()))
    context.changed()
    context.show_one(gone, [("removed", gone.address), ("person", gone.name)])
    return OK


def list_senders(context: Context, arguments: argparse.Namespace) -> int:
    """All grants."""
    rows = settled(sender_addresses.listing(context.db, context.actor))
    context.show(rows, ("address", "person"), lambda grant: (grant.address, grant.name), "nobody was granted an address")
    return OK


def list_blocked(context: Context, arguments: argparse.Namespace) -> int:
    """All blocks."""
    rows = settled(blocked.listing(context.db, context.actor, past=arguments.past))
    context.show(
        rows,
        ("id", "user", "sender", "since", "too many", "let go"),
        lambda shown: (
            shown.block.id, shown.username or shown.block.user, shown.block.sender or "(all)", context.when(shown.block.since), shown.block.reason,
            context.when(shown.block.unblocked),
        ),
        "nobody is blocked",
    )  # fmt: skip
    return OK


def show_blocked(context: Context, arguments: argparse.Namespace) -> int:
    """One block."""
    return _block(context, settled(blocked.show(context.db, context.actor, _id(arguments.id))))


def unblock(context: Context, arguments: argparse.Namespace) -> int:
    """Let go."""
    shown = settled(blocked.unblock(context.db, context.actor, _id(arguments.id), now=context.seconds()))
    context.changed()
    return _block(context, shown)


def _block(context: Context, shown: Shown) -> int:
    block = shown.block
    items: list[tuple[str, object]] = [
        ("id", block.id), ("user", shown.username or "(deleted)"), ("uuid", block.user), ("sender", block.sender or "(all)"),
        ("since", output.when(block.since)), ("too many", block.reason),
    ]  # fmt: skip
    items += [(f"  {name}", value) for name, value in block.evidence.items()]
    if block.unblocked is not None:
        items += [("let go", output.when(block.unblocked)), ("by", block.unblocked_by + (" (its account)" if block.by_owner else ""))]
    context.show_one(shown, items)
    return OK


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError("ID", f"'{text}' is no number")
    return int(text)
