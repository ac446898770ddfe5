"""init, check, migrate, config show: what is done before jetmail runs, and looking over what is there."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from jetmail import config as settings
from jetmail import resources
from jetmail.cli import checks, output
from jetmail.cli.context import Context
from jetmail.cli.parser import FAILED, OK, PROBLEMS, Commands, program
from jetmail.errors import ConflictError
from jetmail.store import migrations

# What a directory is given: the files of etc/, then the empty folder its state goes to.
ETC_FILES = ("jetmail.toml", "rules.toml", "scores.toml", "providers.toml", "jetmail.service", "jetmail.socket")


def register(commands: Commands) -> None:
    """Declare the commands."""
    parser = commands.add(
        "init",
        init,
        "make a jetmail directory: commented settings and an empty store",
        "init /var/lib/jetmail",
        json=False,
        details="Refuses a directory that already has settings. Nothing outside DIR is touched.",
    )
    parser.add_argument("directory", metavar="DIR")
    commands.add(
        "check",
        check,
        "look for everything that would keep jetmail from working, and list it at once",
        "--dir /var/lib/jetmail check",
        details="Settings, rules, scores and lists, store, user, disk, certificates, files, ports, addresses, DNS.\n"
        "Exit code 3 when there are problems; warnings alone are 0.",
    )
    commands.add("migrate", migrate, "make the store, or bring it to this version (a copy is kept)", "--dir /var/lib/jetmail migrate")
    family = commands.family("config", "the settings", "config show")
    family.add("show", show, "print every setting as it is in force, secrets masked", "config show --json")


def init(context: Context, arguments: argparse.Namespace) -> int:
    """Make a directory."""
    directory = Path(arguments.directory).absolute()
    etc = directory / "etc"
    taken = [name for name in ETC_FILES if (etc / name).exists()]
    if taken:
        raise ConflictError(f"{directory}: has etc/{taken[0]} already; nothing was changed")
    make_directory(directory)
    context.say(f"made {directory}")
    context.say(f"  settings  {etc / settings.FILE_NAME}")
    context.say(f"  rules     {etc / 'rules.toml'}")
    context.say(f"  store     {settings.load(etc / settings.FILE_NAME).database}")
    context.say("next:")
    context.say(f"  {program()} --dir {directory} domain add example.org --destination mail.example.org:25 --verified")
    context.say(f"  {program()} --dir {directory} check")
    context.say(f"  {program()} --dir {directory} run")
    return OK


def make_directory(directory: Path) -> None:
    """etc/ from the shipped defaults and an empty store. Files that are there stay."""
    etc = directory / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    for name in ETC_FILES:
        if not (etc / name).exists():
            shutil.copyfile(resources.defaults() / name, etc / name)
    config = settings.load(etc / settings.FILE_NAME)
    config.state.mkdir(mode=0o750, parents=True, exist_ok=True)
    migrations.apply(str(config.database))


def check(context: Context, arguments: argparse.Namespace) -> int:
    """Everything at once."""
    problems = checks.all_problems(context.config_file)
    if arguments.json:
        for problem in problems:
            output.json_line(context.out, problem)
    else:
        for problem in problems:
            print(f"{'warning: ' if problem.is_warning else ''}{problem.file}: {problem.key}: {problem.reason}", file=context.out)
        if not problems:
            print(f"{context.directory}: no problems found", file=context.out)
    return PROBLEMS if any(not problem.is_warning for problem in problems) else OK


def migrate(context: Context, arguments: argparse.Namespace) -> int:
    """Make or upgrade the store."""
    path = context.config.database
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    steps = migrations.apply(str(path))
    context.show_one(
        {"store": str(path), "steps": steps, "version": migrations.SCHEMA_VERSION},
        [("store", path), ("version", migrations.SCHEMA_VERSION), ("steps applied", steps)],
    )
    return OK


def show(context: Context, arguments: argparse.Namespace) -> int:
    """The effective settings."""
    pairs = settings.effective(context.config)
    if arguments.json:
        for key, value in pairs:
            output.json_line(context.out, {"key": key, "value": value})
    else:
        output.pairs(context.out, pairs)
    return OK if pairs else FAILED
