"""All SMTP connections of the process: counted, swept when they are overdue, drained when the service stops.

One timer serves them all. Every `sweep_interval` it looks at each connection once and asks `is_overdue`. `now` is a clock of its own that advances by
what passed between two sweeps, at most two intervals at a time: a system clock that jumps cannot expire every connection at once, and a connection
reads an attribute where it would otherwise call the clock. The timer exists only while connections do.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jetmail.inbound.options import ConnectionOptions
from jetmail.inbound.peer import Networks, origin
from jetmail.mail.reply import Reply

TOO_MANY = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_ADDRESS = Reply(421, "4.7.0", "Too many connections from your address, try again later")
CLOSING = Reply(421, "4.3.2", "Service shutting down, try again later")


class Connection(Protocol):
    """What is expected of a connection here."""

    def is_overdue(self, now: float) -> bool:
        """Its deadline has passed."""

    def expire(self) -> None:
        """End it, with a word where the protocol has one."""

    def drain(self) -> None:
        """End it as soon as its running transaction is over."""

    def abort(self) -> None:
        """End it at once."""


class Connections:
    """See the module. `clock` is the reactor, or a Clock in tests."""

    def __init__(self, clock: IReactorTime, options: ConnectionOptions | None = None) -> None:
        self.clock = clock
        self.options = options or ConnectionOptions()
        self.now = 0.0
        self._unlimited = Networks(self.options.unlimited)
        self._open: set[Connection] = set()
        self._by_origin: dict[str, int] = {}
        self._timer: IDelayedCall | None = None
        self._swept = 0.0
        self._drained: Deferred[None] | None = None
        self._grace: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """A connection is there."""
        self._open.add(connection)
        if self._timer is None:
            self._swept = self.clock.seconds()
            self._timer = self.clock.callLater(self.options.sweep_interval, self._sweep)

    def admit(self, address: str) -> Reply | None:
        """Count an added connection for its client's address: None, or why it may not stay (then it is not counted; do not `dismiss` it)."""
        if self._drained is not None:
            return CLOSING
        if len(self._open) > self.options.max_connections:
            return TOO_MANY
        counted = origin(address)
        count = self._by_origin.get(counted, 0)
        if count >= self.options.max_per_address and address not in self._unlimited:
            return TOO_MANY_FROM_ADDRESS
        self._by_origin[counted] = count + 1
        return None

    def dismiss(self, address: str) -> None:
        """An admitted connection from this address is over."""
        counted = origin(address)
        left = self._by_origin.get(counted, 0) - 1
        if left > 0:
            self._by_origin[counted] = left
        else:
            self._by_origin.pop(counted, None)

    def remove(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._all_gone()

    def drain(self) -> Deferred[None]:
        """Let running transactions end, tell everybody else 421 and refuse new ones. Fires when all are gone: after `stop_grace`, by force."""
        if self._drained is not None:
            raise RuntimeError("already draining")
        waiter: Deferred[None] = Deferred()
        self._drained = waiter
        if not self._open:
            self._drained = succeed(None)
            return self._drained
        self._grace = self.clock.callLater(self.options.stop_grace, self._out_of_patience)
        for connection in tuple(self._open):
            connection.drain()
        return waiter

    def reopen(self) -> None:
        """After a drain: accept connections again (a service that is started once more)."""
        self._drained = None

    def _out_of_patience(self) -> None:
        self._grace = None
        for connection in tuple(self._open):
            connection.abort()

    def _all_gone(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def _sweep(self) -> None:
        self._timer = self.clock.callLater(self.options.sweep_interval, self._sweep)
        moment = self.clock.seconds()
        self.now += min(max(moment - self._swept, 0.0), 2 * self.options.sweep_interval)
        self._swept = moment
        for connection in [each for each in self._open if each.is_overdue(self.now)]:
            connection.expire()
