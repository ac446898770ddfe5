"""Durable before 250, seen from outside: the kernel is watched, and every write of a message is synced to the disk before its 250 goes to the socket.

SIGKILL (tests/crash) leaves the kernel's page cache alone, so it cannot tell a synced write from one that a power cut would take. strace can.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live import needs
from tests.live.harness import Appliance, free_port, wait_until
from tests.live.talk import Client

pytestmark = pytest.mark.slow

CALL = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?(.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")
WRITES = ("write", "pwrite64", "writev", "pwritev")
SYNCS = ("fsync", "fdatasync")


@dataclass
class Disk:
    """What the calls so far have left unsynced, by path; `synced` counts finished syncs of a path."""

    dirty: set[str] = field(default_factory=set)
    synced: dict[str, int] = field(default_factory=dict)
    _syncing: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def read(self, line: str) -> None:
        """One line of strace -f -y. A write counts from where it begins, a sync only when it has ended."""
        if resumed := RESUMED.match(line):
            pid, call = resumed.groups()
            if call in SYNCS and pid in self._syncing:
                self._ended(*self._syncing.pop(pid))
            return
        found = CALL.match(line)
        if not found or not found[3]:
            return
        pid, call, path, rest = found.groups()
        if call in WRITES:
            self.dirty.add(path)
            for waiting, (synced, _) in self._syncing.items():
                if synced == path:
                    self._syncing[waiting] = (synced, False)  # written during the sync: not certain to be in it
        elif call in SYNCS and "unfinished" in rest:
            self._syncing[pid] = (path, True)
        elif call in SYNCS:
            self._ended(path, True)

    def _ended(self, path: str, is_all: bool) -> None:
        self.synced[path] = self.synced.get(path, 0) + 1
        if is_all:
            self.dirty.discard(path)


def said(line: str) -> bool:
    """This line gives a message's 250 to a socket."""
    return "250 2." in line and "queued as" in line and "socket:" in line


def watch(appliance: Appliance, trace: Path, content: bytes, times: int) -> list[tuple[Disk, set[str]]]:
    """Send it that often, one at a time. -> for each 250 the disk as it was then, and the paths synced since the 250 before."""
    strace = [needs.program("strace"), "-f", "-y", "-s", "80", "-o", str(trace), "-e", f"trace={','.join(WRITES + SYNCS)},sendto,sendmsg"]
    tracer = subprocess.Popen([*strace, "-p", str(appliance.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    if "attached" not in first:
        tracer.kill()
        tracer.communicate()
        pytest.skip(f"strace may not attach here: {first.strip()}")
    try:
        with Client(appliance.smtp_port) as client:
            for number in range(times):
                client.send(f"someone-{number}@example.test", content)
                wait_until(lambda: any(f"someone-{number}@" in row["recipient"] for row in appliance.queued()), 20, "it is queued")  # noqa: B023
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    disk, before, answers = Disk(), {}, []
    for line in trace.read_text("utf-8", "replace").splitlines():
        if said(line):
            new = {path for path, count in disk.synced.items() if count > before.get(path, 0)}
            answers.append((Disk(set(disk.dirty), dict(disk.synced)), new))
            before = dict(disk.synced)
        disk.read(line)
    assert len(answers) == times
    return answers


@pytest.fixture
def appliance(make: Callable[..., Appliance]) -> Appliance:
    """Running, with a domain whose destination is down: after the 250 nothing more happens to a message."""
    made = make({"queue": {"probe_first": 60.0, "probe_last": 60.0, "retries": [60.0]}})
    made.domain("example.test", free_port(), "--tls", "none")
    return made.start()


def test_small_messages(appliance: Appliance, tmp_path: Path) -> None:
    """A message kept in the store: its transaction is in the write-ahead log and synced when the 250 is said."""
    for disk, new in watch(appliance, tmp_path / "trace", b"Subject: small\r\n\r\nhello\r\n", 5):
        assert any(path.endswith(".db-wal") for path in new), new
        assert not [path for path in disk.dirty if path.endswith(".db-wal")]


def test_large_messages(appliance: Appliance, tmp_path: Path) -> None:
    """A message in a spool file: the file, its directory and the transaction are synced when the 250 is said."""
    for disk, new in watch(appliance, tmp_path / "trace", b"Subject: large\r\n\r\n" + b"a line of a large message\r\n" * 12_000, 3):
        spool = [path for path in new if "/spool" in path]
        assert any(path.endswith(".db-wal") for path in new), new
        assert any(Path(path).is_dir() for path in spool), f"the directory of the spool was not synced: {new}"
        assert any(not Path(path).is_dir() for path in spool), f"the spool file was not synced: {new}"
        assert not [path for path in disk.dirty if path.endswith(".db-wal") or "/spool" in path]


def test_the_watcher_notices() -> None:
    """A write after the sync, or during it, leaves the path unsynced; a finished sync clears it."""
    disk = Disk()
    disk.read('11  pwrite64(9</x/jetmail.db-wal>, "a"..., 4096, 32) = 4096')
    assert disk.dirty == {"/x/jetmail.db-wal"}
    disk.read("11  fdatasync(9</x/jetmail.db-wal> <unfinished ...>")
    assert disk.dirty == {"/x/jetmail.db-wal"}
    disk.read("11  <... fdatasync resumed>) = 0")
    assert not disk.dirty
    disk.read("11  fdatasync(9</x/jetmail.db-wal> <unfinished ...>")
    disk.read('12  pwrite64(9</x/jetmail.db-wal>, "b"..., 4096, 32) = 4096')
    disk.read("11  <... fdatasync resumed>) = 0")
    assert disk.dirty == {"/x/jetmail.db-wal"}
    assert said('11  sendto(15<socket:[77]>, "250 2.0.0 OK queued as 1a2b"..., 46, 0, NULL, 0) = 46')
