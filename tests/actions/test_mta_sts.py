"""MTA-STS policies of our own domains: chosen, shown, withdrawn, and what DNS shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetmail.actions import domains, mta_sts
from jetmail.actions.access import Actor
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import AnswerKind
from jetmail.mailauth import mtasts
from jetmail.store.directory import audit, claims
from tests.actions.office import ANNA, BERT, DAY, NOW, ROOT, Office, statuses

NAME = "example.com"
OPTIONS: dict[str, Any] = {"hostname": "mx.mail.test", "policy_target": "mta-sts.mail.test", "tls_reports": "reports@mail.test"}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """With example.com of account 1, proved."""
    office = Office(tmp_path, **OPTIONS)
    office.add(ROOT, verified=True)
    return office


def choose(office: Office, actor: Actor = ANNA, name: str = NAME, **more: Any) -> mta_sts.Shown:
    """Choose a policy."""
    shown: mta_sts.Shown = office.settled(mta_sts.choose(office.db, actor, office.shop.options, name, now=office.time, **more))
    return shown


def test_defaults(office: Office) -> None:
    """A domain begins with testing, our own name and a week; what is given is changed and the rest stays; another policy has another id."""
    first = choose(office)
    assert mtasts.parse(first.file.encode()) == mtasts.Policy(mtasts.Mode.TESTING, ("mx.mail.test",), 604_800)
    assert first.url == "https://mta-sts.example.com/.well-known/mta-sts.txt"
    second = choose(office, mode="enforce", hosts=["MX1.example.com.", "*.mail.test"])
    assert (second.mode, second.hosts, second.max_age) == ("enforce", ("mx1.example.com", "*.mail.test"), 604_800)
    third = choose(office, max_age=86_400)
    assert (third.mode, third.hosts) == ("enforce", second.hosts)
    assert len({shown.records[0] for shown in (first, second, third)}) == 3
    assert choose(office, mode="testing", hosts=(), max_age=604_800).records == first.records
    assert first.records[1:] == (
        "mta-sts.example.com. 3600 IN CNAME mta-sts.mail.test.",
        '_smtp._tls.example.com. 3600 IN TXT "v=TLSRPTv1; rua=mailto:reports@mail.test"',
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [({"mode": "strict"}, "mode"), ({"hosts": ["no host"]}, "--mx"), ({"max_age": -1}, "max_age"), ({"max_age": 10**9}, "max_age")],
)
def test_mistakes(office: Office, given: dict[str, Any], field: str) -> None:
    """What makes no policy is refused with its field, and nothing is changed."""
    with pytest.raises(UsageError) as caught:
        choose(office, **given)
    assert caught.value.field == field
    with pytest.raises(NotFoundError, match="has no MTA-STS policy"):
        office.settled(mta_sts.show(office.db, ANNA, office.shop.options, NAME))


def test_warning(office: Office) -> None:
    """A policy in force for less than a day protects hardly anybody, which is said."""
    assert choose(office, mode="enforce").warnings == ()
    assert "less than a day" in choose(office, max_age=3_600).warnings[0]


def test_scope_and_audit(office: Office) -> None:
    """Somebody else's domain does not exist; each change is in the audit; what is removed is gone."""
    choose(office)
    for waiting in (
        mta_sts.choose(office.db, BERT, office.shop.options, NAME, now=NOW, mode="none"),
        mta_sts.show(office.db, BERT, office.shop.options, NAME),
        mta_sts.remove(office.db, BERT, office.shop.options, NAME, now=NOW),
    ):
        with pytest.raises(NotFoundError):
            office.settled(waiting)
    assert office.settled(mta_sts.listing(office.db, BERT, office.shop.options)) == ()
    assert [shown.domain for shown in office.settled(mta_sts.listing(office.db, ANNA, office.shop.options))] == [NAME]
    office.settled(mta_sts.remove(office.db, ANNA, office.shop.options, NAME, now=NOW))
    assert office.settled(mta_sts.listing(office.db, ROOT, office.shop.options)) == ()
    entries = office.settled(office.db.search(audit.listing))
    assert [entry.action for entry in entries if entry.action == "domain.mta-sts"] == ["domain.mta-sts"] * 2


def test_published(office: Office) -> None:
    """Published as told, the records are ok; none of them is needed to send."""
    choose(office, mode="enforce")
    before = statuses(office.verify())
    assert {before[subject] for subject in ("mta-sts", "mta-sts-host", "tls-rpt")} == {"missing"}
    report = office.told()
    office.publish(report, "mta-sts", "mta-sts-host", "tls-rpt")
    found = statuses(office.verify())
    assert {found[subject] for subject in ("mta-sts", "mta-sts-host", "tls-rpt")} == {"ok"}
    assert all(record.optional for record in report.records if record.subject in ("mta-sts", "mta-sts-host", "tls-rpt"))


@pytest.mark.parametrize(
    ("zone", "subject", "status", "words"),
    [
        ({("_mta-sts.example.com", "TXT"): [b"v=STSv1; id=old"]}, "mta-sts", "wrong", "another policy's"),
        ({("_mta-sts.example.com", "TXT"): [b"v=STSv1"]}, "mta-sts", "wrong", "v=STSv1"),
        ({("_mta-sts.example.com", "TXT"): AnswerKind.SERVFAIL}, "mta-sts", "unknown", "no answer"),
        ({("example.com", "MX"): [(10, "old.example.com")]}, "mta-sts", "wrong", "does not name old.example.com"),
        ({("example.com", "MX"): [(10, "mx.mail.test")]}, "mta-sts", "ok", ""),
        ({("mta-sts.example.com", "CNAME"): ["elsewhere.test"]}, "mta-sts-host", "wrong", "elsewhere.test"),
        ({("mta-sts.example.com", "CNAME"): AnswerKind.TIMEOUT}, "mta-sts-host", "unknown", ""),
        (
            {("mta-sts.example.com", "CNAME"): [], ("mta-sts.example.com", "A"): ["192.0.2.1"], ("mta-sts.mail.test", "A"): ["192.0.2.1"]},
            "mta-sts-host", "ok", "192.0.2.1",
        ),
        (
            {("mta-sts.example.com", "CNAME"): [], ("mta-sts.example.com", "A"): ["192.0.2.9"], ("mta-sts.mail.test", "A"): ["192.0.2.1"]},
            "mta-sts-host", "wrong", "not the addresses of mta-sts.mail.test",
        ),
        ({("_smtp._tls.example.com", "TXT"): [b"v=TLSRPTv1; rua=mailto:a@b.test,mailto:Reports@mail.test"]}, "tls-rpt", "ok", ""),
        ({("_smtp._tls.example.com", "TXT"): [b"v=TLSRPTv1; rua=mailto:a@b.test"]}, "tls-rpt", "wrong", "go elsewhere"),
        ({("_smtp._tls.example.com", "TXT"): [b"v=TLSRPTv2"]}, "tls-rpt", "wrong", "v=TLSRPTv2"),
    ],
)  # fmt: skip
def test_looked_at(office: Office, zone: dict[tuple[str, str], Any], subject: str, status: str, words: str) -> None:
    """Another policy's id, an MX the policy does not name, a name that leads elsewhere, reports that go elsewhere are said."""
    choose(office, mode="enforce")
    office.verify()
    office.publish(office.told(), "mta-sts", "mta-sts-host", "tls-rpt")
    for key, found in zone.items():
        if found:
            office.resolver.zone[key] = found
        else:
            office.resolver.zone.pop(key, None)
    record = next(each for each in office.verify().records if each.subject == subject)
    assert (record.status, words in record.found) == (status, True), record


def test_looked_at_again(office: Office) -> None:
    """A domain that only receives is looked at every hour too, once it has a policy."""
    office.settled(domains.change(office.db, ROOT, NAME, {"outbound": False}, now=NOW))
    office.verify()
    assert office.db.read(claims.stale, NOW + DAY, 10) == ()
    choose(office)
    assert office.db.read(claims.stale, NOW + DAY, 10) == (NAME,)
