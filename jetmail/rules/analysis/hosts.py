"""Addresses of the web as mail has them: taken apart the way a browser would, so that what is judged is where the click goes.

Never raises, linear. A host is lower-case ASCII (A-labels where it was international); `registrable` is the part of it somebody had to register, by
the public suffix list, in which a free host's customers (name.github.io) stand for themselves.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from jetmail.mail.address import display_domain
from jetmail.mailauth.suffixes import public_suffix_list
from jetmail.mailauth.suffixes import registrable as registrable  # part of what this module is for

_URL = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]{0,15}):(?:[/\\]{0,4})([^/\\?#]*)(.*)", re.DOTALL)
# Begins with a set of letters and minds case by itself, so that a search hurries from one 'h' or 'w' to the next.
_IN_TEXT = re.compile(
    r"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://(?:\[[0-9a-fA-F:.]{2,45}\])?|(?<=[wW])[wW][wW]\.)[^\s<>\"'()\[\]{}|^`\u00a0\u2000-\u206f]{3,2000}"
)
_HOST_IN_TEXT = re.compile(
    r"(?:https?://)?(?:www\d?\.)?((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,6}[a-z]{2,18})(?![a-z0-9@.-])(?:[/?#:]\S*)?", re.IGNORECASE
)
_SHOWN_IN_WORDS = re.compile(r"https?://(?:www\d?\.)?((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,6}[a-z]{2,18})(?![a-z0-9@.-])", re.IGNORECASE)
_PATH_BEGINS = re.compile(r"/(?=[A-Za-z0-9])")
_ENDS_IN_HOST = re.compile(r"(?<![\w@/.:-])([a-z0-9-]{1,30}(?:\.[a-z]{2,9}){1,3})\Z", re.IGNORECASE)
_LABELS = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*)(?:\.[a-z0-9_-]+)*")
# Addresses that lead somewhere else for everybody: a link to one was not meant for strangers. Those of documentation are not among them: whoever
# puts one into a message wants it clicked.
_WITHIN = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "::/127", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
_NOISE = str.maketrans("", "", "\t\r\n\u00ad\u200b\u200c\u200d\u2060\ufeff")


class Url(NamedTuple):
    """`raw` as written, `rest` from the path on. `address`: the host is an IP address. `user`: what stands before an @, '' mostly."""

    raw: str
    scheme: str
    user: str
    host: str
    port: int
    rest: str
    address: bool


@lru_cache(maxsize=4096)
def suffix(host: str) -> str:
    """The public suffix of a host."""
    return public_suffix_list().publicsuffix(host) or ""


def parse_url(raw: str) -> Url | None:
    """An absolute address of the web, None for anything else (mailto:, cid:, a relative one, nonsense)."""
    text = (raw if raw.isascii() and raw.isprintable() else raw.translate(_NOISE)).strip()
    if text.startswith("//"):
        text = "http:" + text
    found = _URL.match(text)
    if found is None or found[1].lower() not in ("http", "https", "ftp"):
        return None
    user, _, place = found[2].rpartition("@")
    host, port = _host_and_port(place)
    if not host:
        return None
    name, is_address = _host(host)
    return Url(raw, found[1].lower(), user, name, port, found[3], is_address) if name else None


def _host_and_port(place: str) -> tuple[str, int]:
    if place.startswith("["):
        host, _, tail = place.partition("]")
        return host[1:], _port(tail.lstrip(":"))
    host, _, port = place.partition(":")
    return host, _port(port)


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


@lru_cache(maxsize=8192)
def _host(host: str) -> tuple[str, bool]:
    """-> (the host in its one spelling, whether it is an address); ('', False) for none."""
    if "%" in host:
        host = unquote(host)
    host = host.strip().strip(".").lower()
    if len(host) > 253 or not host:
        return "", False
    if not host.isascii():
        try:
            host = host.replace("\u3002", ".").encode("idna").decode("ascii")  # IDNA 2003, as lenient as links are
        except UnicodeError:
            return host, False
    address = _address(host)
    if address:
        return address, True
    return (host, False) if _LABELS.fullmatch(host) else ("", False)


def _address(host: str) -> str:
    """An IP address in any of the forms browsers take (dotted, one number, hexadecimal, octal), '' for a name."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            return ""
    if not host[-1].isdigit() and not host.startswith("0x"):
        return ""
    numbers = []
    for part in host.split("."):
        try:
            numbers.append(int(part, 16 if part.startswith("0x") else 8 if len(part) > 1 and part.startswith("0") else 10))
        except ValueError:
            return ""
    if (
        len(numbers) > 4
        or any(number < 0 for number in numbers)
        or numbers[-1] >= 256 ** (5 - len(numbers))
        or any(number > 255 for number in numbers[:-1])
    ):
        return ""
    value = numbers[-1]
    for place, number in enumerate(numbers[:-1]):
        value += number << (24 - 8 * place)
    return str(ipaddress.IPv4Address(value)) if value < 1 << 32 else ""


def urls_in(text: str, limit: int) -> list[Url]:
    """Addresses written out in a text, at most `limit`."""
    found: list[Url] = []
    for match in _IN_TEXT.finditer(text):
        raw = match[0].rstrip(".,;:!?*_~-")
        url = parse_url(raw if raw[:4].lower() == "http" else "http://" + raw)
        if url is not None:
            found.append(url)
            if len(found) == limit:
                break
    return found


def bare_hosts(text: str, limit: int) -> list[str]:
    """What looks like a host with a path behind it and no scheme before it (bit.ly/x), of which mail programs make links: at most `limit` tried."""
    found = (_ENDS_IN_HOST.search(text, max(0, slash.start() - 60), slash.start()) for slash in islice(_PATH_BEGINS.finditer(text), limit))
    return [match[1].lower() for match in found if match is not None]


def host_shown(label: str) -> str:
    """The host a link's text shows, as the whole of it or written out with its scheme among words; '' when it shows none, or several."""
    label = (label if label.isascii() else label.translate(_NOISE)).strip().strip(".,;:()<>[]\"'").lower()
    if "." not in label or len(label) > 500:
        return ""
    if " " in label:
        shown = set(_SHOWN_IN_WORDS.findall(label)) if "://" in label else set()
        return shown.pop() if len(shown) == 1 else ""
    found = _HOST_IN_TEXT.fullmatch(label) if "@" not in label else None
    if found is None:
        return ""
    is_promise = label.startswith(("http://", "https://", "www."))  # whether or not the suffix is a public one
    return found[1] if is_promise or public_suffix_list().publicsuffix(found[1], accept_unknown=False) else ""


def is_public(address: str) -> bool:
    """Whether an address can be reached from everywhere, so that a link to it is meant for strangers."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return not any((mapped or found) in network for network in _WITHIN)


def readable(host: str) -> str:
    """A host as people read it."""
    return display_domain(host)


def covers(places: frozenset[str], host: str) -> str:
    """The entry of a set of domains that is the host or above it, '' for none."""
    while host:
        if host in places:
            return host
        host = host.partition(".")[2]
    return ""
