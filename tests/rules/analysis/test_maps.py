"""The lists that ship as data, and an appliance's own in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.errors import ConfigError
from jetmail.rules.analysis import maps
from jetmail.rules.checks.wording import Wording


def test_the_shipped_lists() -> None:
    """They load, no place is of two contradictory kinds, and every theme has its symbol."""
    loaded = maps.load(Path("/nonexistent"))
    assert not loaded.places.free_mail & (loaded.places.shorteners | loaded.places.hosting)
    words = {symbol.word for symbol in Wording.SYMBOLS}
    assert {f"WORDING_{theme.upper()}" for theme in loaded.wording.known} <= words
    assert len(loaded.wording.known) >= 10


def test_one_s_own(tmp_path: Path) -> None:
    """A file of the appliance comes in place of the shipped one."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "brands.toml").write_text('[brands]\n"acme widgets" = "acme.example"\n')
    brands = maps.load(tmp_path).brands
    seen = brands.in_name("Acme Widgets Support")
    assert seen is not None and (seen.name, seen.alone) == ("acme widgets", True)
    assert brands.in_name("PayPal") is None
    assert brands.owns("acme widgets", "mail.acme.example") and not brands.owns("acme widgets", "acme.elsewhere.example")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("brands.toml", "x = 1", "section"),
        ("brands.toml", "[brands]\nx = 1", "text"),
        ("places.toml", "free_mail = 1", "needed"),
        ("wording.toml", "[wording]\nx = 1", "list"),
        ("wording.toml", "[wording]\naccount = ['(']", "account"),
        ("wording.toml", "[wording", "wording.toml"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, text: str, reason: str) -> None:
    """A list that cannot be used names its file and what is wrong."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        maps.load(tmp_path)
    assert name in caught.value.problems[0] and reason in caught.value.problems[0]


@pytest.mark.parametrize(
    ("host", "brand"),
    [
        ("support-trustwallet.example", "trust wallet"),
        ("paypal.com.evil.example", "paypal"),
        ("paypa1.example", "paypal"),
        ("paypal.com", ""),
        ("www.amazon.co.jp", ""),
        ("target.example.com", ""),
        ("apple-id.example", "apple"),
        ("xn--80ak6aa92e.com", "apple"),
        ("pineapple.example", ""),
    ],
)
def test_hosts_that_wear_a_name(host: str, brand: str) -> None:
    """A name in a label that is not its own."""
    assert maps.load(Path("/nonexistent")).brands.in_host(host) == brand
