"""DANE for SMTP: whether what a host shows in its TLS handshake is what its domain has signed into DNS (RFC 7672, RFC 7671, RFC 6698). Pure.

The caller asks for TLSA only where address and MX records were authentic, and hands over only records of an authentic answer.

- Usable are DANE-TA(2) and DANE-EE(3) with selector 0 or 1 and matching 0, 1 or 2; PKIX-TA(0) and PKIX-EE(1) are not for SMTP (3.1.3).
- DANE-EE: the key or certificate alone counts; names and dates do not (3.1.1).
- DANE-TA: the first certificate names the host (or one of the names given), every certificate below the anchor is in date and signed by the next,
  and those that sign others may. The anchor is in the chain, or (matching 0) in the record itself (3.1.2).
- Of several digests for one usage and selector, only the strongest is looked at (RFC 7671 section 9).

Raises nothing: `problem` answers with a sentence, '' when the chain is proved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname

TRUST_ANCHOR, END_ENTITY = 2, 3
MAX_RECORDS = 32
MAX_CHAIN = 10
MAX_DATA = 8_192
_LENGTH = {1: 32, 2: 64}


class Tlsa(NamedTuple):
    """One record: `usage` 2 or 3, `selector` 0 certificate or 1 public key, `matching` 0 whole, 1 SHA-256, 2 SHA-512."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()[:128]}"


def usable(records: Iterable[tuple[int, int, int, bytes]]) -> tuple[Tlsa, ...]:
    """Those of a TLSA answer that can prove something, sorted so that equal answers are equal."""
    kept = []
    for usage, selector, matching, data in list(records)[:MAX_RECORDS]:
        if usage not in (TRUST_ANCHOR, END_ENTITY) or selector not in (0, 1) or matching not in (0, 1, 2):
            continue
        if (len(data) != _LENGTH[matching]) if matching else not 0 < len(data) <= MAX_DATA or _anchor(selector, data) is None:
            continue
        kept.append(Tlsa(usage, selector, matching, bytes(data)))
    strongest: dict[tuple[int, int], int] = {}
    for one in kept:
        strongest[one[:2]] = max(strongest.get(one[:2], 0), one.matching)
    return tuple(sorted({one for one in kept if one.matching in (0, strongest[one[:2]])}))


def problem(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: float) -> str:
    """'' when one of `records` (usable ones) proves `chain`, the DER certificates as presented, the host's own first; else why not. `names`: what
    the host may be called, for usage 2. `now`: epoch seconds."""
    if not chain:
        return "no certificate was shown"
    if len(chain) > MAX_CHAIN:
        return f"more than {MAX_CHAIN} certificates were shown"
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        keys = [_selected(certificate, 1) for certificate in certificates]
    except (ValueError, UnsupportedAlgorithm):
        return "a certificate cannot be read"
    shown = [(der, key) for der, key in zip(chain, keys, strict=True)]
    if any(one.usage == END_ENTITY and _matches(one, shown[0][one.selector]) for one in records):
        return ""
    anchors = [one for one in records if one.usage == TRUST_ANCHOR]
    if not anchors:
        return "the certificate is not the one in TLSA"
    said = "no certificate of the chain is the trust anchor in TLSA"
    for one in anchors:
        for depth in range(len(certificates)):
            if _matches(one, shown[depth][one.selector]):
                # The anchor itself may be the host's own certificate; then there is nothing below it but itself.
                said = _path_problem(certificates[: depth + 1], None, names, now)
                if not said:
                    return ""
        if not one.matching:
            said = _path_problem(certificates, _anchor(one.selector, one.data), names, now)
            if not said:
                return ""
    return said


def _matches(one: Tlsa, octets: bytes) -> bool:
    if one.matching == 1:
        return hashlib.sha256(octets).digest() == one.data
    return (hashlib.sha512(octets).digest() if one.matching == 2 else octets) == one.data


def _selected(certificate: x509.Certificate, selector: int) -> bytes:
    if selector:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_bytes(Encoding.DER)


def _anchor(selector: int, data: bytes) -> object | None:
    """The public key a whole (matching 0) record holds."""
    try:
        return load_der_public_key(data) if selector else x509.load_der_x509_certificate(data).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _path_problem(path: Sequence[x509.Certificate], anchor: object | None, names: Sequence[str], now: float) -> str:
    """Whether `path`, the host's certificate first, holds. The last of it is the anchor, or, when `anchor` is given, is signed by that key."""
    if not any(_names(path[0], name) for name in names):
        return f"the certificate does not name {names[0]}" if names else "nobody is named"
    moment = datetime.fromtimestamp(now, UTC)
    below = path if anchor is not None else path[:-1] or path
    for certificate in below:
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            return "a certificate of the chain has expired or is not yet valid"
    for child, parent in zip(path, path[1:], strict=False):
        if not _may_sign(parent):
            return "a certificate of the chain may not sign others"
        try:
            child.verify_directly_issued_by(parent)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return "a certificate of the chain is not signed by the next"
    if anchor is not None and not _signed_by(path[-1], anchor):
        return "the chain is not signed by the trust anchor in TLSA"
    return ""


def _names(certificate: x509.Certificate, name: str) -> bool:
    try:
        verify_certificate_hostname(certificate, name)
    except (VerificationError, CertificateError, ValueError):
        return False
    return True


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _signed_by(certificate: x509.Certificate, key: object) -> bool:
    signature, signed, algorithm = certificate.signature, certificate.tbs_certificate_bytes, certificate.signature_hash_algorithm
    try:
        if isinstance(key, RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, PKCS1v15(), algorithm)
        elif isinstance(key, EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ECDSA(algorithm))
        elif isinstance(key, Ed25519PublicKey | Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
