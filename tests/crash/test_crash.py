"""25 kills under load, and the books balance. JETMAIL_CRASH_KILLS changes the number."""

from __future__ import annotations

import os

import pytest

from tests.crash.killing import Plan, Result, compare, run


@pytest.mark.slow
def test_no_message_answered_250_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Every message answered 250 before a SIGKILL is in the sink or in the queue after it, whole; the number of duplicates is told."""
    result = run(Plan(kills=int(os.environ.get("JETMAIL_CRASH_KILLS", "25"))))
    with capsys.disabled():
        print(f"\n{result}")
    assert result.lost == []
    assert result.damaged == []
    assert result.orphans == 0
    assert (result.untold, result.bare, result.uncounted) == ([], 0, 0)
    assert result.submitted > 20
    assert result.store == "ok"
    assert result.accepted > 100
    assert result.queued > 0


def books(accepted: list[str], received: list[dict[str, object]], queued: list[str]) -> Result:
    result = Result()
    compare(accepted, received, [{"recipient": address} for address in queued], result)
    return result


def test_books_notice_what_is_missing() -> None:
    """An address that is neither delivered nor queued is lost; one delivered twice is a duplicate; one nobody was answered for is no fault."""
    rows: list[dict[str, object]] = [
        {"recipients": ["a", "b"], "whole": True},
        {"recipients": ["a"], "whole": True},
        {"recipients": ["x"], "whole": True},
    ]
    result = books(["a", "b", "c", "d"], rows, ["c"])
    assert (result.lost, result.duplicates, result.unanswered, result.good) == (["d"], 1, 1, False)


def test_books_notice_damage() -> None:
    """A message whose body is not what was sent is a fault even when it arrived."""
    result = books(["a"], [{"recipients": ["a"], "whole": False}], [])
    assert result.damaged == ["a"]
    assert not result.good
