"""Mail addresses of the envelope (RFC 5321 4.1.2, RFC 6531 3.3), parsed once where they come in and compared by value ever after.

`parse` takes what stands between `<` and `>` in MAIL and RCPT, source route already gone. The local part keeps its case (RFC 5321 2.4) and
is stored in its shortest wire form: quoted only where it must be. The domain becomes lower-case A-labels (RFC 5890), so that one domain
has one spelling in every table; an address literal keeps its brackets.

Raises AddressError, whose text may be shown to the peer.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

MAX_LOCAL = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_PATH = 254  # RFC 5321 4.5.3.1.3: 256 with the angle brackets

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_UTEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]"
_DOT_STRING = re.compile(rf"{_UTEXT}+(?:\.{_UTEXT}+)*")
# RFC 5321 has letters, digits and inner hyphens; hosts with an underscore exist, send mail, and cannot be mistaken for anything else.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PLAIN = re.compile(rf"({_ATEXT}+(?:\.{_ATEXT}+)*)@({_LABEL}(?:\.{_LABEL})*)")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"')
_CONTROL = re.compile(r"[\u0080-\u009f\ud800-\udfff]")


class AddressError(ValueError):
    """The text is no RFC 5321 mailbox; `str()` says why in words fit for a peer."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local` in wire form (quotes included where needed), `domain` lower-case A-labels or a literal. Equal when both are equal to the letter."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """For look-ups where people mean the same mailbox: case folded throughout."""
        return f"{self.local.casefold()}@{self.domain}"

    @property
    def untagged(self) -> Address:
        """`local@domain` of `local+tag@domain`, whose mailbox it is; itself without a tag. Quoted local parts have none."""
        base, plus, _ = self.local.partition("+")
        return Address(base, self.domain) if plus and base and not base.startswith('"') else self

    @property
    def is_ascii(self) -> bool:
        """False when only an SMTPUTF8 peer can take it (the domain is always ASCII here)."""
        return self.local.isascii()

    @property
    def is_literal(self) -> bool:
        """`user@[192.0.2.1]`: the domain is an address, not a name."""
        return self.domain.startswith("[")


@lru_cache(maxsize=4096)
def parse(text: str) -> Address:
    """`local@domain` -> Address. Accepts what RFC 5321 4.1.2 and RFC 6531 3.3 accept, nothing more. Raises AddressError."""
    if len(text) <= MAX_PATH and (plain := _PLAIN.fullmatch(text)) and len(plain[1]) <= MAX_LOCAL and len(plain[2]) <= 253:
        domain = plain[2].lower()
        return Address(plain[1], domain if "xn--" not in domain else parse_domain(domain))
    local, domain = _split(text)
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise AddressError(f"local part is longer than {MAX_LOCAL} octets")
    address = Address(_parse_local(local), parse_domain(domain))
    if len(str(address).encode()) > MAX_PATH:
        raise AddressError(f"address is longer than {MAX_PATH} octets")
    return address


def parse_domain(text: str) -> str:
    """A domain name or literal in its one stored spelling. Raises AddressError."""
    if text.startswith("["):
        return _parse_literal(text)
    if len(text) > MAX_DOMAIN:
        raise AddressError("domain is too long")
    if text.isascii():
        domain = text.lower()
        if "xn--" in domain and not all(map(_is_encoded, domain.split("."))):
            raise AddressError("domain is not a valid internationalised name")
    else:
        try:
            domain = idna.encode(text, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("domain is not a valid internationalised name") from error
    if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        raise AddressError("domain is not a valid host name")
    return domain


def display_domain(domain: str) -> str:
    """A domain as people read it: U-labels where they are well formed, else as stored."""
    if "xn--" not in domain:
        return domain
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain


def _is_encoded(label: str) -> bool:
    """False for an A-label that encodes nothing, or what no U-label can be (capitals, unnormalised or unprintable text). Which characters are fit for
    a name is otherwise the registry's affair: there are registered names that today's tables refuse (RFC 5891 4.5)."""
    if not label.startswith("xn--"):
        return True
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        if decoded.encode("punycode").decode("ascii") != label[4:]:
            return False
    except (ValueError, OverflowError):
        return False
    # Cherokee folds to its capitals (UTS 46), every other script to small letters, of which casefold() would lose some (ß, ς).
    small = (unicodedata.normalize("NFKC", text) for text in (decoded.lower(), decoded.casefold()))
    return not decoded.isascii() and decoded.isprintable() and decoded in small


def _split(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if not quoted or text[quoted.end() : quoted.end() + 1] != "@":
            raise AddressError("quoted local part is not closed")
        return quoted[0], text[quoted.end() + 1 :]
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("address has no @")
    if not local:
        raise AddressError("local part is empty")
    return local, domain


def _parse_local(local: str) -> str:
    if _CONTROL.search(local):
        raise AddressError("local part has control characters")
    if not local.startswith('"'):
        if not _DOT_STRING.fullmatch(local):
            raise AddressError("local part has characters that need quotes, or misplaced dots")
        return local
    content = re.sub(r"\\(.)", r"\1", local[1:-1])
    if _DOT_STRING.fullmatch(content):
        return content
    return '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'


def _parse_literal(text: str) -> str:
    inner = text[1:-1] if text.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:" and "%" not in inner:
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressError("address literal is not [IPv4] or [IPv6:...]") from error
