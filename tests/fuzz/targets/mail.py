"""The parsers of messages: addresses, header, MIME, encoded words, HTML, files, reports."""

from __future__ import annotations

import binascii
import bz2
import lzma
import re
import zlib

from jetmail.actions import preview
from jetmail.mail import archive, document, dsn, encoded, filetype, markup, returned, returned_fields, returned_words, showing
from jetmail.mail.address import Address, AddressError, display_domain, parse, parse_domain
from jetmail.mail.mailbox import MAX_MAILBOXES, parse_mailboxes
from jetmail.mail.message import Edits, Message
from jetmail.mail.reply import Reply
from jetmail.rules.analysis.files import MAX_FILES, read_files
from tests.fuzz.mutation import SEPARATOR
from tests.fuzz.target import files, letters, target
from tests.mail.test_dsn import report
from tests.mail.test_sevenzip import ALL as SEVEN_ZIPS
from tests.rules.checks.test_attachments import LETTER, MACRO_DOCUMENT, OLE, packed, tnef

FIELDS = (
    b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Message-ID: ", b"Reply-To: ", b"Received: ", b"Content-Type: ", b"multipart/mixed; boundary=",
    b"text/html",
    b"message/rfc822", b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename=",
    b"charset=utf-7", b"charset=\"", b"name*0*=", b"=?iso-2022-jp?b?", b"=?gb18030?q?", b"undisclosed-recipients:;", b"<a@example.org>",
    b"\"a\" <", b"MIME-Version: 1.0\r\n",
)  # fmt: skip


def _addresses() -> list[bytes]:
    own = [
        b"a@example.org",
        b'"a b"@example.org',
        b"a@[192.0.2.1]",
        b"a@[IPv6:::1]",
        "ä@münchen.de".encode(),
        b"a@xn--mnchen-3ya.de",
        b'"\\""@x',
        b"a.b+c@d_e.example",
    ]
    for octets in files("04_addresses", "*.txt", 5) + files("04_addresses", "*.xml", 5):
        own += [line.strip() for line in octets.splitlines() if b"@" in line]
    return own


@target(
    "address",
    _addresses,
    b"@",
    b'"',
    b"\\",
    b"[IPv6:",
    b"xn--",
    "ß".encode(),
    "İ".encode(),
    "．".encode(),
    b"\xcc\x88",
    "\u0660".encode(),
    b"..",
    b"-",
)
def address(octets: bytes) -> None:
    """An Address or an AddressError; an Address written out reads back as itself, within the limits, without line ends."""
    text = octets.decode("utf-8", "surrogateescape")
    for read in (parse, parse_domain):
        try:
            found = read(text)
        except AddressError as error:
            assert str(error)
            continue
        assert read(str(found)) == found, "does not read back"
        assert len(str(found).encode()) <= 255 and not any(char in str(found) for char in "\r\n\0")
        domain = found.domain if isinstance(found, Address) else found
        assert domain.isascii() and (domain == domain.lower() or domain.startswith("["))
        display_domain(domain)


@target(
    "mailbox",
    lambda: [line for letter in letters() for line in letter.split(b"\r\n")[:30] if line[:5].lower() in (b"from:", b"reply", b"to: ")] + _addresses(),
    *FIELDS[-6:],
)
def mailbox(octets: bytes) -> None:
    """Mailboxes and whether the list was sound; never an exception, never more than the cap."""
    found, _ = parse_mailboxes(octets)
    assert len(found) <= MAX_MAILBOXES
    for each in found:
        assert len(each.name) <= 300 and (each.address is None or parse(str(each.address)) == each.address)
    text = encoded.decode(octets)
    assert "\n" not in text and "\r" not in text
    text.encode("utf-8", "surrogatepass")


@target(
    "encoded",
    lambda: [
        b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?w7w=?= x",
        b"=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=",
        b"a\r\n\tb",
        b"=?x?q?_?=\xff",
        b"utf-7+AGEAYg-",
    ],
    *FIELDS[-8:-4],
    b"?q?",
    b"?B?",
    b"*en?",
)
def encoded_words(octets: bytes) -> None:
    """Text of any octets in any charset: no exception, nothing that ends a line."""
    for text in (encoded.decode(octets), encoded.plain(octets)):
        assert not any(char in text for char in "\r\n\0")
    head, _, rest = octets.partition(b"\n")
    encoded.to_text(rest, head.decode("latin-1"))
    encoded.from_base64(octets)


@target("message", letters, *FIELDS)
def message(octets: bytes) -> None:
    """Header, MIME structure, text and edits of any octets: bounded, nothing lost or changed in an edit that edits nothing."""
    found = Message(octets)
    structure = found.structure
    assert len(found.fields) <= 1_000 and len(found.subject) <= 1_000 and len(found.message_id) <= 250
    found.sender.addresses, found.texts(b"to"), found.text(b"content-type")
    for part in structure.parts:
        assert 0 <= part.start <= part.end <= len(octets)
        part.decoded(octets, 10_000)
    structure.text.encode("utf-8", "surrogatepass")
    head, rest = found.edited(Edits(prepend=b"X-New: 1\r\n"))
    assert head.startswith(b"X-New: 1\r\n") and (head + octets[rest:]).endswith(octets) and Message(head).fields[0] == (b"x-new", b"X-New: 1\r\n")
    head, rest = found.edited(Edits(frozenset({b"x-none-such"}), lambda name, field: False))
    if not found.too_large:
        assert head + octets[rest:] == octets, "an edit that removes nothing changed something"
    head, rest = found.edited(Edits(frozenset({b"subject", b"from"})))
    assert not {b"subject", b"from"} & {name for name, _ in Message(head + octets[rest:]).fields} or found.too_large or len(found.fields) >= 1_000


PAGES = (
    b"<html><head><style>p{}</style><title>x</title></head><body><p style='font-size:0;color:#fff'>hid</p>"
    b"<a href=\"http://x.example/?a=1&amp;b\">www.y.example</a>",
    b"<table><tr><td bgcolor=white>a<td>b</table><img src='cid:1' width=1 height=1><!-- c --><script>eval('x')</script>"
    b"<form action=//z><input type=password>",
    b"<div style='display:none'><div>a</div>b</div><svg><style></svg><meta http-equiv=refresh content='0;url=http://r'>"
    b"<base href=x>&#x41;&#65;&nbsp;&bogus;",
)  # fmt: skip
HTML = (
    b"<", b">", b"</", b"<a href=", b"<a href='http://", b"</a>", b"<p>", b"<div style='", b"</div>", b"display:none", b"<!--", b"-->",
    b"<script>", b"</script>", b"<style>",
    b"<font ", b"<table>", b"<td>", b"&#", b"&#x", b"&amp;", b"&lt;script&gt;", b"=\"", b"='", b"<img src=", b"<svg/onload=", b"javascript:",
    b"data:text/html,", b"<![CDATA[", b"<?x",
    b"<title>", b"<textarea>", b"<noembed>", b"<plaintext>", b"<b", b" x=", b"<base href=", b"url(", b"expression(",
)  # fmt: skip


def _pages() -> list[bytes]:
    return [*PAGES, *files("07_html_templates_postmark", "*.html", 12)]


@target("markup", _pages, *HTML)
def html(octets: bytes) -> None:
    """A page read for judging: bounded lists, text without tags' remains that could not be stored."""
    page = markup.read_page(octets.decode("utf-8", "surrogateescape"))
    assert len(page.links) <= markup.MAX_LINKS and len(page.images) <= markup.MAX_IMAGES and len(page.script) <= markup.MAX_SCRIPT
    assert len(page.text) <= 2 * markup.MAX_HTML + 1_000
    assert all(len(link.target) <= markup.MAX_TARGET and len(link.label) <= markup.MAX_LABEL for link in page.links)


OUT_TAG = re.compile(r"</?([^\s/>]*)([^>]*)>")
TOLD = re.compile(r' (?:title|alt)="[^"]*"')  # words for people
SHOWN = {*showing.BLOCKS, *showing.INLINE, *showing.VOID, *showing.STYLED, "img"}
LEADS_OUT = re.compile(r"\bon\w+\s*=|href\s*=|https?:|javascript:|url\s*\(|expression|srcset|position|@import")


@target("showing", _pages, *HTML)
def shown(octets: bytes) -> None:
    """A page rewritten to be shown: only known tags, well nested, and no attribute that runs, loads or leads away."""
    text = octets.decode("utf-8", "surrogateescape")
    out = showing.rewrite(text).html
    open_tags: list[str] = []
    for found in OUT_TAG.finditer(out):
        name, attributes = found[1], TOLD.sub("", found[2].lower())
        assert name in SHOWN, f"tag {name!r}"
        assert "<" not in attributes and not LEADS_OUT.search(attributes), f"attribute {attributes!r}"
        if found[0].startswith("</"):
            assert open_tags and open_tags.pop() == name, "not nested"
        elif name not in showing.VOID and name != "img":
            open_tags.append(name)
    assert not open_tags and "<" not in OUT_TAG.sub("", out)
    out.encode("utf-8")
    showing.plain(text).encode("utf-8")


@target("preview", letters, *FIELDS, *HTML[:20])
def previewed(octets: bytes) -> None:
    """A message as the portal shows it: made without an exception, without a tag that runs."""
    found = preview.of_octets(octets)
    assert "<script" not in found.html.lower() and "<iframe" not in found.html.lower()
    found.text.encode("utf-8")


WORDS = frozenset("remote password moves disguised-code broken bomb members depth".split())
TRAITS = frozenset("macro object locked script launch embedded opens form".split())


def _archives() -> list[bytes]:
    import gzip
    import io
    import tarfile

    plain = packed(a__txt=b"abc", b__exe=b"MZ" + bytes(100))
    nested = packed(c__zip=plain, d__docm=packed(word_vbaProject__bin=b"x"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        out.addfile(tarfile.TarInfo("x.js"), io.BytesIO())
    rar5 = (
        b"Rar!\x1a\x07\x01\x00"
        + bytes.fromhex("33925d06010500060180808000")
        + bytes.fromhex("aabbccdd1a0203000400a48302000000008000010561612e7478741d7756510304")
    )
    rar = (
        b"Rar!\x1a\x07\x00"
        + bytes.fromhex("cf907300000d00000000000000")
        + bytes.fromhex("00007420802900030000000300000002c2412435000021001d3305002000000061")
        + b".exe"
    )
    cab = (
        b"MSCF"
        + bytes(4)
        + (100).to_bytes(4, "little")
        + bytes(4)
        + (44).to_bytes(4, "little")
        + bytes(4)
        + b"\x03\x01\x01\x00\x02\x00"
        + bytes(28)
        + b"a.exe\0" * 4
    )
    heads = [each[1] + bytes(300) for each in filetype._SIGNATURES]
    pdf = b"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>/URI(http://x)/Launch>>\nendobj"
    streams = pdf + b"2 0 obj<</Type/ObjStm/N 1>>stream\n" + zlib.compress(b"<</S/JavaScript>>")
    others = [bz2.compress(plain), lzma.compress(plain), tnef("a.exe", b"MZ" + bytes(100)), packed(a__doc=OLE, b__docx=MACRO_DOCUMENT), LETTER]
    return [plain, nested, gzip.compress(plain), buffer.getvalue(), rar5, rar, cab, pdf, streams, *others, *SEVEN_ZIPS, *heads]


@target(
    "archive",
    _archives,
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"\x1f\x8b\x08\x00",
    b"Rar!\x1a\x07\x00",
    b"ustar",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"a.exe",
    b".zip",
    b"MZ",
    b"<html>",
    b"/JS",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
)
def archives(octets: bytes) -> None:
    """What a file is and what is in it: bounded in members, depth and what is unpacked, whatever it claims."""
    kind = filetype.kind_of(octets)
    unpacked = {filetype.Kind(name, "archive") for name in archive._READERS}
    for each in {kind, *unpacked}:
        listing = archive.listing(octets, each)
        assert len(listing.members) <= archive.MAX_MEMBERS + archive.MAX_LATE
        assert all(0 < member.depth <= archive.MAX_DEPTH + 1 for member in listing.members)
        assert all(member.traits <= TRAITS for member in listing.members)
    assert document.of_pdf(octets) | document.of_ole(octets)[1] <= TRAITS
    assert sum(len(content) for _, content in archive.contents(octets, (".rels", "bin", ""), 20)) <= 20 * archive.PEEK


@target(
    "files", _archives, b"PK\x03\x04", b"/ObjStm>>stream\n", b"begin 644 a.exe\n", b"Content-Transfer-Encoding: base64\r\n", b"<script>", b"<svg "
)
def attached(octets: bytes) -> None:
    """A file of any content, attached: what it and the messages in it are and would do, in words of the list, within the bounds."""
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: %s\r\n\r\n"
    for message in (Message(head % b"base64" + binascii.b2a_base64(octets)), Message(head % b"x-uuencode" + octets), Message(octets)):
        found = read_files(message)
        assert len(found) <= MAX_FILES
        assert all(file.traits <= TRAITS | WORDS for file in found)


def _reports() -> list[bytes]:
    own = [
        SEPARATOR.join((letter, b"nobody here", b"mx.demo.test", b"rfc822;ann+2Bx@demo.test", b"QQ314159", b"ann@demo.test"))
        for letter in letters()[:20]
    ]
    return [*own, SEPARATOR.join((b"Subject: x\r\n\r\n\xff", b"x" * 1_200, b"", "utf-8;ä@b".encode(), b"\r\nX: y", "ä@ö.example".encode()))]


@target("dsn", _reports, b"rfc822;", b"utf-8;", b"\\x{E9}", b"+2B", b"=_0123456789abcdef", b"\r\nAction: delivered", seconds_per_100k=1.0)
def bounce(octets: bytes) -> None:
    """A report about any message, with any words of a peer: ASCII, short lines, three parts, two blocks, nothing that got out of its field."""
    original, said, host, orcpt, envid, to = (octets.split(SEPARATOR) + [b""] * 6)[:6]
    words = [part.decode("utf-8", "replace") for part in (said[:3_000], host[:300], orcpt[:500], envid[:100])]
    try:
        recipient = str(parse(to.decode("utf-8", "replace")))
    except AddressError:
        recipient = "ann@demo.test"
    item = dsn.RecipientStatus(recipient, dsn.Action.FAILED, "5.0.0", Reply(550, "", words[0]), words[1], words[2], words[0])
    for is_full in (False, True):
        try:
            built = dsn.build(report(item, original=original, is_full=is_full, envid=words[3], to=recipient))
        except ValueError as refused:
            assert "boundary" in str(refused)
            return  # and another would be drawn; what is left out of a peer's words can join the pieces of this one
        assert built.isascii() and b"\n" not in built.replace(b"\r\n", b"") and max(map(len, built.split(b"\r\n"))) <= 998
        _, *parts = built.removesuffix(b"\r\n--=_0123456789abcdef--\r\n").split(b"--=_0123456789abcdef\r\n")
        assert len(parts) == 2 + bool(original), "parts"  # told by hand: the standard library's reader breaks lines at \x1e and fails on its own
        blocks = parts[1].strip().split(b"\r\n\r\n")[1:]
        assert len(blocks) == 2 and b"\r\nAction: failed\r\n" in blocks[1] and blocks[1].count(b"\r\nAction:") == 1, "blocks"


@target(
    "returned", lambda: [*files("06_dsn", "*.eml", 120), *letters()[:10]], *FIELDS, b"message/delivery-status", b"message/feedback-report",
    b"Final-Recipient: rfc822; a@example.net\r\n", b"Action: failed\r\n", b"Status: 5.1.1\r\n", b"Diagnostic-Code: smtp; 550 5.1.1 x\r\n",
    b"<a@example.net>:\r\n", b"RCPT TO:<a@example.net>", b"----- Original message -----\r\n", b"Auto-Submitted: auto-replied\r\n",
    b"X-Failed-Recipients: ", b'{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{', b"MAILER-DAEMON@", b"user unknown", b"a@",
    b"sender ", b"mailbox ", b"address ", b"limit ", b"will be ",
    seconds_per_100k=1.5,
)  # fmt: skip
def returned_mail(octets: bytes) -> None:
    """What comes back, of any octets: one of the kinds, bounded, words of the list, statuses that are some, text that can be stored."""
    for is_null in (True, False):
        found = returned.read(Message(octets), is_null)
        assert found.kind in returned.KINDS and len(found.recipients) <= returned.MAX_RECIPIENTS
        assert found.kind != "bounce" or found.recipients
        for item in found.recipients:
            assert item.word == "" or item.word in returned_words.WORDS
            assert item.status == "" or returned_fields.status_in(item.status) == item.status, item
            assert len(item.address) <= 600 and len(item.diagnostic) <= 4_000
        str(found).encode("utf-8")
