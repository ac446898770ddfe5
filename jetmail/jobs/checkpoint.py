"""Keeps the write-ahead log short.

SQLite checkpoints by itself every few thousand pages, but only as far as the oldest reader lets it and never cuts the file. This looks every so
often, moves what can be moved from a thread, and cuts the log when a burst has made it long. A log that stays long is said aloud, once: somebody
holds a read transaction open.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.interfaces import IExecutor, IJob
from jetmail.store.traffic.retention import Checkpoint, thd_checkpoint

TRUNCATE_ABOVE = 64 << 20
WORRY_ABOVE = 512 << 20


@implementer(IJob)
class CheckpointJob:
    """`path` is the store's. `truncate_above`, `worry_above`: octets of log."""

    name = "checkpoint"

    def __init__(
        self,
        path: str,
        executor: IExecutor,
        log: Logger,
        interval: float = 30.0,
        truncate_above: int = TRUNCATE_ABOVE,
        worry_above: int = WORRY_ABOVE,
    ) -> None:
        self.interval = interval
        self._path = path
        self._executor = executor
        self._log = log
        self._truncate_above = truncate_above
        self._worry_above = worry_above
        self._has_worried = False

    def run(self) -> Deferred[Checkpoint]:
        """-> Deferred of how it went."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> Checkpoint:
        done: Checkpoint = await self._executor.run(thd_checkpoint, self._path, self._truncate_above)
        is_long = done.log_bytes > self._worry_above
        if is_long and not self._has_worried:
            self._log.warn("the store's log has {bytes} octets and does not get shorter: a reader holds it", bytes=done.log_bytes)
        self._has_worried = is_long
        return done
