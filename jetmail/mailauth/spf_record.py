"""SPF records as text: the grammar of RFC 7208 12 read in one pass, and the macros of section 7. Pure.

`parse` takes one TXT record that begins with `v=spf1` and gives its terms with every domain-spec already cut into macro pieces, so that a record is
read once and evaluated many times. Raises SpfSyntaxError naming the term; a syntax error anywhere makes the whole record worthless (4.6).
Time is linear in the record, and records longer than MAX_RECORD are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

MAX_RECORD = 16_384  # octets; RFC 7208 3.4 recommends 450
MAX_SPEC = 1_024  # characters of one domain-spec
MAX_NAME = 253

_MACRO = re.compile(r"\{([slodiphcrtvSLODIPHCRTV])([0-9]{0,9})([rR]?)([.+,/_=-]{0,16})\}")
_MECHANISM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:(?=[:/])(.*))?", re.IGNORECASE | re.DOTALL)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]{0,1}))?(?://(0|[1-9][0-9]{0,2}))?")
_TOP_LABEL = re.compile(r"[A-Za-z0-9-]+")
_LITERAL = re.compile(r"[\x21-\x7e]*")
_TEXT = re.compile(r"[\x20-\x7e]*")
_ONLY_IN_EXP = frozenset("crt")
_ESCAPED = {"%%": "%", "%_": " ", "%-": "%20"}


class SpfSyntaxError(ValueError):
    """The record breaks the grammar; `str()` names the term."""


@dataclass(frozen=True, slots=True)
class Macro:
    """One `%{...}`: `letter` lower-case, `parts` 0 for all, `escape` for an upper-case letter."""

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    escape: bool

    def apply(self, value: str) -> str:
        """The transformers of 7.1 on the macro's value."""
        if self.parts or self.reverse or self.delimiters:
            delimiters = self.delimiters or "."
            for other in delimiters[1:]:
                value = value.replace(other, delimiters[0])
            pieces = value.split(delimiters[0])
            if self.reverse:
                pieces.reverse()
            value = ".".join(pieces[-self.parts :] if self.parts else pieces)
        return quote(value, safe="") if self.escape else value


Spec = tuple[str | Macro, ...]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """`text` as written, for people. `spec` None: the domain itself. `network` only for ip4 and ip6."""

    text: str
    qualifier: str
    name: str
    spec: Spec | None = None
    prefix4: int = 32
    prefix6: int = 128
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record that keeps to the grammar."""

    mechanisms: tuple[Mechanism, ...]
    redirect: Spec | None = None
    explanation: Spec | None = None


def is_spf(txt: bytes) -> bool:
    """Whether a TXT record is one of SPF, version 1 (4.5)."""
    return txt[:6].lower() == b"v=spf1" and txt[6:7] in (b"", b" ")


@lru_cache(maxsize=1024)
def parse(txt: bytes) -> Record:
    """One record -> Record. Raises SpfSyntaxError."""
    if len(txt) > MAX_RECORD:
        raise SpfSyntaxError(f"record longer than {MAX_RECORD} octets")
    try:
        text = txt.decode("ascii")
    except UnicodeDecodeError as error:
        raise SpfSyntaxError("record has characters beyond ASCII") from error
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, Spec] = {}
    for term in text[6:].split(" "):
        if not term:
            continue
        if found := _MECHANISM.fullmatch(term):
            mechanisms.append(_mechanism(term, found[1] or "+", found[2].lower(), found[3] or ""))
        elif found := _MODIFIER.fullmatch(term):
            name = found[1].lower()
            if name not in ("redirect", "exp"):
                macros(found[2])
            elif name in modifiers:
                raise SpfSyntaxError(f"{name}= twice")
            else:
                modifiers[name] = domain_spec(found[2])
        else:
            raise SpfSyntaxError(f"unknown term {term[:60]!r}")
    return Record(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def _mechanism(term: str, qualifier: str, name: str, rest: str) -> Mechanism:
    shown = term[:100]
    if name == "all":
        if rest:
            raise SpfSyntaxError(f"{shown!r}: all takes no argument")
        return Mechanism(shown, qualifier, name)
    if name in ("ip4", "ip6"):
        return Mechanism(shown, qualifier, name, network=_network(shown, name, rest))
    if name in ("include", "exists", "ptr"):
        if not rest.startswith(":") and (rest or name != "ptr"):
            raise SpfSyntaxError(f"{shown!r}: a domain is needed")
        return Mechanism(shown, qualifier, name, domain_spec(rest[1:]) if rest else None)
    prefix4, prefix6, spec = 32, 128, rest
    slash = rest.rfind("//")
    start = rest.rfind("/", 0, slash) if slash >= 0 else rest.rfind("/")
    for place in (start, slash):
        if place >= 0 and (cidr := _CIDR.fullmatch(rest, place)):
            prefix4, prefix6 = int(cidr[1] or 32), int(cidr[2] or 128)
            spec = rest[:place]
            break
    if prefix4 > 32 or prefix6 > 128:
        raise SpfSyntaxError(f"{shown!r}: prefix too long")
    if not spec:
        return Mechanism(shown, qualifier, name, None, prefix4, prefix6)
    if not spec.startswith(":"):
        raise SpfSyntaxError(f"{shown!r}: bad prefix")
    return Mechanism(shown, qualifier, name, domain_spec(spec[1:]), prefix4, prefix6)


def _network(shown: str, name: str, rest: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, prefix = rest[1:].partition("/")
    longest = 32 if name == "ip4" else 128
    if not rest.startswith(":") or (slash and not _is_prefix(prefix, longest)):
        raise SpfSyntaxError(f"{shown!r}: no network")
    try:
        host = ipaddress.IPv4Address(address) if name == "ip4" else ipaddress.IPv6Address(address)
        if "%" in address:
            raise ValueError
        return ipaddress.ip_network((host, int(prefix) if slash else longest), strict=False)
    except ValueError as error:
        raise SpfSyntaxError(f"{shown!r}: no network") from error


def _is_prefix(text: str, longest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and (text == "0" or text[0] != "0") and int(text) <= longest


def domain_spec(text: str) -> Spec:
    """A domain-spec: a macro string that ends in a macro or in a dot and a top label. Raises SpfSyntaxError."""
    if not text or len(text) > MAX_SPEC:
        raise SpfSyntaxError(f"{text[:60]!r}: no domain")
    spec = macros(text)
    if isinstance(spec[-1], str) and text[-2:] not in _ESCAPED:
        before, dot, top = text.removesuffix(".").rpartition(".")
        if not dot or not _TOP_LABEL.fullmatch(top) or top.isdigit() or top[0] == "-" or top[-1] == "-":
            raise SpfSyntaxError(f"{text[:60]!r}: no domain")
    return spec


def macros(text: str, is_explanation: bool = False) -> Spec:
    """A macro string cut into literals and macros. Raises SpfSyntaxError."""
    pieces: list[str | Macro] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        literal = text[position : percent if percent >= 0 else len(text)]
        if not (_TEXT if is_explanation else _LITERAL).fullmatch(literal):
            raise SpfSyntaxError(f"{text[:60]!r}: characters that may not stand there")
        if literal:
            pieces.append(literal)
        if percent < 0:
            break
        if (two := text[percent : percent + 2]) in _ESCAPED:
            pieces.append(_ESCAPED[two])
            position = percent + 2
            continue
        found = _MACRO.match(text, percent + 1)
        if found is None or (found[2] and not int(found[2])) or (found[1].lower() in _ONLY_IN_EXP and not is_explanation):
            raise SpfSyntaxError(f"{text[:60]!r}: bad macro")
        pieces.append(Macro(found[1].lower(), int(found[2] or 0), bool(found[3]), found[4], found[1].isupper()))
        position = found.end()
    return tuple(pieces)


def expand(spec: Spec, values: Mapping[str, str]) -> str:
    """The pieces with each macro's letter looked up in `values`."""
    return "".join(piece if isinstance(piece, str) else piece.apply(values[piece.letter]) for piece in spec)


def needs(spec: Spec, letter: str) -> bool:
    """Whether that macro stands in it."""
    return any(isinstance(piece, Macro) and piece.letter == letter for piece in spec)


def fit(name: str) -> str:
    """A target name without its final dot, shortened from the left to what DNS can carry (7.3)."""
    name = name.removesuffix(".")
    if len(name) > MAX_NAME:
        cut = name.find(".", len(name) - MAX_NAME - 1)
        name = name[cut + 1 :] if cut >= 0 else name
    return name


def is_name(name: str) -> bool:
    """Whether DNS could have it: labels of 1 to 63, 253 in all."""
    return 0 < len(name) <= MAX_NAME and all(0 < len(label) <= 63 for label in name.split("."))
