"""Every symbol a shipped rule may find: its weight, and the sentence that explains it to the people whose mail it judged.

Rules declare their symbols beside themselves (`SYMBOLS = symbols(group, ...)`) and this module only knows their shape; `Scores` holds the weights
in force:
the declared ones, with what etc/scores.toml says over them. A rule asks `scores.finding("SPF_FAIL", detail)` and never writes a number itself.

    # etc/scores.toml
    [scores]
    SPF_FAIL = 4.5

Raises ConfigError naming file, symbol and reason: an unknown symbol, a weight that is no number or beyond 100.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jetmail.errors import ConfigError
from jetmail.rules.verdict import Finding

MAX_SCORE = 100.0


@dataclass(frozen=True, slots=True)
class Symbol:
    """`word` in capitals, `score` the weight when etc/scores.toml is silent, `text` what people read, `group` the heading it stands under."""

    word: str
    score: float
    text: str
    group: str = ""


def symbols(group: str, *rows: tuple[str, float, str]) -> tuple[Symbol, ...]:
    """Symbols of one group from (word, score, text) rows."""
    return tuple(Symbol(word, score, text, group) for word, score, text in rows)


class Scores:
    """The weights in force. `declared` are all symbols of all loaded rules; `given` what etc/scores.toml says."""

    def __init__(self, declared: Iterable[Symbol], given: Mapping[str, float] | None = None) -> None:
        self._symbols = {symbol.word: symbol for symbol in declared}
        self._weights = {word: symbol.score for word, symbol in self._symbols.items()} | dict(given or {})

    def finding(self, word: str, detail: str = "", factor: float = 1.0) -> Finding:
        """The finding of that symbol with its weight in force, times `factor` (a rule that is half sure). KeyError for a word nobody declared."""
        return Finding(word, round(self._weights[word] * factor, 3), detail)

    def weight(self, word: str) -> float:
        """The weight in force. KeyError for a word nobody declared."""
        return self._weights[word]

    def explain(self, word: str) -> str:
        """The sentence of a symbol; '' for one nobody declared (a third party's)."""
        found = self._symbols.get(word)
        return found.text if found is not None else ""

    def listing(self) -> list[tuple[Symbol, float]]:
        """Every symbol with its weight in force, by group and word."""
        ordered = sorted(self._symbols.values(), key=lambda symbol: (symbol.group, symbol.word))
        return [(symbol, self._weights[symbol.word]) for symbol in ordered]


def load(path: Path, declared: Iterable[Symbol]) -> Scores:
    """The weights of a scores.toml; a file that does not exist changes nothing. Raises ConfigError with every problem."""
    known = tuple(declared)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Scores(known)
    except (OSError, ValueError, RecursionError) as error:  # numbers of 5,000 digits and tables a thousand deep included
        raise ConfigError([f"{path.name}: {error}"]) from error
    problems = [f"{path.name}: {key}: unknown section, only [scores] is" for key in data if key != "scores"]
    table = data.get("scores", {})
    words = {symbol.word for symbol in known}
    given: dict[str, float] = {}
    for word, weight in table.items() if isinstance(table, dict) else ():
        if word not in words:
            problems.append(f"{path.name}: scores.{word}: no rule finds this symbol")
        elif isinstance(weight, bool) or not isinstance(weight, int | float) or not -MAX_SCORE <= weight <= MAX_SCORE:
            problems.append(f"{path.name}: scores.{word}: must be a number from -100 to 100")
        else:
            given[word] = float(weight)
    if problems:
        raise ConfigError(problems)
    return Scores(known, given)
