"""Who asks, and what they may do: the one place that decides (spec 10.1).

A person is a set of grants, each a role and its scope. Every use case names the verb and the object; `may` answers by the table below. What is
out of scope answers as if it did not exist (NotFoundError), so that nobody can learn by asking what others have.
"""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.errors import NotFoundError
from jetmail.mail.address import AddressError, parse
from jetmail.store.database import Connection
from jetmail.store.directory import audit, domains, principals

SEE = "see"  # log rows, messages, the state of the queue
QUARANTINE = "quarantine"  # release, delete, preview what is held back
KEPT = "kept"  # the same for refused spam a domain keeps a copy of
QUEUE = "queue"  # retry, hold, bounce, delete
RULES = "rules"  # allow and block rules
PEOPLE = "people"  # known recipients and aliases
SENDING = "sending"  # SMTP users, people, sender addresses, blocked senders
DOMAIN = "domain"  # a domain's settings and destinations; adding and removing one
APPLIANCE = "appliance"  # what concerns everybody

_MAY: dict[str, frozenset[str]] = {
    "admin": frozenset({SEE, QUARANTINE, KEPT, QUEUE, RULES, PEOPLE, SENDING, DOMAIN, APPLIANCE}),
    "account": frozenset({SEE, QUARANTINE, KEPT, QUEUE, RULES, PEOPLE, SENDING, DOMAIN}),
    "owner": frozenset({SEE, QUARANTINE, KEPT, QUEUE, RULES, PEOPLE}),
    "user": frozenset({SEE, QUARANTINE, RULES}),
    "sender": frozenset({SEE}),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """`role` admin, account, owner, user or sender; `scope` is '', an account's id as text, a domain, an address (`Address.key`), or the uuid of who
    sends."""

    role: str
    scope: str = ""

    def __post_init__(self) -> None:
        if self.role not in _MAY:
            raise ValueError(f"no such role: {self.role}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks. `kind` is the door they came by (cli, portal, api, system), `name` who they are in the audit."""

    kind: str
    name: str
    grants: tuple[Grant, ...] = ()

    @classmethod
    def sysadmin(cls, name: str, kind: str = "cli") -> Actor:
        """Someone who may do everything."""
        return cls(kind, name, (Grant("admin"),))

    @property
    def is_admin(self) -> bool:
        """Holds the appliance."""
        return any(grant.role == "admin" for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Object:
    """What is asked about, by the names grants know: its account, its domain, its address. The appliance itself has none of them."""

    account_id: int = 0
    domain: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an actor sees: everything, or mail to these domains and these addresses, and what these SMTP users and people (uuids) have sent."""

    everything: bool = False
    domains: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def covers(self, domain: str, address: str) -> bool:
        """Whether mail to `address` (any case, any tag) at `domain` is within it."""
        return self.everything or domain in self.domains or person_of(address) in self.addresses


def may(actor: Actor, verb: str, obj: Object) -> bool:
    """Whether the actor may do that to that."""
    return any(verb in _MAY[grant.role] and _is_in_scope(grant, obj) for grant in actor.grants)


def require(actor: Actor, verb: str, obj: Object, what: str) -> None:
    """Raise NotFoundError ('no such domain: example.com') unless the actor may."""
    if not may(actor, verb, obj):
        raise NotFoundError(f"no such {what}")


def person_of(address: str) -> str:
    """Whose mailbox an address is, as a key: case folded, without a tag."""
    try:
        return parse(address).untagged.key
    except AddressError:
        return address.casefold()


def reach(conn: Connection, actor: Actor, verb: str = SEE) -> Reach:
    """How far the actor may do `verb`. An alias domain belongs to whoever has the domain it stands for, an address at it to whoever has it there."""
    granted = [grant for grant in actor.grants if verb in _MAY[grant.role]]
    if any(grant.role == "admin" for grant in granted):
        return Reach(everything=True)
    names = {grant.scope for grant in granted if grant.role == "owner"}
    accounts = [int(grant.scope) for grant in granted if grant.role == "account"]
    if accounts:
        names.update(domain.name for domain in domains.listing(conn, account_ids=accounts))
    for name in tuple(names):
        names.update(domains.aliases_of(conn, name))
    addresses = {_key(grant.scope) for grant in granted if grant.role == "user"}
    for address in tuple(addresses):
        local, _, name = address.rpartition("@")
        addresses.update(f"{local}@{alias}" for alias in domains.aliases_of(conn, name))
    senders = frozenset(grant.scope for grant in granted if grant.role == "sender")
    return Reach(False, frozenset(names), frozenset(addresses), senders | (principals.uuids_of(conn, accounts) if accounts else frozenset()))


def record(conn: Connection, actor: Actor, now: float, action: str, obj: str, detail: dict[str, object] | None = None) -> None:
    """The audit entry of a change, to be written in the change's own transaction."""
    audit.record(conn, now, actor.name, actor.kind, action, obj, detail)


def _is_in_scope(grant: Grant, obj: Object) -> bool:
    if grant.role == "admin":
        return True
    if grant.role == "account":
        return obj.account_id > 0 and grant.scope == str(obj.account_id)
    if grant.role == "owner":
        return obj.domain != "" and grant.scope == obj.domain
    return grant.role == "user" and obj.address != "" and grant.scope.casefold() == _key(obj.address)


def _key(address: str) -> str:
    try:
        return parse(address).key
    except AddressError:
        return address.casefold()
