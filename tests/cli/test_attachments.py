"""attachments ...: what is not taken, from the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine


@pytest.fixture
def org(jetmail: CommandLine) -> CommandLine:
    """With a domain."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1:2525", "--verified")
    return jetmail


def test_set_show_reset(org: CommandLine) -> None:
    """What is set is shown, with where it comes from, and goes again."""
    org.ok("attachments", "set", "--domain", "example.org", "--types", "dangerous,macro", "--extensions", "exe,.js", "--locked", "yes")
    (shown,) = org.rows("attachments", "show", "--domain", "example.org")
    assert (shown["source"], shown["action"], shown["locked"], shown["archives"]) == ("domain", "reject", True, True)
    assert shown["types"] == ["disk-image", "macro", "program", "script", "shortcut"] and shown["extensions"] == ["exe", "js"]
    org.ok("attachments", "set", "--domain", "example.org", "--types", "", "--archives", "no", "--action", "quarantine")
    assert "quarantine" in org.ok("attachments", "show", "--domain", "example.org") and "not looked into" in org.out
    org.run("attachments", "reset", "--domain", "example.org", answer="n")
    assert org.code == 1
    org.ok("attachments", "reset", "--domain", "example.org", answer="y")
    assert org.rows("attachments", "show", "--domain", "example.org")[0]["source"] == "default"


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 2), (("--types", "programme"), 2), (("--extensions", "a b"), 2), (("--domain", "elsewhere.example", "--action", "off"), 1)],
)
def test_mistakes(org: CommandLine, words: tuple[str, ...], code: int) -> None:
    """Each is named, and nothing is written."""
    org.run("attachments", "set", *words)
    assert org.code == code and org.err.startswith("jetmail: ")
