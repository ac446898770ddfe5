"""Lists kept as plain files: one entry a line, read again when the file changes, never half.

An entry is an IP address, a network, a range, a domain (which covers its subdomains), an address, or `re:` and a regular expression of RE2, which is
searched for in the whole lower-case text. `#` begins a comment at the start of a line or behind white space; empty lines are nothing.

Promises
- A look-up costs microseconds however long the list is (regular expressions: one pass over the text for all of them).
- At most once a second the file's modification time, size and inode are looked at; when one has moved it is read on a thread, and until that is
  done, and when it cannot be read or a line makes no sense, the content from before stands. Faults are logged with their lines and reasons, once.
- A file that was never there is an empty list, and is waited for; one that goes away counts as one that cannot be read, because editors and
  deployments let files vanish for a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import re2
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.errors import UsageError
from jetmail.interfaces import IExecutor
from jetmail.mail.address import Address
from jetmail.rules.lists import Entries, IPAddress, parse_entries

LOOK_EVERY = 1.0  # seconds
MAX_OCTETS = 32 << 20
MAX_EXPRESSIONS = 10_000
MAX_EXPRESSION = 1_000
MAX_TOLD = 20  # faults of one file that are logged
MEMORY = 64 << 20  # for the expressions of one file

_log = Logger()


class Stamp(NamedTuple):
    """What moves when a file changes."""

    modified: int
    size: int
    inode: int


NOTHING = Stamp(0, -1, 0)


@dataclass(frozen=True, slots=True)
class Content:
    """A file as read. `expressions` is an RE2 set (None: there are none), `texts` its expressions by number."""

    entries: Entries = Entries()
    expressions: Any = None
    texts: tuple[str, ...] = ()

    def has_network(self, address: IPAddress | None) -> bool:
        """The address is listed."""
        return self.entries.has_network(address)

    def has_address(self, address: Address) -> bool:
        """The mail address is listed, itself, by its domain, or by an expression."""
        return self.entries.has_sender(address.key, address.domain) or self.has_text(address.key)

    def has_domain(self, name: str) -> bool:
        """The host or domain is listed, itself, by a domain above it, or by an expression."""
        return self.entries.has_sender("", name) or self.has_text(name)

    def has_text(self, text: str) -> bool:
        """An expression is found in the text."""
        return self.expressions is not None and bool(self.expressions.Match(text.lower()))


EMPTY = Content()


class BadFile(Exception):
    """The file cannot be a list. `faults` are (line, reason); line 0 is the file as a whole."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {line}: {reason}" for line, reason in faults[:MAX_TOLD]))
        self.faults = faults


def stamp(path: Path) -> Stamp:
    """The file's stamp; NOTHING when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return NOTHING
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def read(path: Path) -> tuple[Stamp, Content]:
    """The file as it is now, with the stamp it had before it was read. Raises BadFile."""
    before = stamp(path)
    if before == NOTHING:
        raise BadFile([(0, "the file is gone (empty it, to have an empty list)")])
    if before.size > MAX_OCTETS:
        raise BadFile([(0, f"is larger than {MAX_OCTETS >> 20} MB")])
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile([(0, str(error))]) from error
    return before, parse(text)


def parse(text: str) -> Content:
    """The text of a list. Raises BadFile with every line that makes no sense."""
    faults: list[tuple[int, str]] = []
    plain: list[tuple[int, str]] = []
    expressions: list[str] = []
    for number, entry in _lines(text):
        if not entry.startswith("re:"):
            plain.append((number, entry))
        elif reason := _refused(entry[3:].strip()):
            faults.append((number, reason))
        else:
            expressions.append(entry[3:].strip())
            if len(expressions) == MAX_EXPRESSIONS + 1:
                faults.append((number, f"more than {MAX_EXPRESSIONS} expressions"))
    entries = Entries()
    try:
        entries = parse_entries(entry for _, entry in plain)
    except UsageError as error:
        # Which lines: only now, because asking each alone takes three times as long.
        faults += [(number, reason) for number, entry in plain if (reason := _refused_entry(entry))] or [(0, str(error))]
    if faults:
        raise BadFile(sorted(faults))
    return Content(entries, _compiled(expressions), tuple(expressions))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("re:"):  # an expression may hold a #
            head, mark, _ = line.partition("#")
            line = head if mark and (not head or head[-1].isspace()) else line
        if entry := line.strip().lstrip("\ufeff"):
            yield number, entry


def _refused_entry(entry: str) -> str:
    try:
        parse_entries([entry])
    except UsageError as error:
        return error.reason
    return ""


def _refused(expression: str) -> str:
    if not expression:
        return "re: without an expression"
    if len(expression) > MAX_EXPRESSION:
        return f"an expression longer than {MAX_EXPRESSION} characters"
    try:
        re2.compile(expression, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else "no expression"
        return f"{expression!r}: {reason.decode('utf-8', 'replace') if isinstance(reason, bytes) else reason}"
    return ""


def _compiled(expressions: list[str]) -> Any:
    if not expressions:
        return None
    together = re2.Set.SearchSet(_options())
    for expression in expressions:
        together.Add(expression)
    try:
        together.Compile()
    except re2.error as error:
        raise BadFile([(0, "its expressions need too much memory together")]) from error
    return together


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MEMORY
    return options


class MapFile:
    """One file, kept fresh. `content` is what to ask."""

    def __init__(self, path: Path, executor: IExecutor, clock: IReactorTime) -> None:
        self.path = path
        self._executor = executor
        self._clock = clock
        self._content = EMPTY
        self._stamp = NOTHING
        self._looked = float("-inf")
        self._is_reading = False

    def load(self) -> None:
        """Read it now, on this thread: at boot, so that no mail passes before the list is there."""
        self._looked = self._clock.seconds()
        self._stamp = stamp(self.path)
        if self._stamp == NOTHING:
            _log.info("list {path} is not there: it counts as empty until it is", path=str(self.path))
            return
        try:
            self._stamp, self._content = read(self.path)
        except BadFile as error:
            self._tell(error)

    @property
    def content(self) -> Content:
        """What the file said when it last made sense."""
        now = self._clock.seconds()
        if not 0 <= now - self._looked < LOOK_EVERY and not self._is_reading:
            self._looked = now
            found = stamp(self.path)
            if found != self._stamp:
                self._is_reading = True
                self._stamp = found  # a file that makes no sense is not read again until it moves
                self._executor.run(read, self.path).addCallbacks(self._have, self._failed)
        return self._content

    def _have(self, result: tuple[Stamp, Content]) -> None:
        self._is_reading = False
        self._stamp, self._content = result
        content = self._content
        _log.info(
            "list {path} read again", path=str(self.path), addresses=len(content.entries.addresses), domains=len(content.entries.domains),
            networks=len(content.entries.networks.ranges()), expressions=len(content.texts),
        )  # fmt: skip

    def _failed(self, failure: Failure) -> None:
        self._is_reading = False
        if failure.check(BadFile):
            self._tell(failure.value)
        else:
            _log.failure("list {path} cannot be read, what it said before stands", failure=failure, path=str(self.path))

    def _tell(self, error: Any) -> None:
        for line, reason in error.faults[:MAX_TOLD]:
            _log.error("list {path} line {line}: {reason}; what it said before stands", path=str(self.path), line=line, reason=reason)
