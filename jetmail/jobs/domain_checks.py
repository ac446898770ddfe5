"""Every hour: are domains proved now that were not, and is what owners have published still there. See actions.domain_checks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.actions import domain_checks
from jetmail.actions.access import Actor
from jetmail.actions.dkim import Workshop
from jetmail.interfaces import IJob

_log = Logger()


def _problem(name: str, error: Exception) -> None:
    _log.warn("domain {domain} was left out: {reason}", domain=name, reason=domain_checks.words_of(error))


@implementer(IJob)
class DomainChecksJob:
    """See actions.domain_checks.look_again."""

    name = "domain-checks"

    def __init__(self, shop: Workshop, interval: float = 3_600.0) -> None:
        self.interval = interval
        self._shop = shop
        self._actor = Actor.sysadmin("jetmail", "system")

    def run(self) -> Deferred[int]:
        """-> Deferred of how many domains were looked at."""
        return Deferred.fromCoroutine(domain_checks.look_again(self._shop, self._actor, _problem))
