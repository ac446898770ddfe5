"""Many domains behind one host: its limits bind them all, a burst of 421s cools it down, and people suspend and resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client

pytestmark = pytest.mark.slow

DOMAINS = 4
EACH = 5
PRESETS = """
[relay]
connections = 2
burst = 4
pauses = [8.0, 8.0]
recover = 3
"""


def build(make: Callable[..., Appliance], sink: SinkProcess, presets: str = PRESETS) -> Appliance:
    """An appliance with some domains, all of whose mail goes to the sink."""
    appliance = make()
    (appliance.directory / "etc" / "providers.toml").write_text(presets, "utf-8")
    for number in range(DOMAINS):
        appliance.domain(f"d{number}.example.test", sink.port, "--tls", "none")
    return appliance.start()


def send(appliance: Appliance) -> None:
    """A few messages to each domain."""
    with Client(appliance.smtp_port) as client:
        for each in range(EACH):
            for number in range(DOMAINS):
                client.send(f"someone-{each}@d{number}.example.test", b"Subject: hello\r\n\r\nhello\r\n")


def test_a_burst_of_421(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """A host that answers with 421s is left alone, people see why, and then all its mail arrives over no more connections than it takes."""
    with SinkProcess(tmp_path / "sink", "--throttle", "4") as sink:
        appliance = build(make, sink)
        site = f"127.0.0.1:{sink.port}"
        began = time.monotonic()
        send(appliance)
        trouble = wait_until(lambda: appliance.rows("queue", "destinations"), 10, "the site cools down")
        assert (trouble[0]["kind"], trouble[0]["name"], trouble[0]["state"]) == ("site", site, "cooling")
        assert "you send too much" in trouble[0]["reply"]
        waits = wait_until(lambda: [row for row in appliance.queued() if row["lane_reason"] == "cooling"], 10, "mail waits for the site")
        assert all(row["lane_reply"].startswith("cooled down: 4 of 4 attempts were told to slow down by " + site) for row in waits)
        received = sink.wait_for(DOMAINS * EACH, 60)
        assert time.monotonic() - began >= 8.0 * 0.9  # jitter
        assert len(received) == DOMAINS * EACH and max(row["connections"] for row in received) <= 2
        wait_until(lambda: not appliance.rows("queue", "destinations"), 10, "the site is well again")
        assert any(_was_told(appliance, row["uid"]) for row in appliance.rows("log", "--limit", "100"))


def _was_told(appliance: Appliance, uid: str) -> bool:
    (shown,) = appliance.rows("message", "show", uid)
    return any(event["kind"] == "cooled" and event["detail"]["reply"].startswith("cooled down: ") for event in shown["timeline"])


def test_suspended_at_once(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """A running jetmail sends nothing to a destination that is suspended, goes on with the others, and delivers when it is resumed."""
    with SinkProcess(tmp_path / "sink") as sink:
        appliance = build(make, sink)
        appliance.cli("queue", "suspend", "d0.example.test", "--reason", "moving")
        send(appliance)
        received = sink.wait_for((DOMAINS - 1) * EACH)
        assert not [row for row in received if row["recipients"][0].endswith("@d0.example.test")]
        (row,) = appliance.rows("queue", "destinations")
        assert (row["name"], row["state"], row["waiting"], row["note"]) == ("d0.example.test", "suspended", EACH, "moving")
        appliance.cli("queue", "resume", "d0.example.test")
        sink.wait_for(DOMAINS * EACH, 10)


def test_evenly(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """Five a second means five a second, however many domains there are."""
    with SinkProcess(tmp_path / "sink") as sink:
        appliance = build(make, sink, "[relay]\nper_minute = 300\n")
        began = time.monotonic()
        send(appliance)
        sink.wait_for(DOMAINS * EACH)
        assert time.monotonic() - began >= (DOMAINS * EACH - 1 - 5) / 5


def test_bad_presets(make: Callable[..., Appliance]) -> None:
    """Faults of etc/providers.toml keep it from starting, and `check` lists them all."""
    appliance = make()
    (appliance.directory / "etc" / "providers.toml").write_text("[default]\nspeed = 1\nconnections = -1\n", "utf-8")
    with pytest.raises(AssertionError):
        appliance.start()
    assert "default: speed: unknown setting" in appliance.output()
    found = [row["reason"] for row in _problems(appliance)]
    assert len([reason for reason in found if "speed" in reason or "connections" in reason]) == 2


def _problems(appliance: Appliance) -> list[dict[str, str]]:
    return [json.loads(line) for line in appliance.cli("check", "--json", check=False).splitlines()]
