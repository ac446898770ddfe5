"""From rulings to rows and header fields: everybody exactly once, nobody sees another's."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from jetmail.inbound.acceptance import deliveries, findings, groups
from jetmail.rules.settlement import CLEAN, Settlement
from jetmail.rules.verdict import REASONS, Action, Finding, Kind, Opinion, Ruling, Verdict
from tests.rules.samples import opinion, recipient

RULINGS = st.sampled_from(
    [CLEAN, Ruling(Action.MARK, "suspect"), Ruling(Action.QUARANTINE, "suspect"), Ruling(Action.REJECT, "blocked"), Ruling(Action.REJECT, "spam")]
)
FINDINGS = st.builds(
    lambda symbol, score, about: opinion(Verdict((Finding(symbol, score),)), about=about),
    st.sampled_from(["RAIN", "HAIL"]),
    st.sampled_from([0.5, 2.0]),
    st.sampled_from([None, 0, 1, 2]),
)


@given(st.lists(RULINGS, min_size=1, max_size=5), st.lists(FINDINGS, max_size=4))
def test_everybody_is_in_one_group(rulings: list[Ruling], opinions: list[Opinion]) -> None:
    """Each recipient is in exactly one group; those who are marked and those who are not never share one."""
    settlement = Settlement(tuple(rulings), REASONS["clean"].reply, True)
    made = groups(settlement, [*opinions, opinion(Verdict((Finding("SUN"),)))], is_scored=True)
    assert sorted(index for group in made for index in group.members) == list(range(len(rulings)))
    for group in made:
        served = [rulings[index] for index in group.members if rulings[index].action is not Action.REJECT]
        assert len({ruling.action is Action.MARK for ruling in served}) <= 1
        assert (b"X-Spam: Yes" in group.header) == any(ruling.action is Action.MARK for ruling in served)
        rows = deliveries([recipient(f"r{index}@demo.test", index) for index in range(len(rulings))], settlement, group)
        assert [row.recipient for row in rows] == [f"r{index}@demo.test" for index in group.members]


def test_a_person_s_finding_is_not_shown_to_another() -> None:
    """What is found about one recipient alone is in that one's header only."""
    settlement = Settlement((CLEAN, CLEAN), REASONS["clean"].reply, True)
    made = groups(settlement, [opinion(Verdict((Finding("OWN", 2.0),)), about=1)], is_scored=True)
    assert [(group.members, b"OWN" in group.header, group.score) for group in made] == [((0,), False, 0.0), ((1,), True, 2.0)]


def test_headers_of_rules() -> None:
    """Fields a rule adds stand in the header; nothing of a finding's detail does."""
    settlement = Settlement((CLEAN,), REASONS["clean"].reply, True)
    said = [opinion(Verdict((Finding("RAIN", 1.5, "seen by radar"),), headers=("X-Weather: rain",)))]
    (group,) = groups(settlement, said, is_scored=True)
    assert group.header == b"X-Weather: rain\r\nX-Spam-Score: 1.50\r\nX-Spam-Symbols: RAIN\r\n"


def test_findings_say_who_and_about_whom() -> None:
    """The stored opinions name rule, recipient, ruling and trust."""
    said = [
        opinion(Verdict((Finding("RAIN", 1.5, "radar"),)), name="weather"),
        opinion(Verdict(trusts=True), Kind.LIST, about=0, name="people"),
        opinion(Verdict(ruling=Ruling(Action.REJECT, "spam")), about=0, name="thresholds"),
    ]
    assert json.loads(findings(said, [recipient()])) == [
        {"symbol": "RAIN", "score": 1.5, "detail": "radar", "rule": "weather"},
        {"symbol": "TRUSTED", "score": 0.0, "detail": "", "rule": "people", "recipient": "bob@demo.test"},
        {"symbol": "REJECT", "score": 0.0, "detail": "spam", "rule": "thresholds", "recipient": "bob@demo.test"},
    ]


def test_findings_alike_for_all_are_said_once() -> None:
    """What a rule finds of every recipient is one row about all; what it finds of some, or wants done with each, stays theirs."""
    same, other = Verdict((Finding("A", 2.0, "why"),), Ruling(Action.MARK, "suspect")), Verdict((Finding("A", 3.0),))
    people = [recipient("ann@demo.test"), recipient("bob@demo.test")]
    both = [opinion(same, about=0, name="x"), opinion(same, about=1, name="x"), opinion(same, about=0, name="y"), opinion(other, about=1, name="y")]
    told = [(item["rule"], item["symbol"], item.get("recipient")) for item in json.loads(findings(both, people))]
    assert told == [
        ("x", "A", None), ("x", "MARK", "ann@demo.test"), ("x", "MARK", "bob@demo.test"),
        ("y", "A", "ann@demo.test"), ("y", "MARK", "ann@demo.test"), ("y", "A", "bob@demo.test"),
    ]  # fmt: skip
    assert [item.get("recipient") for item in json.loads(findings(both[:1], people[:1]))] == ["ann@demo.test"] * 2
