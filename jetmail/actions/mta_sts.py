"""The MTA-STS policies our own domains publish (RFC 8461): chosen, shown, withdrawn. Served by web.policies, looked at by actions.domain_checks.

What is not given stays as it was, or as a domain begins: mode testing, our own name as the only host, a week. Another policy has another id, so its
record changes with it. To withdraw one, set mode none, wait for the longest max_age there was, then remove it: senders that know a policy hold on to
it otherwise.

Each change and its audit entry are one transaction. Who may: access.DOMAIN; seeing is access.SEE.
Raises UsageError, NotFoundError (no such domain, or not yours; it has no policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from twisted.internet.defer import Deferred

from jetmail.actions import access, domains, publishing
from jetmail.actions.access import Actor
from jetmail.actions.publishing import PublishOptions
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.mailauth.mtasts import MAX_AGE, Mode
from jetmail.store.database import Connection
from jetmail.store.directory import served_policies
from jetmail.store.directory.served_policies import ServedPolicy

WEEK = 604_800
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Shown:
    """A domain's policy: as it was chosen, the file, where it is served, and the records to publish as lines of a zone file."""

    domain: str
    mode: str
    hosts: tuple[str, ...]
    max_age: int
    changed: float
    url: str
    file: str
    records: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def choose(
    db: IDatabase, actor: Actor, options: PublishOptions, name: str, *, now: float, mode: str | None = None, hosts: Sequence[str] | None = None,
    max_age: int | None = None,
) -> Deferred[Shown]:  # fmt: skip
    """Publish a policy, or change what is given of it. `hosts` () is our own name."""
    return db.run(_choose, actor, options, name, now, mode, tuple(hosts) if hosts is not None else None, max_age)


def show(db: IDatabase, actor: Actor, options: PublishOptions, name: str) -> Deferred[Shown]:
    """The policy of one domain."""
    return db.search(_show, actor, options, name)


def listing(db: IDatabase, actor: Actor, options: PublishOptions) -> Deferred[tuple[Shown, ...]]:
    """Those of all domains the actor may see."""
    return db.search(_listing, actor, options)


def remove(db: IDatabase, actor: Actor, options: PublishOptions, name: str, *, now: float) -> Deferred[Shown]:
    """Serve none. -> what it was."""
    return db.run(_remove, actor, options, name, now)


def _choose(
    conn: Connection, actor: Actor, options: PublishOptions, name: str, now: float, mode: str | None, hosts: tuple[str, ...] | None,
    max_age: int | None,
) -> Shown:  # fmt: skip
    domain = domains.found(conn, actor, access.DOMAIN, name).name
    before = served_policies.get(conn, domain)
    after = before or ServedPolicy(domain, str(Mode.TESTING), (), WEEK, now)
    given = {"mode": mode, "hosts": hosts, "max_age": max_age}
    after = replace(after, changed=now, **{field: value for field, value in given.items() if value is not None})  # type: ignore[arg-type]
    if after.mode not in tuple(Mode):
        raise UsageError("mode", f"'{after.mode}' is none of {', '.join(Mode)}")
    if not 0 <= after.max_age <= MAX_AGE:
        raise UsageError("max_age", f"must be 0 to {MAX_AGE} seconds")
    after = replace(after, hosts=tuple(host.strip().lower().removesuffix(".") for host in after.hosts))
    publishing.served(options.hostname, after)  # which says what is wrong with its hosts
    served_policies.save(conn, after)
    access.record(conn, actor, now, "domain.mta-sts", f"domain {domain}", {"from": _told(before), "to": _told(after)})
    return _shown(options, after)


def _show(conn: Connection, actor: Actor, options: PublishOptions, name: str) -> Shown:
    return _shown(options, _found(conn, actor, access.SEE, name))


def _listing(conn: Connection, actor: Actor, options: PublishOptions) -> tuple[Shown, ...]:
    seen = access.reach(conn, actor)
    return tuple(_shown(options, policy) for policy in served_policies.listing(conn) if seen.everything or policy.domain in seen.domains)


def _remove(conn: Connection, actor: Actor, options: PublishOptions, name: str, now: float) -> Shown:
    policy = _found(conn, actor, access.DOMAIN, name)
    served_policies.remove(conn, policy.domain)
    access.record(conn, actor, now, "domain.mta-sts", f"domain {policy.domain}", {"from": _told(policy), "to": None})
    return _shown(options, policy)


def _found(conn: Connection, actor: Actor, verb: str, name: str) -> ServedPolicy:
    domain = domains.found(conn, actor, verb, name).name
    policy = served_policies.get(conn, domain)
    if policy is None:
        raise NotFoundError(f"{domain} has no MTA-STS policy")
    return policy


def _shown(options: PublishOptions, policy: ServedPolicy) -> Shown:
    made = publishing.served(options.hostname, policy)
    records = tuple(record.line for record in publishing.transport_security(options, policy.domain, policy))
    warnings = []
    if policy.mode == Mode.ENFORCE and policy.max_age < DAY:
        warnings.append("max_age: less than a day protects nobody who does not write every day; a week or more is usual")
    hosts = policy.hosts or (options.hostname,)
    return Shown(policy.domain, policy.mode, hosts, policy.max_age, policy.changed, made.url, made.file, records, tuple(warnings))


def _told(policy: ServedPolicy | None) -> dict[str, object] | None:
    return None if policy is None else {field: value for field, value in asdict(policy).items() if field not in ("domain", "changed")}
