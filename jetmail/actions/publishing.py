"""What an owner publishes in DNS so that mail may be sent for a domain, and what stands in our own zone for it. Pure: names and texts.

| subject | at the customer's domain | leads to |
|---|---|---|
| ownership | `_mailportal-verify` TXT `mp-verify=<32 hex>`, this account's alone | |
| spf | TXT with `include:` our name, or a name of the account's own that includes it | `spf.<zone>` TXT |
| return-path | `bounces` CNAME | `return.<zone>` |
| dkim | two selectors for each kind of key, CNAMEs that are published once | `<selector>.<domain>.dkim.<zone>` TXT |
| dmarc | `_dmarc` TXT | |
| mta-sts | `_mta-sts` TXT with the id of the domain's policy, when it has one (actions.mta_sts) | |
| mta-sts-host | `mta-sts` CNAME, or addresses of its own | `mta-sts.<zone>` |
| tls-rpt | `_smtp._tls` TXT, when reports are wanted | |
| lockdown | `_jm` TXT, if it is wanted (actions.lockdown) | |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.actions.transport import Published, published
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.directory.served_policies import ServedPolicy

CHALLENGE_LABEL = "_mailportal-verify"
CHALLENGE = "mp-verify="
TTL = 3_600
ALGORITHMS = ("rsa", "ed25519")
SLOTS = (1, 2)
MAX_NAME = 253
_STRING = 255  # RFC 1035 3.3: octets of one character-string


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """`zone` of ours, `spf_include` the name of ours that customers include, `return_path` the label under theirs, `return_target` what that is a
    CNAME of. `dmarc_reports`, `tls_reports` an address or ''. `policy_target`: where policies are served; `hostname` takes the mail where a policy
    names nobody. `selector` begins selectors; `delegated`: by CNAME; `ed25519`: such keys too. `rotate`, `settle`, `keep` are seconds: see
    actions.dkim."""

    zone: str
    spf_include: str
    return_target: str
    return_path: str = "bounces"
    dmarc_reports: str = ""
    selector: str = "jm"
    delegated: bool = True
    ed25519: bool = True
    rotate: float = 90 * 86_400.0
    settle: float = 3_600.0
    keep: float = 7 * 86_400.0
    tls_reports: str = ""
    policy_target: str = ""
    hostname: str = ""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The kinds of keys."""
        return ALGORITHMS if self.ed25519 else ALGORITHMS[:1]

    def selector_of(self, algorithm: str, slot: int) -> str:
        """jm1, jm2, jm1e, jm2e."""
        return f"{self.selector}{slot}{'e' if algorithm == 'ed25519' else ''}"

    def target(self, domain: str, selector: str) -> str:
        """Where the CNAME of a selector leads: a name of ours for that domain alone."""
        name = f"{selector}.{domain}.dkim.{self.zone}"
        if len(name) > MAX_NAME:
            name = f"{selector}.{hashlib.sha256(domain.encode('ascii')).hexdigest()[:32]}.dkim.{self.zone}"
        return name


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record to publish. `subject` as in the table; `kind` TXT or CNAME; `note` for people. `optional`: mail may be sent without it."""

    subject: str
    name: str
    kind: str
    value: str
    note: str = ""
    optional: bool = False
    ttl: int = TTL

    @property
    def line(self) -> str:
        """As it stands in a zone file."""
        return zone_line(self.name, self.ttl, self.kind, self.value)


def wanted(
    options: PublishOptions, domain: str, challenge: str, keys: Iterable[DkimKey], include: str = "", policy: ServedPolicy | None = None
) -> tuple[Wanted, ...]:
    """Everything a domain's owner publishes. `include`: the account's own name for SPF, '' for ours; `policy`: the MTA-STS policy it has chosen."""
    name = include or options.spf_include
    records = [ownership(domain, challenge)] if challenge else []
    records.append(
        Wanted("spf", domain, "TXT", f"v=spf1 include:{name} ~all", f"where there is an SPF record, put include:{name} into it, before its all")
    )
    records.append(Wanted("return-path", f"{options.return_path}.{domain}", "CNAME", options.return_target, "where bounces come back to"))
    records += dkim(options, domain, keys)
    reports = f"; rua=mailto:{options.dmarc_reports}" if options.dmarc_reports else ""
    note = "p=none only watches; go on to quarantine and reject when all mail passes"
    records.append(Wanted("dmarc", f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none{reports}", note))
    return (*records, *transport_security(options, domain, policy))


def transport_security(options: PublishOptions, domain: str, policy: ServedPolicy | None) -> list[Wanted]:
    """What tells others that mail to the domain wants TLS, and where to report how that went."""
    records: list[Wanted] = []
    if policy is not None:
        made = served(options.hostname, policy)
        note = "the id changes with the policy; change the record when the policy is served, not before"
        records.append(Wanted("mta-sts", *made.records[0], note, True))
        note = "leads to the policy; addresses of the host that serves it do as well"
        records.append(Wanted("mta-sts-host", f"mta-sts.{domain}", "CNAME", options.policy_target, note, True))
    if options.tls_reports:
        note = "others tell once a day how TLS went"
        records.append(Wanted("tls-rpt", f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua=mailto:{options.tls_reports}", note, True))
    return records


def served(hostname: str, policy: ServedPolicy) -> Published:
    """The file of a stored policy, where it is served, and its record."""
    return published(policy.domain, policy.mode, list(policy.hosts) or [hostname], policy.max_age)


def ownership(domain: str, challenge: str) -> Wanted:
    """The proof that a domain is an account's (spec 7.29)."""
    note = "proves that the domain is yours; needed until it was seen"
    return Wanted("ownership", f"{CHALLENGE_LABEL}.{domain}", "TXT", CHALLENGE + challenge, note)


def dkim(options: PublishOptions, domain: str, keys: Iterable[DkimKey]) -> list[Wanted]:
    """The records of a domain's keys: with delegation the same for ever, without it those of the keys there are."""
    if options.delegated:
        note = "published once; the keys behind it change by themselves"
        return [
            Wanted("dkim", f"{selector}._domainkey.{domain}", "CNAME", options.target(domain, selector), note, algorithm != "rsa")
            for algorithm in options.algorithms
            for selector in (options.selector_of(algorithm, slot) for slot in SLOTS)
        ]
    notes = {"next": "takes over when it is seen", "active": "signs now", "retired": "signed what may still be on its way"}
    return [
        Wanted("dkim", f"{key.selector}._domainkey.{domain}", "TXT", key.record, notes[key.state], key.algorithm != "rsa" or key.state == "retired")
        for key in keys
    ]


def zone(options: PublishOptions, keys: Iterable[DkimKey]) -> str:
    """The DKIM records of our own zone as a file a name server can include; names are absolute."""
    lines = ["; Public keys of customers' domains, written by jetmail whenever they change. $INCLUDE this file, and count up the serial."]
    if options.delegated:
        lines += [zone_line(options.target(key.domain, key.selector), TTL, "TXT", key.record) for key in keys]
    return "\n".join(lines) + "\n"


def zone_line(name: str, ttl: int, kind: str, value: str) -> str:
    """One record as it stands in a zone file; long texts in several strings."""
    if kind == "TXT":
        pieces = [value[start : start + _STRING] for start in range(0, len(value), _STRING)] or [""]
        text = " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)
    else:
        text = value + "."
    return f"{name}. {ttl} IN {kind} {text}"
