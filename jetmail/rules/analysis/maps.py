"""Lists that ship as data and may be changed without touching a program: etc/maps/*.toml of the appliance, else the ones that came with it.

Read once, when a rule is bound. Raises ConfigError naming file and reason: unreadable, an unknown section, a value of the wrong shape, an expression
RE2 does not take.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jetmail import resources
from jetmail.errors import ConfigError
from jetmail.rules.analysis.brands import Brands
from jetmail.rules.analysis.wording import Wording

_PLACES = ("free_mail", "shorteners", "hosting", "pictures", "redirectors", "risky_suffixes")


@dataclass(frozen=True, slots=True)
class Places:
    """Kinds of places on the net (etc/maps/places.toml)."""

    free_mail: frozenset[str]
    shorteners: frozenset[str]
    hosting: frozenset[str]
    pictures: frozenset[str]
    redirectors: frozenset[str]
    risky_suffixes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Maps:
    """All of them."""

    places: Places
    brands: Brands
    wording: Wording


@cache
def load(etc: Path) -> Maps:
    """The maps of an appliance whose etc/ this is; a file it does not have is the shipped one."""
    places = _section(etc, "places.toml", None)
    unknown = set(places) ^ set(_PLACES)
    if unknown or not all(isinstance(value, str) for value in places.values()):
        raise ConfigError([f"maps/places.toml: texts named {', '.join(_PLACES)} are needed: {', '.join(sorted(unknown)) or 'a value is no text'}"])
    brands = _section(etc, "brands.toml", "brands")
    if not all(isinstance(value, str) for value in brands.values()):
        raise ConfigError(["maps/brands.toml: the domains of a brand must be a text"])
    wording = _section(etc, "wording.toml", "wording")
    if not all(isinstance(value, list) and all(isinstance(each, str) for each in value) for value in wording.values()):
        raise ConfigError(["maps/wording.toml: a theme must be a list of texts"])
    return Maps(Places(*(frozenset(places[name].lower().split()) for name in _PLACES)), Brands(brands), Wording(wording))


def _section(etc: Path, name: str, section: str | None) -> dict[str, Any]:
    path = etc / "maps" / name
    path = path if path.exists() else resources.defaults() / "maps" / name
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # numbers of 5,000 digits and tables a thousand deep included
        raise ConfigError([f"maps/{name}: {error}"]) from error
    if section is None:
        return data
    inner = data.get(section)
    if not isinstance(inner, dict) or len(data) > 1:
        raise ConfigError([f"maps/{name}: one section [{section}] is needed"])
    return inner
