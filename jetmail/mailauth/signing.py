"""DKIM signatures made (RFC 6376 5, RFC 8463): rsa-sha256 with PKCS#1 keys of at least 2,048 bits, ed25519-sha256. Pure; relaxed/relaxed.

Fields are oversigned: each name in `OVERSIGNED` stands in h= once more than in the message, so that nobody can add a second From or Subject
without breaking the signature. Raises SigningError for a key that cannot or should not be used.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from jetmail.mailauth.canonical import (
    BodyForm,
    Fields,
    Hasher,
    HeaderForms,
    hash_bodies,
    header_field,
)

MIN_BITS = 2_048
OVERSIGNED = (b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"content-type")
SIGNED = (
    b"mime-version", b"content-transfer-encoding", b"in-reply-to", b"references", b"sender",
    b"list-id", b"list-help", b"list-post", b"list-subscribe", b"list-unsubscribe", b"list-unsubscribe-post", b"list-owner", b"list-archive",
)  # fmt: skip
ALL: BodyForm = ("relaxed", None)
_LINE = 72


class SigningError(ValueError):
    """The key does not do."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: `domain` d=, `selector` s=, and the private key. Make one with `load`."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """a=."""
        return "ed25519-sha256" if isinstance(self.key, Ed25519PrivateKey) else "rsa-sha256"

    def sign(self, digest: bytes) -> bytes:
        """The signature over a SHA-256 digest."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(digest)
        return self.key.sign(digest, PKCS1v15(), Prehashed(SHA256()))

    def record(self) -> str:
        """The TXT record to publish under <selector>._domainkey.<domain>."""
        public = self.key.public_key()
        if isinstance(self.key, Ed25519PrivateKey):
            kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k={kind}; p={binascii.b2a_base64(octets, newline=False).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell one key from another."""
        return hashlib.sha256(self.record().encode("ascii")).hexdigest()[:16]


def load(pem: bytes, domain: str, selector: str, *, is_ours: bool = False) -> Signer:
    """A signer from a PEM private key (PKCS#1 or PKCS#8, unencrypted). `is_ours`: it was made here, so that nobody needs to wait for a proof that its
    numbers are primes. Raises SigningError."""
    try:
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=is_ours)
    except (ValueError, TypeError) as error:
        raise SigningError("is no unencrypted PEM private key") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise SigningError("is neither an RSA nor an Ed25519 key")
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_BITS:
        raise SigningError(f"is an RSA key of {key.key_size} bits, at least {MIN_BITS} are needed")
    return Signer(domain, selector, key)


def generate(algorithm: str) -> bytes:
    """A new private key, 'rsa' (2,048 bits; a fifth of a second at worst) or 'ed25519', as PEM."""
    key = Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(65_537, MIN_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign(signer: Signer, fields: Fields, chunks: Iterable[bytes], now: float, lifetime: float | None = None) -> bytes:
    """The DKIM-Signature field for a message, folded, with its CRLF. `fields` as in mail.message.Message, the body as `chunks`."""
    return sign_hashed(signer, fields, hash_bodies(chunks, [ALL])[ALL][0], now, lifetime)


def sign_hashed(signer: Signer, fields: Fields, digest: bytes, now: float, lifetime: float | None = None) -> bytes:
    """The same when the body's relaxed hash is known: of a large one it was made elsewhere, and several signatures share it."""
    value = [("v", "1"), ("a", signer.algorithm), ("c", "relaxed/relaxed"), ("d", signer.domain), ("s", signer.selector), ("t", str(int(now)))]
    if lifetime is not None:
        value.append(("x", str(int(now + lifetime))))
    return signed_field(signer, "DKIM-Signature", value, fields, names_to_sign(fields), digest)


def names_to_sign(fields: Fields, more: tuple[bytes, ...] = ()) -> tuple[bytes, ...]:
    """h=: what is there of SIGNED and `more`, as often as it is there, and OVERSIGNED once more than that."""
    count: dict[bytes, int] = {}
    for name, _ in fields:
        count[name] = count.get(name, 0) + 1
    names: list[bytes] = []
    for name in (*OVERSIGNED, *SIGNED, *more):
        names += [name] * (min(count.get(name, 0), 5) + (name in OVERSIGNED))
    return tuple(names)


def signed_field(signer: Signer, name: str, value: list[tuple[str, str]], fields: Fields, names: tuple[bytes, ...], body_hash: bytes) -> bytes:
    """A field `name` with the tags `value`, h=, bh= and the signature over `names` of `fields` and itself (relaxed)."""
    tags = [*value, ("h", b":".join(names).decode("ascii")), ("bh", _base64(body_hash)), ("b", "")]
    unsigned = folded(name, tags)
    picked = HeaderForms(fields).pick(names, "relaxed")
    digest = Hasher().add(*picked, header_field(unsigned, "relaxed")[:-2]).digest()
    return with_signature(unsigned, signer.sign(digest))


def with_signature(unsigned: bytes, signature: bytes) -> bytes:
    """A folded field that ends in an empty b=, with the signature put into it. White space in b= counts for nothing (RFC 6376 3.5)."""
    text = _base64(signature)
    lines = [text[place : place + _LINE] for place in range(0, len(text), _LINE)]
    return unsigned.removesuffix(b"\r\n") + ("\r\n\t".join(["", *lines])).encode("ascii") + b"\r\n"


def folded(name: str, tags: list[tuple[str, str]]) -> bytes:
    """A field of tags, folded between them and inside long lists of names, with its CRLF."""
    lines = [f"{name}:"]
    for tag, value in tags:
        piece = f" {tag}={value};" if tag != "b" else f" {tag}={value}"
        if len(lines[-1]) + len(piece) <= _LINE:
            lines[-1] += piece
            continue
        words = piece.strip().split(":")
        lines.append("\t" + words[0])
        for word in words[1:]:
            if len(lines[-1]) + len(word) < _LINE:
                lines[-1] += ":" + word
            else:
                lines[-1] += ":"
                lines.append("\t" + word)
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _base64(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).decode("ascii")
