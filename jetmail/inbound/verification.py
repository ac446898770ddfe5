"""Recipients verified elsewhere, and remembered: asked of the destination (callout) or of a directory (LDAP), once for all who want to know.

Promises
- An answer is kept: YES for `positive` seconds, NO for `negative`, UNKNOWN and FAULT for RETRY_AFTER, so that neither a stranger who tries names nor
  an outage makes us ask more than that. What was YES stays so through an outage of up to STALE.
- Many who ask the same wait for one answer; at most MAX_ASKED different questions are open, more are UNKNOWN at once.
- Memory is bounded; what was asked longest ago goes first.

Raises nothing: what an asked part raises is a FAULT, and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import Existence
from jetmail.mail.address import Address

RETRY_AFTER = 30.0
STALE = 7 * 86_400.0
MAX_ASKED = 200

_log = Logger()
_Key = tuple[str, Address]


@dataclass(frozen=True, slots=True)
class VerificationOptions:
    """Seconds an answer is kept: `positive`, `negative`. `temporary`: what a callout that cannot tell comes to. `entries` kept."""

    positive: float = 86_400.0
    negative: float = 3_600.0
    temporary: Literal["defer", "accept"] = "defer"
    entries: int = 100_000


class _Kept(NamedTuple):
    existence: Existence
    until: float
    seen: float  # when it was last YES; -inf: never


class Verification:
    """`ask` maps each mode ('callout', 'ldap') to what answers it: an Address -> Deferred of Existence."""

    def __init__(self, clock: IReactorTime, ask: Mapping[str, Callable[[Address], Deferred[Existence]]], options: VerificationOptions) -> None:
        self._clock = clock
        self._ask = ask
        self._options = options
        self._kept: dict[_Key, _Kept] = {}
        self._asked: dict[_Key, list[Deferred[Existence]]] = {}

    def verify(self, mode: str, address: Address) -> Existence | Deferred[Existence]:
        """Whether the address exists; at once when it is known."""
        key = mode, address
        kept = self._kept.get(key)
        if kept is not None and self._clock.seconds() < kept.until:
            return self._as_wanted(mode, kept.existence)
        waiting = self._asked.get(key)
        answer: Deferred[Existence] = Deferred(lambda gone: self._gone(key, gone))
        if waiting is not None:
            waiting.append(answer)
            return answer
        if len(self._asked) >= MAX_ASKED:
            return self._as_wanted(mode, Existence.UNKNOWN)
        self._asked[key] = [answer]
        ask = self._ask.get(mode, _nobody)
        maybeDeferred(ask, address).addErrback(self._broke, mode).addCallback(self._answered, key)
        return answer

    def _answered(self, existence: Existence, key: _Key) -> None:
        now = self._clock.seconds()
        before = self._kept.pop(key, None)
        seen = now if existence is Existence.YES else before.seen if before is not None else float("-inf")
        if existence in (Existence.UNKNOWN, Existence.FAULT) and now - seen < STALE:
            existence = Existence.YES
            lasts = RETRY_AFTER
        else:
            lasts = {Existence.YES: self._options.positive, Existence.NO: self._options.negative}.get(existence, RETRY_AFTER)
            if existence is Existence.NO:
                seen = float("-inf")
        self._kept[key] = _Kept(existence, now + lasts, seen)
        while len(self._kept) > self._options.entries:
            del self._kept[next(iter(self._kept))]
        for waiting in self._asked.pop(key, ()):
            waiting.callback(self._as_wanted(key[0], existence))

    def _as_wanted(self, mode: str, existence: Existence) -> Existence:
        if existence is Existence.UNKNOWN and mode == "callout" and self._options.temporary == "accept":
            return Existence.YES
        return existence

    def _broke(self, failure: Failure, mode: str) -> Existence:
        _log.failure("recipients cannot be verified by {mode}", failure=failure, mode=mode)
        return Existence.FAULT

    def _gone(self, key: _Key, waiting: Deferred[Existence]) -> None:
        """The client left: the answer is still wanted, for the next one."""
        if waiting in (others := self._asked.get(key, [])):
            others.remove(waiting)


def _nobody(address: Address) -> Deferred[Existence]:
    _log.error("{recipient} cannot be verified: its domain asks for a way that is not configured", recipient=str(address))
    return succeed(Existence.FAULT)
