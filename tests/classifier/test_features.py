"""Features: the same for the same message however it came, bounded, and never an exception."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.classifier import features
from jetmail.classifier.errors import DamagedError
from jetmail.mail.message import Message
from tests.classifier.samples import mail

OURS = b"Received: from a.test ([192.0.2.1])\r\n\tby mx.demo.test with ESMTP id 0123;\r\n\tFri, 20 Nov 2026 07:30:00 +0000\r\n"


def test_the_same_however_it_came() -> None:
    """LF or CRLF, with what we add on top or without: the same features and the same digest."""
    octets = mail(1, True)
    base = Message(octets)
    want, name = features.extract(base, "mx.demo.test"), features.digest(base, "mx.demo.test")
    for other in (
        octets.replace(b"\r\n", b"\n"),
        OURS + octets,
        b"X-Spam: Yes\r\nX-Spam-Score: 7\r\nAuthentication-Results: mx.demo.test; spf=pass\r\n" + OURS + octets,
        b"Return-Path: <a@b.test>\nDelivered-To: x@demo.test\n" + octets.replace(b"\r\n", b"\n") + b"\n",
    ):
        message = Message(other)
        assert np.array_equal(features.extract(message, "mx.demo.test"), want)
        assert features.digest(message, "mx.demo.test") == name


def test_other_peoples_received_take_part() -> None:
    """A hop before us says where a message is from; one that merely looks like our name does too."""
    octets = mail(1, True)
    want = features.digest(Message(octets), "mx.demo.test")
    for host in (b"mx.other.test", b"mx.demo.test.evil.test"):
        message = Message(OURS.replace(b"mx.demo.test", host) + octets)
        assert features.digest(message, "mx.demo.test") != want


def test_halves() -> None:
    """Header below, text above, sorted and each once; the subject is text too."""
    found = features.extract(Message(mail(1, False)))
    assert np.all(np.diff(found.astype(np.int64)) > 0)
    text = features.text_only(found)
    assert 0 < len(text) < len(found)
    assert text[0] >= features.HALF
    assert len(features.text_only(features.extract(Message(b"Subject: only a subject\r\n\r\n"))))


def test_encodings_do_not_matter() -> None:
    """The same text in base64, in quoted-printable and in HTML gives nearly the same text features."""
    plain = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nSch\xc3\xb6ne Gr\xc3\xbc\xc3\x9fe an alle, bis morgen im Garten\n"
    quoted = (
        b"MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"Sch=F6ne Gr=FC=DFe an alle, bis morgen im =\nGarten\n"
    )
    html = (
        b"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Sch&ouml;ne <b>Gr\xc3\xbc\xc3\x9fe</b>   an alle,\nbis morgen im Garten\n"
    )
    sets = [set(features.text_only(features.extract(Message(octets))).tolist()) for octets in (plain, quoted, html)]
    assert sets[0] == sets[1]
    assert len(sets[0] ^ sets[2]) <= 0.2 * len(sets[0])


@pytest.mark.parametrize("octets", [b"", b"\n", b"\r\n\r\n", b"\0" * 100_000, b"x" * 3_000_000, b"A: b\n" * 50_000, bytes(range(256)) * 4000])
def test_odd_messages(octets: bytes) -> None:
    """Empty, binary and huge messages have features too, no more than the cap."""
    message = Message(octets)
    found = features.extract(message, "mx.demo.test")
    assert len(found) <= features.MAX_FEATURES
    assert len(features.digest(message)) == 32
    assert np.array_equal(features.unpack(features.pack(found)), found)


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_never_raises(header: bytes, body: bytes) -> None:
    """Whatever the octets, there are features, in order and within the table, that survive packing."""
    found = features.extract(Message(header + b"\r\n\r\n" + body), "mx.demo.test")
    assert np.all(np.diff(found.astype(np.int64)) > 0)
    assert not len(found) or found[-1] < features.SIZE
    assert np.array_equal(features.unpack(features.pack(found)), found)


@given(st.binary(max_size=300))
def test_unpack_refuses(octets: bytes) -> None:
    """Octets that were not packed are refused, or are features in order."""
    try:
        found = features.unpack(octets)
    except DamagedError:
        return
    assert np.all(np.diff(found.astype(np.int64)) > 0)


def test_a_bomb_does_not_unpack() -> None:
    """A few octets that unpack to very many are refused before they are unpacked."""
    import zlib

    with pytest.raises(DamagedError):
        features.unpack(zlib.compress(b"\1" * 50_000_000))
