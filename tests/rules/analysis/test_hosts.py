"""Addresses of the web taken apart as a browser would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.rules.analysis import hosts


@pytest.mark.parametrize(
    ("raw", "host", "is_address"),
    [
        ("https://Example.ORG/x", "example.org", False),
        ("http:\\\\example.org\\x", "example.org", False),
        ("//cdn.example.org/1", "cdn.example.org", False),
        ("http://user:pass@example.org:8080/", "example.org", False),
        ("http://good.example\\@evil.example/", "good.example", False),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", False),
        ("http://exam%70le.org/", "example.org", False),
        ("ht\ntps://exam\tple.org/", "example.org", False),
        ("http://0x7f.1/", "127.0.0.1", True),
        ("http://017700000001/", "127.0.0.1", True),
        ("http://2130706433/", "127.0.0.1", True),
        ("http://[2001:db8::1]:80/", "2001:db8::1", True),
        ("http://1.2.3.4.5/", "1.2.3.4.5", False),
        ("http://example.org./", "example.org", False),
    ],
)
def test_hosts(raw: str, host: str, is_address: bool) -> None:
    """Where the click goes, however it is written."""
    url = hosts.parse_url(raw)
    assert url is not None and (url.host, url.address) == (host, is_address)


@pytest.mark.parametrize("raw", ["", "mailto:a@example.org", "cid:x", "/x", "#x", "javascript:go()", "http://", "http:///", "http://<>/"])
def test_no_address(raw: str) -> None:
    """What is no address of the web is none."""
    assert hosts.parse_url(raw) is None


def test_parts() -> None:
    """User, port and the rest are kept apart."""
    url = hosts.parse_url("http://bank.example@evil.example:81/a?b#c")
    assert url is not None and (url.user, url.port, url.rest) == ("bank.example", 81, "/a?b#c")


@pytest.mark.parametrize(
    ("host", "registered"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("x.github.io", "x.github.io"),
        ("example.com", "example.com"),
        ("com", "com"),
        ("localhost", "localhost"),
    ],
)
def test_registrable(host: str, registered: str) -> None:
    """What somebody had to register; a free host's customers stand for themselves."""
    assert hosts.registrable(host) == registered


@pytest.mark.parametrize(
    ("label", "host"),
    [
        ("www.paypal.com/login", "paypal.com"),
        ("https://example.org", "example.org"),
        ("click here.", ""),
        ("bob@example.org", ""),
        ("report.final.pdfx", ""),
    ],
)
def test_host_shown(label: str, host: str) -> None:
    """The one address a label shows."""
    assert hosts.host_shown(label) == host


def test_addresses_in_text() -> None:
    """Written out, with the punctuation around them left alone, and no more than asked for."""
    found = hosts.urls_in("See https://a.example/x, (http://b.example) and www.c.example! " + "http://d.example " * 10, 4)
    assert [url.host for url in found] == ["a.example", "b.example", "www.c.example", "d.example"]


@given(st.text(max_size=120))
def test_total(text: str) -> None:
    """Any text is taken."""
    url = hosts.parse_url("http://" + text)
    assert url is None or url.host
    assert isinstance(hosts.host_shown(text), str)
