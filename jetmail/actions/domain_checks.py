"""What a domain's owner has published, compared with what is wanted: each record with its status, what was found and what to publish.

`look` asks DNS and stores what it finds; `told` repeats what was last stored. `verify` proves ownership where it can, makes keys for a domain that
has none, and looks. A domain that was looked at once is looked at again by the job `domain-checks`, every hour, with those nobody has proved yet.

Statuses: `ok`; `missing` (nothing there); `wrong` (something else); `unknown` (DNS cannot tell now: nothing is concluded).
Raises NotFoundError (no such domain, or not yours), ConflictError (another account has proved it), UsageError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred

from jetmail.actions import access, dkim, ownership, policy_checks, publishing
from jetmail.actions.access import Actor, Object
from jetmail.actions.dkim import Workshop
from jetmail.actions.publishing import Wanted
from jetmail.errors import ConflictError, JetmailError, NotFoundError, UsageError
from jetmail.interfaces import Answer, AnswerKind, IDatabase, IResolver
from jetmail.mail.address import AddressError, parse_domain
from jetmail.mailauth import dmarc, spf_includes
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, claims, dkim_keys, domains, served_policies, settings
from jetmail.store.directory.claims import Checked, Claim
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.directory.domains import Domain
from jetmail.store.directory.served_policies import ServedPolicy

INCLUDE_SETTING = "spf-include:"  # and the account's id: its own name for SPF
STALE = 3_000.0
MAX_A_RUN = 2_000
MAX_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Record:
    """One record: what to publish, and what was found where."""

    subject: str
    status: str
    name: str
    kind: str
    value: str
    found: str
    note: str
    line: str
    optional: bool = False
    checked: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about one domain. `is_ready`: verified, and all that is not optional is there. `done`: what was changed just now, in words."""

    domain: str
    account_id: int
    verified_at: float | None
    is_ready: bool
    records: tuple[Record, ...]
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whitelabel:
    """An account's own name for SPF: `name` '' when it has none; then `value` is what is to be published there, and `status` what is."""

    account_id: int
    name: str
    value: str
    status: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    claim: Claim
    keys: tuple[DkimKey, ...]
    include: str
    checked: tuple[Checked, ...]
    verified_at: float | None
    policy: ServedPolicy | None


def told(shop: Workshop, actor: Actor, name: str, *, token: str, account_id: int = 0) -> Deferred[Report]:
    """What to publish, with what was last found. `token`: 32 hex digits for a domain that has no challenge yet."""
    return Deferred.fromCoroutine(_told(shop, actor, name, token, account_id))


def verify(shop: Workshop, actor: Actor, name: str, *, token: str, account_id: int = 0) -> Deferred[Report]:
    """Look now: prove the domain when its record is there, make its keys when it has none, and check everything else."""
    return Deferred.fromCoroutine(_verify(shop, actor, name, token, account_id))


async def look_again(shop: Workshop, actor: Actor, problem: Callable[[str, Exception], None]) -> int:
    """The hourly look at what is not proved yet and at what was looked at before. A domain that fails does not keep the others. -> how many."""
    done = 0
    open_claims: tuple[Claim, ...] = await shop.db.search(claims.unproved)
    for claim in open_claims[:MAX_A_RUN]:
        answer = await shop.resolver.query(ownership.name_of(claim.name), "TXT")
        if ownership.is_proof(answer, claim.challenge):
            done += await _tried(_verify(shop, actor, claim.name, claim.challenge, claim.account_id), claim.name, problem)
    names: tuple[str, ...] = await shop.db.search(claims.stale, shop.now() - STALE, MAX_A_RUN)
    for name in names:
        done += await _tried(_verify(shop, actor, name, "", 0), name, problem)
    return done


def set_include(db: IDatabase, actor: Actor, account_id: int, name: str, *, now: float) -> Deferred[Whitelabel]:
    """The account's customers include this name of its own instead of ours; '' for ours again."""
    return db.run(_set_include, actor, account_id, name, now)


def include(shop: Workshop, actor: Actor, account_id: int) -> Deferred[Whitelabel]:
    """The account's own name for SPF, and whether it leads to ours."""
    return Deferred.fromCoroutine(_include(shop, actor, account_id))


async def _told(shop: Workshop, actor: Actor, name: str, token: str, account_id: int) -> Report:
    known = await _known(shop, actor, name, token, account_id)
    last = {each.subject: each for each in known.checked}
    records = []
    for wanted in _wanted(shop, known):
        checked = last.get(_key(wanted)) or Checked("", "", "unknown", "not looked at yet", 0.0)
        records.append(_record(wanted, checked.status, checked.found, checked.checked or None))
    return _report(known, tuple(records))


async def _verify(shop: Workshop, actor: Actor, name: str, token: str, account_id: int) -> Report:
    known = await _known(shop, actor, name, token, account_id)
    claim, done = known.claim, []
    await shop.db.search(ownership.refuse_late, claim)
    if known.verified_at is None:
        proof = await shop.resolver.query(ownership.name_of(claim.name), "TXT")
        if ownership.is_proof(proof, claim.challenge) and await shop.db.run(ownership.prove, actor, shop.now(), claim):
            done.append("ownership is proved")
    known = await _known(shop, actor, name, token, claim.account_id)
    held: Domain | None = await shop.db.search(domains.get, claim.name)
    if known.verified_at is not None and held is not None and held.outbound:
        done += await dkim.advance(shop, actor, claim.name)
        known = await _known(shop, actor, name, token, claim.account_id)
    records, rows = [], []
    for wanted in _wanted(shop, known):
        status, found = await _find(shop, wanted, known)
        records.append(_record(wanted, status, found[:MAX_SHOWN], shop.now()))
        rows.append(Checked(claim.name, _key(wanted), status, found[:MAX_SHOWN], shop.now()))
    if known.claim.is_held:
        await shop.db.run(claims.put_checked, claim.name, rows)
    return _report(known, tuple(records), tuple(done))


async def _known(shop: Workshop, actor: Actor, name: str, token: str, account_id: int) -> _Known:
    known: _Known = await shop.db.search(_read, actor, name, account_id)
    if not known.claim.challenge and token:
        await shop.db.run(ownership.challenged, actor, name, known.claim.account_id, token)
        known = await shop.db.search(_read, actor, name, account_id)
    return known


def _read(conn: Connection, actor: Actor, name: str, account_id: int) -> _Known:
    claim = ownership.found(conn, actor, name, account_id)
    keys = dkim_keys.of_domain(conn, claim.name) if claim.is_held else ()
    checked = claims.checked(conn, claim.name) if claim.is_held else ()
    policy = served_policies.get(conn, claim.name) if claim.is_held else None
    return _Known(claim, keys, settings.get(conn, f"{INCLUDE_SETTING}{claim.account_id}", ""), checked, claim.verified_at, policy)


def _wanted(shop: Workshop, known: _Known) -> tuple[Wanted, ...]:
    return publishing.wanted(shop.options, known.claim.name, known.claim.challenge, known.keys, known.include, known.policy)


def _key(wanted: Wanted) -> str:
    """What a check is stored under: several DKIM records have a name each."""
    return f"dkim {wanted.name.partition('.')[0]}" if wanted.subject == "dkim" else wanted.subject


def _record(wanted: Wanted, status: str, found: str, checked: float | None) -> Record:
    return Record(wanted.subject, status, wanted.name, wanted.kind, wanted.value, found, wanted.note, wanted.line, wanted.optional, checked)


def _report(known: _Known, records: tuple[Record, ...], done: tuple[str, ...] = ()) -> Report:
    needed = [record for record in records if not record.optional and record.subject != "ownership"]
    is_ready = known.verified_at is not None and all(record.status == "ok" for record in needed)
    return Report(known.claim.name, known.claim.account_id, known.verified_at, is_ready, records, done)


# what is there

Found = tuple[str, str]  # status and what was found


async def _find(shop: Workshop, wanted: Wanted, known: _Known) -> Found:
    match wanted.subject:
        case "ownership":
            return await _ownership(shop.resolver, wanted, known.claim)
        case "spf":
            return await _spf(shop.resolver, wanted.name, shop.options.spf_include)
        case "dkim":
            return await _dkim(shop.resolver, wanted, known.keys)
        case "dmarc":
            return await _dmarc(shop.resolver, shop.suffixes, known.claim.name)
        case "mta-sts" | "mta-sts-host" | "tls-rpt":
            return await policy_checks.find(shop.resolver, wanted, known.policy, shop.options.hostname)
    return await _cname(shop.resolver, wanted)


async def _ownership(resolver: IResolver, wanted: Wanted, claim: Claim) -> Found:
    answer = await resolver.query(wanted.name, "TXT")
    if ownership.is_proof(answer, claim.challenge):
        return "ok", _shown(answer)
    if claim.verified_at is not None:
        return "ok", _shown(answer) or "not there; what was proved stays proved"
    return _absent(answer) or ("wrong", _shown(answer))


async def _spf(resolver: IResolver, name: str, ours: str) -> Found:
    found = await spf_includes.walk(resolver, name)
    if found.unknown:
        return "unknown", f"DNS gave no answer for {found.unknown}"
    if not found.record:
        return "missing", ""
    words = f"{found.record} ({found.lookups} of {spf_includes.MAX_LOOKUPS} look-ups)"
    problems = list(found.problems)
    if not found.leads_to(ours):
        problems.insert(0, f"it does not lead to {ours}")
    return ("wrong", f"{words}: {'; '.join(problems)}") if problems else ("ok", words)


async def _cname(resolver: IResolver, wanted: Wanted) -> Found:
    answer = await resolver.query(wanted.name, "CNAME")
    if answer.kind is AnswerKind.FOUND and answer.records == (wanted.value,):
        return "ok", f"CNAME {wanted.value}"
    return _absent(answer) or ("wrong", f"CNAME {', '.join(str(record) for record in answer.records)}")


async def _dkim(resolver: IResolver, wanted: Wanted, keys: tuple[DkimKey, ...]) -> Found:
    key = next((key for key in keys if wanted.name == f"{key.selector}._domainkey.{key.domain}"), None)
    if wanted.kind == "CNAME":
        status, found = await _cname(resolver, wanted)
        if key is None or status != "ok":
            return status, found
        shown = await dkim.in_dns(resolver, key)
        if shown is None:
            return "unknown", f"{found}: DNS gave no answer behind it"
        if not shown:
            return "wrong", f"{found}: the {key.state} key is not there; our own zone does not have it yet"
        return "ok", f"{found}: the {key.state} key"
    answer = await resolver.query(wanted.name, "TXT")
    if answer.kind is AnswerKind.FOUND and key is not None and len(answer.records) == 1:
        if dkim.public_half(answer.records[0]) == dkim.public_half(key.record.encode("ascii")):
            return "ok", f"the {key.state} key"
    return _absent(answer) or ("wrong", _shown(answer))


async def _dmarc(resolver: IResolver, suffixes: PublicSuffixes, domain: str) -> Found:
    for name in dict.fromkeys((domain, suffixes.organisational(domain))):
        answer = await resolver.query(f"_dmarc.{name}", "TXT")
        if answer.is_temporary:
            return "unknown", f"DNS gave no answer for _dmarc.{name}"
        said = answer.records if answer.kind is AnswerKind.FOUND else ()
        records = [txt for txt in said if txt[:20].replace(b" ", b"").lower().startswith(b"v=dmarc1")]
        if len(records) > 1:
            return "wrong", f"_dmarc.{name} has several records, which count as none"
        if records:
            shown = f"_dmarc.{name}: {records[0].decode('utf-8', 'replace')}"
            return ("ok", shown) if dmarc.parse(records[0]) is not None else ("wrong", f"{shown}: cannot be read")
    return "missing", ""


def _absent(answer: Answer) -> Found | None:
    if answer.is_temporary:
        return "unknown", "DNS gave no answer"
    return None if answer.kind is AnswerKind.FOUND else ("missing", "")


def _shown(answer: Answer) -> str:
    if answer.kind is not AnswerKind.FOUND:
        return ""
    return ", ".join(record.decode("utf-8", "replace") if isinstance(record, bytes) else str(record) for record in answer.records[:5])[:MAX_SHOWN]


async def _tried(looking: object, name: str, problem: Callable[[str, Exception], None]) -> int:
    try:
        await looking  # type: ignore[misc]
    except CancelledError:
        raise
    except ConflictError:
        return 0  # somebody else was first
    except Exception as error:
        problem(name, error)
        return 0
    return 1


# whitelabel


def _set_include(conn: Connection, actor: Actor, account_id: int, name: str, now: float) -> Whitelabel:
    _require_account(conn, actor, account_id)
    if name:
        try:
            name = parse_domain(name.strip().removesuffix("."))
        except AddressError as error:
            raise UsageError("name", f"'{name}': {error}") from None
        if name.startswith("[") or "." not in name:
            raise UsageError("name", f"'{name}' is no name below a domain")
    settings.put(conn, f"{INCLUDE_SETTING}{account_id}", name or None)
    access.record(conn, actor, now, "account.spf-include", f"account {account_id}", {"name": name})
    return Whitelabel(account_id, name, "")


async def _include(shop: Workshop, actor: Actor, account_id: int) -> Whitelabel:
    name: str = await shop.db.search(_get_include, actor, account_id)
    value = f"v=spf1 include:{shop.options.spf_include} ~all"
    if not name:
        return Whitelabel(account_id, "", "")
    status, found = await _spf(shop.resolver, name, shop.options.spf_include)
    return Whitelabel(account_id, name, value, status, found)


def _get_include(conn: Connection, actor: Actor, account_id: int) -> str:
    _require_account(conn, actor, account_id)
    name: str = settings.get(conn, f"{INCLUDE_SETTING}{account_id}", "")
    return name


def _require_account(conn: Connection, actor: Actor, account_id: int) -> None:
    if accounts.get(conn, account_id) is None:
        raise NotFoundError(f"no such account: {account_id}")
    access.require(actor, access.DOMAIN, Object(account_id=account_id), f"account: {account_id}")


def words_of(error: Exception) -> str:
    """A failure for the log: what is ours speaks for itself."""
    return str(error) if isinstance(error, JetmailError) else repr(error)
