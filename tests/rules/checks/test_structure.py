"""Findings about MIME."""

from __future__ import annotations

import base64

import pytest

from jetmail.mail.message import Message
from tests.rules.checks.judging import mail, page, parts, symbols

TEXT = "Content-Type: text/plain; charset=utf-8\r\n\r\nThe quick brown fox jumps over the lazy hound beside quiet rivers tonight again."
OTHER = (
    "Content-Type: text/html; charset=utf-8\r\n\r\n"
    "<p>Completely different sentences stand herein, namely about medicines, vouchers, casinos, winners.</p>"
)


def _deep(levels: int) -> Message:
    body = "Content-Type: text/plain\r\n\r\nx"
    for level in range(levels):
        body = f"Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n{body}\r\n--b{level}--"
    return parts(body)


@pytest.mark.parametrize(
    ("message", "symbol"),
    [
        (_deep(20), "MIME_DEPTH"),
        (parts(*["\r\nx"] * 600), "MIME_PARTS"),
        (mail(content_type="multipart/mixed"), "MIME_BOUNDARY"),
        (mail("--b\r\n\r\nx", content_type="multipart/mixed; boundary=b"), "MIME_UNCLOSED"),
        (mail(content_type="text/plain", content_transfer_encoding="base85"), "MIME_ENCODING"),
        (mail(content_type="text/plain; charset=klingon"), "MIME_CHARSET"),
        (mail("Grüße aus Köln und anderswo\r\n", content_type="text/plain; charset=us-ascii"), "MIME_CHARSET_LIES"),
        (mail(base64.encodebytes(b"plain words " * 30).decode(), content_type="text/plain", content_transfer_encoding="base64"), "MIME_BASE64_ASCII"),
        (mail("this is, clearly, no base64!\r\n" * 10, content_type="text/plain", content_transfer_encoding="base64"), "MIME_BASE64_BROKEN"),
        (page("<p>Hello Bob, see you soon</p>"), "MIME_HTML_ONLY"),
        (parts("Content-Type: text/plain\r\n\r\n \r\n", OTHER, kind="alternative"), "MIME_TEXT_EMPTY"),
        (parts(TEXT, OTHER, kind="alternative"), "MIME_TEXT_DIFFERS"),
        (parts(OTHER, kind="alternative"), "MIME_ONE_ALTERNATIVE"),
        (mail("\r\n"), "BODY_EMPTY"),
        (mail("look http://elsewhere.example/x\r\n"), "BODY_SHORT_LINK"),
    ],
)
def test_structure(message: Message, symbol: str) -> None:
    """Each anomaly has its symbol."""
    assert symbol in symbols(message)


def test_an_honest_alternative_has_none() -> None:
    """Text and HTML that say the same are how mail is."""
    html = TEXT.replace("text/plain", "text/html").replace("The quick", "<p>The quick")
    assert symbols(parts(TEXT, html, kind="alternative")) == set()
