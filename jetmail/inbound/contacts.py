"""What earlier contact says about a recipient and who writes to them: greylisting's memory, and whom our own people have written to.

The first is in memory (inbound.greylist); the second is asked of the store, two indexed reads a recipient, and only once anybody of ours has written
to anybody. A store that cannot be read makes strangers of everybody, and is logged by whoever needs the store next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jetmail.errors import StoreError
from jetmail.inbound.greylist import UNKNOWN, Greylist
from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address
from jetmail.mail.envelope import Sender
from jetmail.mail.message import Message
from jetmail.rules.facts import Client, Correspondent, RecipientFacts
from jetmail.rules.settlement import Settlement
from jetmail.rules.verdict import Action
from jetmail.store.traffic import contacts

MAX_PEERS = 50  # of one message: who writes to more people at once does not know them for it


class Contacts:
    """One per process."""

    def __init__(self, db: IDatabase, greylist: Greylist | None = None) -> None:
        self._db = db
        self.greylist = greylist if greylist is not None else Greylist()
        self._any = False

    def load(self, now: float) -> None:
        """What the store remembers. Raises StoreError."""
        self.greylist.load(self._db.read(contacts.greylist, 100_000), now)
        self._any = self._db.read(contacts.has_correspondents)

    def wrote(self) -> None:
        """Somebody of ours has written to somebody, and it is in the store."""
        self._any = True

    def at_recipient(self, candidate: RecipientFacts, client: Client, sender: Sender, now: float) -> RecipientFacts:
        """The recipient with what is known by the envelope."""
        if client.user:
            return candidate
        standing = self.greylist.standing(client.address, str(sender), candidate.address, now) if len(self.greylist) else UNKNOWN
        known = self._correspondent(candidate, sender.address) if self._any else Correspondent.NONE
        if standing is UNKNOWN and known is Correspondent.NONE:
            return candidate
        return replace(
            candidate,
            first_seen=standing.first_seen,
            has_passed=standing.has_passed,
            network_passes=standing.network_passes,
            correspondent=known,
        )

    def at_content(self, recipients: tuple[RecipientFacts, ...], client: Client, message: Message) -> tuple[RecipientFacts, ...]:
        """The recipients with what is known by the header From: the person, where the envelope names a machine of theirs."""
        if not self._any or client.user:
            return recipients
        said = message.sender
        if not said.is_sound or len(said.mailboxes) != 1 or said.address is None:
            return recipients
        found = []
        for recipient in recipients:
            known = self._correspondent(recipient, said.address)
            found.append(recipient if known is recipient.correspondent or known is Correspondent.NONE else replace(recipient, correspondent=known))
        return tuple(found)

    def settled(self, settlement: Settlement, recipients: Iterable[RecipientFacts], client: Client, sender: Sender, now: float) -> None:
        """What became of a message: who was told to come back is remembered, who came back has passed."""
        for ruling, recipient in zip(settlement.rulings, recipients, strict=True):
            if ruling.reason == "greylist" and not settlement.accepted:
                self.greylist.deferred(client.address, str(sender), recipient.address, now)
            elif settlement.accepted and recipient.first_seen is not None and ruling.action < Action.DEFER:
                self.greylist.taken(client.address, str(sender), recipient.address, now)

    def _correspondent(self, recipient: RecipientFacts, peer: Address | None) -> Correspondent:
        if peer is None:
            return Correspondent.NONE
        try:
            if self._db.read(contacts.has_written, recipient.address.key, peer.key):
                return Correspondent.OF_RECIPIENT
            if len(recipient.targets) == 1 and recipient.targets[0] != recipient.address:
                if self._db.read(contacts.has_written, recipient.targets[0].key, peer.key):
                    return Correspondent.OF_RECIPIENT
            if self._db.read(contacts.has_written, recipient.address.domain, peer.key):
                return Correspondent.OF_DOMAIN
        except StoreError:
            pass
        return Correspondent.NONE
