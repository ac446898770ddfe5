"""The directory as the receiving side reads it: from memory while nothing has changed, and never a moment longer.

Questions first read the directory's version, one row that triggers count up; only if it moved is what was remembered forgotten. So no cache outlives
a change, and what was changed on the command line counts before the command line is back: the asking is a read transaction of some 7 us with system
calls, so the questions of 5 milliseconds, all the commands of one turn of a busy loop, share one. (`PRAGMA data_version` costs as much, and under
load, when mail is committed all the time, would always say that the version is to be read as well.)

A cached answer takes a microsecond. Memory is bounded: what was asked longest ago goes first.
Raises StoreError when the store cannot be read. Decision: design 4, 14.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address
from jetmail.mail.holdrule import HoldRule
from jetmail.store.database import Connection
from jetmail.store.directory import (
    accounts,
    aliases,
    api_tokens,
    blocked_senders,
    claims,
    dkim_keys,
    domains,
    hold_rules,
    people,
    principals,
    rules,
    sender_addresses,
    served_policies,
    settings,
    smtp_users,
    sources,
)
from jetmail.store.directory.accounts import Account
from jetmail.store.directory.aliases import Expansion, Found
from jetmail.store.directory.api_tokens import ApiToken
from jetmail.store.directory.blocked_senders import BlockedSender
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.directory.domains import Destination
from jetmail.store.directory.people import Person
from jetmail.store.directory.rules import StoredRule
from jetmail.store.directory.served_policies import ServedPolicy
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.store.directory.sources import SourceBook
from jetmail.store.directory.versions import directory_version

MAX_REMEMBERED = 20_000  # answers; some 10 MB at worst
FRESH_SECONDS = 0.005  # less than any process needs to end after its commit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """What is configured for mail to `name`. For an alias domain everything is that of `real`, the domain it stands for. `takes_any`: recipients need
    not be listed; `verify`: who is not is asked about by 'callout' or 'ldap'. Scores None: the appliance's own. `rules` are the enabled ones of the
    domain, in the order they are asked."""

    name: str
    real: str
    account_id: int
    kind: str
    is_verified: bool
    inbound: bool
    takes_any: bool
    verify: str
    reject_score: float | None
    spam_score: float | None
    defer_score: float | None
    spam_action: str
    keep_spam: bool
    dmarc: str
    destinations: tuple[Destination, ...]
    rules: tuple[StoredRule, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is to become of mail for one recipient. `found` says how the look-up ended; `policy` is the recipient's domain's (None: not ours), and
    `targets` where the mail really goes (their domains are the queue's lanes). `via_alias`: an alias took part. `assumed`: nothing here says
    that the address exists."""

    found: Found
    policy: DomainPolicy | None
    targets: tuple[Address, ...] = ()
    via_alias: bool = False
    assumed: bool = False


class Directory:
    """Reads the directory through `db.read`. One per process; used on the reactor thread only. `now` gives seconds; without it every question
    asks."""

    def __init__(self, db: IDatabase, now: Callable[[], float] | None = None) -> None:
        self._db = db
        self._now = now
        self._asked = float("-inf")  # when that was, for as long as it counts
        self._version = -1
        self._remembered: dict[tuple[str, Any], Any] = {}

    @property
    def version(self) -> int:
        """Grows with every change: what a caller derives from an answer holds while this is the same."""
        self._refresh()
        return self._version

    def policy_for(self, domain: str) -> DomainPolicy | None:
        """The policy of a domain of ours (spelled as parse_domain does), None for any other."""
        return self._recall("policy", domain, _policy)

    def resolve(self, address: Address) -> Resolution:
        """Where mail for the address goes, aliases and alias domains followed."""
        policy: DomainPolicy | None = self._recall("policy", address.domain, _policy)
        if policy is None:
            return Resolution(Found.UNKNOWN_DOMAIN, None)
        expansion: Expansion = self._recall("expand", address, aliases.expand)
        return Resolution(expansion.found, policy, expansion.targets, expansion.via_alias, expansion.assumed)

    def rules(self, scope: str, scope_key: str = "") -> tuple[StoredRule, ...]:
        """The enabled rules of one scope in the order they are asked."""
        return self._recall("rules", (scope, scope_key), _rules)

    def setting(self, key: str, default: Any = None) -> Any:
        """A setting, or `default` where it was never set."""
        value = self._recall("setting", key, _setting)
        return default if value is None else value

    def smtp_user(self, uuid: str) -> SmtpUser | None:
        """The SMTP user of that uuid."""
        return self._recall("smtp user", uuid, smtp_users.get)

    def smtp_user_named(self, username: str) -> SmtpUser | None:
        """The SMTP user of that name, in any case. Names nobody has are asked for by strangers and not remembered."""
        return self._known("smtp user named", username.lower(), smtp_users.named)

    def person(self, uuid: str) -> Person | None:
        """The person of that uuid."""
        return self._recall("person", uuid, people.get)

    def person_at(self, address: str) -> Person | None:
        """The person of that address (an Address.key); like names, those nobody has are not remembered."""
        return self._known("person at", address, people.at)

    def principal(self, uuid: str) -> principals.Named | None:
        """The SMTP user or person of that uuid."""
        return self._recall("principal", uuid, principals.get)

    def account_of(self, uuid: str) -> int:
        """The account of the SMTP user or person who has or had that uuid; 0 for nobody's."""
        return self._recall("account of", uuid, principals.account_of)

    def api_token(self, secret: bytes) -> ApiToken | None:
        """The API token whose SHA-256 this is. Those nobody has are asked for by strangers and not remembered."""
        self._refresh()
        found: ApiToken | None = self._remembered.get(("api token", secret))
        if found is None:
            found = self._db.read(api_tokens.by_secret, secret)
            if found is not None:
                self._remembered["api token", secret] = found
        return found

    def account(self, account_id: int) -> Account | None:
        """The account of that id."""
        return self._recall("account", account_id, accounts.get)

    def outbound_account(self, domain: str) -> int:
        """The account that may send from the domain; 0 where there is none."""
        return self._recall("outbound", domain, smtp_users.outbound_domain)

    def dkim_keys(self, domain: str) -> tuple[DkimKey, ...]:
        """The keys that sign for the domain."""
        return self._recall("dkim", domain, dkim_keys.active)

    def has_return_path(self, domain: str) -> bool:
        """Whether the domain's name for return paths leads to us."""
        return self._recall("return path", domain, claims.has_return_path)

    def served_policy(self, domain: str) -> ServedPolicy | None:
        """The MTA-STS policy a domain of ours publishes. Names that publish none are asked for by strangers and not remembered."""
        return self._known("served policy", domain, served_policies.get)

    def blocked(self, user: str) -> dict[str, BlockedSender]:
        """What of the SMTP user or person is blocked, by sender; '' is all of it."""
        return self._recall("blocked", user, blocked_senders.now_blocked)

    def may_send_as(self, address: str, person: str) -> bool:
        """Whether the address (an Address.key) was granted to the person."""
        return self._recall("sender", (address, person), _granted)

    def sources(self) -> SourceBook | None:
        """Who leaves from an address of their own; None when nobody does."""
        return self._recall("sources", None, sources.book)

    def hold_rules(self) -> tuple[HoldRule, ...]:
        """The hold rules that are switched on, expired ones too."""
        return self._recall("hold rules", None, hold_rules.enabled)

    def _refresh(self) -> None:
        now = self._now() if self._now is not None else 0.0
        if 0.0 <= now - self._asked < FRESH_SECONDS:
            return
        version = self._db.read(directory_version)
        if version != self._version:
            self._remembered.clear()
            self._version = version
        if self._now is not None:
            self._asked = now

    def _known(self, kind: str, key: str, fetch: Callable[[Connection, str], T | None]) -> T | None:
        """Remembers only what there is."""
        self._refresh()
        found: T | None = self._remembered.get((kind, key))
        if found is None:
            found = self._db.read(fetch, key)
            if found is not None:
                self._remembered[kind, key] = found
        return found

    def _recall(self, kind: str, key: Any, fetch: Callable[[Connection, Any], T]) -> T:
        self._refresh()
        remembered = self._remembered
        try:
            found: T = remembered[kind, key]
        except KeyError:
            found = self._db.read(fetch, key)
            if len(remembered) >= MAX_REMEMBERED:
                for old in list(remembered)[: MAX_REMEMBERED // 4]:  # a dict remembers the order of arrival
                    del remembered[old]
            remembered[kind, key] = found
        return found


def _policy(conn: Connection, name: str) -> DomainPolicy | None:
    asked = domains.get(conn, name)
    if asked is None:
        return None
    real = asked
    if asked.kind == "alias":
        pointed = domains.get(conn, asked.alias_of or "")
        if pointed is None or pointed.kind == "alias":
            return None
        real = pointed
    return DomainPolicy(
        name=name,
        real=real.name,
        account_id=real.account_id,
        kind=asked.kind,
        is_verified=asked.verified_at is not None and real.verified_at is not None,
        inbound=asked.inbound and real.inbound,
        takes_any=real.recipients == "any",
        verify=real.recipients if real.recipients in ("callout", "ldap") else "",
        reject_score=real.reject_score,
        spam_score=real.spam_score,
        defer_score=real.defer_score,
        spam_action=real.spam_action,
        keep_spam=real.keep_spam,
        dmarc=real.dmarc,
        destinations=real.destinations,
        rules=rules.listing(conn, "domain", real.name, enabled_only=True),
    )


def _rules(conn: Connection, key: tuple[str, str]) -> tuple[StoredRule, ...]:
    return rules.listing(conn, *key, enabled_only=True)


def _granted(conn: Connection, key: tuple[str, str]) -> bool:
    return sender_addresses.granted(conn, *key)


def _setting(conn: Connection, key: str) -> Any:
    return settings.get(conn, key)
