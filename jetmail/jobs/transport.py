"""What has to be done now and then for TLS towards other domains: sessions written down, policies fetched again, reports sent.

The work itself is outbound's (ledger.py, policies.py, reporting.py), given here as callables by app.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from jetmail.interfaces import IJob


@implementer(IJob)
class TransportJob:
    """`work()` every `interval` seconds, under that name. It may return a Deferred."""

    def __init__(self, name: str, interval: float, work: Callable[[], Any]) -> None:
        self.name = name
        self.interval = interval
        self._work = work

    def run(self) -> Deferred[Any]:
        """Once."""
        return maybeDeferred(self._work)
