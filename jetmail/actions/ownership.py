"""Whose a domain is (spec 6.5, 7.29, 7.30): claimed by saying so, proved by a TXT record, owned by whoever proves it first.

Promises
- Each account has a challenge of its own for a domain; its record at `_mailportal-verify.<domain>` proves the domain for that account alone.
- Several accounts may claim a name nobody has proved. The first to prove it gets it: with what another account had set for it (recipients, aliases,
  rules, keys) gone, because none of that was ever in force. The others get ConflictError, the API's 409.
- What was proved stays proved when the record goes.

Raises NotFoundError (no such domain, or not yours), ConflictError (proved by another account).
"""

from __future__ import annotations

from dataclasses import replace

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.actions.publishing import CHALLENGE, CHALLENGE_LABEL
from jetmail.errors import ConflictError, NotFoundError
from jetmail.interfaces import Answer, AnswerKind
from jetmail.mail.address import AddressError, parse_domain
from jetmail.store.database import Connection
from jetmail.store.directory import claims, domains
from jetmail.store.directory.claims import Claim
from jetmail.store.directory.domains import Domain


def found(conn: Connection, actor: Actor, name: str, account_id: int = 0) -> Claim:
    """The actor's claim to a name: of that account when one is given, else the held one before the others."""
    try:
        name = parse_domain(name.strip().removesuffix("."))
    except AddressError:
        raise NotFoundError(f"no such domain: {name}") from None
    for claim in claims.of_name(conn, name):
        if account_id in (0, claim.account_id) and access.may(actor, access.DOMAIN, Object(claim.account_id, name)):
            return claim
    raise NotFoundError(f"no such domain: {name}")


def challenged(conn: Connection, actor: Actor, name: str, account_id: int, token: str) -> Claim:
    """The same with a challenge; `token` (32 hex digits) becomes it where there is none yet."""
    claim = found(conn, actor, name, account_id)
    if claim.challenge:
        return claim
    claims.set_challenge(conn, claim, token)
    return replace(claim, challenge=token)


def claim(conn: Connection, actor: Actor, now: float, domain: Domain, token: str) -> Claim:
    """One more account says that a domain is its own, which another has said and not proved. Raises ConflictError when it has."""
    held = domains.get(conn, domain.name)
    if held is None or held.account_id == domain.account_id or held.verified_at is not None:
        raise ConflictError(f"domain {domain.name} is here already")
    claims.add(conn, domain.name, domain.account_id, token, now)
    access.record(conn, actor, now, "domain.claim", f"domain {domain.name}", {"account_id": domain.account_id})
    return next(each for each in claims.of_name(conn, domain.name) if each.account_id == domain.account_id)


def is_proof(answer: Answer, challenge: str) -> bool:
    """Whether what stands at the name is this account's challenge."""
    wanted = (CHALLENGE + challenge).lower().encode("ascii")
    return bool(challenge) and answer.kind is AnswerKind.FOUND and any(txt.strip().lower() == wanted for txt in answer.records)


def name_of(domain: str) -> str:
    """Where the proof stands."""
    return f"{CHALLENGE_LABEL}.{domain}"


def refuse_late(conn: Connection, claim: Claim) -> None:
    """Raise ConflictError when another account has proved the name."""
    held = domains.get(conn, claim.name)
    if held is not None and held.verified_at is not None and held.account_id != claim.account_id:
        raise ConflictError(f"domain {claim.name} was proved by another account")


def prove(conn: Connection, actor: Actor, now: float, claim: Claim) -> bool:
    """The record was seen. -> whether that is news."""
    refuse_late(conn, claim)
    held = domains.get(conn, claim.name)
    if held is not None and held.account_id == claim.account_id:
        if held.verified_at is not None:
            return False
        domains.save(conn, replace(held, verified_at=now))
    else:
        if held is not None:
            for name in domains.aliases_of(conn, held.name):  # whose mail would go to somebody else now
                if (alias := domains.get(conn, name)) is not None:
                    domains.save(conn, replace(alias, inbound=False))
            domains.remove(conn, held.name)
            claims.add(conn, held.name, held.account_id, held.challenge, held.created)
        domains.add(conn, Domain(name=claim.name, account_id=claim.account_id, verified_at=now, challenge=claim.challenge, created=now))
        claims.remove(conn, claim.name, claim.account_id)
    access.record(conn, actor, now, "domain.verify", f"domain {claim.name}", {"account_id": claim.account_id, "by": CHALLENGE_LABEL})
    return True
