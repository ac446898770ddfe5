"""The line in front of the password hashes: so many at a time, so many waiting, the same question asked once.

Promises
- At most `at_a_time` hashes run, off the reactor; at most `waiting` stand in line, nobody longer than PATIENCE. Who has failed less of late is served
  first, and when the line is full whoever has failed most gives way: somebody guessing from a thousand addresses does not keep people out.
- Connections that ask the same thing at the same moment (an app that opens fifty after a restart) share one hash and one place.
- Who leaves gives the place back. A hash that fails, fails those who waited for it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from jetmail import passwords
from jetmail.interfaces import IExecutor

PATIENCE = 15.0  # seconds: clients of submission wait longer than that, and then try again anyway
Key = tuple[bytes, str]


class _Check:
    __slots__ = ("encoded", "key", "password", "since", "waiters", "weight")

    def __init__(self, key: Key, encoded: str, password: str, weight: float, since: float) -> None:
        self.key = key
        self.encoded = encoded
        self.password = password
        self.weight = weight
        self.since = since
        self.waiters: list[Deferred[bool | None]] = []


class HashLine:
    """See the module. On the reactor thread only."""

    def __init__(self, executor: IExecutor, clock: IReactorTime, at_a_time: int, waiting: int) -> None:
        self._executor = executor
        self._clock = clock
        self._at_a_time = at_a_time
        self._waiting = waiting
        self._running = 0
        self._line: list[_Check] = []  # as they came
        self._checks: dict[Key, _Check] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether somebody is asking that already."""
        return key in self._checks

    @property
    def is_pressed(self) -> bool:
        """The line is half full."""
        return 2 * len(self._line) >= self._waiting

    def matches(self, key: Key, encoded: str, password: str, weight: float) -> Deferred[bool | None]:
        """Whether the password is the encoded one; None: there was no place, it was lost to somebody with less `weight`, or it took too long. The
        same `key` is the same question."""
        self._give_up()
        check = self._checks.get(key)
        is_new = check is None
        if check is None:
            if self._running >= self._at_a_time and len(self._line) >= self._waiting and not self._make_room(weight):
                return succeed(None)
            check = self._checks[key] = _Check(key, encoded, password, weight, self._clock.seconds())
        found = check
        waiter: Deferred[bool | None] = Deferred(lambda deferred: self._leave(found, deferred))
        check.waiters.append(waiter)
        if not is_new:
            check.weight = min(check.weight, weight)
        elif self._running < self._at_a_time:
            self._start(check)
        else:
            self._line.append(check)
        return waiter

    def _make_room(self, weight: float) -> bool:
        heaviest = max(self._line, key=lambda check: check.weight)
        if heaviest.weight <= weight:
            return False
        self._line.remove(heaviest)
        self._answer(heaviest, None)
        return True

    def _start(self, check: _Check) -> None:
        self._running += 1
        self._executor.run(passwords.matches, check.encoded, check.password).addBoth(self._done, check)

    def _done(self, result: Any, check: _Check) -> None:
        self._running -= 1
        self._give_up()
        if self._line:
            lightest = min(self._line, key=lambda each: each.weight)  # the first of those that weigh the same
            self._line.remove(lightest)
            self._start(lightest)
        self._answer(check, result)

    def _give_up(self) -> None:
        late = self._clock.seconds() - PATIENCE
        while self._line and self._line[0].since <= late:
            self._answer(self._line.pop(0), None)

    def _answer(self, check: _Check, result: Any) -> None:
        del self._checks[check.key]
        waiters, check.waiters = check.waiters, []
        for waiter in waiters:
            waiter.callback(result)  # a Failure makes it fail

    def _leave(self, check: _Check, waiter: Deferred[bool | None]) -> None:
        if waiter in check.waiters:
            check.waiters.remove(waiter)
        if not check.waiters and check in self._line:
            self._line.remove(check)
            del self._checks[check.key]
