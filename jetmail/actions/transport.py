"""TLS towards other domains, and the records about our own: what is known, counted, and to be published (RFC 8460, RFC 8461).

Policies and counts are the appliance's and nobody else's: for an actor without it, there are none. `published` is pure.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Reach
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse, parse_domain
from jetmail.mailauth import mtasts
from jetmail.mailauth.mtasts import PolicyError
from jetmail.store.traffic import transport
from jetmail.store.traffic.transport import PolicyRow, ResultRow

MAX_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Published:
    """What a domain of ours publishes. `file`: to be served at `url`, over HTTPS with a certificate for its host. `records`: (name, type, value)."""

    url: str
    file: str
    records: tuple[tuple[str, str, str], ...]


def policies(db: IDatabase, actor: Actor) -> Deferred[list[PolicyRow]]:
    """MTA-STS policies of other domains in force, the newest last."""

    async def work() -> list[PolicyRow]:
        seen: Reach = db.read(access.reach, actor)
        found: list[PolicyRow] = await db.search(transport.policies, MAX_ROWS) if seen.everything else []
        return found

    return Deferred.fromCoroutine(work())


def sessions(db: IDatabase, actor: Actor, domain: str = "") -> Deferred[list[ResultRow]]:
    """Sessions counted and not yet reported, of one domain or of all."""

    async def work() -> list[ResultRow]:
        seen: Reach = db.read(access.reach, actor)
        found: list[ResultRow] = await db.search(transport.counted, domain.lower(), MAX_ROWS) if seen.everything else []
        return found

    return Deferred.fromCoroutine(work())


def published(domain: str, mode: str, hosts: list[str], max_age: int, report_to: str = "") -> Published:
    """The policy file and the records of `domain`. Raises UsageError."""
    try:
        domain = parse_domain(domain)
    except AddressError as error:
        raise UsageError("DOMAIN", str(error)) from error
    text = "".join(f"{line}\r\n" for line in ("version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), f"max_age: {max_age}"))
    try:
        policy = mtasts.parse(text.encode("utf-8", "replace"))
    except PolicyError as error:
        raise UsageError("--mx", str(error)) from error
    text = "".join(f"{line}\r\n" for line in policy.lines())
    # Another policy has another id, the same one has the same: nobody need count.
    identity = hashlib.sha256(text.encode()).hexdigest()[:20]
    records = [(f"_mta-sts.{domain}", "TXT", f"v=STSv1; id={identity}")]
    if report_to:
        try:
            address = str(parse(report_to))
        except AddressError as error:
            raise UsageError("--report-to", str(error)) from error
        if re.search(r"[^!-~]|[;,%?]", address):
            raise UsageError("--report-to", f"{address!r} cannot stand in the record")
        records.append((f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua=mailto:{address}"))
    return Published(f"https://mta-sts.{domain}/.well-known/mta-sts.txt", text, tuple(records))
