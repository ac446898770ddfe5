"""list ..., thresholds ...: what the filter is told from the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine


@pytest.fixture
def org(jetmail: CommandLine) -> CommandLine:
    """With a domain."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1:2525", "--verified")
    return jetmail


def test_lists_come_and_go(org: CommandLine) -> None:
    """An entry is added, shown, removed; allowing a sender comes with a word of caution."""
    assert "allow  partner.example" in org.ok("list", "add", "--scope", "domain:example.org", "allow", "partner.example")
    assert "warning: whoever claims to be partner.example" in org.err
    (shown,) = org.rows("list", "show", "--scope", "domain:example.org")
    assert (shown["scope"], shown["scope_key"], shown["allow"], shown["block"]) == ("domain", "example.org", ["partner.example"], [])
    org.ok("list", "add", "block", "0.0.0.0/0")
    assert org.rows("list", "show")[0]["block"] == ["0.0.0.0/0"]
    org.run("list", "remove", "--scope", "domain:example.org", "allow", "partner.example", answer="n")
    assert org.code == 1
    org.ok("list", "remove", "--scope", "domain:example.org", "allow", "partner.example", answer="y")
    assert "empty" in org.ok("list", "show", "--scope", "domain:example.org")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add", "block", "a b"), 2),
        (("add", "--scope", "planet:x", "block", "a.example"), 2),
        (("add", "--scope", "domain:", "block", "a.example"), 2),
        (("add", "--scope", "domain:elsewhere.example", "block", "a.example"), 1),
        (("add", "--scope", "account:x", "block", "a.example"), 2),
        (("remove", "block", "a.example"), 1),
        (("add", "block"), 2),
    ],
)
def test_list_mistakes(org: CommandLine, words: tuple[str, ...], code: int) -> None:
    """Each is named, and nothing is written."""
    org.run("list", *words)
    assert org.code == code and org.err.startswith("jetmail: ")


def test_thresholds(org: CommandLine) -> None:
    """Set for a domain over the appliance's over those of etc/rules.toml, reset, and warned of."""
    rules = org.directory / "etc" / "rules.toml"
    rules.write_text(rules.read_text().replace("reject = 15", "reject = 14"))
    assert "14  refused from here on  (default)" in org.ok("thresholds", "show")
    org.ok("thresholds", "set", "--spam", "5.5")
    text = org.ok("thresholds", "set", "--domain", "example.org", "--defer", "7", "--reject", "999")
    assert "never" in text and "(the appliance's)" in text
    assert "warning: thresholds: defer (7) is not below spam (5.5)" in org.err
    org.run("thresholds", "reset", "--domain", "example.org", answer="n")
    assert org.code == 1
    (shown,) = org.rows("thresholds", "reset", "--domain", "example.org", "--yes")
    assert [(each["name"], each["score"]) for each in shown["thresholds"]] == [("reject", 14.0), ("spam", 5.5), ("defer", 4.0)]
    for words in (("set",), ("set", "--spam", "1000"), ("set", "--spam", "x"), ("set", "--spam=-1")):
        org.run("thresholds", *words)
        assert org.code == 2, words
