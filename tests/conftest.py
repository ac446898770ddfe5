"""What every run of the suite shares: nothing is skipped in silence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from twisted.trial.unittest import SynchronousTestCase


@pytest.fixture(scope="session", autouse=True)
def _temporary_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a trial-style test makes with `mktemp` goes where pytest cleans up, not into the checkout."""
    original = SynchronousTestCase.mktemp
    SynchronousTestCase.mktemp = lambda self: os.path.join(tmp_path_factory.mktemp("trial"), "temp")  # type: ignore[method-assign]
    yield
    SynchronousTestCase.mktemp = original  # type: ignore[method-assign]


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
