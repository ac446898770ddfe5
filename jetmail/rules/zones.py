"""Lists asked by DNS (RFC 5782): which zones there are, what their answers mean, and the asking of many at once within one budget.

Promises
- An answer means what the options say of it and nothing else: an address outside 127.0.0.0/8 is some resolver's lie, and 127.255.255.0/24 (or what
  a zone names in `blocked`) says that this resolver may not ask. Both are a warning in the log, once an hour and zone, and never a hit.
- A name that is not listed, a time-out and a server that fails add nothing.
- All questions of one message are asked at the same time and share one budget; what has not answered by then counts as not listed. The resolver
  caches, so that a second message of the same origin costs no packet.

Raises ValueError from `Zone` for options that cannot be meant.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.address import AddressError, parse_domain
from jetmail.rules.lists import IPAddress
from jetmail.rules.symbols import Symbol

QUIET = 3_600.0  # seconds between two warnings about the same zone
_OCTET = re.compile(r"\*|&?([0-9]{1,3})|([0-9]{1,3})-([0-9]{1,3})")
_BLOCKED = "127.255.255.*"

_log = Logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CodeOptions:
    """What one answer means. `match`: an IPv4 address whose octets may be `*`, a range `4-7`, or `&8` (that bit is set). `symbol` is found with
    `score`; `text` explains it to people."""

    match: str
    symbol: str
    score: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class ZoneOptions:
    """`zone` is the domain to ask below; `codes` its answers; `blocked` answers by which it says that we may not ask (127.255.255.* always is)."""

    zone: str
    codes: tuple[CodeOptions, ...]
    blocked: tuple[str, ...] = ()


class Listing(NamedTuple):
    """One meaning of one answer."""

    symbol: str
    detail: str


class Pattern:
    """`match` of a code, compiled."""

    __slots__ = ("_octets",)

    def __init__(self, text: str) -> None:
        parts = text.split(".")
        if len(parts) != 4:
            raise ValueError(f"{text!r} is not four octets like 127.0.0.2, 127.0.0.4-7, 127.0.*.1 or 127.0.0.&8")
        self._octets = tuple(_octet(part, text) for part in parts)

    def matches(self, octets: bytes) -> bool:
        """Whether the four octets of an answer are meant."""
        return all(octet & bits if bits else low <= octet <= high for octet, (low, high, bits) in zip(octets, self._octets, strict=True))


def _octet(part: str, text: str) -> tuple[int, int, int]:
    found = _OCTET.fullmatch(part)
    if found is None:
        raise ValueError(f"{text!r}: {part!r} is no octet")
    if part == "*":
        return 0, 255, 0
    low, high = (int(found[2]), int(found[3])) if found[2] else (int(found[1]), int(found[1]))
    if not low <= high <= 255:
        raise ValueError(f"{text!r}: {part!r} is no octet")
    return low, high, low if part.startswith("&") else 0


class Zone:
    """One list. Made of its options; tells what an answer means."""

    def __init__(self, options: ZoneOptions, group: str) -> None:
        try:
            self.name = parse_domain(options.zone.strip("."))
        except AddressError as error:
            raise ValueError(f"zones: {options.zone!r}: {error}") from error
        if not options.codes:
            raise ValueError(f"zones: {self.name}: codes: none")
        self._codes = tuple((Pattern(code.match), code.symbol) for code in options.codes)
        self._blocked = tuple(Pattern(text) for text in (_BLOCKED, *options.blocked))
        self.symbols = tuple(Symbol(code.symbol, code.score, code.text or f"It is listed in {self.name}.", group) for code in options.codes)
        self._told = float("-inf")

    def read(self, answer: Answer, asked: str, now: float) -> list[Listing]:
        """What the answer about `asked` says: nothing, or one listing for each symbol."""
        if answer.kind is not AnswerKind.FOUND:
            return []
        found: dict[str, str] = {}
        for record in answer.records:
            octets = _ipv4(record)
            if octets is None or octets[0] != 127:
                self._tell(now, "answers with an address that is no answer: some resolver on the way makes names up", record)
                return []
            if any(pattern.matches(octets) for pattern in self._blocked):
                self._tell(now, "does not answer questions of this resolver: use one of your own, or switch the zone off", record)
                return []
            for pattern, symbol in self._codes:
                if pattern.matches(octets):
                    found.setdefault(symbol, record)
        return [Listing(symbol, f"{asked} in {self.name} ({record})") for symbol, record in found.items()]

    def _tell(self, now: float, what: str, record: Any) -> None:
        if now - self._told >= QUIET:
            self._told = now
            _log.warn("list {zone} {what}", zone=self.name, what=what, answer=str(record)[:60])


def _ipv4(record: Any) -> bytes | None:
    try:
        return ipaddress.IPv4Address(record).packed
    except ValueError:
        return None


def zones(options: Sequence[ZoneOptions], group: str) -> tuple[tuple[Zone, ...], tuple[Symbol, ...]]:
    """The zones, and every symbol once. Raises ValueError when one symbol is given two weights."""
    made = tuple(Zone(each, group) for each in options)
    if len({zone.name for zone in made}) < len(made):
        raise ValueError("zones: one is named twice")
    symbols: dict[str, Symbol] = {}
    for symbol in (symbol for zone in made for symbol in zone.symbols):
        if symbols.setdefault(symbol.word, symbol).score != symbol.score:
            raise ValueError(f"zones: {symbol.word} has two scores")
    return made, tuple(symbols.values())


def reverse(address: IPAddress) -> str:
    """What stands before the zone to ask about an address (RFC 5782 2.1, 2.4)."""
    name, _, _ = address.reverse_pointer.rpartition(".in-addr.arpa" if address.version == 4 else ".ip6.arpa")
    return name


async def ask(resolver: IResolver, questions: Iterable[tuple[str, T]], seconds: float, clock: IReactorTime) -> list[tuple[Answer, T]]:
    """The A records of all names, asked at once. What has not answered within `seconds` is a TIMEOUT."""
    named = list(questions)
    waiting: Deferred[list[tuple[bool, Any]]] = DeferredList([resolver.query(name, "A") for name, _ in named], consumeErrors=True)
    if not waiting.called:
        waiting.addTimeout(seconds, clock)  # cancels what still waits, and the list then has all that came
    answers = await waiting
    return [(answer if is_answer else Answer(AnswerKind.TIMEOUT), about) for (is_answer, answer), (_, about) in zip(answers, named, strict=True)]
