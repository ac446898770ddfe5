"""DMARC: alignment, whose policy counts, what DNS trouble means, and the same judgement by another's hand."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.interfaces import AnswerKind
from jetmail.mail.message import Message
from jetmail.mailauth import dmarc, iprev
from jetmail.mailauth.dkim import Dkim, DkimResult
from jetmail.mailauth.dmarc import DmarcPolicy, DmarcResult
from jetmail.mailauth.iprev import IprevResult
from jetmail.mailauth.spf import Spf, SpfResult
from jetmail.mailauth.suffixes import PublicSuffixes
from tests.fakes import FakeResolver
from tests.mailauth.samples import done

SUFFIXES = PublicSuffixes()
NOTHING = Spf(SpfResult.NONE)


def judged(author: str, records: dict[str, Any], spf: Spf | None = NOTHING, *dkim: Dkim, sample: int = 0, exists: bool = True) -> dmarc.Dmarc:
    zone: dict[Any, Any] = {(f"_dmarc.{name}", "TXT"): record if isinstance(record, AnswerKind) else [record] for name, record in records.items()}
    if exists:
        zone[author.rpartition("@")[2], "A"] = ["192.0.2.1"]
    sender = Message(f"From: {author}\r\n\r\n".encode()).sender
    found: dmarc.Dmarc = done(dmarc.check(FakeResolver(zone), SUFFIXES, sender, spf, dkim, sample))
    return found


def spf(domain: str, result: SpfResult = SpfResult.PASS) -> Spf:
    return Spf(result, domain)


def dkim(domain: str, result: DkimResult = DkimResult.PASS) -> Dkim:
    return Dkim(result, domain)


@pytest.mark.parametrize(
    ("author", "record", "identifiers", "result"),
    [
        ("a@example.org", b"v=DMARC1; p=reject", (spf("example.org"),), DmarcResult.PASS),
        ("a@example.org", b"v=DMARC1; p=reject", (spf("mail.example.org"),), DmarcResult.PASS),
        ("a@example.org", b"v=DMARC1; p=reject; aspf=s", (spf("mail.example.org"),), DmarcResult.FAIL),
        ("a@example.org", b"v=DMARC1; p=reject", (NOTHING, dkim("news.example.org")), DmarcResult.PASS),
        ("a@example.org", b"v=DMARC1; p=reject; adkim=s", (NOTHING, dkim("news.example.org")), DmarcResult.FAIL),
        ("a@example.org", b"v=DMARC1; p=reject", (NOTHING, dkim("example.net"), dkim("example.org")), DmarcResult.PASS),
        ("a@example.org", b"v=DMARC1; p=reject", (NOTHING, dkim("example.org", DkimResult.FAIL)), DmarcResult.FAIL),
        ("a@example.org", b"v=DMARC1; p=reject", (spf("example.org", SpfResult.SOFTFAIL),), DmarcResult.FAIL),
        ("a@example.co.uk", b"v=DMARC1; p=reject", (spf("other.co.uk"),), DmarcResult.FAIL),
        ("a@example.org", b"v=DMARC1; p=reject", (spf("badexample.org"),), DmarcResult.FAIL),
        ("a@example.org", b"v=DMARC1; p=reject", (spf("example.org", SpfResult.TEMPERROR),), DmarcResult.TEMPERROR),
        ("a@example.org", b"v=DMARC1; p=reject", (NOTHING, dkim("example.org", DkimResult.TEMPERROR)), DmarcResult.TEMPERROR),
        ("a@example.org", b"v=DMARC1; p=reject", (NOTHING, dkim("example.net", DkimResult.TEMPERROR)), DmarcResult.FAIL),
        ("a@example.org", b"v=spf1 -all", (spf("example.org"),), DmarcResult.NONE),
        ("a@example.org", b"v=DMARC1; p=nonsense", (NOTHING,), DmarcResult.NONE),
        ("a@example.org", b"v=DMARC1; p=nonsense; rua=mailto:a@example.org", (NOTHING,), DmarcResult.FAIL),
    ],
)
def test_alignment(author: str, record: bytes, identifiers: tuple[Any, ...], result: DmarcResult) -> None:
    """What is borne out by an aligned pass passes; what might have been is undecided; the rest fails."""
    assert judged(author, {author.rpartition("@")[2]: record}, *identifiers).result is result


@pytest.mark.parametrize(
    ("author", "records", "policy_domain", "policy"),
    [
        ("a@example.org", {"example.org": b"v=DMARC1; p=reject; sp=none"}, "example.org", DmarcPolicy.REJECT),
        ("a@x.example.org", {"example.org": b"v=DMARC1; p=reject; sp=none"}, "example.org", DmarcPolicy.NONE),
        ("a@x.example.org", {"example.org": b"v=DMARC1; p=reject"}, "example.org", DmarcPolicy.REJECT),
        (
            "a@x.example.org",
            {"example.org": b"v=DMARC1; p=none", "x.example.org": b"v=DMARC1; p=quarantine"},
            "x.example.org",
            DmarcPolicy.QUARANTINE,
        ),
        ("a@x.y.example.co.uk", {"example.co.uk": b"v=DMARC1;p=quarantine"}, "example.co.uk", DmarcPolicy.QUARANTINE),
        ("a@x.example.org", {"example.org": b"v=DMARC1; p=none; np=reject"}, "example.org", DmarcPolicy.NONE),
    ],
)
def test_whose_policy(author: str, records: dict[str, Any], policy_domain: str, policy: DmarcPolicy) -> None:
    """The author's domain speaks for itself, else its organisation does, with sp= for what is below it."""
    found = judged(author, records)
    assert (found.result, found.policy_domain, found.policy) == (DmarcResult.FAIL, policy_domain, policy)


def test_domain_that_does_not_exist() -> None:
    """A subdomain that nobody has is judged by np=."""
    records = {"example.org": b"v=DMARC1; p=none; sp=quarantine; np=reject"}
    assert judged("a@x.example.org", records, exists=False).disposition is DmarcPolicy.REJECT
    assert judged("a@x.example.org", records).disposition is DmarcPolicy.QUARANTINE


@pytest.mark.parametrize(
    ("record", "sample", "disposition"),
    [
        (b"v=DMARC1; p=reject; pct=30", 29, DmarcPolicy.REJECT),
        (b"v=DMARC1; p=reject; pct=30", 30, DmarcPolicy.QUARANTINE),
        (b"v=DMARC1; p=quarantine; pct=0", 0, DmarcPolicy.NONE),
        (b"v=DMARC1; p=reject; t=y", 0, DmarcPolicy.QUARANTINE),
        (b"v=DMARC1; p=reject; pct=many", 99, DmarcPolicy.REJECT),
    ],
)
def test_part_of_the_mail(record: bytes, sample: int, disposition: DmarcPolicy) -> None:
    """Under pct= and t=y what falls outside gets the next milder treatment."""
    assert judged("a@example.org", {"example.org": record}, sample=sample).disposition is disposition


def test_trouble_is_no_fail() -> None:
    """DNS trouble with the policy is temperror, for the domain and for its organisation."""
    assert judged("a@example.org", {"example.org": AnswerKind.TIMEOUT}).result is DmarcResult.TEMPERROR
    assert judged("a@x.example.org", {"example.org": AnswerKind.SERVFAIL}).result is DmarcResult.TEMPERROR


@pytest.mark.parametrize(
    "author",
    [
        "<a@good.test> <a@example.org>",
        "<a@good.test<a@example.org>>",
        '"Boss <a@example.org>',
        "a@example.org.",
        "a@(x)example(y) . org",
        "a@good.test\r\nFrom: a@example.org",
        "\r\nFrom: ".join(["a@good.test"] * 20 + ["a@example.org"]),
        ", ".join(f"a@d{number}.test" for number in range(8)) + ", a@example.org",
        "=?utf-8?q?Boss_=3Ca=40example=2Eorg=3E?=",
    ],
)
def test_forged_whatever_it_is_wrapped_in(author: str) -> None:
    """A domain that wants forgeries refused is judged wherever a mail program might read it, beside whatever other author."""
    found = judged(author, {"example.org": b"v=DMARC1; p=reject"}, spf("good.test"))
    assert (found.result, found.policy_domain, found.disposition) == (DmarcResult.FAIL, "example.org", DmarcPolicy.REJECT)


def test_spf_that_was_not_asked_fails_nobody() -> None:
    """Behind a relay of ours SPF cannot tell: a signature still bears the author out, and without one nothing is known."""
    records = {"example.org": b"v=DMARC1; p=reject"}
    assert judged("a@example.org", records, None).result is DmarcResult.NONE
    assert judged("a@example.org", records, None, dkim("example.org")).result is DmarcResult.PASS


def test_several_records_are_none() -> None:
    """Two policies are no policy."""
    zone = {("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject", b"v=DMARC1; p=none"]}
    sender = Message(b"From: a@example.org\r\n\r\n").sender
    assert done(dmarc.check(FakeResolver(zone), SUFFIXES, sender, NOTHING, ())).result is DmarcResult.NONE


@pytest.mark.parametrize(
    ("field", "result"),
    [
        ("From: a@example.org, b@example.net\r\n", DmarcResult.FAIL),
        ("From: a@example.net, b@example.net\r\n", DmarcResult.FAIL),
        ("From: a@example.org\r\nFrom: a@example.org\r\n", DmarcResult.PERMERROR),
        ("From: a@example.org\r\nFrom: b@example.net\r\n", DmarcResult.FAIL),
        ("Subject: x\r\n", DmarcResult.PERMERROR),
        ("From: a@[192.0.2.1]\r\n", DmarcResult.PERMERROR),
        ("From: a@d1.test, b@d2.test, c@d3.test, d@d4.test, e@d5.test\r\n", DmarcResult.PERMERROR),
        ("From: undisclosed:;\r\n", DmarcResult.PERMERROR),
    ],
)
def test_from_is_judged(field: str, result: DmarcResult) -> None:
    """Every author counts and the strictest answer stands; what names nobody, or too many, never passes."""
    zone = {("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject"], ("_dmarc.example.net", "TXT"): [b"v=DMARC1; p=reject"]}
    sender = Message(f"{field}\r\n".encode()).sender
    assert done(dmarc.check(FakeResolver(zone), SUFFIXES, sender, spf("example.org"), ())).result is result


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_any_record_is_read(record: bytes) -> None:
    """Whatever stands behind v=DMARC1, there is a policy or none, and nothing is raised."""
    found = dmarc.parse(b"v=DMARC1;" + record)
    assert found is None or isinstance(found.policy, DmarcPolicy)


@pytest.mark.parametrize("record", ["v=DMARC1; p=reject", "v=DMARC1; p=quarantine; sp=reject; adkim=s", "v=DMARC1; p=none; aspf=s"])
@pytest.mark.parametrize("author", ["example.org", "x.example.org"])
@pytest.mark.parametrize("signer", ["example.org", "x.example.org", "example.net"])
def test_another_agrees(record: str, author: str, signer: str) -> None:
    """The package dmarc, which is not ours, comes to the same result and policy."""
    oracle = pytest.importorskip("dmarc")
    record_domain = "example.org"
    policy = oracle.DMARCPolicy(record, record_domain) if author == record_domain else oracle.DMARCPolicy(record, author, record_domain)
    ours = judged(f"a@{author}", {"example.org": record.encode()}, spf("bounce.example.net"), dkim(signer))
    try:
        policy.verify(oracle.SPF("bounce.example.net", oracle.SPF_PASS), oracle.DKIM(signer, oracle.DKIM_PASS))
        theirs = "pass"
    except oracle.PolicyError as error:
        theirs = type(error).__name__.replace("Policy", "").replace("Error", "").lower()
    assert ours.result is (DmarcResult.PASS if theirs == "pass" else DmarcResult.FAIL)
    if theirs != "pass":
        assert ours.policy.name.lower() == theirs


def test_suffixes() -> None:
    """An organisation is what stands one label below a public suffix; what is a suffix itself stands for itself."""
    for domain, wanted in (
        ("a.b.example.com", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("x.github.io", "x.github.io"),
    ):
        assert SUFFIXES.organisational(domain) == wanted


BACK = {("1.2.0.192.in-addr.arpa", "PTR"): ["mail.example.org"]}


@pytest.mark.parametrize(
    ("zone", "result"),
    [
        (BACK | {("mail.example.org", "A"): ["192.0.2.1"]}, IprevResult.PASS),
        (BACK | {("mail.example.org", "A"): ["192.0.2.9", "not an address"]}, IprevResult.FAIL),
        (BACK | {("mail.example.org", "A"): AnswerKind.TIMEOUT}, IprevResult.TEMPERROR),
        ({("1.2.0.192.in-addr.arpa", "PTR"): AnswerKind.SERVFAIL}, IprevResult.TEMPERROR),
        ({}, IprevResult.PERMERROR),
    ],
)
def test_way_back(zone: dict[Any, Any], result: IprevResult) -> None:
    """An address has a name that leads back, one that does not, none, or nobody can tell."""
    assert done(iprev.check(FakeResolver(zone), ipaddress.ip_address("192.0.2.1"))).result is result
