"""The vocabulary of judgement refuses what makes no sense."""

from __future__ import annotations

import pytest

from jetmail.mail.reply import Reply
from jetmail.rules.verdict import MAX_DETAIL, REASONS, Action, Finding, Ruling


def test_reason_is_of_the_closed_list() -> None:
    """A ruling with a reason nobody knows cannot be made."""
    with pytest.raises(ValueError, match="closed list"):
        Ruling(Action.REJECT, "because")


@pytest.mark.parametrize(
    ("action", "reason", "reply"), [(Action.REJECT, "greylist", None), (Action.DEFER, "spam", None), (Action.DEFER, "fault", Reply(550))]
)
def test_reply_fits_the_action(action: Action, reason: str, reply: Reply | None) -> None:
    """A deferral is said with 4xx and a refusal with 5xx, or not at all."""
    with pytest.raises(ValueError, match="reply"):
        Ruling(action, reason, reply)


def test_own_reply_replaces_the_public_text() -> None:
    """A ruling may word its refusal itself."""
    assert Ruling(Action.REJECT, "policy", Reply(550, "5.7.1", "No")).public_reply.text == "No"
    assert Ruling(Action.REJECT, "blocked").public_reply == Reply(550, "5.7.1", "[RULE] Blocked by recipient policy")


@pytest.mark.parametrize("symbol", ["", "rain", "RAIN-1", "1RAIN", "R" * 65, "RAIN\r\nX: y"])
def test_symbols_are_words(symbol: str) -> None:
    """A finding's symbol is written into header fields, so it can only be a word in capitals."""
    with pytest.raises(ValueError, match="symbol"):
        Finding(symbol)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_are_numbers(score: float) -> None:
    """A score that would poison every sum is refused."""
    with pytest.raises(ValueError, match="score"):
        Finding("RAIN", score)


def test_detail_is_cut() -> None:
    """A finding's detail has a limit, whatever it quotes."""
    assert len(Finding("RAIN", 0.0, "x" * 10_000).detail) == MAX_DETAIL


def test_every_reason_has_a_reply_people_may_see() -> None:
    """Each public text is one ASCII line with an enhanced code of its class (but for two that are given to the letter), and names no mechanism of
    ours."""
    for reason in REASONS.values():
        assert reason.reply.enhanced[:1] == ("" if reason.word in ("acl", "spf-invalid") else str(reason.reply.code)[0])
        assert reason.reply.text.isascii()
        assert reason.reply.wire.count(b"\r\n") == 1
        assert not any(word in reason.reply.text.lower() for word in ("python", "sqlite", "rule.", "score", "threshold"))
        assert (reason.status is not None) == (reason.reply.code >= 500 or reason.word == "suspect")
