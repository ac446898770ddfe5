"""docs/rules.md tells of every rule, option, reason, stage, kind and action there is."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from jetmail.rules import registry
from jetmail.rules.conditions import KINDS
from jetmail.rules.verdict import REASONS, Action, Kind, Level, OnError, Scope, Stage

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/rules.md").read_text("utf-8")
CHAIN = registry.load(ROOT / "etc/rules.toml")
SHIPPED = sorted(path.stem for path in (ROOT / "jetmail/rules/checks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("entry", CHAIN.entries, ids=lambda entry: entry.name)
def test_every_rule_and_option(entry: registry.Entry) -> None:
    """Each rule of the default chain has a heading, its class and each of its options."""
    assert f"### {entry.name}" in TEXT or f"### {entry.path.rpartition('.')[2]}" in TEXT
    assert f"`{entry.path}`" in TEXT
    section = TEXT.split(f"`{entry.path}`")[1].split("\n### ")[0]
    for option in fields(entry.rule.Options):
        assert f"`{option.name}`" in section


@pytest.mark.parametrize("module", SHIPPED)
def test_every_shipped_rule_is_in_the_default_chain(module: str) -> None:
    """No rule ships that nobody can see at work."""
    assert any(entry.path.startswith(f"jetmail.rules.checks.{module}.") for entry in CHAIN.entries)


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.word)
def test_every_reason(reason: object) -> None:
    """Each reason is in the table with what the peer hears."""
    word, reply = reason.word, reason.reply  # type: ignore[attr-defined]
    assert f"| `{word}` | `{reply}` |" in TEXT


@pytest.mark.parametrize(
    "word", [*(each.name for enum in (Stage, Kind, Scope, Action, OnError) for each in enum), *KINDS, *(each.name.lower() for each in Level)]
)
def test_every_word(word: str) -> None:
    """Each stage, kind, scope, action, level and condition is explained."""
    assert f"`{word}`" in TEXT
