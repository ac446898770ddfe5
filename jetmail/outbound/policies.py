"""MTA-STS policies of other domains: found, fetched, kept, refreshed (RFC 8461 sections 3 to 5).

Promises
- A policy that was fetched holds for its max_age, over restarts, whatever becomes of the TXT record or the file meanwhile (5.1); it is replaced when
  the record has another id and the new one can be had.
- A fetch that failed is not tried again for `pause` seconds; a domain is fetched once at a time, however many messages wait for it.
- `of` never fails: a domain whose policy cannot be had is one without, and `Standing.trouble` says so for its reports.

`fetch(domain)` gives a Deferred of the file's octets; it fails with FetchError.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.errors import StoreError
from jetmail.interfaces import Answer, AnswerKind, IDatabase, IResolver
from jetmail.mailauth import mtasts
from jetmail.mailauth.mtasts import Mode, Policy, PolicyError
from jetmail.outbound.fetching import FetchError
from jetmail.store.traffic import transport
from jetmail.store.traffic.transport import PolicyRow

MAX_KEPT = 20_000
MAX_PAUSED = 20_000
DAY = 86_400.0


class Standing(NamedTuple):
    """`policy` None: none in force. `trouble`: a result type of RFC 8460 when there should be one; `why` in words."""

    policy: Policy | None
    trouble: str = ""
    why: str = ""


class _Kept(NamedTuple):
    id: str
    policy: Policy
    fetched: float

    def is_good(self, now: float) -> bool:
        return now < self.fetched + self.policy.max_age


class Policies:
    """`wall` gives epoch seconds."""

    def __init__(
        self,
        resolver: IResolver,
        fetch: Callable[[str], Deferred[bytes]],
        db: IDatabase,
        wall: Callable[[], float],
        log: Logger,
        pause: float = 300.0,
    ) -> None:
        self._resolver = resolver
        self._fetch = fetch
        self._db = db
        self._wall = wall
        self._log = log
        self._pause = pause
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._paused: OrderedDict[str, tuple[float, str, Standing]] = OrderedDict()
        self._fetching: dict[str, list[Deferred[Standing]]] = {}

    def load(self) -> None:
        """Once, before the first message. Raises StoreError."""
        for row in self._db.read(transport.policies, MAX_KEPT):
            self._kept[row.domain] = _Kept(row.id, Policy(Mode(row.mode), row.hosts, row.max_age), row.fetched)

    async def of(self, domain: str) -> Standing:
        """What `domain` asks for now."""
        answer: Answer = await self._resolver.query(f"_mta-sts.{domain}", "TXT")
        identity = mtasts.record_id(answer.records) if answer.kind is AnswerKind.FOUND else ""
        kept = self._current(domain)
        if not identity or (kept is not None and kept.id == identity):
            return _standing(kept)
        return await self._renew(domain, identity)

    async def refresh(self, older: float = DAY, limit: int = 500) -> int:
        """Fetch again what is older than that many seconds, so that a policy in use does not run out (3.3). -> how many were renewed."""
        now = self._wall()
        await self._db.run(transport.forget_policies, now)
        for domain in [domain for domain, kept in self._kept.items() if not kept.is_good(now)]:
            del self._kept[domain]
        renewed = 0
        for domain in [domain for domain, kept in self._kept.items() if now - kept.fetched > min(older, kept.policy.max_age / 2)][:limit]:
            answer: Answer = await self._resolver.query(f"_mta-sts.{domain}", "TXT")
            identity = mtasts.record_id(answer.records) if answer.kind is AnswerKind.FOUND else ""
            if identity:
                renewed += not (await self._renew(domain, identity)).trouble
        return renewed

    def _current(self, domain: str) -> _Kept | None:
        kept = self._kept.get(domain)
        if kept is not None and not kept.is_good(self._wall()):
            del self._kept[domain]
            return None
        return kept

    async def _renew(self, domain: str, identity: str) -> Standing:
        paused = self._paused.get(domain)
        if paused is not None and paused[1] == identity and paused[0] > self._wall():
            return self._fallback(domain, paused[2])
        if domain in self._fetching:
            waiting = self._fetching[domain]
            mine: Deferred[Standing] = Deferred(lambda gone: waiting.remove(gone) if gone in waiting else None)
            waiting.append(mine)
            return await mine
        self._fetching[domain] = []
        standing = Standing(None, "sts-policy-fetch-error", "interrupted")
        try:
            standing = await self._fetched(domain, identity)
        finally:
            for other in self._fetching.pop(domain):
                other.callback(standing)
        return standing

    async def _fetched(self, domain: str, identity: str) -> Standing:
        try:
            policy = mtasts.parse(await self._fetch(domain))
        except FetchError as error:
            return self._failed(domain, identity, error.result, str(error))
        except PolicyError as error:
            return self._failed(domain, identity, "sts-policy-invalid", str(error))
        kept = _Kept(identity, policy, self._wall())
        self._paused.pop(domain, None)
        self._kept[domain] = kept
        self._kept.move_to_end(domain)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        try:
            await self._db.run(
                transport.save_policy, PolicyRow(domain, identity, str(policy.mode), policy.hosts, policy.max_age, kept.fetched)
            )
        except StoreError as error:  # it holds until the process ends
            self._log.warn("the MTA-STS policy of {domain} could not be kept: {reason}", domain=domain, reason=str(error))
        return _standing(kept)

    def _failed(self, domain: str, identity: str, result: str, why: str) -> Standing:
        self._log.info("no MTA-STS policy of {domain}: {reason}", domain=domain, reason=why)
        standing = Standing(None, result, why)
        self._paused[domain] = self._wall() + self._pause, identity, standing
        while len(self._paused) > MAX_PAUSED:
            self._paused.popitem(last=False)
        return self._fallback(domain, standing)

    def _fallback(self, domain: str, standing: Standing) -> Standing:
        """5.1: while the new one cannot be had, the old one holds."""
        kept = self._current(domain)
        return _standing(kept) if kept is not None else standing


def _standing(kept: _Kept | None) -> Standing:
    return Standing(kept.policy if kept is not None and kept.policy.mode is not Mode.NONE else None)
