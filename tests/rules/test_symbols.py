"""Symbols and their weights: declared beside the rules, changed in etc/scores.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.errors import ConfigError
from jetmail.rules.analysis.rule import Notes
from jetmail.rules.symbols import Scores, Symbol, load, symbols

DECLARED = symbols("test", ("A_SIGN", 2.0, "It has a sign."), ("B_SIGN", 0.5, "It has another."))


def test_declared_weights_stand_where_the_file_is_silent(tmp_path: Path) -> None:
    """Without a file, and for symbols it does not name, the declared weight is in force."""
    assert load(tmp_path / "none.toml", DECLARED).finding("A_SIGN", "why").score == 2.0
    (tmp_path / "scores.toml").write_text("[scores]\nB_SIGN = 7\n")
    scores = load(tmp_path / "scores.toml", DECLARED)
    assert (scores.weight("A_SIGN"), scores.weight("B_SIGN"), scores.finding("B_SIGN", factor=0.5).score) == (2.0, 7.0, 3.5)
    assert scores.explain("B_SIGN") == "It has another." and scores.explain("THEIRS") == ""
    assert [symbol.word for symbol, _ in scores.listing()] == ["A_SIGN", "B_SIGN"]


def test_every_problem_is_named(tmp_path: Path) -> None:
    """An unknown symbol, a weight out of bounds and a stray section are told at once."""
    (tmp_path / "scores.toml").write_text('[scores]\nC_SIGN = 1\nA_SIGN = "x"\nB_SIGN = 1000\n[other]\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "scores.toml", DECLARED)
    assert len(caught.value.problems) == 4


def test_a_weight_above_the_bound_stands() -> None:
    """What etc/scores.toml says of one symbol is what it weighs, though the rule's bound is lower; the bound holds for what comes together."""
    scores = Scores([Symbol("ONE", 1.0, "One."), Symbol("TWO", 3.0, "Two."), Symbol("THREE", 3.0, "Three.")], {"ONE": 9.5})
    high, many = Notes(scores), Notes(scores)
    high.add("ONE")
    many.add("TWO")
    many.add("THREE")
    assert [finding.score for finding in high.verdict(4.5).findings] == [9.5]
    assert sum(finding.score for finding in many.verdict(4.5).findings) == 4.5
