"""The world's side effects as arguments: threads and randomness (time is the reactor's `seconds`).

`ThreadExecutor` is the house's own pool: the reactor's is left to name resolution of the framework, so that password hashing or a slow disk
can never stall it. `InlineExecutor` and `SeededEntropy` are their stand-ins for tests and for the command line.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from jetmail.interfaces import IEntropy, IExecutor


@implementer(IExecutor)
class ThreadExecutor:
    """`workers` threads of our own. `start` before use, `stop` waits for what runs."""

    def __init__(self, reactor: Any, workers: int = 4) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, workers, "jetmail")

    def start(self) -> None:
        """Allow work; threads appear as they are needed."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for running work and end the threads."""
        self._pool.stop()

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred:
        """`fn(*args)` on a thread -> Deferred, fired on the reactor."""
        return deferToThreadPool(self._reactor, self._pool, fn, *args)


@implementer(IExecutor)
class InlineExecutor:
    """Runs at once: every Deferred has fired when the call returns."""

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred:
        """`fn(*args)` now -> fired Deferred."""
        return maybeDeferred(fn, *args)


@implementer(IEntropy)
class SystemEntropy:
    """Tokens from the operating system, fetched some at a time; jitter from a fast generator seeded by it."""

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(16))
        self._fetched = b""

    def token(self, octets: int) -> bytes:
        """Unpredictable octets, each given once."""
        if len(self._fetched) < octets:
            self._fetched = os.urandom(max(1024, octets))
        token, self._fetched = self._fetched[:octets], self._fetched[octets:]
        return token

    def uniform(self) -> float:
        """[0, 1): for jitter and shuffling, not for secrets."""
        return self._random.random()


@implementer(IEntropy)
class SeededEntropy:
    """The same sequence every time."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token(self, octets: int) -> bytes:
        """Repeatable octets."""
        return self._random.randbytes(octets)

    def uniform(self) -> float:
        """Repeatable [0, 1)."""
        return self._random.random()
