"""Sender addresses: who may send as an address besides their own (spec 6.10). Named is an SMTP user, by name or uuid, or a person, by
address.

Who may: `access.SENDING` on the account that has the address's domain and on the account of whom it is granted to.

Raises UsageError, NotFoundError (no such user, person or domain, or not yours; nothing granted).
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred, maybeDeferred

from jetmail.actions import access, people, smtp_users
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address, AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import domains, principals, sender_addresses
from jetmail.store.directory.sender_addresses import SenderAddress

MAX_OF_PERSON = 1_000


@dataclass(frozen=True, slots=True)
class Granted:
    """One grant as people see it: `person` is a uuid, `name` the SMTP user's, or the person's address."""

    address: str
    person: str
    name: str


def add(db: IDatabase, actor: Actor, address: str, person: str, *, now: float) -> Deferred[Granted]:
    """Let the person send as the address."""
    return maybeDeferred(lambda: db.run(_change, actor, now, _address("address", address), person, True))


def remove(db: IDatabase, actor: Actor, address: str, person: str, *, now: float) -> Deferred[Granted]:
    """Take that back."""
    return maybeDeferred(lambda: db.run(_change, actor, now, _address("address", address), person, False))


def listing(db: IDatabase, actor: Actor) -> Deferred[tuple[Granted, ...]]:
    """The grants of addresses the actor may give, by address."""
    return db.search(_listing, actor)


def _change(conn: Connection, actor: Actor, now: float, address: Address, person: str, adds: bool) -> Granted:
    if not _may(conn, actor, address.domain):
        raise NotFoundError(f"no such domain: {address.domain}")
    key, name = _person(conn, actor, person)
    grant = SenderAddress(address.key, key)
    if adds:
        if len(sender_addresses.listing(conn, key)) >= MAX_OF_PERSON:
            raise ConflictError(f"a person may have {MAX_OF_PERSON} sender addresses")
        sender_addresses.add(conn, grant)
    elif not sender_addresses.remove(conn, grant):
        raise NotFoundError(f"{name} was not granted {address}")
    action = "sender-address.add" if adds else "sender-address.remove"
    access.record(conn, actor, now, action, f"address {address.key}", {"person": key, "name": name})
    return Granted(address.key, key, name)


def _listing(conn: Connection, actor: Actor) -> tuple[Granted, ...]:
    made = []
    may: dict[str, bool] = {}
    for grant in sender_addresses.listing(conn):
        domain = grant.address.rpartition("@")[2]
        if domain not in may:
            may[domain] = _may(conn, actor, domain)
        if may[domain]:
            user = principals.get(conn, grant.person)
            made.append(Granted(grant.address, grant.person, user.name if user is not None else grant.person))
    return tuple(made)


def _may(conn: Connection, actor: Actor, name: str) -> bool:
    """An administrator may grant any address, others those of domains they have."""
    if actor.is_admin:
        return True
    domain = domains.get(conn, name)
    return domain is not None and domain.verified_at is not None and access.may(actor, access.SENDING, Object(domain.account_id, domain.name))


def _person(conn: Connection, actor: Actor, text: str) -> tuple[str, str]:
    if "@" not in text:
        user = smtp_users.found(conn, actor, text)
        return user.uuid, user.username
    person = people.found(conn, actor, text)
    return person.uuid, person.address


def _address(field: str, text: str) -> Address:
    try:
        return parse(text.strip())
    except AddressError as error:
        raise UsageError(field, f"'{text}': {error}") from None
