"""The rules authentication, dmarc and arc-seal: what they find, write, refuse and leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import authres as oracle
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jetmail.errors import ConfigError
from jetmail.interfaces import AnswerKind
from jetmail.mail.message import Message
from jetmail.mailauth import arc, signing
from jetmail.mailauth.dkim import DkimResult
from jetmail.mailauth.dmarc import DmarcResult
from jetmail.mailauth.spf import SpfResult
from jetmail.rules.authenticated import Authenticated
from jetmail.rules.checks.arc_seal import ArcSeal, ArcSealOptions
from jetmail.rules.checks.authentication import Authentication, AuthenticationOptions
from jetmail.rules.checks.dmarc import Dmarc, DmarcOptions
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DmarcMode, SpamAction, Thresholds
from jetmail.rules.verdict import NO_OPINION, Action, Verdict
from tests.fakes import FakeResolver
from tests.mailauth.samples import done, pem, signer, zone
from tests.rules import samples
from tests.rules.bound import begin, bound, found, verdict

HOST = {("7.2.0.192.in-addr.arpa", "PTR"): ["mail.example.org"], ("mail.example.org", "A"): ["192.0.2.7"]}
SPF = {("example.org", "TXT"): [b"v=spf1 ip4:192.0.2.7 -all"]}
REJECT = {("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject"]}
QUARANTINE = {("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=quarantine"]}


def authentication(answers: dict[Any, Any], **parts: Any) -> Authentication:
    rule: Authentication = bound(Authentication("authentication", AuthenticationOptions()), zone=answers, **parts)
    return rule


def signed(text: bytes, *signers: signing.Signer) -> Message:
    for each in signers:
        message = Message(text)
        text = signing.sign(each, message.fields, message.body_chunks(), samples.NOW) + text
    return Message(text)


def letter(author: str = "alice@example.org", extra: str = "") -> bytes:
    return f"From: Alice <{author}>\r\nTo: bob@demo.test\r\nSubject: Hello\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n{extra}\r\nHello.\r\n".encode()


def judged(answers: dict[Any, Any], content: Message, **facts: Any) -> tuple[Verdict, Authenticated]:
    about = samples.facts(content, **facts)
    answer = verdict(authentication(answers), about, samples.policy())
    assert isinstance(answer.evidence, Authenticated)
    return answer, answer.evidence


def test_everything_passes() -> None:
    """A message that is what it says has only good findings, one field of each kind, and evidence for the rules behind."""
    answer, evidence = judged(HOST | SPF | REJECT | zone(signer()), signed(letter(), signer()))
    assert set(found(answer)) == {"SPF_PASS", "IPREV_PASS", "DKIM_VALID", "DMARC_PASS"}
    assert evidence.spf is not None and evidence.spf.result is SpfResult.PASS
    assert evidence.signers == ("example.org",)
    assert [header.partition(":")[0] for header in answer.headers] == ["Authentication-Results", "Received-SPF"]
    assert sum(found(answer).values()) < 0


def test_header_is_read_by_another() -> None:
    """authres, which is not ours, reads our Authentication-Results, and each result and property in it."""
    answer, _ = judged(HOST | SPF | REJECT | zone(signer()), signed(letter(), signer()))
    read = oracle.AuthenticationResultsHeader.parse(answer.headers[0].replace("\r\n\t", " "))
    assert read.authserv_id == "mx.demo.test"
    assert [(each.method, each.result) for each in read.results] == [("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"), ("iprev", "pass")]
    assert [each.value for each in read.results[1].properties][:2] == ["example.org", "s1"]


def test_forgery_fails() -> None:
    """Mail from elsewhere in the name of a domain that protects itself fails SPF and DMARC; what that weighs is not said here."""
    answer, evidence = judged(SPF | REJECT, Message(letter()), address="198.51.100.9")
    assert set(found(answer)) == {"SPF_FAIL", "IPREV_NONE", "DKIM_NONE"}
    assert evidence.dmarc.result is DmarcResult.FAIL


def test_dead_dns_is_no_fail() -> None:
    """A resolver that fails makes temporary errors of everything, and they weigh nothing."""

    class Dead(FakeResolver):
        def query(self, name: str, rdtype: str) -> Any:
            self.zone[name, rdtype] = AnswerKind.SERVFAIL
            return super().query(name, rdtype)

    answer = verdict(authentication({}, resolver=Dead()), samples.facts(signed(letter(), signer())), samples.policy())
    assert set(found(answer)) == {"SPF_TEMPERROR", "IPREV_TEMPERROR", "DKIM_TEMPERROR", "DMARC_TEMPERROR"}
    assert not sum(found(answer).values())


def test_silent_dns_costs_the_budget() -> None:
    """A resolver that never answers costs two seconds, once, for everything; then the message is judged without."""

    class Silent:
        def query(self, name: str, rdtype: str) -> Deferred[Any]:
            return Deferred()

    clock = Clock()
    rule = authentication({}, resolver=Silent(), clock=clock)
    got = begin(rule, samples.facts(signed(letter(), signer())), samples.policy())
    clock.advance(1.9)
    assert not got
    clock.advance(0.2)
    assert set(found(got[0])) == {"SPF_TEMPERROR", "IPREV_TEMPERROR", "DKIM_TEMPERROR", "DMARC_TEMPERROR"}


def test_null_sender_is_judged_by_helo() -> None:
    """A bounce has no sender: the name in HELO is asked about, and can be what aligns."""
    content = samples.facts(Message(letter()), sender="")
    about = content._replace(client=content.client._replace(helo="example.org"))
    evidence = verdict(authentication(HOST | SPF | REJECT), about, samples.policy()).evidence
    assert isinstance(evidence, Authenticated)
    assert evidence.spf is not None and (evidence.spf.identity, evidence.spf.result) == ("helo", SpfResult.PASS)
    assert evidence.dmarc.result is DmarcResult.PASS


def test_own_relays_and_users_are_not_asked_about() -> None:
    """A client of a private network is judged by signatures only; one who has logged in not at all."""
    answer, _ = judged(SPF | REJECT, Message(letter()), address="10.1.2.3")
    assert not {word for word in found(answer) if word.startswith(("SPF", "IPREV"))}
    about = samples.facts(Message(letter()))
    assert authentication({}).judge(about._replace(client=about.client._replace(user="alice")), samples.policy()) is NO_OPINION


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (letter(extra="From: Eve <eve@example.net>\r\n"), "DMARC_PERMERROR"),
        (b"Subject: nobody\r\n\r\nHello.\r\n", "DMARC_PERMERROR"),
        (b"From: not an address at all\r\n\r\nHello.\r\n", "DMARC_PERMERROR"),
    ],
)
def test_from_that_is_none(message: bytes, word: str) -> None:
    """A From that is missing, malformed or there twice never passes."""
    answer, _ = judged(HOST | SPF, Message(message))
    assert word in found(answer)


def test_second_from_is_judged_too() -> None:
    """A second author's domain that asks for rejection is heard, however good the first one is."""
    answers = HOST | SPF | zone(signer()) | {("_dmarc.example.net", "TXT"): [b"v=DMARC1; p=reject"]}
    _, evidence = judged(answers, signed(letter(extra="From: Eve <eve@example.net>\r\n"), signer()))
    assert (evidence.dmarc.result, evidence.dmarc.policy_domain) == (DmarcResult.FAIL, "example.net")


def test_large_body_is_hashed_elsewhere() -> None:
    """A body of half a megabyte is hashed by the executor, and its signature holds."""
    text = letter() + b"0123456789 abcdef\r\n" * 30_000
    _, evidence = judged(zone(signer()), signed(text, signer()))
    assert evidence.dkim[0].result is DkimResult.PASS
    assert arc.ALL in evidence.bodies


# the rule dmarc


def about_dmarc(answers: dict[Any, Any], content: Message, **facts: Any) -> Facts:
    answer, _ = judged(answers, content, **facts)
    return samples.facts(content, **facts)._replace(opinions=(samples.opinion(answer, name="authentication"),))


def dmarc(**options: Any) -> Dmarc:
    rule: Dmarc = bound(Dmarc("dmarc", DmarcOptions(**options)))
    return rule


def test_reject_is_done() -> None:
    """p=reject is 550 5.7.1 naming the domain whose policy it is, with the reason dmarc."""
    answer = dmarc().judge(about_dmarc(SPF | REJECT, Message(letter("alice@mail.example.org")), address="198.51.100.9"), samples.policy())
    assert answer.ruling is not None
    assert (answer.ruling.action, answer.ruling.reason) == (Action.REJECT, "dmarc")
    assert str(answer.ruling.public_reply) == "550 5.7.1 [DMARC] Refused by the policy of example.org"
    assert found(answer) == {"DMARC_REJECT": 5.0}


@pytest.mark.parametrize(("mode", "weight"), [(DmarcMode.SCORE, 5.0), (DmarcMode.IGNORE, 0.0)])
def test_domain_decides(mode: DmarcMode, weight: float) -> None:
    """A domain that only weighs refuses nothing, one that ignores does not even weigh."""
    answer = dmarc().judge(about_dmarc(REJECT, Message(letter()), address="198.51.100.9"), samples.policy(dmarc=mode))
    assert answer.ruling is None
    assert found(answer) == {"DMARC_REJECT": weight}


@pytest.mark.parametrize(
    ("more", "action"),
    [({}, Action.QUARANTINE), ({"spam_action": SpamAction.TAG}, Action.MARK), ({"thresholds": Thresholds(spam=999.0)}, None)],
)
def test_quarantine_is_what_spam_is(more: dict[str, Any], action: Action | None) -> None:
    """p=quarantine does what the recipient's domain does with spam, and nothing where that is switched off."""
    answer = dmarc().judge(about_dmarc(QUARANTINE, Message(letter()), address="198.51.100.9"), samples.policy(**more))
    assert (answer.ruling.action if answer.ruling is not None else None) is action


def test_list_mail_only_weighs() -> None:
    """Mail of a list that signed it, in the name of an author whose domain rejects, is not refused; unsigned, or signed by another, it is."""
    listed = letter(extra="List-Id: Talk <talk.lists.example.net>\r\n")
    owner, other = signer(domain="example.net"), signer(domain="example.com")
    answers = REJECT | zone(owner, other)
    assert set(found(dmarc().judge(about_dmarc(answers, signed(listed, owner)), samples.policy()))) == {"DMARC_LIST"}
    for content, rule in ((signed(listed, other), dmarc()), (Message(listed), dmarc()), (signed(listed, owner), dmarc(lists=False))):
        assert rule.judge(about_dmarc(answers, content), samples.policy()).ruling is not None


def sealed(text: bytes, results: bytes, who: signing.Signer) -> Message:
    message = Message(text)
    bodies = arc.hash_bodies(message.body_chunks(), [arc.ALL])
    fields = arc.seal(who, message.fields, arc.Arc(arc.ArcResult.NONE), bodies[arc.ALL][0], results, samples.NOW)
    return Message(b"".join(fields) + text)


def test_trusted_sealer_is_believed() -> None:
    """A chain whose sealer we trust and who saw DMARC pass overrules the fail; one who did not see it, or whom nobody trusts, does not."""
    forwarder = signer(domain="forward.example.net")
    answers = REJECT | zone(forwarder)
    good = sealed(letter(), b"forward.example.net; dmarc=pass header.from=example.org", forwarder)
    bad = sealed(letter(), b"forward.example.net; dmarc=fail (dmarc=pass)", forwarder)
    trusting = dmarc(trusted_sealers=("example.net",))
    assert set(found(trusting.judge(about_dmarc(answers, good), samples.policy()))) == {"DMARC_FORWARDED"}
    for rule, content in ((trusting, bad), (dmarc(), good)):
        assert rule.judge(about_dmarc(answers, content), samples.policy()).ruling is not None


# the rule arc-seal


def test_seal_of_what_is_relayed(tmp_path: Path) -> None:
    """What is relayed for a named domain gets one ARC set, which holds for the message with everything we add on top, and names what we found."""
    (tmp_path / "arc.pem").write_bytes(pem("rsa"))
    options = ArcSealOptions(("demo.test",), "example.com", "arc", "arc.pem")
    rule: ArcSeal = bound(ArcSeal("arc-seal", options), etc=tmp_path)
    answers = HOST | SPF | REJECT | zone(signer(domain="example.com", selector="arc"))
    content = Message(letter())
    about = about_dmarc(answers, content)
    answer = rule.judge(about, samples.policy())
    assert rule.judge(about, samples.policy()) is answer  # a second recipient
    first = about.opinions[0].verdict
    relayed = Message("".join(line + "\r\n" for line in (*first.headers, *answer.headers)).encode() + content.octets)
    state = done(arc.verify_message(FakeResolver(answers), relayed.fields, relayed.body_chunks))
    assert state.result.value == "pass", state
    assert (state.result.value, state.links[0].sealer) == ("pass", "example.com")
    assert b"dmarc=pass" in state.links[0].results
    assert rule.judge(about, samples.policy(domain="other.test")) is NO_OPINION


def test_seal_without_a_key(tmp_path: Path) -> None:
    """A key that is not there, or too short, is told at boot; a rule that seals for nobody needs none."""
    options = ArcSealOptions(("*",), "example.com", "arc", "arc.pem")
    with pytest.raises(ConfigError):
        bound(ArcSeal("arc-seal", options), etc=tmp_path)
    (tmp_path / "arc.pem").write_bytes(pem("rsa", 1024))
    with pytest.raises(ConfigError):
        bound(ArcSeal("arc-seal", options), etc=tmp_path)
    with pytest.raises(ValueError):
        ArcSealOptions(("*",))
    assert bound(ArcSeal("arc-seal", ArcSealOptions()), etc=tmp_path).judge(samples.facts(Message(letter())), samples.policy()) is NO_OPINION
