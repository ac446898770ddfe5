"""The crash test: a load, a sink, and the product killed at random moments between them.

A loader in a process of its own sends mail over real sockets and remembers each recipient whose message was answered 250; it knows nothing of the
kills but the connections that break. A sink in another process writes down what it is given before it says 250, and answers some RCPTs 451. The
product is killed with SIGKILL, at random moments under load and now and then while it is starting, and started again in the same directory.
At the end the load stops, the queue drains, and the books are compared: whatever was answered 250 must be in the sink or in `queue list`.

A tenth of the mail is for a destination that is down, so that at every kill there is a queue to lose. Some messages are too large for the store's
rows, so that spool files are killed half-written too. Each message carries the digest of its body.

Delivery is at least once: a message the sink took while the product died before recording it is sent again, and counted here as a duplicate.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live.harness import ROOT, Appliance, free_port
from tests.live.sink import SinkProcess

UP, DOWN = "up.test", "down.test"

SETTINGS: dict[str, Any] = {
    "server": {"hostname": "crash.example.test"},
    "smtp": {"max_per_address": 1000, "stop_grace": 2.0},
    # Dense, so that what a kill left behind is tried again while the test still runs.
    "queue": {"retries": [0.5, 1.0, 1.0, 2.0], "jitter": 0.2, "probe_first": 0.5, "probe_last": 2.0, "delay_notice": 0.0},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is done. `rate` messages a second over `sessions` connections; one message in `every_large` is a spool file."""

    kills: int = 25
    seed: int = 1
    rate: float = 200.0
    sessions: int = 8
    every_large: int = 25
    every_several: int = 10
    defer: float = 0.05
    longest: float = 1.5
    drain: float = 180.0


@dataclass
class Result:
    """The books at the end, by recipient. `lost` and `damaged` name them."""

    kills: int = 0
    killed_while_starting: int = 0
    accepted: int = 0
    delivered: int = 0
    queued: int = 0
    duplicates: int = 0
    unanswered: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    orphans: int = 0
    store: str = "ok"
    seconds: float = 0.0
    seed: int = 0

    @property
    def good(self) -> bool:
        return not self.lost and not self.damaged and not self.orphans and self.store == "ok"

    def __str__(self) -> str:
        return (
            f"crash: kills={self.kills} (while starting {self.killed_while_starting}) accepted={self.accepted} delivered={self.delivered} "
            f"queued={self.queued} lost={len(self.lost)} damaged={len(self.damaged)} duplicates={self.duplicates} "
            f"delivered-though-unanswered={self.unanswered} orphaned-files={self.orphans} store={self.store} "
            f"seed={self.seed} seconds={self.seconds:.0f}"
        )


class Load:
    """The loader process, and what it has said it was answered 250 for."""

    def __init__(self, port: int, plan: Plan) -> None:
        self.accepted: list[str] = []
        self.summary: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.loader", "--port", str(port), "--sessions", str(plan.sessions), "--rate", str(plan.rate), "--report"]
            + ["--every-large", str(plan.every_large), "--every-several", str(plan.every_several), "--per-connection", "5", "--timeout", "20"]
            + ["--seed", str(plan.seed), *(["--domain", UP] * 9), "--domain", DOWN],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "recipients" in told:
                self.accepted.extend(told["recipients"])
            else:
                self.summary = told

    def stop(self) -> None:
        """Let it end the messages it has begun, and hear its last words."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.thread.join(60)
        self.process.wait(10)
        self.process.stdout.close()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.stop()


def kill_and_start(appliance: Appliance, load: Load, plan: Plan, dice: random.Random, result: Result) -> None:
    """One kill at a random moment, and the start after it."""
    if dice.random() < 0.15:
        time.sleep(dice.uniform(0.0, 1.0))
        appliance.kill()
        result.killed_while_starting += 1
    else:
        appliance.wait_ready(60)
        before = len(load.accepted)
        deadline = time.monotonic() + 20
        while len(load.accepted) == before and time.monotonic() < deadline:  # under load: not before the first 250 of this life
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, plan.longest))
        appliance.kill()
    result.kills += 1
    appliance.launch()


def settle(appliance: Appliance, plan: Plan) -> list[dict[str, Any]]:
    """What is still queued once nothing more moves: all mail for the destination that is up has gone, or `drain` seconds have passed."""
    deadline = time.monotonic() + plan.drain
    while True:
        queued = appliance.queued()
        if all(row["recipient"].endswith("@" + DOWN) for row in queued) or time.monotonic() > deadline:
            return queued
        time.sleep(0.5)


def compare(load: Load, received: list[dict[str, Any]], queued: list[dict[str, Any]], result: Result) -> None:
    """Fill in the books."""
    accepted = set(load.accepted)
    arrived = Counter(address for row in received for address in row["recipients"])
    waiting = {row["recipient"] for row in queued}
    result.accepted = len(accepted)
    result.delivered = len(arrived)
    result.queued = len(waiting)
    result.duplicates = sum(count - 1 for count in arrived.values())
    result.unanswered = len((set(arrived) | waiting) - accepted)
    result.lost = sorted(accepted - set(arrived) - waiting)
    result.damaged = sorted(address for row in received if row["whole"] is not True for address in row["recipients"])


def examine(appliance: Appliance, result: Result) -> None:
    """The store after all this: sound, and no spool file without a message. The process is stopped."""
    connection = sqlite3.connect(f"file:{appliance.database}?mode=ro", uri=True)
    try:
        result.store = connection.execute("PRAGMA integrity_check").fetchone()[0]
        known = {row[0] for row in connection.execute("SELECT spool FROM content WHERE spool IS NOT NULL AND spool != ''")}
    finally:
        connection.close()
    files = [path for path in (appliance.directory / "var" / "spool").rglob("*") if path.is_file()]
    result.orphans = sum(1 for path in files if not any(path.name == Path(name).name for name in known))


def run(plan: Plan) -> Result:
    """All of it. The directory is removed when all is well, and named when it is not."""
    dice = random.Random(plan.seed)
    result = Result(seed=plan.seed)
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="jetmail-crash-"))
    settings = {**SETTINGS, "listener": [{"kind": "mx", "address": "127.0.0.1", "port": free_port()}]}
    with SinkProcess(directory / "sink.log", "--defer", str(plan.defer)) as far, Appliance(directory / "root", settings) as appliance:
        appliance.domain(UP, far.port, "--tls", "none")
        appliance.domain(DOWN, free_port(), "--tls", "none")
        appliance.start()
        load = Load(appliance.smtp_port, plan)
        try:
            for _ in range(plan.kills):
                kill_and_start(appliance, load, plan, dice, result)
            appliance.wait_ready(60)
            load.stop()
            queued = settle(appliance, plan)
            appliance.restart()  # what the last life only had in memory must not count
            queued = settle(appliance, plan)
            compare(load, far.received(), queued, result)
            appliance.stop()
            examine(appliance, result)
        finally:
            load.kill()
    result.seconds = time.monotonic() - began
    if result.good:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"kept for a look: {directory}\nlost: {result.lost[:20]}\ndamaged: {result.damaged[:20]}", file=sys.stderr)
    return result
