"""etc/providers.toml: how much mail each provider is given, and which of its answers ask us to slow down.

    [default]                       hosts found by MX that belong to no provider below, each registered domain on its own
    [relay]                         hosts that the configuration names (HOST:PORT): destinations of relay domains, the smarthost
    [[provider]]                    name = "gmail"   mx = ["google.com", ...]    and whatever differs from [default]

Promises
- Every setting is declared once, here, with its default, its bounds and a sentence. Unknown keys are refused, and every fault of the file is listed
  at once as 'file: key: reason'. A file that is not there is one without providers.
- Expressions are RE2's: time linear in the reply, memory and length capped.

Raises ConfigError. Read when jetmail starts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import re2

from jetmail.errors import ConfigError
from jetmail.mail.reply import Reply
from jetmail.settings import converter, faults, setting

FILE_NAME = "providers.toml"
MAX_PATTERN = 300  # characters of an expression
MAX_PATTERNS = 50
MAX_PROVIDERS = 500
MAX_REPLY = 500  # characters of a reply that expressions see
_MEMORY = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SUFFIX = re.compile(r"(?=.{3,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+")
# RFC 3463 and its registry: 4.7.x that speak of TLS, keys and certificates, not of how much we send.
_CRYPTOGRAPHIC = frozenset({"4.7.4", "4.7.5", "4.7.6", "4.7.7", "4.7.10", "4.7.11"})
SLOW_DOWN = (
    r"rate.?limit",
    r"limit.{0,20}rate",
    r"throttl",
    r"too (many|much|fast|frequent)",
    r"slow(ing)? down",
    r"unusual rate",
    r"temporarily deferred",
    r"maximum .{0,30}(connections|sessions|messages)",
)


@dataclass(frozen=True, slots=True)
class Terms:
    """[default] How much at once and how fast, and what counts as being asked to slow down."""

    connections: int = setting(0, "deliveries, and connections, at once; 0: [queue] max_per_destination", low=0, high=1_000)
    per_minute: float = setting(0.0, "messages begun in a minute, evenly spread; 0: no limit", low=0, high=1_000_000)
    per_connection: int = setting(0, "messages sent over one connection; 0: [delivery] keep_messages", low=0, high=100_000)
    throttle: tuple[str, ...] = setting(SLOW_DOWN, "expressions (RE2, any case) that a 4xx reply asks to slow down by; 421 and 4.7.x do anyway")
    ignore: tuple[str, ...] = setting(
        (r"gr[ae]y.?list", r"mailbox", r"quota"), "expressions of 4xx replies that do not, whatever their code: they are about one message"
    )
    burst: int = setting(5, "so many such replies ...", low=1, high=1_000)
    of: int = setting(20, "... among so many attempts in a row ...", low=1, high=1_000)
    within: float = setting(300.0, "... in so many seconds are a burst: the site cools down", low=1, high=86_400)
    pauses: tuple[float, ...] = setting(
        (60.0, 120.0, 300.0, 900.0, 1_800.0), "seconds in which nothing is sent, the first time and each time after it again", low=0.05, high=86_400
    )
    recover: int = setting(10, "messages taken before it is given twice as much again, up to all it may have", low=1, high=10_000)


@dataclass(frozen=True, slots=True)
class Relay(Terms):
    """[relay] The same for hosts that the configuration names."""


@dataclass(frozen=True, slots=True)
class Provider(Terms):
    """[[provider]] The same for everything whose mail host ends in one of `mx`. What is not said is as in [default]."""

    name: str = setting("", "a word of a-z, 0-9 and -, by which people and metrics call it")
    mx: tuple[str, ...] = setting((), "what the names of its mail hosts end in: google.com fits aspmx.l.google.com")


class Preset:
    """Terms ready for use: a name ('' for [default] and [relay]) and compiled expressions. `is_relay`: somebody's own server, which greylists and
    runs out of room, and has nobody's quota: what it says of recipients is about them."""

    def __init__(self, terms: Terms, name: str = "", mx: tuple[str, ...] = (), is_relay: bool = False) -> None:
        self.terms = terms
        self.name = name
        self.mx = mx
        self.is_relay = is_relay

    @cached_property
    def _throttle(self) -> list[Any]:
        return [_compiled(each) for each in self.terms.throttle]

    @cached_property
    def _ignore(self) -> list[Any]:
        return [_compiled(each) for each in self.terms.ignore]

    def throttles(self, reply: Reply, about: str = "") -> bool:
        """Whether that reply of a peer asks us to send less, and not only to try one message again. `about`: the recipient whose RCPT was answered
        so (a 421 there is about the connection)."""
        if not reply.is_transient or reply.enhanced in _CRYPTOGRAPHIC or (about and self.is_relay):
            return False
        text = str(reply)[:MAX_REPLY]
        if any(each.search(text) for each in self._ignore):
            return False
        if reply.enhanced.startswith("4.7.") or (reply.code == 421 and not reply.enhanced.startswith("4.4.")):
            return True
        return any(each.search(text) for each in self._throttle)


class Providers:
    """Every preset of a file. `of_host` finds the provider of a mail host."""

    def __init__(self, default: Terms | None = None, relay: Terms | None = None, providers: Iterable[Provider] = ()) -> None:
        self.default = Preset(default or Terms())
        self.relay = Preset(relay or Terms(), is_relay=True)
        self.named = {each.name: Preset(each, each.name, each.mx) for each in providers}
        self._suffixes = {suffix: preset for preset in self.named.values() for suffix in preset.mx}

    def of_host(self, host: str) -> Preset | None:
        """The provider whose suffix that host name ends in, the longest one first; None for nobody's."""
        suffixes = self._suffixes
        while host:
            if (found := suffixes.get(host)) is not None:
                return found
            host = host.partition(".")[2]
        return None


def load(path: Path) -> Providers:
    """The presets of a providers.toml. Raises ConfigError with every fault."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Providers()
    except (OSError, ValueError, RecursionError) as error:  # numbers of 5,000 digits and tables a thousand deep included
        raise ConfigError([f"{path.name}: {error}"]) from error
    return parse(raw, path.name)


def parse(raw: Mapping[str, Any], where: str = FILE_NAME) -> Providers:
    """The presets of what was read already. Raises ConfigError with every fault."""
    problems: list[str] = []
    known = {"default": Terms, "relay": Relay}
    for key in raw:
        if key not in known and key != "provider":
            problems.append(f"{where}: {key}: unknown section (known: default, relay, provider)")
    made = {key: _built(raw.get(key, {}), kind, f"{where}: {key}", problems) for key, kind in known.items()}
    base = raw.get("default", {}) if made["default"] is not None else {}
    tables = raw.get("provider", [])
    if not isinstance(tables, list):
        problems.append(f"{where}: provider: must be written [[provider]]")
        tables = []
    if len(tables) > MAX_PROVIDERS:
        problems.append(f"{where}: provider: at most {MAX_PROVIDERS}")
        tables = []
    providers = []
    taken: dict[str, str] = {}
    for index, table in enumerate(tables):
        given = table.get("name") if isinstance(table, dict) else None
        at = f"{where}: provider '{given}'" if isinstance(given, str) and given else f"{where}: provider[{index}]"
        before = len(problems)
        provider = _built(table, Provider, at, problems)
        if provider is None:
            continue
        _check_names(provider, at, taken, problems)
        if len(problems) == before:
            merged = _built({**base, **table}, Provider, at, problems)
            if merged is not None:
                providers.append(merged)
    if problems:
        raise ConfigError(problems)
    return Providers(made["default"], made["relay"], providers)


def _built(table: Any, kind: type, at: str, problems: list[str]) -> Any:
    before = len(problems)
    try:
        terms: Any = converter((kind,)).structure(table, kind)
    except Exception as error:
        problems += [f"{at}: {key}: {reason}" if key else f"{at}: {reason}" for key, reason in faults(error)]
        return None
    for key in ("throttle", "ignore"):
        patterns = getattr(terms, key)
        if len(patterns) > MAX_PATTERNS:
            problems.append(f"{at}: {key}: at most {MAX_PATTERNS} expressions")
            continue
        for index, pattern in enumerate(patterns):
            try:
                _compiled(pattern)
            except ValueError as error:
                problems.append(f"{at}: {key}[{index}]: {error}")
    if not 1 <= len(terms.pauses) <= 20:
        problems.append(f"{at}: pauses: needs 1 to 20 entries")
    if terms.burst > terms.of:
        problems.append(f"{at}: burst: must not be more than `of` ({terms.of})")
    return terms if len(problems) == before else None


def _check_names(provider: Provider, at: str, taken: dict[str, str], problems: list[str]) -> None:
    if not _NAME.fullmatch(provider.name) or provider.name in ("default", "relay"):
        problems.append(f"{at}: name: must be 1 to 40 of a-z, 0-9 and -, and neither default nor relay")
    elif provider.name in taken:
        problems.append(f"{at}: name: is used twice")
    taken[provider.name] = provider.name
    if not provider.mx:
        problems.append(f"{at}: mx: says nothing; what do the names of its mail hosts end in?")
    for index, suffix in enumerate(provider.mx):
        if not _SUFFIX.fullmatch(suffix):
            problems.append(f"{at}: mx[{index}]: '{suffix}' is not a name of two labels or more in lower case, like example.net")
        elif (other := taken.get("." + suffix)) is not None:
            problems.append(f"{at}: mx[{index}]: '{suffix}' is provider '{other}' already")
        taken["." + suffix] = provider.name


def _compiled(pattern: str) -> Any:
    if not pattern or len(pattern) > MAX_PATTERN:
        raise ValueError(f"must have 1 to {MAX_PATTERN} characters")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.never_capture = True
    options.log_errors = False
    options.case_sensitive = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise ValueError(f"is not a regular expression: {error.args[0] if error.args else 'not valid'}") from error


def listing() -> list[tuple[str, str]]:
    """(key, sentence) of every setting a section may have, for the test that holds the shipped file against them."""
    return [(each.name, each.metadata["text"]) for each in fields(Provider)]
