"""The wake-up call."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jetmail.cli.wake import wake


def test_nobody_there() -> None:
    """Without a process, or with a path no socket can have, the call does nothing and says so."""
    with tempfile.TemporaryDirectory() as folder:
        assert wake(Path(folder) / "jetmail.sock") is False
        assert wake(Path(folder) / ("x" * 200)) is False


def test_a_file_is_nobody() -> None:
    """A file in the socket's place is not mistaken for a process."""
    with tempfile.NamedTemporaryFile() as file:
        assert wake(file.name) is False
