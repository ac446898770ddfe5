"""Under which sender a message leaves: the stored envelope keeps the sender it came with, the wire shows an address whose bounces we can place.

| mail | MAIL FROM |
|---|---|
| of a user, whose sender's domain has published its name for return paths | `b+<token>@bounces.<domain>` |
| of a user, otherwise | the same at our own name, where there is one and the domain's mail is signed; else as it is |
| inward, going on to a domain that is not ours (a forward) | SRS; a return path at our own name where that cannot be written |
| all other: reports, mail to our own domains, the null sender | as it is |

Costs nothing but for mail of users and for forwards: reads of what the directory remembers, and one HMAC. Raises StoreError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jetmail.mail import returnpath, srs
from jetmail.mail.address import AddressError, parse
from jetmail.mail.returnpath import Ring
from jetmail.store.directory.cache import Directory

if TYPE_CHECKING:
    from jetmail.store.traffic.deliveries import Due, MessageFacts

OwnName = Literal["signed", "always", "never"]


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """`enabled` False: every sender stays. `label` is what a domain publishes below itself; `own`: our own name, '' without one; `own_name`: whose
    mail leaves under it, 'signed' (domains whose keys sign: DMARC is satisfied by the signature), 'always' or 'never'. `forward`: the domain of
    rewritten senders."""

    enabled: bool = True
    label: str = "bounces"
    own: str = ""
    own_name: OwnName = "signed"
    forward: str = "localhost"


class WireSenders:
    """See the module. `ring` gives the keys as they are now."""

    def __init__(self, directory: Directory, ring: Callable[[], Ring], now: Callable[[], float], options: SenderOptions) -> None:
        self._directory = directory
        self._ring = ring
        self._now = now
        self._options = options

    def __call__(self, message: MessageFacts, batch: Sequence[Due], destination: str) -> str:
        """The sender for one transaction."""
        sender = message.sender
        if not sender or not self._options.enabled or not sender.isascii():
            return sender
        if message.user:
            domain = self._domain(sender.rpartition("@")[2], message.user)
            return (self._made(message, batch, domain) if domain else "") or sender
        if message.direction != "inbound" or not self._is_remote(destination):
            return sender
        try:
            rewritten = srs.forwarded(self._ring(), self._now(), parse(sender), self._options.forward)
        except AddressError:
            return sender
        return rewritten or self._made(message, batch, self._options.forward) or sender

    def _made(self, message: MessageFacts, batch: Sequence[Due], domain: str) -> str:
        return returnpath.made(self._ring(), self._now(), message.uid, batch[0].id, len(batch) == 1, domain)

    def _domain(self, domain: str, user: str) -> str:
        """The domain for return paths of that sender's domain, '' for none."""
        directory, options = self._directory, self._options
        account_id = directory.account_of(user)
        # A user who may send from any domain shows nobody else's name.
        is_theirs = account_id > 0 and directory.outbound_account(domain) == account_id
        if is_theirs and directory.has_return_path(domain):
            return f"{options.label}.{domain}"
        if not options.own or options.own_name == "never":
            return ""
        # Under our name SPF no longer speaks for the author's domain: a signature must.
        return options.own if options.own_name == "always" or (is_theirs and directory.dkim_keys(domain)) else ""

    def _is_remote(self, destination: str) -> bool:
        policy = self._directory.policy_for(destination)
        return policy is None or not policy.is_verified
