"""quarantine ...: what was held back, seen and decided about from the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import NOW, CommandLine


@pytest.fixture
def held(jetmail: CommandLine) -> str:
    """One message held for two people of a domain here. -> its uid."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1:2525", "--verified")
    jetmail.accept(2, "zoe@example.org")
    return jetmail.accept(
        1, "alice@example.org", "bob@example.org", status="quarantined", subject="You won\x1b[31m", score=8.2, at=NOW - 7200,
        data=b"From: Lottery <prize@lottery.example>\r\nSubject: You won\r\n\r\nA prize awaits you.\r\n",
    )  # fmt: skip


def test_list_and_show(jetmail: CommandLine, held: str) -> None:
    """What is held is listed with score and age, narrowed by options; what only waits in the queue is not."""
    assert [row["recipient"] for row in jetmail.rows("quarantine", "list")] == ["bob@example.org", "alice@example.org"]
    table = jetmail.ok("quarantine", "list", "--recipient", "Alice@example.org", "--score-min", "8")
    assert held in table and "2h" in table and "8.2" in table and "bob@" not in table and "\x1b" not in table
    assert jetmail.ok("quarantine", "list", "--older-than", "3h") == "nothing is held\n"
    assert "goes to      alice@example.org" in jetmail.ok("quarantine", "show", held)
    jetmail.run("quarantine", "show", "99")
    assert jetmail.code == 1 and "99" in jetmail.err


def test_release_once(jetmail: CommandLine, held: str) -> None:
    """By id for one recipient, by uid for the rest; then it waits in the queue, and a second release is refused."""
    (bob, alice) = [str(row["id"]) for row in jetmail.rows("quarantine", "list")]
    assert "released  1" in jetmail.ok("quarantine", "release", alice)
    assert [row["recipient"] for row in jetmail.rows("queue", "list")] == ["alice@example.org", "zoe@example.org"]
    jetmail.run("quarantine", "release", alice)
    assert jetmail.code == 1 and "not in the quarantine" in jetmail.err
    assert jetmail.rows("quarantine", "release", held) == [{"verb": "released", "count": 1, "ids": [int(bob)]}]
    assert jetmail.rows("quarantine", "list") == []
    assert "released" in jetmail.ok("message", "show", held)


def test_release_and_train(jetmail: CommandLine, held: str) -> None:
    """--train teaches that it is no spam for its recipients."""
    jetmail.ok("quarantine", "release", held, "--train")
    jetmail.run("quarantine", "release", held, "--train")
    assert jetmail.code == 1


def test_delete_asks(jetmail: CommandLine, held: str) -> None:
    """Somebody at a terminal is asked first; the content goes, the log stays."""
    jetmail.run("quarantine", "delete", held, answer="n")
    assert jetmail.code == 1 and "Delete 2 held deliveries? [y/N]" in jetmail.err
    jetmail.ok("quarantine", "delete", held, answer="y")
    assert jetmail.rows("quarantine", "list") == []
    jetmail.run("message", "raw", held)
    assert jetmail.code == 1 and "not kept" in jetmail.err
    assert {row["status"] for row in jetmail.rows("log", "--uid", held)} == {"quarantined"}


@pytest.mark.parametrize("words", [(), ("x",), ("1", "0" * 20), ("--older-than", "soon"), ("--score-min", "high")])
@pytest.mark.parametrize("verb", ["release", "delete"])
def test_nonsense_is_refused(jetmail: CommandLine, verb: str, words: tuple[str, ...]) -> None:
    """Nothing in particular, ids that are none, ids and uids together: usage errors, and nothing is done."""
    jetmail.run("quarantine", verb, *words)
    assert jetmail.code == 2 and jetmail.err.startswith("jetmail: ")
