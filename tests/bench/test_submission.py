"""The bench of submission tells the truth: what it counts, what it refuses to print, and what it says when there is no peer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench import submission
from tests.bench.loading import Lied, Load
from tests.bench.submission import Certificate, Submission


def test_report() -> None:
    """Rounds, medians, processor time and the ratio of neighbours; how each side keeps the password is said."""
    options = argparse.Namespace(messages=100, size=4096, sessions=20, shipped=True, rounds=2, peer_hash="plain")
    ours = [{"rate": 400.0, "cpu_ms": 1.8, "loader_ms": 1.0}, {"rate": 500.0, "cpu_ms": 2.0, "loader_ms": 1.0}]
    theirs = [{"rate": 200.0, "cpu_ms": 3.6, "loader_ms": 1.0}, {"rate": 500.0, "cpu_ms": 3.6, "loader_ms": 1.0}]
    result = submission.report(options, {"jetmail": ours, "postfix+dovecot": theirs})
    assert result["ratio"]["postfix+dovecot"] == {"min": 1.0, "median": 1.5, "max": 2.0}
    assert result["password"]["postfix+dovecot"] == "plain"
    lines = "\n".join(submission.told(result))
    assert "1.90 ms CPU a message" in lines and "jetmail/postfix+dovecot" in lines and "postfix+dovecot: plain" in lines


def test_missing_peer_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Postfix or Dovecot the bench says which is missing and how to get it, and prints no ratio."""

    class Nothing:
        name, submission_port = "jetmail", 0

        def __init__(self, *_: object, **__: object) -> None: ...
        def start(self) -> None: ...
        def stop(self) -> None: ...

    monkeypatch.setattr(submission, "unavailable", lambda: "dovecot is not installed (Debian: apt-get install dovecot-core)")
    monkeypatch.setattr(submission, "Submission", Nothing)
    monkeypatch.setattr(submission, "measure", lambda *_: {"rate": 1.0, "loader_ms": 1.0})
    result = submission.run(command.arguments(["submission", "--postfix", "--messages", "2", "--rounds", "1"]))
    assert result["ratio"] == {}
    assert "NO PEER: dovecot is not installed (Debian: apt-get install dovecot-core)" in capsys.readouterr().err


@pytest.fixture
def side() -> Iterator[tuple[Submission, Path]]:
    """A private appliance, and where its user's password is."""
    certificate = Certificate()
    made = Submission(certificate)
    try:
        made.start()
        yield made, certificate.secret
    finally:
        made.stop()
        certificate.remove()


@pytest.mark.slow
def test_loader(side: tuple[Submission, Path]) -> None:
    """Every message signs in, is answered 250 and is in the queue; with a wrong password there is no figure."""
    ours, secret = side
    found = submission.measure(ours, Load(40, 4096, 4), secret)
    assert found["rate"] > 0 and ours.stored() == 40
    secret.write_text("another password\n")
    with pytest.raises(Lied, match="0 of 4 messages answered 250.*535 Authentication failed"):
        submission.measure(ours, Load(4, 4096, 4), secret)
