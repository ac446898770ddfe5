"""Who sent it: SPF, DKIM, ARC, DMARC, the fields that tell, Domain Lockdown, MTA-STS and TLSA records, reports; under DNS that
says anything or nothing."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import cache
from typing import Any

import dkim as oracle
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from jetmail.inbound import aggregates
from jetmail.inbound.acceptance import CLAIMS, OURS
from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.message import Edits, Message
from jetmail.mailauth import arc, authres, canonical, dane, dkim, dmarc, iprev, keys, lockdown, mtasts, signing, spf, spf_record, tlsrpt
from jetmail.mailauth.suffixes import PublicSuffixes
from tests.fakes import FakeResolver
from tests.fuzz.mutation import SEPARATOR
from tests.fuzz.target import files, letters, target
from tests.mailauth.samples import NOW, TEXT, done, signer, zone
from tests.mailauth.test_tlsrpt import REPORT

SUFFIXES = PublicSuffixes()
IPS = (ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7"), ipaddress.ip_address("::ffff:192.0.2.7"))
RECORDS = (
    b"v=spf1 a mx/24 ip4:192.0.2.0/24 ip6:2001:db8::/32 include:%{d2}.example.org exists:%{ir}.%{l1r-}.%{h}.x.example redirect=_spf.%{o} exp=e.%{d}",
    b"v=spf1 ptr a:b.example/24//64 ?all exp=%{c}%{t}%{r}%_%%%-", b"v=spf1 redirect=example.org", b"v=spf1 include:example.org -all",
    b"v=DMARC1; p=reject; sp=quarantine; np=none; pct=50; adkim=s; aspf=r; rua=mailto:a@b!10m,mailto:c@d; fo=1:d:s; ri=86400; t=y; psd=n",
    b"v=DKIM1; k=rsa; h=sha256; s=email:*; t=y:s; n=x; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2"
    b"SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", b"k=rsa;p=", b"v=DKIM1; p=MAo=",
    b"v=jm1 auth=app auth=3F2504E0 net=192.0.2.0/24 net=2001:db8::/32 x", b"v=jm1", b"v=JM1\tauth=\xff net=::ffff:192.0.2.0/120",
    b"v=STSv1; id=20160831085700Z;",
)  # fmt: skip
NAMES = ("example.org", "a.b.example.co.uk", "xn--mnchen-3ya.de", "org", "a" * 63 + ".example", "x" + ".y" * 30 + ".example.org")


@implementer(IResolver)
class AnyResolver:
    """Answers by lot, but the same question alike: `txts` to TXT, addresses, names, or one of the ways in which DNS says nothing. `stalls`: some
    questions never get an answer."""

    def __init__(self, txts: list[bytes], stalls: bool = False) -> None:
        self.txts = txts
        self.stalls = stalls
        self.asked = 0

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        self.asked += 1
        assert isinstance(name, str)
        lot = hashlib.blake2b(f"{name.lower()} {rdtype}".encode("utf-8", "surrogatepass"), digest_size=2).digest()
        if self.stalls and lot[0] < 24:
            return Deferred()
        if lot[0] > 230:
            return succeed(Answer((AnswerKind.NXDOMAIN, AnswerKind.NODATA, AnswerKind.SERVFAIL, AnswerKind.TIMEOUT)[lot[1] % 4]))
        records: tuple[Any, ...] = ()
        match rdtype:
            case "TXT":
                records = tuple(self.txts[(lot[1] + turn) % len(self.txts)] for turn in range(1 + (lot[1] == 7))) if self.txts else ()
            case "A":
                records = ("127.0.0.2",) if lot[1] % 3 == 0 else ("192.0.2.7", "198.51.100.1")
            case "AAAA":
                records = ("2001:db8::7",)
            case "PTR":
                records = ("a.example.org", "*.bad name", "x" * 70 + ".example")[: 1 + lot[1] % 3]
            case "MX":
                records = tuple((turn, f"mx{turn}.example.org") for turn in range(lot[1] % 12))
        return succeed(Answer(AnswerKind.FOUND, records, 300) if records else Answer(AnswerKind.NODATA))


def split(octets: bytes) -> tuple[bytes, list[bytes]]:
    """-> (the message, what DNS says)."""
    message, *records = octets.split(SEPARATOR)
    return message, records[:20]


def _spf() -> list[bytes]:
    suite = [
        line.strip().removeprefix(b"SPF: ").removeprefix(b"- ")
        for octets in files("03_auth", "*.yml", 3)
        for line in octets.splitlines()
        if b"v=spf1" in line
    ]
    return [b"a.b+c@example.org" + SEPARATOR + record for record in (*RECORDS[:4], *suite)] + [SEPARATOR.join((b"@x.example", *RECORDS[:4]))]


@target(
    "spf", _spf, b"v=spf1", b" a", b" mx", b" ptr", b" include:", b" exists:", b" redirect=", b" exp=", b" ip4:", b" ip6:", b"%{", b"}",
    b"%{d1r-.}", b"%{p}", b"%{i}", b"%{ir}.",
    b"%%", b"%_", b"%-", b"/0", b"//128", b"+", b"-all", b"~all", b"?all", b"%{S99r+/=}", b"%{l}", b"ip4:0.0.0.0/33",
)  # fmt: skip
def spf_check(octets: bytes) -> None:
    """Any record, any macro, any answer: one of seven results, with at most ten look-ups and a bounded number of questions."""
    sender, records = split(octets)
    for record in records[:5]:
        try:
            spf_record.parse(record)
        except spf_record.SpfSyntaxError as error:
            assert str(error)
        try:
            text = record.decode("ascii")
            values = dict.fromkeys("slodiphcrtv", "x.y")
            assert len(spf_record.fit(spf_record.expand(spf_record.macros(text[:2_000], True), values))) <= 253 or len(text) > 253
        except (UnicodeDecodeError, spf_record.SpfSyntaxError):
            pass
    resolver = AnyResolver(records)
    helo = (records[-1] if records else b"h").decode("utf-8", "replace")[:300]
    found = done(spf.check(resolver, IPS[len(octets) % 3], sender.decode("utf-8", "replace")[:400], helo, now=NOW, explain=True))
    assert found.lookups <= 11 and resolver.asked <= 250 and len(found.explanation) <= 500
    written = authres.received_spf("mx.demo.test", found, "192.0.2.7", helo, sender.decode("utf-8", "replace")[:400])
    _one_field(written)


def _one_field(text: str) -> None:
    """What we write is one field, ASCII, folded, of short lines."""
    assert text.isascii() and not text.endswith("\n")
    lines = text.split("\r\n")
    assert all(line[:1] == "\t" and line.strip() for line in lines[1:]), "a field that ends early"
    assert "\r" not in "".join(lines) and "\n" not in "".join(lines) and "\0" not in text


def _signed() -> list[bytes]:
    message = Message(TEXT)
    own = []
    for kind in ("rsa", "ed25519"):
        field = signing.sign(_signer(kind), message.fields, message.body_chunks(), NOW)
        own.append(SEPARATOR.join((field + TEXT, _signer(kind).record().encode(), *RECORDS[5:9])))
    fixtures = [
        SEPARATOR.join((octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), *RECORDS[5:9]))
        for octets in files("03_auth", "*.txt", 60) + files("03_auth", "*.eml", 30)
    ]
    return own + fixtures


@cache
def _signer(kind: str) -> signing.Signer:
    return signer(kind)


DKIM = (
    b"DKIM-Signature: ", b"v=1;", b"a=rsa-sha256;", b"a=ed25519-sha256;", b"c=relaxed/relaxed;", b"c=simple/simple;", b"d=example.org;", b"s=s1;",
    b"h=from:from:subject;", b"bh=", b"b=",
    b"l=0;", b"t=1;", b"x=1;", b"i=@a.example.org;", b"q=dns/txt;", b"z=", b"=3D", b"p=", b"k=rsa", b"k=ed25519", b"h=sha1", b"s=email", b"t=y:s",
    b"g=*", b"v=DKIM1;", b":",
)  # fmt: skip


@target("dkim", _signed, *DKIM)
def dkim_verify(octets: bytes) -> None:
    """Any signature fields and key records: a result with a reason for each that is looked at, and the body's hash whatever the pieces."""
    content, records = split(octets)
    message = Message(content)
    found = done(dkim.verify_message(AnyResolver(records), message.fields, message.body_chunks, NOW))
    assert len(found) <= dkim.Limits().max_signatures
    assert all(each.result is not dkim.DkimResult.NONE and len(each.reason) < 500 for each in found)
    for record in records:
        for kind in ("rsa", "ed25519"):
            try:
                keys.parse(record, kind).verify(b"x" * 64, bytes(32))
            except keys.KeyProblem as error:
                assert str(error)
    asked = {(form, length) for form in ("simple", "relaxed") for length in (None, 10)}
    body = b"".join(message.body_chunks())
    pieces = [body[place : place + 7] for place in range(0, min(len(body), 3_000), 7)] + [body[max(0, -(-min(len(body), 3_000) // 7) * 7) :]]
    assert canonical.hash_bodies([body], asked) == canonical.hash_bodies(pieces, asked), "the hash depends on the pieces"
    if b"\r" not in body.replace(b"\r\n", b"") and b"\n" not in body.replace(b"\r\n", b"") and len(body) < 50_000:
        whole = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
        theirs = oracle.canonicalization.Relaxed.canonicalize_body(whole)
        assert canonical.hash_bodies([body], [("relaxed", None)])["relaxed", None][0] == hashlib.sha256(theirs).digest(), (
            "relaxed body differs from dkimpy's"
        )


@target("dkim-roundtrip", lambda: [*letters()[:80], TEXT], b"From: a@b\r\n", b"Subject: x\r\n", b"\r\n ", b"\t\r\n", b" \r\n", b":")
def dkim_roundtrip(octets: bytes) -> None:
    """What we sign verifies, and what is sealed on top of that as well: whatever the message, as long as it has a From that can be signed."""
    octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    message = Message(octets)
    if message.too_large or not message.value(b"from") or len(message.fields) >= 1_000:
        return
    one = _signer("ed25519")
    field = signing.sign(one, message.fields, message.body_chunks(), NOW)
    head, rest = message.edited(Edits(prepend=field))
    signed = Message(head + octets[rest:])
    resolver = FakeResolver(zone(one))
    found = done(dkim.verify_message(resolver, signed.fields, signed.body_chunks, NOW))
    assert found[0].result is dkim.DkimResult.PASS, found[0].reason
    state = done(arc.verify_message(resolver, signed.fields, signed.body_chunks))
    digest = canonical.hash_bodies(signed.body_chunks(), [arc.ALL])[arc.ALL][0]
    fields = arc.seal(one, signed.fields, state, digest, b"mx.demo.test; none", NOW)
    if fields and state.result is arc.ArcResult.NONE:
        sealed = Message(b"".join(fields) + signed.octets)
        if not sealed.too_large:
            assert done(arc.verify_message(resolver, sealed.fields, sealed.body_chunks)).result is arc.ArcResult.PASS, "our own seal"


def _chains() -> list[bytes]:
    message, one = Message(TEXT), _signer("rsa")
    octets, sets = TEXT, []
    for _ in range(3):
        message = Message(octets)
        state = done(arc.verify_message(FakeResolver(zone(one)), message.fields, message.body_chunks))
        digest = canonical.hash_bodies(message.body_chunks(), [arc.ALL])[arc.ALL][0]
        octets = b"".join(arc.seal(one, message.fields, state, digest, b"mx.demo.test; spf=pass", NOW)) + octets
        sets.append(SEPARATOR.join((octets, one.record().encode())))
    return sets


@target(
    "arc",
    _chains,
    b"ARC-Seal: i=",
    b"ARC-Message-Signature: i=",
    b"ARC-Authentication-Results: i=",
    b"cv=none",
    b"cv=pass",
    b"cv=fail",
    b"i=51;",
    b"i=0;",
    b"i=1;",
    *DKIM[1:16],
)
def arc_sets(octets: bytes) -> None:
    """Any sets: a state, at most fifty of them, and a next set only where the chain may go on."""
    content, records = split(octets)
    message = Message(content)
    state = done(arc.verify_message(AnyResolver(records), message.fields, message.body_chunks))
    assert state.result in arc.ArcResult and len(state.links) <= arc.MAX_SETS
    fields = arc.seal(_signer("ed25519"), message.fields, state, bytes(32), b"mx.demo.test; none", NOW)
    assert len(fields) in (0, 3) and (not fields or state.can_seal)


@target(
    "dmarc",
    lambda: [SEPARATOR.join((b'From: a@b.example.org, "x" <c@d.co.uk>\r\n', record)) for record in RECORDS],
    b"v=DMARC1;",
    b"p=reject;",
    b"sp=",
    b"np=",
    b"pct=",
    b"rua=mailto:",
    b"adkim=s",
    b"t=y",
    b"From: ",
    b"\r\n",
    b"!10m",
    b",",
)
def dmarc_check(octets: bytes) -> None:
    """Any record for any From: a result; a pass only with something aligned."""
    head, records = split(octets)
    for record in records:
        dmarc.parse(record)
    sender = Message(head + b"\r\n\r\n").sender
    for known in (spf.Spf(spf.SpfResult.PASS, "d.co.uk"), spf.Spf(spf.SpfResult.FAIL, "b.example.org")):
        found = done(dmarc.check(AnyResolver(records), SUFFIXES, sender, known, (), len(octets) % 100))
        assert found.result in dmarc.DmarcResult
        assert found.result is not dmarc.DmarcResult.PASS or known.result is spf.SpfResult.PASS
    done(iprev.check(AnyResolver(records), IPS[len(octets) % 3]))


def _results() -> list[bytes]:
    return [
        b'Authentication-Results: mx.demo.test; spf=pass (x(y)) smtp.mailfrom=a@b; dkim=fail/1 reason="a;b"\r\nFrom: a@b\r\n\r\n',
        b'Authentication-Results: (c) "mx.demo.test" 1; none\r\nReceived-SPF: pass (mx.demo.test: x) receiver="mx.demo.test"; client-ip=1\r\n'
        b"X-Spam: No\r\n\r\nx",
        b"authentication-results : MX.DEMO.TEST\r\n\t; arc=pass\r\nAuthentication-Results:\r\n mx.demo.test;\r\n dmarc=pass\r\n\r\n",
    ]


@target(
    "authres",
    _results,
    b"Authentication-Results: ",
    b"Received-SPF: ",
    b"mx.demo.test",
    b";",
    b"(",
    b")",
    b"\\",
    b'"',
    b"spf=pass",
    b"receiver=",
    b"\r\n ",
    b"\r\n",
    b"X-Spam: Yes\r\n",
    b" 1;",
    b".invalid",
)
def results(octets: bytes) -> None:
    """Fields in our name are gone after acceptance's edit; what we write ourselves is one field that reads back as it was meant."""
    message = Message(octets)
    edits = Edits(OURS, lambda name, raw: name in CLAIMS and authres.is_forged(name, raw, "mx.demo.test"))
    head, rest = message.edited(edits)
    if not message.too_large and len(message.fields) < 1_000:
        for name, raw in Message(head + octets[rest:]).fields:
            assert name not in OURS and not (name in CLAIMS and authres.is_forged(name, raw, "mx.demo.test")), "a forged field is left"
    for value in message.values(b"authentication-results"):
        authres.methods(value)
    text = octets[:500].decode("utf-8", "surrogateescape")
    made = spf.Spf(spf.SpfResult.FAIL, text[:200], mechanism=text[:50], problem=text)
    signed = [dkim.Dkim(dkim.DkimResult.FAIL, text[:100], text[:60], text, "rsa-sha256", reason=text)]
    written = authres.results("mx.demo.test", made, None, signed, None, None, "192.0.2.7")
    _one_field("Authentication-Results: " + written.removeprefix("Authentication-Results: "))
    _one_field(authres.received_spf("mx.demo.test", made, "192.0.2.7", text[:100], text[100:300]))
    read = authres.methods(written.removeprefix("Authentication-Results:").encode())
    assert [method for method, _ in read] == ["spf", "dkim"] and {result for _, result in read} == {"fail"}, "what a stranger said became a result"


@target(
    "lockdown",
    lambda: [record + SEPARATOR + b"example.org" for record in RECORDS[9:12]],
    b"v=jm1",
    b" auth=",
    b" net=",
    b"192.0.2.0/24",
    b"::/0",
    b"::ffff:",
    b"%",
    b"\xc2\xa0",
    b"\x1c",
    b"/-1",
)
def lockdown_record(octets: bytes) -> None:
    """Any record: bounded, read the same when it is written out again, and nobody is admitted whom it does not name."""
    text, *names = octets.split(SEPARATOR)
    record = lockdown.parse(text)
    if record is not None:
        assert len(record.users) <= lockdown.MAX_TOKENS
        record.covers("192.0.2.7"), record.covers("2001:db8::1"), record.covers("nonsense")
        again = lockdown.parse(record.text.encode("utf-8"))
        if len(text) <= lockdown.MAX_RECORD // 4 and not any("longer than" in problem for problem in record.problems):
            assert again is not None and (again.users, again.networks) == (record.users, record.networks)
    domain = NAMES[len(octets) % len(NAMES)]
    for address in ("192.0.2.7", "::1"):
        found = done(lockdown.check(AnyResolver([text]), SUFFIXES, domain, ["app", names[0].decode("utf-8", "replace") if names else ""], address))
        if found.standing is lockdown.Standing.ADMITTED:
            assert record is not None and record.users and record.covers(address)


@target(
    "transport-policy",
    lambda: [b"version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmax_age: 604800\r\n", RECORDS[-1], b"\x03\x01\x01" + bytes(32)],
    b"version: ",
    b"mode: testing",
    b"mx: *.",
    b"max_age: ",
    b"v=STSv1;",
    b"id=",
    b"\x02\x00\x01",
    b"0\x82",
)
def transport_policy(octets: bytes) -> None:
    """MTA-STS records and policies and TLSA records of any content: PolicyError, an id, a sentence; never an exception."""
    try:
        policy = mtasts.parse(octets)
        assert policy.names("mx.example.org") in (True, False) and mtasts.parse("\r\n".join(policy.lines()).encode()) == policy
    except mtasts.PolicyError as error:
        assert str(error)
    mtasts.record_id(octets.split(SEPARATOR))
    records = dane.usable((one[0], one[1], one[2], one[3:]) for one in octets.split(SEPARATOR)[:40] if len(one) >= 3)
    assert dane.problem(records, [octets[:5_000]], ["mx.example.org"], NOW)


def _reports() -> list[bytes]:
    made = tlsrpt.build(REPORT)
    found = [*files("03_auth", "rpt*", 10), *files("03_auth", "*dmarc*", 40), *files("03_auth", "*.xml", 20)]
    return [*found, made, tlsrpt.mail(REPORT, made, "r@a.test", NOW, "1")]


@target(
    "domain-report", _reports, b"<record>", b"</record>", b"<count>", b"<!DOCTYPE x [<!ENTITY y 'z'>]>", b"<source_ip>", b"\x1f\x8b\x08",
    b"PK\x03\x04", b'"policies": [', b'"failure-details": [{', b'"failed-session-count": -1', b"99999999999999", seconds_per_100k=1.0,
)  # fmt: skip
def domain_report(octets: bytes) -> None:
    """DMARC and TLS reports of any content: bounded rows whose sums are right and fit into the store, or a reason that is no surprise."""
    for whole in (octets, b"Content-Type: application/tlsrpt+json\r\n\r\n" + octets):
        found = aggregates.read(lambda whole=whole: whole)  # type: ignore[misc]
        if isinstance(found, str):
            assert found and len(found) <= aggregates.MAX_TEXT and not found.startswith("it cannot be read"), found
            continue
        assert len(found.abouts) <= aggregates.MAX_DOMAINS and len(found.organization) <= aggregates.MAX_TEXT
        for about in found.abouts:
            assert len(about.rows) <= aggregates.MAX_ROWS and all(0 < row.amount <= aggregates.MAX_AMOUNT for row in about.rows)
