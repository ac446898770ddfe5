"""Who prevails (spec 10.4), and what one SMTP reply can say for several recipients (spec 10.3.5)."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.rules.settlement import CLEAN, rule_for, settle
from jetmail.rules.verdict import Action, Finding, Kind, Level, Opinion, Ruling, Verdict
from tests.rules.samples import opinion

REFUSE_POLICY = Verdict(ruling=Ruling(Action.REJECT, "size"))
BLOCK = Verdict(ruling=Ruling(Action.REJECT, "blocked"))
ALLOW = Verdict(trusts=True)
SPAM = Verdict(ruling=Ruling(Action.REJECT, "spam"))
HOLD = Verdict(ruling=Ruling(Action.QUARANTINE, "suspect"))
GREYLIST = Verdict(ruling=Ruling(Action.DEFER, "greylist"))
FAULT = Verdict(ruling=Ruling(Action.DEFER, "fault"))


def reasons(*opinions: Opinion, count: int = 1) -> list[tuple[Action, str]]:
    return [(ruling.action, ruling.reason) for ruling in settle(opinions, count).rulings]


def test_nobody_said_anything() -> None:
    """Without opinions everybody gets the message."""
    settlement = settle((), 2)
    assert settlement.rulings == (CLEAN, CLEAN)
    assert settlement.accepted
    assert settlement.reply.code == 250


def test_allow_silences_filters_but_never_policy() -> None:
    """An allow rule beats the score and loses to the size."""
    allowed = opinion(ALLOW, Kind.LIST)
    assert reasons(allowed, opinion(SPAM)) == [(Action.PASS, "clean")]
    assert reasons(allowed, opinion(SPAM), opinion(REFUSE_POLICY, Kind.POLICY)) == [(Action.REJECT, "size")]


def test_allow_beats_block_within_a_level() -> None:
    """In one level the allow rule wins, whatever the order of the chain."""
    for first, second in permutations([ALLOW, BLOCK]):
        assert reasons(opinion(first, Kind.LIST, order=1), opinion(second, Kind.LIST, order=2)) == [(Action.PASS, "clean")]


@pytest.mark.parametrize(("high", "low"), [(Level(high), Level(low)) for high in range(4) for low in range(high + 1, 4)])
def test_higher_level_decides(high: Level, low: Level) -> None:
    """Appliance before account before address before domain, for allow and for block."""
    assert reasons(opinion(BLOCK, Kind.LIST, high), opinion(ALLOW, Kind.LIST, low)) == [(Action.REJECT, "blocked")]
    assert reasons(opinion(ALLOW, Kind.LIST, high), opinion(BLOCK, Kind.LIST, low), opinion(SPAM)) == [(Action.PASS, "clean")]


def test_block_is_named_before_spam() -> None:
    """When both a block rule and the score refuse, the log says blocked."""
    assert reasons(opinion(SPAM, order=0), opinion(BLOCK, Kind.LIST, order=9)) == [(Action.REJECT, "blocked")]


def test_policy_is_named_before_all() -> None:
    """When policy refuses too, policy is the reason."""
    assert reasons(opinion(BLOCK, Kind.LIST), opinion(REFUSE_POLICY, Kind.POLICY, order=9)) == [(Action.REJECT, "size")]


def test_trust_is_a_list_s_word_only() -> None:
    """A filter that says it trusts silences nobody."""
    assert reasons(opinion(ALLOW), opinion(SPAM, order=1)) == [(Action.REJECT, "spam")]


def test_all_refused_is_5xx() -> None:
    """Refused by everybody, the message is refused."""
    settlement = settle([opinion(SPAM, about=0), opinion(BLOCK, Kind.LIST, about=1)], 2)
    assert not settlement.accepted
    assert settlement.reply.code == 554


def test_all_deferred_is_4xx() -> None:
    """Deferred by everybody, the message is deferred."""
    settlement = settle([opinion(GREYLIST)], 3)
    assert not settlement.accepted
    assert settlement.reply.code == 451


def test_mixed_is_250_and_each_its_own() -> None:
    """One accepts, one holds, one refuses: 250, and three different fates."""
    settlement = settle([opinion(HOLD, about=1), opinion(BLOCK, Kind.LIST, about=2)], 3)
    assert settlement.accepted
    assert settlement.reply.code == 250
    assert [ruling.action for ruling in settlement.rulings] == [Action.PASS, Action.QUARANTINE, Action.REJECT]


@pytest.mark.parametrize("other", [None, BLOCK])
def test_greylisting_that_cannot_be_said_becomes_a_mark(other: Verdict | None) -> None:
    """A deferral for a score is no longer one when the reply must be 250."""
    opinions = [opinion(GREYLIST, about=0)] + ([opinion(other, Kind.LIST, about=1)] if other else [])
    settlement = settle(opinions, 2)
    assert settlement.accepted
    assert settlement.rulings[0] == Ruling(Action.MARK, "suspect")


def test_a_fault_defers_the_whole_message() -> None:
    """What one of our parts could not judge for one recipient is not accepted for another and lost for the first."""
    settlement = settle([opinion(FAULT, Kind.POLICY, about=1)], 3)
    assert not settlement.accepted
    assert settlement.reply.code == 451
    assert settlement.reply.enhanced == "4.3.0"


VERDICTS = st.sampled_from(
    [REFUSE_POLICY, BLOCK, ALLOW, SPAM, HOLD, GREYLIST, FAULT, Verdict((Finding("RAIN", 1.0),)), Verdict(ruling=Ruling(Action.MARK, "suspect"))]
)
OPINIONS = st.lists(st.tuples(VERDICTS, st.sampled_from(Kind), st.sampled_from(Level), st.sampled_from([None, 0, 1, 2])), max_size=8).map(
    lambda rows: [opinion(verdict, kind, level, about, order) for order, (verdict, kind, level, about) in enumerate(rows)]
)


@given(OPINIONS, st.integers(1, 3), st.randoms(use_true_random=False))
def test_order_does_not_matter(opinions: list[Opinion], count: int, random: object) -> None:
    """Whoever answered first, the decision is the same."""
    shuffled = list(opinions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settle(shuffled, count) == settle(opinions, count)


@given(OPINIONS, st.integers(1, 3))
def test_reply_and_rulings_agree(opinions: list[Opinion], count: int) -> None:
    """2xx leaves nobody deferred and somebody served or told; 4xx and 5xx accept for nobody; no policy refusal is ever overruled."""
    settlement = settle(opinions, count)
    actions = [ruling.action for ruling in settlement.rulings]
    assert settlement.accepted == (settlement.reply.code == 250)
    if settlement.accepted:
        assert Action.DEFER not in actions
        assert any(action < Action.DEFER for action in actions)
    elif settlement.reply.is_permanent:
        assert set(actions) == {Action.REJECT}
    else:
        assert Action.DEFER in actions
    for index, ruling in enumerate(settlement.rulings):
        if any(each.kind is Kind.POLICY and each.verdict is REFUSE_POLICY and each.recipient in (None, index) for each in opinions):
            assert ruling.action is Action.REJECT


def test_opinions_about_another_recipient_do_not_count() -> None:
    """What is said of one recipient says nothing of the next."""
    assert rule_for([opinion(SPAM, about=1)], 0) == CLEAN
    assert rule_for([opinion(SPAM, about=1)], None) == CLEAN
