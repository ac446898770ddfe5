"""What every run of the suite shares: nothing is skipped in silence."""

from __future__ import annotations

from collections import Counter

import pytest


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
