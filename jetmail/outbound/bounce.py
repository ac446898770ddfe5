"""Reports to senders: who is told what, and the message that tells it.

Promises
- A final failure is told at once, one report a message for all recipients that failed together; not to a null sender (RFC 5321 4.5.5: no loops), not
  for a recipient whose NOTIFY lacks FAILURE (RFC 3461 5.2). A delay is told once a delivery, where NOTIFY allows it. A success is told only where it
  was asked for and the next hop cannot tell it itself: 'relayed' (RFC 3461 5.2.2).
- Only what was in the queue is ever told of: mail that was refused, blocked or quarantined never comes here, so there is no backscatter.
- A report names the address the sender used, never the alias target behind it.
- What comes out is a NewMessage for the accepting transaction, in which the outcome is recorded too.

RET=FULL is honoured up to `full_size` octets of inline 7-bit content; anything else returns the header. A message that asked for REQUIRETLS is
returned with its header only and asks for it again (RFC 8689 section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jetmail.interfaces import IEntropy
from jetmail.mail import dsn
from jetmail.mail.dsn import Action, RecipientStatus
from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.mail.status import Status
from jetmail.store.traffic.deliveries import Due, MessageFacts
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

EXPIRED = "expired"
MAX_HEADER = 65536


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`hostname` names us in reports. `full_size`: octets up to which RET=FULL returns the whole message; at most what is kept inline."""

    hostname: str = "localhost"
    full_size: int = 65536


def wants_failure(facts: MessageFacts, due: Due) -> bool:
    """RFC 3461 4.1: without NOTIFY, failures are told."""
    return bool(facts.sender) and (not due.notify or "FAILURE" in due.notify)


def wants_delay(facts: MessageFacts, due: Due) -> bool:
    """RFC 3461 4.1: without NOTIFY, delays may be told."""
    return bool(facts.sender) and not due.delay_notified and (not due.notify or "DELAY" in due.notify)


def wants_success(facts: MessageFacts, due: Due, outcome: Outcome) -> bool:
    """Asked for, and nobody after us will tell it."""
    return bool(facts.sender) and outcome.relayed_without_dsn and "SUCCESS" in due.notify


class Reporter:
    """Writes reports. `make_uid` as for every message; `entropy` draws boundaries; `resolve` gives the final addresses behind a sender that is one
    of our own aliases (itself for any other). `sign` puts our signature on a report, where we have one."""

    def __init__(
        self,
        options: ReportOptions,
        make_uid: Callable[[], str],
        entropy: IEntropy,
        resolve: Callable[[str], Sequence[str]] | None = None,
        sign: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self._options = options
        self._make_uid = make_uid
        self._entropy = entropy
        self._resolve = resolve or (lambda address: (address,))
        self._sign = sign

    def failure(self, now: float, facts: MessageFacts, content: Content | None, failed: Sequence[tuple[Due, Outcome]]) -> NewMessage | None:
        """The report about recipients that will not be tried again, or None when nobody is to be told."""
        told = [_status(due, outcome, Action.FAILED, now) for due, outcome in failed if wants_failure(facts, due)]
        return self._report(now, facts, content, told)

    def delay(self, now: float, facts: MessageFacts, content: Content | None, late: Sequence[tuple[Due, Outcome]], until: float) -> NewMessage | None:
        """The notice that a message is late."""
        told = [_status(due, outcome, Action.DELAYED, now, until) for due, outcome in late if wants_delay(facts, due)]
        return self._report(now, facts, content, told)

    def success(self, now: float, facts: MessageFacts, content: Content | None, relayed: Sequence[tuple[Due, Outcome]]) -> NewMessage | None:
        """The notice that a message went to a system that tells no more."""
        told = [_status(due, outcome, Action.RELAYED, now) for due, outcome in relayed if wants_success(facts, due, outcome)]
        return self._report(now, facts, content, told)

    def _report(self, now: float, facts: MessageFacts, content: Content | None, told: list[RecipientStatus]) -> NewMessage | None:
        if not told:
            return None
        uid = self._make_uid()
        hostname = self._options.hostname
        original, is_full = self._original(facts, content)
        message_id = f"{uid}@{hostname}"
        data = dsn.build(
            dsn.Report(
                hostname, facts.sender, message_id, self._boundary(original), now, facts.received, tuple(told), original, is_full, facts.envid
            )
        )
        data = self._sign(data)
        domain = facts.sender.rpartition("@")[2]
        # RFC 3461 section 6.2: a report about a report is never wanted.
        deliveries = tuple(
            NewDelivery(facts.sender, domain, target, target.rpartition("@")[2], Status.QUEUED, notify="NEVER")
            for target in self._resolve(facts.sender)
        )
        return NewMessage(
            uid,
            "outbound",
            now,
            "",
            len(data),
            Content(len(data), data),
            deliveries,
            header_from=f"MAILER-DAEMON@{hostname}",
            subject=dsn.subject(told[0].action),
            message_id=message_id,
            smtputf8=not facts.sender.isascii(),
            requiretls=facts.requiretls,
            claimed=False,
        )

    def _original(self, facts: MessageFacts, content: Content | None) -> tuple[bytes, bool]:
        if content is None:
            return b"", False
        whole = content.data
        if whole is not None and facts.ret == "FULL" and len(whole) <= self._options.full_size and not facts.requiretls and whole.isascii():
            return whole, True
        header = dsn.header_of(content.header if whole is None else whole)
        if len(header) > MAX_HEADER:
            header = header[: header.rfind(b"\r\n", 0, MAX_HEADER) + 2]
        return header, False

    def _boundary(self, original: bytes) -> str:
        while (boundary := "=_" + self._entropy.token(18).hex()).encode("ascii") in original:
            pass
        return boundary


def _status(due: Due, outcome: Outcome, action: Action, now: float, until: float | None = None) -> RecipientStatus:
    reply = outcome.reply
    explanation = ""
    fallback = "5.0.0" if reply.is_permanent else "4.0.0"
    if action is Action.RELAYED:
        status = "2.0.0"
    elif action is Action.FAILED and outcome.reason == EXPIRED:
        status, explanation = "4.4.7", "It was tried until its time in the queue was over. The last attempt ended with:"
    else:
        status = dsn.status_of(reply, fallback)
    return RecipientStatus(
        due.recipient, action, status, reply, outcome.host, due.orcpt, explanation, now if action is not Action.RELAYED else None, until
    )


def expired(last: Outcome) -> Outcome:
    """The outcome of a delivery whose time is over, with what its last attempt came to."""
    return Outcome(Result.NEVER, EXPIRED, last.reply, last.host, last.address, last.port, last.tls, last.verified, last.duration)


def returned() -> Outcome:
    """The outcome of a delivery that an operator sent back."""
    return Outcome(Result.NEVER, "operator", Reply(550, "5.7.0", "Returned to the sender by the operator of this system"))
