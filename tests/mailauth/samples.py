"""Keys, zones and messages for the tests of authentication."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred

from jetmail.mail.message import Message
from jetmail.mailauth.signing import Signer, load

NOW = 1_790_000_000.0
TEXT = (
    b"Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.org; Thu, 26 Nov 2026 10:00:00 +0000\r\n"
    b"From: Alice <alice@example.org>\r\nTo: bob@demo.test\r\nSubject: The  folded\r\n\tsubject\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\r\n"
    b"Hello  Bob,\t \r\n\r\nthis is it. \r\n\r\n\r\n"
)


def done(awaitable: Any) -> Any:
    """The result of a coroutine that needs not wait."""
    found: list[Any] = []
    Deferred.fromCoroutine(awaitable).addBoth(found.append)
    assert found, "it is still waiting"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


def mail(octets: bytes) -> Message:
    """A message from a file of either kind of line ends, as SMTP would have brought it."""
    return Message(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@cache
def pem(kind: str = "rsa", bits: int = 2048) -> bytes:
    """A private key, made once per run."""
    key: Any = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65537, bits)
    form = PrivateFormat.PKCS8 if kind == "ed25519" else PrivateFormat.TraditionalOpenSSL
    octets: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())
    return octets


def signer(kind: str = "rsa", domain: str = "example.org", selector: str = "s1") -> Signer:
    """Somebody who signs."""
    return load(pem(kind), domain, selector)


def zone(*signers: Signer, **more: Any) -> dict[tuple[str, str], Any]:
    """Their public keys as DNS has them."""
    return {(f"{each.selector}._domainkey.{each.domain}", "TXT"): [each.record().encode()] for each in signers}


def body_of(message: Message) -> Callable[[], Any]:
    """The body, as verifiers want it."""
    return message.body_chunks
