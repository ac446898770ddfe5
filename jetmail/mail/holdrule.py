"""Hold rules as values: what a rule asks of a message and of one of its recipients, and whether it holds. Pure.

A rule holds what meets all it names. Senders and recipients are named by address (`Address.key`), by domain, or as '*.example.com', every name below
example.com; a sender by the envelope or the From field. What the scope means depends on the direction: outbound it is who sends (the account of the
user who signed in, the sender's domain, the user), inbound whose the recipient is (its domain's account, its domain).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

SCOPES = ("appliance", "account", "domain", "user")
DIRECTIONS = ("inbound", "outbound", "both")


@dataclass(frozen=True, slots=True)
class HoldRule:
    """`scope_key`: '', an account's id, a domain, an SMTP user's uuid. '' in `sender`, `recipient`, `user`, and None in `size_over` (octets) and
    `score_over`, ask nothing. `reason` is shown to people. After `expires` (None: never) the rule holds nothing."""

    uuid: str
    scope: str = "appliance"
    scope_key: str = ""
    direction: str = "both"
    sender: str = ""
    recipient: str = ""
    user: str = ""
    size_over: int | None = None
    score_over: float | None = None
    reason: str = ""
    enabled: bool = True
    created: float = 0.0
    expires: float | None = None

    def is_live(self, now: float) -> bool:
        """It counts."""
        return self.enabled and (self.expires is None or now < self.expires)


class Parcel(NamedTuple):
    """A message as rules see it. `user` and `account_id` are of who sends it, '' and 0 for a stranger; `senders` the addresses it comes from."""

    direction: str
    senders: tuple[str, ...]
    size: int
    score: float
    user: str = ""
    account_id: int = 0


class Addressee(NamedTuple):
    """One recipient: as named at RCPT and where its mail goes (`addresses`), the domains that stand for it, and whose they are (0: not ours)."""

    addresses: tuple[str, ...]
    domains: tuple[str, ...]
    account_id: int = 0


def asks_for(rule: HoldRule, parcel: Parcel) -> bool:
    """What the rule asks of the message itself is met; the recipients are another question."""
    if rule.direction not in ("both", parcel.direction):
        return False
    if rule.user and rule.user != parcel.user:
        return False
    if rule.size_over is not None and parcel.size <= rule.size_over:
        return False
    if rule.score_over is not None and parcel.score <= rule.score_over:
        return False
    if rule.sender and not _names(rule.sender, parcel.senders):
        return False
    if rule.scope == "user":
        return parcel.user == rule.scope_key
    if parcel.direction == "outbound":
        if rule.scope == "account":
            return str(parcel.account_id) == rule.scope_key
        if rule.scope == "domain":
            return any(sender.rpartition("@")[2] == rule.scope_key for sender in parcel.senders)
    return True


def holds(rule: HoldRule, parcel: Parcel, addressee: Addressee) -> bool:
    """For a rule that `asks_for` the message: this recipient's copy is to be held."""
    if rule.recipient and not _names(rule.recipient, addressee.addresses):
        return False
    if parcel.direction == "inbound":
        if rule.scope == "account":
            return str(addressee.account_id) == rule.scope_key
        if rule.scope == "domain":
            return rule.scope_key in addressee.domains
    return True


def _names(wanted: str, addresses: Iterable[str]) -> bool:
    if "@" in wanted:
        return wanted in addresses
    if wanted.startswith("*."):
        return any(address.rpartition("@")[2].endswith(wanted[1:]) for address in addresses)
    return any(address.rpartition("@")[2] == wanted for address in addresses)
