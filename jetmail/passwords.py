"""Passwords: how they are kept and checked (argon2id, RFC 9106). Slow on purpose, so never on the reactor thread; salts are arguments.

19 MiB and two passes, the lesser of OWASP's recommendations: some 20 ms, and 4 checks at a time fit any machine. The C library lets other
threads run.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 8
MAX_LENGTH = 72  # characters; what the dashboards of this kind of service take
SALT = 16  # octets
# No password has this hash. Checking against it takes as long as against any other, so nobody learns by the clock whether a name exists.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$wHmZTJ0mFhWIvzUoFOVEZzyEjd0hNWMXxJ0cZLUZxLQ"
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that look alike
_GENERATED = 28

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def encode(password: str, salt: bytes) -> str:
    """What to keep of a password. `salt`: SALT unpredictable octets."""
    return _hasher.hash(password, salt=salt)


def matches(encoded: str, password: str) -> bool:
    """Whether this is the password that was encoded. False, too, for an encoding nobody can read."""
    try:
        return _hasher.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def generate(octets: bytes) -> str:
    """A password out of unpredictable octets, at least ENTROPY of them."""
    # An octet beyond the last whole round of the alphabet is skipped, so that every letter is as likely.
    fair = 256 - 256 % len(_ALPHABET)
    return "".join(_ALPHABET[octet % len(_ALPHABET)] for octet in octets if octet < fair)[:_GENERATED]


ENTROPY = 64  # of 64 octets 56 are used on average; fewer than 28 of them has never been seen
