"""What rules read out of a message: links, names, letters, words, files; and what the classifier makes of it and keeps."""

from __future__ import annotations

import struct
import zlib
from functools import cache

import numpy as np

from jetmail import resources
from jetmail.classifier import features, memory, model, overlay
from jetmail.classifier.classifier import Classifier, seed
from jetmail.classifier.errors import DamagedError
from jetmail.mail.message import Message
from jetmail.rules.analysis import hosts, letters, maps
from jetmail.rules.analysis.content import read_content
from tests.fuzz.target import files, target
from tests.fuzz.target import letters as messages
from tests.fuzz.targets.mail import FIELDS, HTML
from tests.rules.checks.judging import judged


def _links() -> list[bytes]:
    own = b"""http://user:pw@www.example.co.uk:8080/a?b=http://c.example#d
https://xn--80ak6aa92e.com/ http://0x7f.1/ http://[::1]:80/ http://2130706433 http://0300.0250.1.1/x
//evil.example\\@good.example www.paypa1.com/login bit.ly/x http://a%2eb/ hTTp:\\\\x.example
http://\xd0\xb0pple.com http://a\xe3\x80\x82b http://\xef\xbc\x91\xef\xbc\x92.com mailto:a@b?subject=x
paypal.com.secure-login.example http://1.2.3.4.5 http://999.1.1.1 http://www.bank-of-america.info/"""
    return [own, *own.split()]


@target(
    "urls", _links, b"http://", b"https:", b"//", b"\\\\", b"@", b"[::", b"]", b"xn--", b"%2e", b"%00", b"0x", b"www.", b".co.uk", b"paypal",
    b"\xc2\xad",
    "\u0430".encode(), "。".encode(), "１".encode(), b"\xf0\x9d\x94\xb8", b":99999", b".", b"-",
)  # fmt: skip
def urls(octets: bytes) -> None:
    """Addresses of the web, hosts, look-alikes and names of brands in any text: bounded, and a host is ASCII in one spelling."""
    text = octets.decode("utf-8", "replace")  # as mail.encoded gives it: no half characters
    known = maps.load(resources.defaults())
    found = hosts.urls_in(text, 300)
    assert len(found) <= 300
    for word in text[:4_000].split()[:20]:
        if (one := hosts.parse_url(word)) is not None:
            found.append(one)
        hosts.host_shown(word[:300])
    for url in found:
        assert url.host and len(url.host) < 600 and 0 <= url.port < 100_000
        (
            hosts.registrable(url.host),
            hosts.suffix(url.host),
            hosts.readable(url.host),
            known.brands.in_host(url.host),
            known.brands.of_domain(url.host),
        )
        assert not url.address or hosts.is_public(url.host) in (True, False)
        letters.looks_random(url.host.partition(".")[0])
    letters.mixed_words(text), letters.invisible_inside(text), letters.styled(text), letters.pictures(text)
    known.brands.in_name(text[:300]), known.brands.in_text(text[:4_000]), known.brands.imitated_in(text[:300])
    folded = letters.folded(text)
    known.wording.themes(folded)
    letters.skeleton(text[:200]), letters.looks_shaken(text[:200])


@target("findings", messages, *FIELDS, *HTML[:24], b"http://", b"paypal", b"\xe2\x80\x8b", b"PK\x03\x04")
def findings(octets: bytes) -> None:
    """Every rule over content on any message: findings of finite weight, in the order of the shipped chain."""
    message = Message(octets)
    found = judged(message)
    assert all(abs(finding.score) <= 10 and len(finding.detail) <= 500 for finding in found)
    content = read_content(message)
    assert len(content.urls) <= 1_500 and len(content.answers) <= 20


@cache
def _classifier() -> Classifier:
    return Classifier(seed(), "mx.demo.test")


@target("classifier-features", messages, *FIELDS[:12], b"by mx.demo.test ", b"X-Spam: Yes\r\n")
def extracted(octets: bytes) -> None:
    """Features of any message: in order, each once, packed and unpacked the same; a word of the classifier that is a number within its caps."""
    message = Message(octets)
    found = _classifier().features(message)
    assert (
        len(found) <= features.MAX_FEATURES
        and (not len(found) or int(found[-1]) < features.SIZE)
        and not np.any(np.diff(found.astype(np.int64)) <= 0)
    )
    assert np.array_equal(features.unpack(features.pack(found)), found)
    said = _classifier().assess(found)
    assert -8.0 <= said.score() <= 8.0 and 0.0 <= said.probability <= 1.0
    assert len(features.digest(message, "mx.demo.test")) == 32


def _models() -> list[bytes]:
    found = Classifier(model.Model.empty()).features(Message(messages()[0]))
    kept = memory.Memory()
    for turn in range(4):
        kept.keep(found[turn:], bool(turn % 2))
    own = overlay.EMPTY.trained(found, True, model.Model.empty())
    small = model.Model.empty().dump_seed()
    return [
        b"M" + kept.dump(),
        b"O" + own.dump(),
        b"S" + small,
        b"F" + features.pack(found),
        b"D" + model._HEAD.pack(model.MAGIC, features.VERSION, 0, 1, b"j", 1, 1, 0, 0),
    ]


def _mended(octets: bytes, head: struct.Struct) -> bytes:
    """With the length and the checksum it ought to have: damage is to reach what is behind them."""
    body = octets[head.size :]
    start = octets[: head.size - 4]
    if head is model._HEAD and len(start) >= 8:
        start = start[:-8] + struct.pack("<Q", len(body))[: 8 - 4] + start[-4:] if len(start) < 8 else start[:-4] + struct.pack("<I", len(body))
    return start + struct.pack("<I", zlib.crc32(body, zlib.crc32(start))) + body


@target("classifier-load", _models, b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0", b"x\x9c", model.MAGIC, b"\0\0\xc0\x7f", b"\0\0\x80\x7f")
def loaded(octets: bytes) -> None:
    """A model, an overlay, kept messages or features from a damaged file: DamagedError, or something that can be used."""
    kind, rest = octets[:1], octets[1:]
    found = np.arange(5, dtype=np.uint32)
    try:
        match kind:
            case b"M":
                memory.Memory.load(rest).opposites(True)
            case b"O":
                for given in (rest, _mended(rest, overlay._HEAD)):
                    one = overlay.load(given)
                    assert all(np.isfinite(one.logits(found)))
            case b"F":
                features.unpack(rest)
            case _:
                for given in (rest, _mended(rest, model._HEAD)):
                    assert np.isfinite(model.load(given).score(found))
    except DamagedError as error:
        assert str(error)


@target(
    "wordlists",
    lambda: [b"x", *files("07_html_templates_postmark", "*.txt", 5)],
    b"verify your account",
    b"click here",
    b"$$$",
    "ＶＥＲＩＦＹ".encode(),
    b"v.e.r.i.f.y",
)
def words(octets: bytes) -> None:
    """Phrases in any text, however it is spelt: counts that are bounded by the text."""
    text = letters.folded(octets.decode("utf-8", "replace"))
    assert all(0 <= count <= len(text) + 1 for count in maps.load(resources.defaults()).wording.themes(text).values())
