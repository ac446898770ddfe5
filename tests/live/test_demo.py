"""The demo as a newcomer starts it: real processes, real ports, the whole loop closed."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.harness import COMMAND, READY, ROOT, free_port, wait_until

pytestmark = pytest.mark.slow


class Demo:
    """`jetmail demo` on free ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: free_port() for name in ("smtp", "submission", "http", "inbox")}
        self.log = directory.with_suffix(".log")
        self.options = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Demo:
        """Wait for the ready line."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*COMMAND, "demo", "--dir", str(self.directory), *self.options], cwd=ROOT, stdout=log, stderr=log)
        wait_until(lambda: f"\n{READY}" in self.output() or self.process and self.process.poll() is not None, 30, "the demo is ready")
        assert f"\n{READY}" in self.output(), self.output()
        return self

    def output(self) -> str:
        """Everything it printed."""
        return self.log.read_text("utf-8", "replace")

    def page(self, path: str) -> str:
        """A page of its site."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}{path}", timeout=10) as answer:
            return str(answer.read().decode("utf-8", "replace"))

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same directory."""
        return subprocess.run([*COMMAND, "--dir", str(self.directory), *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A running demo."""
    running = Demo(tmp_path / "demo").start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait(10)


def test_the_whole_loop(demo: Demo) -> None:
    """Every sample is answered rightly; what was accepted is filed, shown on pages, told on standard output and in the log; it stops cleanly."""
    done = demo.cli("demo-mail")
    assert done.returncode == 0, done.stdout + done.stderr
    inbox = demo.directory / "inbox"
    wait_until(lambda: len(list(inbox.glob("*.eml"))) >= 12, 30, "twelve messages are filed")
    large = max(inbox.glob("*.eml"), key=lambda path: path.stat().st_size)
    assert large.stat().st_size > 20_000_000
    page = demo.page("/demo/inbox")
    assert "demo: plain text" in page and "Grüße an Zoë" in page
    assert "this is plain text" in demo.page("/demo/inbox/000001.eml")
    assert "demo: plain text" in demo.page("/logs")
    wait_until(lambda: demo.output().count(" Delivered ") >= 14 and " Spam " in demo.output(), 15, "deliveries and refusals are told")
    told = demo.output()
    assert "Rejected" in told and "Spam" in told and "-> zoë@demo.test" in told
    assert demo.cli("log", "--status", "spam", "--json").stdout.count("\n") == 1
    assert "nothing waits" in demo.cli("queue", "list").stdout
    assert demo.stop() == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", demo.ports["smtp"]), 5).close()


def test_a_taken_port_says_which(tmp_path: Path) -> None:
    """With a port in use the demo names it and the option, fails, and leaves nothing behind."""
    waiting = Demo(tmp_path / "demo")
    with socket.create_server(("127.0.0.1", waiting.ports["inbox"])):
        done = subprocess.run(
            [*COMMAND, "demo", "--dir", str(waiting.directory), *waiting.options], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"--inbox-port: port {waiting.ports['inbox']}" in done.stderr and "already in use" in done.stderr
    assert not waiting.directory.exists()
