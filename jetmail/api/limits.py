"""Counting: how often somebody may come, and how much may be held at a time. In memory, bounded; on the reactor thread."""

from __future__ import annotations

from collections import OrderedDict

MAX_KEYS = 20_000


class Rate:
    """So many a second for each key, and `burst` seconds of them in one go. One number a key: when what it has taken would be paid for."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._cost = 1.0 / per_second
        self._burst = max(burst, self._cost)
        self._paid: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """0.0, or seconds until there is room again, and then nothing was taken."""
        paid = max(self._paid.get(key, now), now)
        wait = paid + self._cost - now - self._burst
        if wait > 1e-9:
            return wait
        self._paid[key] = paid + self._cost
        self._paid.move_to_end(key)
        while len(self._paid) > MAX_KEYS:
            self._paid.popitem(last=False)
        return 0.0

    def is_over(self, key: str, now: float) -> float:
        """As `take`, without taking."""
        return max(0.0, max(self._paid.get(key, now), now) + self._cost - now - self._burst)


class Known:
    """Who has come with what before: the youngest `most` of them."""

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._pairs: OrderedDict[tuple[int, str], None] = OrderedDict()

    def add(self, token: int, home: str) -> None:
        """It was good from there."""
        self._pairs[token, home] = None
        self._pairs.move_to_end((token, home))
        if len(self._pairs) > self._most:
            self._pairs.popitem(last=False)

    def __contains__(self, pair: tuple[int, str]) -> bool:
        return pair in self._pairs


class Budget:
    """Octets held at a time, by everybody."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def take(self, octets: int) -> bool:
        """True: they may be held, and are to be given back."""
        if self.held + octets > self._most:
            return False
        self.held += octets
        return True

    def give(self, octets: int) -> None:
        """They are no longer held."""
        self.held -= octets
