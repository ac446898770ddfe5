"""Every ten minutes: does a next key take over, is an old one's time up, is another rotation due. See actions.dkim."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.actions import dkim
from jetmail.actions.access import Actor
from jetmail.actions.dkim import Workshop
from jetmail.interfaces import IJob

_log = Logger()


def _problem(name: str, error: Exception) -> None:
    _log.warn("the keys of {domain} were left as they are: {reason}", domain=name, reason=str(error))


@implementer(IJob)
class DkimRotationJob:
    """See actions.dkim.step_all."""

    name = "dkim-rotation"

    def __init__(self, shop: Workshop, interval: float = 600.0) -> None:
        self.interval = interval
        self._shop = shop
        self._actor = Actor.sysadmin("jetmail", "system")

    def run(self) -> Deferred[int]:
        """-> Deferred of how many domains' keys were changed."""
        return Deferred.fromCoroutine(dkim.step_all(self._shop, self._actor, _problem))
