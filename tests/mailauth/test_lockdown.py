"""Domain Lockdown records: what they say, whose they are, whom they admit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.interfaces import AnswerKind
from jetmail.mailauth import lockdown
from jetmail.mailauth.lockdown import Lockdown, Standing, parse
from jetmail.mailauth.suffixes import PublicSuffixes
from tests.fakes import FakeResolver
from tests.mailauth.samples import done

UUID = "550e8400-e29b-41d4-a716-446655440000"
OTHER = "660f9500-f39c-52e5-b827-557766550111"
SUFFIXES = PublicSuffixes()


def asked(zone: dict[str, Any], domain: str = "example.com", user: str = UUID, name: str = "jetemail", ip: str = "192.0.2.7") -> Lockdown:
    """The standing of a user under these TXT records."""
    resolver = FakeResolver({(owner, "TXT"): found for owner, found in zone.items()})
    return done(lockdown.check(resolver, SUFFIXES, domain, (user, name), ip))


@pytest.mark.parametrize(
    ("txt", "standing"),
    [
        (b"v=jm1 auth=jetemail ", Standing.ADMITTED),  # the documented sample, with its blank at the end
        (b"v=jm1 auth=JetEmail", Standing.ADMITTED),
        (b"V=JM1 AUTH=" + UUID.upper().encode(), Standing.ADMITTED),
        (b"  v=jm1\tauth=nobody  auth=" + UUID.encode(), Standing.ADMITTED),
        (b"v=jm1 auth=" + OTHER.encode(), Standing.REFUSED),
        (b"v=jm1", Standing.REFUSED),
        (b"v=jm1 auth=", Standing.REFUSED),
        (b"v=jm1 note=hello auth=jetemail", Standing.ADMITTED),
        (b"v=jm1; auth=jetemail", Standing.OPEN),  # the first token is another one
        (b"v=jm11 auth=other", Standing.OPEN),
        (b"auth=other v=jm1", Standing.OPEN),
        (b"v=spf1 -all", Standing.OPEN),
        (b"", Standing.OPEN),
        (b"v=jm1 auth=jetemai", Standing.REFUSED),
        (b"v=jm1 auth=jetemail net=192.0.2.0/24", Standing.ADMITTED),
        (b"v=jm1 auth=jetemail net=192.0.2.9/24 net=2001:db8::/32", Standing.ADMITTED),
        (b"v=jm1 auth=jetemail net=198.51.100.0/24", Standing.REFUSED),
        (b"v=jm1 auth=jetemail net=::ffff:192.0.2.0/120", Standing.ADMITTED),
        (b"v=jm1 auth=jetemail net=everywhere", Standing.REFUSED),
        (b"v=jm1 net=192.0.2.0/24", Standing.REFUSED),
    ],
)
def test_records(txt: bytes, standing: Standing) -> None:
    """Each record says what the specification says it does."""
    assert asked({"_jm.example.com": [txt]}).standing is standing


def test_records_are_united() -> None:
    """Whoever one of several records admits may send; the networks of one do not bind the users of another."""
    zone = {"_jm.example.com": [b"v=jm1 auth=a net=198.51.100.1", b"hello", b"v=jm1 auth=b"]}
    assert asked(zone, name="b").standing is Standing.ADMITTED
    assert asked(zone, name="a").standing is Standing.REFUSED
    assert asked(zone, name="a", ip="198.51.100.1").standing is Standing.ADMITTED
    assert asked(zone, name="a", ip="::ffff:198.51.100.1").standing is Standing.ADMITTED
    both = {"_jm.example.com": [b"v=jm1 auth=a net=198.51.100.1", b"v=jm1 auth=a net=192.0.2.7"]}
    assert asked(both, name="a").standing is Standing.ADMITTED


@pytest.mark.parametrize(
    ("owner", "domain", "standing"),
    [
        ("example.com", "mail.example.com", Standing.REFUSED),
        ("example.com", "a.b.c.example.com", Standing.REFUSED),
        ("b.c.example.com", "a.b.c.example.com", Standing.REFUSED),
        ("sub.example.com", "example.com", Standing.OPEN),
        ("co.uk", "example.co.uk", Standing.OPEN),
        ("com", "example.com", Standing.OPEN),
        ("github.io", "project.github.io", Standing.OPEN),
        ("github.io", "github.io", Standing.REFUSED),
        ("example.com", "badexample.com", Standing.OPEN),
    ],
)
def test_nearest_ancestor(owner: str, domain: str, standing: Standing) -> None:
    """A subdomain is under the record of the nearest name above it, down to the registered domain and not beyond."""
    assert asked({f"_jm.{owner}": [b"v=jm1 auth=other"]}, domain).standing is standing


def test_own_record_overrides() -> None:
    """The subdomain's own record counts alone, whether it is milder or harsher than its parent's."""
    zone = {"_jm.example.com": [b"v=jm1 auth=other"], "_jm.mail.example.com": [b"v=jm1 auth=jetemail"]}
    assert asked(zone, "mail.example.com").standing is Standing.ADMITTED
    assert asked(zone, "a.mail.example.com").owner == "mail.example.com"
    assert asked(zone).standing is Standing.REFUSED
    assert asked({"_jm.example.com": [b"v=jm1 auth=jetemail"], "_jm.mail.example.com": [b"v=jm1"]}, "mail.example.com").standing is Standing.REFUSED


@pytest.mark.parametrize("kind", [AnswerKind.SERVFAIL, AnswerKind.TIMEOUT])
def test_dns_trouble_is_neither_yes_nor_no(kind: AnswerKind) -> None:
    """Where a nearer name cannot be asked, what stands above it concludes nothing; a nearer record needs nobody above it."""
    assert asked({"_jm.example.com": kind}).standing is Standing.UNKNOWN
    above = {"_jm.example.com": [b"v=jm1 auth=jetemail"]}
    assert asked({**above, "_jm.mail.example.com": kind}, "mail.example.com").standing is Standing.UNKNOWN
    assert asked({"_jm.example.com": kind, "_jm.mail.example.com": [b"v=jm1 auth=jetemail"]}, "mail.example.com").standing is Standing.ADMITTED


@pytest.mark.parametrize("kind", [AnswerKind.NXDOMAIN, AnswerKind.NODATA])
def test_absent(kind: AnswerKind) -> None:
    """No name and no data are no record, and no record is no restriction."""
    assert asked({"_jm.example.com": kind}).standing is Standing.OPEN
    assert asked({}, "mail.example.com").standing is Standing.OPEN


def test_too_much_admits_nobody() -> None:
    """A record beyond the limits and a name with too many labels are closed, not open."""
    assert asked({"_jm.example.com": [b"v=jm1 auth=jetemail " + b"x " * 2_000]}).standing is Standing.REFUSED
    assert asked({"_jm.example.com": [b"v=jm1 auth=jetemail " + b"x" * 20_000]}).standing is Standing.REFUSED
    assert asked({}, ".".join("a" * 40) + ".example.com").standing is Standing.REFUSED


def test_problems_are_named() -> None:
    """What an owner probably did not mean is said in words."""
    found = parse(b"v=jm1 auth= foo net=10.0.0.0/40")
    assert found is not None
    assert found.problems == (
        "auth= says nothing", "foo means nothing here", "net=10.0.0.0/40 is no network", "no auth=: it admits nobody",
        "no net= that can be read: it admits nobody",
    )  # fmt: skip


def test_record_to_publish() -> None:
    """What is generated is read back as meant, and what cannot stand in a record is refused."""
    text = lockdown.record([UUID, "app"], ["192.0.2.1", "2001:db8::/32"])
    assert text == f"v=jm1 auth={UUID} auth=app net=192.0.2.1 net=2001:db8::/32"
    found = parse(text.encode())
    assert found is not None and found.users == (UUID, "app") and not found.problems and found.covers("2001:db8::1")
    for users, networks in ((["two words"], []), ([""], []), (["app"], ["here"])):
        with pytest.raises(ValueError, match="cannot stand|no IP"):
            lockdown.record(users, networks)


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda octets: b"v=jm1 " + octets))
def test_any_octets(txt: bytes) -> None:
    """No record, however odd, raises; and none admits an empty name or a user it does not spell out."""
    found = parse(txt)
    assert found is None or (not found.names([""]) and (not found.names([UUID]) or UUID.encode() in txt.lower()))
