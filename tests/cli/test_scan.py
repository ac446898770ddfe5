"""scan, rule test: what would be, and nothing that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.web.seed import LETTER

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@pytest.fixture
def letter(tmp_path: Path) -> str:
    """A message in a file, with the line ends of this machine."""
    path = tmp_path / "letter.eml"
    path.write_bytes(b"From a@b Fri Nov 20 07:30:00 2026\n" + LETTER.replace(b"\r\n", b"\n"))
    return str(path)


@pytest.fixture
def org(jetmail: CommandLine) -> CommandLine:
    """With two domains."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1:2525", "--verified")
    jetmail.ok("domain", "add", "lax.example", "--destination", "127.0.0.1:2525", "--verified", "--reject-score", "999", "--spam-score", "999",
               "--defer-score", "999")  # fmt: skip
    return jetmail


def test_scan_explains(org: CommandLine, letter: str) -> None:
    """Findings with score, rule and sentence; a ruling and a reply for each recipient; the time of every rule; and no trace of it in the store."""
    (seen,) = org.rows("scan", letter, "--no-dns", "--rcpt", "a@example.org", "--rcpt", "b@lax.example", "--rcpt", "x@elsewhere.example")
    assert seen["reply"].startswith("250 2.0.0 OK queued")
    fates = {fate["recipient"]: (fate["action"], fate["reply"][:9]) for fate in seen["fates"]}
    assert fates["b@lax.example"] == ("pass", "250 2.0.0") and fates["x@elsewhere.example"] == ("reject", "550 5.1.2")
    assert fates["a@example.org"][0] in ("quarantine", "reject", "defer", "mark")
    assert all(each["rule"] and each["text"] for each in seen["findings"])
    assert {"headers", "thresholds", "authentication"} <= {each["rule"] for each in seen["rules"]}
    assert [each["stage"] for each in seen["stages"]] == ["connect", "sender", "recipient", "content", "judgement"]
    assert any(line.startswith("Authentication-Results: ") for line in seen["headers"])
    assert org.rows("log") == []


def test_scan_for_people(org: CommandLine, letter: str) -> None:
    """A table for people; without a recipient nobody in particular gets it; GTUBE is refused."""
    text = org.ok("scan", letter, "--no-dns")
    assert "somebody@scan.invalid" in text and "SCORE" in text and "reply" in text and "ms" in text
    Path(letter).write_text(f"Subject: x\n\n{GTUBE}\n")
    assert "554 5.7.1 [SPAM]" in org.ok("scan", letter, "--no-dns", "--ip", "2001:db8::7", "--mail-from", "<>")


def test_scan_for_nobody_in_particular(org: CommandLine, letter: str) -> None:
    """Without a recipient nothing is held against a message for whom it is addressed to; with one it is."""
    Path(letter).write_text("From: Ann <ann@lax.example>\nTo: bob@example.org\nSubject: Hello\n\nHello Bob, see you on Monday.\n")
    assert "TO_OTHERS" not in org.ok("scan", letter, "--no-dns")
    assert "TO_OTHERS" not in org.ok("scan", letter, "--no-dns", "--rcpt", "bob@example.org")
    assert "TO_OTHERS" in org.ok("scan", letter, "--no-dns", "--rcpt", "carol@example.org")


def test_scan_obeys_lists_and_rules(org: CommandLine, letter: str) -> None:
    """The people's own rules and lists count as they would: blocked by network at RCPT, allowed by rule over the score."""
    org.ok("list", "add", "--scope", "domain:example.org", "block", "192.0.2.0/24")
    words = ("scan", letter, "--no-dns", "--rcpt", "a@example.org", "--ip", "192.0.2.7")
    assert org.rows(*words)[0]["reply"] == "550 5.7.1 [LIST] Blocked by recipient policy"
    org.ok("rule", "add", "allow", "--address", "a@example.org", "--sender", "lottery.example")
    (seen,) = org.rows(*words)
    assert seen["fates"][0]["action"] == "pass" and seen["reply"].startswith("250")


@pytest.mark.parametrize("words", [("--ip", "1.2.3"), ("--rcpt", "x"), ("--mail-from", "a b@c")])
def test_scan_mistakes(org: CommandLine, letter: str, words: tuple[str, ...]) -> None:
    """Each is named."""
    org.run("scan", letter, *words)
    assert org.code == 2 and org.err.startswith(f"jetmail: {words[0]}: ")
    org.run("scan", letter + ".none")
    assert org.code == 1


def test_scan_too_large(org: CommandLine, letter: str) -> None:
    """What would not be received is not judged either."""
    settings = org.directory / "etc" / "jetmail.toml"
    settings.write_text("[smtp]\nmax_message_size = 65536\n")
    Path(letter).write_bytes(b"x" * 70_000)
    org.run("scan", letter)
    assert org.code == 2 and "65536" in org.err


def test_rule_test(org: CommandLine) -> None:
    """A rule of the store or conditions of the command line: how many would have matched, which, and what cannot be told."""
    org.accept(1, "a@example.org", subject="Prize", status="quarantined", data=b"Subject: Prize\r\n\r\nclaim it\r\n")
    org.accept(2, "b@example.org", subject="Invoice")
    text = org.ok("rule", "test", "--domain", "example.org", "--subject", "prize")
    assert "1 of 2 looked at would have matched" in text and "Quarantined" in text
    (rule,) = org.rows("rule", "add", "block", "--domain", "example.org", "--body", "claim", "--name", "claims")
    (tried,) = org.rows("rule", "test", rule["uuid"])
    assert (tried["matched"], tried["looked_at"], [row["match"] for row in tried["rows"]]) == (1, 2, [True])
    assert org.rows("rule", "test", "--subject", "zebra", "--since", "1h")[0]["matched"] == 0
    for words in ((), (rule["uuid"], "--subject", "x"), ("--subject", "regex:(")):
        org.run("rule", "test", *words)
        assert org.code == 2, words
