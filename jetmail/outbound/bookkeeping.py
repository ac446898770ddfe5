"""Whom an attempt has still to reach, and what came of it for each recipient so far.

The state of one attempt and the moves that change it: replies become outcomes, hosts are left, the rest is settled, it ends. attempt.py adds the way
from host to host and says what all of it is for; what an outcome of several hosts is, stands there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.connection import Connection
from jetmail.outbound.job import Job
from jetmail.outbound.pool import Key
from jetmail.outbound.route import Hop
from jetmail.outbound.security import Standing

if TYPE_CHECKING:
    from jetmail.outbound.attempt import Deliverer
    from jetmail.store.traffic.deliveries import Due

MOST_ASKED = 5  # addresses that answer 4xx about a message, in one attempt
OUR_FAULT = Reply(451, "4.3.0", "internal error")

Outcomes = dict[int, Outcome]


class Bookkeeping:
    """See the module."""

    __slots__ = (
        "_asked", "_batch", "_candidates", "_content", "_deliverer", "_is_finished", "_job", "_last", "_never", "_outcomes", "_pending", "_position",
        "_put_off", "_requires_tls", "_standing", "_started", "done",
    )  # fmt: skip

    def __init__(self, deliverer: Deliverer, job: Job) -> None:
        self.done: Deferred[Outcomes] = Deferred()
        self._deliverer = deliverer
        self._job = job
        self._content = job.content
        self._pending: list[Due] = list(job.deliveries)
        self._batch: list[Due] = []
        self._put_off: list[Due] = []  # whom the host at hand answered 4xx: they have an outcome, and the next host is asked
        self._asked = 0  # hosts that put somebody off
        self._outcomes: Outcomes = {}
        self._candidates: list[tuple[Hop, str]] = []
        self._position = 0
        self._last: Outcome | None = None  # why the last host did not do, for now
        self._never: Outcome | None = None  # why the last host did not do, for good
        self._is_finished = False
        self._requires_tls = job.message.requiretls
        self._standing = Standing(deliverer.security, job.message.requiretls, lambda: job.header, job.origin)
        self._started = deliverer.clock.seconds()

    def _record(self, connection: Connection, results: Sequence[Reply]) -> None:
        batch = self._batch
        again: list[Due] = []
        verdict = connection.session.verdict
        some_accepted = len(batch) > 1 and any(reply.code < 300 for reply in results)
        for due, reply in zip(batch, results, strict=True):
            if some_accepted and reply.code in (452, 552):
                again.append(due)
            else:
                self._answered(due, reply, connection, is_own=reply is not verdict)
        self._pending = self._pending[len(batch) :] + again
        self._batch = []

    def _answered(self, due: Due, reply: Reply, connection: Connection, is_own: bool) -> None:
        """`is_own`: the answer to this recipient's RCPT."""
        if reply.code < 300:
            result, reason = Result.DELIVERED, "accepted"
        elif reply.code < 500:
            result, reason = Result.LATER, "deferred"
        else:
            result, reason = Result.NEVER, "refused"
        outcome = self._outcome(result, reason, reply, connection.key, connection)
        if result is Result.LATER:
            self._put_off.append(due)
            if is_own:
                outcome = outcome._replace(about=due.target)
        self._note(due, outcome)

    def _note(self, due: Due, outcome: Outcome) -> None:
        """An outcome that counts for more than what hosts before this one said."""
        before = self._outcomes.get(due.id) if self._asked else None
        if before is not None:
            outcome = outcome._replace(earlier=(*before.earlier, (before.host, str(before.reply))))
        self._outcomes[due.id] = outcome

    def _leave_host(self, addresses: int = 1) -> None:
        """The host at hand is done with: those it put off are for the next one, like those it was not asked about."""
        self._position += addresses
        if self._put_off:
            self._asked += 1
            if self._asked < MOST_ASKED:
                self._pending = self._put_off + self._pending
            self._put_off = []

    def _outcome(self, result: Result, reason: str, reply: Reply, key: Key, connection: Connection | None = None) -> Outcome:
        duration = self._deliverer.clock.seconds() - self._started
        told = self._standing.told(self._candidates[self._position][0], connection, reply)
        if connection is None:
            return Outcome(result, reason, reply, key.host, key.address, key.port, duration=duration, security=told)
        tls = connection.tls
        without_dsn = result is Result.DELIVERED and not connection.session.extensions.dsn
        return Outcome(result, reason, reply, key.host, key.address, key.port, tls.version, tls.verified, duration, without_dsn, told)

    def _settle_pending(self, outcome: Outcome) -> None:
        """The outcome of those who have none from a host that answered."""
        for due in self._pending:
            self._outcomes.setdefault(due.id, outcome)
        self._pending = []

    def _finish(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self.done.callback(self._outcomes)

    def _broke(self, failure: Failure | None = None) -> None:
        """A fault of ours: an exception that is being handled, or the failure of something waited for."""
        self._deliverer.log.failure("fault while delivering message {uid}", failure, uid=self._job.message.uid)
        self._settle_pending(Outcome(Result.LATER, "deferred", OUR_FAULT))
        self._finish()
