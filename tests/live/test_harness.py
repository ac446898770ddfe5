"""The instruments themselves: a loader that counts right, a sink that notices damage, a harness that notices death."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.live import harness, loader, sink
from tests.live.sink import SinkProcess

STAND_IN = """
import pathlib, signal, socket, sys, time
words = sys.argv[1:]
if words[0] == "init":
    (pathlib.Path(words[1]) / "etc").mkdir(parents=True)
    (pathlib.Path(words[1]) / "etc" / "jetmail.toml").write_text("[smtp]\\nhostname = 'a'\\n[[listener]]\\nname = 'mx'\\n")
elif "run" in words:
    if (pathlib.Path(words[1]) / "broken").exists():
        sys.exit("jetmail.toml: smtp.hostname: unknown")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("starting", flush=True)
    print("jetmail ready: mx 127.0.0.1:" + words[4], flush=True)
    time.sleep(60)
elif "broken" in words:
    sys.exit("broken: no such command")
else:
    print('{"id": 1}')
    print('{"id": 2}')
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> tuple[str, ...]:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    return (sys.executable, str(script))


def load(port: int, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.live.loader", "--port", str(port), *options]
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_appliance_starts_and_stops(tmp_path: Path, stand_in: tuple[str, ...]) -> None:
    """The harness waits for the ready line, measures it, and stops with SIGTERM."""
    with harness.Appliance(tmp_path / "a", {"smtp": {"hostname": "b"}}, stand_in) as appliance:
        appliance.start()
        assert appliance.running
        assert 0 < appliance.seconds_to_ready < 10
        assert appliance.memory() > 1_000_000
        assert appliance.rows("queue", "list") == [{"id": 1}, {"id": 2}]
        appliance.stop()
        assert not appliance.running
        assert "jetmail ready" in (tmp_path / "a.log").read_text()
    assert tomllib.loads((tmp_path / "a" / "etc" / "jetmail.toml").read_text()) == {"smtp": {"hostname": "b"}, "listener": [{"name": "mx"}]}


def test_appliance_killed(tmp_path: Path, stand_in: tuple[str, ...]) -> None:
    """A killed program can be started again in the same directory."""
    with harness.Appliance(tmp_path / "a", command=stand_in) as appliance:
        first = appliance.start().pid
        appliance.kill()
        assert not appliance.running
        assert appliance.start().pid != first


def test_appliance_that_dies_is_told(tmp_path: Path, stand_in: tuple[str, ...]) -> None:
    """A program that exits instead of getting ready fails at once, with its own words."""
    with harness.Appliance(tmp_path / "a", command=stand_in) as appliance:
        (tmp_path / "a" / "broken").touch()
        with pytest.raises(harness.NotReady, match="smtp.hostname: unknown"):
            appliance.start()
        with pytest.raises(AssertionError, match="no such command"):
            appliance.cli("broken")


def test_toml_round_trip() -> None:
    """Settings survive being written: nested tables, lists of tables, text with quotes."""
    value = {"a": 1, "text": 'say "hé"\n', "list": [1.5, 2], "t": {"u": {"v": True}, "w": "x"}, "many": [{"n": "1", "deep": {"d": 1}}, {"n": "2"}]}
    assert tomllib.loads(harness.toml(value)) == value


def test_loader_and_sink_agree(tmp_path: Path) -> None:
    """What the loader was answered 250 for is what the sink wrote down, large and small, whole, recipient by recipient."""
    with SinkProcess(tmp_path / "log") as far:
        lines = load(
            far.port,
            "--messages",
            "60",
            "--sessions",
            "5",
            "--every-large",
            "10",
            "--every-several",
            "5",
            "--report",
            "--domain",
            "a.test",
            "--domain",
            "b.test",
            "--per-connection",
            "3",
        )
        received = far.received()
    *accepted, summary = lines
    assert summary["accepted"] == len(accepted) == len(received) == 60
    assert {address for line in accepted for address in line["recipients"]} == {address for row in received for address in row["recipients"]}
    assert all(row["whole"] for row in received)
    assert max(row["size"] for row in received) > 140_000
    assert any(len(row["recipients"]) == 3 for row in received)


def test_loader_claims_nothing_for_a_refusal(tmp_path: Path) -> None:
    """A message that was refused or deferred is not counted as accepted."""
    with SinkProcess(tmp_path / "log", "--defer", "0.5") as far:
        *accepted, summary = load(far.port, "--messages", "40", "--sessions", "4", "--report")
        assert len(far.received()) == len(accepted) == summary["accepted"]
        assert summary["refused"] and summary["accepted"]


def test_sink_notices_damage() -> None:
    """One octet changed in the body is noticed; a message without a digest is not judged."""
    message = loader.content("m-1", 2000, random.Random(1))
    assert sink.whole(b"Received: by us\r\n" + message) is True
    assert sink.whole(message[:-9] + b"#" + message[-8:]) is False
    assert sink.whole(b"Subject: x\r\n\r\nbody\r\n") is None


@pytest.mark.parametrize("phase", sink.PHASES)
def test_sink_stalls(tmp_path: Path, phase: str) -> None:
    """The stalling sink goes silent exactly in the phase it was told to."""
    with SinkProcess(tmp_path / "log", "--stall", phase) as far:
        *_, summary = load(far.port, "--messages", "1", "--sessions", "1", "--timeout", "0.5", "--pipelined")
    assert summary["accepted"] == (1 if phase == "quit" else 0)
    assert summary["broken"] == 1
