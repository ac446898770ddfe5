"""The two ends of a measured road: who sends, and who counts what arrives.

Sending is smtp-source and counting is smtp-sink, both from Debian's postfix package and lighter than anything they are pointed at. Where they are
absent, tests.live.loader (in several processes) and tests.live.sink stand in: slower, so they understate every rate, which the report says.

Raises Lied when a message was not answered 250, or did not arrive.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.live.harness import ROOT, free_port
from tests.live.sink import SinkProcess


class Lied(AssertionError):
    """What was measured is not what happened; the figure must not be printed."""


def tool(name: str) -> str | None:
    """The path of smtp-source or smtp-sink, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `messages` of `size` octets over `sessions` parallel connections, each used once unless `keep`."""

    messages: int = 2000
    size: int = 4096
    sessions: int = 20
    keep: bool = False
    sender: str = "a@example.test"
    recipient: str = "b@example.test"

    def times(self, share: float) -> Load:
        """A smaller one, for warming up."""
        return Load(max(self.sessions, int(self.messages * share)), self.size, self.sessions, self.keep, self.sender, self.recipient)


def send(port: int, load: Load, host: str = "127.0.0.1") -> float:
    """Seconds from the first connection to the last 250. Raises Lied unless every message was answered 250."""
    source = tool("smtp-source")
    return _smtp_source(source, host, port, load) if source else _own(host, port, load)


def _smtp_source(program: str, host: str, port: int, load: Load) -> float:
    # Without -A smtp-source stops with an error at the first reply that is not the expected positive one: exit code 0 is every message answered 250.
    command = [
        program,
        "-s",
        str(load.sessions),
        "-m",
        str(load.messages),
        "-l",
        str(load.size),
        *(["-d"] if load.keep else []),
        "-f",
        load.sender,
        "-t",
        load.recipient,
        f"{host}:{port}",
    ]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    taken = time.perf_counter() - began
    if done.returncode or "warning" in done.stderr:
        raise Lied(f"smtp-source to {host}:{port}: {done.stderr.strip()[-400:]}")
    return taken


def send_files(port: int, files: Sequence[Path], messages: int, sender: str, recipient: str) -> int:
    """`messages` in all from one smtp-source a file, each with one session at a time and a new connection for each message. -> how many were sent.
    Raises Lied unless every one was answered 250."""
    each = max(1, messages // len(files))
    words = [str(tool("smtp-source")), "-s", "1", "-m", str(each), "-f", sender, "-t", recipient]
    running = [
        subprocess.Popen([*words, "-F", str(file), f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for file in files
    ]
    complaints = [process.communicate(timeout=900)[1].decode("utf-8", "replace").strip() for process in running]
    if any(process.returncode for process in running) or any("warning" in complaint for complaint in complaints):
        raise Lied(f"smtp-source to 127.0.0.1:{port}: {' '.join(filter(None, complaints))[-400:]}")
    return each * len(files)


def _own(host: str, port: int, load: Load) -> float:
    workers = max(1, min(2, os.cpu_count() or 1, load.sessions))
    command = [
        sys.executable,
        "-m",
        "tests.live.loader",
        "--host",
        host,
        "--port",
        str(port),
        "--size",
        str(load.size),
        "--pipelined",
        "--sessions",
        str(load.sessions // workers),
        "--messages",
        str(load.messages // workers),
        "--per-connection",
        str(load.messages // load.sessions if load.keep else 1),
    ]
    running = [
        subprocess.Popen([*command, "--prefix", f"w{number}", "--seed", str(number)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for number in range(workers)
    ]
    summaries = [json.loads(process.communicate(timeout=900)[0]) for process in running]
    if sum(summary["accepted"] for summary in summaries) != load.messages // workers * workers:
        raise Lied(f"own loader to {host}:{port}: {summaries}")
    return max(float(summary["seconds"]) for summary in summaries)


class Counter(Protocol):
    """A sink that knows how many messages it has taken."""

    port: int

    def total(self) -> int: ...

    def stop(self) -> None: ...


class SmtpSink:
    """smtp-sink, whose running counter is read from a terminal. `keep`: a directory where each message becomes a file."""

    def __init__(self, port: int = 0, keep: Path | None = None) -> None:
        self.port = port or free_port()
        self._seen = 0
        ours, theirs = pty.openpty()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        kept = ["-d", f"{keep}/%M."] if keep is not None else []
        command = [str(tool("smtp-sink")), "-c", *kept, *user, f"127.0.0.1:{self.port}", "1000"]
        self._process = subprocess.Popen(command, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._thread.start()
        time.sleep(0.5)

    def _read(self, terminal: int) -> None:
        tail = b""
        while True:
            try:
                tail = (tail + os.read(terminal, 65536))[-400:]
            except OSError:
                os.close(terminal)
                return
            found = re.findall(rb"mesg=(\d+)", tail)
            if found:
                self._seen = int(found[-1])

    def total(self) -> int:
        return self._seen

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)


class OwnSink:
    """tests.live.sink, whose lines are counted."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self._sink = SinkProcess(directory / "sink.log", port=port).start()
        self.port = self._sink.port
        self._lines = 0
        self._offset = 0

    def total(self) -> int:
        if self._sink.log.exists():
            with self._sink.log.open("rb") as log:
                log.seek(self._offset)
                new = log.read()
            self._offset += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def stop(self) -> None:
        self._sink.stop()


def sink(directory: Path, port: int = 0) -> Counter:
    return SmtpSink(port) if tool("smtp-sink") else OwnSink(directory, port)


def wait_for_arrival(counter: Counter, total: int, seconds: float, whose: str) -> None:
    """Until the sink has taken `total` messages in all. Raises Lied when they do not come, or when more come than were sent."""
    deadline = time.perf_counter() + seconds
    while (seen := counter.total()) < total:
        if time.perf_counter() > deadline:
            raise Lied(f"{whose}: {total - seen} messages were answered 250 and did not reach the sink in {seconds:g} s")
        time.sleep(0.002)
    if seen > total:
        raise Lied(f"{whose}: {seen - total} messages arrived twice")
