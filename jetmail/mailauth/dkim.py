"""DKIM signatures verified (RFC 6376, with RFC 8301 and RFC 8463): rsa-sha256 and ed25519-sha256. Signing is mailauth.signing.

Promises
- Every DKIM-Signature field gets a result with a reason, top to bottom; at most `max_signatures` are looked at, the rest are counted.
- Linear in the message: fields are put into canonical form once, the body is hashed once for each form that is asked for, however many signatures.
- DNS trouble is `temperror`. SHA-1 and short keys are `fail` with a reason, whatever the mathematics say (RFC 8301).
- What a signature leaves uncovered (l=) is reported: `covers_body` False.

Reading is pure (`read`), then the body is hashed (canonical.hash_bodies over `forms`; a large one belongs in a thread), then `verify` asks DNS for
all keys at once. `verify_message` is all of it. Nothing is raised.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mailauth import keys
from jetmail.mailauth.canonical import BodyForm, Fields, Hasher, HeaderForms, hash_bodies, header_field, no_white, tags, without_signature
from jetmail.mailauth.keys import Key, KeyProblem, WeakKey

MAX_FIELD = 16_384  # octets of one signature field
MAX_SIGNED = 500  # names in h=
MAX_KEYS = 3  # TXT records under one selector that are tried

_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_DIGITS = re.compile(rb"[0-9]{1,12}")
_QUOTED = re.compile(rb"=([0-9A-F]{2})")
_FIELD_NAME = re.compile(rb"[!-9<-~]+")
FORMS = ("simple", "relaxed")
ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


class DkimResult(Enum):
    """RFC 8601 2.7.1."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_signatures` looked at in one message; `min_bits` of an RSA key."""

    max_signatures: int = 10
    min_bits: int = keys.MIN_BITS


@dataclass(frozen=True, slots=True)
class Dkim:
    """One signature and what became of it. `reason` in words fit for a header field. `weak`: refused for SHA-1 or a short key. `testing`: the key
    says t=y. `covers_body` False: octets behind l= are not signed. `signed` are the names in h=. `start` the first characters of b=."""

    result: DkimResult
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    reason: str = ""
    bits: int = 0
    weak: bool = False
    testing: bool = False
    covers_body: bool = True
    signed: tuple[bytes, ...] = ()
    start: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature field as read. `known` holds what is certain already; its result is NONE while there is something to verify."""

    raw: bytes
    known: Dkim
    kind: str = ""
    header_form: str = "simple"
    body: BodyForm = ("simple", None)
    body_hash: bytes = b""
    signature: bytes = b""
    expires: float | None = None

    @property
    def is_open(self) -> bool:
        """Still to be verified."""
        return self.known.result is DkimResult.NONE


def read(fields: Fields, limits: Limits = Limits()) -> list[Signature]:
    """The DKIM-Signature fields, read, top to bottom."""
    raws = [raw for name, raw in fields if name == b"dkim-signature"]
    return [read_field(raw) for raw in raws[: limits.max_signatures]]


def read_field(raw: bytes, *, is_arc: bool = False) -> Signature:
    """One signature field; an ARC-Message-Signature has no v= and uses i= for its place (RFC 8617 4.1.2)."""
    if len(raw) > MAX_FIELD or (found := tags(raw.partition(b":")[2])) is None:
        return _bad(raw, Dkim(DkimResult.PERMERROR), "signature field is malformed")
    text = {key: found[key].decode("ascii", "replace").lower() for key in ("a", "c", "d", "s", "v", "q") if key in found}
    domain, selector, algorithm = text.get("d", ""), text.get("s", ""), text.get("a", "")
    start = no_white(found.get("b", b""))[:8].decode("ascii", "replace")
    known = Dkim(DkimResult.NONE, domain[:253], selector[:253], "", algorithm[:40], start=start)
    for tag in ("a", "b", "bh", "d", "h", "s") if is_arc else ("v", "a", "b", "bh", "d", "h", "s"):
        if not found.get(tag):
            return _bad(raw, known, f"no {tag}=")
    if not is_arc and text["v"] != "1":
        return _bad(raw, known, "signature is of another version")
    if not _DOMAIN.fullmatch(domain) or not _DOMAIN.fullmatch(selector) or len(domain) + len(selector) > 240:
        return _bad(raw, replace(known, domain="", selector=""), "d= or s= is no name")
    names = tuple(name.strip(b" \t\r\n").lower() for name in found["h"].split(b":", MAX_SIGNED + 1))
    if len(names) > MAX_SIGNED or not all(map(_FIELD_NAME.fullmatch, names)):
        return _bad(raw, known, "h= is malformed")
    identity, problem = f"@{domain}", ""
    if not is_arc and "i" in found and not (problem := _identity(found["i"], domain)):
        identity = _unquoted(found["i"]).decode("ascii", "replace")[:320]
    known = replace(known, identity=identity, signed=names)
    if b"from" not in names:
        return _bad(raw, known, "From is not signed")
    if problem:
        return _bad(raw, known, problem)
    if algorithm.endswith("-sha1"):
        return Signature(raw, replace(known, result=DkimResult.FAIL, reason=f"{algorithm} proves nothing (RFC 8301)", weak=True))
    if algorithm not in ALGORITHMS:
        return _bad(raw, known, "unknown algorithm")
    header_form, _, body_form = text.get("c", "simple/simple").partition("/")
    body_form = body_form or "simple"
    if header_form.strip() not in FORMS or body_form.strip() not in FORMS:
        return _bad(raw, known, "unknown canonicalization")
    if "q" in text and "dns/txt" not in [method.strip() for method in text["q"].split(":")] and text["q"].strip() != "dns":
        return _bad(raw, known, "unknown query method")
    numbers: dict[str, float | None] = {}
    for tag in ("l", "t", "x"):
        if tag in found and not _DIGITS.fullmatch(found[tag]):
            return _bad(raw, known, f"{tag}= is no number")
        numbers[tag] = float(found[tag]) if tag in found else None
    if numbers["x"] is not None and numbers["t"] is not None and numbers["x"] < numbers["t"]:
        return _bad(raw, known, "expires before it was made")
    try:
        body_hash = binascii.a2b_base64(no_white(found["bh"]), strict_mode=True)
        signature = binascii.a2b_base64(no_white(found["b"]), strict_mode=True)
    except ValueError:
        return _bad(raw, known, "b= or bh= is no base64")
    length = int(found["l"]) if "l" in found else None
    body = (body_form.strip(), length)
    return Signature(raw, known, ALGORITHMS[algorithm], header_form.strip(), body, body_hash, signature, numbers["x"])


def forms(signatures: Iterable[Signature]) -> set[BodyForm]:
    """The forms in which the body has to be hashed."""
    return {each.body for each in signatures if each.is_open}


async def verify_message(
    resolver: IResolver, fields: Fields, chunks: Callable[[], Iterable[bytes]], now: float, limits: Limits = Limits()
) -> list[Dkim]:
    """All signatures of a message whose body `chunks()` gives. No signature: an empty list."""
    signatures = read(fields, limits)
    return await verify(resolver, HeaderForms(fields), signatures, hash_bodies(chunks(), forms(signatures)), now, limits)


async def verify(
    resolver: IResolver,
    header: HeaderForms,
    signatures: Sequence[Signature],
    bodies: Mapping[BodyForm, tuple[bytes, int]],
    now: float,
    limits: Limits = Limits(),
) -> list[Dkim]:
    """What becomes of each signature. `bodies` is canonical.hash_bodies of `forms`."""
    names = {_key_name(each): None for each in signatures if each.is_open}
    asking = {name: resolver.query(name, "TXT") for name in names}  # all at once; then each is waited for
    answers: dict[str, Answer] = {}
    for name, asked in asking.items():
        answers[name] = await asked
    return [_verify_one(header, each, bodies, answers[_key_name(each)], now, limits) if each.is_open else each.known for each in signatures]


def _key_name(signature: Signature) -> str:
    return f"{signature.known.selector}._domainkey.{signature.known.domain}"


def _verify_one(
    header: HeaderForms, signature: Signature, bodies: Mapping[BodyForm, tuple[bytes, int]], answer: Answer, now: float, limits: Limits
) -> Dkim:
    known = signature.known
    if answer.is_temporary:
        return replace(known, result=DkimResult.TEMPERROR, reason="DNS gave no answer for the key")
    if answer.kind is not AnswerKind.FOUND:
        return replace(known, result=DkimResult.PERMERROR, reason="no key")
    key = usable_key(answer, signature.kind, limits.min_bits)
    if isinstance(key, KeyProblem):
        weak = isinstance(key, WeakKey)
        return replace(known, result=DkimResult.FAIL if weak else DkimResult.PERMERROR, reason=str(key), weak=weak)
    digest, octets = bodies[signature.body]
    length = signature.body[1]
    result, reason = DkimResult.FAIL, ""
    if key.strict and known.identity.rpartition("@")[2].lower() != known.domain:
        result, reason = DkimResult.PERMERROR, "key is for the domain itself only"
    elif signature.expires is not None and now > signature.expires:
        reason = "signature expired"
    elif length is not None and length > octets:
        reason = "body is shorter than l="
    elif digest != signature.body_hash:
        reason = "body hash does not match"
    elif not _is_signed(header, signature, key):
        reason = "signature does not match"
    else:
        result = DkimResult.PASS
    return replace(known, result=result, reason=reason, bits=key.bits, testing=key.testing, covers_body=length is None or length >= octets)


def _is_signed(header: HeaderForms, signature: Signature, key: Key) -> bool:
    own = without_signature(signature.raw)
    own = own if signature.header_form == "simple" else header_field(own, "relaxed")[:-2]
    return key.verify(signature.signature, Hasher().add(*header.pick(signature.known.signed, signature.header_form), own).digest())


def usable_key(answer: Answer, kind: str, min_bits: int) -> Key | KeyProblem:
    """The first of the records that is a key of that kind, else what is wrong with the last of them."""
    problem = KeyProblem("no key")
    for txt in answer.records[:MAX_KEYS]:
        try:
            return keys.parse(txt, kind, min_bits)
        except KeyProblem as error:
            problem = error
    return problem


def _identity(value: bytes, domain: str) -> str:
    _, at, part = _unquoted(value).decode("ascii", "replace").lower().rpartition("@")
    if not at or (part != domain and not part.endswith("." + domain)):
        return "i= is not of d="
    return ""


def _unquoted(value: bytes) -> bytes:
    """dkim-quoted-printable (2.11)."""
    return _QUOTED.sub(lambda found: bytes((int(found[1], 16),)), no_white(value)) if b"=" in value else value


def _bad(raw: bytes, known: Dkim, reason: str) -> Signature:
    return Signature(raw, replace(known, result=DkimResult.PERMERROR, reason=reason))
