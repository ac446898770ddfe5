"""webhook add, list, show, set, remove, rotate, deliveries, dead, resend, test."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import webhook_queue
from jetmail.store.traffic.happenings import Position
from jetmail.store.traffic.webhook_queue import Bounds, NewEvent, Told
from tests.cli.conftest import NOW, CommandLine

URL = "https://crm.example.org/mail"


def queue(jetmail: CommandLine, uuid: str, *events: str) -> None:
    """Events as the running process queues them, each refused for good."""
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    news = [NewEvent(uuid, event, "outbound.bounced", b'{"id":1}') for event in events]
    database.run(webhook_queue.add, news, Position(), NOW, Bounds())
    for event in events:
        row = webhook_queue.get(database.connection, uuid, event)
        assert row is not None
        database.run(webhook_queue.record, Told(row.id, "dead", 404, "answered 404", NOW + 1))
    database.close()


def test_add(jetmail: CommandLine) -> None:
    """The secret is shown once; list and show tell the rest."""
    (made,) = jetmail.rows("webhook", "add", "crm", URL, "--event", "outbound.*", "--domain", "example.org")
    assert made["secret"].startswith("whsec_") and made["events"] == ["outbound.*"] and made["account"] == "default"
    assert "shown this once" in jetmail.err
    (row,) = jetmail.rows("webhook", "list")
    assert row["name"] == "crm" and "secret" not in row and row["queue"]["waiting"] == 0
    text = jetmail.ok("webhook", "show", made["uuid"])
    assert URL in text and "outbound.*" in text and made["secret"] not in text
    (own,) = jetmail.rows("webhook", "add", "all", "http://127.0.0.1:8000/", "--appliance", "--allow-private")
    assert (own["account"], own["allow_private"], own["events"]) == ("", True, ["*"])
    assert "(appliance)" in jetmail.ok("webhook", "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "x", "http://a.test/"), "url: must begin with https://"),
        (("add", "x", URL, "--event", "outbound.opened"), "events: 'outbound.opened' is none of: *, outbound.*, inbound.*, outbound.queued"),
        (("add", "x", URL, "--user", "nobody"), "smtp_users: no such user"),
        (("add", "x", URL, "--appliance", "--account", "default"), "--appliance"),
        (("set", "crm"), "changes: nothing to set"),
        (("resend", "crm"), "EVENT: name the events, or say --all"),
        (("resend", "crm", "evt_1", "--all"), "EVENT"),
    ],
)
def test_mistakes(jetmail: CommandLine, words: tuple[str, ...], said: str) -> None:
    """A mistake names the field and the reason, with exit code 2."""
    jetmail.ok("webhook", "add", "crm", URL)
    jetmail.run("webhook", *words)
    assert jetmail.code == 2 and said in jetmail.err


def test_nobody(jetmail: CommandLine) -> None:
    """What is not there is said, with exit code 1."""
    assert "make one with" in jetmail.ok("webhook", "list")
    for words in (("show", "crm"), ("remove", "crm"), ("rotate", "crm"), ("dead", "crm"), ("add", "x", URL, "--account", "none")):
        jetmail.run("webhook", *words)
        assert jetmail.code == 1 and "no such" in jetmail.err


def test_set(jetmail: CommandLine) -> None:
    """What is given changes; none empties a list; off and on."""
    jetmail.ok("webhook", "add", "crm", URL, "--domain", "example.org")
    (row,) = jetmail.rows("webhook", "set", "crm", "--name", "erp", "--event", "inbound.spam", "--domain", "none", "--enabled", "no")
    assert (row["name"], row["events"], row["domains"], row["is_enabled"], row["url"]) == ("erp", ["inbound.spam"], [], False, URL)
    assert "secret" not in row
    (row,) = jetmail.rows("webhook", "set", "erp", "--enabled", "yes", "--url", "http://10.0.0.1/", "--allow-private", "yes")
    assert (row["is_enabled"], row["allow_private"]) == (True, True)


def test_rotate(jetmail: CommandLine) -> None:
    """A new secret, and how long the old one counts."""
    (first,) = jetmail.rows("webhook", "add", "crm", URL)
    (row,) = jetmail.rows("webhook", "rotate", "crm", "--overlap", "2h")
    assert row["secret"] != first["secret"] and row["old_secret_until"] == NOW + 7_200
    assert "old secret until" in jetmail.ok("webhook", "show", "crm")


def test_letters(jetmail: CommandLine) -> None:
    """Dead letters are listed with the reason, shown with what is sent, and sent again by id or all together."""
    (made,) = jetmail.rows("webhook", "add", "crm", URL)
    queue(jetmail, made["uuid"], "evt_1", "evt_2", "evt_3")
    assert [row["event"] for row in jetmail.rows("webhook", "dead", "crm")] == ["evt_3", "evt_2", "evt_1"]
    assert "answered 404" in jetmail.ok("webhook", "dead", "crm")
    assert '{"id":1}' in jetmail.ok("webhook", "deliveries", "crm", "--event", "evt_1")
    assert jetmail.rows("webhook", "resend", "crm", "evt_1") == [{"resent": 1}]
    jetmail.run("webhook", "resend", "crm", "evt_1")
    assert jetmail.code == 1 and "no dead letter" in jetmail.err
    assert [row["event"] for row in jetmail.rows("webhook", "deliveries", "crm", "--state", "waiting")] == ["evt_1"]
    assert jetmail.rows("webhook", "resend", "crm", "--all") == [{"resent": 2}]
    assert "no dead letters" in jetmail.ok("webhook", "dead", "crm")
    assert len(jetmail.rows("webhook", "deliveries", "crm", "--limit", "2")) == 2


def test_test(jetmail: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is sent by the running process: without one it is refused at once, and what is not answered in time is said to be so."""
    jetmail.ok("webhook", "add", "crm", URL)
    jetmail.run("webhook", "test", "crm")
    assert jetmail.code == 1 and "does not run" in jetmail.err
    monkeypatch.chdir(jetmail.directory / "var")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("jetmail.sock")
        jetmail.run("webhook", "test", "crm", "--wait", "0s", "--json")
    assert jetmail.code == 1 and "no answer within" in jetmail.err and '"state": "waiting"' in jetmail.out.replace('":"', '": "')


def test_remove(jetmail: CommandLine) -> None:
    """Asked first at a terminal, then gone."""
    jetmail.ok("webhook", "add", "crm", URL)
    jetmail.run("webhook", "remove", "crm", answer="n")
    assert jetmail.code == 1
    jetmail.ok("webhook", "remove", "crm", "--yes")
    assert jetmail.rows("webhook", "list") == []
