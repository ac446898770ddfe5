"""queue ..., log, message, stats: seeing and changing what is in the traffic half of the store."""

from __future__ import annotations

import pytest

from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import sites
from jetmail.store.traffic.sites import SiteState
from tests.cli.conftest import NOW, CommandLine


def test_list_shows_what_waits(jetmail: CommandLine) -> None:
    """Each queued delivery has its id, age, attempts, next attempt and reason, newest first."""
    first = jetmail.accept(1, "alice@example.org", at=NOW - 7200)
    second = jetmail.accept(2, "bob@example.net", "carol@example.net")
    assert [row["uid"] for row in jetmail.rows("queue", "list")] == [second, second, first]
    table = jetmail.ok("queue", "list", "--recipient", "alice@example.org")
    assert "alice@example.org" in table and "2h" in table and "bob" not in table


def test_selection_options_narrow_together(jetmail: CommandLine) -> None:
    """Destination, age and sender must all fit."""
    jetmail.accept(1, "alice@example.org", at=NOW - 7200)
    jetmail.accept(2, "alice@example.org")
    jetmail.accept(3, "bob@example.net", at=NOW - 7200, sender="other@sender.example")
    assert len(jetmail.rows("queue", "list", "--older-than", "1h")) == 2
    assert len(jetmail.rows("queue", "list", "--older-than", "1h", "--destination", "example.org")) == 1
    assert len(jetmail.rows("queue", "list", "--sender", "other@sender.example", "--domain", "example.net")) == 1


def test_limit_is_exact(jetmail: CommandLine) -> None:
    """No more rows than asked for."""
    for number in range(5):
        jetmail.accept(number, "alice@example.org")
    assert len(jetmail.rows("queue", "list", "--limit", "3")) == 3


def test_hold_and_unhold(jetmail: CommandLine) -> None:
    """What is held says so, is found with --held, and comes back."""
    uid = jetmail.accept(1, "alice@example.org")
    jetmail.ok("queue", "hold", uid)
    assert [row["held"] for row in jetmail.rows("queue", "list", "--held")] == [1]
    assert "held" in jetmail.ok("queue", "show", uid)
    assert "Queued (held)" in jetmail.ok("log")
    jetmail.ok("queue", "unhold", "--recipient", "alice@example.org")
    assert jetmail.rows("queue", "list", "--held") == []


def test_delete_takes_it_out(jetmail: CommandLine) -> None:
    """A deleted delivery waits no more, and its message's timeline says who did it."""
    uid = jetmail.accept(1, "alice@example.org", "bob@example.org")
    ids = [str(row["id"]) for row in jetmail.rows("queue", "list", "--recipient", "bob@example.org")]
    assert "deleted  1" in jetmail.ok("queue", "delete", *ids)
    assert [row["recipient"] for row in jetmail.rows("queue", "list")] == ["alice@example.org"]
    (shown,) = jetmail.rows("message", "show", uid)
    assert any(event["kind"] != "received" for event in shown["timeline"])


def test_what_the_log_says_of_deleted_mail(jetmail: CommandLine) -> None:
    """That somebody deleted it, and not that it was queued once; what we told the client stays with mail nobody has decided about."""
    jetmail.accept(1, "alice@example.org", "bob@example.org")
    jetmail.ok("queue", "delete", "--recipient", "bob@example.org", "--yes")
    kept, gone = sorted(jetmail.ok("log", "--wide").splitlines()[1:], key=lambda line: "bob@" in line)
    assert "Rejected" in gone and gone.endswith("deleted by an administrator") and "250" not in gone
    assert "Queued" in kept and "250 2.0.0" in kept


def test_delete_asks_at_a_terminal(jetmail: CommandLine) -> None:
    """Somebody at a terminal is asked first; anything but yes changes nothing; --yes is not asked."""
    uid = jetmail.accept(1, "alice@example.org")
    jetmail.run("queue", "delete", uid, answer="n")
    assert jetmail.code == 1 and "Delete 1 delivery? [y/N]" in jetmail.err
    assert len(jetmail.rows("queue", "list")) == 1
    jetmail.ok("queue", "delete", uid, answer="y")
    assert jetmail.rows("queue", "list") == []
    jetmail.accept(2, "alice@example.org")
    jetmail.ok("queue", "delete", "--all", "--yes", answer="n")
    assert jetmail.rows("queue", "list") == []


@pytest.mark.parametrize("verb", ["retry", "hold", "unhold", "bounce", "delete"])
def test_no_selection_is_refused(jetmail: CommandLine, verb: str) -> None:
    """A change of nothing in particular is a mistake, not a change of everything."""
    jetmail.accept(1, "alice@example.org")
    jetmail.run("queue", verb)
    assert jetmail.code == 2 and jetmail.err.startswith("jetmail: selection: ")


def test_ids_must_be_ids(jetmail: CommandLine) -> None:
    """An id that can be none is named."""
    for words in ("x", "0", "1.5", "-1", "9" * 30):
        jetmail.run("queue", "show", words)
        assert jetmail.code == 2, words
    jetmail.run("queue", "show", "17")
    assert jetmail.code == 1 and "17" in jetmail.err


def test_reasons_count_by_destination(jetmail: CommandLine) -> None:
    """Why the queue is long, most first."""
    jetmail.accept(1, "alice@example.org", "bob@example.org")
    jetmail.accept(2, "carol@example.net")
    assert [(row["destination"], row["count"]) for row in jetmail.rows("queue", "reasons")] == [("example.org", 2), ("example.net", 1)]


def test_log_finds_by_every_field(jetmail: CommandLine) -> None:
    """Each search option finds its message and not the other."""
    wanted = jetmail.accept(
        1, "alice@example.org", at=NOW - 3600, sender="boss@partner.example", subject="Quarterly Figures", client_address="192.0.2.7",
        response="250 2.0.0 taken in", user="crm-mailer", score=5.5,
    )  # fmt: skip
    jetmail.accept(2, "bob@example.net", at=NOW - 9 * 86400, status="rejected")
    for words in (
        ("--to", "ALICE"), ("--from", "partner"), ("--subject", "quarterly"), ("--uid", wanted), ("--domain", "example.org"), ("--status", "queued"),
        ("--response", "taken in"), ("--user", "crm-mailer"), ("--ip", "192.0.2.7"), ("--since", "2d"), ("--score-min", "5"),
            ("--since", "2026-11-19"),
    ):  # fmt: skip
        assert [row["uid"] for row in jetmail.rows("log", *words)] == [wanted], words
    assert len(jetmail.rows("log", "--status", "queued", "--status", "rejected")) == 2
    assert jetmail.rows("log", "--until", "2026-11-01") == []


def test_log_refuses_nonsense(jetmail: CommandLine) -> None:
    """A range that ends before it starts, an unknown status and a broken cursor are usage errors."""
    for words in (
        ("--since", "1d", "--until", "2d"),
        ("--status", "lost"),
        ("--after", "x"),
        ("--ip", "mail"),
        ("--since", "tomorrow"),
        ("--uid", "a b"),
    ):
        jetmail.run("log", *words)
        assert jetmail.code == 2 and jetmail.err.startswith("jetmail: "), words
    jetmail.run("log", "--since", "1d", "--until", "2d")
    assert jetmail.err == "jetmail: --since: is later than --until\n"  # the words that were typed


def test_log_pages(jetmail: CommandLine) -> None:
    """A page that is not the last says how to go on, and going on repeats nothing."""
    for number in range(5):
        jetmail.accept(number, "alice@example.org")
    jetmail.ok("log", "--limit", "3")
    cursor = jetmail.err.split("--after ")[1].strip()
    assert len(jetmail.rows("log", "--after", cursor)) == 2


def test_message_raw_is_the_content(jetmail: CommandLine) -> None:
    """The octets as a destination gets them; once they are not kept, that is said."""
    uid = jetmail.accept(1, "alice@example.org", data=b"Subject: raw\r\n\r\nthe text\r\n")
    assert jetmail.ok("message", "raw", uid) == "Subject: raw\r\n\r\nthe text\r\n"
    jetmail.ok("queue", "delete", uid)
    jetmail.run("message", "raw", uid)
    assert jetmail.code == 1 and "not kept" in jetmail.err


def test_message_show_is_complete(jetmail: CommandLine) -> None:
    """Envelope, every recipient and the timeline are there, for people and as one object."""
    uid = jetmail.accept(1, "alice@example.org", "bob@example.org", subject="See\x1b[31m me")
    text = jetmail.ok("message", "show", uid)
    assert all(word in text for word in ("a@sender.example", "alice@example.org", "bob@example.org", "received"))
    assert "\x1b" not in text
    (shown,) = jetmail.rows("message", "show", uid)
    assert [row["recipient"] for row in shown["deliveries"]] == ["alice@example.org", "bob@example.org"]
    jetmail.run("message", "show", "0" * 20)
    assert jetmail.code == 1


def test_stats_count(jetmail: CommandLine) -> None:
    """The queue's length, its oldest, and what became of recent mail."""
    jetmail.accept(1, "alice@example.org", at=NOW - 7200)
    jetmail.accept(2, "bob@example.org", status="delivered")
    (seen,) = jetmail.rows("stats")
    assert seen["status"] == {"queued": 1, "delivered": 1} and seen["queue"]["queued"] == 1
    assert "2h" in jetmail.ok("stats")


def test_suspend_and_resume(jetmail: CommandLine) -> None:
    """A suspended destination is listed with what waits and why, its mail says so, and resume ends it."""
    jetmail.accept(1, "alice@example.org", "bob@example.org")
    assert "example.org" in jetmail.ok("queue", "suspend", "Example.ORG", "--reason", "moving to new servers")
    (row,) = jetmail.rows("queue", "destinations")
    assert (row["kind"], row["name"], row["state"], row["waiting"], row["note"]) == (
        "destination",
        "example.org",
        "suspended",
        2,
        "moving to new servers",
    )
    assert "moving to new servers" in jetmail.ok("queue", "destinations")
    assert "suspended" in jetmail.ok("queue", "list")
    jetmail.ok("queue", "resume", "example.org")
    assert jetmail.ok("queue", "destinations") == "every destination is well\n"
    jetmail.run("queue", "resume", "example.org")
    assert jetmail.code == 1 and "not suspended" in jetmail.err


def test_suspend_a_site(jetmail: CommandLine) -> None:
    """A provider is suspended by its name; one that nobody knows is refused with those that are known."""
    jetmail.ok("queue", "suspend", "gmail", "--site")
    (row,) = jetmail.rows("queue", "destinations")
    assert (row["kind"], row["name"], row["state"]) == ("site", "gmail", "suspended")
    jetmail.run("queue", "suspend", "gmial", "--site")
    assert jetmail.code == 2 and "gmail" in jetmail.err
    jetmail.ok("queue", "resume", "gmail", "--site")
    assert jetmail.rows("queue", "destinations") == []


def test_cooling_is_the_reason(jetmail: CommandLine) -> None:
    """What waits for a site that cools down says what happened, in the list and of each delivery."""
    uid = jetmail.accept(1, "alice@example.org")
    said = "cooled down: 5 of 5 attempts were told to slow down by big, last: 421 4.7.28 slower"
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(sites.save, SiteState("big", 1, NOW - 10, NOW + 50, said))
    database.run(sites.wait_for, "example.org", "big", NOW + 50, said)
    database.close()
    assert "cooling" in jetmail.ok("queue", "list")
    assert said in jetmail.ok("queue", "show", uid)
    table = jetmail.ok("queue", "destinations")
    assert "big (site)" in table and f"waits for big: {said}" in table and "in 50s" in table
    assert {row["state"] for row in jetmail.rows("queue", "destinations")} == {"cooling"}


def test_a_site_whose_pause_is_over_recovers(jetmail: CommandLine) -> None:
    """It has less than its usual limits still, which is not the same as waiting."""
    jetmail.accept(1, "alice@example.org")
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(sites.save, SiteState("big", 2, NOW - 100, NOW - 10, "cooled down: slower"))
    database.close()
    (row,) = jetmail.rows("queue", "destinations")
    assert row["state"] == "recovering"
    assert "recovering" in jetmail.ok("queue", "destinations") and "cooling" not in jetmail.ok("queue", "destinations")
