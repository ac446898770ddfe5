"""TLS reports as we send them."""

from __future__ import annotations

import gzip
import json
from email import message_from_bytes
from email.policy import default

from jetmail.mailauth.tlsrpt import Counted, Report, address, build, destinations, mail

STS = ("version: STSv1", "mode: enforce", "mx: mx.test", "mx: *.b.test", "max_age: 86400")
REPORT = Report(
    "us.test", "postmaster@us.test", "r1", "a.test", 1_900_022_400.0, 1_900_108_800.0,
    [
        Counted("sts", STS, "mx.test", "", 5),
        Counted("sts", STS, "mx.test", "certificate-expired", 2),
        Counted("sts", STS, "x.b.test", "starttls-not-supported", 1),
        Counted("no-policy-found", (), "mx.test", "", 3),
    ],
)  # fmt: skip


def test_destinations() -> None:
    """Who wants reports and how; one record only, mail or HTTPS only, never more than a handful."""
    assert destinations([b"v=TLSRPTv1; rua=mailto:r@a.test,https://a.test/tls"]) == ("mailto:r@a.test", "https://a.test/tls")
    assert destinations([b"v=spf1", b"v=TLSRPTv1;rua=mailto:r@a.test"]) == ("mailto:r@a.test",)
    for nobody in ([], [b"v=TLSRPTv1; rua=mailto:a@b", b"v=TLSRPTv1; rua=mailto:a@b"], [b"v=TLSRPTv1;"], [b"v=TLSRPTv2; rua=mailto:a@b"]):
        assert destinations(nobody) == ()
    assert destinations([b"v=TLSRPTv1; rua=http://a.test/,https://a.test:8443/,https://u:p@a.test/,ftp:x,https://[,mailto:nobody"]) == ()
    assert len(destinations([b"v=TLSRPTv1; rua=" + b",".join(b"mailto:r%d@a.test" % number for number in range(20))])) == 4


def test_address() -> None:
    """A mailto URI names an address, percent signs undone and headers left out."""
    assert address("mailto:a%2Bb@a.test?subject=x") == "a+b@a.test"
    assert address("https://a.test/") == ""


def test_report() -> None:
    """Sessions are grouped by policy, successes summed, failures told one by one (section 4.4)."""
    told = json.loads(build(REPORT))
    assert told["date-range"] == {"start-datetime": "2030-03-18T00:00:00Z", "end-datetime": "2030-03-18T23:59:59Z"}
    sts, none = told["policies"]
    assert sts["policy"] == {"policy-type": "sts", "policy-domain": "a.test", "policy-string": list(STS), "mx-host": ["mx.test", "*.b.test"]}
    assert sts["summary"] == {"total-successful-session-count": 5, "total-failure-session-count": 3}
    assert {"result-type": "certificate-expired", "receiving-mx-hostname": "mx.test", "failed-session-count": 2} in sts["failure-details"]
    assert none["policy"] == {"policy-type": "no-policy-found", "policy-domain": "a.test"}
    assert "failure-details" not in none


def test_mail() -> None:
    """The message has the fields of section 5.3 and carries the same report, compressed; it may go without TLS."""
    octets = build(REPORT)
    message = message_from_bytes(mail(REPORT, octets, "r@a.test", 1_900_110_000.0, "m@us.test"), policy=default)
    assert message["TLS-Report-Domain"] == "a.test"
    assert message["TLS-Report-Submitter"] == "us.test"
    assert message["TLS-Required"] == "No"
    assert message["Subject"] == "Report Domain: a.test Submitter: us.test Report-ID: <r1@us.test>"
    assert message.get_content_type() == "multipart/report"
    _, attached = message.iter_parts()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == "us.test!a.test!1900022400!1900108799!r1.json.gz"
    assert gzip.decompress(attached.get_payload(decode=True)) == octets
