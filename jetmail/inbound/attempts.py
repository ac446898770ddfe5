"""How long a failed sign-in makes the next one wait: counted by address (IPv6: /64), network (/24, /48) and name, in memory, bounded.

Promises
- What fails often waits longer, twice as long with each failure beyond the free ones, up to a limit; what stops failing is forgotten by halves.
- A name that strangers try does not lock its owner out: from an address where it has signed in before, only that address's own failures count.
- Memory is bounded: what was touched longest ago is forgotten first.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from jetmail.inbound.peer import origin


@dataclass(frozen=True, slots=True)
class AttemptOptions:
    """Failures that cost nothing, by kind; seconds of the first delay and of the longest; seconds until half of the failures is forgotten;
    how many counters are kept."""

    free_of_address: int = 3
    free_of_network: int = 30
    free_of_name: int = 10
    first_delay: float = 0.5
    max_delay: float = 30.0
    half_life: float = 300.0
    remembered: int = 50_000


class Attempts:
    """See the module. `now` arguments are seconds that only grow."""

    def __init__(self, options: AttemptOptions) -> None:
        self._options = options
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (how many, when that was)
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()  # (name, origin) that have signed in

    def delay(self, name: str, address: str, now: float) -> float:
        """Seconds the next attempt is to wait before it is looked at."""
        options = self._options
        home = origin(address)
        found = max(
            self._delay(f"address {home}", options.free_of_address, now), self._delay(f"network {network(address)}", options.free_of_network, now)
        )
        if (name, home) not in self._known:
            found = max(found, self._delay(f"name {name}", options.free_of_name, now))
        return found

    def weight(self, address: str, now: float) -> float:
        """How much of late came to nothing from the address and its network: failures, and attempts there was no place for."""
        home, provider = origin(address), network(address)
        return sum(self._count(key, now) for key in (f"address {home}", f"network {provider}", f"away {home}", f"away {provider}"))

    def in_vain(self, address: str, now: float) -> float:
        """The same of the address alone; there having been no place counts a quarter, because that is not the client's fault."""
        home = origin(address)
        return self._count(f"address {home}", now) + self._count(f"away {home}", now) / 4.0

    def turned_away(self, address: str, now: float) -> None:
        """There was no place for an attempt. That makes nobody wait, but who comes often stands behind who comes seldom."""
        self._add((f"away {origin(address)}", f"away {network(address)}"), now)

    def failed(self, name: str, address: str, now: float) -> None:
        """One more failure."""
        self._add((f"address {origin(address)}", f"network {network(address)}", f"name {name}"), now)

    def passed(self, name: str, address: str, now: float) -> None:
        """The name has signed in from there: what failed there before was a slip. The network's count stays, it may be many people's."""
        home = origin(address)
        self._failures.pop(f"address {home}", None)
        self._failures.pop(f"away {home}", None)
        self._known[name, home] = now
        self._known.move_to_end((name, home))
        while len(self._known) > self._options.remembered:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failures)

    def _add(self, keys: tuple[str, ...], now: float) -> None:
        for key in keys:
            self._failures[key] = (self._count(key, now) + 1.0, now)
            self._failures.move_to_end(key)
        while len(self._failures) > self._options.remembered:
            self._failures.popitem(last=False)

    def _count(self, key: str, now: float) -> float:
        count, at = self._failures.get(key, (0.0, now))
        return float(count * 0.5 ** ((now - at) / self._options.half_life))

    def _delay(self, key: str, free: int, now: float) -> float:
        over = self._count(key, now) - free
        if over < 0.5:
            return 0.0
        return float(min(self._options.max_delay, self._options.first_delay * 2.0 ** min(over, 30.0)))


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What a provider gives out in one piece: the /24, or the /48."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
