"""Envelope addresses: what RFC 5321 and RFC 6531 let in, in one spelling, and nothing else."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.address import Address, AddressError, display_domain, parse, parse_domain
from jetmail.smtp import grammar
from tests import fixtures


def at_rcpt(text: str, smtputf8: bool = False) -> str | None:
    """The address as RCPT TO takes it, or None."""
    try:
        return str(grammar.parse_rcpt(f"TO:<{text}>".encode(), smtputf8, "mx.test").address)
    except grammar.Refused:
        return None


@pytest.mark.parametrize("category", ["VALID_CATEGORY", "DNSWARN", "RFC5321", "ERR"])
def test_isemail(category: str) -> None:
    """isemail's table: valid, unknown to DNS and unusual but RFC 5321 addresses are accepted at RCPT, errors refused."""
    wrong = []
    for case in ElementTree.parse(fixtures.folder("04_addresses") / "isemail-half.xml").getroot().iter("test"):
        if case.findtext("category") != f"ISEMAIL_{category}":
            continue
        # The table writes control characters as the pictures of them.
        text = "".join(chr(ord(letter) - 0x2400) if 0x2400 <= ord(letter) <= 0x241F else letter for letter in case.findtext("address") or "")
        if (at_rcpt(text) is not None) != (category != "ERR"):
            wrong.append((case.get("id"), text, case.findtext("diagnosis")))
    assert not wrong


def flanker(name: str) -> list[str]:
    """The addresses of one of flanker's lists."""
    lines = (fixtures.folder("04_addresses") / name).read_text("utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_flanker_invalid() -> None:
    """Nothing of flanker's list of invalid mailboxes is accepted."""
    assert [text for text in flanker("flanker_mailbox_invalid.txt") if at_rcpt(text) is not None] == []


def test_flanker_valid() -> None:
    """All of flanker's valid mailboxes are accepted that are bare addresses: display names and comments belong into a header."""
    refused = [text for text in flanker("flanker_mailbox_valid.txt") if at_rcpt(text, smtputf8=True) is None]
    assert [text for text in refused if not text.endswith(">") and "(" not in text] == []
    assert len(refused) < 12


def test_one_spelling() -> None:
    """The domain is lower-case A-labels, needless quotes are gone, the local part's case stays, equal is equal."""
    assert str(parse("Joe@EXAMPLE.Org")) == "Joe@example.org"
    assert str(parse('"joe"@example.org')) == "joe@example.org"
    assert str(parse('"j\\o\\e x"@example.org')) == '"joe x"@example.org'
    assert str(parse("jörg@Bücher.example")) == "jörg@xn--bcher-kva.example"
    assert parse('"joe"@example.org') == parse("joe@EXAMPLE.org")
    assert parse("Joe@example.org").key == parse("joe@example.org").key


def test_literals() -> None:
    """Address literals are read, normalised and known as such."""
    assert str(parse("a@[192.0.2.1]")) == "a@[192.0.2.1]"
    assert str(parse("a@[ipv6:2001:DB8:0::1]")) == "a@[IPv6:2001:db8::1]"
    assert parse("a@[192.0.2.1]").is_literal and not parse("a@b.test").is_literal
    for wrong in ("a@[192.0.2]", "a@[2001:db8::1]", "a@[IPv6:fe80::1%eth0]", "a@[", "a@[]", "a@[192.0.2.1", "a@[192.0.2.1].test", "a@[x:y]"):
        with pytest.raises(AddressError):
            parse(wrong)


def test_lengths() -> None:
    """64 octets of local part, 63 of a label, 254 in all (RFC 5321 4.5.3.1); octets, not characters."""
    label = "a" * 63
    assert parse("x" * 64 + "@b.test")
    assert parse("ö" * 32 + "@b.test")
    assert len(str(parse(f"x@{label}.{label}.{label}.{'a' * 60}"))) == 254
    for wrong in ("x" * 65 + "@b.test", "ö" * 33 + "@b.test", f"x@{label}a.test", f"x@{label}.{label}.{label}.{'a' * 61}", f"x@{'a.' * 200}test"):
        with pytest.raises(AddressError):
            parse(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a b@c",
        "a@b c",
        "a@b.",
        "a@.b",
        "a@b..c",
        "a@-b",
        "a@b-",
        '"a@b',
        '"a"b@c',
        'a"b"@c',
        "a@b\n",
        "a\0@b",
        "a@b\x7f",
        "a\x85@b",
        "a@\x85",
        "a\ud800@b",
        '"\n"@b',
        '"\\\n"@b',
        "a<b>@c",
        "a@xn--a.test",
        "a@xn--.test",
        "a@b,c",
    ],
)
def test_refused(text: str) -> None:
    """What is no mailbox is refused, with a reason that does not repeat it."""
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert str(caught.value).isascii() and str(caught.value).isprintable()


def test_unusual_names() -> None:
    """Underscores, digits, one label, and A-labels today's tables refuse, all reach somebody's mailbox."""
    for text in ("a@under_score.test", "a@123.test", "a@localhost", "a@1", "a@xn--i-7iq.ws", "a@xn--strae-oqa.test"):
        assert str(parse(text)) == text


def test_display_domain() -> None:
    """People read U-labels where they are well formed, else what is stored."""
    assert display_domain("xn--bcher-kva.example") == "bücher.example"
    assert display_domain("xn--a.test") == "xn--a.test"
    assert display_domain("example.org") == "example.org"


@given(st.text(max_size=80) | st.text('ab\\"@. ö[]:-_1', max_size=30))
def test_total_and_stable(text: str) -> None:
    """Any text is refused or gives an address that reads back as itself."""
    try:
        address = parse(text)
    except AddressError:
        return
    assert parse(str(address)) == address
    assert isinstance(address, Address) and parse_domain(address.domain) == address.domain
    assert len(str(address).encode()) <= 254 and not set(str(address)) & set("\r\n\0")


@pytest.mark.parametrize("domain", ["n\uab9e.example", "\u13ce\u13cf.example", "stra\xdfe.example", "\u03b1\u03c2.example"])
def test_stored_spelling_reads_back(domain: str) -> None:
    """Whatever script folds its letters which way, the A-labels we store are an address again."""
    address = parse(f"a@{domain}")
    assert parse(str(address)) == address
