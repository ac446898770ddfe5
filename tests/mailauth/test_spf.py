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
from jetmail.mailauth import spf, spf_record
from tests import fixtures
from tests.fakes import FakeResolver


def done(awaitable: Any) -> Any:
    """The result of a coroutine that needs not wait."""
    found: list[Any] = []
    Deferred.fromCoroutine(awaitable).addBoth(found.append)
    assert found, "it is still waiting"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


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
