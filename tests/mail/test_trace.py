"""Trace fields: what we write, what we count."""

from __future__ import annotations

import pytest

from jetmail.mail.message import Message
from jetmail.mail.trace import Hop, count_delivered_to, count_received, protocol, received, rfc5322_date


def hop(**more: object) -> Hop:
    values: dict[str, object] = {"helo": "client.example", "address": "192.0.2.7", "hostname": "mx.demo.test", "uid": "0123", "time": 1_700_000_000.0}
    return Hop(**(values | more))  # type: ignore[arg-type]


def test_received() -> None:
    """From, by, with, id, for and the date, as RFC 5321 4.4 has them."""
    assert received(hop(recipient="bob@demo.test")) == (
        b"Received: from client.example ([192.0.2.7])\r\n\tby mx.demo.test with ESMTP id 0123\r\n"
        b"\tfor <bob@demo.test>;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    )


def test_received_with_tls_and_ipv6() -> None:
    """The address family and the TLS session are said."""
    field = received(hop(address="2001:db8::1", tls="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"))
    assert b"([IPv6:2001:db8::1])" in field
    assert b"(using TLSv1.3 with TLS_AES_256_GCM_SHA384)" in field
    assert b"with ESMTPS id" in field


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"esmtp": False}, "SMTP"),
        ({}, "ESMTP"),
        ({"tls": "TLSv1.3"}, "ESMTPS"),
        ({"authenticated": True}, "ESMTPA"),
        ({"tls": "TLSv1.3", "authenticated": True}, "ESMTPSA"),
        ({"smtputf8": True}, "UTF8SMTP"),
        ({"smtputf8": True, "tls": "TLSv1.3"}, "UTF8SMTPS"),
        ({"smtputf8": True, "tls": "TLSv1.3", "authenticated": True}, "UTF8SMTPSA"),
    ],
)
def test_protocol_words(more: dict[str, object], word: str) -> None:
    """The words of RFC 3848 and RFC 6531."""
    assert protocol(hop(**more)) == word


@pytest.mark.parametrize("helo", ["a\r\nBcc: x", "a) by evil (", "x\x00y", "\\", "", "ü" * 300])
def test_a_stranger_s_words_stay_in_their_place(helo: str) -> None:
    """No HELO adds a line, closes a comment or grows the field."""
    field = received(hop(helo=helo))
    assert field.count(b"\r\n") == 3
    assert field.count(b"(") == 1
    assert field.isascii()
    assert all(len(line) < 998 for line in field.split(b"\r\n"))


def test_smtputf8_recipient() -> None:
    """An internationalised recipient is written as it is, in an SMTPUTF8 message."""
    assert "for <jörg@demo.test>".encode() in received(hop(smtputf8=True, recipient="jörg@demo.test"))


def test_counting() -> None:
    """Received fields in any case; Delivered-To by address."""
    message = Message(
        b"Received: a\r\nRECEIVED: b\r\nX-Received: c\r\nDelivered-To: Bob@demo.test\r\nDelivered-To: <bob@demo.test>\r\n\r\nReceived: d\r\n"
    )
    assert count_received(message) == 2
    assert count_delivered_to(message, "bob@demo.test") == 2
    assert count_delivered_to(message, "ann@demo.test") == 0


def test_date() -> None:
    """RFC 5322 dates, in UTC."""
    assert rfc5322_date(0.9) == "Thu, 01 Jan 1970 00:00:00 +0000"
