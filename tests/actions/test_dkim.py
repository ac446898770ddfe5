"""The life of the keys a domain signs with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.actions import dkim, domains, publishing
from jetmail.actions.dkim import decide
from jetmail.errors import ConflictError, NotFoundError
from jetmail.interfaces import AnswerKind
from jetmail.jobs.dkim_rotation import DkimRotationJob
from jetmail.store.directory.dkim_keys import DkimKey
from tests.actions.office import ANNA, BERT, DAY, NOW, OPTIONS, ROOT, Office, statuses
from tests.mailauth.samples import done


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """One."""
    return Office(tmp_path)


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
