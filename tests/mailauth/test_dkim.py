"""DKIM: signed here and verified by another, and the reverse; what is weak, what is hostile, and how long it takes."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

import dkim as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.interfaces import AnswerKind
from jetmail.mail.message import Message
from jetmail.mailauth import arc, canonical, dkim, signing
from jetmail.mailauth.dkim import Dkim, DkimResult
from tests.fakes import FakeResolver
from tests.mailauth.samples import NOW, TEXT, done, pem, signer, zone

ED25519_SEED = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="  # RFC 8463 A.2
ED25519_RECORD = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def verified(octets: bytes, answers: dict[Any, Any], now: float = NOW) -> list[Dkim]:
    message = Message(octets)
    found: list[Dkim] = done(dkim.verify_message(FakeResolver(answers), message.fields, message.body_chunks, now))
    return found


def signed(octets: bytes = TEXT, kind: str = "rsa", **more: Any) -> bytes:
    message = Message(octets)
    return signing.sign(signer(kind), message.fields, message.body_chunks(), NOW, **more) + octets


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_our_signature_holds(kind: str) -> None:
    """What we sign we find valid, with the key's size and every part of the body covered."""
    (found,) = verified(signed(kind=kind), zone(signer(kind)))
    assert (found.result, found.domain, found.bits, found.covers_body) == (DkimResult.PASS, "example.org", 2048 if kind == "rsa" else 256, True)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_another_verifies_ours(kind: str) -> None:
    """dkimpy finds our signatures valid."""
    record = signer(kind).record().encode()
    assert oracle.verify(signed(kind=kind), dnsfunc=lambda name, timeout=5: record)


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
def test_we_verify_anothers(header: bytes, body: bytes) -> None:
    """Signatures of dkimpy in each canonicalization are valid here, with l= reported where it leaves nothing out."""
    key = pem("rsa")
    for length in (False, True):
        field = oracle.sign(TEXT, b"s1", b"example.org", key, canonicalize=(header, body), length=length)
        (found,) = verified(field + TEXT, zone(signer()))
        assert (found.result, found.covers_body) == (DkimResult.PASS, True), found


def test_we_verify_anothers_ed25519() -> None:
    """An Ed25519 signature of dkimpy is valid here."""
    field = oracle.sign(TEXT, b"s1", b"example.org", ED25519_SEED, signature_algorithm=b"ed25519-sha256")
    (found,) = verified(field + TEXT, {("s1._domainkey.example.org", "TXT"): [ED25519_RECORD]})
    assert found.result is DkimResult.PASS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"x y ", b"\r\n\r\n", b"\xe4"]), max_size=30).map(b"".join))
def test_we_agree_on_any_body(body: bytes) -> None:
    """Whatever white space a body of whole lines is made of, dkimpy's relaxed and simple hashes are ours."""
    body += b"\r\n"
    for form in ("simple", "relaxed"):
        theirs = oracle.canonicalization.CanonicalizationPolicy.from_c_value(f"{form}/{form}".encode()).canonicalize_body(body)
        for chunks in ((body,), tuple(body[place : place + 1] for place in range(len(body)))):
            (digest, octets) = canonical.hash_bodies(chunks, [(form, None)])[form, None]
            if form == "simple" or theirs != b"\r\n":  # dkimpy gives an empty relaxed body a line end, RFC 6376 3.4.4 does not
                assert (digest, octets) == (hashlib.sha256(theirs).digest(), len(theirs))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace(b"Hello", b"hello"), "body hash does not match"),
        (lambda text: text.replace(b"Alice", b"Alica"), "signature does not match"),
        (lambda text: text + b"appended\r\n", "body hash does not match"),
        (lambda text: text.replace(b"Subject:", b"From: eve@example.net\r\nSubject:"), "signature does not match"),
        (lambda text: text.replace(b"d=example.org", b"d=example.net"), "no key"),
        (lambda text: text.replace(b"a=rsa-sha256", b"a=rsa-sha1"), "rsa-sha1 proves nothing (RFC 8301)"),
        (lambda text: text.replace(b"a=rsa-sha256", b"a=rsa-md5"), "unknown algorithm"),
        (lambda text: text.replace(b"v=1", b"v=2"), "signature is of another version"),
        (lambda text: text.replace(b"h=from:", b"h="), "signature does not match"),
        (lambda text: text.replace(b"s=s1", b"s=s1; l=4"), "body hash does not match"),
        (lambda text: text.replace(b"s=s1", b"s=s1; l=999"), "body is shorter than l="),
        (lambda text: text.replace(b"s=s1", b"s=s1; s=s1"), "signature field is malformed"),
        (lambda text: text.replace(b"s=s1", b"s=s1; i=a@example.com"), "i= is not of d="),
        (lambda text: text.replace(b"s=s1", b"s=s1; x=1789999999; t=1"), "signature field is malformed"),
        (lambda text: text.replace(b"s=s1", b"s=s1; x=1780000000"), "expires before it was made"),
        (lambda text: text.replace(b"s=s1", b"s=-"), "d= or s= is no name"),
    ],
)
def test_what_breaks_it(change: Any, reason: str) -> None:
    """Any change to what is signed, or to the signature itself, is found, and the reason says which."""
    (found,) = verified(change(signed()), zone(signer()))
    assert found.result in (DkimResult.FAIL, DkimResult.PERMERROR)
    assert found.reason == reason


def test_length_leaves_a_part_uncovered() -> None:
    """A signature with l= holds for what was appended behind it, and says that it does not cover the body."""
    field = oracle.sign(TEXT, b"s1", b"example.org", pem("rsa"), canonicalize=(b"relaxed", b"simple"), length=True)
    (found,) = verified(field + TEXT + b"and buy this\r\n", zone(signer()))
    assert (found.result, found.covers_body) == (DkimResult.PASS, False)


def test_expiry() -> None:
    """A signature is valid until x=, and not a second longer."""
    octets = signed(lifetime=60.0)
    assert verified(octets, zone(signer()), NOW + 60)[0].result is DkimResult.PASS
    assert verified(octets, zone(signer()), NOW + 61)[0].reason == "signature expired"


def record(flags: str) -> dict[Any, Any]:
    key = signer().record().partition("p=")[2]
    return {("s1._domainkey.example.org", "TXT"): [f"{flags}p={key}".encode()]}


@pytest.mark.parametrize(
    ("answers", "result", "reason"),
    [
        ({}, DkimResult.PERMERROR, "no key"),
        ({("s1._domainkey.example.org", "TXT"): AnswerKind.TIMEOUT}, DkimResult.TEMPERROR, "DNS gave no answer for the key"),
        ({("s1._domainkey.example.org", "TXT"): AnswerKind.SERVFAIL}, DkimResult.TEMPERROR, "DNS gave no answer for the key"),
        ({("s1._domainkey.example.org", "TXT"): [b"v=DKIM1; p="]}, DkimResult.PERMERROR, "key revoked"),
        ({("s1._domainkey.example.org", "TXT"): [b"v=DKIM1; p=AAAA"]}, DkimResult.PERMERROR, "key cannot be read"),
        ({("s1._domainkey.example.org", "TXT"): [b"v=DKIM1; " + b"n=x" * 5000]}, DkimResult.PERMERROR, "key record longer than 8192 octets"),
        (record("v=DKIM2; "), DkimResult.PERMERROR, "key record is of another version"),
        (record("h=sha1; "), DkimResult.PERMERROR, "key is not for sha256"),
        (record("s=web; "), DkimResult.PERMERROR, "key is not for mail"),
        (record("k=ed25519; "), DkimResult.PERMERROR, "key is of kind ed25519, not rsa"),
        (record("v=DKIM1; g=nobody; n=a note; x=y; "), DkimResult.PASS, ""),
        (record("s=web:email; h=sha1:sha256; t=s; "), DkimResult.PASS, ""),
    ],
)
def test_key_records(answers: dict[Any, Any], result: DkimResult, reason: str) -> None:
    """What a key record says about its key is obeyed, g= is ignored, and DNS trouble is no fail."""
    (found,) = verified(signed(), answers)
    assert (found.result, found.reason) == (result, reason)


def test_testing_is_reported() -> None:
    """A key in testing says so, and its signature is judged all the same."""
    (found,) = verified(signed(), record("t=y; "))
    assert (found.result, found.testing) == (DkimResult.PASS, True)


def test_short_keys_are_weak() -> None:
    """A signature by a key of 768 bits fails with the reason, though it matches."""
    short = signing.Signer("example.org", "s1", signing.load_pem_private_key(pem("rsa", 1024), None))  # type: ignore[arg-type]
    message = Message(TEXT)
    octets = signing.sign(short, message.fields, message.body_chunks(), NOW) + TEXT
    assert verified(octets, zone(short))[0].result is DkimResult.PASS
    found = done(dkim.verify_message(FakeResolver(zone(short)), Message(octets).fields, Message(octets).body_chunks, NOW, dkim.Limits(min_bits=1025)))
    assert (found[0].result, found[0].weak, found[0].reason) == (DkimResult.FAIL, True, "RSA key of 1024 bits is too short")


def test_no_key_that_is_too_short_signs() -> None:
    """We sign with 2,048 bits or more, or not at all; and with nothing that is no key."""
    for octets in (pem("rsa", 1024), b"nonsense"):
        with pytest.raises(signing.SigningError):
            signing.load(octets, "example.org", "s1")


def test_fields_fold() -> None:
    """No line of a signature is longer than 78 characters, and it is one field."""
    message = Message(b"".join(b"List-Unsubscribe: <https://example.org/%d>\r\n" % place for place in range(20)) + TEXT)
    field = signing.sign(signer(domain="a-rather-long-domain-name.example.org"), message.fields, message.body_chunks(), NOW)
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert len(Message(field + b"\r\n").fields) == 1
    assert not re.search(rb"\r\n[^ \t]", field)


def test_at_most_ten_are_looked_at() -> None:
    """Of a thousand signatures ten are verified."""
    octets = signed()
    field = octets[: -len(TEXT)]
    resolver = FakeResolver(zone(signer()))
    message = Message(field * 100 + TEXT)
    found = done(dkim.verify_message(resolver, message.fields, message.body_chunks, NOW))
    assert [each.result for each in found] == [DkimResult.PASS] * 10
    assert len(resolver.asked) == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_field_has_a_result(value: bytes) -> None:
    """Whatever stands in a signature field, it is read to an end and says why it is not valid."""
    read = dkim.read_field(b"DKIM-Signature: " + value + b"\r\n")
    assert not read.is_open
    assert read.known.reason


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from("vabdhsctxliqz"), st.text("abz019=/+:@. \t\r\n-", max_size=20)), st.binary(max_size=60))
def test_any_tags_have_a_result(values: dict[str, str], key: bytes) -> None:
    """Whatever its tags and its key say, a message is judged and nothing is raised."""
    base = {"v": "1", "a": "rsa-sha256", "b": "AAAA", "bh": "AAAA", "d": "example.org", "h": "from", "s": "s1"} | values
    field = "DKIM-Signature: " + "; ".join(f"{tag}={value}" for tag, value in base.items()) + "\r\n"
    found = verified(field.encode() + TEXT, {("s1._domainkey.example.org", "TXT"): [key]})
    assert all(each.result is not DkimResult.PASS for each in found)


HOSTILE = {
    "spaces in the body": TEXT + b" " * 1_000_000,
    "spaces before line ends": TEXT + b" \t" * 500_000 + b"\r\n",
    "empty lines": TEXT + b"\r\n" * 500_000 + b"x",
    "carriage returns": TEXT + b"\r" * 1_000_000,
    "line feeds": TEXT + b"\n" * 1_000_000,
    "a header of fields": b"A:\r\n" * 100_000 + TEXT,
    "a header of spaces": b"From:" + b" " * 120_000 + b"a\r\n" + TEXT,
    "signatures": b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from; bh=AAAA; b=AAAA\r\n" * 1_000 + TEXT,
    "tags": b"DKIM-Signature: " + b"a=b;" * 20_000 + b"\r\n" + TEXT,
    "names": b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; bh=AAAA; b=AAAA; h=from" + b":from" * 20_000 + b"\r\n" + TEXT,
    "equal signs": b"DKIM-Signature: v=1" + b"=" * 100_000 + b"\r\n" + TEXT,
    "seals": b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.org; s=s1; b=AAAA\r\n" * 1_000 + TEXT,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_take_no_time(name: str) -> None:
    """A message made to be slow is judged, both its DKIM and its ARC, in the time its size allows."""
    octets = HOSTILE[name]
    octets = signed(octets) if not octets.startswith((b"DKIM", b"ARC")) else octets
    message = Message(octets)
    begun = time.process_time()
    done(dkim.verify_message(FakeResolver(zone(signer())), message.fields, message.body_chunks, NOW))
    done(arc.verify_message(FakeResolver(zone(signer())), message.fields, message.body_chunks))
    assert time.process_time() - begun < 0.5
