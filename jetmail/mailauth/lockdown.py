"""Domain Lockdown (spec 4): a domain says in DNS which of our users may send from it. Pure over IResolver; `check` judges one domain for one user.

The record is a TXT at `_jm.<domain>`: its strings joined, split at white space, the first token `v=jm1` in any case. What else it may say:
- `auth=` a user's uuid or username, compared as text in any case; as many as are wanted, any of them is enough. A record without one admits nobody.
- `net=` an IP address or network in CIDR form, IPv4 or IPv6. A record with at least one `net=` admits its users only when they come from one of its
  networks. A `net=` that cannot be read is a network nobody comes from: a slip of the pen closes, it never opens.
Tokens not known here are ignored, and so are TXT records of other kinds. Of several records each stands for itself, its networks with its users, and
whoever one of them admits may send.

The nearest name counts: the domain's own record, else that of its parent, up to the registered domain (public suffix list) and never above it. What
does not exist, or has no such record, is absent; where DNS cannot tell now and no nearer name has spoken, the answer is UNKNOWN, neither yes nor no.

Nothing is remembered here: the resolver keeps answers for their TTL, MAX_AGE caps what it keeps of these names. A record longer than MAX_RECORD
octets or with more than MAX_TOKENS tokens admits nobody. Nothing is raised.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth.suffixes import PublicSuffixes

LABEL = "_jm"
VERSION = "v=jm1"
TTL = 14_400  # of a record to publish
MAX_AGE = 300.0  # seconds an answer may be used again (spec 4: at most five minutes)
MAX_RECORD = 16_384
MAX_TOKENS = 1_000
MAX_LEVELS = 20  # names between a domain and its registered one
MAX_NAME = 253

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Standing(Enum):
    """What becomes of one domain for one user."""

    OPEN = "open"  # nobody has locked it down
    ADMITTED = "admitted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # DNS cannot tell now


@dataclass(frozen=True, slots=True)
class Record:
    """One `v=jm1` record as read. `users` in lower case. `networks` None: from anywhere; empty: from nowhere, because none could be read. `problems`:
    what its owner probably did not mean, in words."""

    text: str
    users: tuple[str, ...] = ()
    networks: tuple[Network, ...] | None = None
    problems: tuple[str, ...] = ()

    def names(self, names: Iterable[str]) -> bool:
        """Whether one of the names (lower case) is among its users."""
        return not frozenset(self.users).isdisjoint(names)

    def covers(self, address: str) -> bool:
        """Whether a user may come from that IP address."""
        if self.networks is None:
            return True
        ip = _address(address)
        return ip is not None and any(ip.version == network.version and ip in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Published:
    """What counts for `domain`: the records at `owner`, the domain itself or the nearest above it; '' and no records when there are none.
    `unknown` names the look-up nobody answered. `asked`: the names that were looked up, nearest first."""

    domain: str
    owner: str = ""
    records: tuple[Record, ...] = ()
    unknown: str = ""
    asked: tuple[str, ...] = ()
    too_deep: bool = False


@dataclass(frozen=True, slots=True)
class Lockdown:
    """`detail` in private words: which record, and why."""

    standing: Standing
    domain: str
    owner: str = ""
    detail: str = ""


async def check(resolver: IResolver, suffixes: PublicSuffixes, domain: str, names: Iterable[str], address: str) -> Lockdown:
    """May a user of these `names` (uuid and username, any case) send from `domain` (A-labels) from this IP `address`?"""
    return judge(await fetch(resolver, suffixes, domain), names, address)


async def fetch(resolver: IResolver, suffixes: PublicSuffixes, domain: str) -> Published:
    """The records that count for the domain. All names are asked at once: they are few, and the sender waits."""
    names = lineage(suffixes, domain)
    if len(names) > MAX_LEVELS:
        return Published(domain, too_deep=True)
    owners = [name for name in names if len(name) + len(LABEL) < MAX_NAME]
    asked = tuple(f"{LABEL}.{name}" for name in owners)
    asking = [resolver.query(name, "TXT") for name in asked]
    for name, waiting in zip(owners, asking, strict=True):
        answer: Answer = await waiting
        if answer.is_temporary:
            return Published(domain, unknown=f"{LABEL}.{name}", asked=asked)
        found = tuple(record for txt in answer.records if (record := parse(txt)) is not None) if answer.kind is AnswerKind.FOUND else ()
        if found:
            return Published(domain, name, found, asked=asked)
    return Published(domain, asked=asked)


def judge(published: Published, names: Iterable[str], address: str) -> Lockdown:
    """What the records say of a user of these names who comes from that address."""
    domain, owner = published.domain, published.owner
    if published.too_deep:
        return Lockdown(Standing.REFUSED, domain, "", f"more than {MAX_LEVELS} names below its registered domain")
    if published.unknown:
        return Lockdown(Standing.UNKNOWN, domain, "", f"DNS gave no answer for {published.unknown}")
    if not published.records:
        return Lockdown(Standing.OPEN, domain)
    known = frozenset(name.lower() for name in names if name)
    naming = [record for record in published.records if record.names(known)]
    if not naming:
        return Lockdown(Standing.REFUSED, domain, owner, f"{LABEL}.{owner} does not name this user")
    if not any(record.covers(address) for record in naming):
        return Lockdown(Standing.REFUSED, domain, owner, f"{LABEL}.{owner} names this user, but not from {address}")
    return Lockdown(Standing.ADMITTED, domain, owner, f"{LABEL}.{owner} names this user")


def lineage(suffixes: PublicSuffixes, domain: str) -> tuple[str, ...]:
    """The domain and those above it, up to its registered domain. A public suffix stands for itself."""
    names = [domain]
    top = suffixes.organisational(domain)
    while names[-1] != top and "." in names[-1] and len(names) <= MAX_LEVELS:
        names.append(names[-1].partition(".")[2])
    return tuple(names)


@lru_cache(maxsize=256)
def parse(txt: bytes) -> Record | None:
    """One TXT record, its strings joined; None when it is none of ours."""
    text = txt[:MAX_RECORD].decode("utf-8", "replace")
    tokens = text.split(None, MAX_TOKENS)
    if not tokens or tokens[0].lower() != VERSION:
        return None
    if len(txt) > MAX_RECORD or len(tokens) > MAX_TOKENS:
        return Record(text[:200], (), None, (f"longer than {MAX_RECORD} octets or {MAX_TOKENS} tokens: it admits nobody",))
    users: dict[str, None] = {}
    networks: list[Network] = []
    has_networks = False
    problems: list[str] = []
    for token in tokens[1:]:
        key, equals, value = token.partition("=")
        if key.lower() == "auth" and equals:
            if value:
                users[value.lower()] = None
            else:
                problems.append("auth= says nothing")
        elif key.lower() == "net" and equals:
            has_networks = True
            network = _network(value)
            if network is None:
                problems.append(f"net={value[:60]} is no network")
            else:
                networks.append(network)
        else:
            problems.append(f"{token[:60]} means nothing here")
    if not users:
        problems.append("no auth=: it admits nobody")
    if has_networks and not networks:
        problems.append("no net= that can be read: it admits nobody")
    return Record(" ".join(tokens), tuple(users), tuple(networks) if has_networks else None, tuple(problems))


def record(users: Iterable[str], networks: Iterable[str] = ()) -> str:
    """The text to publish. Raises ValueError naming what cannot stand in it."""
    tokens = [VERSION]
    for user in users:
        if not user or len(user.split()) != 1 or not user.isascii():
            raise ValueError(f"{user!r} cannot stand in a record")
        tokens.append(f"auth={user}")
    for text in networks:
        network = _network(text)
        if network is None:
            raise ValueError(f"{text!r} is no IP address or network")
        tokens.append(f"net={network.network_address if network.prefixlen == network.max_prefixlen else network}")
    return " ".join(tokens)


def _network(text: str) -> Network | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped) is not None:
        return ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False)
    return network


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if ip.version == 6 else ip
