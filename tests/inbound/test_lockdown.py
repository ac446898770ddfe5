"""Domain Lockdown in the submission path: the replies, the order, many sessions at once."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jetmail.inbound.lockdown import LockdownCheck
from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.reply import Reply
from jetmail.mailauth.suffixes import PublicSuffixes
from tests.fakes import FakeResolver
from tests.inbound.receiving import MESSAGE, House

UUID = "uuid-of-app"
OTHERS = [b"v=jm1 auth=660f9500-f39c-52e5-b827-557766550111"]
OURS = [b"v=jm1 auth=" + UUID.encode()]


class SlowResolver(FakeResolver):
    """Answers when told."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Deferred[Answer], str, str]] = []

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        waiting: Deferred[Answer] = Deferred()
        self.waiting.append((waiting, name, rdtype))
        return waiting

    def answer(self) -> None:
        """All of it."""
        waiting, self.waiting = self.waiting, []
        for deferred, name, rdtype in waiting:
            super().query(name, rdtype).chainDeferred(deferred)


def locked(zone: dict[str, Any] | None = None, resolver: Any = None, **user: Any) -> House:
    """A house with the user app, who may send from example.org, and these TXT records."""
    house = House()
    house.resolver.zone.update({(name, "TXT"): found for name, found in (zone or {}).items()})
    house.add_user(**user)
    house.submissions.lockdown = LockdownCheck(IResolver(resolver or house.resolver), PublicSuffixes(), house.clock)
    return house


def sent(house: House, octets: bytes = MESSAGE, sender: str = "alice@example.org", **more: Any) -> str:
    """The reply to a message of that user's."""
    visit = house.submission(**more)
    reply = visit.send(octets, sender)
    assert isinstance(reply, Reply)
    return str(reply)


def test_refusal_to_the_letter() -> None:
    """A user the record does not name hears the documented words, with a reference; the message is in the log as rejected."""
    house = locked({"_jm.example.org": OTHERS})
    reply = sent(house)
    ((uid,),) = house.rows("SELECT uid FROM messages")
    assert reply == (
        "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.org. "
        f"See https://mx.demo.test/?id={uid}&auth={UUID}"
    )
    assert house.rows("SELECT status, reason FROM deliveries") == [("rejected", "lockdown")]
    ((findings,),) = house.rows("SELECT findings FROM messages")
    assert "_jm.example.org does not name this user" in findings
    assert house.refused == ["lockdown"]


@pytest.mark.parametrize("record", [OURS, [b"v=jm1 auth=APP"], OTHERS + OURS, None, [b"v=spf1 -all"]])
def test_admitted(record: Any) -> None:
    """By uuid, by username in any case, by one of several records, or because nobody locked the domain down."""
    house = locked({"_jm.example.org": record} if record else {})
    assert sent(house).startswith("250 2.0.0 ")


@pytest.mark.parametrize("kind", [AnswerKind.SERVFAIL, AnswerKind.TIMEOUT])
def test_dns_trouble_defers(kind: AnswerKind) -> None:
    """What DNS cannot tell is neither let through nor bounced, and not written down as a refusal."""
    house = locked({"_jm.example.org": kind})
    assert sent(house).startswith("451 4.7.1 [LOCKDOWN] ")
    assert house.rows("SELECT count(*) FROM messages") == [(0,)]


def test_every_mode() -> None:
    """Lockdown binds users of every permission mode, above all those who may send from any domain."""
    for mode in ("default", "all", "any"):
        house = locked({"_jm.example.org": OTHERS}, mode=mode)
        house.add_domain("example.org")
        house.write(lambda conn: conn.execute("UPDATE accounts SET plan = 'pro'"))
        assert sent(house).startswith("550 5.7.1 [LOCKDOWN]"), mode


def test_acl_comes_first() -> None:
    """A user who may not send from the domain anyhow hears of the permission, and DNS is not asked."""
    house = locked({"_jm.example.org": OTHERS}, domains=("other.example",))
    assert sent(house).startswith("550 [ACL] Blocked. See ")
    assert house.resolver.asked == []


@pytest.mark.parametrize(
    ("sender", "author", "culprit"),
    [
        ("alice@example.org", b"alice@locked.example", "locked.example"),
        ("alice@locked.example", b"alice@example.org", "locked.example"),
        ("alice@example.org", b"a@example.org, b@sub.locked.example", "sub.locked.example"),
        ("", b"alice@locked.example", "locked.example"),
        ("alice@example.org", b"<alice@locked.example", "locked.example"),
        ("alice@example.org", b"x\r\nFrom: alice@LOCKED.example", "locked.example"),
    ],
)
def test_envelope_and_every_author(sender: str, author: bytes, culprit: str) -> None:
    """The envelope's sender and everybody in From are asked about, each for itself; a broken From is no way around."""
    house = locked({"_jm.locked.example": OTHERS}, mode="any")
    house.write(lambda conn: conn.execute("UPDATE accounts SET plan = 'pro'"))
    octets = MESSAGE.replace(b"Alice <alice@example.org>", author)
    assert f"not authorized to send from {culprit}. See" in sent(house, octets, sender)


def test_networks() -> None:
    """A record with net= admits its users from there alone."""
    house = locked({"_jm.example.org": [b"v=jm1 auth=app net=192.0.2.0/28"]})
    assert sent(house, address="192.0.2.7").startswith("250 ")
    assert sent(house, address="192.0.2.77").startswith("550 5.7.1 [LOCKDOWN] ")


def test_as_many_domains_as_somebody_likes() -> None:
    """Who writes as more domains than anybody needs is refused without asking about them."""
    house = locked(mode="any")
    house.write(lambda conn: conn.execute("UPDATE accounts SET plan = 'pro'"))
    authors = b", ".join(b"a@d%d.example" % number for number in range(30))
    assert sent(house, MESSAGE.replace(b"Alice <alice@example.org>", authors)).startswith("550 5.7.1 [LOCKDOWN] ")
    assert house.resolver.asked == []


def test_fifty_sessions_at_once() -> None:
    """Fifty sessions wait for DNS together: each gets the answer for its own user, and nobody's place in the quota is lost."""
    resolver = SlowResolver()
    house = locked(resolver=resolver, quota=20)
    resolver.zone.update({("_jm.example.org", "TXT"): OURS})
    house.add_user("intruder", quota=20)
    answers: list[Any] = []
    for number in range(50):
        visit = house.submission("app" if number % 2 else "intruder")
        visit.mail()
        visit.rcpt()
        said = visit.content()
        if isinstance(said, Reply):
            answers.append((number, said))
        else:
            said.addCallback(lambda reply, number=number: answers.append((number, reply)))
    assert all(reply.code == 421 for _, reply in answers)  # those for whom the quota has no place
    assert len(answers) == 10
    resolver.answer()
    codes = {(number % 2, reply.code) for number, reply in answers}
    assert len(answers) == 50 and codes == {(0, 421), (0, 550), (1, 421), (1, 250)}
    assert house.rows("SELECT messages FROM quota_usage WHERE user = 'uuid-of-app'") == [(20,)]
    assert house.rows("SELECT count(*) FROM quota_usage WHERE user = 'uuid-of-intruder'") == [(0,)]


def test_dns_that_never_answers() -> None:
    """A message waits some seconds for its records and is then told to come back."""
    resolver = SlowResolver()
    house = locked(resolver=resolver)
    visit = house.submission()
    visit.mail()
    visit.rcpt()
    answers: list[Any] = []
    visit.content().addCallback(answers.append)
    house.clock.advance(5)
    assert answers and str(answers[0]).startswith("451 4.7.1 ")
