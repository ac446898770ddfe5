"""Reports about our domains that arrive as mail: TLS reports (RFC 8460) and DMARC aggregate reports (RFC 9990), out of whatever they are packed
in. Pure.

`read(message)` finds the report in a message: a part that says it is one, by media type or name, as it is, gzipped or zipped. What unpacks to more
than MAX_OCTETS is refused before it is in memory, so a bomb costs what a report may cost.

Raises ReportError, whose text says why nothing could be read.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from jetmail.mail.mime import Part, parse_structure
from jetmail.mailauth import aggregate
from jetmail.mailauth.aggregate import MAX_OCTETS, DmarcReport, ReportError

MAX_PACKED = 10 * 1024 * 1024
MAX_POLICIES = 1_000
MAX_DETAILS = 10_000  # in all
MAX_TEXT = 1_024
MAX_MEMBERS = 100  # of a zip file
_TYPES = frozenset({
    "application/tlsrpt+json", "application/tlsrpt+gzip", "application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed",
    "application/xml", "text/xml", "application/json",
})  # fmt: skip
_EXTENSIONS = frozenset({"gz", "zip", "xml", "json"})


@dataclass(frozen=True, slots=True)
class Failure:
    """`sessions` that failed alike; `result` as in RFC 8460 4.3."""

    result: str
    sessions: int
    host: str = ""
    sender: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """Sessions with one domain under one policy; `kind`: tlsa, sts, no-policy-found."""

    kind: str
    domain: str
    lines: tuple[str, ...]
    succeeded: int
    failed: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class TlsReport:
    """`begin` and `end` epoch seconds."""

    organization: str
    contact: str
    report_id: str
    begin: int
    end: int
    policies: tuple[PolicyResult, ...]


def read(message: bytes) -> TlsReport | DmarcReport:
    """The report in a whole message."""
    structure = parse_structure(message)
    candidates = [part for part in structure.parts if part.content_type in _TYPES or part.extension in _EXTENSIONS]
    if not candidates:
        raise ReportError("no part of the message is a report")
    candidates.sort(key=lambda part: not _is_said(part))
    said: ReportError | None = None
    for part in candidates[:5]:
        try:
            return unpack(part.decoded(message, MAX_PACKED + 1))
        except ReportError as error:
            said = said or error
    assert said is not None
    raise said


def unpack(octets: bytes) -> TlsReport | DmarcReport:
    """The report in a file: gzip, zip, JSON or XML, told apart by how they begin."""
    if len(octets) > MAX_PACKED:
        raise ReportError("the report is too long")
    if octets[:2] == b"\x1f\x8b":
        octets = _gunzip(octets)
    elif octets[:4] == b"PK\x03\x04":
        octets = _unzip(octets)
    start = octets[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"{":
        return parse_tls(octets)
    if start == b"<" or octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return aggregate.parse(octets)
    raise ReportError("the report is neither JSON nor XML")


def _is_said(part: Part) -> bool:
    return "tlsrpt" in part.content_type or "!" in part.file_name


def _gunzip(octets: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(octets, MAX_OCTETS + 1)
    except zlib.error:
        raise ReportError("the gzip file is broken") from None
    if len(found) > MAX_OCTETS:
        raise ReportError("the report unpacks to more than a report may be")
    if not unpacking.eof:
        raise ReportError("the gzip file is cut off")
    return found


def _unzip(octets: bytes) -> bytes:
    try:
        with zipfile.ZipFile(BytesIO(octets)) as packed:
            members = [member for member in packed.infolist()[:MAX_MEMBERS] if not member.is_dir()]
            if len(members) != 1:
                raise ReportError("the zip file does not hold one file")
            if members[0].flag_bits & 1:
                raise ReportError("the zip file is encrypted")
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ReportError("the zip file is packed in a way that is not taken")
            with packed.open(members[0]) as member:
                found = member.read(MAX_OCTETS + 1)
    except ReportError:
        raise
    except Exception as error:  # zipfile raises nearly anything over broken files
        raise ReportError(f"the zip file is broken: {type(error).__name__}") from None
    if len(found) > MAX_OCTETS:
        raise ReportError("the report unpacks to more than a report may be")
    return found


def parse_tls(octets: bytes) -> TlsReport:
    """The TLS report in a piece of JSON."""
    try:
        told = json.loads(octets.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ReportError("the JSON is broken") from None
    if not isinstance(told, dict) or not isinstance(told.get("policies"), list):
        raise ReportError("the JSON is no TLS report")
    dates = _object(told.get("date-range"))
    left = MAX_DETAILS
    policies = []
    if len(told["policies"]) > MAX_POLICIES:
        raise ReportError(f"the report has more than {MAX_POLICIES} policies")
    for one in told["policies"]:
        one = _object(one)
        policy, summary = _object(one.get("policy")), _object(one.get("summary"))
        details = one.get("failure-details") or []
        if not isinstance(details, list) or len(details) > left:
            raise ReportError(f"the report has more than {MAX_DETAILS} failures")
        left -= len(details)
        lines = policy.get("policy-string") or []
        policies.append(
            PolicyResult(
                _text(policy, "policy-type"),
                _text(policy, "policy-domain").lower(),
                tuple(str(line)[:MAX_TEXT] for line in (lines if isinstance(lines, list) else [lines])[:300]),
                _count(summary, "total-successful-session-count"),
                _count(summary, "total-failure-session-count"),
                tuple(_failure(_object(detail)) for detail in details),
            )
        )
    return TlsReport(
        _text(told, "organization-name"),
        _text(told, "contact-info"),
        _text(told, "report-id"),
        _moment(dates, "start-datetime"),
        _moment(dates, "end-datetime"),
        tuple(policies),
    )


def _failure(detail: dict[str, Any]) -> Failure:
    return Failure(
        _text(detail, "result-type"),
        _count(detail, "failed-session-count"),
        _text(detail, "receiving-mx-hostname").lower(),
        _text(detail, "sending-mta-ip"),
        _text(detail, "failure-reason-code") or _text(detail, "failure-error-code"),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReportError("the JSON is no TLS report: an object is missing")
    return value


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name, "")
    return found[:MAX_TEXT] if isinstance(found, str) else ""


def _count(value: dict[str, Any], name: str) -> int:
    found = value.get(name, 0)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 16:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 10**15:
        raise ReportError(f"{name} is no number of sessions")
    return found


def _moment(value: dict[str, Any], name: str) -> int:
    text = _text(value, name)
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ReportError(f"{name} {text[:40]!r} is no time") from None
