"""Connections kept for the next message, how many there may be, and which addresses are not worth dialling.

- A connection is kept under its whole key: host, address, port, TLS mode, user, origin. It serves so many messages and idles so long, then it says
  QUIT.
- An address and port has at most so many connections from one origin, idle ones included (an idle one of another key makes room). Who finds it full
  waits in line, for a connection or for a place, and not for ever.
- A site (sites.py) has at most so many connections, idle ones included: another one is dialled only for an idle one that goes. Who may dial at all
  is the queue's to say, which counts attempts by site.
- An address that cannot be reached is dead for 30 s, then 1, 2, ... 10 minutes: nobody dials it from the same origin meanwhile, and when the time is
  over one probe does. Another origin may well be let in.
- One timer for everything that has an end (`sweep_seconds`): the deadlines of all connections and waiters are compared by it. It runs only while
  there are any.

Nothing here speaks SMTP: a pooled thing has `key`, `deadline`, `messages`, `is_usable`, `expired`, `quit` and `abort`. Raises nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, NamedTuple, Protocol

from jetmail.mail.reply import Reply
from jetmail.outbound.demand import Proof
from jetmail.outbound.origin import Origin
from jetmail.outbound.tls import TlsMode

Endpoint = tuple[str, int, str]  # address, port, and the name of the origin
_MAX_DEAD = 10_000


class Key(NamedTuple):
    """What two messages must have in common to share a connection."""

    host: str
    address: str
    port: int
    tls: TlsMode
    user: str = ""
    proof: Proof | None = None
    origin: Origin | None = None

    @property
    def endpoint(self) -> Endpoint:
        origin = self[6]
        return self[1], self[2], origin.name if origin is not None else ""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Bounds: all above 0. `max_per_address`: connections to one address and port from one origin. `max_idle`: idle ones in all. `idle_seconds`: how
    long one is kept. `max_messages`: how many one carries. `dead_seconds` doubles up to `dead_limit`. `wait_seconds`: how long to stand in line."""

    max_per_address: int = 20
    max_idle: int = 200
    idle_seconds: float = 10.0
    max_messages: int = 100
    dead_seconds: float = 30.0
    dead_limit: float = 600.0
    wait_seconds: float = 300.0
    sweep_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A moment's numbers and, from `opened` on, counts since the start."""

    connections: int
    idle: int
    waiting: int
    dead: int
    opened: int
    reused: int


class Admission(Enum):
    """DIAL: a place is yours, `add` a connection. FULL: `wait`. DEAD: go elsewhere."""

    DIAL = "dial"
    FULL = "full"
    DEAD = "dead"


class Pooled(Protocol):
    """What the pool asks of a connection."""

    key: Key
    deadline: float
    messages: int

    @property
    def is_usable(self) -> bool: ...
    def expired(self) -> None: ...
    def quit(self) -> None: ...
    def abort(self) -> None: ...


class Waiter(Protocol):
    """Who stands in line. `granted(None)`: a place to dial."""

    def granted(self, key: Key, connection: Any | None) -> None: ...
    def turned_away(self, key: Key) -> None: ...


@dataclass(slots=True)
class _Dead:
    until: float
    delay: float
    reply: Reply
    is_probed: bool = False


class Pool:
    """`clock` is IReactorTime. `bounds` tells what a host and port are bound by: (site, connections, messages over each), 0 where nothing is said."""

    def __init__(self, options: PoolOptions, clock: Any, bounds: Callable[[str, int], tuple[str, int, int]] | None = None) -> None:
        self._options = options
        self._clock = clock
        self._bounds = bounds
        self._bound: dict[Pooled, tuple[str, int]] = {}  # those that are bound: their site, and messages over each
        self._sites: dict[str, int] = {}  # their connections, quitting ones not counted
        self._all: set[Pooled] = set()  # dialling, busy, idle and quitting
        self._counts: dict[Endpoint, int] = {}  # places taken; quitting ones have given theirs back
        self._leaving: set[Pooled] = set()
        self._idle: dict[Key, list[Pooled]] = {}
        self._idle_count = 0
        self._waiters: dict[Endpoint, deque[tuple[Waiter, Key, float]]] = {}
        self._dead: dict[Endpoint, _Dead] = {}
        self._timer: Any = None
        self._closed = False
        self._opened = 0
        self._reused = 0

    # Asking for a connection.

    def take(self, key: Key) -> Any | None:
        """An idle connection for `key`, the one used last (the least likely to be closing), or None."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if not idle:
                del self._idle[key]
            if connection.is_usable:
                self._reused += 1
                return connection
        return None

    def admit(self, key: Key) -> Admission:
        """May a connection for `key` be dialled? DIAL takes a place, which `add`ed connections give back when lost."""
        endpoint = key.endpoint
        if self._closed:
            return Admission.DEAD
        dead = self._dead.get(endpoint)
        if dead is not None and (dead.is_probed or self._clock.seconds() < dead.until):
            return Admission.DEAD
        if self._counts.get(endpoint, 0) >= self._options.max_per_address and not self._make_room(endpoint):
            return Admission.FULL
        if dead is not None:
            dead.is_probed = True
        self._counts[endpoint] = self._counts.get(endpoint, 0) + 1
        return Admission.DIAL

    def wait(self, key: Key, waiter: Waiter) -> None:
        """Stand in line at a FULL address: `granted` or `turned_away` will be called, once, later."""
        line = self._waiters.setdefault(key.endpoint, deque())
        line.append((waiter, key, self._clock.seconds() + self._options.wait_seconds))
        self._arm()

    def dead_reply(self, key: Key) -> Reply | None:
        """What the last one who dialled a dead address got."""
        dead = self._dead.get(key.endpoint)
        return dead.reply if dead else None

    # What becomes of it.

    def add(self, connection: Pooled) -> None:
        """A connection that is being dialled after DIAL."""
        self._all.add(connection)
        self._opened += 1
        if self._bounds is not None:
            site, most, messages = self._bounds(connection.key.host, connection.key.port)
            if most or messages:
                self._bound[connection] = site, messages
                self._sites[site] = self._sites.get(site, 0) + 1
                if most and self._sites[site] > most:
                    self._thin_out(site)
        self._arm()

    def alive(self, key: Key) -> None:
        """The address answers."""
        if self._dead:
            self._dead.pop(key.endpoint, None)

    def failed(self, key: Key, reply: Reply) -> None:
        """The address cannot be reached or does not speak: nobody shall dial it for a while, and nobody shall wait for it."""
        endpoint = key.endpoint
        options = self._options
        previous = self._dead.pop(endpoint, None)
        now = self._clock.seconds()
        if previous is not None and not previous.is_probed and now < previous.until:
            delay = previous.delay  # others dialled with the first; theirs is no further evidence
        else:
            delay = min(previous.delay * 2, options.dead_limit) if previous else options.dead_seconds
        if len(self._dead) >= _MAX_DEAD:
            del self._dead[next(iter(self._dead))]
        self._dead[endpoint] = _Dead(now + delay, delay, reply)
        for waiter, waited_for, _ in self._waiters.pop(endpoint, ()):
            waiter.turned_away(waited_for)

    def release(self, connection: Pooled) -> None:
        """Its user is done with it: to the next in line, to the idle ones, or out."""
        if self._closed or not connection.is_usable or connection.messages >= self._most_messages(connection):
            connection.quit()
            return
        key = connection.key
        line = self._waiters.get(key.endpoint)
        if line:
            for position, (waiter, waited_for, _) in enumerate(line):
                if waited_for == key:
                    del line[position]
                    self._reused += 1
                    waiter.granted(key, connection)
                    return
            connection.quit()  # those in line need another key: give them the place
            return
        if self._idle_count >= self._options.max_idle:
            connection.quit()
            return
        connection.deadline = self._clock.seconds() + self._options.idle_seconds
        self._idle.setdefault(key, []).append(connection)
        self._idle_count += 1

    def leaving(self, connection: Pooled) -> None:
        """It said QUIT, or was given up: its place is free, its end is still awaited."""
        if connection in self._all and connection not in self._leaving:
            self._leaving.add(connection)
            self._forget_idle(connection)
            if (bound := self._bound.pop(connection, None)) is not None:
                left = self._sites[bound[0]] - 1
                if left:
                    self._sites[bound[0]] = left
                else:
                    del self._sites[bound[0]]
            self._free(connection.key.endpoint)

    def lost(self, connection: Pooled) -> None:
        """It is gone."""
        if connection in self._all:
            self.leaving(connection)
            self._all.discard(connection)
            self._leaving.discard(connection)

    def stats(self) -> PoolStats:
        now = self._clock.seconds()
        dead = sum(now < entry.until for entry in self._dead.values())
        return PoolStats(len(self._all), self._idle_count, sum(map(len, self._waiters.values())), dead, self._opened, self._reused)

    def close(self) -> None:
        """Say QUIT on idle connections, abort the others (their users are told), send everyone in line away."""
        self._closed = True
        for line in list(self._waiters.values()):
            while line:
                waiter, key, _ = line.popleft()
                waiter.turned_away(key)
        self._waiters.clear()
        idle = {connection for kept in self._idle.values() for connection in kept}
        for connection in list(self._all - self._leaving):
            if connection in idle:
                connection.quit()
            else:
                connection.abort()
        self._arm()

    # Inside.

    def _make_room(self, endpoint: Endpoint) -> bool:
        for key, idle in self._idle.items():
            if key.endpoint == endpoint:
                idle[0].quit()
                return True
        return False

    def _most_messages(self, connection: Pooled) -> int:
        bound = self._bound.get(connection) if self._bound else None
        return (bound[1] if bound is not None else 0) or self._options.max_messages

    def _thin_out(self, site: str) -> None:
        for idle in self._idle.values():
            for connection in idle:
                if (bound := self._bound.get(connection)) is not None and bound[0] == site:
                    connection.quit()
                    return

    def _forget_idle(self, connection: Pooled) -> None:
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
            self._idle_count -= 1
            if not idle:
                del self._idle[connection.key]

    def _free(self, endpoint: Endpoint) -> None:
        left = self._counts.get(endpoint, 1) - 1
        if left > 0:
            self._counts[endpoint] = left
        else:
            self._counts.pop(endpoint, None)
            dead = self._dead.get(endpoint)
            if dead is not None:
                dead.is_probed = False  # a probe that ended without a verdict
        line = self._waiters.get(endpoint)
        while line and self._counts.get(endpoint, 0) < self._options.max_per_address:
            waiter, key, _ = line.popleft()
            if not line:
                self._waiters.pop(endpoint, None)
            if self.admit(key) is Admission.DIAL:
                waiter.granted(key, None)
            else:
                waiter.turned_away(key)

    def _arm(self) -> None:
        if self._timer is None and (self._all or self._waiters):
            self._timer = self._clock.callLater(self._options.sweep_seconds, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for connection in [connection for connection in self._all if connection.deadline <= now]:
            connection.deadline = inf
            connection.expired()
        for endpoint, line in list(self._waiters.items()):
            while line and line[0][2] <= now:
                waiter, key, _ = line.popleft()
                waiter.turned_away(key)
            if not line and self._waiters.get(endpoint) is line:
                del self._waiters[endpoint]
        self._arm()
