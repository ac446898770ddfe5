"""TLSA records against chains of certificates."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mailauth.dane import Tlsa, problem, usable

NOW = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
ROOT = trustme.CA()
MIDDLE = ROOT.create_child_ca()
AFTER = datetime(2040, 1, 1, tzinfo=UTC)


def certificates(*pems: Any) -> list[x509.Certificate]:
    """What trustme holds, as certificates."""
    return [x509.load_pem_x509_certificate(pem.bytes()) for pem in pems]


LEAF, UNDER, TOP = certificates(
    MIDDLE.issue_cert("mx.example.com", not_after=AFTER).cert_chain_pems[0], MIDDLE.cert_pem, ROOT.cert_pem
)
CHAIN = [one.public_bytes(Encoding.DER) for one in (LEAF, UNDER, TOP)]


def tlsa(usage: int, selector: int, matching: int, certificate: x509.Certificate) -> Tlsa:
    """The record for a certificate."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    octets = key if selector else certificate.public_bytes(Encoding.DER)
    return Tlsa(usage, selector, matching, octets if not matching else (hashlib.sha256 if matching == 1 else hashlib.sha512)(octets).digest())


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_end_entity(selector: int, matching: int) -> None:
    """Usage 3 proves the certificate itself: no name, no date, no chain; another certificate it does not."""
    record = usable([tlsa(3, selector, matching, LEAF)])
    assert len(record) == 1
    assert problem(record, CHAIN[:1], ["other.test"], 0.0) == ""
    assert "not the one" in problem(record, CHAIN[1:], ["mx.example.com"], NOW)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("anchor", [UNDER, TOP])
def test_trust_anchor(selector: int, matching: int, anchor: x509.Certificate) -> None:
    """Usage 2 proves the chain below an anchor that is shown, when the name and the dates are right."""
    record = usable([tlsa(2, selector, matching, anchor)])
    assert problem(record, CHAIN, ["mx.example.com"], NOW) == ""
    assert problem(record, CHAIN, ["example.com", "mx.example.com"], NOW) == ""
    assert "does not name" in problem(record, CHAIN, ["mx.example.net"], NOW)
    assert "expired" in problem(record, CHAIN, ["mx.example.com"], (AFTER + timedelta(days=1)).timestamp())


@pytest.mark.parametrize("selector", [0, 1])
def test_anchor_in_the_record(selector: int) -> None:
    """An anchor that stands whole in DNS need not be shown; its digest cannot stand for it."""
    assert problem(usable([tlsa(2, selector, 0, TOP)]), CHAIN[:2], ["mx.example.com"], NOW) == ""
    assert problem(usable([tlsa(2, selector, 1, TOP)]), CHAIN[:2], ["mx.example.com"], NOW)


def test_strange_chain() -> None:
    """The anchor beside a certificate it never signed proves nothing."""
    stranger = certificates(trustme.CA().issue_cert("mx.example.com", not_after=AFTER).cert_chain_pems[0])[0]
    forged = [stranger.public_bytes(Encoding.DER), CHAIN[1], CHAIN[2]]
    for matching in (0, 1):
        assert "not signed" in problem(usable([tlsa(2, 1, matching, TOP)]), forged, ["mx.example.com"], NOW)
    leaf_as_authority = [CHAIN[0], CHAIN[0]]
    assert problem(usable([tlsa(2, 0, 1, TOP)]), leaf_as_authority, ["mx.example.com"], NOW)


def test_usable() -> None:
    """Usages of the web, unknown numbers, digests of the wrong length and rubbish are not usable; the strongest digest alone counts."""
    digest = b"x" * 32
    assert usable([(0, 1, 1, digest), (1, 1, 1, digest), (3, 2, 1, digest), (3, 1, 3, digest), (3, 1, 1, b"short"), (3, 1, 0, b"rubbish")]) == ()
    both = usable([(3, 1, 1, digest), (3, 1, 2, b"y" * 64), (3, 0, 1, digest)])
    assert both == (Tlsa(3, 0, 1, digest), Tlsa(3, 1, 2, b"y" * 64))
    assert usable(reversed(both)) == both


@given(st.lists(st.binary(max_size=60), max_size=12), st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.binary(max_size=70)))
def test_total(chain: list[bytes], record: tuple[int, int, int, bytes]) -> None:
    """Any octets for certificates end in a sentence, never an exception."""
    assert problem(usable([record]), chain, ["a.test"], NOW)
