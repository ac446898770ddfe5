"""Reports about our domains, as others write them: read, or refused with a reason."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.mailauth import tlsrpt
from jetmail.mailauth.aggregate import MAX_OCTETS, DmarcReport, ReportError, parse
from jetmail.mailauth.reports import TlsReport, parse_tls, read, unpack
from tests.fixtures import folder
from tests.mailauth.test_tlsrpt import REPORT

XML = (
    b"<?xml version='1.0'?><feedback><report_metadata><org_name>o</org_name><report_id>1</report_id>"
    b"<date_range><begin>1</begin><end>2</end></date_range></report_metadata><policy_published><domain>A.test</domain><p>reject</p></policy_published>%s</feedback>"
)
RECORD = (
    b"<record><row><source_ip>192.0.2.1</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>"
    b"</policy_evaluated></row><identifiers><header_from>a.test</header_from></identifiers><auth_results><dkim><domain>a.test</domain>"
    b"<selector>s</selector><result>pass</result></dkim><spf><domain>b.test</domain><result>softfail</result></spf></auth_results></record>"
)


def corpus(name: str) -> list[Path]:
    """Files of the fixtures."""
    return sorted(path for path in (folder("03_auth") / name).rglob("*") if path.is_file() and "LICENSE" not in path.name)


def test_tls_corpus() -> None:
    """Every TLS report of the corpus is read, out of mail and by itself; what stands in mail and beside it says the same."""
    files = corpus("reports_mail_auth/tlsrpt")
    assert len(files) == 5
    found = {path.name: read(path.read_bytes()) if path.suffix == ".eml" else unpack(path.read_bytes()) for path in files}
    first = found["rpt01.json"]
    assert isinstance(first, TlsReport)
    assert first == found["rpt01.eml"] and found["rpt02.json"] == found["rpt02.eml"]
    (policy,) = first.policies
    assert (first.organization, policy.domain, policy.succeeded, policy.failed) == ("Company-X", "company-y.example", 5326, 303)
    assert [(failure.result, failure.sessions) for failure in policy.failures] == [
        ("certificate-expired", 100), ("starttls-not-supported", 200), ("validation-failure", 3)
    ]  # fmt: skip


def test_dmarc_corpus() -> None:
    """Every DMARC report of the corpus is read or refused with a reason; those of known content say it."""
    read_well, refused = 0, []
    for path in corpus("reports_mail_auth/dmarc-feedback") + corpus("dmarc_parsedmarc"):
        if path.suffix == ".json":
            continue
        octets = path.read_bytes()
        try:
            report = read(octets) if path.suffix == ".eml" else unpack(octets)
        except ReportError as error:
            refused.append(f"{path.name}: {error}")
            continue
        assert isinstance(report, DmarcReport) and report.records, path.name
        read_well += 1
        beside = path.with_suffix(".json")
        if beside.is_file():
            told = json.loads(beside.read_text())
            assert [record.count for record in report.records] == [record["row"]["count"] for record in told["record"]], path.name
            assert [record.source for record in report.records] == [record["row"]["source_ip"] for record in told["record"]], path.name
            assert report.report_id == told["report_metadata"]["report_id"], path.name
    assert read_well >= 13, refused
    assert all(line.split(": ", 1)[1] for line in refused)


def test_our_own() -> None:
    """What we send can be read."""
    octets = tlsrpt.build(REPORT)
    report = read(tlsrpt.mail(REPORT, octets, "r@a.test", 0.0, "m@us.test"))
    assert report == parse_tls(octets)
    assert isinstance(report, TlsReport)
    assert (report.begin, report.end, sum(policy.failed for policy in report.policies)) == (1_900_022_400, 1_900_108_799, 3)


def test_dmarc() -> None:
    """A record says from where, how many, what became of them and what SPF and DKIM found."""
    report = parse(XML % (RECORD % 7))
    (record,) = report.records
    assert (report.domain, report.policy, report.begin, report.end) == ("a.test", "reject", 1, 2)
    assert (record.source, record.count, record.disposition, record.header_from) == ("192.0.2.1", 7, "none", "a.test")
    assert (record.dkim, record.spf) == ("pass", "fail")
    assert [(one.kind, one.domain, one.result, one.selector) for one in record.results] == [
        ("dkim", "a.test", "pass", "s"), ("spf", "b.test", "softfail", "")
    ]  # fmt: skip


def zipped(*files: bytes) -> bytes:
    """A zip file of those."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, octets in enumerate(files):
            packed.writestr(f"{number}.xml", octets)
    return out.getvalue()


def test_packed() -> None:
    """Gzip and zip, told by how they begin, whatever the part is called."""
    octets = XML % (RECORD % 1)
    assert unpack(gzip.compress(octets)) == unpack(zipped(octets)) == unpack(octets) == unpack(b"\xef\xbb\xbf\r\n" + octets)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><feedback>&b;</feedback>'
)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (BOMB, "document type"),
        (b'<!DOCTYPE feedback SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
        (gzip.compress(b"<" * (MAX_OCTETS + 10)), "more than"),
        (zipped(b"<" * (MAX_OCTETS + 10)), "more than"),
        (zipped(b"<a/>", b"<b/>"), "one file"),
        (zipped(b"<feedback/>")[:-30], "broken"),
        (gzip.compress(XML)[:-12], "cut off"),
        (b"\x1f\x8b" + b"x" * 30, "broken"),
        (b"<a>" * 100, "too many"),
        (b"<html></html>", "no DMARC"),
        (b"<feedback/>", "which domain"),
        (XML % (RECORD % 1).replace(b"192.0.2.1", b"nowhere"), "no address"),
        (XML % (RECORD % 1).replace(b"<count>1<", b"<count>-1<"), "no number"),
        (b"<feedback><x></feedback>", "broken"),
        (b"<?xml version='1.0' encoding='martian'?><feedback/>", "XML"),
        (b"{}", "no TLS report"),
        (b'{"policies": [1], "date-range": {}}', "missing"),
        (b'{"policies": [], "date-range": {"start-datetime": "soon"}}', "no time"),
        (b"[" * 100_000, "neither"),
        (b'{"a":' + b"[" * 100_000, "broken"),
        (b"plain words", "neither"),
        (b"", "neither"),
    ],
    ids=range(22),
)
def test_refused(bad: bytes, why: str) -> None:
    """Bombs, entities, rubbish and half a report are refused, and the reason says which."""
    with pytest.raises(ReportError, match=why):
        unpack(bad)


def test_no_report() -> None:
    """A message without one says so."""
    with pytest.raises(ReportError, match="no part"):
        read(b"Subject: hi\r\n\r\nhello\r\n")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 600), st.sampled_from([XML % (RECORD % 3), tlsrpt.build(REPORT)]))
def test_total(junk: bytes, place: int, good: bytes) -> None:
    """Whatever is put into a report, it is read or refused, nothing else."""
    octets = good[:place] + junk + good[place:]
    for packed in (octets, gzip.compress(octets, 1), b"Content-Type: application/json\r\n\r\n" + octets):
        try:
            assert unpack(packed) if not packed.startswith(b"Content") else read(packed)
        except ReportError as error:
            assert str(error)
