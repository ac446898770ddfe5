"""Where mail leaves from and when, over real sockets: two sources and the default towards a sink that writes down who came; a warm-up; holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.submitting import Names, Submitting

pytestmark = pytest.mark.slow


@pytest.fixture
def house(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> Iterator[Submitting]:
    """With the user 'app' of the default account, who may send from example.org and other.test."""
    names = Names({})
    settings, ports = Submitting.settings(names, far)
    house = Submitting(make(settings), ports, tmp_path / "password")
    house.user("app", "--domain", "example.org", "--domain", "other.test")
    house.appliance.domain("example.org", far.port)
    house.appliance.start()
    yield house
    names.close()


def send(house: Submitting, *senders: str, to: str = "someone@far.test") -> None:
    """A message of each, one after the other, in one session."""
    session = house.session()
    for number, sender in enumerate(senders):
        session.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: number {number}\r\n\r\ntext\r\n")
    session.quit()


def came(row: dict[str, Any]) -> tuple[str, str, str]:
    """From whom, from where, as whom."""
    return row["sender"], row["peer"], row["helo"]


def test_each_leaves_from_its_own(house: Submitting, far: SinkProcess) -> None:
    """A domain's source before its account's, the default for who has neither; address and EHLO agree, also on connections that are used again."""
    appliance = house.appliance
    appliance.cli("source", "add", "one", "--ipv4", "127.0.0.2", "--hostname", "one.example.test")
    appliance.cli("source", "add", "two", "--ipv4", "127.0.0.3", "--hostname", "two.example.test")
    appliance.cli("source", "assign", "one", "--domain", "example.org")
    appliance.cli("source", "assign", "two", "--account", "default")
    for _ in range(2):
        send(house, "a@example.org", "b@other.test", "c@example.org")
    rows = far.wait_for(6)
    assert {came(row) for row in rows} == {
        ("a@example.org", "127.0.0.2", "one.example.test"),
        ("b@other.test", "127.0.0.3", "two.example.test"),
        ("c@example.org", "127.0.0.2", "one.example.test"),
    }
    appliance.cli("source", "unassign", "--account", "default")
    appliance.cli("source", "set", "one", "--enabled", "no")
    send(house, "a@example.org", "b@other.test")
    rows = far.wait_for(8)[6:]
    assert [row["peer"] for row in rows] == ["127.0.0.1"] * 2
    assert not {row["helo"] for row in rows} & {"one.example.test", "two.example.test"}
    wait_until(lambda: appliance.rows("source", "show", "one")[0]["sent"] == 4, 10, "the count of source one")
    assert appliance.rows("source", "show", "two")[0]["sent"] == 2
    log = appliance.rows("log", "--limit", "8")
    for row, source in ((log[-1], "one"), (log[0], "")):
        (attempt,) = [event for event in appliance.rows("message", "show", row["uid"])[0]["timeline"] if event["kind"] == "attempt"]
        assert attempt["detail"].get("source", "") == source


def test_an_address_that_is_not_here(house: Submitting, far: SinkProcess) -> None:
    """The mail waits, says why, and leaves once the source is right; nobody else's mail to the same place is kept back."""
    appliance = house.appliance
    appliance.cli("source", "add", "one", "--ipv4", "192.0.2.77")
    appliance.cli("source", "assign", "one", "--domain", "example.org")
    send(house, "a@example.org", "b@other.test")
    assert [row["sender"] for row in far.wait_for(1)] == ["b@other.test"]
    (row,) = wait_until(lambda: [row for row in appliance.queued() if row["reason"]], 10, "the reason it waits")
    assert row["reason"] == "source" and "192.0.2.77" in row["reply"]
    appliance.cli("source", "set", "one", "--ipv4", "127.0.0.2")
    appliance.cli("queue", "retry", "--all")
    assert far.wait_for(2)[1]["peer"] == "127.0.0.2"


def test_a_warm_up_and_a_kill(house: Submitting, far: SinkProcess) -> None:
    """Two leave from the new source, in parallel or not; the others by the default, or wait for the next day; a process that was killed remembers."""
    appliance = house.appliance
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    appliance.cli("source", "add", "new", "--ipv4", "127.0.0.2", "--warm-up", today, "--curve", "2")
    appliance.cli("source", "assign", "new", "--domain", "example.org")
    send(house, *[f"u{number}@example.org" for number in range(6)])
    rows = far.wait_for(6)
    assert sorted(row["peer"] for row in rows) == ["127.0.0.1"] * 4 + ["127.0.0.2"] * 2
    appliance.cli("source", "set", "new", "--overflow", "wait")
    send(house, "w@example.org")
    (row,) = wait_until(lambda: [row for row in appliance.queued() if row["reason"]], 10, "the reason it waits")
    assert row["reason"] == "warm-up" and row["next_attempt"] % 86_400 == 0
    appliance.kill()
    appliance.start()
    shown = appliance.rows("source", "show", "new")[0]
    assert (shown["day"], shown["sent"], shown["limit"]) == (1, 2, 2)
    send(house, "w@example.org")
    wait_until(lambda: len([row for row in appliance.queued() if row["reason"] == "warm-up"]) == 2, 10, "both wait")
    assert len(far.received()) == 6


def test_held_until_let_go(house: Submitting, far: SinkProcess) -> None:
    """What a hold rule names is taken and stays; other mail goes; unhold sends it."""
    appliance = house.appliance
    appliance.cli("hold", "add", "--for-user", "app", "--sender", "example.org", "--reason", "look first")
    send(house, "a@example.org", "b@other.test")
    assert [row["sender"] for row in far.wait_for(1)] == ["b@other.test"]
    (row,) = appliance.queued()
    assert (row["sender"], row["held"], row["reason"]) == ("a@example.org", True, "hold-rule")
    assert row["reply"].endswith(": look first")
    appliance.cli("queue", "unhold", "--reason", "hold-rule")
    assert far.wait_for(2)[1]["sender"] == "a@example.org"
    timeline = [event["kind"] for event in appliance.rows("message", "show", row["uid"])[0]["timeline"]]
    assert timeline[:3] == ["received", "hold", "unhold"]
