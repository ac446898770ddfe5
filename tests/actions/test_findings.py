"""What people read of findings: a sentence for each, whoever found it."""

from __future__ import annotations

import re

from jetmail import resources
from jetmail.actions.findings import explain
from jetmail.rules import registry
from jetmail.rules.symbols import Scores
from tests.house import ROOT


def test_every_symbol_has_a_sentence() -> None:
    """Each symbol some code writes down is explained: by the rule that declares it, or where what is no opinion is listed."""
    scores = Scores(registry.load(resources.defaults() / "rules.toml").symbols)
    found = {word for path in (ROOT / "jetmail").rglob("*.py") for word in re.findall(r"\bFinding\(\s*\"([A-Z_]+)\"", path.read_text("utf-8"))}
    assert len(found) > 10
    words = sorted(found | {symbol.word for symbol, _ in scores.listing()})
    told = explain([{"symbol": word, "score": 1.0} for word in words], scores)
    assert [each.symbol for each in told if not each.text.endswith(".")] == []
