"""Organisational domains by the public suffix list (RFC 7489 3.2): what is under one owner. The list comes with its package and is renewed with it.

Names here are as mail.address spells domains: lower-case A-labels. Nothing is raised.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList

MAX_REMEMBERED = 20_000


@cache
def public_suffix_list() -> PublicSuffixList:
    """The list, read when somebody first asks (30 ms, 2 MB), one for all."""
    return PublicSuffixList()


class PublicSuffixes:
    """What the list was asked."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def organisational(self, domain: str) -> str:
        """`example.co.uk` of `mail.example.co.uk`. A public suffix itself, or what is no name, is its own."""
        known = self._known.get(domain)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[domain] = public_suffix_list().privatesuffix(domain) or domain
        return known
