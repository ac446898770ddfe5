"""What follows when a sender passes a limit: it is blocked in the directory, and its account is told by mail, in one transaction (spec 5.6,
6.13, 7.32).

The notice is accepted like any message: stored with its deliveries, durable, in the queue when the commit is done. It has the null sender, so that
nothing ever comes back to it. An account without a contact address is not told; the list of blocked senders says it all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.inbound.activity import Over
from jetmail.inbound.policies import PolicyBook
from jetmail.interfaces import IDatabase, IQueueDoor
from jetmail.mail.address import AddressError, parse
from jetmail.mail.status import Status
from jetmail.mail.trace import rfc5322_date
from jetmail.store.database import Connection
from jetmail.store.directory import audit, blocked_senders
from jetmail.store.directory.accounts import Account
from jetmail.store.directory.blocked_senders import BlockedSender
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

_log = Logger()

WHAT = {
    "messages": "more messages in an hour than is allowed",
    "newcomers": "mail to more first-time recipients in an hour than is allowed",
    "rejections": "too many messages that were refused or came back",
    "spam": "too many messages that look like spam",
}


class Blocking:
    """Called with what inbound.activity found. `now` gives epoch seconds; `sign` puts our signature on a notice."""

    def __init__(
        self,
        db: IDatabase,
        directory: Directory,
        book: PolicyBook,
        queue: IQueueDoor,
        hostname: str,
        now: Callable[[], float],
        make_uid: Callable[[], str],
        sign: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self._db = db
        self._directory = directory
        self._book = book
        self._queue = queue
        self._hostname = hostname
        self._now = now
        self._make_uid = make_uid
        self._sign = sign

    def __call__(self, over: Over) -> Deferred[bool]:
        """-> Deferred of whether it was blocked just now; fires when it is durable."""
        now = self._now()
        user = self._directory.principal(over.user)
        account = self._directory.account(user.account_id) if user is not None else None
        block = BlockedSender(over.user, over.sender, account.id if account is not None else 0, now, over.reason, over.evidence)
        who = f"{over.sender} of {user.name}" if user is not None and over.sender else user.name if user is not None else over.user
        notice = self._notice(account, block, who, now) if account is not None else None
        _log.warn("blocked {who}: too many {reason}", who=who, reason=over.reason, user=over.user, evidence=over.evidence)
        running: Deferred[bool] = self._db.run(_block, block, notice, who)
        return running.addCallback(self._done, notice is not None)

    def _done(self, is_new: bool, has_notice: bool) -> bool:
        if is_new and has_notice:
            self._queue.wake()
        return is_new

    def _notice(self, account: Account, block: BlockedSender, who: str, now: float) -> NewMessage | None:
        try:
            address = parse(account.contact)
        except AddressError:
            return None
        known = self._book.recipient(address)
        targets = known.targets if known.policy.domain else (address,)
        if not targets or not address.is_ascii:
            return None
        uid = self._make_uid()
        subject = f"Sender blocked: {who}"
        data = self._sign(self._text(account, block, who, uid, subject, now))
        deliveries = tuple(
            NewDelivery(str(address), address.domain, str(target), target.domain, Status.QUEUED, notify="NEVER") for target in targets
        )
        return NewMessage(
            uid, "outbound", now, "", len(data), Content(len(data), data), deliveries, header_from=f"postmaster@{self._hostname}", subject=subject,
            message_id=f"<{uid}@{self._hostname}>", claimed=False,
        )  # fmt: skip

    def _text(self, account: Account, block: BlockedSender, who: str, uid: str, subject: str, now: float) -> bytes:
        mail = EmailMessage(policy=SMTP)
        mail["Date"] = rfc5322_date(now)
        mail["From"] = Mailbox("Mail system", "postmaster", self._hostname)
        mail["To"] = account.contact
        mail["Subject"] = subject
        mail["Message-ID"] = f"<{uid}@{self._hostname}>"
        mail["Auto-Submitted"] = "auto-generated"
        figures = "".join(f"  {name}: {value}\n" for name, value in block.evidence.items())
        mail.set_content(
            f"{who} of the account {account.name} has sent {WHAT.get(block.reason, block.reason)}, and was blocked.\n"
            "Other senders of the account are not affected.\n\n"
            f"What was counted:\n{figures}\n"
            "When the cause is dealt with, the account may let this sender go once; after that an administrator can.\n"
        )
        return mail.as_bytes()


def _block(conn: Connection, block: BlockedSender, notice: NewMessage | None, who: str) -> bool:
    if not blocked_senders.block(conn, block):
        return False
    detail = {"who": who, "reason": block.reason, **block.evidence}
    audit.record(conn, block.since, "jetmail", "system", "sender.block", f"smtp-user {block.user}", detail)
    if notice is not None:
        messages.accept(conn, notice)
    return True
