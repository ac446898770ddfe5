"""TLS reports as they are sent (RFC 8460): who wants them, what they say, and the mail that carries one. Pure.

`destinations` reads the TXT records of `_smtp._tls.<domain>`; `build` makes the JSON of one day's sessions with one domain; `mail` the message
around it. What comes in is reports.py's.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

MAX_RECORD = 2_048
MAX_DESTINATIONS = 4
MAX_URI = 1_000


class Counted(NamedTuple):
    """Sessions alike. `policy`: tlsa, sts, no-policy-found; `quoted`: its lines; `result` '' is success, else a result type of section 4.3."""

    policy: str
    quoted: tuple[str, ...]
    host: str
    result: str
    sessions: int


class Report(NamedTuple):
    """`start` and `end` epoch seconds; `organization` and `contact` (an address) are ours."""

    organization: str
    contact: str
    report_id: str
    domain: str
    start: float
    end: float
    counted: Sequence[Counted]


def destinations(records: Iterable[bytes]) -> tuple[str, ...]:
    """'mailto:...' and 'https://...' of the domain's one record; empty: nobody wants reports (3)."""
    found = [record for record in records if len(record) <= MAX_RECORD and re.match(rb"v=TLSRPTv1[ \t]*(?:;|$)", record)]
    if len(found) != 1:
        return ()
    for pair in found[0].decode("ascii", "replace").split(";")[1:]:
        name, _, value = pair.partition("=")
        if name.strip() == "rua":
            uris = [uri.strip() for uri in value.split(",")]
            return tuple(dict.fromkeys(uri for uri in uris if len(uri) <= MAX_URI and _is_wanted(uri)))[:MAX_DESTINATIONS]
    return ()


def address(uri: str) -> str:
    """The address of a 'mailto:' URI, '' of any other."""
    return unquote(uri[7:].partition("?")[0]) if uri[:7].lower() == "mailto:" else ""


def _is_wanted(uri: str) -> bool:
    if uri[:7].lower() == "mailto:":
        return "@" in uri
    try:
        parts = urlsplit(uri)
        return parts.scheme.lower() == "https" and bool(parts.hostname) and parts.port in (None, 443) and parts.username is None
    except ValueError:
        return False


def build(report: Report) -> bytes:
    """The report's JSON (section 4)."""
    groups: dict[tuple[str, tuple[str, ...]], list[Counted]] = {}
    for one in report.counted:
        groups.setdefault((one.policy, one.quoted), []).append(one)
    return json.dumps(
        {
            "organization-name": report.organization,
            "date-range": {"start-datetime": _moment(report.start), "end-datetime": _moment(report.end - 1)},
            "contact-info": report.contact,
            "report-id": report.report_id,
            "policies": [_policy(report.domain, policy, quoted, ones) for (policy, quoted), ones in groups.items()],
        },
        indent=1,
    ).encode("ascii")


def _policy(domain: str, policy: str, quoted: tuple[str, ...], ones: Sequence[Counted]) -> dict[str, Any]:
    said: dict[str, Any] = {"policy-type": policy, "policy-domain": domain}
    if quoted:
        said["policy-string"] = list(quoted)
    hosts = [line[4:] for line in quoted if line.startswith("mx: ")] if policy == "sts" else list(dict.fromkeys(one.host for one in ones))
    if hosts and policy != "no-policy-found":
        said["mx-host"] = hosts
    failed = [one for one in ones if one.result]
    told: dict[str, Any] = {
        "policy": said,
        "summary": {
            "total-successful-session-count": sum(one.sessions for one in ones if not one.result),
            "total-failure-session-count": sum(one.sessions for one in failed),
        },
    }
    if failed:
        told["failure-details"] = [
            {"result-type": one.result, "receiving-mx-hostname": one.host, "failed-session-count": one.sessions} for one in failed
        ]
    return told


def mail(report: Report, octets: bytes, to: str, now: float, message_id: str) -> bytes:
    """The message that carries the report's JSON, compressed (5.3). It says that it may go without TLS: it must arrive where TLS is broken."""
    name = f"{report.organization}!{report.domain}!{report.start:.0f}!{report.end - 1:.0f}!{report.report_id}"
    packed = b64encode(gzip.compress(octets, mtime=0)).decode("ascii")
    boundary = f"=_{report.report_id}"
    lines = [
        f"Date: {format_datetime(datetime.fromtimestamp(now, UTC))}",
        f"From: TLS reports <{report.contact}>",
        f"To: <{to}>",
        f"Subject: Report Domain: {report.domain}",
        f" Submitter: {report.organization}",
        f" Report-ID: <{report.report_id}@{report.organization}>",
        f"Message-ID: <{message_id}>",
        f"TLS-Report-Domain: {report.domain}",
        f"TLS-Report-Submitter: {report.organization}",
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type="tlsrpt"; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is an aggregate TLS report from {report.organization}",
        f"about mail sent to {report.domain} on {_moment(report.start)[:10]} (UTC).",
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{name}.json.gz"',
        "",
        *(packed[start : start + 76] for start in range(0, len(packed), 76)),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
