"""ARC: the chain of those who passed a message on (RFC 8617), verified and continued.

Promises
- The chain's state is `none`, `pass` or `fail` as section 5.2 has it; DNS trouble is `temperror`, which is no state to seal on.
- Linear: all seals are hashed in one pass over the sets, and at most MAX_SETS sets of one field of each kind are looked at.
- `seal` changes nothing: it gives the three fields to be put on top. A chain that is known to have failed is not continued (5.1.2).

Reading is pure (`read`), the body is hashed outside (canonical.hash_bodies over `forms`), `verify` asks DNS for all keys at once. Nothing is raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth import dkim
from jetmail.mailauth.canonical import BodyForm, Fields, Hasher, HeaderForms, hash_bodies, header_field, no_white, tags, without_signature
from jetmail.mailauth.dkim import DkimResult, Limits, Signature
from jetmail.mailauth.keys import KeyProblem
from jetmail.mailauth.signing import Signer, folded, names_to_sign, signed_field, with_signature

MAX_SETS = 50  # RFC 8617 4.2.1
RESULTS, MESSAGE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_KINDS = (RESULTS, MESSAGE, SEAL)
_INSTANCE = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*;")
_DIGITS = re.compile(rb"[0-9]{1,12}")
ALL: BodyForm = ("relaxed", None)


class ArcResult(Enum):
    """RFC 8601 2.7 and RFC 8617 4.4; TEMPERROR is ours: nobody can tell at the moment."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class Link:
    """One set of the chain, as its three fields say. `sealer` d= of the seal; `results` what stands behind i=N; of its results field."""

    instance: int
    sealer: str
    results: bytes
    raws: tuple[bytes, bytes, bytes]
    cv: str
    seal: Signature


@dataclass(frozen=True, slots=True)
class Arc:
    """The chain's state. `links` first to last, only for a chain that passed. `count` sets there are. `can_seal`: it may be continued."""

    result: ArcResult
    reason: str = ""
    links: tuple[Link, ...] = ()
    count: int = 0
    can_seal: bool = True


@dataclass(frozen=True, slots=True)
class Chain:
    """What was read. `problem` when its form alone makes it fail. `highest` instance anywhere in it."""

    links: tuple[Link, ...] = ()
    message: Signature | None = None
    problem: str = ""
    highest: int = 0
    has_failed: bool = False


def read(fields: Fields) -> Chain:
    """The ARC fields of a message. An empty chain has neither links nor a problem."""
    found: dict[int, dict[bytes, bytes]] = {}
    problem = ""
    count = 0
    for name, raw in fields:
        if name not in _KINDS:
            continue
        count += 1
        if count > 3 * MAX_SETS:
            return Chain(problem=f"more than {MAX_SETS} sets", highest=MAX_SETS)
        instance = _instance(name, raw)
        if not 1 <= instance <= MAX_SETS:
            problem = problem or f"a field {name.decode('ascii')} without a place in the chain"
            continue
        of_kind = found.setdefault(instance, {})
        if name in of_kind:
            problem = problem or f"two fields {name.decode('ascii')} in one place"
        of_kind[name] = raw
    if not count:
        return Chain()
    highest = max(found, default=0)
    if not problem and (sorted(found) != list(range(1, highest + 1)) or any(len(of_kind) != 3 for of_kind in found.values())):
        problem = "a set is not whole"
    if problem:
        return Chain(problem=problem, highest=highest)
    links = tuple(_link(instance, found[instance]) for instance in range(1, highest + 1))
    message = dkim.read_field(links[-1].raws[1], is_arc=True)
    for link in links:
        if link.seal.known.reason:
            problem = problem or f"seal {link.instance}: {link.seal.known.reason}"
        elif link.cv != ("none" if link.instance == 1 else "pass"):
            problem = problem or f"seal {link.instance} says cv={link.cv[:10]}"
    if SEAL in message.known.signed:
        problem = problem or "a message signature covers a seal"
    if not message.is_open:
        problem = problem or f"message signature {highest}: {message.known.reason}"
    if message.raw and not _has_time(message.raw):
        problem = problem or f"message signature {highest}: t= is no number"
    return Chain(links, message, problem, highest, links[-1].cv == "fail")


def forms(chain: Chain) -> set[BodyForm]:
    """The forms in which the body has to be hashed."""
    return {chain.message.body} if chain.message is not None and not chain.problem else set()


async def verify_message(resolver: IResolver, fields: Fields, chunks: Callable[[], Iterable[bytes]], limits: Limits = Limits()) -> Arc:
    """The state of the chain of a message whose body `chunks()` gives."""
    chain = read(fields)
    return await verify(resolver, HeaderForms(fields), chain, hash_bodies(chunks(), forms(chain)), limits)


async def verify(
    resolver: IResolver, header: HeaderForms, chain: Chain, bodies: Mapping[BodyForm, tuple[bytes, int]], limits: Limits = Limits()
) -> Arc:
    """The chain's state. `bodies` is canonical.hash_bodies of `forms`."""
    if chain.problem:
        return Arc(ArcResult.FAIL, chain.problem, (), chain.highest, not chain.has_failed and chain.highest < MAX_SETS)
    if chain.message is None:
        return Arc(ArcResult.NONE)
    signatures = [link.seal for link in chain.links] + [chain.message]
    asking = {name: resolver.query(name, "TXT") for name in dict.fromkeys(map(_key_name, signatures))}
    answers: dict[str, Answer] = {}
    for name, asked in asking.items():
        answers[name] = await asked
    checked = await dkim.verify(_Answered(answers), header, [chain.message], bodies, 0.0, limits)
    digests = _seal_digests(chain.links)
    verdicts = [(f"message signature {chain.highest}", checked[0].result, checked[0].reason)]
    for link, digest in zip(chain.links, digests, strict=True):
        verdicts.append((f"seal {link.instance}", *_check_seal(link.seal, digest, answers[_key_name(link.seal)], limits)))
    for who, result, reason in verdicts:
        if result not in (DkimResult.PASS, DkimResult.TEMPERROR):
            return Arc(ArcResult.FAIL, f"{who}: {reason}", (), chain.highest, chain.highest < MAX_SETS)
    for who, result, reason in verdicts:
        if result is DkimResult.TEMPERROR:
            return Arc(ArcResult.TEMPERROR, f"{who}: {reason}", (), chain.highest, False)
    return Arc(ArcResult.PASS, "", chain.links, chain.highest, chain.highest < MAX_SETS)


def seal(signer: Signer, fields: Fields, arc: Arc, body_hash: bytes, results: bytes, now: float) -> tuple[bytes, ...]:
    """The three fields of the next set, to stand on top in this order: seal, message signature, results. () when the chain cannot be continued.
    `fields` of the message as it is relayed; `body_hash` of its body in the form ALL; `results` what stands in our own Authentication-Results
    behind the colon; `arc` what `verify` said of the chain so far."""
    if not arc.can_seal or arc.result is ArcResult.TEMPERROR:
        return ()
    instance = arc.count + 1
    own_results = b"ARC-Authentication-Results: i=%d; %s\r\n" % (instance, results.strip())
    names = names_to_sign(fields, (b"dkim-signature",))
    value = [
        ("i", str(instance)),
        ("a", signer.algorithm),
        ("c", "relaxed/relaxed"),
        ("d", signer.domain),
        ("s", signer.selector),
        ("t", str(int(now))),
    ]
    message = signed_field(signer, "ARC-Message-Signature", value, fields, names, body_hash)
    cv = {ArcResult.NONE: "none", ArcResult.PASS: "pass", ArcResult.FAIL: "fail"}[arc.result]
    unsigned = folded("ARC-Seal", [*(pair for pair in value if pair[0] != "c"), ("cv", cv), ("b", "")])
    hashed = Hasher()
    for link in arc.links:  # a failed chain has none here: then the seal covers its own set alone (5.1.2)
        hashed.add(*(header_field(raw, "relaxed") for raw in link.raws))
    hashed.add(header_field(own_results, "relaxed"), header_field(message, "relaxed"), header_field(unsigned, "relaxed")[:-2])
    return with_signature(unsigned, signer.sign(hashed.digest())), message, own_results


@implementer(IResolver)
class _Answered:
    """A resolver of what has been answered already."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers

    async def query(self, name: str, rdtype: str) -> Answer:
        return self._answers[name]


def _instance(name: bytes, raw: bytes) -> int:
    value = raw.partition(b":")[2]
    if name == RESULTS:
        found = _INSTANCE.match(value)
        return int(found[1]) if found else 0
    text = (tags(value) or {}).get("i", b"") if len(raw) <= dkim.MAX_FIELD else b""
    return int(text) if text.isdigit() and len(text) <= 3 else 0


def _link(instance: int, of_kind: Mapping[bytes, bytes]) -> Link:
    raws = of_kind[RESULTS], of_kind[MESSAGE], of_kind[SEAL]
    found = tags(raws[2].partition(b":")[2]) or {}
    value = raws[0].partition(b":")[2]
    begun = _INSTANCE.match(value)
    cv = found.get("cv", b"").decode("ascii", "replace").lower()
    seal_ = _read_seal(raws[2], found)
    return Link(instance, seal_.known.domain, value[begun.end() :].strip() if begun else b"", raws, cv, seal_)


def _read_seal(raw: bytes, found: Mapping[str, bytes]) -> Signature:
    """A seal has no body hash and no list of fields: it is read as a signature that has both, so that one reader knows the rules of the rest."""
    if "h" in found or "bh" in found:
        return Signature(raw, dkim.Dkim(DkimResult.PERMERROR, reason="h= in a seal"))
    value = b"".join(b"%s=%s;" % (tag.encode("ascii"), content) for tag, content in found.items() if tag not in ("c", "l", "x"))
    signature = dkim.read_field(b"ARC-Seal:" + value + b"h=from;bh=AAAA", is_arc=True)
    return replace(signature, raw=raw)


def _has_time(raw: bytes) -> bool:
    found = tags(raw.partition(b":")[2]) or {}
    return "t" not in found or bool(_DIGITS.fullmatch(no_white(found["t"])))


def _key_name(signature: Signature) -> str:
    return f"{signature.known.selector}._domainkey.{signature.known.domain}"


def _seal_digests(links: Iterable[Link]) -> list[bytes]:
    """What each seal signs: every set before it, and its own with its b= empty (5.1.1)."""
    digests = []
    hashed = Hasher()
    for link in links:
        results, message, seal_ = (header_field(raw, "relaxed") for raw in link.raws)
        hashed.add(results, message)
        digests.append(hashed.fork().add(header_field(without_signature(link.raws[2]), "relaxed")[:-2]).digest())
        hashed.add(seal_)
    return digests


def _check_seal(signature: Signature, digest: bytes, answer: Answer, limits: Limits) -> tuple[DkimResult, str]:
    if answer.is_temporary:
        return DkimResult.TEMPERROR, "DNS gave no answer for the key"
    if answer.kind is not AnswerKind.FOUND:
        return DkimResult.FAIL, "no key"
    key = dkim.usable_key(answer, signature.kind, limits.min_bits)
    if isinstance(key, KeyProblem):
        return DkimResult.FAIL, str(key)
    return (DkimResult.PASS, "") if key.verify(signature.signature, digest) else (DkimResult.FAIL, "signature does not match")
