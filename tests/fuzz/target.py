"""What is fuzzed: a Target is a name, one call, and what inputs look like. Targets are declared in tests/fuzz/targets/ by a decorator.

The call returns nothing; an AssertionError or any other exception is a finding, and so is taking too long. Exceptions a parser documents are caught
by the target, which is how it says that they are documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests import fixtures

ROOMS = ("wire", "mail", "content", "auth", "judging", "connection", "settings", "api")
MAX_SEED = 60_000
REGISTRY: dict[str, Target] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """`what` in one sentence; `seeds()` inputs to begin with; `tokens` words of its language. `seconds_per_100k`: more is a finding."""

    name: str
    what: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    tokens: tuple[bytes, ...] = ()
    seconds_per_100k: float = 0.5


def target(
    name: str, seeds: Callable[[], Iterable[bytes]], *tokens: bytes, seconds_per_100k: float = 0.5
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Declare a target; its sentence is the docstring."""

    def declare(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        REGISTRY[name] = Target(name, run.__doc__ or "", run, seeds, tokens, seconds_per_100k)
        return run

    return declare


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    for room in ROOMS:
        import_module(f"tests.fuzz.targets.{room}")
    return REGISTRY


def files(name: str, pattern: str, most: int) -> list[bytes]:
    """Contents of at most `most` fixture files, spread over the archive; none when it is absent."""
    try:
        folder: Path = fixtures.folder(name)
    except pytest.skip.Exception:
        return []
    found = [path for path in sorted(folder.rglob(pattern)) if path.is_file() and path.stat().st_size <= MAX_SEED]
    return [path.read_bytes() for path in found[:: max(1, len(found) // most)][:most]]


@cache
def letters() -> tuple[bytes, ...]:
    """Messages: our own, and of the fixtures where they are present, with CRLF line ends as SMTP brings them."""
    found = [*OWN]
    for name, pattern, most in (("05_mime", "*", 120), ("03_auth", "*.eml", 40), ("01_spamassassin_public", "*", 60), ("06_dsn", "*.eml", 40)):
        found += files(name, pattern, most)
    found += [b"From: a@example.org\r\nContent-Type: text/html\r\n\r\n" + page for page in files("07_html_templates_postmark", "*.html", 10)]
    return tuple(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for octets in found)


OWN = (
    b"From: Alice <alice@example.org>\nTo: bob@demo.test\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
    b"Message-ID: <1@example.org>\nMIME-Version: 1.0\n\nHello, Bob. See http://www.example.org/?u=http://other.example\n",
    b'Received: from a.example (a.example [192.0.2.7]) by b.example; Tue, 14 Nov 2023 22:13:20 +0000\nFrom: "A, B" <a@b.example>, c@d.example\n'
    b'Sender: x@y.example\nContent-Type: multipart/mixed; boundary="out"\n\npreamble\n--out\nContent-Type: multipart/alternative; boundary=in\n\n'
    b"--in\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\ncaf=E9 =\n more\n--in\n"
    b'Content-Type: text/html\n\n<p style="display:none">x</p><a href="http://h.example">www.paypal.com</a><img src=cid:1>\n--in--\n--out\n'
    b"Content-Type: application/zip; name*0*=utf-8''%e2%82; name*1=a.zip\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n"
    b"UEsDBBQAAAAAAAAAIQCjHCn7AwAAAAMAAAAFAAAAYS50eHRhYmNQSwECFAMUAAAAAAAAACEAoxwp+wMAAAADAAAABQAAAAAAAAAAAAAAgAEAAAAAYS50eHRQSwUGAAAAAAEAAQAz\n"
    b"AAAAJgAAAAAA\n--out--\nepilogue\n",
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=s1; h=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n"
    b" b=AAAA\nAuthentication-Results: mx.demo.test; spf=pass smtp.mailfrom=a@b\nReceived-SPF: pass (mx.demo.test: ok) receiver=mx.demo.test\n"
    b"X-Spam: Yes\nFrom: a@example.org\nReply-To: b@example.net\nX-Spam-Score: 9\nList-Id: <l.example.org>\nSubject: Re: Invoice\n\n"
    b"Dear customer, verify your account at http://192.0.2.7/login or bit.ly/x\n",
    b"From: MAILER-DAEMON@a.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nx\n--b\n"
    b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\nFinal-Recipient: rfc822; b@c\nAction: failed\nStatus: 5.1.1\n--b\n"
    b"Content-Type: message/rfc822\n\nFrom: b@c\nSubject: s\n\nt\n--b--\n",
)
