"""Who is suppressed for what, and for how long: between what a reply or a report says of an address and what the store remembers (spec 5.7, 10.2).

Promises
- Only mail of our own users leads to a suppression, and only in their own account: mail relayed inward and our own reports never do.
- What is not the address's fault never does (mail.blame). One message that says there is no such address is enough unless configured otherwise; of
  refusals that do not say why it takes several messages within a window. A complaint is enough.
- The answer is a value (Strike) for the transaction that records what happened anyway: `store.traffic.suppressions.strike` writes it there, so that
  a crash leaves both or neither.

Raises StoreError where the directory or the suppressions cannot be read. Used by the queue for refusals it hears, by who takes in reports, and by
submission.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse
from jetmail.mail.blame import Blame, blame
from jetmail.mail.reply import Reply
from jetmail.store.traffic import suppressions
from jetmail.store.traffic.suppressions import BOUNCE, COMPLAINT, Strike, Suppression

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class SuppressingOptions:
    """`enabled` False: nobody is suppressed and nothing is looked up. `bounces`, `complaints`: which of them suppress by themselves. `gone`: messages
    (1 or more) refused because there is no such address; `refused`: messages refused without saying why, within `window` seconds; 0: never.
    `bounce_days`, `complaint_days`: how long; 0: for good."""

    enabled: bool = True
    bounces: bool = True
    complaints: bool = True
    gone: int = 1
    refused: int = 3
    window: float = 7 * DAY
    bounce_days: float = 30.0
    complaint_days: float = 0.0


class Suppressing:
    """See the module. `account_of` gives the account of a user (a uuid), 0 for nobody's."""

    def __init__(self, db: IDatabase, account_of: Callable[[str], int], options: SuppressingOptions) -> None:
        self._db = db
        self._account_of = account_of
        self.options = options

    def of_bounce(self, now: float, user: str, address: str, reply: Reply, uid: str) -> Strike | None:
        """What a refusal for good of mail that `user` sent to `address` (message `uid`) is to count for; None: nothing."""
        options = self.options
        if not (options.enabled and options.bounces and user):
            return None
        found = blame(reply)
        needed = options.gone if found is Blame.GONE else options.refused if found is Blame.REFUSED else 0
        return self._strike(now, user, address, str(reply), uid, needed, options.bounce_days, BOUNCE) if needed else None

    def of_complaint(self, now: float, user: str, address: str, detail: str, uid: str) -> Strike | None:
        """The same for a complaint of whoever reads `address`."""
        options = self.options
        if not (options.enabled and options.complaints and user):
            return None
        return self._strike(now, user, address, detail, uid, 1, options.complaint_days, COMPLAINT)

    def find(self, account_id: int, addresses: Sequence[str], now: float) -> dict[str, Suppression]:
        """What counts for mail of the account to these addresses (Address.key)."""
        if not self.options.enabled:
            return {}
        found: dict[str, Suppression] = self._db.read(suppressions.find, account_id, addresses, now)
        return found

    def find_for(self, user: str, addresses: Sequence[str], now: float) -> dict[str, Suppression]:
        """The same for mail of a user."""
        return self.find(self._account_of(user), addresses, now) if self.options.enabled else {}

    def _strike(self, now: float, user: str, address: str, detail: str, uid: str, needed: int, days: float, reason: str) -> Strike | None:
        key = key_of(address)
        account_id = self._account_of(user)
        if not key or not account_id:
            return None
        detail = "".join(letter if letter.isprintable() else " " for letter in detail[: suppressions.MAX_DETAIL])  # a stranger wrote it
        return Strike(account_id, key, detail, now, uid, needed, now - self.options.window, now + days * DAY if days else None, reason)


def words(found: Suppression, recipient: str) -> str:
    """What is said to who writes to `recipient`: that it is suppressed, what for, and who can lift it. Of an alias it is not said where it leads."""
    leads = "is" if key_of(recipient) == found.address else "leads to an address"
    if found.account_id == suppressions.APPLIANCE:
        return f"[SUPPRESSED] {recipient} {leads} on the suppression list of this system ({found.reason}); its administrator can take it off"
    return f"[SUPPRESSED] {recipient} {leads} on your suppression list ({found.reason}); take it off to send there again"


def key_of(address: str) -> str:
    """Address.key, '' for what is no address."""
    try:
        return parse(address).key
    except AddressError:
        return ""
