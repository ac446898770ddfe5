"""SPF: the whole RFC 7208 test suite, the limits, dead DNS, and hostile records."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from jetmail.interfaces import Answer, AnswerKind
from jetmail.mailauth import spf
from tests import fixtures
from tests.fakes import FakeResolver
from tests.mailauth.samples import done


class SuiteZone:
    """The zone data of the test suite as a resolver: records of type SPF stand for TXT where no TXT is given."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self.zone = {name.lower().rstrip("."): records for name, records in zonedata.items()}

    def query(self, name: str, rdtype: str, depth: int = 0) -> Deferred[Answer]:
        if depth > 8:
            return succeed(Answer(AnswerKind.SERVFAIL))
        records = self.zone.get(name.lower().rstrip("."))
        if records is None:
            return succeed(Answer(AnswerKind.NXDOMAIN))
        if any(isinstance(record, dict) and "CNAME" in record for record in records) and rdtype != "CNAME":
            return self.query(next(record["CNAME"] for record in records if isinstance(record, dict) and "CNAME" in record), rdtype, depth + 1)
        found = []
        for record in self._with_txt(records):
            if record == "TIMEOUT":
                if not found:
                    return succeed(Answer(AnswerKind.TIMEOUT))
                break
            for kind, value in record.items():
                if kind == rdtype:
                    found.append(self._value(kind, value))
        return succeed(Answer(AnswerKind.FOUND, tuple(found)) if found else Answer(AnswerKind.NODATA))

    def _with_txt(self, records: list[Any]) -> list[Any]:
        has_txt = any(isinstance(record, dict) and "TXT" in record for record in records)
        made = []
        for record in records:
            if isinstance(record, dict) and record.get("TXT") == "NONE":
                continue
            made.append(record)
            if isinstance(record, dict) and "SPF" in record and not has_txt:
                made.append({"TXT": record["SPF"]})
        return made

    def _value(self, kind: str, value: Any) -> Any:
        if kind in ("TXT", "SPF"):
            return "".join(value if isinstance(value, list) else [value]).encode("latin-1" if not isinstance(value, bytes) else "utf-8")
        if kind == "MX":
            return value[0], value[1].lower().rstrip(".")
        return str(value).lower().rstrip(".") if kind == "PTR" else str(value)


def suite() -> list[Any]:
    """Every case of the suite, with its zone; the one parameter that skips where the suite is absent."""
    try:
        path = fixtures.folder("03_auth") / "spf" / "rfc7208-tests.yml"
    except pytest.skip.Exception as missing:
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=str(missing)))]
    with path.open(encoding="utf-8") as file:
        sections = list(yaml.load_all(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return [pytest.param(section["zonedata"], case, id=name) for section in sections for name, case in section["tests"].items()]


@pytest.mark.parametrize(("zone", "case"), suite())
def test_suite(zone: dict[str, Any], case: dict[str, Any]) -> None:
    """The case of the RFC 7208 suite ends in one of the results it allows, with the explanation it names."""
    answer = done(spf.check(SuiteZone(zone), ipaddress.ip_address(case["host"]), case["mailfrom"], case["helo"], explain=True))
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert answer.result.value in allowed, answer
    if "explanation" in case:
        assert answer.explanation == ("" if case["explanation"] == "DEFAULT" else case["explanation"])


def test_suite_is_whole() -> None:
    """None of the 203 cases got lost on the way."""
    assert len(suite()) in (1, 203)


def checked(zone: dict[Any, Any], sender: str = "a@example.org", ip: str = "192.0.2.1") -> spf.Spf:
    answer: spf.Spf = done(spf.check(FakeResolver(zone), ipaddress.ip_address(ip), sender, "mail.example.org", explain=True))
    return answer


def test_mapped_addresses_are_ipv4() -> None:
    """An IPv4 client that came over an IPv6 socket is judged as what it is."""
    assert checked({("example.org", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]}, ip="::ffff:192.0.2.1").result is spf.SpfResult.PASS


@pytest.mark.parametrize("kind", [AnswerKind.TIMEOUT, AnswerKind.SERVFAIL])
def test_trouble_anywhere_is_temporary(kind: AnswerKind) -> None:
    """DNS trouble with the record, an include or a host is temperror, never a fail."""
    assert checked({("example.org", "TXT"): kind}).result is spf.SpfResult.TEMPERROR
    for term in (b"include:x.test", b"a:x.test", b"mx:x.test", b"exists:x.test", b"redirect=x.test"):
        trouble = {("x.test", rdtype): kind for rdtype in ("TXT", "A", "MX")}
        assert checked({("example.org", "TXT"): [b"v=spf1 " + term + b" -all"]} | trouble).result in (spf.SpfResult.TEMPERROR, spf.SpfResult.FAIL)
        if not term.startswith(b"redirect"):
            assert checked({("example.org", "TXT"): [b"v=spf1 " + term + b" -all"]} | trouble).result is spf.SpfResult.TEMPERROR


def test_a_stranger_cannot_make_us_ask_for_ever() -> None:
    """Records that include one another end after ten terms, and a message costs a bounded number of questions."""
    resolver = FakeResolver({("example.org", "TXT"): [b"v=spf1 include:example.org mx mx:a.test include:example.org -all"]})
    answer = done(spf.check(resolver, ipaddress.ip_address("192.0.2.1"), "a@example.org", "x.test"))
    assert answer.result is spf.SpfResult.PERMERROR
    assert len(resolver.asked) <= 13


def test_macros_of_a_stranger_stay_short() -> None:
    """A record of macros that blow up ends in a name that DNS can carry."""
    record = b"v=spf1 exists:" + b"%{s}" * 200 + b".x.test -all"
    resolver = FakeResolver({("example.org", "TXT"): [record]})
    done(spf.check(resolver, ipaddress.ip_address("192.0.2.1"), "a" * 60 + "@example.org", "x.test"))
    assert all(len(name) <= 253 for name, _ in resolver.asked)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=40))
def test_any_record_has_a_result(record: bytes, sender: str, helo: str) -> None:
    """Whatever stands in a record, a sender or a HELO, there is a result and nothing is raised."""
    zone = {("example.org", "TXT"): [b"v=spf1 " + record]}
    answer = done(spf.check(FakeResolver(zone), ipaddress.ip_address("2001:db8::1"), f"{sender}@example.org", helo, explain=True))
    assert isinstance(answer.result, spf.SpfResult)


def test_second_oracle_agrees_on_syntax() -> None:
    """pyspf, which is not ours, finds the same records broken."""
    oracle = pytest.importorskip("spf")
    terms = ("a//64", "a/33", "ip4:1.2.3", "mx:", "include:", "ptr:x.test", "foo=%{d}", "exp=%{q}.x.test", "?all", "a:x.test/24//64", "ip6:::1/129")
    for term in terms:
        query = oracle.query(i="192.0.2.1", s="a@example.org", h="x.test")
        query.cache = {}
        answer = query.check(f"v=spf1 {term} -all") if term in ("foo=%{d}", "?all") else None
        ours = checked({("example.org", "TXT"): [f"v=spf1 {term} -all".encode()]})
        if answer is not None:
            assert answer[0] == ours.result.value
        else:
            assert (ours.result is spf.SpfResult.PERMERROR) == (term not in ("a//64", "ptr:x.test", "a:x.test/24//64"))
