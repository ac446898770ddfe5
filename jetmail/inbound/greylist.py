"""First contacts: when a (network, sender, recipient) was first told to come back later, and whether it did.

Kept in memory, where every question is answered, and written to the store behind the mail: at most once in FLUSH_AFTER seconds, in the group commit
that is going on anyway, so that no message waits for it. A crash forgets the last moments, which costs a sender one more wait and nothing else.

A contact that does not come back is forgotten after WINDOW, one whose mail was taken REMEMBERED after the last of it. Bounded: what was heard longest
ago goes first. Times are epoch seconds, given by the caller. Raises nothing; a store that cannot be written is logged.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.mail.address import Address
from jetmail.rules.facts import parse_ip
from jetmail.store.traffic.contacts import Contact

MAX_CONTACTS = 100_000
DAY = 86_400.0
WINDOW = 5 * DAY  # as long as a sender is expected to go on trying
REMEMBERED = 36 * DAY  # a monthly newsletter comes again
RENEWED_AFTER = DAY  # that a contact still passes is written once a day, not for every message; no rule may ask for a longer wait than this
FLUSH_AFTER = 2.0

_log = Logger()
_Key = tuple[str, str, str]
_NUMBERS = re.compile(r"[0-9]+")


class Standing(NamedTuple):
    """What is known of a contact: see RecipientFacts."""

    first_seen: float | None = None
    has_passed: bool = False
    network_passes: int = 0


UNKNOWN = Standing()


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Large senders try again from a neighbour: /24 of IPv4, /64 of IPv6."""
    ip = parse_ip(address)
    if ip is None:
        return address
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))


def sender_of(sender: str) -> str:
    """A sender without what lists and shops change from message to message: what follows a '+', and numbers."""
    local, at, domain = sender.casefold().rpartition("@")
    return _NUMBERS.sub("#", local.partition("+")[0]) + at + domain


class Greylist:
    """One per process. `write` takes contacts to be stored -> Deferred; without it nothing outlives the process."""

    def __init__(
        self, limit: int = MAX_CONTACTS, write: Callable[[list[Contact]], Deferred[Any]] | None = None, clock: IReactorTime | None = None
    ) -> None:
        self._limit = limit
        self._write = write
        self._clock = clock
        self._contacts: dict[_Key, tuple[float, float | None]] = {}  # first seen, last passed
        self._passes: dict[str, int] = {}  # by network
        self._unwritten: set[_Key] = set()
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._contacts)

    def load(self, contacts: Iterable[Contact], now: float) -> None:
        """What the store remembers, oldest first."""
        for contact in contacts:
            if not _is_old(contact.first_seen, contact.passed, now):
                self._put((contact.network, contact.sender, contact.recipient), contact.first_seen, contact.passed)

    def standing(self, client: str, sender: str, recipient: Address, now: float) -> Standing:
        """What is known of this contact."""
        if not self._contacts:
            return UNKNOWN
        network = network_of(client)
        first, passed = self._contacts.get((network, sender_of(sender), recipient.key), (None, None))
        if first is None or _is_old(first, passed, now):
            return Standing(None, False, self._passes.get(network, 0))
        return Standing(first, passed is not None, self._passes.get(network, 0))

    def deferred(self, client: str, sender: str, recipient: Address, now: float) -> None:
        """It has just been told to come back. The first time counts, until it is too long ago to be waiting for."""
        key = network_of(client), sender_of(sender), recipient.key
        first, passed = self._contacts.get(key, (None, None))
        if first is not None and 0 <= now - first <= RENEWED_AFTER and not _is_old(first, passed, now):
            return
        self._put(key, now, None)
        self._note(key)

    def taken(self, client: str, sender: str, recipient: Address, now: float) -> None:
        """Mail of this contact was taken: it passes from now on, if it is one that had to wait."""
        key = network_of(client), sender_of(sender), recipient.key
        first, passed = self._contacts.get(key, (None, None))
        if first is None or (passed is not None and 0 <= now - passed <= RENEWED_AFTER):
            return
        self._put(key, first, now)
        self._note(key)

    def expire(self, now: float) -> int:
        """Forget what is too old. -> how many."""
        old = [key for key, (first, passed) in self._contacts.items() if _is_old(first, passed, now)]
        for key in old:
            self._drop(key)
        return len(old)

    def flush(self) -> Deferred[Any]:
        """Write what is not written yet. -> Deferred that fires when it is, or cannot be."""
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        unwritten, self._unwritten = self._unwritten, set()
        rows = [Contact(*key, *self._contacts[key]) for key in unwritten if key in self._contacts]
        if self._write is None or not rows:
            return succeed(None)
        return self._write(rows).addErrback(self._not_written)

    def _note(self, key: _Key) -> None:
        if self._write is None or self._clock is None:
            return
        self._unwritten.add(key)
        if self._timer is None:
            self._timer = self._clock.callLater(FLUSH_AFTER, self.flush)

    def _not_written(self, failure: Failure) -> None:
        _log.warn("first contacts could not be written down: {reason}", reason=failure.getErrorMessage())

    def _put(self, key: _Key, first: float, passed: float | None) -> None:
        self._drop(key)
        if len(self._contacts) >= self._limit:
            self._drop(next(iter(self._contacts)))
        self._contacts[key] = (first, passed)
        if passed is not None:
            self._passes[key[0]] = self._passes.get(key[0], 0) + 1

    def _drop(self, key: _Key) -> None:
        found = self._contacts.pop(key, None)
        if found is not None and found[1] is not None:
            left = self._passes[key[0]] - 1
            if left:
                self._passes[key[0]] = left
            else:
                del self._passes[key[0]]


def _is_old(first: float, passed: float | None, now: float) -> bool:
    return now - first >= WINDOW if passed is None else now - passed >= REMEMBERED
