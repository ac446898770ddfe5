"""Return paths, put together: the keys on the disk, the senders mail leaves under, the door what comes back enters by, and the job that turns keys
and forgets. Reports about our domains come in by the same door. app.py makes one; nothing is decided here.

Raises ConfigError where the keys cannot be read or made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jetmail.config import Config
from jetmail.errors import ConfigError, StoreError
from jetmail.inbound.aggregates import ReportIntake, ReportOptions
from jetmail.inbound.peer import origin
from jetmail.inbound.returning import ReturnOptions, Returns
from jetmail.interfaces import IDatabase, IEntropy, IExecutor, IJob
from jetmail.mail.address import Address, parse
from jetmail.mail.returnpath import DAY
from jetmail.outbound.senders import SenderOptions, WireSenders
from jetmail.store.directory.cache import Directory
from jetmail.store.returnkeys import ReturnKeys
from jetmail.store.traffic import returns
from jetmail.suppressing import Suppressing

AT_ONCE = 500


def options(config: Config, hostname: str) -> tuple[SenderOptions, ReturnOptions]:
    """[returns] and [domains]"""
    given, domains = config.returns, config.domains
    zone = domains.zone.lower() or hostname
    target = domains.return_target.lower() or f"return.{zone}"
    # Nobody has said that a name of ours takes mail until one was configured.
    own = target if domains.zone or domains.return_target else ""
    forward = domains.srs_domain.lower() or zone
    label = domains.return_path.lower()
    return (
        SenderOptions(given.enabled, label, own, given.own_name, forward),
        ReturnOptions(label, frozenset({target}), forward, given.days, given.per_hour),
    )


@implementer(IJob)
class ReturnPaths:
    """`sender` for the deliverer, `door` for the receiving side; itself the job."""

    name = "returns"
    interval = 3_600.0

    def __init__(
        self,
        config: Config,
        hostname: str,
        db: IDatabase,
        directory: Directory,
        entropy: IEntropy,
        now: Callable[[], float],
        resolve: Callable[[str], Sequence[str]],
        suppressing: Suppressing,
        on_returned: Callable[[str, str], None],
        executor: IExecutor,
    ) -> None:
        of_senders, of_returns = options(config, hostname)
        self._db = db
        self._now = now
        self._given = config.returns
        self._keep = config.store.log_days * DAY
        self.keys = ReturnKeys(config.state, entropy.token)
        try:
            self.keys.load()
            self._turn()
        except StoreError as error:
            raise ConfigError([str(error)]) from error
        self.sender = WireSenders(directory, lambda: self.keys.ring, now, of_senders)

        def behind(address: Address) -> tuple[Address, ...]:
            return tuple(parse(text) for text in resolve(str(address)))

        address = parse(config.reports.address) if config.reports.address else None
        reports = ReportIntake(directory, executor, ReportOptions(address, config.reports.per_day), origin)
        self.door = Returns(
            db, directory, lambda: self.keys.ring, of_returns, behind, suppressing.of_bounce, suppressing.of_complaint, on_returned, reports
        )  # fmt: skip

    def run(self) -> Deferred[None]:
        """Turn the keys; forget what is older than the log."""
        self._turn()
        return Deferred.fromCoroutine(self._forget())

    def _turn(self) -> None:
        # A day more than an address counts: the day it was made on is not over when its key goes.
        self.keys.turned(self._now(), self._given.rotate_days * DAY, (self._given.days + 1) * DAY)

    async def _forget(self) -> None:
        while await self._db.run(returns.forget, self._now() - self._keep, AT_ONCE) >= AT_ONCE:
            pass
