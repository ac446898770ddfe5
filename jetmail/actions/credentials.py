"""Passwords as people give them: 8 to 72 characters without control characters, or none, and one is generated. Hashed off the reactor.

Raises UsageError naming the field `password`.
"""

from __future__ import annotations

import re

from jetmail import passwords
from jetmail.errors import UsageError
from jetmail.interfaces import IEntropy, IExecutor

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


async def encoded(password: str, executor: IExecutor, entropy: IEntropy) -> tuple[str, str]:
    """-> (the password where it was generated, what to keep of it)."""
    made = "" if password else passwords.generate(entropy.token(passwords.ENTROPY))
    given = password or made
    if not passwords.MIN_LENGTH <= len(given) <= passwords.MAX_LENGTH:
        raise UsageError("password", f"must have {passwords.MIN_LENGTH} to {passwords.MAX_LENGTH} characters")
    if _CONTROL.search(given):
        raise UsageError("password", "may not have control characters")
    kept: str = await executor.run(passwords.encode, given, entropy.token(passwords.SALT))
    return made, kept
