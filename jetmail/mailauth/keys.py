"""Public keys as DNS has them (RFC 6376 3.6.1, RFC 8463), and the check of one signature by one key. Pure.

What is old and broken stays refused: SHA-1 (RFC 8301 3.1), RSA keys under 1,024 bits (3.2). Records beyond MAX_RECORD and RSA keys beyond MAX_BITS
are refused because they cost time. A key is read from its record once and remembered by the record's text, so that mail of the big senders costs one
look into a table.

Raises KeyProblem, whose text may stand in a header field.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from jetmail.mailauth.canonical import no_white, tags

MAX_RECORD = 8_192  # octets; an RSA key of 4,096 bits takes 750
MIN_BITS = 1_024
MAX_BITS = 4_096
_PREHASHED = Prehashed(SHA256())
_PADDING = PKCS1v15()


class KeyProblem(ValueError):
    """The key cannot be used; `str()` says why."""


class WeakKey(KeyProblem):
    """It could be, but proves nothing."""


@dataclass(frozen=True, slots=True)
class Key:
    """`kind` 'rsa' or 'ed25519'. `testing` t=y. `strict` t=s: the identity's domain is the signing domain itself."""

    kind: str
    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    testing: bool
    strict: bool

    def verify(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` was made over this SHA-256 digest with the private half."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _PREHASHED)
            else:
                self.public.verify(signature, digest)  # RFC 8463 3: over the hash itself
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return True


@lru_cache(maxsize=2048)
def parse(txt: bytes, kind: str, min_bits: int = MIN_BITS) -> Key:
    """One key record for a signature of that kind. Raises KeyProblem."""
    if len(txt) > MAX_RECORD:
        raise KeyProblem(f"key record longer than {MAX_RECORD} octets")
    found = tags(txt)
    if found is None:
        raise KeyProblem("key record is malformed")
    if "v" in found and (found["v"] != b"DKIM1" or next(iter(found)) != "v"):
        raise KeyProblem("key record is of another version")
    if "p" not in found:
        raise KeyProblem("key record has no key")
    if not (octets := no_white(found["p"])):
        raise KeyProblem("key revoked")
    if (listed := _words(found.get("k", b"rsa"))) != [kind]:
        raise KeyProblem(f"key is of kind {', '.join(listed)[:40] or '?'}, not {kind}")
    if "h" in found and "sha256" not in _words(found["h"]):
        raise KeyProblem("key is not for sha256")
    if "s" in found and not {"*", "email"} & set(_words(found["s"])):
        raise KeyProblem("key is not for mail")
    flags = _words(found.get("t", b""))
    public, bits = _load(octets, kind)
    if kind == "rsa" and bits < min_bits:
        raise WeakKey(f"RSA key of {bits} bits is too short")
    return Key(kind, public, bits, "y" in flags, "s" in flags)


def _words(value: bytes) -> list[str]:
    return [word.strip().decode("ascii", "replace").lower() for word in value.split(b":")]


def _load(text: bytes, kind: str) -> tuple[RSAPublicKey | Ed25519PublicKey, int]:
    try:
        octets = binascii.a2b_base64(text)
        if kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(octets), 256
        public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblem("key cannot be read") from error
    if not isinstance(public, RSAPublicKey):
        raise KeyProblem("key is not an RSA key")
    if public.key_size > MAX_BITS:
        raise KeyProblem(f"RSA key of {public.key_size} bits is too long")
    return public, public.key_size
