"""etc/rules.toml: what is refused, what order comes out, and that somebody else's rule comes in by the same door."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.errors import ConfigError
from jetmail.rules import registry

ROOT = Path(__file__).resolve().parents[2]
BAD = sorted((ROOT / "tests/badconfigs").glob("rules-*.toml"))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        registry.parse(text)
    return list(caught.value.problems)


def test_default_chain_loads() -> None:
    """The chain that ships is in order of its stages, layers and file, and says so in plain values."""
    rows = registry.load(ROOT / "etc/rules.toml").describe()
    names = [row["name"] for row in rows]
    assert [row["order"] for row in rows] == list(range(len(rows)))
    assert names[:2] == ["client", "declared-size"]
    assert names.index("domain") < names.index("recipient") < names.index("early-block")
    assert names[-1] == "thresholds"
    lists = [row["level"] for row in rows if row["kind"] == "list" and row["stage"] == "content"]
    assert lists == ["appliance"] * 3 + ["account"] * 2 + ["address"] * 2 + ["domain"] * 2


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_configs(path: Path) -> None:
    """Each file of badconfigs is refused, with the words of its first lines (`# expect: ...`) among the problems."""
    expected = [line[10:] for line in path.read_text().splitlines() if line.startswith("# expect: ")]
    with pytest.raises(ConfigError) as caught:
        registry.load(path)
    assert expected
    for words in expected:
        assert any(words in problem and problem.startswith(str(path)) for problem in caught.value.problems), caught.value.problems
    assert len(caught.value.problems) == len(expected), caught.value.problems


def test_there_are_bad_configs() -> None:
    """The folder is not empty by accident."""
    assert len(BAD) >= 8


def test_third_party_rule() -> None:
    """A class of another package, with options of its own, loads like ours."""
    chain = registry.parse(
        '[[rule]]\nname = "weather"\nclass = "tests.thirdparty_rule.weather.Weather"\noptions = { word = "hail" }\ntimeout = 2\non_error = "defer"\n'
    )
    entry = chain.entries[0]
    assert entry.rule.options.word == "hail"
    assert entry.rule.options.score == 2.5
    assert (entry.timeout, entry.on_error.value) == (2.0, "defer")


def test_after_moves_a_rule_behind() -> None:
    """Within a stage `after` overrules the order of the file, and nothing else does."""
    text = "".join(
        f'[[rule]]\nname = "{name}"\nclass = "tests.thirdparty_rule.weather.Weather"\nafter = {after}\n'
        for name, after in (("a", '["c"]'), ("b", "[]"), ("c", "[]"), ("d", '["a"]'))
    )
    assert [row["name"] for row in registry.parse(text).describe()] == ["b", "c", "a", "d"]


def test_missing_file() -> None:
    """A file that is not there is a problem, not a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        registry.load("/nonexistent/rules.toml")


def test_broken_toml() -> None:
    """A file that is no TOML says where."""
    assert "line 2" in problems("[[rule]]\nname = \nclass = 1\n")[0]


def test_all_problems_at_once() -> None:
    """Two wrong entries are two problems."""
    wrong = '[[rule]]\nname = "a"\nclass = "nowhere.X"\n'
    text = wrong + '[[rule]]\nname = "b"\nclass = "tests.thirdparty_rule.weather.Weather"\noptions = { score = "much" }\n'
    found = problems(text)
    assert len(found) == 2
    assert "rule 'a'" in found[0]
    assert "options.score: must be a number" in found[1]
