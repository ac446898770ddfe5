"""The world's side effects as arguments: threads and randomness (time is the reactor's `seconds`).

`ThreadExecutor` is the house's own pool: the reactor's is left to name resolution of the framework, so that password hashing or a slow disk
can never stall it; hashing has threads to itself, below the others. `InlineExecutor` and `SeededEntropy` are stand-ins for tests and for the
command line.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from jetmail.interfaces import IEntropy, IExecutor

NICE = 10  # of patient threads: a tenth of the share of others, when there is not enough for all


@implementer(IExecutor)
class ThreadExecutor:
    """`workers` threads of our own, and `patient` for work that mail must not wait for. `start` before use, `stop` waits for what runs."""

    def __init__(self, reactor: Any, workers: int = 4, patient: int = 1) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, workers, "jetmail")
        self.patient = PatientExecutor(reactor, patient)

    def start(self) -> None:
        """Allow work; threads appear as they are needed."""
        self._pool.start()
        self.patient.start()

    def stop(self) -> None:
        """Wait for running work and end the threads."""
        self._pool.stop()
        self.patient.stop()

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred:
        """`fn(*args)` on a thread -> Deferred, fired on the reactor."""
        return deferToThreadPool(self._reactor, self._pool, fn, *args)


@implementer(IExecutor)
class PatientExecutor:
    """Threads that get the processor when nobody else of the process wants it: password hashes, which anybody can ask for by the thousand."""

    def __init__(self, reactor: Any, workers: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, workers, "jetmail-patient")
        self._lowered = threading.local()

    def start(self) -> None:
        """Allow work."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for running work and end the threads."""
        self._pool.stop()

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred:
        """`fn(*args)` on such a thread -> Deferred, fired on the reactor."""
        return deferToThreadPool(self._reactor, self._pool, self._thd_run, fn, *args)

    def _thd_run(self, fn: Callable[..., Any], *args: Any) -> Any:
        if not getattr(self._lowered, "done", False):
            self._lowered.done = True
            with contextlib.suppress(OSError):  # only Linux has priorities of threads
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        return fn(*args)


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
