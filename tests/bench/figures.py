"""Arithmetic of the bench: medians, ratios pair by pair, and an aim met or missed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs, round by round: neighbours in time share the machine's mood."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"min {self.low:.2f}  median {self.median:.2f}  max {self.high:.2f}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Both have one figure a round, in the order they were measured."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError("as many rounds on both sides")
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Ratio(min(pairs), statistics.median(pairs), max(pairs))


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure with what it should be. `at_least`: bigger is better."""

    name: str
    figure: float
    aim: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.aim if self.at_least else self.figure <= self.aim

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        return f"{self.name}: {self.figure:.2f} {self.unit} (aim: {word} {self.aim:g}; {'met' if self.met else 'MISSED'})"

    def plain(self) -> dict[str, object]:
        return {"name": self.name, "figure": round(self.figure, 4), "aim": self.aim, "unit": self.unit, "at_least": self.at_least, "met": self.met}


def mb(octets: float) -> float:
    """Octets as megabytes of 1024 x 1024."""
    return octets / (1 << 20)
