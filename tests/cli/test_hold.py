"""hold: rules for what waits, as people type them."""

from __future__ import annotations

from tests.cli.conftest import NOW, CommandLine


def test_made_shown_changed_and_removed(jetmail: CommandLine) -> None:
    """Everything a rule may ask for is said, seen again, and taken away with ''."""
    jetmail.ok("domain", "add", "example.org", "--destination", "mail.example.org:25", "--verified")
    rule = jetmail.rows(
        "hold", "add", "--for-domain", "Example.org", "--direction", "inbound", "--sender", "*.far.test", "--size-over", "1000", "--score-over",
        "2.5", "--reason", "look first", "--expires", "7d",
    )[0]  # fmt: skip
    assert (rule["scope"], rule["scope_key"], rule["sender"], rule["size_over"], rule["score_over"]) == (
        "domain",
        "example.org",
        "*.far.test",
        1000,
        2.5,
    )
    assert rule["expires"] == NOW + 7 * 86_400
    table = jetmail.ok("hold", "list")
    assert "sender *.far.test, over 1000 B, score over 2.5" in table and "live" in table and "look first" in table
    changed = jetmail.rows("hold", "set", rule["uuid"], "--size-over", "", "--sender", "", "--expires", "never", "--enabled", "no")[0]
    assert (changed["size_over"], changed["sender"], changed["expires"], changed["enabled"]) == (None, "", None, False)
    assert changed["score_over"] == 2.5
    assert "off" in jetmail.ok("hold", "show", rule["uuid"])
    jetmail.ok("hold", "remove", rule["uuid"])
    assert "no hold rules" in jetmail.ok("hold", "list")


def test_whose(jetmail: CommandLine) -> None:
    """A rule for a user or an account names it, as people know it; one whose user was deleted can still be seen and taken away."""
    jetmail.ok("account", "add", "acme")
    jetmail.ok("domain", "add", "acme.test", "--account", "acme", "--destination", "mail.acme.test:25", "--verified")
    jetmail.ok("smtp-user", "add", "crm", "--account", "acme", "--domain", "acme.test")
    rule = jetmail.rows("hold", "add", "--for-user", "crm")[0]["uuid"]
    jetmail.ok("hold", "add", "--for-account", "acme")
    table = jetmail.ok("hold", "list")
    assert "user crm" in table and "account acme" in table
    jetmail.ok("smtp-user", "delete", "crm", "--yes")
    assert "user (deleted) " in jetmail.ok("hold", "show", rule)
    jetmail.ok("hold", "remove", rule)


def test_tried_out(jetmail: CommandLine) -> None:
    """Which rules would hold a message."""
    jetmail.ok("hold", "add", "--sender", "news.test", "--reason", "news")
    jetmail.ok("hold", "add", "--score-over", "4", "--reason", "suspect")
    told = [row["reason"] for row in jetmail.rows("hold", "test", "--sender", "a@news.test", "--recipient", "b@far.test", "--score", "5")]
    assert told == ["news", "suspect"]
    assert "no rule holds it" in jetmail.ok("hold", "test", "--recipient", "b@far.test")


def test_mistakes_name_the_field(jetmail: CommandLine) -> None:
    """With exit code 2, or 1 for what is not there."""
    for words, code, told in (
        (("hold", "add", "--size-over", "large"), 2, "--size-over: 'large' is no number"),
        (("hold", "add", "--expires", "soon"), 2, "--expires: "),
        (("hold", "add", "--expires", "2020-01-01"), 2, "expires: must be in the future"),
        (("hold", "add", "--for-user", "nobody"), 1, "no such user: nobody"),
        (("hold", "add", "--sender", "a b"), 2, "sender: "),
        (("hold", "set", "x"), 2, "changes: nothing to set"),
        (("hold", "show", "x"), 1, "no such hold rule: x"),
    ):
        jetmail.run(*words)
        assert (jetmail.code, told in jetmail.err) == (code, True), jetmail.err
