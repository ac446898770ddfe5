"""Whose a domain is, what its owner has published, and the life of its keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.actions import dkim, domain_checks, domains, publishing
from jetmail.actions.access import Actor, Grant
from jetmail.actions.dkim import Workshop, decide
from jetmail.actions.domain_checks import Report
from jetmail.actions.publishing import PublishOptions
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import AnswerKind, IDatabase, IExecutor, IResolver
from jetmail.jobs.dkim_rotation import DkimRotationJob
from jetmail.jobs.domain_checks import DomainChecksJob
from jetmail.mail.address import parse
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import InlineExecutor
from jetmail.store.directory import accounts, claims, dkim_keys, recipients
from jetmail.store.directory import domains as rows
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.keyfiles import KeyFiles
from tests.fakes import FakeResolver
from tests.mailauth.samples import done
from tests.store.samples import memory_store

NOW = 1_795_159_800.0
DAY = 86_400.0
TOKEN = "0123456789abcdef" * 2
OTHER = "f" * 32
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna@one.example", (Grant("account", "1"),))
BERT = Actor("portal", "bert@two.example", (Grant("account", "2"),))
OPTIONS = PublishOptions("mail.test", "spf.mail.test", "return.mail.test")


class Office:
    """Two accounts, a DNS, a clock. `published` puts what a report wants into DNS; our own zone is there by itself."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.db = memory_store()
        self.resolver = FakeResolver({("spf.mail.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]})
        self.files = KeyFiles(folder / "dkim")
        self.folder = folder
        self.time = NOW
        self.shop = Workshop(
            IDatabase(self.db), IResolver(self.resolver), IExecutor(InlineExecutor()), self.files, replace(OPTIONS, **options), PublicSuffixes(),
            lambda: self.time,
        )  # fmt: skip
        self.db.run(accounts.add, "second")

    def add(self, actor: Actor = ANNA, account_id: int = 1, name: str = "example.com", token: str = TOKEN, **more: Any) -> Any:
        """Say that a domain is mine."""
        return self.settled(domains.add(self.db, actor, name, now=self.time, account_id=account_id, challenge=token, **more))

    def verify(self, actor: Actor = ANNA, name: str = "example.com", **more: Any) -> Report:
        """Look now."""
        report: Report = self.settled(domain_checks.verify(self.shop, actor, name, token=TOKEN, **more))
        return report

    def told(self, actor: Actor = ANNA, name: str = "example.com", **more: Any) -> Report:
        """What is known."""
        report: Report = self.settled(domain_checks.told(self.shop, actor, name, token=TOKEN, **more))
        return report

    def settled(self, waiting: Any) -> Any:
        """Its result, or what it failed with."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def publish(self, report: Report, *subjects: str) -> None:
        """Do as the report says."""
        for record in report.records:
            if not subjects or record.subject in subjects:
                if record.kind == "TXT":
                    self.resolver.zone[record.name, "TXT"] = [record.value.encode()]
                else:
                    self.resolver.zone[record.name, "CNAME"] = [record.value]
        self.serve()

    def serve(self) -> None:
        """Our own zone is what the file says, and CNAMEs that lead there are followed."""
        zone = {}
        for line in (self.folder / "dkim" / "zone").read_text().splitlines() if (self.folder / "dkim" / "zone").exists() else ():
            if not line.startswith(";"):
                name, _, _, _, text = line.split(" ", 4)
                zone[name.removesuffix(".")] = text.replace('" "', "").strip('"').encode()
        for (name, kind), found in list(self.resolver.zone.items()):
            if kind == "CNAME" and "_domainkey" in name:
                self.resolver.zone[name, "TXT"] = [zone[found[0]]] if found[0] in zone else AnswerKind.NODATA

    @property
    def keys(self) -> dict[str, str]:
        """{selector: state}"""
        found: tuple[DkimKey, ...] = self.settled(self.db.search(dkim_keys.listing))
        return {key.selector: key.state for key in found}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """One."""
    return Office(tmp_path)


def statuses(report: Report) -> dict[str, str]:
    """{subject or selector: status}"""
    return {record.name.partition(".")[0] if record.subject == "dkim" else record.subject: record.status for record in report.records}


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
            {"example.com": [b"v=spf1 a mx include:a.test -all"], "a.test": [b"v=spf1 include:b.test ?all"], "b.test": [b"v=spf1 include:SPF.mail.test."]},
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


# keys


def ready(office: Office) -> None:
    """A proved domain whose first keys sign."""
    office.add()
    office.publish(office.told())
    office.verify()
    office.serve()
    office.verify()
    assert office.keys == {"jm1": "active", "jm1e": "active"}


def test_rotation(office: Office) -> None:
    """Next keys are published ahead, take over when DNS has shown them long enough, and the old ones go when nothing they signed is on its way."""
    ready(office)
    job = DkimRotationJob(office.shop)
    office.time += 89 * DAY
    assert office.settled(job.run()) == 0
    office.time += 1.1 * DAY
    assert office.settled(job.run()) == 1
    assert office.keys == {"jm1": "active", "jm1e": "active", "jm2": "next", "jm2e": "next"}
    office.settled(job.run())  # our zone has them, DNS does not show them yet
    office.time += DAY
    office.settled(job.run())
    assert office.keys["jm2"] == "next"
    office.serve()
    office.settled(job.run())  # seen
    assert office.keys["jm2"] == "next"
    office.time += 600
    office.resolver.zone["jm2._domainkey.example.com", "TXT"] = AnswerKind.NXDOMAIN
    office.settled(job.run())  # and gone again: the time begins anew
    office.serve()
    office.settled(job.run())
    office.time += 3_000
    office.settled(job.run())
    assert office.keys == {"jm1": "active", "jm1e": "retired", "jm2": "next", "jm2e": "active"}
    office.time += 601
    office.settled(job.run())
    assert office.keys == {"jm1": "retired", "jm1e": "retired", "jm2": "active", "jm2e": "active"}
    assert len(list((office.folder / "dkim").rglob("*.pem"))) == 4
    office.time += 6.9 * DAY
    office.settled(job.run())
    assert len(office.keys) == 4
    office.time += 0.2 * DAY
    office.settled(job.run())
    assert office.keys == {"jm2": "active", "jm2e": "active"}
    assert len(list((office.folder / "dkim").rglob("*.pem"))) == 2
    assert (office.folder / "dkim" / "zone").read_text().count(" IN TXT ") == 2
    office.time += 90 * DAY
    office.settled(job.run())
    assert office.keys == {"jm1": "next", "jm1e": "next", "jm2": "active", "jm2e": "active"}


def test_an_answer_nobody_gave_changes_nothing(office: Office) -> None:
    """While DNS cannot tell, a next key neither takes over nor begins anew."""
    ready(office)
    office.settled(dkim.rotate(office.shop, ANNA, "example.com"))
    office.serve()
    office.settled(dkim.advance(office.shop, ANNA, "example.com"))
    good = dict(office.resolver.zone)
    for selector in ("jm2", "jm2e"):
        office.resolver.zone[f"{selector}._domainkey.example.com", "TXT"] = AnswerKind.SERVFAIL
    office.time += 4_000
    assert office.settled(dkim.advance(office.shop, ANNA, "example.com")) == ()
    office.resolver.zone.update(good)
    assert "jm2 signs" in office.settled(dkim.advance(office.shop, ANNA, "example.com"))


def test_rotate_now(office: Office) -> None:
    """A rotation can be begun by hand, once: the next has to wait until the last is over, and says for what."""
    ready(office)
    assert office.settled(dkim.rotate(office.shop, ANNA, "example.com")) == ("jm2 is made", "jm2e is made")
    with pytest.raises(ConflictError, match="jm2 waits to be seen in DNS"):
        office.settled(dkim.rotate(office.shop, ANNA, "example.com"))
    office.serve()
    office.settled(dkim.advance(office.shop, ANNA, "example.com"))
    office.time += 3_600
    office.settled(dkim.advance(office.shop, ANNA, "example.com"))
    with pytest.raises(ConflictError, match=r"jm1 stays published for another 7\.0 days"):
        office.settled(dkim.rotate(office.shop, ANNA, "example.com"))
    with pytest.raises(NotFoundError):
        office.settled(dkim.rotate(office.shop, BERT, "example.com"))


def test_no_keys_for_what_is_not_proved(office: Office) -> None:
    """Keys are made for domains that are somebody's."""
    office.add()
    with pytest.raises(ConflictError, match="not verified"):
        office.settled(dkim.rotate(office.shop, ANNA, "example.com"))


def test_without_delegation(tmp_path: Path) -> None:
    """Where customers publish keys themselves, each key there is is shown, and the next one waits for them."""
    office = Office(tmp_path, delegated=False, ed25519=False)
    office.add(verified=False)
    office.publish(office.told(), "ownership")
    office.verify()
    report = office.verify()
    (record,) = [each for each in report.records if each.subject == "dkim"]
    assert (record.kind, record.status, record.name) == ("TXT", "missing", "jm1._domainkey.example.com")
    assert record.line.count('" "') == 1  # more than one string can hold
    office.resolver.zone[record.name, "TXT"] = [record.value.replace("p=", "p= ").encode()]
    office.verify()
    assert office.keys == {"jm1": "active"}
    office.resolver.zone[record.name, "TXT"] = [b"v=DKIM1; p=AAAA"]
    assert statuses(office.verify())["jm1"] == "wrong"


def test_audit(office: Office) -> None:
    """What was done to a domain and its keys is written down, with who did it."""
    ready(office)
    told = office.db.connection.execute("SELECT actor, action, object FROM audit ORDER BY id").fetchall()
    assert ("anna@one.example", "domain.verify", "domain example.com") in told
    assert ("anna@one.example", "dkim.rotate", "domain example.com") in told


def test_keys_of_others_are_not_listed(office: Office) -> None:
    """Everybody sees the keys of their own domains."""
    ready(office)
    assert len(office.settled(dkim.listing(office.db, ANNA))) == 2
    assert office.settled(dkim.listing(office.db, BERT)) == ()
    assert len(office.settled(dkim.listing(office.db, ROOT, "example.com"))) == 2


def test_a_domain_that_goes_takes_its_keys_along(office: Office) -> None:
    """Removed and added again, a domain begins with new keys; the old files are swept after a day."""
    ready(office)
    before = {key.fingerprint for key in office.settled(dkim.listing(office.db, ANNA))}
    office.settled(domains.remove(office.db, ANNA, "example.com", now=NOW))
    assert office.keys == {}
    ready(office)
    assert before.isdisjoint(key.fingerprint for key in office.settled(dkim.listing(office.db, ANNA)))
    office.time = max(path.stat().st_mtime for path in (office.folder / "dkim").rglob("*.pem")) + 2 * DAY
    office.settled(DkimRotationJob(office.shop).run())
    assert len(list((office.folder / "dkim").rglob("*.pem"))) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40 * DAY), st.sampled_from([True, False, None]), st.booleans()), max_size=60))
def test_any_life(steps: list[tuple[float, bool | None, bool]]) -> None:
    """Whatever DNS shows and whenever one looks: once a key has signed one always does, selectors are never shared, and nothing is removed before its
    time."""
    keys: dict[int, DkimKey] = {}
    now, made, has_signed = NOW, 0, False
    for pause, seen, hurry in steps:
        now += pause
        plan = decide(tuple(keys.values()), {key.id: seen for key in keys.values()}, now, OPTIONS, hurry=hurry)
        for key in plan.remove:
            assert key.state == "retired" and now - (key.retired or now) >= OPTIONS.keep
            del keys[key.id]
        for key in plan.save:
            keys[key.id] = key
            assert sum(each.state == "active" and each.algorithm == key.algorithm for each in keys.values()) <= 1
        for algorithm, selector in plan.create:
            assert selector not in {key.selector for key in keys.values()}
            made += 1
            keys[made] = DkimKey("example.com", selector, algorithm, "next", "", "", now, id=made)
        signing = {key.algorithm for key in keys.values() if key.state == "active"}
        assert not has_signed or signing == {"rsa", "ed25519"}
        has_signed = has_signed or len(signing) == 2
        assert len(keys) <= 4


def test_long_names_lead_to_short_ones() -> None:
    """A target that DNS could not carry has a hash in the domain's place."""
    name = ".".join(["a" * 60] * 4)
    target = OPTIONS.target(name, "jm1")
    assert len(target) < 100 and target.endswith(".dkim.mail.test") and OPTIONS.target(name + "b", "jm1") != target


def test_zone_lines() -> None:
    """Texts are quoted and cut where a string must end."""
    assert publishing.zone_line("a.test", 60, "TXT", 'say "hi" \\') == 'a.test. 60 IN TXT "say \\"hi\\" \\\\"'
    assert publishing.zone_line("a.test", 60, "CNAME", "b.test") == "a.test. 60 IN CNAME b.test."
    assert [len(piece) for piece in publishing.zone_line("a", 1, "TXT", "x" * 600).split(" IN TXT ")[1].split(" ")] == [257, 257, 92]


def test_key_in_dns(office: Office) -> None:
    """A key is there when the one record at its name has its public half."""
    key = DkimKey("example.com", "jm1", "rsa", "next", "v=DKIM1; k=rsa; p=QUJD", "", NOW)
    name = ("jm1._domainkey.example.com", "TXT")
    for found, there in (
        ([b"v=DKIM1; p=QU JD"], True), ([b"p=QUJE"], False), ([b"p="], False), ([b"p=QUJD", b"p=QUJD"], False), (AnswerKind.NODATA, False),
        (AnswerKind.TIMEOUT, None),
    ):  # fmt: skip
        office.resolver.zone[name] = found
        assert done(dkim.in_dns(office.resolver, key)) is there, found
