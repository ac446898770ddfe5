"""What every run of the suite shares: nothing is skipped in silence."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from twisted.trial.unittest import SynchronousTestCase

# How long one example takes by the clock on the wall depends on what else the machine does: speed has tests of its own, in processor time.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def _temporary_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a trial-style test makes with `mktemp` goes where pytest cleans up, not into the checkout."""
    original = SynchronousTestCase.mktemp
    SynchronousTestCase.mktemp = lambda self: os.path.join(tmp_path_factory.mktemp("trial"), "temp")  # type: ignore[method-assign]
    yield
    SynchronousTestCase.mktemp = original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _connections_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store a test opened is closed when the test is over, so that none is ever reported as leaked in a later one."""
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*args: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    yield
    for connection in made:
        with contextlib.suppress(sqlite3.ProgrammingError):  # another thread's own, which closes it
            connection.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last word of a run: 'skipped: 3 for want of swaks ...', or that nothing was."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if not reasons:
        terminalreporter.write_line("skipped: nothing")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped: {count} because: {reason}", yellow=True)
