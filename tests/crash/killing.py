"""The crash test: a load, a sink, and the product killed at random moments between them.

A loader in a process of its own sends mail over real sockets and remembers each recipient whose message was answered 250; it knows nothing of the
kills but the connections that break. A sink in another process writes down what it is given before it says 250, and answers some RCPTs 451. The
product is killed with SIGKILL, at random moments under load and now and then while it is starting, and started again in the same directory.
At the end the load stops, the queue drains, and the books are compared: whatever was answered 250 must be in the sink or in `queue list`.

Part of the mail is submitted by a user who signs in: it leaves under return paths and from a source address, each of its messages is counted in the
quota, and a webhook is to be told of every one of them, by at least one event, whatever was killed in between.

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.live.harness import ROOT, Appliance, free_port
from tests.live.sink import SinkProcess

UP, DOWN = "up.test", "down.test"
USER, PASSWORD, SOURCE = "app", "correct horse battery", "127.0.0.2"

SETTINGS: dict[str, Any] = {
    "server": {"hostname": "crash.example.test"},
    "smtp": {"max_per_address": 1000, "stop_grace": 2.0},
    # Dense, so that what a kill left behind is tried again while the test still runs.
    "domains": {"return_target": "return.crash.example.test"},
    "returns": {"own_name": "always"},
    "webhooks": {"retries": [0.5] * 40, "timeout": 2.0},
    "queue": {"retries": [0.5, 1.0, 1.0, 2.0], "jitter": 0.2, "probe_first": 0.5, "probe_last": 2.0, "delay_notice": 0.0},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is done. `rate` messages a second over `sessions` connections; one message in `every_large` is a spool file."""

    kills: int = 25
    seed: int = 1
    rate: float = 200.0
    sessions: int = 8
    submitted: float = 40.0
    every_large: int = 25
    every_several: int = 10
    defer: float = 0.05
    longest: float = 1.5
    drain: float = 180.0


@dataclass
class Result:
    """The books at the end, by recipient. `lost` and `damaged` name them. Of what a user `submitted`: `untold` to the webhook, `bare` of a return
    path or from another address than its source, `uncounted` in the quota."""

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
    submitted: int = 0
    untold: list[str] = field(default_factory=list)
    bare: int = 0
    uncounted: int = 0
    store: str = "ok"
    seconds: float = 0.0
    seed: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.damaged or self.orphans or self.untold or self.bare or self.uncounted) and self.store == "ok"

    def __str__(self) -> str:
        return (
            f"crash: kills={self.kills} (while starting {self.killed_while_starting}) accepted={self.accepted} delivered={self.delivered} "
            f"queued={self.queued} lost={len(self.lost)} damaged={len(self.damaged)} duplicates={self.duplicates} "
            f"delivered-though-unanswered={self.unanswered} orphaned-files={self.orphans} store={self.store} "
            f"submitted={self.submitted} untold={len(self.untold)} bare={self.bare} uncounted={self.uncounted} "
            f"seed={self.seed} seconds={self.seconds:.0f}"
        )


class Load:
    """The loader process, and what it has said it was answered 250 for."""

    def __init__(self, port: int, plan: Plan, rate: float, *more: str) -> None:
        self.accepted: list[str] = []
        self.summary: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.loader", "--port", str(port), "--sessions", str(plan.sessions), "--rate", str(rate), "--report", *more]
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


class Hook(ThreadingHTTPServer):
    """A webhook's receiver. `told`: recipients it was told of."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: set[str] = set()
        super().__init__(("127.0.0.1", 0), Told)
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()


class Told(BaseHTTPRequestHandler):
    """One event."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hook: Any = self.server
        hook.told.add(body["data"]["recipient"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def audit(appliance: Appliance, load: Load, hook: Hook, received: list[dict[str, Any]], result: Result) -> None:
    """The books of what a user submitted."""
    mine = set(load.accepted)
    result.submitted = len(mine)
    deadline = time.monotonic() + 60
    while mine - hook.told and time.monotonic() < deadline:
        time.sleep(0.2)
    result.untold = sorted(mine - hook.told)
    sent = [row for row in received if mine & set(row["recipients"])]
    result.bare = sum(1 for row in sent if not row["sender"].startswith("b+") or row["peer"] != SOURCE)
    messages = len({address.split("@")[0].rsplit("-", 1)[0] if address.count("-") == 2 else address.split("@")[0] for address in mine})
    result.uncounted = max(0, messages - int(appliance.rows("smtp-user", "show", USER)[0]["used"]))


def settle(appliance: Appliance, plan: Plan) -> list[dict[str, Any]]:
    """What is still queued once nothing more moves: all mail for the destination that is up has gone, or `drain` seconds have passed."""
    deadline = time.monotonic() + plan.drain
    while True:
        queued = appliance.queued()
        if all(row["recipient"].endswith("@" + DOWN) for row in queued) or time.monotonic() > deadline:
            return queued
        time.sleep(0.5)


def compare(promised: list[str], received: list[dict[str, Any]], queued: list[dict[str, Any]], result: Result) -> None:
    """Fill in the books."""
    accepted = set(promised)
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
    submissions, hook = free_port(), Hook()
    listeners = [{"kind": kind, "address": "127.0.0.1", "port": port} for kind, port in (("mx", free_port()), ("submissions", submissions))]
    settings = {**SETTINGS, "listener": listeners}
    (directory / "password").write_text(PASSWORD + "\n")
    with SinkProcess(directory / "sink.log", "--defer", str(plan.defer)) as far, Appliance(directory / "root", settings) as appliance:
        appliance.domain(UP, far.port, "--tls", "none")
        appliance.domain(DOWN, free_port(), "--tls", "none")
        appliance.domain("sender.test", far.port, "--tls", "none")
        appliance.cli("smtp-user", "add", USER, "--domain", "sender.test", "--quota", "1000000", "--password-file", str(directory / "password"))
        appliance.cli("source", "add", "out1", "--ipv4", SOURCE)
        appliance.cli("source", "assign", "out1", "--domain", "sender.test")
        appliance.cli("webhook", "add", "books", f"http://127.0.0.1:{hook.server_port}/", "--event", "outbound.queued", "--allow-private")
        appliance.start()
        load = Load(appliance.smtp_port, plan, plan.rate)
        user = Load(submissions, plan, plan.submitted, "--prefix", "u", "--login", f"{USER}:{PASSWORD}")
        try:
            for _ in range(plan.kills):
                kill_and_start(appliance, load, plan, dice, result)
            appliance.wait_ready(60)
            load.stop()
            user.stop()
            queued = settle(appliance, plan)
            appliance.restart()  # what the last life only had in memory must not count
            queued = settle(appliance, plan)
            received = far.received()
            compare(load.accepted + user.accepted, received, queued, result)
            audit(appliance, user, hook, received, result)
            appliance.stop()
            examine(appliance, result)
        finally:
            load.kill()
            user.kill()
            hook.shutdown()
            hook.server_close()
    result.seconds = time.monotonic() - began
    if result.good:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"kept for a look: {directory}\nlost: {result.lost[:20]}\ndamaged: {result.damaged[:20]}", file=sys.stderr)
    return result
