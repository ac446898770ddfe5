"""suppression add | list | show | set | remove | import | export: addresses that users do not write to (docs/suppression.md)."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from jetmail.actions import suppression_files, suppressions
from jetmail.actions.suppression_files import MAX_OCTETS, Imported, moment
from jetmail.actions.suppressions import Shown
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import FAILED, OK, Commands, Parser, age, count
from jetmail.errors import UsageError
from jetmail.store.directory.accounts import DEFAULT
from jetmail.store.traffic.suppressions import APPLIANCE, MANUAL, REASONS

EXAMPLE = "suppression add ann@example.com --detail phoned"
_FILE = """\
A CSV file whose first row names its columns: target_value (the address), and if you like reason, expires (2026-12-31, UTC) and detail. What is
suppressed already is skipped; wrong rows are listed with their number, and the others taken. Exit code 1 when there are wrong rows."""


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("suppression", "addresses that users do not write to: who complained, who is gone", "suppression list")
    parser = family.add(
        "add", add, "suppress an address", [EXAMPLE, "suppression add ann@example.com --account acme --reason unsubscribe --expires 90d"]
    )
    parser.add_argument("address", metavar="ADDRESS", help="who is not to be written to")
    parser.add_argument("--reason", choices=REASONS, default=MANUAL, help="why (manual)")
    parser.add_argument("--detail", default="", metavar="TEXT", help="a note")
    parser.add_argument("--expires", default="never", metavar="WHEN", help="a length of time (30d), a date (2026-12-31, UTC), or never")
    _list(parser)
    parser = family.add(
        "list", listing, "list what is suppressed, newest first", ["suppression list", "suppression list --search example.com --reason bounce --json"]
    )
    parser.add_argument("--search", default="", metavar="TEXT", help="a part of the address")
    parser.add_argument("--reason", choices=REASONS, default="", help="only those")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="at most that many (100)")
    parser.add_argument("--after", type=int, default=0, metavar="ID", help="go on behind this id")
    _lists(parser)
    parser = family.add("show", show, "show why an address is suppressed", "suppression show ann@example.com")
    parser.add_argument("address", metavar="ADDRESS", help="the address")
    _list(parser)
    parser = family.add("set", change, "change what is given, keep the rest", "suppression set ann@example.com --expires 7d")
    parser.add_argument("address", metavar="ADDRESS", help="the address")
    parser.add_argument("--reason", choices=REASONS, help="why")
    parser.add_argument("--detail", metavar="TEXT", help="a note")
    parser.add_argument("--expires", metavar="WHEN", help="a length of time from now (30d), a date (2026-12-31, UTC), or never")
    _list(parser)
    parser = family.add(
        "remove", remove, "lift one: mail goes there again", "suppression remove ann@example.com", details="What counted towards it is forgotten.",
        yes=True,
    )  # fmt: skip
    parser.add_argument("address", metavar="ADDRESS", help="the address")
    _list(parser)
    parser = family.add(
        "import", take_in, "put the addresses of a file on the list", ["suppression import old.csv --dry-run", "suppression import old.csv"],
        details=_FILE,
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="the file; - is standard input")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _list(parser)
    parser = family.add(
        "export", give_out, "write the list as a file that `import` takes", "suppression export > suppressed.csv", json=False,
        details="A cell that a spreadsheet would take for a formula begins with an apostrophe.",
    )  # fmt: skip
    _lists(parser)


def _list(parser: Parser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--account", default="", metavar="ACCOUNT", help="whose list: its name or number (default)")
    group.add_argument("--appliance", action="store_true", help="the list that binds the users of all accounts")


def _lists(parser: Parser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--account", default="", metavar="ACCOUNT", help="one list: the account's name or number (all)")
    group.add_argument("--appliance", action="store_true", help="only the list that binds the users of all accounts")


def add(context: Context, arguments: argparse.Namespace) -> int:
    """One more."""
    shown = settled(
        suppressions.add(
            context.db, context.actor, arguments.address, now=context.seconds(), account_id=_account(context, arguments), reason=arguments.reason,
            detail=arguments.detail, expires=_until(arguments.expires, context.seconds()),
        )
    )  # fmt: skip
    return _show(context, shown)


def listing(context: Context, arguments: argparse.Namespace) -> int:
    """Many."""
    page = settled(
        suppressions.listing(
            context.db, context.actor, now=context.seconds(), account_id=_one_account(context, arguments), search=arguments.search,
            reason=arguments.reason, after=arguments.after, limit=min(arguments.limit, suppressions.MAX_LIMIT),
        )
    )  # fmt: skip
    context.show(
        page.rows,
        ("id", "address", "reason", "list", "since", "until", "detail"),
        lambda row: (row.id, row.address, row.reason, row.account or "(appliance)", context.when(row.created), _end(context, row), row.detail or "-"),
        "nobody is suppressed",
        keep=("address",),
    )
    if page.next:
        context.say(f"{page.total} in all; the next: --after {page.next}")
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """One."""
    shown = settled(suppressions.show(context.db, context.actor, arguments.address, now=context.seconds(), account_id=_account(context, arguments)))
    return _show(context, shown)


def change(context: Context, arguments: argparse.Namespace) -> int:
    """Other values."""
    changes: dict[str, Any] = {name: value for name in ("reason", "detail") if (value := getattr(arguments, name)) is not None}
    if arguments.expires is not None:
        changes["expires"] = _until(arguments.expires, context.seconds())
    shown = settled(
        suppressions.change(context.db, context.actor, arguments.address, changes, now=context.seconds(), account_id=_account(context, arguments))
    )
    return _show(context, shown)


def remove(context: Context, arguments: argparse.Namespace) -> int:
    """Lift one."""
    account_id = _account(context, arguments)
    if not context.confirm(f"Let users write to {arguments.address} again?"):
        return FAILED
    gone = settled(suppressions.remove(context.db, context.actor, arguments.address, now=context.seconds(), account_id=account_id))
    context.show_one(gone, [("removed", gone.address), ("list", gone.account or "(appliance)"), ("was", gone.reason)])
    return OK


def take_in(context: Context, arguments: argparse.Namespace) -> int:
    """From a file."""
    if arguments.file == "-":
        given = context.inp
        octets = given.buffer.read(MAX_OCTETS + 1) if isinstance(given, io.TextIOWrapper) else given.read(MAX_OCTETS + 1).encode()
    else:
        with Path(arguments.file).open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    account_id = _account(context, arguments)
    found: Imported = settled(
        suppression_files.take_in(context.db, context.actor, octets, now=context.seconds(), account_id=account_id, dry_run=arguments.dry_run)
    )
    shown = {
        "inserted": found.inserted, "skipped": found.skipped, "failed": [failed._asdict() for failed in found.failed], "faults": found.faults,
        "dry_run": found.dry_run,
    }  # fmt: skip
    would = "to insert" if found.dry_run else "inserted"
    items: list[tuple[str, object]] = [(would, found.inserted), ("skipped", f"{found.skipped} (suppressed already)"), ("failed", found.faults)]
    context.show_one(shown, items + [(f"  row {failed.row}", failed.reason) for failed in found.failed])
    if found.faults > len(found.failed):
        context.say(f"  and {found.faults - len(found.failed)} more")
    return FAILED if found.faults else OK


def give_out(context: Context, arguments: argparse.Namespace) -> int:
    """To a file."""
    text = settled(suppression_files.give_out(context.db, context.actor, now=context.seconds(), account_id=_one_account(context, arguments)))
    context.out.write(text.replace("\r\n", "\n"))
    return OK


def _account(context: Context, arguments: argparse.Namespace) -> int:
    one = _one_account(context, arguments)
    return DEFAULT if one is None else one


def _one_account(context: Context, arguments: argparse.Namespace) -> int | None:
    if arguments.appliance:
        return APPLIANCE
    return context.account(arguments.account) if arguments.account else None


def _until(text: str, now: float) -> float | None:
    """'30d', '2026-12-31' or 'never' -> epoch seconds or None."""
    try:
        return now + age(text)
    except argparse.ArgumentTypeError:
        pass
    try:
        return moment(text)
    except UsageError:
        raise UsageError("--expires", f"'{text[:40]}' is neither a length of time (30d), nor a date (2026-12-31), nor never") from None


def _end(context: Context, row: Shown) -> str:
    return context.when(row.expires) if row.expires is not None else "lifted"


def _show(context: Context, row: Shown) -> int:
    context.show_one(
        row,
        [
            ("address", row.address), ("reason", row.reason), ("list", row.account or "(appliance)"), ("since", output.when(row.created)),
            ("until", output.when(row.expires) if row.expires is not None else "lifted"), ("detail", row.detail or "-"), ("source", row.source),
        ],
    )  # fmt: skip
    return OK
