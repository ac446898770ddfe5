"""Whose a domain is, and what its owner has published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jetmail.actions import domain_checks
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import AnswerKind
from jetmail.jobs.domain_checks import DomainChecksJob
from jetmail.mail.address import parse
from jetmail.store.directory import claims, recipients
from jetmail.store.directory import domains as rows
from tests.actions.office import ANNA, BERT, DAY, NOW, OTHER, TOKEN, Office, statuses


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """One."""
    return Office(tmp_path)


# ownership


def test_ownership(office: Office) -> None:
    """A domain begins unproved, is proved by its own TXT record, and stays so when the record goes."""
    office.add()
    report = office.verify()
    assert report.verified_at is None and statuses(report)["ownership"] == "missing"
    assert report.records[0].name == "_mailportal-verify.example.com" and report.records[0].value == f"mp-verify={TOKEN}"
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = [b"something", f"MP-Verify={TOKEN} ".encode()]
    report = office.verify()
    assert report.verified_at == NOW and report.done[0] == "ownership is proved"
    del office.resolver.zone["_mailportal-verify.example.com", "TXT"]
    office.time += DAY
    report = office.verify()
    assert report.verified_at == NOW and statuses(report)["ownership"] == "ok"


@pytest.mark.parametrize("found", [[b"mp-verify=" + OTHER.encode()], [b"mp-verify="], [TOKEN.encode()], AnswerKind.SERVFAIL, AnswerKind.NXDOMAIN])
def test_no_proof(office: Office, found: Any) -> None:
    """Another challenge, none, or no answer prove nothing."""
    office.add()
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = found
    assert office.verify().verified_at is None and office.keys == {}


def test_a_domain_without_a_challenge_gets_one(office: Office) -> None:
    """A row of before there were challenges has one as soon as somebody asks what to publish."""
    office.add(token="")
    report = office.told()
    assert report.records[0].value == f"mp-verify={TOKEN}"
    assert office.told().records[0].value == report.records[0].value


def test_a_late_claim_without_a_challenge(office: Office) -> None:
    """A challenge given to one account's claim leaves that of the other alone."""
    office.add(token=OTHER)
    office.add(BERT, 2, token="")
    assert office.told(BERT).records[0].value == f"mp-verify={TOKEN}"
    assert office.told(ANNA).records[0].value == f"mp-verify={OTHER}"


def test_two_claims(office: Office) -> None:
    """Two accounts may say that a name is theirs; the record of one proves it for that one, and the other hears of the conflict."""
    office.add()
    office.settled(office.db.run(recipients.add, [parse("somebody@example.com")]))
    saved = office.add(BERT, 2, token=OTHER)
    assert "whoever proves it first" in saved.warnings[0]
    assert office.told(BERT).records[0].value == f"mp-verify={OTHER}"
    assert office.told(ANNA).records[0].value == f"mp-verify={TOKEN}"
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = [f"mp-verify={OTHER}".encode()]
    assert office.verify(ANNA).verified_at is None
    report = office.verify(BERT)
    assert (report.verified_at, report.account_id) == (NOW, 2)
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = [f"mp-verify={TOKEN}".encode()]
    with pytest.raises(ConflictError, match="proved by another account"):
        office.verify(ANNA)
    with pytest.raises(ConflictError):
        office.add()
    held = office.settled(office.db.search(rows.get, "example.com"))
    assert held.account_id == 2
    assert office.db.connection.execute("SELECT count(*) FROM recipients").fetchone() == (0,)  # nothing of the first account's is in force


def test_an_alias_of_what_somebody_else_proved(office: Office) -> None:
    """An alias domain of the account that lost the name takes no more mail: it would go to strangers."""
    office.add()
    office.add(name="alias.example", kind="alias", alias_of="example.com", token="")
    office.add(BERT, 2, token=OTHER)
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = [f"mp-verify={OTHER}".encode()]
    office.verify(BERT)
    assert office.settled(office.db.search(rows.get, "alias.example")).inbound is False


def test_out_of_scope(office: Office) -> None:
    """Somebody else's domain, and one that is none, do not exist."""
    office.add()
    for name in ("example.com", "nothing.example", "not a name"):
        with pytest.raises(NotFoundError):
            office.verify(BERT, name)
        with pytest.raises(NotFoundError):
            office.told(BERT, name)


# what is published


def test_everything_published(office: Office) -> None:
    """Published as the report says, everything is found, and the domain is ready."""
    office.add()
    office.publish(office.told(), "ownership")
    assert "jm1 is made" in office.verify().done
    report = office.told()
    office.publish(report)
    report = office.verify()
    assert set(statuses(report).values()) - {"ok"} == set(), statuses(report)
    assert report.is_ready and office.keys == {"jm1": "active", "jm1e": "active"}
    assert {"jm1 signs", "jm1e signs"} <= set(report.done)
    assert office.told() == replace(report, done=())
    assert report.records[0].line == f'_mailportal-verify.example.com. 3600 IN TXT "mp-verify={TOKEN}"'


@pytest.mark.parametrize(
    ("zone", "status", "words"),
    [
        ({}, "missing", ""),
        ({"example.com": [b"v=spf1 -all"]}, "wrong", "does not lead to spf.mail.test"),
        ({"example.com": [b"v=spf1 include:spf.mail.test ~all"]}, "ok", "1 of 10 look-ups"),
        ({"example.com": [b"v=spf1 redirect=spf.mail.test"]}, "ok", ""),
        (
            {"example.com": [b"v=spf1 a mx include:a.test -all"], "a.test": [b"v=spf1 include:b.test"], "b.test": [b"v=spf1 include:SPF.mail.test."]},
            "ok", "5 of 10",
        ),
        ({"example.com": [b"v=spf1 -all include:spf.mail.test"]}, "wrong", "does not lead"),
        ({"example.com": [b"v=spf1 ?include:spf.mail.test -all"]}, "wrong", "does not lead"),
        ({"example.com": [b"v=spf1 include:spf.mail.test -all", b"v=spf1 a -all"]}, "wrong", "several SPF records"),
        ({"example.com": [b"v=spf1 include:spf.mail.test include:gone.test -all"]}, "wrong", "gone.test, which has no SPF record"),
        ({"example.com": [b"v=spf1 include:spf.mail.test +all"]}, "wrong", "lets everybody send"),
        ({"example.com": [b"v=spf1 include:spf.mail.test " + b"a:x.test " * 10 + b"-all"]}, "wrong", "11 terms"),
        ({"example.com": [b"v=spf1 include:spf.mail.test foo -all"]}, "wrong", "unknown term"),
        ({"example.com": [b"v=spf1 include:a.test -all"], "a.test": [b"v=spf1 include:a.test include:example.com"]}, "wrong", "does not lead"),
        ({"example.com": AnswerKind.SERVFAIL}, "unknown", "example.com"),
        ({"example.com": [b"v=spf1 include:slow.test -all"], "slow.test": AnswerKind.TIMEOUT}, "unknown", "slow.test"),
    ],
)  # fmt: skip
def test_spf(office: Office, zone: dict[str, Any], status: str, words: str) -> None:
    """Nested includes are followed, look-ups counted, and what receivers would stumble over is named."""
    office.add()
    office.resolver.zone.update({(name, "TXT"): found for name, found in zone.items()})
    record = next(each for each in office.verify().records if each.subject == "spf")
    assert record.status == status and words in record.found, record.found


def test_whitelabel(office: Office) -> None:
    """An account's customers include its own name, which leads to ours; the check follows it there."""
    told = office.settled(domain_checks.set_include(office.db, ANNA, 1, "SPF.brand.example", now=NOW))
    assert told.name == "spf.brand.example"
    office.add()
    (record,) = [each for each in office.told().records if each.subject == "spf"]
    assert record.value == "v=spf1 include:spf.brand.example ~all"
    office.publish(office.told(), "spf")
    assert statuses(office.verify())["spf"] == "wrong"
    told = office.settled(domain_checks.include(office.shop, ANNA, 1))
    assert (told.status, told.value) == ("missing", "v=spf1 include:spf.mail.test ~all")
    office.resolver.zone["spf.brand.example", "TXT"] = [told.value.encode()]
    assert statuses(office.verify())["spf"] == "ok"
    assert office.settled(domain_checks.include(office.shop, ANNA, 1)).status == "ok"
    for bad in ("nodot", "two words", "[192.0.2.1]"):
        with pytest.raises(UsageError):
            office.settled(domain_checks.set_include(office.db, ANNA, 1, bad, now=NOW))
    with pytest.raises(NotFoundError):
        office.settled(domain_checks.set_include(office.db, BERT, 1, "spf.evil.example", now=NOW))


@pytest.mark.parametrize(
    ("zone", "status"),
    [
        ({}, "missing"),
        ({"_dmarc.sub.example.com": [b"v=DMARC1; p=none"]}, "ok"),
        ({"_dmarc.example.com": [b"v=DMARC1; p=reject"]}, "ok"),
        ({"_dmarc.sub.example.com": [b"v=DMARC1; q=none"]}, "wrong"),
        ({"_dmarc.sub.example.com": [b"v=DMARC1; p=none", b"v=DMARC1; p=none"]}, "wrong"),
        ({"_dmarc.sub.example.com": AnswerKind.TIMEOUT}, "unknown"),
    ],
)
def test_dmarc(office: Office, zone: dict[str, Any], status: str) -> None:
    """The domain's own record, or that of its organisation, will do."""
    office.add(name="sub.example.com")
    office.resolver.zone.update({(name, "TXT"): found for name, found in zone.items()})
    assert statuses(office.verify(name="sub.example.com"))["dmarc"] == status


def test_a_cname_that_leads_elsewhere(office: Office) -> None:
    """A return path that leads to somebody else is shown as it is."""
    office.add()
    office.resolver.zone["bounces.example.com", "CNAME"] = ["mail.other.test"]
    record = next(each for each in office.verify().records if each.subject == "return-path")
    assert (record.status, record.found, record.value) == ("wrong", "CNAME mail.other.test", "return.mail.test")


def test_the_hourly_look(office: Office) -> None:
    """The job proves what can be proved, looks again at what was looked at, and is not stopped by what fails."""
    office.add()
    office.add(BERT, 2, token=OTHER)
    job = DomainChecksJob(office.shop)
    assert office.settled(job.run()) == 0
    office.resolver.zone["_mailportal-verify.example.com", "TXT"] = [f"mp-verify={TOKEN}".encode(), f"mp-verify={OTHER}".encode()]
    assert office.settled(job.run()) == 1  # both have published it: the first claim is the older
    assert office.settled(office.db.search(rows.get, "example.com")).account_id == 1
    assert office.settled(job.run()) == 0
    office.time += 3_600
    asked = len(office.resolver.asked)
    assert office.settled(job.run()) == 1 and len(office.resolver.asked) > asked
    assert office.settled(office.db.search(claims.checked, "example.com"))[0].checked == office.time
