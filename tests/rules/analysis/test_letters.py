"""Letters that pass for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.rules.analysis import letters


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Straße", "strasse"[:4] + "ße"),
        ("Vérifier", "verifier"),
        ("\U0001d401ank", "bank"),
        ("ac\u200bcount", "account"),
        ("\u0430ccount", "account"),
        ("счёт", "счет"),
        ("ＦＲＥＥ", "free"),
    ],
)
def test_folded(text: str, plain: str) -> None:
    """What one reads at a glance; words wholly in another alphabet stay in it."""
    assert letters.folded(text) == plain


@pytest.mark.parametrize(
    ("word", "other"), [("paypa1", "paypal"), ("Iedger", "ledger"), ("rnicrosoft", "microsoft"), ("\u0440\u0430ypal", "paypal"), ("G00gle", "google")]
)
def test_skeleton(word: str, other: str) -> None:
    """Two words that look alike have one skeleton."""
    assert letters.skeleton(word) == letters.skeleton(other)


@pytest.mark.parametrize("label", ["yeo14h8uvy", "ddmq4myd9v", "jwdztvwrkp", "x1y2z3k4w5"])
def test_random(label: str) -> None:
    """Letters thrown together."""
    assert letters.looks_random(label)


@pytest.mark.parametrize(
    "label", ["microsoft", "freshrpms", "klclick", "deutschebahn", "bbc", "office365", "3m", "strength", "xn--bcher-kva", "rhythms", "t-online"]
)
def test_not_random(label: str) -> None:
    """Names people chose."""
    assert not letters.looks_random(label)


@given(st.text(max_size=200))
def test_total(text: str) -> None:
    """Any text is folded to text without capitals of ASCII, and counted."""
    folded = letters.folded(text)
    assert not any("A" <= letter <= "Z" for letter in folded)
    counts = (letters.mixed_words(text), letters.invisible_inside(text), letters.styled(text), letters.pictures(text))
    assert all(0 <= count <= len(text) for count in counts)
    assert isinstance(letters.skeleton(text), str) and letters.looks_random(text) in (True, False) and letters.looks_shaken(text) in (True, False)
