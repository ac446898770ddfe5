"""The demo: what it makes, what it refuses, what it tells."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from jetmail import config as settings
from jetmail.cli import demo, demo_mail
from jetmail.cli.demo_server import Teller
from jetmail.store.traffic.search import LogRow
from tests.cli.conftest import CommandLine


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str]]]:
    """What would have been started, with every port free."""
    calls: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(demo, "twistd", lambda file, options: calls.append((file, list(options))) or 0)
    monkeypatch.setattr(demo, "port_problem", lambda address, port: "")
    return calls


def test_makes_a_directory_like_any_other(tmp_path: Path, started: list[tuple[Path, list[str]]]) -> None:
    """Settings, store, the verified domain, its people and its destination are there, and other commands work on it."""
    line = CommandLine(tmp_path / "demo")
    line.ok("demo", "--inbox-port", "3526")
    assert started == [(line.directory / "etc" / "jetmail.toml", ["--demo-inbox-port=3526"])]
    (row,) = line.rows("domain", "list")
    assert (row["name"], row["recipients"], [(each["host"], each["port"]) for each in row["destinations"]]) == (
        "demo.test",
        "listed",
        [("127.0.0.1", 3526)],
    )
    assert "alice@demo.test" in [row["address"] for row in line.rows("recipient", "list", "demo.test")]
    config = settings.load(line.directory / "etc" / "jetmail.toml")
    assert ({listener.address for listener in config.listeners}, config.server.postmaster) == ({"127.0.0.1"}, "postmaster@demo.test")


def test_goes_on_where_it_was(tmp_path: Path, started: list[tuple[Path, list[str]]]) -> None:
    """Started again, what people changed stays and the ports are those of last time; other ports are taken over."""
    line = CommandLine(tmp_path / "demo")
    line.ok("demo", "--smtp-port", "3525", "--inbox-port", "3526")
    line.ok("recipient", "add", "dave@demo.test")
    file = line.directory / "etc" / "jetmail.toml"
    file.write_text(file.read_text() + "# mine\n")
    line.ok("demo")
    assert file.read_text().endswith("# mine\n")
    assert started[-1][1] == ["--demo-inbox-port=3526"]
    assert "dave@demo.test" in line.ok("recipient", "list", "demo.test")
    line.ok("demo", "--smtp-port", "4525")
    assert settings.load(file).listeners[0].port == 4525


def test_a_taken_port_is_named(tmp_path: Path, started: list[tuple[Path, list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every port that is taken is told with the option to change it; nothing is made and nothing started."""
    monkeypatch.setattr(
        demo,
        "port_problem",
        lambda address, port: f"port {port} of {address} cannot be opened: address already in use" if port in (2525, 8080) else "",
    )
    line = CommandLine(tmp_path / "demo")
    line.run("demo")
    assert line.code == 1
    assert [text.split(": port")[0] for text in line.err.splitlines()] == ["jetmail: --smtp-port", "jetmail: --http-port"]
    assert "in use" in line.err and "--smtp-port N" in line.err
    assert started == [] and not line.directory.exists()


def test_one_port_for_two(tmp_path: Path, started: list[tuple[Path, list[str]]]) -> None:
    """The same port twice is refused before anything starts."""
    line = CommandLine(tmp_path / "demo")
    line.run("demo", "--smtp-port", "3000", "--inbox-port", "3000")
    assert line.code == 1 and "3000" in line.err and started == []


def test_demo_mail_without_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody answers, it says to start the demo first."""
    monkeypatch.setattr(demo_mail, "answers", lambda host, port: False)
    line = CommandLine(tmp_path / "demo")
    line.run("demo-mail")
    assert line.code == 1 and "start the demo first" in line.err


def test_demo_mail_judges_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong answer makes the whole fail and is named; all right is exit code 0."""
    monkeypatch.setattr(demo_mail, "answers", lambda host, port: True)
    right = demo_mail.Sent("plain", ("alice@demo.test",), "accepted", "250 ok", True, 300)
    results = [right]
    monkeypatch.setattr(demo_mail, "send_all", lambda host, port, domain: results)
    line = CommandLine(tmp_path / "demo")
    assert "each answered as it should be" in line.ok("demo-mail")
    results.append(dataclasses.replace(right, name="a bare LF", is_right=False))
    line.run("demo-mail")
    assert line.code == 1 and "answered wrongly: a bare LF" in line.out and "WRONG" in line.out


@pytest.mark.parametrize("sample", demo_mail.samples("demo.test"), ids=lambda sample: sample.name)
def test_a_sample_that_breaks_is_wrong(sample: demo_mail.Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be made is a wrong answer and no exception."""

    def refuse(*arguments: object, **options: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(demo_mail.socket, "create_connection", refuse)
    monkeypatch.setattr(demo_mail, "samples", lambda domain: (sample,))
    (sent,) = demo_mail.send_all("127.0.0.1", 1)
    assert not sent.is_right and "refused" in sent.reply


ROW = LogRow(
    message_id=7, delivery_id=9, uid="x", direction="inbound", received=0.0, sender="a@sender.example", header_from="", subject="hello", size=1,
    score=None, client_address="", user="",
    response="250 ok", recipient="b@demo.test", domain="demo.test", target="b@demo.test", destination="demo.test",
    status="queued", reason="", reply="", held=False, attempts=1, next_attempt=0.0, finished=None,
)  # fmt: skip


def test_each_message_is_told_once_for_each_state() -> None:
    """Old news is not told; a new message is, and again when something became of it, but not in between."""
    said: list[str] = []
    teller = Teller(said.append)
    teller.tell((ROW,))
    assert said == []
    fresh = dataclasses.replace(ROW, message_id=8, delivery_id=10)
    done = dataclasses.replace(fresh, status="delivered", reply="250 filed")
    for rows in ((fresh, ROW), (fresh, ROW), (done, ROW), (done, ROW)):
        teller.tell(rows)
    assert [("Queued" in line, "Delivered" in line) for line in said] == [(True, False), (False, True)]
    assert "a@sender.example -> b@demo.test" in said[0] and "[250 filed]" in said[1]


def test_a_retry_is_told() -> None:
    """Another attempt that failed is news, with the reason the destination gave."""
    said: list[str] = []
    teller = Teller(said.append)
    teller.tell(())
    for attempts in (1, 2):
        teller.tell((dataclasses.replace(ROW, attempts=attempts, reply="451 later"),))
    assert len(said) == 2 and "451 later" in said[1]
