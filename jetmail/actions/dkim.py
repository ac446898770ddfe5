"""The keys mail is signed with, and their rotation without a gap.

A key's life: it is made as 'next' and published; once DNS shows it (for `settle` seconds without a break, when an older key signs meanwhile: so
long may a resolver remember that there was none) it becomes 'active' and signs; the one before becomes 'retired', stays published for `keep` seconds,
which is longer than anything it signed can be in the queue, and is removed. Two selectors for each kind of key take turns, so that CNAMEs published
once
are enough. A next key that does not appear in DNS waits for ever, and the old one goes on signing. RSA and Ed25519 turn independently.

`decide` is the whole of it, pure. `advance` does it for one domain: asks DNS, makes keys (off the reactor), writes files before rows and removes them
after. What somebody else changed meanwhile is left for the next time. The records of our own zone are written to state/dkim/zone.

Raises NotFoundError (no such domain, or not yours), ConflictError (nothing can be rotated now, and why), StoreError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from twisted.internet.defer import CancelledError, Deferred

from jetmail.actions import access, ownership, publishing
from jetmail.actions.access import Actor, Object
from jetmail.actions.publishing import SLOTS, PublishOptions
from jetmail.errors import ConflictError
from jetmail.interfaces import AnswerKind, IDatabase, IExecutor, IResolver
from jetmail.mail.address import parse_domain
from jetmail.mailauth import signing
from jetmail.mailauth.canonical import no_white, tags
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.store.database import Connection
from jetmail.store.directory import dkim_keys, domains
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.keyfiles import KeyFiles


@dataclass(frozen=True, slots=True)
class Workshop:
    """What keys are made and kept with."""

    db: IDatabase
    resolver: IResolver
    executor: IExecutor
    files: KeyFiles
    options: PublishOptions
    suffixes: PublicSuffixes
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Plan:
    """`save` rows as they are to be, `remove` rows, `create` (algorithm, selector) of keys to make. `events` in words, for the audit."""

    save: tuple[DkimKey, ...] = ()
    remove: tuple[DkimKey, ...] = ()
    create: tuple[tuple[str, str], ...] = ()
    events: tuple[str, ...] = ()


def decide(keys: Iterable[DkimKey], seen: Mapping[int, bool | None], now: float, options: PublishOptions, *, hurry: bool = False) -> Plan:
    """What is to be done now. `seen` of each next key: in DNS, not, or None for no answer. `hurry`: make the next keys at any age."""
    save: list[DkimKey] = []
    remove: list[DkimKey] = []
    create: list[tuple[str, str]] = []
    events: list[str] = []
    known = tuple(keys)
    for algorithm in publishing.ALGORITHMS:
        mine = [key for key in known if key.algorithm == algorithm]
        active = next((key for key in mine if key.state == "active"), None)
        coming = next((key for key in mine if key.state == "next"), None)
        old = next((key for key in mine if key.state == "retired"), None)
        if coming is not None:
            is_seen = seen.get(coming.id)
            if is_seen is False and coming.seen is not None:
                save.append(replace(coming, seen=None))
            elif is_seen:
                since = coming.seen if coming.seen is not None else now
                if active is None or now - since >= options.settle:
                    save.append(replace(coming, state="active", seen=since, activated=now))
                    events.append(f"{coming.selector} signs")
                    if active is not None:
                        save.insert(len(save) - 1, replace(active, state="retired", retired=now))  # first: only one may be active
                        events.append(f"{active.selector} is retired")
                elif coming.seen is None:
                    save.append(replace(coming, seen=since))
        if old is not None and now - (old.retired or now) >= options.keep:
            remove.append(old)
            events.append(f"{old.selector} is removed")
        if algorithm not in options.algorithms or coming is not None:
            continue
        age = now - (active.activated or now) if active is not None else 0.0
        is_due = active is not None and (hurry or 0 < options.rotate <= age) and (old is None or old in remove)
        if is_due or (active is None and old is None):
            taken = {key.selector for key in mine if key not in remove}
            free = next((selector for slot in SLOTS if (selector := options.selector_of(algorithm, slot)) not in taken), None)
            if free is not None:
                create.append((algorithm, free))
                events.append(f"{free} is made")
    return Plan(tuple(save), tuple(remove), tuple(create), tuple(events))


def listing(db: IDatabase, actor: Actor, domain: str = "") -> Deferred[tuple[DkimKey, ...]]:
    """The keys of the domains the actor may see, or of one."""
    return db.search(_listing, actor, domain)


def advance(shop: Workshop, actor: Actor, domain: str, *, hurry: bool = False) -> Deferred[tuple[str, ...]]:
    """Take a domain's keys as far as DNS allows. -> what was done, in words."""
    return Deferred.fromCoroutine(_advance(shop, actor, domain, hurry))


def rotate(shop: Workshop, actor: Actor, domain: str) -> Deferred[tuple[str, ...]]:
    """Begin a rotation now. Raises ConflictError when the last one is not over."""
    return Deferred.fromCoroutine(_rotate(shop, actor, domain))


async def step_all(shop: Workshop, actor: Actor, problem: Callable[[str, Exception], None]) -> int:
    """One look at every domain that has keys; one that fails is told and does not keep the others. -> how many were changed."""
    changed = 0
    names: tuple[str, ...] = await shop.db.search(dkim_keys.domains)
    for name in names:
        try:
            changed += bool(await _advance(shop, actor, name, False))
        except CancelledError:
            raise
        except Exception as error:
            problem(name, error)
    await write_zone(shop)
    await _sweep(shop)
    return changed


async def write_zone(shop: Workshop) -> bool:
    """Bring the file with our own records up to date. -> whether it changed."""
    keys: tuple[DkimKey, ...] = await shop.db.search(dkim_keys.listing)
    if not keys and not shop.options.delegated:
        return False
    changed: bool = await shop.executor.run(shop.files.put_zone, publishing.zone(shop.options, keys))
    return changed


async def in_dns(resolver: IResolver, key: DkimKey) -> bool | None:
    """Whether the key's record is what DNS shows, wherever CNAMEs lead; None when DNS cannot tell."""
    answer = await resolver.query(f"{key.selector}._domainkey.{key.domain}", "TXT")
    if answer.is_temporary:
        return None
    return answer.kind is AnswerKind.FOUND and len(answer.records) == 1 and public_half(answer.records[0]) == public_half(key.record.encode("ascii"))


def public_half(txt: bytes) -> bytes:
    """p= without white space, b'' when there is none."""
    return no_white((tags(txt) or {}).get("p", b""))


async def _rotate(shop: Workshop, actor: Actor, domain: str) -> tuple[str, ...]:
    keys: tuple[DkimKey, ...] = await shop.db.search(_of_domain, actor, domain)
    done = await _advance(shop, actor, domain, True)
    if not done:
        raise ConflictError(_waits(keys, shop.options, shop.now()) or f"nothing of domain {domain} can be rotated now")
    return done


async def _advance(shop: Workshop, actor: Actor, domain: str, hurry: bool) -> tuple[str, ...]:
    keys: tuple[DkimKey, ...] = await shop.db.search(_of_domain, actor, domain)
    seen = {key.id: await in_dns(shop.resolver, key) for key in keys if key.state == "next"}
    plan = decide(keys, seen, shop.now(), shop.options, hurry=hurry)
    if plan == Plan():
        return ()
    name = parse_domain(domain.strip().removesuffix("."))
    made: list[DkimKey] = []
    for algorithm, selector in plan.create:
        pem = await shop.executor.run(signing.generate, algorithm)
        signer = signing.load(pem, name, selector, is_ours=True)
        key = DkimKey(name, selector, algorithm, "next", signer.record(), signer.fingerprint, shop.now())
        await shop.executor.run(shop.files.write, name, key.fingerprint, pem)
        made.append(key)
    is_done: bool = await shop.db.run(_apply, actor, shop.now(), name, keys, plan, tuple(made))
    for key in plan.remove if is_done else made:
        await shop.executor.run(shop.files.remove, name, key.fingerprint)
    if not is_done:
        return ()
    await write_zone(shop)
    return plan.events


async def _sweep(shop: Workshop) -> None:
    keys: tuple[DkimKey, ...] = await shop.db.search(dkim_keys.listing)
    known = [(key.domain, key.fingerprint) for key in keys]
    for domain, fingerprint in await shop.executor.run(lambda: list(shop.files.orphans(known, shop.now()))):
        await shop.executor.run(shop.files.remove, domain, fingerprint)


def _apply(
    conn: Connection, actor: Actor, now: float, domain: str, before: tuple[DkimKey, ...], plan: Plan, made: tuple[DkimKey, ...]
) -> bool:
    """-> False, with nothing changed, when the keys are not what the plan was made for."""
    if dkim_keys.of_domain(conn, domain) != before or domains.get(conn, domain) is None:
        return False
    for key in plan.save:
        dkim_keys.save(conn, key)
    for key in plan.remove:
        dkim_keys.remove(conn, key.id)
    for key in made:
        dkim_keys.add(conn, key)
    if plan.events:
        access.record(conn, actor, now, "dkim.rotate", f"domain {domain}", {"done": list(plan.events)})
    return True


def _of_domain(conn: Connection, actor: Actor, domain: str) -> tuple[DkimKey, ...]:
    claim = ownership.found(conn, actor, domain)
    held = domains.get(conn, claim.name)
    if held is None or held.verified_at is None or held.account_id != claim.account_id:
        raise ConflictError(f"domain {claim.name} is not verified; keys are made when it is")
    return dkim_keys.of_domain(conn, claim.name)


def _listing(conn: Connection, actor: Actor, domain: str) -> tuple[DkimKey, ...]:
    if domain:
        return dkim_keys.of_domain(conn, ownership.found(conn, actor, domain).name)
    found: list[DkimKey] = []
    visible: dict[str, bool] = {}
    for key in dkim_keys.listing(conn):
        if key.domain not in visible:
            held = domains.get(conn, key.domain)
            visible[key.domain] = held is not None and access.may(actor, access.SEE, Object(held.account_id, held.name))
        if visible[key.domain]:
            found.append(key)
    return tuple(found)


def _waits(keys: Iterable[DkimKey], options: PublishOptions, now: float) -> str:
    """Why a rotation cannot begin."""
    told = []
    for key in keys:
        if key.state == "next":
            told.append(f"{key.selector} waits to be {'longer ' if key.seen else ''}seen in DNS")
        elif key.state == "retired":
            days = max(0.0, (key.retired or now) + options.keep - now) / 86_400
            told.append(f"{key.selector} stays published for another {days:.1f} days")
    return "; ".join(told)
