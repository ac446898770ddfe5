"""What the figures were measured on. A rate without these is gossip."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any


def facts(directory: Path | None = None) -> dict[str, Any]:
    """The machine, and how long its disk takes to make 4 KB durable (median milliseconds of 100 writes where the stores of this run are)."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _first(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$") or platform.processor(),
        "memory_mb": int(_first(Path("/proc/meminfo"), r"^MemTotal:\s*(\d+)") or 0) // 1024,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
        "fsync_ms": round(fsync_milliseconds(directory), 2),
        "load_before": round(os.getloadavg()[0], 2),
    }


def fsync_milliseconds(directory: Path | None = None, times: int = 100) -> float:
    """Median milliseconds of append 4 KB + fdatasync."""
    taken = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def told(machine: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"machine: {machine['cores']} cores, {machine['cpu']}, {machine['memory_mb']} MB, Python {machine['python']}, SQLite {machine['sqlite']}, "
        f"Linux {machine['kernel']}, 4 KB + fdatasync {machine['fsync_ms']} ms, load before the run {machine['load_before']}"
    )


def cpu_seconds(pid: int) -> float:
    """Processor time the process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family_seconds(pid: int) -> float:
    """The same for a process, its children, and those of its children that have ended."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended just now
        if entry.name == str(pid) or fields[1] == str(pid):
            total += sum(int(field) for field in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def threads_seconds(pid: int) -> dict[str, float]:
    """The same for its first thread, which runs the reactor, and for all others (commits, file and password work) together."""
    spent = {"reactor": 0.0, "other threads": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        spent["reactor" if task.name == str(pid) else "other threads"] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def _first(path: Path, pattern: str) -> str:
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""
