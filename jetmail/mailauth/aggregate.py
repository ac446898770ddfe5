"""DMARC aggregate reports about our domains (RFC 7489 appendix C, RFC 9990): the XML somebody sent, as values. Pure.

Reports come from strangers: no document type and no entity is let in, depth, elements, text and records are bounded, and each record is made a value
and forgotten as XML as soon as it ends. Unknown elements are passed over, which is what lets the drafts of ten years be read alike.

`parse` raises ReportError, whose text says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from xml.parsers import expat

MAX_OCTETS = 16 * 1024 * 1024
MAX_ELEMENTS = 2_000_000
MAX_DEPTH = 24
MAX_TEXT = 1_024  # characters of one element
MAX_RECORDS = 50_000
MAX_RESULTS = 50  # of one record


class ReportError(ValueError):
    """It is no report that can be read; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What SPF or DKIM said: `kind` 'spf' or 'dkim'; `selector` of DKIM."""

    kind: str
    domain: str
    result: str
    selector: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """`count` messages from `source` alike. `dkim` and `spf`: 'pass' when aligned."""

    source: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str = ""
    results: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class DmarcReport:
    """`begin` and `end` epoch seconds; `policy` the `p` that was found for `domain`."""

    organization: str
    email: str
    report_id: str
    begin: int
    end: int
    domain: str
    policy: str
    records: tuple[Record, ...]


@dataclass(slots=True)
class _Node:
    name: str
    text: str = ""
    children: list[_Node] = field(default_factory=list)

    def first(self, *names: str) -> _Node | None:
        node: _Node | None = self
        for name in names:
            node = next((child for child in node.children if child.name == name), None) if node is not None else None
        return node

    def value(self, *names: str) -> str:
        node = self.first(*names)
        return node.text.strip()[:MAX_TEXT] if node is not None else ""


def parse(octets: bytes) -> DmarcReport:
    """The report in a piece of XML."""
    if len(octets) > MAX_OCTETS:
        raise ReportError("the XML is too long")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        is_wide = octets[:2] in (b"\xff\xfe", b"\xfe\xff")
        parser.Parse(octets if is_wide else octets.removeprefix(b"\xef\xbb\xbf").strip(), True)
    except expat.ExpatError as error:
        raise ReportError(f"the XML is broken: {error}") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, ReportError):
            raise
        raise ReportError("the XML is in an encoding that is not known") from None
    return reader.report()


class _Reader:
    """What expat calls."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self.stack: list[_Node] = []
        self.elements = 0
        self.records: list[Record] = []

    def refuse(self, *_: Any) -> None:
        raise ReportError("the XML declares a document type or an entity")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > MAX_ELEMENTS or len(self.stack) >= MAX_DEPTH:
            raise ReportError("the XML has too many elements")
        node = _Node(name.rpartition(":")[2])
        if self.root is None:
            self.root = node
        elif len(self.stack[-1].children) < 10_000:
            self.stack[-1].children.append(node)
        self.stack.append(node)

    def text(self, octets: str) -> None:
        node = self.stack[-1]
        if len(node.text) < MAX_TEXT:
            node.text += octets[:MAX_TEXT]

    def end(self, name: str) -> None:
        node = self.stack.pop()
        if node.name == "record" and len(self.stack) == 1:
            if len(self.records) >= MAX_RECORDS:
                raise ReportError(f"the report has more than {MAX_RECORDS} records")
            self.records.append(_record(node))
            self.stack[-1].children.pop()

    def report(self) -> DmarcReport:
        root = self.root
        if root is None or root.name != "feedback":
            raise ReportError("the XML is no DMARC report")
        domain = root.value("policy_published", "domain").lower()
        if not domain:
            raise ReportError("the report does not say about which domain it is")
        begin, end = (_number(root.value("report_metadata", "date_range", name), f"date_range {name}") for name in ("begin", "end"))
        metadata = root.first("report_metadata")
        assert metadata is not None
        return DmarcReport(
            metadata.value("org_name"),
            metadata.value("email"),
            metadata.value("report_id"),
            begin,
            end,
            domain,
            root.value("policy_published", "p").lower(),
            tuple(self.records),
        )


def _record(node: _Node) -> Record:
    source = node.value("row", "source_ip")
    try:
        source = str(ip_address(source))
    except ValueError:
        raise ReportError(f"source_ip {source[:60]!r} is no address") from None
    results = []
    authentication = node.first("auth_results")
    for child in authentication.children[:MAX_RESULTS] if authentication is not None else ():
        if child.name in ("dkim", "spf"):
            results.append(Result(child.name, child.value("domain").lower(), child.value("result").lower(), child.value("selector")))
    identifiers = node.first("identifiers") or node.first("identities") or _Node("")
    return Record(
        source,
        _number(node.value("row", "count"), "count"),
        node.value("row", "policy_evaluated", "disposition").lower(),
        node.value("row", "policy_evaluated", "dkim").lower(),
        node.value("row", "policy_evaluated", "spf").lower(),
        identifiers.value("header_from").lower(),
        identifiers.value("envelope_from").lower(),
        tuple(results),
    )


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ReportError(f"{name} {text[:40]!r} is no number")
    return int(text)
