"""A real jetmail in a directory of its own: made, configured, started, asked, killed, stopped.

`Appliance` runs the command line exactly as a person does (`bin/jetmail init|run|domain|queue|...`) under the interpreter that runs the tests,
and waits for the line beginning `jetmail ready`. It raises NotReady with the end of the program's output when that line does not come.
Nothing here knows the inside of the product; what it learns, it learns from exit codes, lines of JSON and sockets.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = (sys.executable, "-m", "jetmail.cli.main")
READY = "jetmail ready"


class NotReady(AssertionError):
    """The program did not come up (or did not go down) in time; the message ends with its output."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.05) -> Any:
    """The first true value of `condition`, asked until `seconds` have passed; then AssertionError says `what` did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the tables and values of `above` laid over it."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = merge(merged[key], value) if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) else value
    return merged


def toml(value: Any, path: str = "") -> str:
    """TOML of nested tables, lists of tables, and plain values (JSON's strings, numbers and lists are TOML's as well)."""
    plain = {key: item for key, item in value.items() if not isinstance(item, Mapping) and not _is_tables(item)}
    lines = [f"{key} = {json.dumps(item)}" for key, item in plain.items()]
    for key, item in value.items():
        name = f"{path}.{key}" if path else key
        if isinstance(item, Mapping):
            lines.append(f"\n[{name}]\n{toml(item, name)}")
        elif _is_tables(item):
            lines.extend(f"\n[[{name}]]\n{toml(table, name)}" for table in item)
    return "\n".join(lines)


def _is_tables(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(entry, Mapping) for entry in item)


class Appliance:
    """One jetmail in `directory`. `settings` are laid over the etc/jetmail.toml that `init` wrote."""

    def __init__(
        self, directory: Path, settings: Mapping[str, Any] | None = None, command: tuple[str, ...] = COMMAND, run_as: int | None = None
    ) -> None:
        self.directory = directory
        self.command = command
        self.smtp_port = free_port()
        self.http_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_ready = 0.0
        self.run_as = run_as
        self.log = directory.with_name(directory.name + ".log")  # everything it printed, over all starts
        self._began = 0.0
        self._from = 0
        self.cli("init", directory=False, arguments=(str(directory),))
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Lay `settings` over etc/jetmail.toml; counts from the next start."""
        if settings:
            path = self.directory / "etc" / "jetmail.toml"
            path.write_text(toml(merge(tomllib.loads(path.read_text("utf-8")), settings)) + "\n", "utf-8")

    # the command line

    def cli(self, *words: str, directory: bool = True, arguments: tuple[str, ...] = (), check: bool = True, timeout: float = 60) -> str:
        """What `bin/jetmail --dir DIR words...` prints; AssertionError with its complaint when it fails."""
        place = ("--dir", str(self.directory)) if directory else ()
        done = subprocess.run(
            [*self.command, *place, *words, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise AssertionError(f"jetmail {' '.join(words)} exited {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def rows(self, *words: str, timeout: float = 60) -> list[dict[str, Any]]:
        """One object a line, of a command with --json."""
        return [json.loads(line) for line in self.cli(*words, "--json", timeout=timeout).splitlines() if line.strip()]

    def domain(self, name: str, port: int, *more: str, host: str = "127.0.0.1", filtered: bool = False) -> None:
        """A verified relay domain whose mail goes to `host`:`port`. Unless `filtered`, what the filter thinks of it counts for nothing: the bare
        messages of a test of the road are not what it should be asked about."""
        lenient = () if filtered else ("--reject-score", "999", "--spam-score", "999", "--defer-score", "999", "--dmarc", "ignore")
        self.cli("domain", "add", name, "--destination", f"{host}:{port}", "--verified", *lenient, *more)

    def queued(self) -> list[dict[str, Any]]:
        """Every delivery that waits, however many."""
        return self.rows("queue", "list", "--limit", "1000000", timeout=300)

    # the process

    @property
    def database(self) -> Path:
        """The file of its store."""
        return self.directory / "var" / "jetmail.db"

    def launch(self) -> None:
        """Start it and return at once. Its output goes straight to a file: a reader beside it would take its share of two cores."""
        assert not self.running, "already running"
        self._from = self.log.stat().st_size if self.log.exists() else 0
        demote = {"user": self.run_as, "group": self.run_as, "extra_groups": []} if self.run_as is not None else {}
        words = ["--dir", str(self.directory), "run", "--smtp-port", str(self.smtp_port), "--http-port", str(self.http_port)]
        with self.log.open("ab") as log:
            self._began = time.perf_counter()
            self.process = subprocess.Popen(
                [*self.command, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **demote
            )  # type: ignore[call-overload]

    def start(self, timeout: float = 30) -> Appliance:
        """Start it and wait for `jetmail ready`."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout: float = 30) -> None:
        """`seconds_to_ready` counts from `launch`."""
        assert self.process is not None
        while not re.search(f"^{READY}", self.output(), re.MULTILINE):
            if self.process.poll() is not None or time.perf_counter() - self._began > timeout:
                self.kill()
                raise NotReady(f"no '{READY}' within {timeout:g} s; exit code {self.process.returncode}\n{self.output()[-4000:]}")
            time.sleep(0.005)
        self.seconds_to_ready = time.perf_counter() - self._began

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def output(self) -> str:
        """What it printed since the last start (the first megabyte of it)."""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read(1 << 20).decode("utf-8", "replace")

    def kill(self) -> None:
        """SIGKILL, to the process and whatever it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM, and an orderly end. NotReady when it has not gone within `timeout`, died of something else, or broke on the way."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReady(f"did not stop within {timeout:g} s of SIGTERM\n{self.output()[-4000:]}") from None
        # twistd ends itself with the signal that stopped it, once everything has been shut down.
        if code not in (0, -signal.SIGTERM):
            raise NotReady(f"exit code {code} after SIGTERM\n{self.output()[-4000:]}")

    def restart(self) -> None:
        self.stop()
        self.start()

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes, as the kernel counts them: VmRSS now, VmHWM the highest since the start or `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field} in /proc")

    def forget_peak(self) -> None:
        """Let VmHWM begin again from now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()
