"""train: teach the statistical filter from mail in files. train-seed: make the seed that ships (docs/classifier.md)."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from jetmail import host
from jetmail.cli.context import Context, settled
from jetmail.cli.mailfiles import MailFiles
from jetmail.cli.parser import FAILED, OK, Commands

if TYPE_CHECKING:
    from jetmail.actions.training import Sample

A_TRANSACTION = 100  # messages
_BAR = 30


def register(commands: Commands) -> None:
    """Declare the commands. What needs numpy is imported when one of them runs."""
    parser = commands.add(
        "train",
        train,
        "teach the statistical filter which mail is spam and which is not",
        ["train spam ~/Maildir/.Junk", "train ham archive.mbox --person anna@example.org"],
        details=(
            "PATH is an mbox file, a maildir, a folder of messages or a message. Each message is learnt once for each person, however\n"
            "often it is given; given as the opposite later, the last word counts. A running jetmail learns at once, else at its next start."
        ),
    )
    parser.add_argument("label", choices=("spam", "ham"), help="what the messages are; ham is what is no spam")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="where they are")
    parser.add_argument("--person", default="", metavar="ADDRESS", help="teach this person's filter alone; everybody's when not given")
    parser = commands.add(
        "train-seed",
        train_seed,
        "make the model a fresh appliance begins with",
        "train-seed --ham easy_ham easy_ham_2 hard_ham --spam spam spam_2 --out jetmail/classifier/seed.bin",
        details="The same mail gives the same file. The texts of our own that ship beside the seed are learnt with it.",
    )
    parser.add_argument("--ham", nargs="+", required=True, metavar="PATH", help="mail that is no spam")
    parser.add_argument("--spam", nargs="+", required=True, metavar="PATH", help="spam")
    parser.add_argument("--out", required=True, metavar="FILE", help="where to write it")


def train(context: Context, arguments: argparse.Namespace) -> int:
    """Teach."""
    from jetmail.actions import training
    from jetmail.mail.message import Message

    counts: Counter[str] = Counter({"new": 0, "turned": 0, "known": 0, "skipped": 0})
    hostname = context.config.server.hostname or host.full_hostname()
    is_spam = arguments.label == "spam"
    waiting: list[Sample] = []

    def teach() -> None:
        if waiting:
            learnt = settled(training.train(context.db, context.actor, waiting, is_spam, arguments.person, now=context.seconds()))
            counts.update(each.value for each in learnt)
            waiting.clear()

    settled(training.train(context.db, context.actor, [], is_spam, arguments.person, now=context.seconds()))  # may we? before reading for an hour
    try:
        for octets in _with_progress(context, MailFiles(arguments.paths)):
            if octets is None:
                counts["skipped"] += 1
                continue
            waiting.append(training.sample(Message(octets), hostname))
            if len(waiting) == A_TRANSACTION:
                teach()
        teach()
    finally:
        context.changed()
    summary = {"label": arguments.label, "person": arguments.person, **counts}
    context.show_one(
        summary, [("learnt", counts["new"]), ("turned", counts["turned"]), ("known before", counts["known"]), ("no mail", counts["skipped"])]
    )
    return OK if counts.total() > counts["skipped"] else FAILED


def train_seed(context: Context, arguments: argparse.Namespace) -> int:
    """Make a seed."""
    from jetmail.classifier import seeding

    counts = {"ham": 0, "spam": 0}

    def mail(side: str, paths: list[str], own: str) -> Iterator[bytes]:
        for octets in _with_progress(context, MailFiles(paths)):
            if octets is not None:
                counts[side] += 1
                yield octets
        yield from seeding.texts(own)

    octets = seeding.make(mail("ham", arguments.ham, "ordinary"), mail("spam", arguments.spam, "unwanted")).dump_seed()
    Path(arguments.out).write_bytes(octets)
    summary = {"file": arguments.out, "octets": len(octets), **counts}
    context.show_one(summary, list(summary.items()))
    return OK


def _with_progress(context: Context, files: MailFiles) -> Iterator[bytes | None]:
    bar = _Bar(context.err, files.size, context.seconds)
    for count, found in enumerate(files, 1):
        yield found.octets
        bar.show(found.read, count)
    bar.end()


class _Bar:
    """How far, how many: on a terminal alone, ten times a second at most."""

    def __init__(self, out: TextIO, total: int, seconds: Callable[[], float]) -> None:
        self._out = out
        self._total = max(1, total)
        self._seconds = seconds
        self._is_shown = out.isatty()
        self._next = 0.0

    def show(self, read: int, count: int) -> None:
        """So far."""
        now = self._seconds() if self._is_shown else 0.0
        if not self._is_shown or now < self._next:
            return
        self._next = now + 0.1
        part = min(1.0, read / self._total)
        filled = round(part * _BAR)
        print(f"\r[{'#' * filled}{'.' * (_BAR - filled)}] {part:4.0%}  {count} messages", end="", file=self._out, flush=True)

    def end(self) -> None:
        """Leave the line to what follows."""
        if self._is_shown:
            print(f"\r{' ' * (_BAR + 40)}\r", end="", file=self._out, flush=True)
