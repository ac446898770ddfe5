"""Two recipients, eight things that can happen to each: what the sender hears, what the log says, who gets the message (spec 10.3).

The whole matrix, played through the receiving side: 250 only when somebody gets it or has it held, 5xx only when everybody is refused, 4xx when all
are to come later or a part of ours failed; nobody refused here can cause a bounce, because nothing of them is in the queue.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.errors import StoreError
from jetmail.interfaces import IRule
from jetmail.mail.status import Status
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import REASONS, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict
from tests.inbound.receiving import CONTENT, DELIVERIES, MESSAGE, MESSAGES, House

WORDS = ("accept", "block", "greylist", "quarantine", "tag", "refuse", "virus", "fault")

# What each word is: the verdict of a rule about the recipient of that name.
RULINGS = {
    "accept": None,
    "block": Ruling(Action.REJECT, "blocked"),
    "greylist": Ruling(Action.DEFER, "greylist"),
    "quarantine": Ruling(Action.QUARANTINE, "suspect"),
    "tag": Ruling(Action.MARK, "suspect"),
    "refuse": Ruling(Action.REJECT, "spam"),
    "virus": Ruling(Action.REJECT, "virus"),
    "fault": Ruling(Action.DEFER, "fault"),
}

# The reply's code for (row, column). 554 and 550: the first recipient's refusal is said.
CODES = """
            accept block greylist quarantine tag refuse virus fault
accept      250    250   250      250        250 250    250   451
block       250    550   250      250        250 550    550   451
greylist    250    250   451      250        250 250    250   451
quarantine  250    250   250      250        250 250    250   451
tag         250    250   250      250        250 250    250   451
refuse      250    554   250      250        250 554    554   451
virus       250    554   250      250        250 554    554   451
fault       451    451   451      451        451 451    451   451
"""

# What the log shows for a recipient once the message was taken (or refused as a whole).
STATUS = {
    "accept": ("queued", ""), "block": ("blocked", "blocked"), "greylist": ("queued", "suspect"), "quarantine": ("quarantined", "suspect"),
    "tag": ("queued", "suspect"), "refuse": ("spam", "spam"), "virus": ("rejected", "virus"),
}  # fmt: skip
MARKED = ("tag", "greylist")  # a deferral that cannot be said to both is a mark

CHAIN = f"""
[[rule]]
name = "domain"
class = "jetmail.rules.checks.domain_state.KnownDomain"
[[rule]]
name = "people"
class = "{__name__}.ByName"
options = {{ kind = "list" }}
[[rule]]
name = "policy"
class = "{__name__}.ByName"
options = {{ kind = "policy" }}
[[rule]]
name = "score"
class = "{__name__}.ByName"
options = {{ kind = "filter" }}
"""


@dataclass(frozen=True)
class ByNameOptions:
    """Whose word it is."""

    kind: str


@implementer(IRule)
class ByName(Rule):
    """Rules what the recipient's name says."""

    stage = Stage.CONTENT
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER
    Options = ByNameOptions
    OWN = {"list": ("block",), "policy": ("virus", "fault"), "filter": ("greylist", "quarantine", "tag", "refuse")}

    def __init__(self, name: str, options: ByNameOptions) -> None:
        super().__init__(name, options)
        self.kind = Kind(options.kind)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        assert facts.recipient is not None
        word = facts.recipient.address.local.partition("-")[0]
        own = self.OWN[self.options.kind]
        return Verdict((Finding("NAMED", 5.0),), RULINGS[word]) if word in own else Verdict()


def codes() -> dict[tuple[str, str], int]:
    """The table."""
    head, *rows = [line.split() for line in CODES.strip().splitlines()]
    return {(row[0], column): int(code) for row in rows for column, code in zip(head, row[1:], strict=True)}


@pytest.mark.parametrize("first", WORDS)
@pytest.mark.parametrize("second", WORDS)
def test_outcome(first: str, second: str) -> None:
    """The reply is the table's; taken, each has a fate of its own; refused, both are in the log without content; deferred, nothing is."""
    house = House(CHAIN)
    words = {f"{first}-1@demo.test": first, f"{second}-2@demo.test": second}
    reply = house.session().send(to=tuple(words))
    assert reply.code == codes()[first, second]
    rows = {row[0]: row for row in house.rows(DELIVERIES)}
    if reply.is_transient:
        assert (rows, house.rows(MESSAGES), house.queue.messages) == ({}, [], [])
        return
    for recipient, word in words.items():
        assert rows[recipient][3:5] == STATUS[word], word
        refusal = RULINGS[word] is not None and RULINGS[word].action is Action.REJECT  # type: ignore[union-attr]
        assert rows[recipient][5].startswith("55") is refusal
    queued = sorted(due.recipient for accepted, _ in house.queue.messages for due in accepted.deliveries)
    assert queued == sorted(recipient for recipient, word in words.items() if STATUS[word][0] == "queued")
    joined = "SELECT recipient, data FROM deliveries d JOIN messages m ON m.id = d.message_id JOIN content c ON c.id = m.content_id"
    contents = dict(house.rows(joined))
    if reply.code == 250:
        for recipient, word in words.items():
            if STATUS[word][0] in ("queued", "quarantined"):
                assert (b"\r\nX-Spam: Yes\r\n" in contents[recipient]) is (word in MARKED), word
                assert (b"X-Spam-Score: 5.00\r\n" in contents[recipient]) is (word != "accept")
    else:
        assert house.rows(CONTENT) == []


def test_a_part_of_ours_that_fails() -> None:
    """A rule that raises is a fault like any other: 451, whoever else would have got it."""
    house = House(CHAIN)
    visit = house.session()
    visit.mail()
    assert visit.rcpt("nonsense@demo.test").code == 250
    assert visit.rcpt("accept-2@demo.test").code == 250
    entry = house.chain.entries[1]
    entry.rule.options = None
    assert str(visit.content()).startswith("451 4.3.0")
    assert house.rows(MESSAGES) == []


def test_status_words() -> None:
    """The seven words are those of the specification, and each reason that ends a delivery has one of them."""
    assert [status.label for status in Status] == ["Received", "Queued", "Delivered", "Rejected", "Quarantined", "Blocked", "Spam"]
    assert Status.QUARANTINED.meaning == "held back because of spam scoring"
    assert Status.BLOCKED.meaning == "stopped by a custom block rule"
    assert Status.SPAM.meaning == "classified as spam by filtering"
    found = {reason.word: reason.status for reason in REASONS.values()}
    assert (found["blocked"], found["blocklist"], found["spam"], found["virus"]) == (Status.BLOCKED, Status.BLOCKED, Status.SPAM, Status.REJECTED)
    assert all(reason.status is not None for reason in REASONS.values() if reason.reply.is_permanent)


class TestKeptSpam:
    """A domain that keeps a copy of what it refuses for its score."""

    def house(self) -> Any:
        """kept.test does, demo.test does not."""
        house = House('[[rule]]\nname = "gtube"\nclass = "jetmail.rules.checks.gtube.Gtube"\n[[rule]]\nname = "thresholds"\n'
                      'class = "jetmail.rules.checks.thresholds.Thresholds"\n')  # fmt: skip
        house.add_domain("kept.test", keep_spam=True)
        return house

    SPAM = MESSAGE + b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

    def test_refused_and_kept(self) -> None:
        """The sender hears 554, the log says Spam, and the copy waits, durable before the reply, for its owner; it is in no queue."""
        house = self.house()
        reply = house.session().send(self.SPAM, to=("ann@kept.test",))
        assert str(reply) == "554 5.7.1 [SPAM] Message refused for its content"
        assert [row[3:6] for row in house.rows(DELIVERIES)] == [("spam", "spam", str(reply))]
        assert house.rows("SELECT held, finished FROM deliveries") == [(1, None)]
        ((data, *_),) = house.rows(CONTENT)
        assert b"X-Spam-Score: 100.00\r\nX-Spam-Symbols: GTUBE\r\n" in data and b"X-Spam: Yes" not in data
        assert house.rows(MESSAGES)[0][5] == str(reply)
        assert (house.queue.messages, house.queue.reserved, house.accepted, house.refused) == ([], 0, [], ["spam"])

    def test_of_two_only_its_own(self) -> None:
        """A domain that keeps nothing has nothing kept for it."""
        house = self.house()
        assert house.session().send(self.SPAM, to=("ann@kept.test", "bob@demo.test")).code == 554
        rows = house.rows("SELECT recipient, held, finished IS NULL FROM deliveries ORDER BY id")
        assert rows == [("ann@kept.test", 1, 1), ("bob@demo.test", 0, 0)]

    def test_within_the_budget_of_refusals(self) -> None:
        """Nobody fills the disk by being refused: past the budget, and on a full disk, it is refused and nothing is kept."""
        house = self.house()
        house.services.refusal_budget._left = -1
        house.services.refusal_budget._minute = int(house.clock.seconds() // 60)
        assert house.session().send(self.SPAM, to=("ann@kept.test",)).code == 554
        assert house.rows(CONTENT) == []

    def sent(self, house: Any) -> list[Any]:
        """What the sender hears, once it does."""
        visit = house.session()
        visit.mail()
        visit.rcpt("ann@kept.test")
        got: list[Any] = []
        visit.content(self.SPAM).addBoth(got.append)
        return got

    def test_durable_before_the_reply(self) -> None:
        """Nothing is said before the copy is stored, and its findings with it."""
        house = self.house()
        house.db.holds = True
        got = self.sent(house)
        assert got == []
        house.db.commit()
        assert got[0].code == 554
        assert json.loads(house.rows("SELECT findings FROM messages")[0][0])[0]["symbol"] == "GTUBE"


class KeptSpamFaults(SynchronousTestCase):
    """What was to be kept and could not be."""

    def test_is_not_refused(self) -> None:
        """Its sender comes again."""
        kept = TestKeptSpam()
        house = kept.house()
        house.db.holds = True
        got = kept.sent(house)
        house.db.fail()
        self.assertEqual((got[0].code, got[0].enhanced), (451, "4.3.0"))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
