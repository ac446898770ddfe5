"""What the receiving side is given by app: one value for all sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from jetmail.inbound.contacts import Contacts
from jetmail.inbound.holding import Holding
from jetmail.inbound.policies import PolicyBook
from jetmail.inbound.returning import Returns
from jetmail.inbound.submission import Submissions
from jetmail.interfaces import IContentStore, IDatabase, ILogin, IQueueDoor
from jetmail.rules.chain import Judge
from jetmail.signatures import Signatures


@dataclass(frozen=True, slots=True)
class ReceiverOptions:
    """`inline_limit`: octets up to which content goes into the store itself (4 KiB to 1 MiB). `refusals_per_connection`: refused recipients that
    are written down per connection (0 or more); `refusals_per_minute`: refused messages written down in all, so that nobody fills the log by being
    refused."""

    inline_limit: int = 128 * 1024
    refusals_per_connection: int = 20
    refusals_per_minute: int = 600


class RefusalBudget:
    """So many per minute, then silence until the next minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._left = 0

    def take(self, now: float) -> bool:
        """One more may be written down."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._left = minute, self._per_minute
        self._left -= 1
        return self._left >= 0


@dataclass(frozen=True, slots=True)
class ReceiverServices:
    """`make_uid` gives a new message id; `first_retry(now)` when a message's second attempt is due if the first fails (outbound.schedule.claim,
    bound by app); `has_room(size)` whether the disk takes that many octets more (spool.FileStore.has_room). `clock.seconds()` is epoch time.
    `submissions` judges what users send; without it nobody can sign in. `contacts` remembers who has been in touch with whom.
    `signatures` signs what users send; `holding` sets aside what hold rules name. `returns` takes what comes back. `on_accepted(octets)` and
    `on_refused(reason)` are told of every decision, for metrics."""

    hostname: str
    db: IDatabase
    book: PolicyBook
    judge: Judge
    content: IContentStore
    queue: IQueueDoor
    login: ILogin
    clock: IReactorTime
    make_uid: Callable[[], str]
    first_retry: Callable[[float], float]
    has_room: Callable[[int], bool]
    contacts: Contacts
    options: ReceiverOptions = ReceiverOptions()
    submissions: Submissions | None = None
    signatures: Signatures | None = None
    holding: Holding | None = None
    returns: Returns | None = None
    on_accepted: Callable[[int], None] = lambda octets: None
    on_refused: Callable[[str], None] = lambda reason: None
    refusal_budget: RefusalBudget = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusal_budget", RefusalBudget(self.options.refusals_per_minute))
