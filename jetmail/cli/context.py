"""What a command works with: the directory, its settings, the store, who acts, where answers go.

Everything is made when it is first asked for, so that `--help` and a wrong option touch no file. The store is opened in this process
(InlineDatabase): the same use cases as in the portal, whether jetmail runs or not. `changed` nudges a running process after a write.

Raises UsageError without a directory, ConfigError for its settings, StoreError or SchemaError for its store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from twisted.internet.defer import Deferred

from jetmail import config as settings
from jetmail import resources
from jetmail.actions.access import Actor
from jetmail.cli import output
from jetmail.cli.parser import program
from jetmail.cli.wake import wake
from jetmail.errors import UsageError
from jetmail.interfaces import IResolver
from jetmail.offload import InlineExecutor, SystemEntropy
from jetmail.spool.files import FileStore, SpoolOptions
from jetmail.store import migrations
from jetmail.store.database import InlineDatabase

if TYPE_CHECKING:
    from jetmail.actions.dkim import Workshop

DEFAULT_DIRECTORY = Path("var") / "jetmail"


class Context:
    """One run of one command."""

    def __init__(
        self, out: TextIO, err: TextIO, inp: TextIO, seconds: Callable[[], float], directory: str = "", as_json: bool = False, never_ask: bool = False
    ) -> None:
        self.out = out
        self.err = err
        self.inp = inp
        self.seconds = seconds
        self._directory = directory
        self._as_json = as_json
        self._never_ask = never_ask
        self._opened: list[InlineDatabase] = []

    @cached_property
    def directory(self) -> Path:
        """--dir, else $JETMAIL_DIR, else ./var/jetmail, else the current directory when it is one."""
        given = self._directory or os.environ.get("JETMAIL_DIR", "")
        if given:
            return Path(given).absolute()
        here = Path.cwd()
        is_ours = (here / "etc" / settings.FILE_NAME).is_file() and (here / "etc").resolve() != resources.defaults().resolve()
        if is_ours and not (here / DEFAULT_DIRECTORY).is_dir():
            return here
        return here / DEFAULT_DIRECTORY

    @property
    def config_file(self) -> Path:
        """The directory's settings."""
        return self.directory / "etc" / settings.FILE_NAME

    @cached_property
    def config(self) -> settings.Config:
        """The settings. Raises ConfigError, or UsageError when this is no jetmail directory."""
        if not self.config_file.is_file():
            raise UsageError("--dir", f"{self.directory} has no etc/{settings.FILE_NAME}; make a directory with: {program()} init DIR")
        return settings.load(self.config_file)

    @cached_property
    def db(self) -> InlineDatabase:
        """The store, made when there is none yet, brought up to date never (that is `migrate`). Raises StoreError, SchemaError."""
        path = self.config.database
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            migrations.apply(str(path))
        elif (version := migrations.schema_version(str(path))) != migrations.SCHEMA_VERSION:
            advice = f"run: {program()} migrate" if version < migrations.SCHEMA_VERSION else "it was made by a newer jetmail"
            raise UsageError("store", f"{path} has schema {version}, this program {migrations.SCHEMA_VERSION}; {advice}")
        database = InlineDatabase(str(path))
        self._opened.append(database)
        return database

    @cached_property
    def spool(self) -> FileStore:
        """Large content as files. Nothing is created there from the command line, so no names are made."""
        return FileStore(SpoolOptions(str(self.config.state / "spool")), InlineExecutor(), _no_names)

    @cached_property
    def resolver(self) -> IResolver:
        """DNS, waited for."""
        from jetmail import wiring  # here, because most commands ask nobody and need not wait for what this brings along
        from jetmail.cli.lookup import BlockingResolver

        return IResolver(BlockingResolver(wiring.dns_options(self.config)))

    @cached_property
    def workshop(self) -> Workshop:
        """What DNS records are checked and keys made with."""
        from jetmail import host, wiring
        from jetmail.actions.dkim import Workshop
        from jetmail.mailauth.suffixes import PublicSuffixes
        from jetmail.store.keyfiles import KeyFiles

        hostname = self.config.server.hostname or host.full_hostname()
        options, files = wiring.publish_options(self.config, hostname), KeyFiles(self.config.state / "dkim")
        return Workshop(self.db, self.resolver, InlineExecutor(), files, options, PublicSuffixes(), self.seconds)

    def token(self) -> str:
        """32 hex digits nobody can guess."""
        return SystemEntropy().token(16).hex()

    @cached_property
    def actor(self) -> Actor:
        """Who acts: whoever may read and write the store's file is the sysadmin."""
        return Actor.sysadmin(f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}")

    def account(self, text: str) -> int:
        """The account people name by its name or its number; '' is the default one. Raises NotFoundError."""
        from jetmail.actions import accounts

        return int(self.db.read(accounts.found, self.actor, text or "1").id)

    def changed(self) -> None:
        """Something was written: a running process should look."""
        wake(self.config.socket)

    def close(self) -> None:
        """Close what was opened."""
        for database in self._opened:
            database.close()

    # answers

    def say(self, text: str) -> None:
        """A line for people; nothing with --json, where only objects are printed."""
        if not self._as_json:
            print(text, file=self.out)

    def show(
        self, rows: Iterable[Any], headings: Sequence[str], cells: Callable[[Any], Sequence[object]], empty: str = "", keep: Sequence[str] = ()
    ) -> None:
        """Many: a table of `cells(row)`, or the rows as they are with --json. `keep` as in output.table."""
        if self._as_json:
            for row in rows:
                output.json_line(self.out, row)
            return
        rows = list(rows)
        if rows or not empty:
            output.table(self.out, headings, [cells(row) for row in rows], keep=keep)
        else:
            print(empty, file=self.out)

    def show_one(self, value: Any, items: Sequence[tuple[str, object]]) -> None:
        """One: `items` as 'name  value' lines, or `value` with --json."""
        if self._as_json:
            output.json_line(self.out, value)
        else:
            output.pairs(self.out, items)

    def when(self, seconds: float | None) -> str:
        """A time in a table: short on a terminal, whole in a pipe."""
        return output.short_when(seconds, self.seconds()) if self.out.isatty() else output.when(seconds)

    def confirm(self, question: str) -> bool:
        """Ask before what cannot be taken back. Without a terminal, or with --yes, nobody is asked and the answer is yes."""
        if self._never_ask or not self.inp.isatty():
            return True
        print(f"{question} [y/N] ", end="", file=self.err, flush=True)
        return self.inp.readline().strip().lower() in ("y", "yes")


def settled(value: Any) -> Any:
    """The result of an action over a store that works at once: its Deferred has fired. Raises what it failed with."""
    if not isinstance(value, Deferred):
        return value
    results: list[Any] = []
    failures: list[BaseException] = []
    value.addCallbacks(results.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    if not results:
        raise RuntimeError("an action over InlineDatabase did not finish at once")
    return results[0]


def _no_names() -> str:
    raise RuntimeError("the command line creates no spool files")
