"""How options are read."""

from __future__ import annotations

import argparse

import pytest

from jetmail.cli import parser
from jetmail.errors import UsageError


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d 12h", 129600), ("5D", 432000), ("1w", 604800)])
def test_ages(text: str, seconds: float) -> None:
    """A length of time is a number with its unit, or several."""
    assert parser.age(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "2 hours", "-2h", "2h!"])
def test_no_ages(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(argparse.ArgumentTypeError, match="30m"):
        parser.age(text)


def test_moments() -> None:
    """A time is a date, with a zone or in the local one, or so long ago."""
    assert parser.moment("2026-11-20T07:30:00+00:00") == ("at", 1795159800.0)
    assert parser.moment("2h") == ("ago", 7200)
    assert parser.moment("2026-11-20")[0] == "at"
    with pytest.raises(argparse.ArgumentTypeError):
        parser.moment("yesterday")


@pytest.mark.parametrize("text", ["-1", "65536", "x", "", "1.5", "٣"])
def test_no_ports(text: str) -> None:
    """A port is 0 to 65535."""
    with pytest.raises(argparse.ArgumentTypeError):
        parser.port(text)


def test_faults_are_field_and_reason() -> None:
    """A wrong option is told as the field and the reason, and options cannot be cut short."""
    made = parser.Parser(prog="jetmail")
    made.add_argument("--limit", type=parser.count)
    made.add_argument("name")
    for words, told in (
        (["--limit", "0", "x"], "--limit: '0' is no count; 1 to 1000000"),
        (["--lim", "3", "x"], "--lim: not known here"),
        ([], "name: missing"),
    ):
        with pytest.raises(UsageError) as caught:
            made.parse_args(words)
        assert str(caught.value).startswith(told)
