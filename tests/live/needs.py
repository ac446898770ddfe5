"""What a test needs from the machine. Missing things skip the test with a reason that tests/conftest.py repeats at the end of the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str, package: str = "") -> str:
    """The path of a program of the machine."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {package or name})")
    return path


def root(why: str) -> None:
    """Root's rights."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root: {why}")


def small_disk(place: Path, size: str) -> None:
    """A file system of that size mounted on `place`; the caller unmounts it."""
    root("to mount a small file system")
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
