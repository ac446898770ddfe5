"""What a text says, by themes: one set of expressions over folded text (rules.analysis.letters), matched at once by RE2, in time linear in the text.

Raises ConfigError for an expression RE2 does not take.
"""

from __future__ import annotations

from collections.abc import Mapping

import re2

from jetmail.errors import ConfigError

MAX_TEXT = 5_000  # characters; what a message wants is said by then


class Wording:
    """`themes` -> expressions. Immutable once made."""

    def __init__(self, themes: Mapping[str, list[str]]) -> None:
        options = re2.Options()
        options.max_mem = 64 << 20
        options.never_capture = True
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._theme_of: list[str] = []
        for theme, patterns in themes.items():
            for pattern in patterns:
                try:
                    self._set.Add(f"(?:^|[^a-z0-9])(?:{pattern})")
                except re2.error as error:
                    raise ConfigError([f"maps/wording.toml: {theme}: {pattern[:60]}: {error}"]) from error
                self._theme_of.append(theme)
        self._set.Compile()

    @property
    def known(self) -> frozenset[str]:
        """The themes there are expressions for."""
        return frozenset(self._theme_of)

    def themes(self, text: str) -> dict[str, int]:
        """How many expressions of each theme are found in a folded text whose white space is single blanks."""
        found: dict[str, int] = {}
        for index in self._set.Match(text[:MAX_TEXT]) or ():
            theme = self._theme_of[index]
            found[theme] = found.get(theme, 0) + 1
        return found
