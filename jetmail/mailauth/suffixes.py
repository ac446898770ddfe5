"""Registered domains by the public suffix list (RFC 7489 3.2 calls them organisational): what is under one owner. The list comes with its package
and is renewed with it.

Names here are as mail.address spells domains: lower-case A-labels. Nothing is raised.
"""

from __future__ import annotations

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

MAX_REMEMBERED = 20_000


@cache
def public_suffix_list() -> PublicSuffixList:
    """The list, read when somebody first asks (30 ms, 2 MB), one for all."""
    return PublicSuffixList()


@lru_cache(maxsize=MAX_REMEMBERED)
def registrable(name: str) -> str:
    """`example.co.uk` of `mail.example.co.uk`: what somebody had to register. A public suffix itself, or what is no name, is its own."""
    return public_suffix_list().privatesuffix(name) or name


class PublicSuffixes:
    """The list as those have it who are handed what decides about domains."""

    def organisational(self, domain: str) -> str:
        """As registrable."""
        return registrable(domain)
