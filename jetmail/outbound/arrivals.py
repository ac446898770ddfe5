"""Which sources each destination has let in lately: so that a host that shuts one of our addresses out is not taken for a host that is down.

A fault of the host towards one source, while mail of another got through within `lately` seconds, is the source's own trouble: its mail waits by the
schedule, the pool remembers the address as dead for it, and the destination's lane stays up for all others. In memory and bounded; raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from jetmail.mail.outcome import Outcome, Result

MAX_DESTINATIONS = 10_000
MAX_SOURCES = 4  # remembered of one destination; two are enough to tell


class Arrivals:
    """`seconds` is the clock's."""

    def __init__(self, seconds: Callable[[], float], lately: float = 1_800.0) -> None:
        self._seconds = seconds
        self._lately = lately
        self._reached: dict[str, dict[str, float]] = {}

    def seen(self, destination: str, source: str, found: dict[int, Outcome]) -> dict[int, Outcome]:
        """Takes down what an attempt from `source` ('' the default) came to. -> the outcomes, those of its own trouble excused."""
        if any(each.result is Result.DELIVERED or (each.result is Result.NEVER and each.address) for each in found.values()):
            self._arrived(destination, source)
        elif any(each.is_host_fault for each in found.values()) and self._lets_others_in(destination, source):
            return {delivery_id: each._replace(is_excused=True) if each.is_host_fault else each for delivery_id, each in found.items()}
        return found

    def _arrived(self, destination: str, source: str) -> None:
        sources = self._reached.pop(destination, None)
        if sources is None:
            sources = {}
            if len(self._reached) >= MAX_DESTINATIONS:
                del self._reached[next(iter(self._reached))]
        self._reached[destination] = sources
        sources.pop(source, None)
        if len(sources) >= MAX_SOURCES:
            del sources[next(iter(sources))]
        sources[source] = self._seconds()

    def _lets_others_in(self, destination: str, source: str) -> bool:
        since = self._seconds() - self._lately
        return any(name != source and at > since for name, at in self._reached.get(destination, {}).items())
