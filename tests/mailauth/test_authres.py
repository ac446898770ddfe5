"""Authentication-Results and Received-SPF: what we write no stranger can bend, what claims to be ours is found, what others wrote is read."""

from __future__ import annotations

import authres as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.mail.message import Message
from jetmail.mailauth import authres
from jetmail.mailauth.arc import Arc, ArcResult
from jetmail.mailauth.dkim import Dkim, DkimResult
from jetmail.mailauth.dmarc import Dmarc, DmarcPolicy, DmarcResult
from jetmail.mailauth.iprev import Iprev, IprevResult
from jetmail.mailauth.spf import Spf, SpfResult

US = "mx.demo.test"


@pytest.mark.parametrize(
    ("field", "is_forged"),
    [
        (b"Authentication-Results: mx.demo.test; spf=pass", True),
        (b"Authentication-Results:MX.Demo.Test;spf=pass", True),
        (b"Authentication-Results: (hidden (deep)) mx.demo.test (x) 1; spf=pass", True),
        (b'Authentication-Results: "mx.demo.test"; spf=pass', True),
        (b"Authentication-Results:\r\n\tmx.demo.test;\r\n\tspf=pass", True),
        (b"Authentication-Results: mx.demo.test", True),
        (b"Authentication-Results: mx.demo.test.example.org; spf=pass", False),
        (b"Authentication-Results: mx.example.org; spf=pass (mx.demo.test)", False),
        (b"Authentication-Results: (mx.demo.test) mx.example.org; spf=pass", False),
        (b"ARC-Authentication-Results: i=1; mx.demo.test; spf=pass", False),
        (b"Received-SPF: pass (mx.demo.test: fine) receiver=mx.example.org", True),
        (b"Received-SPF: Pass\r\n receiver=mx.demo.test; client-ip=192.0.2.1", True),
        (b"Received-SPF: pass (mx.example.org: fine) receiver=mx.example.org", False),
        (b"Authentication-Results: (" + b"x" * 20_000 + b") mx.demo.test; spf=pass", True),
        (b'Authentication-Results: "mx\\.demo.test"; spf=pass', True),
        (b"Authentication-Results: mx.demo.test.; spf=pass", True),
        (b"Authentication-Results: mx.example.org; spf=pass (mx.demo.test.)", False),
        (b"Received-SPF: pass receiver = mx.demo.test; client-ip=192.0.2.1", True),
        (b"Received-SPF: pass (by\r\n us)\r\n receiver (x)\r\n =\r\n (y) MX.demo.test.", True),
        (b'Received-SPF: pass client-ip=192.0.2.1; receiver="mx.demo.test"', True),
        (b"Received-SPF: pass ( mx.demo.test : fine)", True),
        (b"Received-SPF: pass (" + b"y" * 20_000 + b") receiver=mx.demo.test", True),
        (b'Received-SPF: pass (mx.example.org: fine) receiver=mx.example.org; helo="receiver=mx.demo.test"', False),
        (b"Received-SPF: pass (mx.demo.test.example.org: fine)", False),
        (b"Subject: mx.demo.test", False),
    ],
)
def test_what_claims_to_be_ours(field: bytes, is_forged: bool) -> None:
    """A field in our name is found however it is written; others' stay."""
    ((name, raw),) = Message(field + b"\r\n\r\n").fields
    assert authres.is_forged(name, raw, US) is is_forged


def written(text: str) -> str:
    """Results in which every word a stranger can choose is `text`."""
    return authres.results(
        US,
        Spf(SpfResult.FAIL, text, problem=text),
        Iprev(IprevResult.PASS, text),
        [Dkim(DkimResult.FAIL, text, text, text, text, text, start=text), Dkim(DkimResult.PASS, text)],
        Arc(ArcResult.FAIL, text, count=1),
        Dmarc(DmarcResult.FAIL, text, text, DmarcPolicy.REJECT, DmarcPolicy.REJECT, reason=text),
        text,
    )


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.sampled_from(['"; dkim=pass', "a\r\nX: y", ") dkim=pass (", "\\", "ä", "a b", "=;", "(("]))
def test_no_stranger_bends_a_result(text: str) -> None:
    """Whatever a stranger chose, our field has our results, is ASCII, and is one field; another's parser agrees."""
    value = written(text)
    field = f"Authentication-Results: {value}"
    results = [("spf", "fail"), ("dkim", "fail"), ("dkim", "pass"), ("arc", "fail"), ("dmarc", "fail"), ("iprev", "pass")]
    assert value.isascii()
    assert len(Message(field.encode() + b"\r\n\r\n").fields) == 1
    assert authres.methods(value.encode()) == results
    read = oracle.AuthenticationResultsHeader.parse(field.replace("\r\n\t", " "))
    assert [(each.method, each.result) for each in read.results] == results
    line = authres.received_spf(US, Spf(SpfResult.FAIL, text, mechanism=text, problem=text), text, text, text)
    assert line.isascii()
    assert len(Message(line.encode() + b"\r\n\r\n").fields) == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_anything_is_read(value: bytes) -> None:
    """Whatever stands in a field of results, it is read to an end."""
    assert isinstance(authres.methods(value), list)
    assert authres.is_forged(b"authentication-results", b"Authentication-Results:" + value, US) in (True, False)


def test_reading_results() -> None:
    """Methods and results are read past comments, versions and quoted strings; a result in a comment is none."""
    value = b'mx.example.org 1; spf=pass (dmarc=pass) smtp.mailfrom="a; dmarc=pass"@x; dkim/1 = fail header.d=x; DMARC=Pass (p=none)'
    assert authres.methods(value) == [("spf", "pass"), ("dkim", "fail"), ("dmarc", "pass")]


def test_hostile_fields_take_no_time() -> None:
    """Fields made to be slow are read in time."""
    for value in (
        b"(" * 200_000,
        b'"' * 200_000,
        b";" * 200_000,
        b"\\" * 200_000,
        b"receiver=" * 20_000,
        b"(mx" * 60_000,
        b"(mx.demo.test " * 20_000,
    ):
        authres.methods(value)
        value += b"mx.demo.test"
        authres.is_forged(b"authentication-results", b"Authentication-Results:" + value, US)
        authres.is_forged(b"received-spf", b"Received-SPF:" + value, US)
    assert authres.methods(b"") == []
