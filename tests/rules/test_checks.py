"""Every shipped rule by itself: when it speaks, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.mail.envelope import Sender
from jetmail.mail.message import MAX_FIELDS, MAX_HEADER, Message
from jetmail.rules.checks import (
    bounces,
    client,
    declared_size,
    domain_state,
    early_block,
    gtube,
    known_recipient,
    loop,
    people,
    senders,
    size,
    thresholds,
)
from jetmail.rules.facts import Client, Correspondent, Facts
from jetmail.rules.lists import Lists, parse_entries
from jetmail.rules.policy import DomainState, Policy, RecipientState, SpamAction, Thresholds
from jetmail.rules.rule import NoOptions
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Level, Ruling, Verdict
from tests.rules.samples import NOW, facts, message, opinion, policy, recipient, rule

GTUBE = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def outcome(verdict: Verdict) -> tuple[Action, str] | str | None:
    """What a verdict comes to: (action, reason), 'trusts' or None."""
    if verdict.trusts:
        return "trusts"
    return (verdict.ruling.action, verdict.ruling.reason) if verdict.ruling else None


def lists(allow: tuple[str, ...] = (), block: tuple[str, ...] = ()) -> Lists:
    return Lists(parse_entries(allow), parse_entries(block))


@pytest.mark.parametrize(("address", "is_refused"), [("192.0.2.7", True), ("192.0.2.9", False), ("198.51.100.1", False), ("", False)])
def test_refused_clients(address: str, is_refused: bool) -> None:
    """Listed networks are refused, but for their exceptions."""
    made = client.RefusedClients("client", client.ClientOptions(("192.0.2.0/24",), ("192.0.2.9",)))
    assert (outcome(made.judge(Facts(NOW, Client(address)), Policy())) == (Action.REJECT, "client")) is is_refused


@pytest.mark.parametrize(("declared", "is_refused"), [(None, False), (2000, False), (2001, True)])
def test_declared_size(declared: int | None, is_refused: bool) -> None:
    """An announced size over the limit is refused at MAIL."""
    made = declared_size.DeclaredSize("declared-size", size.SizeOptions(2000))
    verdict = made.judge(Facts(NOW, Client("192.0.2.7"), Sender(None, declared)), Policy())
    assert (outcome(verdict) == (Action.REJECT, "size")) is is_refused


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Message(b"A: b\r\n\r\nx"), None),
        (Message(b"A: b\r\n\r\n" + b"x" * 5000), (Action.REJECT, "size")),
        (Message(b"A: b\r\n\r\n", 5001), (Action.REJECT, "size")),
        (Message(b"A: b\r\n" * MAX_FIELDS + b"\r\n", 100), (Action.REJECT, "header")),
        (Message(b"A: " + b"x" * MAX_HEADER + b"\r\n\r\n", 100), (Action.REJECT, "header")),
    ],
)
def test_message_size(content: Message, expected: Any) -> None:
    """Too large as a whole, or in its header."""
    assert outcome(size.MessageSize("size", size.SizeOptions(5000)).judge(facts(content), policy())) == expected


def test_loop() -> None:
    """Over the limit of hops, or twice delivered to the same recipient, it is a loop; once is a message resent by its reader."""
    made = loop.Loop("loop", loop.LoopOptions())
    hops = Message(b"Received: x\r\n" * 50 + b"\r\n")
    assert made.judge(facts(hops), policy()) is NO_OPINION
    assert outcome(made.judge(facts(Message(b"received: x\r\n" * 51 + b"\r\n")), policy())) == (Action.REJECT, "loop")
    once = message(Delivered_To="BOB@demo.test", Subject="x")
    assert made.judge(facts(once), policy()) is NO_OPINION
    twice = Message(b"Delivered-To: bob@demo.test\r\nDelivered-To: <Bob@demo.test>\r\n\r\n")
    assert outcome(made.judge(facts(twice), policy())) == (Action.REJECT, "loop")
    assert made.judge(facts(twice, to=(recipient("ann@demo.test"),)), policy()) is NO_OPINION


def test_bounce_recipients() -> None:
    """The null sender reaches one recipient a transaction; everybody else as many as the session allows."""
    made = bounces.BounceRecipients("bounce-recipients", bounces.BounceOptions())
    first, second = recipient(), recipient("ann@demo.test", 1)
    assert made.judge(facts(sender="", to=(first,)), policy()) is NO_OPINION
    assert outcome(made.judge(facts(sender="", to=(second,)), policy())) == (Action.DEFER, "bounce-recipients")
    assert made.judge(facts(to=(second,)), policy()) is NO_OPINION


@pytest.mark.parametrize(
    ("state", "user", "expected"),
    [
        (DomainState.ACTIVE, "", None),
        (DomainState.UNKNOWN, "", (Action.REJECT, "relay-denied")),
        (DomainState.UNVERIFIED, "", (Action.REJECT, "relay-denied")),
        (DomainState.DISABLED, "", (Action.DEFER, "domain-disabled")),
        (DomainState.UNKNOWN, "ann", None),
        (DomainState.DISABLED, "ann", (Action.DEFER, "domain-disabled")),
    ],
)
def test_known_domain(state: DomainState, user: str, expected: Any) -> None:
    """Only domains that are ours, verified and on; who has logged in may write anywhere else."""
    made = domain_state.KnownDomain("domain", NoOptions())
    known = Facts(NOW, Client("192.0.2.7", user=user), Sender(None), recipient())
    assert outcome(made.judge(known, policy(state=state))) == expected


@pytest.mark.parametrize(
    ("state", "found", "expected"),
    [
        (DomainState.ACTIVE, RecipientState.KNOWN, None),
        (DomainState.ACTIVE, RecipientState.UNKNOWN, (Action.REJECT, "unknown-recipient")),
        (DomainState.ACTIVE, RecipientState.LOOP, (Action.REJECT, "loop")),
        (DomainState.UNKNOWN, RecipientState.UNKNOWN, None),
        (DomainState.DISABLED, RecipientState.UNKNOWN, None),
    ],
)
def test_known_recipient(state: DomainState, found: RecipientState, expected: Any) -> None:
    """Nobody of that name is a refusal; whether the domain is ours is another rule's question."""
    made = known_recipient.KnownRecipient("recipient", NoOptions())
    assert outcome(made.judge(facts(), policy(state=state, recipient=found))) == expected


@pytest.mark.parametrize("level", list(Level))
def test_people_rules_of_their_level(level: Level) -> None:
    """Rules of one level are asked by the entry of that level, and allow comes before block."""
    mine = people.PeopleRules("people", people.PeopleOptions(level.name.lower()))  # type: ignore[arg-type]
    other = people.PeopleRules("people", people.PeopleOptions("domain" if level is not Level.DOMAIN else "account"))
    block = rule(level, subjects=[{"match_type": "contains", "subject_value": "sale"}])
    allow = rule(level, False, senders=[{"sender_type": "domain", "sender_value": "example.org"}])
    known = facts(message(subject="Sale"))
    assert mine.level is level
    assert outcome(mine.judge(known, policy(block))) == (Action.REJECT, "blocked")
    assert mine.judge(known, policy(block)).findings[0].symbol == "BLOCK_RULE"
    assert outcome(mine.judge(known, policy(block, allow))) == "trusts"
    assert other.judge(known, policy(block)) is NO_OPINION
    assert mine.judge(facts(message(subject="Hello")), policy(block)) is NO_OPINION


@pytest.mark.parametrize(
    ("level", "entry", "content", "expected"),
    [
        ("appliance", "example.org", message(From="x@elsewhere.test"), True),  # the envelope
        ("appliance", "elsewhere.test", message(From="x@elsewhere.test"), False),
        ("domain", "elsewhere.test", message(From="x@deep.elsewhere.test"), True),  # the header From, with what is below
        ("domain", "example.org", message(From="x@elsewhere.test"), False),
        ("appliance", "192.0.2.0/24", message(From="x@elsewhere.test"), True),
        ("domain", "192.0.2.0/24", message(From="x@elsewhere.test"), True),
        ("domain", "x@elsewhere.test", message(From='"alice@example.org" <x@elsewhere.test>'), True),
        ("domain", "alice@example.org", message(From='"alice@example.org" <x@elsewhere.test>'), False),
    ],
)
def test_sender_lists(level: str, entry: str, content: Message, expected: bool) -> None:
    """The appliance's lists look at the envelope, a domain's at the header From, both at the address of the client."""
    made = senders.SenderLists("lists", senders.SenderListOptions(level))  # type: ignore[arg-type]
    field = "appliance_lists" if level == "appliance" else "domain_lists"
    blocks: dict[str, Any] = {field: lists(block=(entry,))}
    allows: dict[str, Any] = {field: lists((entry,), ("0.0.0.0/0",))}
    everybody = (Action.REJECT, "blocklist")
    assert outcome(made.judge(facts(content), policy(**blocks))) == (everybody if expected else None)
    assert outcome(made.judge(facts(content), policy(**allows))) == ("trusts" if expected else everybody)


def test_allow_list_is_not_fooled_by_several_from_addresses() -> None:
    """A listed address beside one that is not listed, or in a broken field, opens no door; a blocked one among others closes it."""
    made = senders.SenderLists("lists", senders.SenderListOptions("domain"))
    several = message(From="friend@example.com, evil@example.net")
    assert made.judge(facts(several), policy(domain_lists=lists(("example.com",)))) is NO_OPINION
    assert outcome(made.judge(facts(several), policy(domain_lists=lists(block=("example.com",))))) == (Action.REJECT, "blocklist")
    twice = Message(b"From: friend@example.com\r\nFrom: friend@example.com\r\n\r\n")
    assert made.judge(facts(twice), policy(domain_lists=lists(("example.com",)))) is NO_OPINION


SENDER = {"senders": [{"sender_type": "email", "sender_value": "alice@example.org"}]}
SUBJECT = {"subjects": [{"match_type": "contains", "subject_value": "x"}]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), None),
        ((rule(**SENDER),), (Action.REJECT, "blocked")),
        ((rule(**SUBJECT),), None),  # not known yet
        ((rule(**SENDER), rule(blocks=False, **SUBJECT)), None),  # an allow of the level may still match
        ((rule(Level.ADDRESS, **SENDER), rule(Level.DOMAIN, False, **SENDER)), (Action.REJECT, "blocked")),
        ((rule(Level.DOMAIN, **SENDER), rule(Level.ADDRESS, False, **SENDER)), None),
        ((rule(Level.DOMAIN, **SENDER), rule(Level.ACCOUNT, False, **SUBJECT)), None),
        ((rule(Level.DOMAIN, **SENDER), rule(Level.ACCOUNT, True, **SUBJECT)), (Action.REJECT, "blocked")),
    ],
)
def test_early_block(rules: Any, expected: Any) -> None:
    """A block is said at RCPT exactly when no allow at its level or above can still matter."""
    assert outcome(early_block.EarlyBlock("early-block", NoOptions()).judge(facts(), policy(*rules))) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"appliance_lists": lists(block=("example.org",))}, (Action.REJECT, "blocklist")),
        ({"appliance_lists": lists(("192.0.2.7",), ("example.org",))}, None),
        ({"domain_lists": lists(block=("192.0.2.0/24",))}, (Action.REJECT, "blocklist")),
        ({"domain_lists": lists(("friend@example.com",), ("192.0.2.0/24",))}, None),
        ({"domain_lists": lists(block=("example.org",))}, None),
    ],
)
def test_early_block_by_list(own: Any, expected: Any) -> None:
    """Lists too: what only the header From could decide waits for it."""
    assert outcome(early_block.EarlyBlock("early-block", NoOptions()).judge(facts(), policy(**own))) == expected


@pytest.mark.parametrize(
    ("letter", "variants", "score"),
    [("X", False, 100.0), ("Y", False, None), ("Y", True, 8.0), ("Z", True, 5.0), ("A", True, 0.0), ("Q", True, None)],
)
def test_gtube(letter: str, variants: bool, score: float | None) -> None:
    """The standard string always, its variants when asked for."""
    verdict = gtube.Gtube("gtube", gtube.GtubeOptions(variants=variants)).judge(facts(message(f"Test\r\n{letter}{GTUBE}\r\n")), policy())
    assert [finding.score for finding in verdict.findings] == ([] if score is None else [score])


def scored(score: float, **own: Any) -> Facts:
    findings = opinion(Verdict((Finding("RAIN", score),)))
    return facts(message(), opinions=(findings,), **own)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0, None),
        (3.9, None),
        (4, (Action.DEFER, "greylist")),
        (5.99, (Action.DEFER, "greylist")),
        (6, (Action.QUARANTINE, "suspect")),
        (14.9, (Action.QUARANTINE, "suspect")),
        (15, (Action.REJECT, "spam")),
        (1000, (Action.REJECT, "spam")),
    ],
)
def test_default_thresholds(score: float, expected: Any) -> None:
    """15, 6 and 4, each reached when equal."""
    made = thresholds.Thresholds("thresholds", thresholds.ThresholdOptions())
    assert outcome(made.judge(scored(score), policy())) == expected


@pytest.mark.parametrize(
    ("own", "score", "expected"),
    [
        ({"thresholds": Thresholds(reject=5.0)}, 5, (Action.REJECT, "spam")),
        ({"thresholds": Thresholds(reject=999.0)}, 5000, (Action.QUARANTINE, "suspect")),
        ({"thresholds": Thresholds(999.0, 999.0, 999.0)}, 5000, None),
        ({"thresholds": Thresholds(defer=999.0)}, 5, None),
        ({"spam_action": SpamAction.TAG}, 7, (Action.MARK, "suspect")),
        ({"spam_action": SpamAction.JUNK}, 7, (Action.MARK, "suspect")),
    ],
)
def test_a_domain_s_own(own: Any, score: float, expected: Any) -> None:
    """A domain's scores come before the appliance's, 999 switches one off, and spam is treated as the domain chose."""
    made = thresholds.Thresholds("thresholds", thresholds.ThresholdOptions())
    assert outcome(made.judge(scored(score), policy(**own))) == expected


def test_what_is_spam_already_is_not_put_off() -> None:
    """Mail that another filter holds or marks is not asked to come again first; what is held for another recipient changes nothing."""
    made = thresholds.Thresholds("thresholds", thresholds.ThresholdOptions())
    scored = opinion(Verdict((Finding("A", 4.5),)))
    for action, about, put_off in ((Action.QUARANTINE, 0, False), (Action.MARK, None, False), (Action.QUARANTINE, 1, True)):
        held = opinion(Verdict(ruling=Ruling(action, "suspect")), about=about)
        answer = made.judge(facts(message())._replace(opinions=(scored, held)), policy())
        assert (answer.ruling is not None) is put_off


def test_greylisting_believes_who_comes_back() -> None:
    """Deferred at first contact and before the delay is over; taken afterwards."""
    made = thresholds.Thresholds("thresholds", thresholds.ThresholdOptions(delay=300))
    for first_seen, is_deferred in ((None, True), (NOW - 10, True), (NOW - 300, False)):
        assert (outcome(made.judge(scored(5, to=(recipient(first_seen=first_seen),)), policy())) is not None) is is_deferred


def test_whom_we_have_written_to_need_not_wait() -> None:
    """Taken at first contact when mail is found to be from a correspondent; not by their name alone, which is easily forged, nor by another's."""
    made = thresholds.Thresholds("thresholds", thresholds.ThresholdOptions())
    by_name = (recipient(correspondent=Correspondent.OF_RECIPIENT),)
    found = Verdict((Finding("KNOWN_CORRESPONDENT", -0.5),))
    for about, is_deferred in ((0, False), (1, True), (None, False)):
        known = scored(5, to=by_name)
        known = known._replace(opinions=(*known.opinions, opinion(found, about=about)))
        assert (outcome(made.judge(known, policy())) is not None) is is_deferred
    assert outcome(made.judge(scored(5, to=by_name), policy())) == (Action.DEFER, "greylist")


def test_scores_add_up_per_recipient() -> None:
    """Findings about everybody and about this recipient count, those about another do not; ten times 0.6 is 6."""
    tenths = tuple(opinion(Verdict((Finding("RAIN", 0.6),)), order=number) for number in range(10))
    personal = (opinion(Verdict((Finding("OWN", 2.0),)), about=1),)
    known = facts(message(), opinions=tenths + personal)
    assert known.score() == 6.0
    assert facts(message(), to=(recipient(index=1),), opinions=tenths + personal).score() == 8.0
