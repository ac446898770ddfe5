"""Mail of users that is due to a suppressed address is not sent, and not silently dropped either: it ends as refused, with the reason 'suppressed'.

Submission says so at RCPT already. This is for what comes by another way (an alias of ours that leads there, a batch) and for what was in the queue
when the address was suppressed. Such an end is written down like any other: status Rejected, an event, a report to the sender. Mail without a user
(relayed inward, our own reports and notices) is not looked at.

Cost: one indexed read for each attempt of a user's message. Raises StoreError when the list cannot be read, which the queue takes for a fault of
ours: the message waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.job import Job
from jetmail.store.traffic.suppressions import Suppression
from jetmail.suppressing import key_of, words

SUPPRESSED = "suppressed"
Find = Callable[[str, Sequence[str], float], dict[str, Suppression]]


class Deliverer(Protocol):
    """What makes attempts."""

    def deliver(self, job: Job) -> Deferred[dict[int, Outcome]]:
        """As in outbound.queue."""


class Sifter:
    """See the module. `find(user, addresses, now)` tells what is suppressed for mail of that user; `deliverer` makes the other attempts."""

    def __init__(self, deliverer: Deliverer, find: Find, now: Callable[[], float], log: Logger) -> None:
        self._deliverer = deliverer
        self._find = find
        self._now = now
        self._log = log

    def deliver(self, job: Job) -> Deferred[dict[int, Outcome]]:
        """An outcome for each delivery id."""
        message = job.message
        if not message.user or message.direction != "outbound":
            return self._deliverer.deliver(job)
        keys = {due.id: key_of(due.target) for due in job.deliveries}
        found = self._find(message.user, list(keys.values()), self._now())
        if not found:
            return self._deliverer.deliver(job)
        outcomes = {due.id: refusal(found[keys[due.id]], due.recipient) for due in job.deliveries if keys[due.id] in found}
        rest = tuple(due for due in job.deliveries if due.id not in outcomes)
        self._log.info("not sent, suppressed", uid=message.uid, user=message.user, recipients=len(outcomes))
        if not rest:
            return succeed(outcomes)
        return self._deliverer.deliver(job._replace(deliveries=rest)).addCallback(lambda others: outcomes | others)


def refusal(found: Suppression, recipient: str) -> Outcome:
    """The outcome; its reply goes into the report to the sender, so it names the address as the sender wrote it."""
    return Outcome(Result.NEVER, SUPPRESSED, Reply(550, "5.7.1", words(found, recipient)))
