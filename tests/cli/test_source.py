"""source: what people say about the addresses mail leaves from, and what they are told."""

from __future__ import annotations

from pathlib import Path

from jetmail.cli import checks
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import source_days
from tests.cli.conftest import CommandLine


def sent(jetmail: CommandLine, *counted: tuple[str, str]) -> None:
    """As deliveries count it."""
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(source_days.add, counted)
    database.close()


def test_made_assigned_and_taken_back(jetmail: CommandLine) -> None:
    """A source is made, given to a domain and an account, shown with both, and removed."""
    jetmail.ok("domain", "add", "example.org", "--destination", "mail.example.org:25", "--verified")
    assert "all mail leaves from the default" in jetmail.ok("source", "list")
    jetmail.ok("source", "add", "out1", "--ipv4", "127.0.0.2", "--hostname", "out1.example.org")
    jetmail.ok("source", "assign", "out1", "--domain", "example.org")
    jetmail.ok("source", "assign", "out1", "--account", "default")
    shown = jetmail.rows("source", "show", "out1")[0]
    assert (shown["domains"], shown["accounts"], shown["limit"], shown["hostname"]) == (["example.org"], ["default"], None, "out1.example.org")
    assert "example.org, account default" in jetmail.ok("source", "list")
    jetmail.ok("source", "unassign", "--domain", "example.org")
    jetmail.ok("source", "set", "out1", "--enabled", "no", "--ipv6", "::1")
    shown = jetmail.rows("source", "list")[0]
    assert (shown["domains"], shown["enabled"], shown["ipv6"]) == ([], False, "::1")
    jetmail.run("source", "remove", "out1", answer="n")
    assert jetmail.code == 1 and jetmail.rows("source", "list")
    jetmail.ok("source", "remove", "out1", "--yes")
    assert not jetmail.rows("source", "list")


def test_a_warm_up_by_day(jetmail: CommandLine) -> None:
    """Today's number, count and limit, and the days before; `no` ends it."""
    jetmail.ok("source", "add", "new", "--ipv4", "127.0.0.2", "--warm-up", "2026-11-19", "--curve", "2,4,8", "--overflow", "wait")
    sent(jetmail, ("new", "2026-11-19"), ("new", "2026-11-20"), ("new", "2026-11-20"))
    shown = jetmail.rows("source", "show", "new")[0]
    assert (shown["day"], shown["sent"], shown["limit"], shown["overflow"]) == (2, 2, 4, "wait")
    assert [(row["day"], row["number"], row["sent"], row["limit"]) for row in jetmail.rows("source", "warmup", "new")] == [
        ("2026-11-20", 2, 2, 4),
        ("2026-11-19", 1, 1, 2),
    ]
    assert "2026-11-20" in jetmail.ok("source", "warmup", "new", "--limit", "1")
    jetmail.ok("source", "set", "new", "--warm-up", "no")
    assert jetmail.rows("source", "show", "new")[0]["limit"] is None


def test_mistakes_name_the_field(jetmail: CommandLine) -> None:
    """With exit code 2, or 1 for what is not there."""
    for words, code, told in (
        (("source", "add", "x"), 2, "ipv4: "),
        (("source", "add", "x", "--ipv4", "::1"), 2, "ipv4: '::1' is an IPv6 address"),
        (("source", "add", "x", "--ipv4", "127.0.0.2", "--curve", "fast"), 2, "curve: "),
        (("source", "assign", "x", "--domain", "example.org"), 1, "no such source: x"),
        (("source", "show", "x"), 1, "no such source: x"),
        (
            (
                "source",
                "unassign",
            ),
            2,
            "--domain",
        ),
    ):
        jetmail.run(*words)
        assert (jetmail.code, told in jetmail.err) == (code, True), jetmail.err


def test_check_tries_every_address(jetmail: CommandLine, tmp_path: Path) -> None:
    """An address that is not this machine's is a problem that names its source; one that is switched off is not looked at."""
    jetmail.ok("source", "add", "good", "--ipv4", "127.0.0.2")
    jetmail.ok("source", "add", "bad", "--ipv4", "192.0.2.77")
    config = checks.settings.load(jetmail.directory / "etc" / "jetmail.toml")
    found = list(checks.sources(config))
    assert [problem.key for problem in found] == ["source bad"]
    assert "192.0.2.77" in found[0].reason
    jetmail.ok("source", "set", "bad", "--enabled", "no")
    assert not list(checks.sources(config))
