"""Domain Lockdown explained: what a domain has published, whom it admits, and the record to publish.

What is in DNS is public, so anybody who acts here may ask about any domain; who a uuid or username belongs to is told only of users the actor sees.
Nothing is written. Raises UsageError naming the field; NotFoundError for a user that is not there, or not the actor's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IDatabase, IResolver
from jetmail.mail.address import AddressError, parse_domain
from jetmail.mailauth import lockdown
from jetmail.mailauth.lockdown import Standing
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.store.database import Connection
from jetmail.store.directory import principals
from jetmail.store.directory.principals import Named


@dataclass(frozen=True, slots=True)
class Admitted:
    """One `auth=` of a record: as written, and the user it means, '' when there is none the actor sees."""

    auth: str
    username: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Stated:
    """One record. `networks` None: from anywhere. `problems`: what its owner probably did not mean."""

    text: str
    admits: tuple[Admitted, ...]
    networks: tuple[str, ...] | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """What a domain has published. `owner`: where the records stand, '' when nowhere. `standing` in the case asked about (a user, an address), else
    'locked', 'open' or 'unknown'; `why` in words. `asked`: the names looked up."""

    domain: str
    standing: str
    why: str
    owner: str
    records: tuple[Stated, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToPublish:
    """A TXT record."""

    name: str
    ttl: int
    value: str


def explain(
    db: IDatabase, actor: Actor, resolver: IResolver, suffixes: PublicSuffixes, name: str, *, user: str = "", address: str = ""
) -> Deferred[Explained]:
    """What the domain says, and what it comes to for `user` (uuid, username or a person's address) from the IP `address`. Without an IP a user is
    judged by name alone."""
    return Deferred.fromCoroutine(_explain(db, actor, resolver, suffixes, name, user, address))


async def _explain(db: IDatabase, actor: Actor, resolver: IResolver, suffixes: PublicSuffixes, name: str, user: str, address: str) -> Explained:
    domain = domain_name(name)
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise UsageError("ip", f"{address!r} is no IP address") from None
    published = await lockdown.fetch(resolver, suffixes, domain)
    wanted = (*(auth for record in published.records for auth in record.users), user)
    known: dict[str, Named] = await db.search(_known, actor, wanted)
    names: tuple[str, ...] = ()
    if user:
        row = known.get(user.lower())
        names = (row.uuid, row.name) if row is not None else (user,)  # who is not here may stand in a record all the same
    records = tuple(
        Stated(
            record.text,
            tuple(Admitted(auth, row.name, row.uuid) if (row := known.get(auth)) is not None else Admitted(auth) for auth in record.users),
            None if record.networks is None else tuple(str(network) for network in record.networks),
            record.problems,
        )
        for record in published.records
    )
    judged = lockdown.judge(published, names, address)
    standing, why = judged.standing.value, judged.detail
    if published.records and not user:
        standing, why = "locked", f"{lockdown.LABEL}.{published.owner} says who may send"
    elif published.records and not address:
        named = any(record.names(each.lower() for each in names) and record.networks != () for record in published.records)
        standing = (Standing.ADMITTED if named else Standing.REFUSED).value
        why = f"{lockdown.LABEL}.{published.owner} {'names' if named else 'does not name'} this user"
    if judged.standing is Standing.OPEN:
        why = "no record: nobody is kept from sending by it"
    return Explained(domain, standing, why, published.owner, records, published.asked)


def record(db: IDatabase, actor: Actor, name: str, users: Iterable[str], *, networks: Iterable[str] = ()) -> Deferred[ToPublish]:
    """The record that admits these users (uuid, username or a person's address; printed as uuid, which does not change and tells nobody the name)
    from these networks."""
    return db.search(_record, actor, name, tuple(users), tuple(networks))


def _record(conn: Connection, actor: Actor, name: str, users: tuple[str, ...], networks: tuple[str, ...]) -> ToPublish:
    domain = domain_name(name)
    known = _known(conn, actor, users)
    uuids: dict[str, None] = {}
    for user in users:
        row = known.get(user.lower())
        if row is None:
            raise NotFoundError(f"no such SMTP user or person: {user}")
        uuids[row.uuid] = None
    try:
        text = lockdown.record(uuids, networks)
    except ValueError as error:
        raise UsageError("net", str(error)) from None
    return ToPublish(f"{lockdown.LABEL}.{domain}", lockdown.TTL, text)


def domain_name(text: str) -> str:
    """A domain as it was given -> A-labels. Raises UsageError."""
    try:
        domain = parse_domain(text.strip().removesuffix("."))
    except AddressError as error:
        raise UsageError("domain", f"'{text}': {error}") from None
    if domain.startswith("["):
        raise UsageError("domain", "must be a domain name, not an address")
    return domain


def _known(conn: Connection, actor: Actor, texts: Iterable[str]) -> dict[str, Named]:
    """Those of the uuids, names and addresses that are users or people the actor sees, by the text in lower case."""
    found: dict[str, Named] = {}
    for text in texts:
        known = principals.named(conn, text.lower()) or principals.get(conn, text.lower())
        if known is not None and access.may(actor, access.SEE, Object(account_id=known.account_id)):
            found[text.lower()] = known
    return found
