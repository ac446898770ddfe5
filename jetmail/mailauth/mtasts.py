"""MTA-STS: which hosts a domain says may take its mail over verified TLS (RFC 8461). Pure: DNS and HTTPS are the caller's.

`record_id` reads the TXT records of `_mta-sts.<domain>`; `parse` reads the file of https://mta-sts.<domain>/.well-known/mta-sts.txt; `Policy.names`
tells whether a host is one of those meant.

Lenient where the RFC is (line ends, white space, unknown keys), strict where it is: one record beginning with v=STSv1 or none counts, a policy
without mode, max_age or hosts is none. Everything is bounded: a policy comes from strangers.

Raises PolicyError, whose text may stand in a log or a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MAX_POLICY = 65_536  # octets (3.3 allows to stop here)
MAX_HOSTS = 256
MAX_AGE = 31_557_600  # seconds, a year (3.2)
MAX_RECORD = 1_024
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class PolicyError(ValueError):
    """The policy cannot be used; `str()` says why."""


class Mode(StrEnum):
    """NONE: the domain withdraws what it said. TESTING: report, deliver. ENFORCE: deliver to what is verified or not at all."""

    NONE = "none"
    TESTING = "testing"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Policy:
    """`hosts`: patterns in lower case, 'mx.example.com' or '*.example.com'. `max_age` seconds from the fetch on."""

    mode: Mode
    hosts: tuple[str, ...]
    max_age: int

    def names(self, host: str) -> bool:
        """Whether `host` (lower case, no final dot) is one of these; a wildcard stands for one label (4.1)."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    def lines(self) -> tuple[str, ...]:
        """As a policy file has it, and as a TLS report quotes it."""
        return ("version: STSv1", f"mode: {self.mode}", *(f"mx: {host}" for host in self.hosts), f"max_age: {self.max_age}")


def record_id(records: Iterable[bytes]) -> str:
    """The id of the domain's policy; '' when it has none: no record, more than one, or one that is malformed (3.1)."""
    found = [record for record in records if len(record) <= MAX_RECORD and re.match(rb"v=STSv1[ \t]*(?:;|$)", record)]
    if len(found) != 1:
        return ""
    for pair in found[0].decode("ascii", "replace").split(";")[1:]:
        name, _, value = pair.partition("=")
        if name.strip() == "id":
            return value.strip() if _ID.fullmatch(value.strip()) else ""
    return ""


def parse(octets: bytes) -> Policy:
    """The policy in a file. Raises PolicyError."""
    if len(octets) > MAX_POLICY:
        raise PolicyError("the policy is longer than 64 KB")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("the policy is no text") from None
    fields: dict[str, str] = {}
    hosts: dict[str, None] = {}
    for line in re.split(r"\r?\n", text):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon:
            raise PolicyError(f"a line of the policy has no colon: {line[:40]!r}")
        if name != "mx":
            fields.setdefault(name, value)  # 3.2: the first of several counts
            continue
        host = value.lower().rstrip(".")
        if len(host) > 253 or not _HOST.fullmatch(host):
            raise PolicyError(f"mx {value[:80]!r} is not a host name")
        hosts[host] = None
    return _policy(fields, tuple(hosts))


def _policy(fields: dict[str, str], hosts: tuple[str, ...]) -> Policy:
    if fields.get("version") != "STSv1":
        raise PolicyError("the policy's version is not STSv1")
    try:
        mode = Mode(fields.get("mode", ""))
    except ValueError:
        raise PolicyError(f"mode {fields.get('mode', '')[:40]!r} is none of enforce, testing, none") from None
    age = fields.get("max_age", "")
    if not re.fullmatch(r"[0-9]{1,10}", age):
        raise PolicyError("max_age is not a number of seconds")
    if not hosts and mode is not Mode.NONE:
        raise PolicyError("the policy names no mx")
    if len(hosts) > MAX_HOSTS:
        raise PolicyError(f"the policy names more than {MAX_HOSTS} hosts")
    return Policy(mode, hosts, min(int(age), MAX_AGE))
